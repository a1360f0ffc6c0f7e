"""Whole pieces of a search on a device: evaluations, a front with given weights, a training, the same search again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from benchmarks.supernets.forms import InheritedAccuracy
from benchmarks.supernets.steps import Task, device, supernet_on_device
from benchmarks.turns import seconds_of
from devices.cost_tables.analytic import analytic_cost_table
from devices.cost_tables.family import CostTables
from dnas.inner_search import ThetaSettings
from dnas.losses import Coefficients
from dnas.mixed_precision import is_bf16
from evaluation.batches import ImageBatches
from evaluation.training.config import TrainSettings
from evaluation.training.loop import Training, top_accuracies
from moo.execution.evaluator import Evaluator
from moo.execution.groups import groups_of, most_together, outcomes_of
from moo.execution.pretraining import supernet_bytes
from moo.trials import CoefficientTrial, Job, TrialResult, WorkerSetup
from search_space.networks import Network

Search = Callable[[Sequence[Job]], list[TrialResult]]
"""Does trials together."""
SAMPLES = 4
REPEATS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationFigures:
    """Of architectures with inherited weights, each from its weights to its error."""

    architectures: int
    images: int
    seconds_each: float


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontFigures:
    """Of inner searches on one device, with all their evaluations."""

    tuples: int
    together: int
    """At most so many in one forward."""
    steps: int
    evaluated: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingFigures:
    """Of one network's training."""

    epochs: float
    batch: int
    precision: str
    images_per_second: float
    seconds: float
    test_accuracy: float


@dataclass(frozen=True, kw_only=True, slots=True)
class RepeatFigures:
    """The same inner search several times."""

    repeats: int
    equal: bool
    """Whether all gave the same theta, bit for bit."""
    largest_difference: float
    """Of a number of theta."""


def evaluation_figures(task: Task, architectures: int) -> EvaluationFigures:
    """Evaluate random architectures, one after the other; the first one warms up."""
    accuracy = InheritedAccuracy(supernet_on_device(task), task.splits, device())
    rng = np.random.default_rng(task.seed)
    shape = architectures + 1, task.space.num_layers
    chosen = [tuple(map(int, row)) for row in rng.integers(len(task.space.operators), size=shape)]
    accuracy(chosen[0])
    seconds = seconds_of(lambda: [accuracy(indices) for indices in chosen[1:]])
    return EvaluationFigures(
        architectures=architectures, images=len(task.splits.selection), seconds_each=seconds / architectures
    )


def front_figures(task: Task, tuples: int, steps: int) -> FrontFigures:
    """Inner searches for random coefficients on a supernet with the weights that it has, grouped as in a run."""
    search, together = _searching(task, steps)
    results: list[TrialResult] = []
    trials = _trials(tuples, task.seed)
    groups = list(groups_of(trials, together))
    # Others first, to warm up.
    search([replace(trial, id=10**6 + number) for number, trial in enumerate(trials[: len(groups[0])])])
    seconds = seconds_of(lambda: results.extend(result for group in groups for result in search(group)))
    evaluated = len({item.indices for result in results for item in result.architectures})
    return FrontFigures(tuples=tuples, together=together, steps=steps, evaluated=evaluated, seconds=seconds)


def training_figures(task: Task, settings: TrainSettings, operator: str) -> TrainingFigures:
    """Train one network, of one operator in all layers, as for deployment; accuracy is that of the test split."""
    torch.manual_seed(task.seed)
    splits, space = task.splits, task.space
    network = Network(space.graph((operator,) * space.num_layers))
    images = ImageBatches(splits.weights, splits, augmentation=task.augmentation, device=device())
    selection, test = (ImageBatches(split, splits, device=device()) for split in (splits.selection, splits.test))
    training = Training(network, images, selection, settings, seed=task.seed)

    def whole() -> None:
        while not training.done:
            for _ in training.epoch():
                pass

    seconds = seconds_of(whole)
    return TrainingFigures(
        epochs=training.epochs,
        batch=training.recipe.batch_size,
        precision="bf16" if is_bf16(settings.precision, device()) else "fp32",
        images_per_second=training.total_steps * training.recipe.batch_size / seconds,
        seconds=seconds,
        test_accuracy=top_accuracies(training.averaged, test, places=(1,))[0],
    )


def repeat_figures(task: Task, steps: int) -> RepeatFigures:
    """Search the same theta several times."""
    search, _ = _searching(task, steps)
    trials = _trials(1, task.seed)
    found = [result for _ in range(REPEATS) for result in search(trials)]
    thetas = [result.theta.theta_LO for result in found if result.theta is not None]
    differences = [float(np.abs(theta - thetas[0]).max()) for theta in thetas[1:]]
    return RepeatFigures(repeats=REPEATS, equal=max(differences) == 0, largest_difference=max(differences))


def _searching(task: Task, steps: int) -> tuple[Search, int]:
    """A worker that holds all it needs and searches groups of trials, and how many these have in a run."""
    setup = WorkerSetup(
        space=task.space,
        splits=task.splits,
        weight_sharing=task.form.weight_sharing,
        augmentation=task.augmentation,
        theta=ThetaSettings(steps=steps, batch_size=task.batch),
        samples=SAMPLES,
        seed=task.seed,
        threads=task.threads,
        precision=task.precision,
    )
    weights = supernet_bytes(supernet_on_device(task).state_dict())
    costs = CostTables([analytic_cost_table(task.space)])
    search = partial(_searched, Evaluator(setup, device()), costs, weights)
    return search, most_together(setup, on_gpu=device().type == "cuda")


def _searched(evaluator: Evaluator, costs: CostTables, weights: bytes, trials: Sequence[Job]) -> list[TrialResult]:
    results = [one for one in outcomes_of(evaluator, tuple(trials), costs, weights) if isinstance(one, TrialResult)]
    assert len(results) == len(trials)
    return results


def _trials(count: int, seed: int) -> list[CoefficientTrial]:
    rng = np.random.default_rng(seed)
    return [
        CoefficientTrial(number, 0, Coefficients(alpha=alpha, beta=1.0, gamma=gamma, delta=1.0))
        for number, (alpha, gamma) in enumerate(rng.uniform(0.01, 1, (count, 2)))
    ]
