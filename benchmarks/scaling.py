"""How well the outer loop keeps its workers busy: the real loop, with stand-ins of known duration for inner searches.

    python benchmarks/scaling.py [--workers 1 4 16 64] [--ray 1 2] [--idle] [--surrogate] [--out DIR] [--quick] [--json]

Everything is real (proposals by NSGA-II, archive, store, events) except the trials: a worker sleeps for a known time
and returns made-up architectures. **Workers are simulated**: threads of this process that sleep, so that one machine
stands for 64. `--ray` adds real Ray workers on this machine, which sleep as well. Durations are all equal ("even"), or
gamma-distributed with a standard deviation of half the mean ("uneven"). A generation has four trials for each worker.
`--surrogate`: from the second generation on, architectures are proposed by a search on a surrogate, as pareto_search.py
does by default. This process computes that search; workers then evaluate single architectures, which takes less time.

Two efficiencies, each the sum of the durations divided by workers x time. *While left*: from the start of the first
trial until fewer trials are left than workers, so that one of them has nothing to do; of the durations, the part within
that time. *Stage*: the whole search stage, as recorded in the store. Profiling, pre-training, the start of workers and
the hand-over of the front are outside both. The outer loop's own CPU time for each trial is printed too: on a shared
machine the loop waits for its processor, and all figures fall.

Goals with 64 workers, while trials are left: 95 % with even durations and generations, 90 % with uneven durations and
no generations. `--idle`: in a generation of 16 trials, each of a few seconds, two Ray workers are idle for less than
5 % of the time. Any machine that is otherwise idle; one run.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from benchmarks.options import BenchmarkConfig, check_at_least, check_positive, read_config
from benchmarks.outer_loop.efficiency import Efficiency, Place, efficiency, searched, settings_of
from benchmarks.outer_loop.stand_ins import Durations
from benchmarks.results import Column, TextTable, print_results, write_results
from moo.visualization.style import BLUE, VERMILION, dress, new_figure
from scripts.interface.command_line import run

if TYPE_CHECKING:
    from typing_extensions import Self

TRIALS_IN_GENERATION = 4
"""Of each worker."""
IDLE_WORKERS, IDLE_TRIALS, IDLE_GENERATIONS = 2, 16, 2
DURATIONS: tuple[Durations, ...] = ("even", "uneven")


@dataclass(frozen=True, kw_only=True, slots=True)
class ScalingConfig(BenchmarkConfig):
    """Run the outer loop with stand-ins for inner searches, and report how busy its workers were."""

    workers: tuple[int, ...] = (1, 4, 16, 64)
    """Numbers of simulated workers."""
    ray: tuple[int, ...] = ()
    """Numbers of Ray workers on this machine; each is a process that holds PyTorch."""
    seconds: float = 2.0
    """Mean duration of a trial."""
    trials_per_worker: int = 8
    """Trials of each worker in all, a multiple of 4."""
    surrogate: bool = False
    """Search on a surrogate from the second generation on, instead of on the supernet."""
    idle: bool = False
    """Also say how long two Ray workers are idle in generations of 16 trials."""
    seed: int = 0
    """Of durations and proposals."""
    out: str | None = None
    """Folder for a picture and the figures."""
    quick: bool = False
    """One and four simulated workers, eight trials of half a second each."""

    def __post_init__(self) -> None:
        check_at_least(self, workers=1, ray=1, seed=0)
        check_positive(self, "seconds")
        if self.trials_per_worker < 1 or self.trials_per_worker % TRIALS_IN_GENERATION:
            raise ValueError(
                f"`--trials-per-worker` must be a multiple of {TRIALS_IN_GENERATION}, the trials of a generation, but "
                f"got {self.trials_per_worker}; choose another number."
            )
        if self.out is not None and Path(self.out).expanduser().is_file():
            raise ValueError(f"`--out` must be a folder, but {self.out!r} is a file.")

    def quickened(self) -> Self:
        """Few short trials on few workers."""
        return dataclasses.replace(self, workers=(1, 4), seconds=0.5, trials_per_worker=8)

    @property
    def places(self) -> list[tuple[Place, int]]:
        """Where searches run, and on how many workers."""
        return [*(("simulated", count) for count in self.workers), *(("ray", count) for count in self.ray)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One search."""

    place: Place
    workers: int
    durations: Durations
    asynchronous: bool
    trials: int
    mean_seconds: float
    stage_seconds: float
    driver_cpu_ms: float
    """CPU time of the outer loop itself for each trial, which limits the number of workers even on a quiet machine."""
    efficiency: Efficiency


@dataclass(frozen=True)
class IdleRow:
    """One generation."""

    durations: Durations
    generation: int
    seconds: float
    idle: float
    """Share of the workers' time, in [0, 1]."""


TABLE = TextTable(
    Column(title="workers", width=17),
    Column(title="mode", width=13, left=True),
    Column(title="durations", width=9, left=True),
    Column(title="trials", width=6),
    Column(title="while left", width=10, form=".1%"),
    Column(title="stage", width=6, form=".1%"),
    Column(title="CPU", width=8, form=".1f", unit=" ms"),
)


