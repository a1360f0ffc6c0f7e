"""What a run costs as it grows: pictures and report, going on, a result, a generation, and choosing from its front.

    python benchmarks/outer_loop/growth.py --sizes 1000 5000 20000

Runs are made up (`synthetic_runs`): nothing is trained and nothing measured. Each step has a process of its own; its
CPU time is that of the whole process, less Python's start and imports where that is said. Shared machines lengthen time
more than CPU time.

Goal: pictures and report in at most 10 s of CPU time for 5,000 architectures and 60 s for 20,000; nothing else grows
faster than the number of architectures.
"""

from __future__ import annotations

import math
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from benchmarks.options import BenchmarkConfig, check_at_least, read_config
from benchmarks.outer_loop.synthetic_runs import ReadyBackend, results, write_run
from benchmarks.results import Column, TextTable, print_results, write_results
from benchmarks.turns import in_new_processes
from devices.cost_tables.family import CostTables
from devices.replay import ReplayDevice
from moo import events
from moo.algorithms.base import Proposal
from moo.analysis.contributions import source_of
from moo.analysis.selection import Limits, best_within, read_front, three_choices
from moo.measurement.boards import read_run_tables
from moo.measurement.front import FrontMeasuring, corrected_tables
from moo.measurement.queue import Measurer
from moo.search.clock import Clock
from moo.search.drawing import draw
from moo.search.generational import IN_INT8_EACH, search_in_generations
from moo.search.outputs import write_front_json
from moo.search.preparation import archive_for
from moo.search.proposals import proposal_of
from moo.search.surrogates.task import surrogate_task
from moo.search.trial_runner import TrialRunner
from moo.storage.record import RunRecord, open_record
from moo.storage.run_folder import RunFolder
from moo.storage.search_state import SearchState, write_state
from moo.trials import ArchitectureTrial, Indices, TrialResult
from moo.visualization.tensorboard import TensorBoardWriter
from scripts.interface.command_line import run

if TYPE_CHECKING:
    from typing_extensions import Self

RESULTS = 64
"""Results that are kept in a run, on top of what it has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GrowthConfig(BenchmarkConfig):
    """Measure what a run costs as it grows."""

    sizes: tuple[int, ...] = (1000, 5000, 20_000)
    """Evaluated architectures of the runs."""
    space: str = "fbnet-cifar"
    """Search space."""
    configurations: Literal["default", "base"] = "default"
    """Configurations of the built-in Pi 4: all 18, or one."""
    steps: tuple[str, ...] = ()
    """Some of the steps; all by default."""
    seed: int = 0
    """Seed of everything random."""
    out: str | None = None
    """Folder for the runs with their pictures, and for results.json."""
    quick: bool = False
    """Two small runs."""

    def __post_init__(self) -> None:
        check_at_least(self, sizes=100)
        for step in self.steps:
            if step not in STEPS:
                raise ValueError(f"`--steps` must be of {', '.join(STEPS)}, but got {step}.")

    def quickened(self) -> Self:
        """Two small runs in one configuration."""
        return replace(self, sizes=(100, 200), configurations="base")


@dataclass(frozen=True, kw_only=True, slots=True)
class GrowthRow:
    """A step at a number of architectures, in a process of its own."""

    step: str
    architectures: int
    process_cpu_seconds: float
    """User and system, of the whole process and its children."""
    cpu_seconds: float
    """Of the step itself, done once."""
    seconds: float
    """Time of the process, after Python's start and imports."""
    peak_mb: float
    exponent: float | None = None
    """Of the number of architectures, from the size before to this one: 1 is linear; None for the first size."""


TABLE = TextTable(
    Column(title="step", width=11, left=True),
    Column(title="architectures", width=13),
    Column(title="CPU, process", width=14, form=".1f", unit=" s"),
    Column(title="CPU, step", width=14, form=".1f", unit=" ms"),
    Column(title="exponent", width=8, form=".2f"),
    Column(title="time", width=9, form=".1f", unit=" s"),
    Column(title="memory", width=9, form=".0f", unit=" MB"),
)


