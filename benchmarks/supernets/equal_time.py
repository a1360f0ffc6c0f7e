"""Supernets trained for equal time, by turns: how accurate are their sub-networks?"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection

import numpy as np

from benchmarks.supernets.forms import InheritedAccuracy
from benchmarks.supernets.steps import Task, device, supernet_on_device
from benchmarks.supernets.timed_pretraining import TimedPretraining
from benchmarks.turns import OnTurn, alternate
from dnas.pretraining import PretrainSettings
from evaluation.batches import ImageBatches
from search_space.spaces import FBNetSpace

CHECKPOINTS = 6
"""Turns of the training of each supernet."""


@dataclass(frozen=True)
class Point:
    """A supernet at the end of a turn of its training."""

    seconds: float
    """Training time so far."""
    steps: int
    accuracies: tuple[float, ...]
    """Of each architecture with inherited weights, on the selection split, in [0, 1]."""

    @property
    def mean(self) -> float:
        """Mean accuracy, in [0, 1]."""
        return statistics.mean(self.accuracies)


def train_for_equal_time(
    tasks: Mapping[str, Task], *, seconds: float, architectures: int, seed: int, on_turn: OnTurn | None = None
) -> dict[str, list[Point]]:
    """Train all forms, one at a time, each in a process of its own.

    Args:
        tasks: by form.
        seconds: training time of each.
        architectures: how many random ones are evaluated at the end of each turn.
        seed: chooses them.
        on_turn: called after each turn.

    Raises:
        RuntimeError: if a process ended early; what it printed says why.
    """
    if not tasks:
        return {}
    space = next(iter(tasks.values())).space
    work = partial(train, seconds=seconds, architectures=random_architectures(space, architectures, seed))
    return alternate(work, tasks, CHECKPOINTS, on_turn=on_turn)


def train(task: Task, connection: Connection, *, seconds: float, architectures: list[tuple[int, ...]]) -> None:
    """Train a supernet by turns: wait for a word, train, evaluate, send the point, and so on."""
    supernet = supernet_on_device(task)
    images = ImageBatches(task.splits.weights, task.splits, augmentation=task.augmentation, device=device())
    accuracy_of = InheritedAccuracy(supernet, task.splits, device())

    def pause(over: float) -> None:
        accuracies = tuple(accuracy_of(indices) for indices in architectures)
        connection.send(Point(over, pretraining.steps, accuracies))
        connection.recv()

    pretraining = TimedPretraining(
        supernet,
        images,
        PretrainSettings(epochs=1, batch_size=task.batch),
        ends=[seconds * (number + 1) / CHECKPOINTS for number in range(CHECKPOINTS)],
        seed=task.seed,
        forward=task.form.forward,
        on_pause=pause,
    )
    connection.recv()
    pretraining.run()


def random_architectures(space: FBNetSpace, number: int, seed: int) -> list[tuple[int, ...]]:
    """Uniformly random operators of each layer, by index."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(18,)))
    return [tuple(map(int, row_L)) for row_L in rng.integers(len(space.operators), size=(number, space.num_layers))]
