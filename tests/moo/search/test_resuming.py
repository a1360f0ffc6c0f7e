"""Killed at any write, twice in a row, and resumed, a search ends as an uninterrupted one: every mode, every stage."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.resuming.comparison import differences
from moo.execution.backend import InProcessBackend
from moo.search.loop import run_search
from moo.storage.run_folder import RunFolder
from tests.interruptions import Copies
from tests.moo.conftest import MakeReplay, Prepare

SHORT: dict[str, Any] = {"samples": 1, "theta_steps": 2, "pretrain_epochs": 2}
MODES: dict[str, dict[str, Any]] = {
    "coefficients": {},
    "random": {"method": "random"},
    "grid": {"method": "grid"},
    "architectures": {"method": "architectures"},
    "independent": {"independent": True, "pretrain_epochs": 1},
    "surrogate": {"supernet_generations": 1, "generations": 3},
    "limits": {"max_latency_ms": 9.0, "supernet_generations": 1},
    "one tuple": {
        "population": 1,
        "generations": 1,
        "alpha": (0.2, 0.2),
        "beta": (1.0, 1.0),
        "gamma": (0.1, 0.1),
        "delta": (1.0, 1.0),
    },
    "configurations": {"threads": (1, 2), "precision": ("fp32", "int8"), "supernet_generations": 1},
    "asynchronous random": {"method": "random", "asynchronous": True},
    "asynchronous grid": {"method": "grid", "asynchronous": True},
}


def resumed(preparation: Any, path: Path) -> Any:
    """The inputs of a search as they are when it is resumed in a folder."""
    folder = RunFolder(path)
    config, origin = folder.read_config()
    return dataclasses.replace(preparation, config=config, folder=folder, resumed=True, saved_origin=origin)


def searched(preparation: Any) -> None:
    run_search(preparation, InProcessBackend(preparation.setup), lambda event: None)


def check_every_write(prepare: Any, tmp_path: Path, every: int = 1) -> None:
    whole = prepare("whole")
    copies = Copies(whole.folder.path, tmp_path / "copies")
    with copies.kept():
        searched(whole)
    # Without config.json there is nothing to resume.
    places = [path for path in copies.paths if (path / "config.json").exists()]
    rng = np.random.default_rng(0)
    bad = []
    for number, path in enumerate(places):
        if number % every:
            continue
        before = sorted(str(p.relative_to(path)) for p in path.rglob("*.part"))
        again = Copies(path, tmp_path / "second")
        with again.kept():
            searched(resumed(prepare("other"), path))
        found = differences(whole.folder.path, path)
        if found:
            bad.append((path.name, before, found))
        elif again.paths:
            second = again.paths[rng.integers(len(again.paths))]
            searched(resumed(prepare("other"), second))
            found = differences(whole.folder.path, second)
            if found:
                bad.append((path.name, "second", second.name, found))
        shutil.rmtree(tmp_path / "second", ignore_errors=True)
        shutil.rmtree(path)
    print(len(places))
    for b in bad:
        print(b)
    assert not bad


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_modes(prepare_tiny: Prepare, tmp_path: Path, mode: str) -> None:
    check_every_write(lambda name: prepare_tiny(name, **SHORT | MODES[mode]), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_modes_measured(prepare_tiny: Prepare, replay: MakeReplay, tmp_path: Path, mode: str) -> None:
    check_every_write(lambda name: prepare_tiny(name, device=replay(), **SHORT | MODES[mode]), tmp_path)
