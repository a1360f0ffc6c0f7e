"""The whole search on NAS-Bench-201, where the true front is known: steered tuples, NSGA-II, random search.

    python benchmarks/nas_bench_201.py --accuracy ACCURACY.csv --accuracy-column COLUMN --cost LATENCY.csv
        --cost-column COLUMN [--cost2 FILE.csv --cost2-column COLUMN] [--evaluations 200 500] [--seeds 5]
        [--oracle-gradient] [--quick] [--json] [--out DIR]

An evaluation is one distinct architecture whose accuracy is looked up; an object counts them and refuses more. Costs
may be read freely, as a cost table may. Nothing else of the accuracies reaches a method, except under
`--oracle-gradient`, a row of its own: inner searches on the exact gradient over the whole table, all of whose
architectures are paid for. Hypervolume is that of MODNAS. Claim, for CIFAR-10 and the Raspberry Pi 4 of
HW-NAS-Bench, mean of five seeds: 0.980 after 200 evaluations and 0.9815 after 500, of 0.98289 for the whole table.
Each method runs once a seed, up to the largest number of evaluations, and is read at all of them. Any machine.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from benchmarks.nas_bench_201_table import (
    HIGHEST_ERROR,
    SHAPE,
    BudgetSpentError,
    Floats,
    Integers,
    LookUps,
    Table,
    TabularExpectation,
    all_architectures,
    read_table,
)
from dnas.surrogate import Hyperparameters, ScoreScale, fit_surrogate
from dnas.surrogate_search import AS_THEY_ARE, ExpectedCost, SurrogateSearchSettings, search_thetas
from moo.algorithms.acquisition import EvaluatedArchitectures
from moo.algorithms.genomes import ArchitectureGenome, CoefficientBounds
from moo.algorithms.nsga2 import Evolution, categorical_variation
from moo.algorithms.surrogate_assisted import SurrogateAssistedSettings, candidates_of, propose
from moo.visualization.style import BLUE, GREEN, GREY, VERMILION, dress, new_figure
from scripts.command_line import parse, run

BOUNDS = CoefficientBounds(alpha=(0.003, 30.0), beta=(0.3, 2.0), gamma=(0.003, 30.0), delta=(0.3, 2.0))
FIRST = 40
"""Random architectures that the first surrogate is fitted to."""
ROUND = 10
"""Architectures paid for between two fits."""
FIRST_ITERATIONS, ITERATIONS = 40, 15
"""Of fits from the prior, and from an earlier fit."""
POPULATION = 20
"""Of NSGA-II, on architectures and, with exact gradients, on tuples."""
SEARCH = SurrogateSearchSettings(steps=50, entropy_weight=0.05)
"""Of theta, tuned on other seeds than those reported."""
ORACLE_SAMPLES = 4
"""Architectures paid for with each tuple's mode, where gradients are exact."""


@dataclass(frozen=True)
class NasBench201Config:
    """Search NAS-Bench-201 by its tables."""

    accuracy: str
    """CSV file of all architectures, with `index` and `arch_str`."""
    accuracy_column: str
    """Its column of accuracy in percent."""
    cost: str
    """CSV file with `index` and a cost."""
    cost_column: str
    """Its column."""
    cost2: str | None = None
    """CSV file of a second cost, as energy."""
    cost2_column: str | None = None
    """Its column."""
    evaluations: tuple[int, ...] = (200,)
    """Numbers of evaluated architectures at which methods are compared."""
    seeds: int = 5
    """Runs of each method."""
    oracle_gradient: bool = False
    """Add a row with exact gradients over the whole table, which no search can have."""
    quick: bool = False
    """One seed and 60 evaluations."""
    json: bool = False
    """Print JSON."""
    out: str | None = None
    """Folder for a picture of hypervolume against evaluations, `nas_bench_201.png`."""

    def __post_init__(self) -> None:
        if not self.evaluations or not all(2 <= number <= np.prod(SHAPE) for number in self.evaluations):
            raise ValueError(
                f"`--evaluations` must be numbers from 2 to {np.prod(SHAPE)}, but got "
                f"{' '.join(map(str, self.evaluations)) or 'none'}."
            )
        if self.seeds < 1:
            raise ValueError(f"`--seeds >= 1` must hold, but got {self.seeds}.")
        if (self.cost2 is None) != (self.cost2_column is None):
            raise ValueError("`--cost2` and `--cost2-column` must be given together, but one of them is missing.")


