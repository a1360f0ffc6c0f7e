"""How well the outer loop keeps its workers busy: the real loop, with stand-ins of known duration for inner searches.

    python benchmarks/scaling.py [--workers 1 4 16 64] [--ray 1 2] [--idle] [--steered] [--out DIR] [--quick] [--json]

Everything is real (proposals by NSGA-II, archive, store, events) but for the jobs: a worker sleeps for a known time and
gives made-up architectures. **Workers are simulated**: threads of this process that sleep, so that one machine stands
for 64. `--ray` adds real Ray workers of this machine, which sleep as well. Durations are all equal, or uneven:
gamma-distributed, with a standard deviation of half the mean. With generations, each has four jobs a worker.
`--steered`: generations after the first propose architectures by a search on a surrogate, as pareto_search.py does by
default. This process computes that search; the workers' jobs are then single evaluations, and shorter accordingly.

Two figures, both the sum of the durations by workers x time. *While left*: from the start of the first job to when
fewer jobs are left than workers, and so one of them has nothing to do; of durations, the part in that time. *Whole
stage*: all of the search stage, as the store has it. Profiling, pre-training, the start of workers and the hand-over of
the front belong to neither. The outer loop's own CPU time for each job is told, too: on a machine that others share it
waits for its processor, and all figures fall.

Goals, while jobs are left to 64 workers: 95 % with even durations and generations, 90 % with uneven ones and none.
`--idle`: in a generation of 16 jobs, each of a few seconds, two Ray workers are idle for less than 5 % of the time. Any
machine that is otherwise idle; one trial.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.figure import Figure

from benchmarks.scaling_workers import Durations, SimulatedWorkers, StandIn, Worked, started_ray
from devices.cost_tables.analytic import analytic_cost_table
from evaluation.image_data import ImageData, LabelledImages
from evaluation.splits import split_data
from evaluation.work_folder import write_atomically, write_json
from moo import events
from moo.config import SearchConfig
from moo.execution.backend import Backend
from moo.execution.pretraining import untrained_weights
from moo.measurement.boards import Boards
from moo.search.loop import find_front
from moo.search.preparation import Preparation
from moo.storage.run_folder import RunFolder
from moo.storage.store import open_store
from moo.visualization.style import BLUE, VERMILION, dress, new_figure
from scripts.command_line import parse, run
from search_space.spaces import space_named

JOBS_IN_GENERATION = 4
"""Of each worker."""
IDLE_WORKERS, IDLE_JOBS, IDLE_GENERATIONS = 2, 16, 2
Place = Literal["simulated", "ray"]


@dataclass(frozen=True)
class ScalingConfig:
    """Run the outer loop with stand-ins for inner searches, and tell how busy its workers were."""

    workers: tuple[int, ...] = (1, 4, 16, 64)
    """Numbers of simulated workers."""
    ray: tuple[int, ...] = ()
    """Numbers of Ray workers on this machine; each is a process that holds PyTorch."""
    seconds: float = 2.0
    """Mean duration of a job."""
    jobs_per_worker: int = 8
    """Jobs of each worker in all, a multiple of 4."""
    steered: bool = False
    """Search generations after the first on a surrogate, instead of on the supernet."""
    idle: bool = False
    """Also tell how long two Ray workers are idle in generations of 16 jobs."""
    seed: int = 0
    """Of durations and proposals."""
    out: str | None = None
    """Folder for a picture and the figures."""
    quick: bool = False
    """One and four simulated workers, eight jobs of half a second each; a check that all works."""
    json: bool = False
    """Print JSON."""

    def __post_init__(self) -> None:
        for name in ("workers", "ray"):
            if any(count < 1 for count in getattr(self, name)):
                raise ValueError(f"`--{name} >= 1` must hold, but got {min(getattr(self, name))}.")
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise ValueError(f"`--seconds > 0` must hold, but got {self.seconds:g}.")
        if self.jobs_per_worker < 1 or self.jobs_per_worker % JOBS_IN_GENERATION:
            raise ValueError(
                f"`--jobs-per-worker` must be a multiple of {JOBS_IN_GENERATION}, as each generation has so many, but "
                f"got {self.jobs_per_worker}."
            )
        if self.seed < 0:
            raise ValueError(f"`--seed >= 0` must hold, but got {self.seed}.")
        if self.out is not None and Path(self.out).expanduser().is_file():
            raise ValueError(f"`--out` must be a folder, but {self.out!r} is a file.")


@dataclass(frozen=True)
class Efficiency:
    """How busy workers were, in [0, 1]."""

    while_jobs_are_left: float
    whole_stage: float


@dataclass(frozen=True)
class Row:
    """One search."""

    place: Place
    workers: int
    durations: Durations
    asynchronous: bool
    jobs: int
    mean_seconds: float
    stage_seconds: float
    driver_cpu_ms: float
    """CPU time of the outer loop itself for each job: what limits the number of workers, on a quiet machine or not."""
    efficiency: Efficiency


@dataclass(frozen=True)
class IdleRow:
    """One generation."""

    durations: Durations
    generation: int
    seconds: float
    idle: float
    """Share of the workers' time, in [0, 1]."""


