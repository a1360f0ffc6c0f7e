"""What a search looks like in a terminal: progress, workers, board, front, time left. A listener of `moo.events`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TaskID, TextColumn
from rich.table import Column, Table

from evaluation.errors import ERROR_NAMES
from moo import events
from moo.analysis.networks import grouped, shown_points
from moo.formatting import cost, duration, error_text, percent
from moo.trials import named
from scripts.interface.terminal import dashboard_text, plain, plain_lines, say

WIDE = 110
"""Columns from which on words are written out."""
LOGGED_APART = 60.0
"""Seconds from one estimate of the time left to the next, without a terminal, but where a stage begins."""
_LEAST_ROWS = 6
"""Of the front; what is searched is shown where it leaves as many, or as many as there are."""
_ROWS_AROUND_FRONT = 3
"""Title, head, and how many more there are."""
_MOST_STEPS = 4
"""Trials whose steps are shown."""
_BARS = " ▁▂▃▄▅▆▇█"
_SHORT = {"measured": "meas", "modelled": "mod", "published": "publ"}


class LiveView:
    """Shows a run while it goes on; without a terminal, it prints a line for each larger step instead."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description:<15}"),
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}", table_column=Column(no_wrap=True, overflow="ellipsis")),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._header: list[tuple[str, str]] = []
        self._trials: int | None = None
        self._measures = True
        self._generation = 0
        self._trials_this_run = self._trials_done = self._running = self._failed = self._measured = self._waiting = 0
        self._steps: dict[int, str] = {}
        """How far inner searches that go on are, by their trials."""
        self._started = time.monotonic()
        self._searching = False
        self._left: tuple[float, float] | None = None
        self._logged_stages: set[str] = set()
        self._logged = -LOGGED_APART
        self._front: events.FrontChanged | None = None
        self._hypervolumes: list[float] = []
        self._live = Live(self, console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> LiveView:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def __call__(self, event: events.Event) -> None:
        """Take in one event."""
        match event:
            case events.RunStarted():
                self._run_started(event)
            case events.StageProgress(stage, done, total, detail):
                self._show(stage, done, total, detail)
            case events.PretrainEpoch(record, total):
                detail = f"loss {record.loss:.3f}, accuracy of paths {percent(record.accuracy)}"
                self._show("pre-training", record.epoch, total, detail)
            case events.TrainingDiverged(name, divergence):
                self._console.print(f"[yellow]{plain(f'{name} {divergence}')}[/]")
            case events.GenerationStarted(number, trials, already_done):
                self._generation_started(number, trials, already_done)
            case events.TrialStarted():
                self._running += 1
            case events.InnerSearchProgress():
                self._steps[event.trial.id] = f"{event.step}/{event.steps}"
            case events.TrialFinished(result, new):
                self._trial_ended(result.trial.id)
                found = f"{len(result.architectures)} architectures, {new} new"
                self._log(f"{named(result.trial)}: {found}, {result.seconds:.1f} s")
            case events.TrialFailed(trial, trace):
                self._failed += 1
                self._trial_ended(trial.id)
                self._console.print(
                    f"[red]{named(trial)} failed; the search goes on without it[/]\n{plain_lines(trace)}"
                )
            case events.NetworkMeasured(identifier, measurement, waiting):
                self._measured += 1
                self._waiting = waiting
                m = measurement
                energy = cost(m.energy_mj, "mJ", m.energy_source)
                self._log(f"measured {identifier}: {m.latency_ms:.3f} ms, {energy}")
            case events.MeasuringFailed(identifier, reason):
                self._console.print(f"[yellow]{plain(identifier)} could not be measured: {plain(reason)}[/]")
            case events.BoardBack(device):
                self._console.print(f"[green]{plain(device)} is back[/]")
            case events.BoardUnreachable(device, reason):
                self._console.print(
                    f"[yellow]{plain(device)} does not answer; the search goes on with predicted costs: "
                    f"{plain(reason)}[/]"
                )
            case events.FrontChanged():
                self._front = event
                self._hypervolumes.append(event.hypervolume)
            case events.TimeEstimated(stage, seconds):
                self._estimated(stage, seconds)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """As much as the terminal holds: figures always, then the front, then what is searched."""
        lines = options.max_height - 1
        figures: RenderableType = _pairs(self._figures())
        stages = self._progress.make_tasks_table(self._shown_tasks()) if self._shown_tasks() else Group()
        header: RenderableType = Group()
        if self._header:
            header = Panel(_pairs(self._header), title="Pareto search", title_align="left")
        left = lines - _height(console, options, stages) - _height(console, options, figures)
        front = self._front.front if self._front is not None else ()
        wanted = min(len(front), _LEAST_ROWS) + _ROWS_AROUND_FRONT if front else 0
        if left - _height(console, options, header) < wanted:
            header = _folder_line(self._header)
        left -= _height(console, options, header)
        yield header
        yield stages
        yield figures
        if self._front is not None and front and left > _ROWS_AROUND_FRONT:
            yield _front_table(self._front, rows=left - _ROWS_AROUND_FRONT, wide=options.max_width >= WIDE)

    def _shown_tasks(self) -> list[Task]:
        """Stages that go on, the search and the last that ended."""
        tasks = self._progress.tasks
        return [task for task in tasks if not task.finished or task.description == "search" or task is tasks[-1]]

    def _run_started(self, event: events.RunStarted) -> None:
        self._trials, self._measures = event.trials, event.measures
        self._header = [
            *event.description,
            ("run folder", event.folder),
            ("Ray dashboard", dashboard_text(event.dashboard_url)),
            ("TensorBoard", f"tensorboard --logdir {event.folder}/tensorboard"),
        ]
        if not self._console.is_terminal:
            for word, value in self._header:
                say(self._console, f"{word}: {value}")

    def _generation_started(self, number: int, trials: int, already_done: int) -> None:
        self._generation = number
        self._trials_done += already_done
        self._searching = True
        self._show("search", self._trials_done, self._trials, f"generation {number}")

    def _trial_ended(self, trial: int) -> None:
        self._steps.pop(trial, None)
        self._running -= 1
        self._trials_done += 1
        self._trials_this_run += 1
        self._show("search", self._trials_done, self._trials, f"generation {self._generation}", quiet=True)

    def _figures(self) -> list[tuple[str, str]]:
        figures = []
        if self._searching:
            steps = f" (step {', '.join(list(self._steps.values())[:_MOST_STEPS])})" if self._steps else ""
            trials = f"{self._trials_done} done, {self._running} running{steps}, {self._failed} failed"
            figures.append(("trials", trials))
            if self._measures:
                figures.append(("networks", f"{self._measured} measured, {self._waiting} waiting"))
        if self._searching and self._front is not None:
            value = f"{self._front.hypervolume:.4f}  {sparkline(self._hypervolumes)}"
            figures += [
                ("architectures", f"{self._front.evaluations}, {len(self._front.front)} on the front"),
                ("hypervolume", value),
            ]
        figures += [
            ("elapsed", duration(time.monotonic() - self._started)),
            ("time left (all)", self._time_left()),
        ]
        return figures

    def _time_left(self) -> str:
        if self._left is None:
            return "not known yet"
        seconds, at = self._left
        return f"about {duration(seconds - (time.monotonic() - at))}"

    def _estimated(self, stage: str, seconds: float) -> None:
        now = time.monotonic()
        self._left = (seconds, now)
        if stage not in self._logged_stages or now - self._logged >= LOGGED_APART:
            self._logged_stages.add(stage)
            self._logged = now
            self._log(f"{stage}: elapsed {duration(now - self._started)}, time left (all) {self._time_left()}")

    def _show(self, stage: str, done: int, total: int | None, detail: str, *, quiet: bool = False) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=total, detail=plain(detail))
        # A run that is resumed for shorter has more than it needs.
        total = None if total is None else max(done, total)
        self._progress.update(self._tasks[stage], completed=done, total=total, detail=plain(detail))
        if not quiet and stage in ("pre-training", "search"):
            self._log(f"{stage} {done}{'' if total is None else f'/{total}'} {detail}")

    def _log(self, text: str) -> None:
        if not self._console.is_terminal:
            say(self._console, text)


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """The last values as a row of bars, from the least to the greatest of them."""
    shown = list(values)[-width:]
    low, high = min(shown, default=0.0), max(shown, default=0.0)
    span = (high - low) or 1.0
    return "".join(_BARS[1 + round((value - low) / span * (len(_BARS) - 2))] for value in shown)


