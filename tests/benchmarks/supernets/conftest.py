"""Tasks whose steps take milliseconds, and results with round numbers."""

from __future__ import annotations

import pytest

from benchmarks.supernets import steps
from benchmarks.supernets.comparison import Results
from benchmarks.supernets.equal_time import Point
from benchmarks.supernets.forms import FORMS
from benchmarks.supernets.steps import Task, Turn
from evaluation.splits import Splits
from tests.benchmarks.conftest import SPACE


def turns(*speeds: float) -> list[Turn]:
    return [Turn(speed, mb) for speed, mb in zip(speeds, (100.0, 90.0, 80.0), strict=False)]


def points(*accuracies: float, steps: int = 10) -> list[Point]:
    return [Point(10.0 * number, steps * number, (mean, mean)) for number, mean in enumerate(accuracies, start=1)]


RESULTS = Results(
    {"shared": turns(100.0, 300.0), "separate": turns(10.0, 20.0), "quick": turns(20.0, 40.0)},
    {"shared": turns(40.0, 40.0), "separate": turns(10.0, 8.0), "quick": turns(20.0, 20.0)},
    {"shared": points(0.2, 0.6, steps=50), "separate": points(0.1, 0.2), "quick": points(0.1, 0.3, steps=20)},
)
"""Two rounds of turns, and two checkpoints of training."""


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch, splits: Splits) -> dict[str, Task]:
    """One of each form, of which the process of the tests keeps no memory."""
    monkeypatch.setattr(steps, "keep_freed_memory", lambda: False)
    return {
        name: Task(form=form, space=SPACE, splits=splits, batch=8, threads=1, seed=0) for name, form in FORMS.items()
    }