def main() -> None:
    """Make the runs, and print a row for each step and size."""
    config = read_config(GrowthConfig)
    rows: list[GrowthRow] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(config.out or name).expanduser()
        for size in config.sizes:
            make = partial(
                write_run,
                folder / str(size),
                size,
                space=config.space,
                configurations=config.configurations,
                seed=config.seed,
            )
            sys.stderr.write(f"making a run of {size} architectures\n")
            in_new_processes([make])
        for step in config.steps or STEPS:
            for size in config.sizes:
                sys.stderr.write(f"{step}, {size} architectures\n")
                (row,) = in_new_processes([partial(measured, step, folder / str(size), size)])
                rows.append(_with_exponent(row, rows))
    content = {"rows": [asdict(row) for row in rows]}
    write_results(config.out, content, {})
    print_results(content, [TABLE.head, *map(_line, rows)], as_json=config.json)


def measured(step: str, path: Path, size: int) -> GrowthRow:
    """A step; called in a new process."""
    begin = time.monotonic()
    cpu_seconds = STEPS[step](path)
    used = [resource.getrusage(which) for which in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return GrowthRow(
        step=step,
        architectures=size,
        process_cpu_seconds=sum(one.ru_utime + one.ru_stime for one in used),
        cpu_seconds=cpu_seconds,
        seconds=time.monotonic() - begin,
        # In kilobytes, but for macOS.
        peak_mb=used[0].ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3),
    )


def _with_exponent(row: GrowthRow, rows: Sequence[GrowthRow]) -> GrowthRow:
    before = rows[-1] if rows and rows[-1].step == row.step else None
    if before is None or before.architectures == row.architectures or not before.cpu_seconds:
        return row
    ratio = row.cpu_seconds / before.cpu_seconds
    return replace(row, exponent=math.log(ratio) / math.log(row.architectures / before.architectures))


def _line(row: GrowthRow) -> str:
    return TABLE.row(
        row.step,
        row.architectures,
        row.process_cpu_seconds,
        1e3 * row.cpu_seconds,
        row.exponent,
        row.seconds,
        row.peak_mb,
    )


def _tell_nobody(event: object) -> None:
    pass


@contextmanager
def _opened(path: Path) -> Iterator[RunRecord]:
    """The record of a run with its archive, as `--resume` opens it."""
    config, origin = RunFolder(path).read_config()
    tables = _tables(path)
    with closing(open_record(RunFolder(path))) as record:
        archive = record.load_archive(archive_for(config, tables, origin.dataset), origin.space)
        record.use_tables(corrected_tables(tables, archive.entries, origin.space))
        yield record


def _tables(path: Path) -> CostTables:
    folder = RunFolder(path)
    return read_run_tables(folder.cost_table, folder.read_settings().given_configurations)


def report(path: Path) -> float:
    """Pictures, report.md and report.html."""
    begin = time.process_time()
    draw(RunFolder(path))
    return time.process_time() - begin


def resuming(path: Path) -> float:
    """All that a run has is read, and its generations are gone through, until the first new trial."""
    begin = time.process_time()
    with _opened(path) as record:
        _go_through(path, record)
    return time.process_time() - begin


def a_result(path: Path, tell: events.Listener = _tell_nobody) -> float:
    """A result is kept, the front told of, and what a board beside the search is to measure is chosen."""
    with _opened(path) as record:
        found = _following(path, record)
        runner, _ = _runner(path, record, found, tell)
        record.archive.inherited_front()
        begin = time.process_time()
        runner.run([result.trial for result in found], _tables(path))
        return (time.process_time() - begin) / len(found)


def with_tensorboard(path: Path) -> float:
    """The same, written as TensorBoard events, too."""
    with closing(TensorBoardWriter(path / "tensorboard")) as writer:
        return a_result(path, writer)