def efficiency(worked: Sequence[Worked], *, workers: int, stage_seconds: float) -> Efficiency:
    """Both figures; see the top of this file.

    Args:
        worked: all jobs, at least as many as workers.
        workers: how many there were.
        stage_seconds: duration of the search stage.
    """
    first = min(job.start for job in worked)
    last = sorted(job.start + job.seconds for job in worked)[-workers]
    inside = sum(max(0.0, min(job.start + job.seconds, last) - job.start) for job in worked)
    total = sum(job.seconds for job in worked)
    return Efficiency(inside / (workers * (last - first)), total / (workers * stage_seconds))


def prepared(config: SearchConfig, folder: Path) -> Preparation:
    """Inputs of a search of `fbnet-micro` on noise, with a modelled cost table."""
    space = space_named(config.space)
    rng = np.random.default_rng(config.seed)
    size = space.input_size
    noise = LabelledImages(rng.integers(0, 256, (400, 3, size, size), dtype=np.uint8), rng.integers(10, size=400))
    images = ImageData(name="noise", train=noise, test=None, class_names=tuple("0123456789"), grey=False)
    splits = split_data(images, config.seed)
    return Preparation(
        config, RunFolder(folder), resumed=False, space=space, splits=splits, boards=Boards(),
        cost_table=analytic_cost_table(space),
    )  # fmt: skip


@dataclass(frozen=True)
class Searched:
    """What a search left behind."""

    worked: tuple[Worked, ...]
    stage_seconds: float
    driver_cpu_seconds: float
    generation_starts: tuple[float, ...]
    """By the machine's monotonic clock, in seconds."""


def searched(settings: SearchConfig, *, place: Place, workers: int, seconds: float, durations: Durations) -> Searched:
    """Run a search with stand-ins."""
    starts: list[float] = []
    cpu_starts: list[float] = []

    def listen(event: events.Event) -> None:
        if isinstance(event, events.GenerationStarted):
            starts.append(time.monotonic())
            cpu_starts.append(time.thread_time())

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        preparation = prepared(settings, folder / "run")
        # Else a task under Ray would make it, and wait for ever for a core that no worker has.
        write_atomically(preparation.folder.supernet, untrained_weights(preparation.setup))
        stand_in = StandIn(preparation.setup, seconds, durations, folder / "journal")
        backend: Backend
        if place == "ray":
            backend = started_ray(stand_in, workers, analytic_cost_table(preparation.space))
        else:
            backend = SimulatedWorkers(stand_in, workers)
        try:
            find_front(preparation, backend, listen)
            cpu_seconds = time.thread_time() - cpu_starts[0]
        finally:
            backend.close()
        store = open_store(preparation.folder.store)
        stage_seconds = store.seconds_searched()
        store.close()
        return Searched(tuple(stand_in.worked()), stage_seconds, cpu_seconds, tuple(starts))


def settings_of(*, population: int, generations: int, steered: bool, asynchronous: bool, seed: int) -> SearchConfig:
    """Of a search without pre-training and board."""
    return SearchConfig(
        dataset="noise",
        population=population,
        generations=generations,
        supernet_generations=1 if steered else generations,
        asynchronous=asynchronous,
        seed=seed,
        pretrain_epochs=0,
        measure=False,
    )


def measured_row(config: ScalingConfig, place: Place, workers: int, durations: Durations, *, asynchronous: bool) -> Row:
    """One search of `jobs_per_worker` jobs a worker."""
    settings = settings_of(
        population=JOBS_IN_GENERATION * workers,
        generations=config.jobs_per_worker // JOBS_IN_GENERATION,
        steered=config.steered,
        asynchronous=asynchronous,
        seed=config.seed,
    )
    found = searched(settings, place=place, workers=workers, seconds=config.seconds, durations=durations)
    return Row(
        place,
        workers,
        durations,
        asynchronous,
        len(found.worked),
        float(np.mean([job.seconds for job in found.worked])),
        found.stage_seconds,
        1e3 * found.driver_cpu_seconds / len(found.worked),
        efficiency(found.worked, workers=workers, stage_seconds=found.stage_seconds),
    )