def main() -> None:
    """Print one row a search, as soon as it has ended."""
    config = read_config(ScalingConfig)
    print_line = _print_nothing if config.json else _print_line
    print_line("Efficiency: sum of durations / (workers x time); CPU time of the outer loop itself for each trial.")
    print_line("Simulated workers are threads of this process that sleep.")
    print_line(TABLE.head)
    rows = []
    for place, workers in config.places:
        for asynchronous, durations in itertools.product((False, True), DURATIONS):
            rows.append(measured_row(config, place, workers, durations, asynchronous=asynchronous))
            print_line(row_text(rows[-1]))
    idle = [row for durations in DURATIONS for row in idle_rows(config, durations)] if config.idle else []
    for generation in idle:
        print_line(idle_text(generation))
    content = {"rows": [asdict(row) for row in rows], "idle": [asdict(row) for row in idle]}
    pictures = {"scaling.png": lambda: picture(rows, config)} if config.workers else {}
    write_results(config.out, content, pictures)
    print_results(content, (), as_json=config.json)


def _print_line(line: str) -> None:
    print(line, flush=True)


def _print_nothing(line: str) -> None:
    pass


def measured_row(config: ScalingConfig, place: Place, workers: int, durations: Durations, *, asynchronous: bool) -> Row:
    """One search of `trials_per_worker` trials a worker."""
    settings = settings_of(
        population=TRIALS_IN_GENERATION * workers,
        generations=config.trials_per_worker // TRIALS_IN_GENERATION,
        surrogate=config.surrogate,
        asynchronous=asynchronous,
        seed=config.seed,
    )
    found = searched(settings, place=place, workers=workers, seconds=config.seconds, durations=durations)
    return Row(
        place=place,
        workers=workers,
        durations=durations,
        asynchronous=asynchronous,
        trials=len(found.worked),
        mean_seconds=float(np.mean([trial.seconds for trial in found.worked])),
        stage_seconds=found.stage_seconds,
        driver_cpu_ms=1e3 * found.driver_cpu_seconds / len(found.worked),
        efficiency=efficiency(found.worked, workers=workers, stage_seconds=found.stage_seconds),
    )


def idle_rows(config: ScalingConfig, durations: Durations) -> list[IdleRow]:
    """How long two Ray workers are idle in each generation, from its start to the next one's, or to the stage's end."""
    settings = settings_of(
        population=IDLE_TRIALS, generations=IDLE_GENERATIONS, surrogate=False, asynchronous=False, seed=config.seed
    )
    found = searched(settings, place="ray", workers=IDLE_WORKERS, seconds=config.seconds, durations=durations)
    times = (*found.generation_starts, found.generation_starts[0] + found.stage_seconds)
    rows = []
    for number, (start, end) in enumerate(itertools.pairwise(times)):
        busy = sum(trial.seconds for trial in found.worked if trial.id // IDLE_TRIALS == number)
        rows.append(IdleRow(durations, number + 1, end - start, 1 - busy / (IDLE_WORKERS * (end - start))))
    return rows


def picture(rows: Sequence[Row], config: ScalingConfig) -> Figure:
    """Efficiency by the number of simulated workers: while trials are left, and of the whole stage."""
    figure = new_figure(
        9.0, 4.4, "How busy the outer loop keeps its workers",
        f"simulated workers on one machine, {config.trials_per_worker} trials each of {config.seconds:g} s in the mean",
    )  # fmt: skip
    panels = figure.subplots(1, 2, sharey=True)
    kept = [row for row in rows if row.place == "simulated"]
    for axes, name, label in zip(
        panels, ("while_trials_are_left", "whole_stage"), ("while trials are left", "whole search stage"), strict=True
    ):
        for asynchronous, durations in itertools.product((False, True), DURATIONS):
            chosen = [row for row in kept if (row.asynchronous, row.durations) == (asynchronous, durations)]
            axes.plot(
                [row.workers for row in chosen],
                [100 * getattr(row.efficiency, name) for row in chosen],
                color=VERMILION if asynchronous else BLUE,
                linestyle="-" if durations == "even" else "--",
                marker="o",
                markersize=4,
                label=f"{mode_of(asynchronous=asynchronous)}, {durations}",
            )
        dress(axes, "workers", "efficiency (%)" if axes is panels[0] else "")
        axes.set_title(label, fontsize=10, loc="left")
        axes.set_xscale("log", base=2)
        axes.set_xticks(sorted({row.workers for row in kept}), [f"{n}" for n in sorted({row.workers for row in kept})])
        axes.set_ylim(0, 104)
    panels[0].legend(fontsize=8.5, frameon=False, loc="lower left")
    return figure


def mode_of(*, asynchronous: bool) -> str:
    """How a search hands out its trials."""
    return "asynchronous" if asynchronous else "generations"


def row_text(row: Row) -> str:
    """A line of the table."""
    return TABLE.row(
        f"{row.place} {row.workers:>3}",
        mode_of(asynchronous=row.asynchronous),
        row.durations,
        row.trials,
        row.efficiency.while_trials_are_left,
        row.efficiency.whole_stage,
        row.driver_cpu_ms,
    )


def idle_text(row: IdleRow) -> str:
    """A line on a generation."""
    return (
        f"{IDLE_WORKERS} Ray workers, generation {row.generation} of {IDLE_TRIALS} trials, {row.durations}: "
        f"idle {row.idle:.1%} of {row.seconds:.1f} s"
    )


if __name__ == "__main__":
    run(main)
