"""The project's method against its rivals, at equal wall time after shared pre-training.

    python benchmarks/rivals.py --dataset cifar10 --budget-seconds 120 --seeds 5 --out runs/rivals

Methods (`--method` of pareto_search.py): `dnas`, `random`, `grid`, `architectures`; and `dnas-supernet`, which is
`dnas` without the surrogate. All have the same supernet, splits, cost table, workers and store; a method's turn comes
once for each seed, in changing order. Counted is what had ended when the time was over. Costs are those of a table:
nothing is measured, so that no method waits for a board.

Goal, on CIFAR-10 with `fbnet-micro`, five seeds and 120 s on two cores: `dnas` has at least 5 % more hypervolume than
`architectures`, and more than `random` and `grid`. An interrupted benchmark goes on with the same command.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import moocore
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from scipy import stats

from devices.cost_tables.cost_table import CostTable
from evaluation.work_folder import write_json
from moo.config import SearchConfig
from moo.events import Event
from moo.execution.ray_backend import RayBackend
from moo.measurement.boards import Boards
from moo.search.artifacts import run_cost_table, supernet_weights
from moo.search.loop import find_front
from moo.search.preparation import Preparation, prepare
from moo.storage.archive import reference_point_of
from moo.storage.pareto import hypervolume, non_dominated
from moo.storage.run_folder import RunFolder
from moo.storage.store import open_store
from moo.visualization.style import BLUE, GREEN, GREY, VERMILION, dress, new_figure
from scripts.command_line import parse, run

METHODS: dict[str, dict[str, Any]] = {
    "dnas": {"method": "dnas"},
    "dnas-supernet": {"method": "dnas", "supernet_generations": 10**6},
    "random": {"method": "random"},
    "grid": {"method": "grid"},
    "architectures": {"method": "architectures"},
}
COLOURS = {"dnas": BLUE, "dnas-supernet": GREEN, "random": GREY, "grid": "#CC79A7", "architectures": VERMILION}
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RivalsConfig:
    """Search by several methods for equal time, and compare their fronts."""

    dataset: str = "digits"
    """As in pareto_search.py."""
    space: str = "fbnet-micro"
    """Search space."""
    device: str = "pi4"
    """Cost table: a built-in board, or a table file."""
    budget_seconds: float = 120.0
    """Time of each search, pre-training left out."""
    seeds: int = 5
    """Searches by each method."""
    methods: tuple[str, ...] = tuple(METHODS)
    """What is compared."""
    pretrain_epochs: int | None = None
    """Passes of the shared pre-training; by default as in pareto_search.py."""
    grid: int = 36
    """Points of the grid."""
    workers: int = 2
    """Inner searches or evaluations at the same time, one thread each."""
    out: str = "runs/rivals"
    """Folder to write into, or to go on in."""
    quick: bool = False
    """Two seeds, 20 s each, a short pre-training."""
    json: bool = False
    """Print JSON."""

    def __post_init__(self) -> None:
        if unknown := set(self.methods) - set(METHODS):
            raise ValueError(f"`--methods` must be among {', '.join(METHODS)}, but got {', '.join(sorted(unknown))}.")
        for name in ("seeds", "workers", "grid"):
            if getattr(self, name) < 1:
                raise ValueError(f"`--{name} >= 1` must hold, but got {getattr(self, name)}.")
        if not self.budget_seconds > 0:
            raise ValueError(f"`--budget-seconds > 0` must hold, but got {self.budget_seconds}.")


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


def main() -> None:
    """Print one row a method, and draw."""
    config = parse(RivalsConfig)
    if config.quick:
        config = replace(config, seeds=2, budget_seconds=20.0, pretrain_epochs=config.pretrain_epochs or 8)
    out = Path(config.out)
    base = prepared(config, out)
    table, supernet = shared_start(base, config)
    reference_M = np.array(reference_point_of(table, len(base.splits.class_names)))
    turns = [
        (method, seed)
        for seed in range(config.seeds)
        for method in config.methods[seed % len(config.methods) :] + config.methods[: seed % len(config.methods)]
    ]
    found = []
    for number, (method, seed) in enumerate(turns, start=1):
        found.append(searched(config, base, method, seed, supernet, out))
        reached = found[-1].hypervolume(reference_M)
        known = len(found[-1].seconds_N)
        sys.stderr.write(f"{number} of {len(turns)}: {method}, seed {seed}: {known} architectures, {reached:.4f}\n")
    rows = compared(found, reference_M, config)
    write_json(out / "results.json", {"budget_seconds": config.budget_seconds, "methods": rows})
    draw(found, reference_M, config).savefig(out / "rivals.png")
    if config.json:
        print(json.dumps(rows, indent=1))
        return
    print(f"{'method':<15} {'hypervolume (95 % interval)':<29} {'of dnas':>8} {'IGD+':>8} {'architectures':>14}")
    for row in rows:
        interval = f"{row['hypervolume']:.4f} ± {row['interval']:.4f}"
        ratio = "" if row["of_dnas"] is None else f"{row['of_dnas']:.3f}"
        print(f"{row['method']:<15} {interval:<29} {ratio:>8} {row['igd_plus']:>8.4f} {row['architectures']:>14.0f}")
    print(f"errors with inherited weights, costs as the table of {config.device} predicts them")
    print(f"Pictures: {out / 'rivals.png'}")


def prepared(config: RivalsConfig, out: Path) -> Preparation:
    """Images, space and table that all searches share."""
    settings = SearchConfig(
        dataset=config.dataset,
        space=config.space,
        device=(config.device,),
        measure=False,
        pretrain_epochs=config.pretrain_epochs,
        workers=config.workers,
        dashboard=False,
        minutes=config.budget_seconds / 60,
        out=str(out / "shared"),
    )
    shared = RunFolder(out / "shared")
    preparation = prepare(replace(settings, out=str(out / "not made")), on_loading=lambda done, total: None)
    return replace(preparation, config=settings, folder=shared)


def shared_start(base: Preparation, config: RivalsConfig) -> tuple[CostTable, bytes]:
    """The cost table, and the supernet, which is pre-trained once."""
    table = run_cost_table(base, lambda event: None)
    if base.folder.supernet.exists():
        return table, base.folder.supernet.read_bytes()
    backend = RayBackend(base.setup, workers=config.workers, dashboard=False)
    try:
        return table, supernet_weights(base, backend, _print_event)
    finally:
        backend.close()


def _print_event(event: Event) -> None:
    sys.stderr.write(f"{event}\n")


def searched(config: RivalsConfig, base: Preparation, method: str, seed: int, supernet: bytes, out: Path) -> Found:
    """One search, or what it found when it was done before."""
    folder = RunFolder(out / f"{method}-{seed}")
    grid: dict[str, Any] = {"population": 1 * 6, "generations": -(-config.grid // 6)} if method == "grid" else {}
    settings = replace(base.config, seed=seed, out=str(folder.path), **METHODS[method], **grid)
    done = folder.path / "found.npz"
    if not done.exists():
        shutil.rmtree(folder.path, ignore_errors=True)
        folder.supernet.parent.mkdir(parents=True)
        folder.supernet.write_bytes(supernet)
        preparation = replace(base, config=settings, folder=folder, boards=Boards())
        # The splits stay those that the supernet was pre-trained with; the seed decides all else.
        backend = RayBackend(preparation.setup, workers=config.workers, dashboard=False)
        try:
            find_front(preparation, backend, lambda event: None)
        finally:
            backend.close()
        seconds_N, points_NM = known_within(folder, config.budget_seconds)
        np.savez(done, seconds_N=seconds_N, points_NM=points_NM)
    with np.load(done) as arrays:
        return Found(method, seed, arrays["seconds_N"], arrays["points_NM"])


def known_within(folder: RunFolder, budget_seconds: float) -> tuple[Floats, Floats]:
    """When each architecture was known, and its objectives, as far as the time allowed."""
    store = open_store(folder.store)
    try:
        rows = store.known_at()
    finally:
        store.close()
    rows = [row for row in rows if row[0] <= budget_seconds]
    return np.array([row[0] for row in rows]), np.array([row[1] for row in rows]).reshape(-1, 3)


def compared(found: list[Found], reference_M: Floats, config: RivalsConfig) -> list[dict[str, Any]]:
    """A row a method, the best first: means over seeds, with the half width of a 95 % interval (Student's t)."""
    points_NM = np.concatenate([item.points_NM for item in found])
    best_NM = points_NM[non_dominated(points_NM)] / reference_M
    volumes = {m: [item.hypervolume(reference_M) for item in found if item.method == m] for m in config.methods}
    ours = float(np.mean(volumes["dnas"])) if "dnas" in volumes else None
    rows = []
    for method, values in volumes.items():
        searches = [item for item in found if item.method == method]
        mean = float(np.mean(values))
        half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5 if values[1:] else 0.0
        igd = [moocore.igd_plus(item.points_NM / reference_M, ref=best_NM) for item in searches]
        rows.append(
            {
                "method": method,
                "hypervolume": mean,
                "interval": float(half),
                "of_dnas": None if ours is None else mean / ours,
                "igd_plus": float(np.mean(igd)),
                "architectures": float(np.mean([len(item.seconds_N) for item in searches])),
                "seeds": len(values),
            }
        )
    return sorted(rows, key=lambda row: -row["hypervolume"])


def draw(found: list[Found], reference_M: Floats, config: RivalsConfig) -> Figure:
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
        searches = [item for item in found if item.method == method]
        curves = np.array([[item.hypervolume(reference_M, time) for time in times] for item in searches])
        left.plot(times, curves.mean(0), color=COLOURS[method], linewidth=2, label=method)
        left.fill_between(times, curves.min(0), curves.max(0), color=COLOURS[method], alpha=0.15, linewidth=0)
        points = np.concatenate([item.points_NM[:, [1, 0]] for item in searches])
        seeds = np.concatenate([np.full(len(item.points_NM), item.seed) for item in searches])
        surface = moocore.eaf(points, seeds, percentiles=[50])
        order = np.argsort(surface[:, 0])
        right.step(surface[order, 0], surface[order, 1], where="post", color=COLOURS[method], linewidth=2, label=method)
    best = max(item.hypervolume(reference_M) for item in found)
    left.set_ylim(bottom=0.7 * best)
    right.set_title("median attainment surface", fontsize=10.5, loc="left")
    left.legend(loc="upper left", fontsize=9)
    right.legend(loc="upper right", fontsize=9)
    return figure


if __name__ == "__main__":
    run(main)
