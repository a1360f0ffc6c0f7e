from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import pytest

from moo.config import SearchConfig
from moo.page.folders import Runs
from moo.page.searches.estimate import estimate
from moo.storage.event_file import EventFile
from moo.storage.run_folder import RunFolder
from tests.moo.conftest import ORIGIN

HERE = platform.node()
EARLIER = SearchConfig(space="fbnet-micro", size=32, population=4, generations=3, pretrain_epochs=3, device=("pi4",))
ASKED: dict[str, Any] = {"space": "fbnet-micro", "size": 32, "device": ("pi4",)}


def write_run(path: Path, config: SearchConfig = EARLIER, *, machine: str = HERE, last: str = "run_finished") -> None:
    """Write the events of a search: 50 s besides, 3 epochs of 10 s, 4 trials of 5 s, and twice 8 of 2 s."""
    folder = RunFolder(path)
    folder.write_config(config, ORIGIN)
    folder.store.touch()
    file, at = EventFile(folder.events), 1000.0
    told: list[tuple[float, str, dict[str, Any]]] = [
        (0.0, "command_started", {"machine": machine}),
        (30.0, "run_started", {"resumed": False}),
        *((10.0, "pretrain_epoch", {"epoch": epoch, "epochs": 3}) for epoch in (1, 2, 3)),
        *[(0.0, "generation_started", {}), *[(5.0, "trial_finished", {})] * 3, (5.0, "trial_failed", {})],
        *[(0.0, "generation_started", {}), *[(2.0, "trial_finished", {})] * 8] * 2,
        (20.0, last, {"ending": "failed"}),
    ]
    for seconds, kind, figures in told:
        at += seconds
        file.append(at, kind, figures)


@pytest.mark.parametrize(
    ("asked", "about"),
    [
        # 50 s + 3 x 10 s + 4 x 5 s + 2 x 8 x 2 s, as before.
        ({"population": 4, "generations": 3, "pretrain_epochs": 3}, "Roughly 2 min: a guess"),
        # 50 s + 33 x 10 s + 8 x 5 s + 7 x 16 x 2 s.
        ({"population": 8, "generations": 8, "pretrain_epochs": 33, "seed": 7}, "Roughly 11 min: a guess"),
        ({"minutes": 60.0, "pretrain_epochs": 0}, "Roughly 1.0 h: a guess"),
        (
            {"population": 4, "generations": 3, "pretrain_epochs": 3, "space": None},
            " if its space is fbnet-micro@32: a",
        ),
        ({"space": None, "minutes": 2.0}, "About 2 min 00 s in all, as --minutes asks."),
        # Nothing to go by: other steps, another board, another space, other images, and an unknown number of epochs.
        ({"pretrain_epochs": 3, "theta_steps": 61}, ""),
        ({"pretrain_epochs": 3, "device": ("pi5",)}, ""),
        ({"pretrain_epochs": 3, "space": "fbnet-cifar"}, ""),
        ({"pretrain_epochs": 3, "space": "fbnet-micro@64", "size": None}, ""),
        ({"pretrain_epochs": 3, "dataset": "photos"}, ""),
        ({}, ""),
    ],
)
def test_a_search_takes_as_long_as_one_like_it_did(tmp_path: Path, asked: dict[str, Any], about: str) -> None:
    write_run(tmp_path / "earlier")
    told = estimate(SearchConfig(**(ASKED | asked)), Runs(tmp_path))
    assert about in told
    assert bool(told) == bool(about)
    if "guess" in about:
        assert told.endswith(
            "from the run 'earlier', which took 2 min 12 s on this machine for 3 epochs and 20 trials."
        )


def test_only_what_went_through_on_this_machine_counts_and_the_latest_of_it(tmp_path: Path) -> None:
    asked = SearchConfig(**ASKED, pretrain_epochs=3)
    write_run(tmp_path / "elsewhere", machine="elsewhere")
    write_run(tmp_path / "failed", last="command_ended")
    (tmp_path / "damaged").mkdir()
    write_run(tmp_path / "odd")
    (tmp_path / "odd" / "events.jsonl").write_text(
        f'{{"at": 1, "kind": "command_started", "machine": "{HERE}"}}\n{{"at"'
    )
    assert estimate(asked, Runs(tmp_path)) == ""
    write_run(tmp_path / "first")
    assert "'first'" in estimate(asked, Runs(tmp_path))
    write_run(tmp_path / "second")
    assert "'second'" in estimate(asked, Runs(tmp_path))


def test_a_search_on_the_supernet_alone_says_nothing_of_the_surrogate(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "short")
    write_run(folder.path)
    lines = folder.events.read_text().splitlines()
    one_generation = [*lines[:10], lines[-1]]
    folder.events.write_text("\n".join(one_generation) + "\n")
    assert estimate(SearchConfig(**ASKED, pretrain_epochs=3, generations=1), Runs(tmp_path))
    assert not estimate(SearchConfig(**ASKED, pretrain_epochs=3, generations=2), Runs(tmp_path))