def idle_rows(config: ScalingConfig, durations: Durations) -> list[IdleRow]:
    """How long two Ray workers are idle in each generation, from its start to the next one's, or to the stage's end."""
    settings = settings_of(
        population=IDLE_JOBS, generations=IDLE_GENERATIONS, steered=False, asynchronous=False, seed=config.seed
    )
    found = searched(settings, place="ray", workers=IDLE_WORKERS, seconds=config.seconds, durations=durations)
    times = (*found.generation_starts, found.generation_starts[0] + found.stage_seconds)
    rows = []
    for number, (start, end) in enumerate(itertools.pairwise(times)):
        busy = sum(job.seconds for job in found.worked if job.job // IDLE_JOBS == number)
        rows.append(IdleRow(durations, number + 1, end - start, 1 - busy / (IDLE_WORKERS * (end - start))))
    return rows


def picture(rows: Sequence[Row], config: ScalingConfig) -> Figure:
    """Efficiency by the number of simulated workers: while jobs are left, and of the whole stage."""
    figure = new_figure(
        9.0, 4.4, "How busy the outer loop keeps its workers",
        f"simulated workers on one machine, {config.jobs_per_worker} jobs each of {config.seconds:g} s in the mean",
    )  # fmt: skip
    panels = figure.subplots(1, 2, sharey=True)
    kept = [row for row in rows if row.place == "simulated"]
    for axes, name, label in zip(
        panels, ("while_jobs_are_left", "whole_stage"), ("while jobs are left", "whole search stage"), strict=True
    ):
        for asynchronous, durations in itertools.product((False, True), ("even", "uneven")):
            chosen = [row for row in kept if (row.asynchronous, row.durations) == (asynchronous, durations)]
            axes.plot(
                [row.workers for row in chosen],
                [100 * getattr(row.efficiency, name) for row in chosen],
                color=VERMILION if asynchronous else BLUE,
                linestyle="-" if durations == "even" else "--",
                marker="o",
                markersize=4,
                label=f"{_mode(asynchronous=asynchronous)}, {durations}",
            )
        dress(axes, "workers", "efficiency (%)" if axes is panels[0] else "")
        axes.set_title(label, fontsize=10, loc="left")
        axes.set_xscale("log", base=2)
        axes.set_xticks(sorted({row.workers for row in kept}), [f"{n}" for n in sorted({row.workers for row in kept})])
        axes.set_ylim(0, 104)
    panels[0].legend(fontsize=8.5, frameon=False, loc="lower left")
    return figure


def _mode(*, asynchronous: bool) -> str:
    return "asynchronous" if asynchronous else "generations"


def row_text(row: Row) -> str:
    """A line of the table."""
    return (
        f"{row.place:>13} {row.workers:>3}  {_mode(asynchronous=row.asynchronous):<12} {row.durations:<9} "
        f"{row.jobs:>4} "
        f"{row.efficiency.while_jobs_are_left:>10.1%} {row.efficiency.whole_stage:>6.1%} {row.driver_cpu_ms:>5.1f} ms"
    )


def idle_text(row: IdleRow) -> str:
    """A line on a generation."""
    return (
        f"{IDLE_WORKERS} Ray workers, generation {row.generation} of {IDLE_JOBS} jobs, {row.durations}: "
        f"idle {row.idle:.1%} of {row.seconds:.1f} s"
    )


def main() -> None:
    """Print one row a search."""
    config = parse(ScalingConfig)
    if config.quick:
        config = dataclasses.replace(config, workers=(1, 4), seconds=0.5, jobs_per_worker=8)
    places: list[tuple[Place, int]] = [("simulated", count) for count in config.workers]
    places += [("ray", count) for count in config.ray]
    kinds: list[tuple[bool, Durations]] = [(False, "even"), (False, "uneven"), (True, "even"), (True, "uneven")]

    def tell(line: str) -> None:
        if not config.json:
            print(line, flush=True)

    tell("Efficiency: sum of durations / (workers x time); CPU time of the outer loop itself for each job.")
    tell("Simulated workers are threads of this process that sleep.")
    tell(f"{'workers':>17}  {'mode':<12} {'durations':<9} {'jobs':>4} {'while left':>10} {'stage':>6} {'CPU':>8}")
    rows = []
    for (place, workers), (asynchronous, durations) in itertools.product(places, kinds):
        rows.append(measured_row(config, place, workers, durations, asynchronous=asynchronous))
        tell(row_text(rows[-1]))
    idle = [row for kind in ("even", "uneven") for row in idle_rows(config, kind)] if config.idle else []
    for generation in idle:
        tell(idle_text(generation))
    figures = {
        "rows": [dataclasses.asdict(row) for row in rows],
        "idle": [dataclasses.asdict(row) for row in idle],
    }
    if config.json:
        print(json.dumps(figures, indent=1))
    if config.out is not None:
        folder = Path(config.out).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "scaling.json", figures)
        if any(row.place == "simulated" for row in rows):
            picture(rows, config).savefig(folder / "scaling.png")


if __name__ == "__main__":
    run(main)
