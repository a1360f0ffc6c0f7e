"""Events of a run as lines of its `events.jsonl`: a listener of `moo.events`, and the one place where they become JSON.

What a line of each kind holds, docs/events.md says. Start with `EventLog`.
"""

from __future__ import annotations

import os
import platform
import re
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from devices.measurement import Measurement
from dnas.divergence import Divergence
from moo import events
from moo.storage.archive import OperatingPoint
from moo.storage.event_file import EventFile
from moo.storage.run_folder import RunFolder
from moo.storage.trained_network import TrainedNetwork
from moo.trials import Trial
from search_space.boundary.text import one_line, reason_of

APART_SECONDS = 0.5
"""From one line on the progress of a stage to the next on the same, at least; the last one is always written."""
SEARCH_APART_SECONDS = 1.0
"""The same for inner searches, of which many may go on at a time."""
LONGEST_TEXT = 2000
"""Characters of a text."""
LAST_LINES = 40
"""Of a traceback."""
LONGEST_TRACE_LINE = 300
MOST_EARLY = 1000
"""Lines that wait until the folder is known; the latest are kept."""
_INNER_SEARCH = "inner search"
_WORD = re.compile(r"(?<!^)(?=[A-Z])")

Json = dict[str, Any]


def kind_of(event: type[events.Event]) -> str:
    """The name of an event's class in snake case: its kind in the file."""
    return _WORD.sub("_", event.__name__).lower()


def event_json(event: events.Event) -> Json:
    """Figures and names of an event, as its line in the file has them beside `at` and `kind`."""
    match event:
        case events.TrialStarted(trial, architecture):
            return _trial(trial) | {"architecture": architecture}
        case events.TrialFinished(result, new, architecture):
            error, latency_ms, energy_mj = result.objectives
            return _trial(result.trial) | {
                "architecture": architecture,
                "error": error,
                "latency_ms": latency_ms,
                "energy_mj": energy_mj,
                "architectures": len(result.architectures),
                "new_architectures": new,
                "seconds": result.seconds,
            }
        case events.TrialFailed(trial, trace):
            return _trial(trial) | {"reason": _last(trace), "traceback": _trace(trace)}
        case events.InnerSearchProgress():
            return _inner_search(event)
        case events.PretrainEpoch(record, total):
            figures = {"loss": record.loss, "accuracy": record.accuracy, "lr": record.lr}
            return {"epoch": record.epoch, "epochs": total} | figures
        case events.TrainingDiverged(name, divergence):
            return {"name": _text(name)} | _divergence(divergence)
        case events.NetworkMeasured(network, measurement, waiting):
            return {"network": _text(network)} | _measurement(measurement) | {"waiting": waiting}
        case events.FrontChanged():
            return _front(event)
        case events.TrainingProgress(name, step, total, epoch):
            progress: Json = {"name": _text(name), "step": step, "total_steps": total}
            if epoch is None:
                return progress | {"epoch": None, "epochs": None, "loss": None, "accuracy": None, "lr": None}
            record_of = epoch.record
            figures = {"loss": record_of.loss, "accuracy": record_of.accuracy, "lr": record_of.lr}
            return progress | {"epoch": record_of.epoch, "epochs": epoch.epochs} | figures
        case events.TrainingFinished(network):
            return _trained(network)
        case events.CommandEnded():
            return _fields(event) | {"traceback": None if event.traceback is None else _trace(event.traceback)}
        case _:
            return _fields(event)


