"""Steps of a supernet, timed: weight steps as in pre-training, theta steps as in an inner search.

Shape suffixes: L layers, O operators.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from benchmarks.supernets.forms import Form, new_supernet, search_augmentation
from benchmarks.turns import seconds_of
from dnas.batches import Batch, BatchDraw, BatchSource, endless_draws
from dnas.costs import OperatorCosts
from dnas.inner_search import ThetaSettings, search_theta
from dnas.joint.search import InnerSearch, search_thetas
from dnas.losses import Coefficients
from dnas.pretraining import Pretraining, PretrainSettings
from dnas.supernets.supernet import Supernet
from dnas.train_precision import TrainPrecision
from evaluation.augmentation import Augmentation
from evaluation.batches import ImageBatches
from evaluation.splits import Splits
from evaluation.training.allocator import keep_freed_memory
from search_space.spaces import FBNetSpace

WARM_UP_STEPS = 2
LEAST_STEPS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What a process needs to work on one form."""

    form: Form
    space: FBNetSpace
    splits: Splits
    batch: int
    threads: int
    seed: int
    precision: TrainPrecision = "fp32"

    @property
    def augmentation(self) -> Augmentation:
        """As in a search."""
        return search_augmentation(self.space, self.splits)


@dataclass(frozen=True)
class Turn:
    """Figures of one turn of steps."""

    images_per_second: float
    peak_memory_mb: float
    """Of the whole process, or what torch allocated on the GPU."""


def device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def supernet_on_device(task: Task) -> Supernet:
    """A new supernet of the task's form, and the settings of the process, which are the same for all forms."""
    torch.set_num_threads(task.threads)
    keep_freed_memory()
    supernet = new_supernet(task.form, task.space, task.seed)
    return supernet.to(device=device(), memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


class SomeBatches:
    """A number of images of a source, in as many passes as that takes; implements `dnas.batches.BatchSource`."""

    def __init__(self, source: BatchSource, count: int) -> None:
        self.source = source
        self.count = count

    def __len__(self) -> int:
        return self.count

    def draws(self, batch_size: int, rng: np.random.Generator) -> Iterator[BatchDraw]:
        """See `BatchSource.draws`."""
        return islice(endless_draws(self.source, batch_size, rng), self.count // batch_size)

    def read(self, draws: Sequence[BatchDraw]) -> Iterator[Batch]:
        """See `BatchSource.read`."""
        return self.source.read(draws)


def weight_steps(task: Task, seconds: float) -> Turn:
    """Weight steps as in pre-training, for about that many seconds."""
    return timed_turn(weight_stepper(task), task.batch, seconds)


def weight_stepper(task: Task) -> Callable[[int], None]:
    """Makes so many weight steps as in pre-training."""
    supernet = supernet_on_device(task)
    images = ImageBatches(task.splits.weights, task.splits, augmentation=task.augmentation, device=device())

    def steps(number: int) -> None:
        source = SomeBatches(images, number * task.batch)
        settings = PretrainSettings(epochs=1, batch_size=task.batch)
        Pretraining(
            supernet, source, settings, seed=task.seed, forward=task.form.forward, precision=task.precision
        ).run_epoch()

    return steps


def theta_steps(task: Task, seconds: float) -> Turn:
    """Theta steps as in an inner search, for about that many seconds; the weights are frozen."""
    return timed_turn(theta_stepper(task), task.batch, seconds)


def theta_stepper(task: Task) -> Callable[[int], None]:
    """Makes so many theta steps as in an inner search."""
    supernet = supernet_on_device(task)
    images = ImageBatches(task.splits.theta, task.splits, augmentation=task.augmentation, device=device())
    costs = OperatorCosts(torch.rand(task.space.num_layers, len(task.space.operators)), 1.0)

    def steps(number: int) -> None:
        settings = ThetaSettings(steps=number, batch_size=task.batch)
        coefficients = Coefficients(alpha=0.1, beta=1.0, gamma=0.1, delta=1.0)
        rng = np.random.default_rng(task.seed)
        search_theta(supernet, images, costs, costs, coefficients, settings, rng, precision=task.precision)

    return steps


def joint_theta_stepper(task: Task, searches: int) -> Callable[[int], None]:
    """Makes so many theta steps of so many inner searches together; of one, as ever."""
    supernet = supernet_on_device(task)
    images = ImageBatches(task.splits.theta, task.splits, augmentation=task.augmentation, device=device())

    def steps(number: int) -> None:
        settings = ThetaSettings(steps=number, batch_size=task.batch)
        search_thetas(supernet, images, some_searches(task.space, searches), settings, precision=task.precision)

    return steps


def some_searches(space: FBNetSpace, count: int) -> list[InnerSearch]:
    """So many inner searches, each with random numbers of its own."""
    costs = OperatorCosts(torch.ones(space.num_layers, len(space.operators)), 1.0)
    coefficients = Coefficients(alpha=0.1, beta=1.0, gamma=0.1, delta=1.0)
    return [
        InnerSearch(latency=costs, energy=costs, coefficients=coefficients, rng=np.random.default_rng(seed))
        for seed in range(count)
    ]


def timed_turn(steps: Callable[[int], None], batch: int, seconds: float) -> Turn:
    """Warm up for about half the time, as each new shape takes longer at first; then time as many steps as fill it."""
    step_seconds = seconds_of(lambda: steps(WARM_UP_STEPS)) / WARM_UP_STEPS
    number = max(1, round(seconds / 2 / step_seconds))
    step_seconds = seconds_of(lambda: steps(number)) / number
    number = max(LEAST_STEPS, round(seconds / step_seconds))
    return Turn(batch * number / seconds_of(lambda: steps(number)), peak_memory_mb())


def peak_memory_mb() -> float:
    """Largest memory of this process so far, in MB; with a GPU what torch had allocated there.

    On Linux it is read from `/proc`: `getrusage` would count what the parent process had when it started this one.
    """
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e6
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