def a_generation(path: Path) -> float:
    """What comes after a generation: networks for int8 are chosen and kept, and front.json is written."""
    with _opened(path) as record:
        found, folder, tables = _following(path, record), RunFolder(path), _tables(path)
        runner, measuring = _runner(path, record, found, _tell_nobody)
        runner.run([result.trial for result in found], tables)
        begin = time.process_time()
        runner.evaluate_some_in_int8(tables, stage="generation growth", most=IN_INT8_EACH)
        measuring.between_generations("generation growth")
        runner.front_changed()
        write_front_json(folder, record.archive)
        write_state(folder, SearchState(ended=False, reached="somewhere"))
        return time.process_time() - begin


def proposing(path: Path) -> float:
    """The surrogate is fitted, and the next generation is searched on it."""
    config, origin = RunFolder(path).read_config()
    with _opened(path) as record:
        before, tables = record.store.num_trials(), _tables(path)
        begin = time.process_time()
        sources = {number: source_of(stored.trial) for number, stored in record.store.trials().items()}
        task = surrogate_task(config, origin.space, record.archive, tables, before=before, sources=sources)
        task.proposals()
        return time.process_time() - begin


def choosing(path: Path) -> float:
    """What `select_network.py` does."""
    begin = time.process_time()
    front = read_front(path)
    three_choices(front)
    best_within(front, Limits(max_latency_ms=20.0))
    return time.process_time() - begin


def _runner(
    path: Path, record: RunRecord, found: Sequence[TrialResult], tell: events.Listener
) -> tuple[TrialRunner, FrontMeasuring]:
    """What keeps these results, beside a board that never answers."""
    _, origin = RunFolder(path).read_config()
    measurer = Measurer([ReplayDevice(lambda model: 1.0)])
    measuring = FrontMeasuring(measurer, record, origin.space, _tables(path), tell, patience_seconds=0.0)
    runner = TrialRunner(ReadyBackend(found), record, measuring, origin.space, b"", tell, independent=False)
    return runner, measuring


def _go_through(path: Path, record: RunRecord) -> None:
    """Go through all generations of a run again."""
    config, origin = RunFolder(path).read_config()
    generations: dict[int, list[Proposal]] = {}
    firsts: dict[int, int] = {}
    for number, stored in record.store.trials().items():
        first = firsts.setdefault(stored.trial.generation, number)
        generations.setdefault(first, []).append(proposal_of(stored.trial))
    runner, measuring = _runner(path, record, (), _tell_nobody)
    search_in_generations(
        replace(config, generations=len(generations)),
        origin.space,
        record,
        runner,
        measuring,
        _Known(generations),
        Clock(None),
        _tell_nobody,
        _tell_nobody,
        costs=_tables(path),
    )


@dataclass(frozen=True)
class _Known:
    """Proposals that were made already; implements `moo.search.proposals.ProposalSource`."""

    generations: Mapping[int, Sequence[Proposal]]

    def ask(self, first: int, costs: CostTables, *, more: bool, pending: Sequence[Indices] = ()) -> Sequence[Proposal]:
        """See `ProposalSource.ask`."""
        return self.generations[first]

    def settle(self) -> None:
        """See `ProposalSource.settle`; nothing goes on."""


def _following(path: Path, record: RunRecord) -> list[TrialResult]:
    """Results of the next generations."""
    config, origin = RunFolder(path).read_config()
    first = record.store.num_trials()
    made = results(config, origin.space, _tables(path), 2 * RESULTS, np.random.default_rng(first))
    chosen = [one for one in made if isinstance(one.trial, ArchitectureTrial)][:RESULTS]
    generation = 1 + max(stored.trial.generation for stored in record.store.trials().values())
    return [
        replace(one, trial=replace(one.trial, id=first + place, generation=generation))
        for place, one in enumerate(chosen)
    ]


STEPS: Mapping[str, Callable[[Path], float]] = {
    "report": report,
    "resuming": resuming,
    "result": a_result,
    "tensorboard": with_tensorboard,
    "generation": a_generation,
    "proposing": proposing,
    "choosing": choosing,
}
"""What each does stands in its docstring; each returns the CPU time of doing it once."""


if __name__ == "__main__":
    run(main)
