"""What measured costs are worth: the same search by a measured cost table and by multiply-accumulates (MACs).

    python scripts/profile_device.py --device host --space fbnet-micro --threads 1 --precision fp32 --out host.json
    python benchmarks/cost_tables/macs.py --dataset cifar10 --device host.json --seeds 5 --out runs/macs

Each seed searches twice with the same supernet, images and settings, for as many generations: once with the table, once
with a table whose latency and energy are MACs. Networks of both fronts are then measured on the board (`--board`), by
turns, as many of each front, spread over it; hypervolume, and latency and energy at equal error, are those of what was
measured. Errors are those of inherited weights. After an interruption the same command resumes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from benchmarks.options import check_at_least, read_config
from benchmarks.results import Column, TextTable, half_width, print_results, with_interval, write_results
from benchmarks.searches import SearchBenchmarkConfig, loaded, search_front, shared_start
from devices.cost_tables.cost_table import CostTable
from devices.cost_tables.family import CostTables
from devices.factory import is_device_name, open_device
from devices.measurement import MeasureSettings
from devices.profiling.profile import measured_network
from moo.search.preparation import Preparation
from moo.storage.archive import Archive
from moo.storage.pareto import hypervolume
from moo.visualization.style import BLUE, VERMILION, dress, new_figure
from scripts.interface.command_line import run
from search_space.block_graph import count_tables
from search_space.boundary.text import shown
from search_space.boundary.writing import write_json
from search_space.spaces import FBNetSpace

if TYPE_CHECKING:
    from typing_extensions import Self

Floats = npt.NDArray[np.float64]
Cost = Literal["measured", "MACs"]
COSTS: tuple[Cost, ...] = ("measured", "MACs")
COLOURS = {"measured": BLUE, "MACs": VERMILION}
LEVELS = 41
"""Errors at which costs are compared."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MacsConfig(SearchBenchmarkConfig):
    """Search by measured costs and by MACs, and measure what both found."""

    device: str = "host.json"
    """Cost table that was measured on the board."""
    board: str = "host"
    """Where networks are measured at the end, as `--device` of pareto_search.py."""
    seeds: int = 5
    """Searches by each cost."""
    generations: int = 3
    """Of each search."""
    networks: int = 12
    """Measured of each front, at most."""
    out: str = "runs/macs"
    """Folder to write into, or to resume in."""
    quick: bool = False
    """One seed, two generations, a short pre-training, four networks."""

    def __post_init__(self) -> None:
        check_at_least(self, seeds=1, workers=1, generations=1, networks=2)
        if not is_device_name(self.board):
            raise ValueError(f"`--board` must be `host` or `ssh://[USER@]HOST[:PORT]`, but got {shown(self.board)}.")

    def quickened(self) -> Self:
        """A short search by each."""
        return replace(self, seeds=1, generations=2, networks=4, pretrain_epochs=self.pretrain_epochs or 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """Networks of a front as they were measured."""

    cost: Cost
    """That they were searched by."""
    seed: int
    points_NM: Floats
    """Error, latency in ms and energy in mJ."""

    def cheapest(self, error: float, column: int) -> float:
        """Least cost of a network of at most this error; infinite where there is none."""
        points_NM = self.points_NM[self.points_NM[:, 0] <= error]
        return float(points_NM[:, column].min()) if len(points_NM) else float("inf")


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """Searches by one cost: means over the seeds."""

    cost: Cost
    hypervolume: float
    interval: float
    """Half width of the 95 % interval of the mean (Student's t); 0 with one seed."""
    networks: float


TABLE = TextTable(
    Column(title="searched by", width=12, left=True),
    Column(title="hypervolume (95 % interval)", width=29, left=True),
    Column(title="networks", width=9, form=".1f"),
)


def main() -> None:
    """Search, measure, print a row for each cost and what costs less at equal error, and draw."""
    config = read_config(MacsConfig)
    base = loaded(config.search_config("shared"))
    table, supernet = shared_start(base)
    tables: dict[Cost, CostTables] = {"measured": table, "MACs": CostTables([macs_table(table.base, base.space)])}
    found = []
    for seed in range(config.seeds):
        done = config.folder / f"measured-{seed}.json"
        if not done.exists():
            fronts = {}
            for cost in COSTS[:: 1 if seed % 2 else -1]:
                settings = replace(
                    base.config, seed=seed, generations=config.generations, out=str(config.folder / f"{cost}-{seed}")
                )
                own = replace(base, cost_tables=tables[cost])
                fronts[cost] = spread(
                    search_front(own, settings, listener=lambda _event: None, supernet=supernet), config.networks
                )
            write_json(done, measured(fronts, base, config.board))
        points = json.loads(done.read_text())
        found += [Measured(cost=cost, seed=seed, points_NM=np.array(points[cost])) for cost in COSTS]
        sys.stderr.write(f"{seed + 1} of {config.seeds} seeds\n")
    reference_M = reference_of(found)
    rows = [row_of(cost, [one for one in found if one.cost == cost], reference_M) for cost in COSTS]
    ratios = {name: ratios_at_equal_error(found, column) for name, column in (("latency", 1), ("energy", 2))}
    medians = {name: float(np.median(ratio_N)) for name, ratio_N in ratios.items()}
    content = {"rows": [asdict(row) for row in rows], "measured_over_macs_at_equal_error": medians}
    write_results(str(config.folder), content, {"macs.png": lambda: draw(found, config)})
    print_results(content, lines_of(rows, ratios, config), as_json=config.json)


def macs_table(table: CostTable, space: FBNetSpace) -> CostTable:
    """A table in whose place of latency and energy are MACs, at the scale of the other's mean network."""
    macs_LO, fixed_macs = count_tables(space)[0]
    latency = (table.latency_ms.mean(1).sum() + table.fixed_latency_ms) / (macs_LO.mean(1).sum() + fixed_macs)
    energy = (table.energy_mj.mean(1).sum() + table.fixed_energy_mj) / (macs_LO.mean(1).sum() + fixed_macs)
    return replace(
        table,
        latency_ms=latency * macs_LO,
        energy_mj=energy * macs_LO,
        fixed_latency_ms=latency * fixed_macs,
        fixed_energy_mj=energy * fixed_macs,
        latency_source="modelled",
        energy_source="modelled",
        method="multiply-accumulates, at the scale of another table's mean network",
        error=None,
    )


def spread(archive: Archive, count: int) -> list[tuple[tuple[str, ...], float]]:
    """Architectures of a front and their errors, at most so many, evenly spread over it by rank of error."""
    networks = {point.entry.architecture.id: point.entry for point in archive.inherited_front()}
    entries = sorted(networks.values(), key=lambda entry: entry.error)
    places = np.unique(np.linspace(0, len(entries) - 1, min(count, len(entries))).round().astype(int))
    return [(entries[place].architecture.operators, entries[place].error) for place in places]


def measured(
    fronts: Mapping[Cost, Sequence[tuple[tuple[str, ...], float]]], base: Preparation, board: str
) -> dict[str, list[list[float]]]:
    """Error, latency and energy of all, by cost; those of both fronts are measured by turns."""
    points: dict[str, list[list[float]]] = {cost: [] for cost in fronts}
    turns = sorted(
        (place / len(front), cost, operators, error)
        for cost, front in fronts.items()
        for place, (operators, error) in enumerate(front)
    )
    with closing(open_device(board, MeasureSettings())) as device:
        for _, cost, operators, error in turns:
            found = measured_network(device, base.space, [base.space.operators.index(name) for name in operators])
            points[cost].append([error, found.latency_ms, found.energy_mj])
    return points


def reference_of(found: Sequence[Measured]) -> Floats:
    """The worst that was measured in each objective, and a tenth more."""
    worst_M: Floats = 1.1 * np.concatenate([one.points_NM for one in found]).max(0)
    return worst_M


def row_of(cost: Cost, found: Sequence[Measured], reference_M: Floats) -> Row:
    """Means over seeds."""
    volumes = [hypervolume(one.points_NM, reference_M) for one in found]
    return Row(
        cost=cost,
        hypervolume=float(np.mean(volumes)),
        interval=half_width(volumes),
        networks=float(np.mean([len(one.points_NM) for one in found])),
    )


def ratios_at_equal_error(found: Sequence[Measured], column: int) -> Floats:
    """Cost of the cheapest network searched by measured costs over that of the one by MACs.

    Each seed gives ratios at errors between the least and the greatest that both its fronts reach.
    """
    ratios = []
    for seed in sorted({one.seed for one in found}):
        own = {one.cost: one for one in found if one.seed == seed}
        low = max(one.points_NM[:, 0].min() for one in own.values())
        high = min(one.points_NM[:, 0].max() for one in own.values())
        ratios += [
            own["measured"].cheapest(error, column) / own["MACs"].cheapest(error, column)
            for error in np.linspace(low, max(low, high), LEVELS)
        ]
    return np.array(ratios)


def lines_of(rows: Sequence[Row], ratios: Mapping[str, Floats], config: MacsConfig) -> Iterator[str]:
    """The table, and what its figures are."""
    yield TABLE.head
    for row in rows:
        yield TABLE.row(row.cost, with_interval(row.hypervolume, row.interval), row.networks)
    yield ""
    for name, ratio_N in ratios.items():
        low, middle, high = np.quantile(ratio_N, (0.25, 0.5, 0.75))
        yield (
            f"{name} at equal error, searched by measured costs over by MACs: median {middle:.2f} "
            f"(quartiles {low:.2f} to {high:.2f})"
        )
    yield f"errors with inherited weights; costs measured on {config.board}"
    yield f"Picture: {Path(config.out) / 'macs.png'}"


def draw(found: Sequence[Measured], config: MacsConfig) -> Figure:
    """Measured latency and error of all networks, and the least error for each latency, of each seed."""
    subtitle = (
        f"{config.space}, {config.seeds} seed(s); errors with inherited weights; latency measured on {config.board}"
    )
    figure = new_figure(8, 5, "Searched by measured costs and by MACs", subtitle)
    axes = figure.subplots()
    dress(axes, "latency (ms, measured)", "error (selection split)")
    for one in found:
        points_NM = one.points_NM[np.argsort(one.points_NM[:, 1])]
        best_N = np.minimum.accumulate(points_NM[:, 0])
        name = "measured costs" if one.cost == "measured" else one.cost
        label = f"searched by {name}" if one.seed == 0 else None
        axes.step(points_NM[:, 1], best_N, where="post", color=COLOURS[one.cost], linewidth=1.4, label=label)
        axes.plot(points_NM[:, 1], points_NM[:, 0], "o", markersize=3, color=COLOURS[one.cost], alpha=0.5)
    axes.set_xscale("log")
    axes.legend(fontsize=9, edgecolor="#DDDDDD")
    return figure


if __name__ == "__main__":
    run(main)
