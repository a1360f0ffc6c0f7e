from __future__ import annotations

from multiprocessing import Pipe

import pytest

from benchmarks.supernets.equal_time import CHECKPOINTS, Point, random_architectures, train
from benchmarks.supernets.forms import FORMS
from benchmarks.supernets.steps import Task
from tests.benchmarks.conftest import SPACE


@pytest.mark.parametrize("form", list(FORMS))
def test_training_is_evaluated_at_the_end_of_each_turn(tasks: dict[str, Task], form: str) -> None:
    drawn = random_architectures(SPACE, 2, seed=0)
    ours, theirs = Pipe()
    for _ in range(CHECKPOINTS + 1):
        ours.send("go on")
    train(tasks[form], theirs, seconds=0.5, architectures=drawn)
    points: list[Point] = [ours.recv() for _ in range(CHECKPOINTS)]
    assert not ours.poll()
    seconds, steps = [point.seconds for point in points], [point.steps for point in points]
    assert seconds == sorted(seconds)
    assert seconds[-1] >= 0.5
    assert steps == sorted(steps)
    assert all(0 <= accuracy <= 1 for point in points for accuracy in point.accuracies)
    assert {len(point.accuracies) for point in points} == {2}
