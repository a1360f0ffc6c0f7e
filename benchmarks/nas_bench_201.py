"""The whole search on NAS-Bench-201, where the true front is known, and its rivals.

    python benchmarks/nas_bench_201.py --accuracy ACCURACY.csv --accuracy-column COLUMN --cost LATENCY.csv
        --cost-column COLUMN [--cost2 FILE.csv --cost2-column COLUMN] [--evaluations 100 200 500] [--seeds 10]
        [--beside] [--exhaustive] [--tpe] [--oracle-gradient] [--quick] [--json] [--out DIR]

An evaluation is one distinct architecture whose accuracy is looked up; an object counts them and refuses more. Costs
may be read freely, as a cost table may. Nothing else of the accuracies reaches a method, except under
`--oracle-gradient`, a row of its own: inner searches on the exact gradient over the whole table, all of whose
architectures are paid for. `--exhaustive` judges all cells in each round, which no larger space allows. Hypervolume is
that of MODNAS. Goal, for CIFAR-10 and the Raspberry Pi 4 of HW-NAS-Bench, mean of ten seeds: 0.980 after 100
evaluations, 0.9823 after 200 and 0.9828 after 500, of 0.98289 for the whole table, in at most 20 s of CPU time; with a
second cost, ahead of the best rival. Each method runs once a seed, up to the largest number of evaluations, and is read
at all of them. Any machine.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from matplotlib.figure import Figure

from benchmarks.options import BenchmarkConfig, check_at_least, read_config
from benchmarks.results import (
    Column,
    TextTable,
    draw_curve,
    half_width,
    print_results,
    with_interval,
    write_results,
)
from benchmarks.tabular.inputs import CellInputs
from benchmarks.tabular.methods import METHODS, Method, Task, all_judged, one_round_behind, oracle_gradient
from benchmarks.tabular.table import (
    NUMBER_OF_ARCHITECTURES,
    BudgetSpentError,
    Floats,
    LookUps,
    Table,
    TabularExpectation,
    read_table,
)
from benchmarks.tabular.tpe import check_installed, tree_parzen
from moo.visualization.style import BLUE, GREEN, GREY, INK, VERMILION, dress, new_figure
from scripts.interface.command_line import run
from search_space.boundary.reading import local_path

if TYPE_CHECKING:
    from typing_extensions import Self

ORACLE = "EXACT GRADIENT (oracle)"
BESIDE = "one round behind"
EXHAUSTIVE = "bayesian, all cells judged"
TPE = "Optuna's TPE"
STEP = 10
"""Evaluations from one point of a curve to the next."""
MORE = ("#CC79A7", "#56B4E9", "#E69F00")
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
    exhaustive: bool = False
    """Add a row of the Gaussian process without a search: all cells are judged in each round."""
    tpe: bool = False
    """Add a row of Optuna's TPE; needs the extra `rivals`."""
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A method after a number of evaluations: hypervolume over the seeds."""

    method: str
    evaluations: int
    mean: float
    sd: float
    """Standard deviation; 0 with one seed."""
    interval: float
    """Half width of the 95 % interval of the mean (Student's t); 0 with one seed."""
    seconds: float | None
    """CPU time of a whole search, mean; at its largest number of evaluations."""


TABLE = TextTable(
    Column(title="method", width=26, left=True),
    Column(title="evaluations", width=11),
    Column(title="hypervolume (95 % interval)", width=28, left=True),
    Column(title="sd", width=8, form=".5f"),
    Column(title="CPU", width=6, form=".0f", unit=" s"),
)


def main() -> None:
    """Run all methods, and print a row each."""
    config = read_config(NasBench201Config)
    if config.tpe:
        check_installed()
    torch.set_num_threads(1)
    costs = [(local_path(config.cost), config.cost_column)]
    if config.cost2 is not None and config.cost2_column is not None:
        costs.append((local_path(config.cost2), config.cost2_column))
    table = read_table((local_path(config.accuracy), config.accuracy_column), costs)
    methods = dict(METHODS)
    if config.beside:
        methods[BESIDE] = one_round_behind
    if config.exhaustive:
        methods[EXHAUSTIVE] = all_judged
    if config.tpe:
        methods[TPE] = tree_parzen
    if config.oracle_gradient:
        methods[ORACLE] = oracle_gradient(table.error_N)
    numbers = sorted(set(config.evaluations))
    steps = sorted({*numbers, *range(STEP, numbers[-1], STEP)})
    seeds = np.random.SeedSequence(0).spawn(config.seeds)
    runs = {name: searched(name, method, table, seeds, steps) for name, method in methods.items()}
    curves = {name: curve_SE for name, (curve_SE, _) in runs.items()}
    whole = table.hypervolume_of(range(len(table.error_N)))
    rows = [
        row_of(name, number, curve_SE[:, steps.index(number)], seconds if number == numbers[-1] else None)
        for name, (curve_SE, seconds) in runs.items()
        for number in numbers
    ]
    content = {"settings": asdict(config), "whole_table": whole, "rows": [asdict(row) for row in rows]}
    write_results(config.out, content, {"nas_bench_201.png": lambda: picture(curves, steps, whole, config)})
    print_results(content, lines_of(rows, whole, config.seeds), as_json=config.json)


def row_of(method: str, evaluations: int, hypervolume_S: Floats, seconds: float | None) -> Row:
    """Mean, standard deviation and interval; the latter two are 0 with one seed."""
    deviation = float(hypervolume_S.std(ddof=min(1, len(hypervolume_S) - 1)))
    mean, half = float(hypervolume_S.mean()), half_width(hypervolume_S)
    return Row(method=method, evaluations=evaluations, mean=mean, sd=deviation, interval=half, seconds=seconds)


def lines_of(rows: Sequence[Row], whole: float, seeds: int) -> Iterator[str]:
    """The table, with what its figures are above it."""
    yield (
        "errors and costs as in the tables given; "
        f"hypervolume of the whole table: {whole:.5f}; mean and standard deviation over {seeds} seed(s)"
    )
    yield TABLE.head
    for row in rows:
        yield TABLE.row(row.method, row.evaluations, with_interval(row.mean, row.interval), row.sd, row.seconds)


def searched(
    name: str, method: Method, table: Table, seeds: Sequence[np.random.SeedSequence], steps: Sequence[int]
) -> tuple[Floats, float]:
    """One run a seed.

    Returns:
        Hypervolume after each of these numbers of evaluations (seeds, steps), and the mean CPU time of a run in s.
    """
    task = Task(
        tuple(TabularExpectation(cost_N) for cost_N in table.cost_NC.T), table.cost_NC, CellInputs(table.cost_NC)
    )
    curves, seconds = [], []
    for place, seed in enumerate(seeds):
        start = time.process_time()
        lookups = LookUps(table, steps[-1])
        with contextlib.suppress(BudgetSpentError):
            method(task, lookups, np.random.default_rng(seed))
        seconds.append(time.process_time() - start)
        curves.append([table.hypervolume_of(lookups.places[:number]) for number in steps])
        sys.stderr.write(f"{name}: run {place + 1} of {len(seeds)}, {curves[-1][-1]:.5f}, {seconds[-1]:.0f} s\n")
    return np.array(curves), float(np.mean(seconds))


def picture(curves: Mapping[str, Floats], steps: Sequence[int], whole: float, config: NasBench201Config) -> Figure:
    """Hypervolume against evaluations: means, and bands of one standard deviation."""
    costs = " and ".join(filter(None, (config.cost_column, config.cost2_column)))
    seeds = len(next(iter(curves.values())))
    subtitle = f"{config.accuracy_column} and {costs}; mean and standard deviation of {seeds} seed(s)"
    figure = new_figure(8, 5, "NAS-Bench-201: hypervolume as evaluations are paid for", subtitle)
    axes = figure.subplots()
    dress(axes, "architectures whose accuracy was looked up", "distance to the hypervolume of the whole table")
    for (name, curve_SE), colour in zip(curves.items(), (BLUE, INK, VERMILION, GREY, GREEN, *MORE), strict=False):
        missing_SE = whole - curve_SE
        mean, deviation = missing_SE.mean(0), missing_SE.std(0)
        low, high = (mean - deviation).clip(LEAST_DISTANCE), mean + deviation
        draw_curve(axes, steps, mean, low=low, high=high, colour=colour, label=name)
    axes.set_yscale("log")
    axes.legend(fontsize=9, edgecolor="#DDDDDD")
    return figure


if __name__ == "__main__":
    run(main)