@dataclass(frozen=True)
class Task:
    """What a method may know: the costs."""

    costs: tuple[ExpectedCost, ...]
    cost_NC: Floats

    def objectives(self, indices: tuple[int, ...], lookups: LookUps) -> tuple[float, float, float]:
        """Error, which is paid for, and costs; 0 stands for a missing second one."""
        costs = [*self.cost_NC[np.ravel_multi_index(indices, SHAPE)], 0.0]
        return lookups.error_of(indices), float(costs[0]), float(costs[1])


Method = Callable[[Task, LookUps, np.random.Generator], None]
"""Looks up until nothing is left, or BudgetSpentError ends it."""


def steered_tuples(task: Task, lookups: LookUps, rng: np.random.Generator) -> None:
    """The project's search: tuples on a surrogate of what was paid for, in rounds."""
    everything_NL = all_architectures()
    order_N = rng.permutation(len(everything_NL))
    error_of = {tuple(indices): lookups.error_of(indices) for indices in everything_NL[order_N[:FIRST]].tolist()}
    start: Hyperparameters | None = None
    while lookups.left:
        evaluated = EvaluatedArchitectures(np.array(list(error_of)), np.array(list(error_of.values())))
        surrogate = fit_surrogate(
            evaluated.indices_NL,
            evaluated.error_N,
            num_operators=SHAPE[0],
            start=start,
            iterations=FIRST_ITERATIONS if start is None else ITERATIONS,
        )
        start = surrogate.hyperparameters
        counted_N = evaluated.error_N[evaluated.error_N < HIGHEST_ERROR]
        choices = propose(
            surrogate,
            AS_THEY_ARE,
            task.costs,
            evaluated,
            BOUNDS,
            reference_M=np.array([1.05 * counted_N.max(initial=0.1), *task.cost_NC.max(0)]),
            num_operators=SHAPE[0],
            count=min(ROUND, lookups.left),
            settings=SurrogateAssistedSettings(search=SEARCH),
            rng=rng,
        )
        chosen = [choice.indices for choice in choices] or [tuple(rng.choice(everything_NL).tolist())]
        error_of |= {indices: lookups.error_of(indices) for indices in chosen}


def nsga2_on_architectures(task: Task, lookups: LookUps, rng: np.random.Generator) -> None:
    """NSGA-II whose genes are the operators of the edges."""
    evolution = Evolution(
        ArchitectureGenome(len(SHAPE), SHAPE[0]),
        population=POPULATION,
        seed=int(rng.integers(2**31)),
        variation=categorical_variation(),
    )
    while lookups.left:
        asked = evolution.ask(POPULATION) or [tuple(rng.integers(SHAPE).tolist())]
        evolution.tell([(indices, task.objectives(indices, lookups)) for indices in asked])


def random_search(task: Task, lookups: LookUps, rng: np.random.Generator) -> None:
    """Different architectures, all equally likely."""
    for indices in all_architectures()[rng.permutation(np.prod(SHAPE))].tolist():
        lookups.error_of(indices)


class ExactModel:
    """The expected score over the whole table: more than a search can know. Only its gradient is used."""

    def __init__(self, error_N: Floats) -> None:
        self._error_N = error_N
        self._expectation = TabularExpectation(ScoreScale.of(error_N).scores(error_N))

    def expected_score(self, probs_TLO: Tensor) -> Tensor:
        """See `moo.algorithms.acquisition.AccuracyModel`."""
        return self._expectation(probs_TLO)

    def predict(self, indices_CL: Integers) -> tuple[Floats, Floats]:
        """See `moo.algorithms.acquisition.AccuracyModel`."""
        error_C = self._error_N[np.ravel_multi_index(tuple(indices_CL.T), SHAPE)]
        return error_C, np.zeros(len(error_C))

    def sample_errors(self, indices_CL: Integers, count: int, rng: np.random.Generator) -> Floats:
        """See `moo.algorithms.acquisition.AccuracyModel`."""
        return np.repeat(self.predict(indices_CL)[0][None], count, 0)


def oracle_gradient(error_N: Floats) -> Method:
    """NSGA-II on tuples whose inner searches have exact gradients; mode and samples are paid for, none is left out."""
    model = ExactModel(error_N)

    def search(task: Task, lookups: LookUps, rng: np.random.Generator) -> None:
        evolution = Evolution(BOUNDS, population=POPULATION, seed=int(rng.integers(2**31)))
        while lookups.left:
            asked = evolution.ask(POPULATION)
            theta_TLO = search_thetas(model, AS_THEY_ARE, task.costs, asked, (len(SHAPE), SHAPE[0]), SEARCH, rng)
            outcomes = []
            for coefficients, theta_LO in zip(asked, theta_TLO, strict=True):
                drawn_CL, _ = candidates_of(theta_LO[None], ORACLE_SAMPLES, rng)
                objectives = [task.objectives(tuple(indices), lookups) for indices in drawn_CL.tolist()]
                outcomes.append((coefficients, objectives[0]))
            evolution.tell(outcomes)

    return search


