from __future__ import annotations

import os
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from benchmarks.first_hour import time_left
from benchmarks.first_hour.time_left import Estimate, chosen, estimates_of
from moo.storage.run_folder import RunFolder
from moo.storage.search_state import SearchState, write_state
from moo.storage.store import ESTIMATE, new_store

START = 946_684_800
"""2000-01-01 00:00 UTC."""


@pytest.fixture
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run that was resumed, and ended 200 s after that; its estimates were half of the truth, then right."""
    folder = RunFolder(tmp_path)
    course: list[tuple[float, str, dict[str, Any]]] = [
        (-50.0, "started", {}),
        (-20.0, ESTIMATE, {"stage": "profiling", "elapsed_seconds": 30.0, "seconds_left": 9999.0}),
        (0.0, "resumed", {}),
        (40.0, ESTIMATE, {"stage": "pre-training", "elapsed_seconds": 40.0, "seconds_left": 80.0}),
        (90.0, ESTIMATE, {"stage": "search", "elapsed_seconds": 90.0, "seconds_left": 110.0}),
        (190.0, "finished", {"seconds": 190.0}),
    ]
    dates = iter(START + at for at, _, _ in course)
    monkeypatch.setattr("moo.storage.store._now", lambda: datetime.fromtimestamp(next(dates), timezone.utc).isoformat())
    store = new_store(folder.store)
    for _, kind, content in course:
        store.add_event(kind, **content)
    store.close()
    write_state(folder, SearchState(ended=True))
    folder.report.touch()
    os.utime(folder.report, (START + 200, START + 200))
    return folder


def test_estimates_are_compared_with_the_time_to_the_report(run_folder: RunFolder) -> None:
    first, second = estimates_of(run_folder)
    assert first == Estimate("pre-training", 40.0, 80.0, 160.0)
    assert (first.ratio, second.ratio) == (0.5, 1.0)


def test_at_a_minute_and_at_each_quarter_the_last_estimate_counts(run_folder: RunFolder) -> None:
    found = {
        name: (estimate.told_seconds, estimate.true_seconds) for name, estimate in chosen(estimates_of(run_folder))
    }
    assert found == {
        "25% of the run": (70.0, 150.0),
        "1 min": (60.0, 140.0),
        "50% of the run": (100.0, 100.0),
        "75% of the run": (50.0, 50.0),
    }


def test_the_script_prints_a_table(
    run_folder: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["time_left.py", str(run_folder.path)])
    assert time_left.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ["1", "min", "pre-training", "60", "140", "0.43"]
    assert lines[-1] == "from the first minute on: 1.00 to 1.00, 1 estimates"


def test_a_run_that_has_not_ended_is_refused(run_folder: RunFolder) -> None:
    write_state(run_folder, SearchState(ended=False, reached="after generation 1 of 8 (8 trials)"))
    with pytest.raises(ValueError, match="a run must have ended, but .* has not; go on with: python scripts/pareto"):
        estimates_of(run_folder)


def test_a_run_without_estimates_is_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    store = new_store(folder.store)
    store.add_event("started")
    store.close()
    folder.front.write_text("[]")
    folder.report.touch()
    with pytest.raises(ValueError, match="a run must have kept estimates, but .* is of an earlier version"):
        estimates_of(folder)
