"""The whole search on NAS-Bench-201, where the true front is known: surrogate-assisted, NSGA-II and random search.

    python benchmarks/nas_bench_201.py --accuracy ACCURACY.csv --accuracy-column COLUMN --cost LATENCY.csv
        --cost-column COLUMN [--cost2 FILE.csv --cost2-column COLUMN] [--evaluations 200 500] [--seeds 5]
        [--beside] [--oracle-gradient] [--quick] [--json] [--out DIR]

An evaluation is one distinct architecture whose accuracy is looked up; an object counts them and refuses more. Costs
may be read freely, as a cost table may. Nothing else of the accuracies reaches a method, except under
`--oracle-gradient`, a row of its own: inner searches on the exact gradient over the whole table, all of whose
architectures are paid for. Hypervolume is that of MODNAS. Claim, for CIFAR-10 and the Raspberry Pi 4 of
HW-NAS-Bench, mean of five seeds: 0.980 after 200 evaluations and 0.9815 after 500, of 0.98289 for the whole table.
Each method runs once a seed, up to the largest number of evaluations, and is read at all of them. Any machine.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from matplotlib.figure import Figure

from benchmarks.options import BenchmarkConfig, check_at_least, read_config
from benchmarks.results import Column, TextTable, draw_curve, print_results, write_results
from benchmarks.tabular.inputs import CellInputs
from benchmarks.tabular.methods import METHODS, Method, Task, one_round_behind, oracle_gradient
from benchmarks.tabular.table import (
    NUMBER_OF_ARCHITECTURES,
    BudgetSpentError,
    Floats,
    LookUps,
    Table,
    TabularExpectation,
    read_table,
)
from moo.visualization.style import BLUE, GREEN, GREY, INK, VERMILION, dress, new_figure
from scripts.interface.command_line import run

if TYPE_CHECKING:
    from typing_extensions import Self

ORACLE = "EXACT GRADIENT (oracle)"
BESIDE = "one round behind"
STEP = 10
"""Evaluations from one point of a curve to the next."""
LEAST_DISTANCE = 1e-6
"""Where bands end on a logarithmic axis."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NasBench201Config(BenchmarkConfig):
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
    beside: bool = False
    """Add a row of the search that chooses each round while the one before it is paid for (`--propose-beside`)."""
    oracle_gradient: bool = False
    """Add a row with exact gradients over the whole table, which no search can have."""
    out: str | None = None
    """Folder for the results and a picture of hypervolume against evaluations, `nas_bench_201.png`."""
    quick: bool = False
    """One seed and 60 evaluations."""

    def __post_init__(self) -> None:
        if not self.evaluations or not all(2 <= number <= NUMBER_OF_ARCHITECTURES for number in self.evaluations):
            raise ValueError(
                f"`--evaluations` must be numbers from 2 to {NUMBER_OF_ARCHITECTURES}, but got "
                f"{' '.join(map(str, self.evaluations)) or 'none'}."
            )
        check_at_least(self, seeds=1)
        if (self.cost2 is None) != (self.cost2_column is None):
            raise ValueError("`--cost2` and `--cost2-column` must be given together, but one of them is missing.")

    def quickened(self) -> Self:
        """One short run of each method."""
        return dataclasses.replace(self, evaluations=(60,), seeds=1)


@dataclass(frozen=True)
class Row:
    """A method after a number of evaluations: mean and standard deviation of hypervolume over the seeds."""

    method: str
    evaluations: int
    mean: float
    sd: float


TABLE = TextTable(
    Column(title="method", width=26, left=True),
    Column(title="evaluations", width=11),
    Column(title="hypervolume", width=12, form=".5f"),
    Column(title="sd", width=8, form=".5f"),
)


def main() -> None:
    """Run all methods, and print a row each."""
    config = read_config(NasBench201Config)
    torch.set_num_threads(1)
    costs = [(Path(config.cost), config.cost_column)]
    if config.cost2 is not None and config.cost2_column is not None:
        costs.append((Path(config.cost2), config.cost2_column))
    table = read_table((Path(config.accuracy), config.accuracy_column), costs)
    methods = dict(METHODS)
    if config.beside:
        methods[BESIDE] = one_round_behind
    if config.oracle_gradient:
        methods[ORACLE] = oracle_gradient(table.error_N)
    numbers = sorted(set(config.evaluations))
    steps = sorted({*numbers, *range(STEP, numbers[-1], STEP)})
    seeds = np.random.SeedSequence(0).spawn(config.seeds)
    curves = {name: hypervolumes(name, method, table, seeds, steps) for name, method in methods.items()}
    whole = table.hypervolume_of(range(len(table.error_N)))
    rows = [
        row_of(name, number, curve_SE[:, steps.index(number)])
        for name, curve_SE in curves.items()
        for number in numbers
    ]
    content = {"settings": asdict(config), "whole_table": whole, "rows": [asdict(row) for row in rows]}
    write_results(config.out, content, {"nas_bench_201.png": lambda: picture(curves, steps, whole, config)})
    print_results(content, lines_of(rows, whole, config.seeds), as_json=config.json)


def row_of(method: str, evaluations: int, hypervolume_S: Floats) -> Row:
    """Mean and standard deviation; the latter is 0 with one seed."""
    deviation = hypervolume_S.std(ddof=min(1, len(hypervolume_S) - 1))
    return Row(method, evaluations, float(hypervolume_S.mean()), float(deviation))


def lines_of(rows: Sequence[Row], whole: float, seeds: int) -> Iterator[str]:
    """The table, with what its figures are above it."""
    yield (
        "errors and costs as in the tables given; "
        f"hypervolume of the whole table: {whole:.5f}; mean and standard deviation of {seeds} seed(s)"
    )
    yield TABLE.head
    for row in rows:
        yield TABLE.row(row.method, row.evaluations, row.mean, row.sd)


def hypervolumes(
    name: str, method: Method, table: Table, seeds: Sequence[np.random.SeedSequence], steps: Sequence[int]
) -> Floats:
    """Hypervolume of each seed's run after each of these numbers of evaluations, shape (seeds, steps)."""
    task = Task(
        tuple(TabularExpectation(cost_N) for cost_N in table.cost_NC.T), table.cost_NC, CellInputs(table.cost_NC)
    )
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


def picture(curves: Mapping[str, Floats], steps: Sequence[int], whole: float, config: NasBench201Config) -> Figure:
    """Hypervolume against evaluations: means, and bands of one standard deviation."""
    costs = " and ".join(filter(None, (config.cost_column, config.cost2_column)))
    seeds = len(next(iter(curves.values())))
    subtitle = f"{config.accuracy_column} and {costs}; mean and standard deviation of {seeds} seed(s)"
    figure = new_figure(8, 5, "NAS-Bench-201: hypervolume as evaluations are paid for", subtitle)
    axes = figure.subplots()
    dress(axes, "architectures whose accuracy was looked up", "distance to the hypervolume of the whole table")
    for (name, curve_SE), colour in zip(curves.items(), (BLUE, VERMILION, GREY, GREEN, INK), strict=False):
        missing_SE = whole - curve_SE
        mean, deviation = missing_SE.mean(0), missing_SE.std(0)
        low, high = (mean - deviation).clip(LEAST_DISTANCE), mean + deviation
        draw_curve(axes, steps, mean, low=low, high=high, colour=colour, label=name)
    axes.set_yscale("log")
    axes.legend(fontsize=9, edgecolor="#DDDDDD")
    return figure


if __name__ == "__main__":
    run(main)