def main() -> None:
    """Run all methods, and print a row each."""
    config = parse(NasBench201Config)
    torch.set_num_threads(1)
    costs = [(Path(config.cost), config.cost_column)]
    if config.cost2 is not None and config.cost2_column is not None:
        costs.append((Path(config.cost2), config.cost2_column))
    table = read_table((Path(config.accuracy), config.accuracy_column), costs)
    numbers = (60,) if config.quick else tuple(sorted(set(config.evaluations)))
    methods: dict[str, Method] = {
        "steered tuples": steered_tuples,
        "NSGA-II on architectures": nsga2_on_architectures,
        "random search": random_search,
    }
    if config.oracle_gradient:
        methods["tuples, EXACT GRADIENT"] = oracle_gradient(table.error_N)
    steps = sorted({*numbers, *range(10, numbers[-1], 10)})
    seeds = np.random.SeedSequence(0).spawn(1 if config.quick else config.seeds)
    curves = {name: hypervolumes(name, method, table, seeds, steps) for name, method in methods.items()}
    whole = table.hypervolume_of(range(len(table.error_N)))
    rows = [
        {"method": name, "evaluations": number, "mean": float(at.mean()), "sd": float(at.std(ddof=min(1, len(at) - 1)))}
        for name, curve_SE in curves.items()
        for number in numbers
        for at in [curve_SE[:, steps.index(number)]]
    ]
    if config.out is not None:
        Path(config.out).mkdir(parents=True, exist_ok=True)
        picture(curves, steps, whole, config).savefig(Path(config.out) / "nas_bench_201.png")
    if config.json:
        print(json.dumps({"settings": asdict(config), "whole_table": whole, "rows": rows}, indent=1))
        return
    print(
        "errors and costs as in the tables given; "
        f"hypervolume of the whole table: {whole:.5f}; mean and standard deviation of {len(seeds)} seed(s)"
    )
    print(f"{'method':<26} {'evaluations':>11} {'hypervolume':>12} {'sd':>8}")
    for row in rows:
        print(f"{row['method']:<26} {row['evaluations']:>11} {row['mean']:>12.5f} {row['sd']:>8.5f}")


def hypervolumes(
    name: str, method: Method, table: Table, seeds: list[np.random.SeedSequence], steps: list[int]
) -> Floats:
    """Hypervolume of each seed's run after each of these numbers of evaluations, shape (seeds, steps)."""
    task = Task(tuple(TabularExpectation(cost_N) for cost_N in table.cost_NC.T), table.cost_NC)
    curves = []
    for place, seed in enumerate(seeds):
        start = time.perf_counter()
        lookups = LookUps(table, steps[-1])
        with contextlib.suppress(BudgetSpentError):
            method(task, lookups, np.random.default_rng(seed))
        curves.append([table.hypervolume_of(lookups.places[:number]) for number in steps])
        seconds = time.perf_counter() - start
        sys.stderr.write(f"{name}: run {place + 1} of {len(seeds)}, {curves[-1][-1]:.5f}, {seconds:.0f} s\n")
    return np.array(curves)


def picture(curves: dict[str, Floats], steps: list[int], whole: float, config: NasBench201Config) -> Figure:
    """Hypervolume against evaluations: means, and bands of one standard deviation."""
    costs = " and ".join(filter(None, (config.cost_column, config.cost2_column)))
    seeds = len(next(iter(curves.values())))
    subtitle = f"{config.accuracy_column} and {costs}; mean and standard deviation of {seeds} seed(s)"
    figure = new_figure(8, 5, "NAS-Bench-201: hypervolume as evaluations are paid for", subtitle)
    axes = figure.subplots()
    dress(axes, "architectures whose accuracy was looked up", "distance to the hypervolume of the whole table")
    for (name, curve_SE), colour in zip(curves.items(), (BLUE, VERMILION, GREY, GREEN), strict=False):
        missing_SE = whole - curve_SE
        mean, deviation = missing_SE.mean(0), missing_SE.std(0)
        axes.plot(steps, mean, color=colour, linewidth=2.0, label=name)
        axes.fill_between(steps, (mean - deviation).clip(1e-6), mean + deviation, color=colour, alpha=0.2, linewidth=0)
    axes.set_yscale("log")
    axes.legend(fontsize=9, edgecolor="#DDDDDD")
    return figure


if __name__ == "__main__":
    run(main)
