"""The project's method against its rivals, at equal wall time after shared pre-training.

    python benchmarks/rivals.py --dataset cifar10 --budget-seconds 120 --seeds 5 --out runs/rivals

Methods (`--method` of pareto_search.py): `dnas`, `random`, `grid`, `architectures`, `bayesian`; and `dnas-supernet`,
which is `dnas` without the surrogate, `dnas-coefficients` and `dnas-neighbours`, whose later generations have one
source of candidates only. All have the same supernet, splits, cost table, workers and store; each method has a turn
for each seed, in changing order. What had ended when the time was over counts. Costs are those of a table: nothing is
measured, so that no method waits for a board. A second table compares after equal numbers of evaluations.

Goal, on CIFAR-10 with `fbnet-micro` and with 22 layers (`--space benchmarks/fbnet-cifar-narrow.yaml`): `dnas` is level
with the best on the one, and ahead of all on the other. After an interruption the same command resumes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import moocore
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from benchmarks.options import check_at_least, check_positive, read_config
from benchmarks.results import (
    LINE_WIDTH,
    Column,
    TextTable,
    draw_curve,
    half_width,
    print_results,
    with_interval,
    write_results,
)
from benchmarks.searches import SearchBenchmarkConfig, loaded, search_front, shared_start
from moo.config import CandidatesFrom, Method
from moo.search.preparation import Preparation
from moo.storage.archive import reference_point_of
from moo.storage.pareto import hypervolume, non_dominated
from moo.storage.run_folder import RunFolder
from moo.storage.store import open_store
from moo.visualization.style import BLUE, GREEN, GREY, INK, VERMILION, dress, new_figure
from scripts.interface.command_line import run

if TYPE_CHECKING:
    from typing_extensions import Self

Floats = npt.NDArray[np.float64]
PURPLE, SKY, ORANGE = "#CC79A7", "#56B4E9", "#E69F00"
GRID_POPULATION = 6


@dataclass(frozen=True)
class Rival:
    """A method as it is compared."""

    method: Method
    colour: str
    surrogate: bool = True
    """Whether `dnas` goes on with a surrogate after its first generation."""
    candidates: CandidatesFrom = "both"
    """Where it has its candidates from then."""


RIVALS = {
    "dnas": Rival("dnas", BLUE),
    "dnas-supernet": Rival("dnas", GREEN, surrogate=False),
    "dnas-coefficients": Rival("dnas", SKY, candidates="coefficients"),
    "dnas-neighbours": Rival("dnas", ORANGE, candidates="neighbours"),
    "bayesian": Rival("bayesian", INK),
    "random": Rival("random", GREY),
    "grid": Rival("grid", PURPLE),
    "architectures": Rival("architectures", VERMILION),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class RivalsConfig(SearchBenchmarkConfig):
    """Search by several methods for equal time, and compare their fronts."""

    budget_seconds: float = 120.0
    """Time of each search, without pre-training."""
    seeds: int = 5
    """Searches by each method."""
    methods: tuple[str, ...] = tuple(RIVALS)
    """What is compared."""
    grid: int = 36
    """Points of the grid."""
    evaluations: tuple[int, ...] = (40, 72, 104, 152)
    """Numbers of evaluated architectures after which methods are compared, too."""
    out: str = "runs/rivals"
    """Folder to write into, or to resume in."""
    quick: bool = False
    """Two seeds, 20 s each, a short pre-training."""

    def __post_init__(self) -> None:
        if unknown := set(self.methods) - set(RIVALS):
            raise ValueError(f"`--methods` must be among {', '.join(RIVALS)}, but got {', '.join(sorted(unknown))}.")
        check_at_least(self, seeds=1, workers=1, grid=1, evaluations=1)
        check_positive(self, "budget_seconds")

    def quickened(self) -> Self:
        """Short searches after a short pre-training."""
        return replace(self, seeds=2, budget_seconds=20.0, pretrain_epochs=self.pretrain_epochs or 8)

    @property
    def turns(self) -> list[tuple[str, int]]:
        """Methods and seeds of all searches; the order of the methods changes from seed to seed."""
        return [
            (self.methods[(place + seed) % len(self.methods)], seed)
            for seed in range(self.seeds)
            for place in range(len(self.methods))
        ]


@dataclass(frozen=True)
class Found:
    """What one search found within its time."""

    method: str
    seed: int
    seconds_N: Floats
    """When each architecture was known, from the beginning of the search."""
    points_NM: Floats
    """Error, latency in ms and energy in mJ."""

    def hypervolume(self, reference_M: Floats, seconds: float = float("inf")) -> float:
        """Of what was known at a time."""
        return hypervolume(self.points_NM[self.seconds_N <= seconds], reference_M)

    def hypervolume_after(self, reference_M: Floats, evaluations: int) -> float | None:
        """Of the first architectures; None where there were fewer."""
        if len(self.seconds_N) < evaluations:
            return None
        return hypervolume(self.points_NM[np.argsort(self.seconds_N, kind="stable")[:evaluations]], reference_M)


@dataclass(frozen=True, kw_only=True, slots=True)
class RowAfter:
    """A method after a number of evaluations."""

    method: str
    evaluations: int
    hypervolume: float
    interval: float
    """As of a `Row`."""
    seeds: int
    """Searches that came so far within their time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A method: means over its seeds."""

    method: str
    hypervolume: float
    interval: float
    """Half width of the 95 % interval of the mean (Student's t); 0 with one seed."""
    of_dnas: float | None
    """Ratio to the hypervolume of `dnas`, where that is compared too."""
    igd_plus: float
    architectures: float
    seeds: int


TABLE = TextTable(
    Column(title="method", width=15, left=True),
    Column(title="hypervolume (95 % interval)", width=29, left=True),
    Column(title="of dnas", width=8, form=".3f"),
    Column(title="IGD+", width=8, form=".4f"),
    Column(title="architectures", width=14, form=".0f"),
    Column(title="seeds", width=6),
)
TABLE_AFTER = TextTable(
    Column(title="method", width=15, left=True),
    Column(title="evaluations", width=11),
    Column(title="hypervolume (95 % interval)", width=29, left=True),
    Column(title="seeds", width=6),
)


def main() -> None:
    """Search, print one row a method, and draw."""
    config = read_config(RivalsConfig)
    base = loaded(replace(config.search_config("shared"), minutes=config.budget_seconds / 60))
    table, supernet = shared_start(base)
    reference_M = np.array(reference_point_of(table, base.dataset.reference_error))
    found = []
    for number, (method, seed) in enumerate(config.turns, start=1):
        found.append(searched(config, base, method, seed, supernet))
        reached = found[-1].hypervolume(reference_M)
        known = len(found[-1].seconds_N)
        sys.stderr.write(
            f"{number} of {len(config.turns)}: {method}, seed {seed}: {known} architectures, {reached:.4f}\n"
        )
    rows = compared(found, reference_M, config.methods)
    methods = [asdict(row) for row in rows]
    after = compared_after(found, reference_M, config)
    content = {"budget_seconds": config.budget_seconds, "methods": methods, "after": [asdict(row) for row in after]}
    write_results(config.out, content, {"rivals.png": lambda: draw(found, reference_M, config)})
    print_results(content, table_lines(rows, after, config), as_json=config.json)


def searched(config: RivalsConfig, base: Preparation, name: str, seed: int, supernet: bytes) -> Found:
    """One search, or what it found when it was done before."""
    folder, rival = RunFolder(config.folder / f"{name}-{seed}"), RIVALS[name]
    done = folder.path / "found.npz"
    if not done.exists():
        # The splits stay those that the supernet was pre-trained with; the seed decides all else.
        settings = replace(
            base.config, seed=seed, out=str(folder.path), method=rival.method, candidates=rival.candidates
        )
        if not rival.surrogate:
            settings = replace(settings, supernet_generations=10**6)
        if rival.method == "grid":
            settings = replace(settings, population=GRID_POPULATION, generations=-(-config.grid // GRID_POPULATION))
        search_front(base, settings, listener=lambda _event: None, supernet=supernet)
        seconds_N, points_NM = known_within(folder, config.budget_seconds)
        np.savez(done, seconds_N=seconds_N, points_NM=points_NM)
    with np.load(done) as arrays:
        return Found(name, seed, arrays["seconds_N"], arrays["points_NM"])


def known_within(folder: RunFolder, budget_seconds: float) -> tuple[Floats, Floats]:
    """When each architecture was known, and its objectives, as far as the time allowed."""
    with closing(open_store(folder.store)) as store:
        rows = [row for row in store.known_at() if row[0] <= budget_seconds]
    return np.array([row[0] for row in rows]), np.array([row[1] for row in rows]).reshape(-1, 3)


def compared(found: Sequence[Found], reference_M: Floats, methods: Sequence[str]) -> list[Row]:
    """A row a method, the best first."""
    points_NM = np.concatenate([search.points_NM for search in found])
    best_NM = points_NM[non_dominated(points_NM)] / reference_M
    volumes = {
        method: [search.hypervolume(reference_M) for search in found if search.method == method] for method in methods
    }
    ours = float(np.mean(volumes["dnas"])) if "dnas" in volumes else None
    rows = []
    for method, values in volumes.items():
        searches = [search for search in found if search.method == method]
        mean = float(np.mean(values))
        igd = [moocore.igd_plus(search.points_NM / reference_M, ref=best_NM) for search in searches]
        rows.append(
            Row(
                method=method,
                hypervolume=mean,
                interval=half_width(values),
                of_dnas=None if ours is None else mean / ours,
                igd_plus=float(np.mean(igd)),
                architectures=float(np.mean([len(search.seconds_N) for search in searches])),
                seeds=len(values),
            )
        )
    return sorted(rows, key=lambda row: -row.hypervolume)


def compared_after(found: Sequence[Found], reference_M: Floats, config: RivalsConfig) -> list[RowAfter]:
    """A row for each number of evaluations and each method that came so far."""
    rows = []
    for evaluations in config.evaluations:
        for method in config.methods:
            searches = [search for search in found if search.method == method]
            reached = [search.hypervolume_after(reference_M, evaluations) for search in searches]
            values = [value for value in reached if value is not None]
            if values:
                rows.append(
                    RowAfter(
                        method=method,
                        evaluations=evaluations,
                        hypervolume=float(np.mean(values)),
                        interval=half_width(values),
                        seeds=len(values),
                    )
                )
    return rows


def table_lines(rows: Sequence[Row], after: Sequence[RowAfter], config: RivalsConfig) -> Iterator[str]:
    """The table, and what its figures are."""
    yield TABLE.head
    for row in rows:
        interval = with_interval(row.hypervolume, row.interval)
        yield TABLE.row(row.method, interval, row.of_dnas, row.igd_plus, row.architectures, row.seeds)
    yield ""
    yield TABLE_AFTER.head
    for after_row in after:
        interval = with_interval(after_row.hypervolume, after_row.interval)
        yield TABLE_AFTER.row(after_row.method, after_row.evaluations, interval, after_row.seeds)
    yield f"errors with inherited weights, costs as the table of {config.device} predicts them"
    yield f"Pictures: {config.folder / 'rivals.png'}"


def draw(found: Sequence[Found], reference_M: Floats, config: RivalsConfig) -> Figure:
    """Hypervolume over time with the range over seeds, and median attainment surfaces of error and latency."""
    subtitle = (
        f"{config.space}, {config.budget_seconds:g} s after shared pre-training, {config.seeds} seeds; "
        "errors with inherited weights, costs modelled"
    )
    figure = new_figure(13, 5.4, "The project's method and its rivals at equal time", subtitle)
    left, right = figure.subplots(1, 2)
    dress(left, "seconds of search", "hypervolume (line: mean; band: lowest to highest)")
    dress(right, "latency (ms, modelled)", "error (selection split)")
    times = np.linspace(0, config.budget_seconds, 121)
    for method in config.methods:
        searches = [search for search in found if search.method == method]
        curves = np.array([[search.hypervolume(reference_M, time) for time in times] for search in searches])
        low, high, colour = curves.min(0), curves.max(0), RIVALS[method].colour
        draw_curve(left, times, curves.mean(0), low=low, high=high, colour=colour, label=method)
        points = np.concatenate([search.points_NM[:, [1, 0]] for search in searches])
        seeds = np.concatenate([np.full(len(search.points_NM), search.seed) for search in searches])
        surface = moocore.eaf(points, seeds, percentiles=[50])
        order = np.argsort(surface[:, 0])
        right.step(surface[order, 0], surface[order, 1], where="post", color=colour, linewidth=LINE_WIDTH, label=method)
    best = max(search.hypervolume(reference_M) for search in found)
    left.set_ylim(bottom=0.7 * best)
    right.set_title("median attainment surface", fontsize=10.5, loc="left")
    left.legend(loc="upper left", fontsize=9)
    right.legend(loc="upper right", fontsize=9)
    return figure


if __name__ == "__main__":
    run(main)
