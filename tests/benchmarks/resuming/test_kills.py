"""Chains of kills: which kinds they have, and what is told of them."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from benchmarks.resuming.chains import Chain, Kill
from benchmarks.resuming.commands import COMMANDS, Command
from benchmarks.resuming.kills import KillsConfig, kinds_of, lines
from moo.config import check_effect
from scripts import pareto_search

KILL = Kill(stage="delivery", kind="SIGTERM", seconds=1.0, code=143, says_how=True)
SCRIPTS = {"compare_baselines.py", "pareto_search.py", "profile_device.py", "train_architecture.py", "train_front.py"}


def test_all_kinds_of_a_command_come_equally_often() -> None:
    command = next(command for command in COMMANDS if command.name == "board")
    chains = islice(kinds_of(command, 3, np.random.default_rng(0)), len(command.kinds))
    counts = Counter(kind for chain in chains for kind in chain)
    assert counts == dict.fromkeys(command.kinds, 3)


def test_every_script_that_runs_for_long_is_killed() -> None:
    assert {command.first[0] for command in COMMANDS} == SCRIPTS


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_options_of_a_search_have_an_effect(command: Command, tmp_path: Path) -> None:
    script, *options = command.first
    if script == "pareto_search.py" and command.base is None:
        check_effect(pareto_search.read_command_line([*options, "--out", str(tmp_path)]))


def test_what_became_of_chains_is_told_by_command_kind_and_stage() -> None:
    chains = [
        Chain(command="grid", kills=[KILL, KILL]),
        Chain(command="grid", kills=[KILL], different=["front.json differs"], lost=["trial 3:"]),
        Chain(command="random", failed="attempt 2 hangs", orphans=["raylet"]),
    ]
    told = list(lines(chains))
    assert [line.split() for line in told[1:4]] == [
        ["grid", "2", "3", "1", "1", "0"],
        ["random", "1", "0", "0", "0", "1"],
        ["all", "3", "3", "1", "1", "1"],
    ]
    assert ["SIGTERM", "3", "3"] in [line.split() for line in told]


def test_an_unknown_command_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`--only` must name dnas, .*, but got 'nothing'"):
        KillsConfig(out=str(tmp_path), only=("nothing",))