class EventLog:
    """Keeps events in the folder of a run; as a context it tells how the command began and ended.

    What comes before inputs are checked is kept until then: only who has the folder writes into it.
    """

    def __init__(
        self,
        command: str,
        folder: Path | None = None,
        *,
        stopped_by: Callable[[], int | None] = lambda: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Write nothing yet.

        Args:
            command: the command line.
            folder: of the run; None where it is not known yet.
            stopped_by: the signal that asked the command to stop, if one has.
            now: seconds since 1970.
        """
        self._command = command
        self._stopped_by = stopped_by
        self._folder = folder
        self._now = now
        self._start = now()
        self._file: EventFile | None = None
        self._early: list[tuple[float, str, Json]] = []
        self._thinning = Thinning()

    def __enter__(self) -> EventLog:
        started = events.CommandStarted(
            command=self._command, pid=os.getpid(), process_start=process_start(os.getpid()), machine=platform.node()
        )
        self._take(started)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write(self._thinning.rest())
        self._take(_ended(error, self._stopped_by(), self._now() - self._start))
        if self._file is not None:
            self._file.close()

    def __call__(self, event: events.Event) -> None:
        """Take in one event."""
        folder = Path(event.folder) if isinstance(event, events.RunStarted) else self._folder
        if self._file is None and folder is not None and isinstance(event, _BEGINNINGS):
            self._file = EventFile(RunFolder(folder).events)
            early, self._early = self._early, []
            self._write(early)
        self._take(event)

    def _take(self, event: events.Event) -> None:
        self._write(self._thinning.taken(self._now(), event))

    def _write(self, lines: Sequence[tuple[float, str, Json]]) -> None:
        if self._file is None:
            self._early = [*self._early, *lines][-MOST_EARLY:]
            return
        for line in lines:
            self._file.append(*line)


_BEGINNINGS = (events.RunStarted, events.TrainingsStarted, events.AdaptationStarted)
"""Events after which the folder is the command's own."""


class Thinning:
    """Leaves out lines that say what later ones on the same thing say, too, where they come fast."""

    def __init__(self) -> None:
        self._written: dict[str, float] = {}
        self._waiting: dict[str, tuple[float, str, Json]] = {}

    def taken(self, now: float, event: events.Event) -> list[tuple[float, str, Json]]:
        """Lines that are to be written now that this has happened.

        Args:
            now: seconds since 1970.
            event: that happened.
        """
        key, is_last = _progress_of(event)
        if key is not None:
            # What is left out is never made.
            self._waiting.pop(key, None)
        due = [one for one, (at, _, _) in self._waiting.items() if key is None or now - at >= _apart(one)]
        lines = [self._waiting.pop(one) for one in due]
        line = (now, kind_of(type(event)), event_json(event))
        if key is not None and not is_last and now - self._written.get(key, 0.0) < _apart(key):
            self._waiting[key] = line
            return lines
        if key is not None:
            self._written[key] = now
        return [*lines, line]

    def rest(self) -> list[tuple[float, str, Json]]:
        """Lines that wait."""
        lines, self._waiting = [*self._waiting.values()], {}
        return lines


def _apart(key: str) -> float:
    return SEARCH_APART_SECONDS if key.startswith(_INNER_SEARCH) else APART_SECONDS


def _progress_of(event: events.Event) -> tuple[str | None, bool]:
    """What an event is on the progress of, and whether it is the last on it; None where it is no progress."""
    match event:
        case events.StageProgress(stage, done, total):
            return f"stage {stage}", done >= total
        case events.TrainingProgress(name, step, total, epoch):
            return f"training {name}", step >= total or epoch is not None
        case events.InnerSearchProgress():
            return f"{_INNER_SEARCH} {event.trial.id}", event.step >= event.steps
        case events.TimeEstimated():
            return "time left", False
        case events.FrontChanged():
            return "front", False
        case _:
            return None, False


def process_start(pid: int) -> int | None:
    """When a process started, in ticks since this machine did; None where the system does not tell."""
    try:
        # The name, in parentheses, may hold any.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def _ended(error: BaseException | None, stopped_by: int | None, seconds: float) -> events.CommandEnded:
    if error is None:
        return events.CommandEnded(ending="finished", seconds=seconds)
    if isinstance(error, KeyboardInterrupt) or stopped_by is not None:
        # Whatever a signal's exception became on its way, as libraries catch it.
        reason = signal.Signals(stopped_by or signal.SIGINT).name
        return events.CommandEnded(ending="stopped", seconds=seconds, reason=reason)
    known = isinstance(error, ValueError | OSError | MemoryError)
    trace = None if known else "".join(traceback.format_exception(error))
    reason = reason_of(error, most=LONGEST_TEXT)
    if not known and type(error).__module__ == "builtins":
        # Of itself it says little: `KeyError: 'x'`.
        reason = f"{type(error).__name__}: {reason}"
    return events.CommandEnded(ending="failed", seconds=seconds, reason=reason, traceback=trace)


def _trial(trial: Trial) -> Json:
    """What a trial tries; generations count from 1, and 0 are those taken over from another run."""
    c = trial.coefficients
    return {
        "trial": trial.id,
        "generation": trial.generation + 1,
        "coefficients": None if c is None else [c.alpha, c.beta, c.gamma, c.delta],
        "configuration": None if trial.configuration is None else trial.configuration.label,
    }


def _inner_search(event: events.InnerSearchProgress) -> Json:
    """How far it is, with the figures of its last step."""
    last = event.records[-1]
    return {
        "trial": event.trial.id,
        "step": event.step,
        "steps": event.steps,
        "loss": last.loss,
        "latency_ms": last.latency_ms,
        "energy_mj": last.energy_mj,
        "entropy": last.entropy,
    }


def _measurement(m: Measurement) -> Json:
    return {
        "configuration": m.configuration.label,
        "latency_ms": m.latency_ms,
        "energy_mj": m.energy_mj,
        "latency_source": m.latency_source,
        "energy_source": m.energy_source,
        "board": _text(m.board),
        "reliable": m.reliable,
        "throttled": m.throttled,
        "temperature_c": m.after.temperature_c,
        "clock_mhz": m.after.clock_mhz,
    }


def _front(event: events.FrontChanged) -> Json:
    return {
        "points": len(event.front),
        "hypervolume": event.hypervolume,
        "evaluations": event.evaluations,
        "trials": event.trials,
        "error_kind": event.error,
        "front": [_point(point) for point in event.front],
    }


def _point(point: OperatingPoint) -> str:
    return f"{point.id} {point.configuration.label}"


def _trained(network: TrainedNetwork) -> Json:
    return {
        "name": _text(network.name),
        "baseline": network.baseline,
        "error": network.error,
        "top1": network.top1,
        "top3": network.top3,
        "epochs": network.epochs,
        "seconds": network.seconds,
    }


def _divergence(divergence: Divergence) -> Json:
    return {"epoch": divergence.epoch, "loss": divergence.loss, "guessing": divergence.guessing, "lr": divergence.lr}


def _fields(event: events.Event) -> Json:
    """Those of an event which has plain values alone."""
    return {key: _plain(value) for key, value in asdict(event).items()}


def _plain(value: Any) -> Any:
    """Plain values, texts among them as one line each."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _text(text: str) -> str:
    return one_line(text, most=LONGEST_TEXT)


def _trace(trace: str) -> str:
    """The last lines of a traceback, with their indents."""
    lines = trace.rstrip().splitlines()[-LAST_LINES:]
    return "\n".join(f"{_indent(line)}{one_line(line, most=LONGEST_TRACE_LINE)}" for line in lines)


def _indent(line: str) -> str:
    return " " * min(12, len(line) - len(line.lstrip(" ")))


def _last(trace: str) -> str:
    return _text(trace.rstrip().rpartition("\n")[2])