def _pairs(pairs: Sequence[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for word, value in pairs:
        table.add_row(f"[dim]{word}[/]", plain(value))
    return table


def _height(console: Console, options: ConsoleOptions, part: RenderableType) -> int:
    return len(console.render_lines(part, options.update(height=None)))


def _folder_line(header: Sequence[tuple[str, str]]) -> RenderableType:
    """Where the run lies, which is all of the header that a low terminal has place for."""
    return _pairs([pair for pair in header if pair[0] == "run folder"]) if header else Group()


def _front_table(state: events.FrontChanged, *, rows: int, wide: bool) -> Table:
    errors = error_text(point.costs.energy_error for point in state.front)
    title = "front so far" + (f" (modelled energies{errors})" if errors else "")
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2 if wide else 1))
    for column in (
        "architecture",
        "runs with",
        ERROR_NAMES[state.error],
        "latency ms" if wide else "ms",
        "",
        "energy mJ",
        "",
    ):
        table.add_column(
            column, justify="left" if column in ("architecture", "runs with", "") else "right", no_wrap=True
        )
    shown = grouped(shown_points(state.front, rows))
    for point in shown:
        costs = point.costs
        table.add_row(
            point.id,
            point.configuration.short_label,
            percent(point.error),
            f"{costs.latency_ms:.3f}",
            costs.latency_source if wide else _SHORT[costs.latency_source],
            f"{costs.energy_mj:.3f}",
            costs.energy_source if wide else _SHORT[costs.energy_source],
        )
    if len(shown) < len(state.front):
        table.add_row(f"... and {len(state.front) - len(shown)} more", "", "", "", "", "", "")
    return table
