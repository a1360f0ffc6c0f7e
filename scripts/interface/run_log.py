"""What a run told, kept in its folder: `run.log`, a line a thing, with UTC time stamps. A listener of `moo.events`."""

from __future__ import annotations

import logging
import os
import stat
import time
from contextlib import suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from moo import events
from moo.trials import named
from scripts.interface.endings import logs_to
from search_space.boundary.text import one_line

NAME = "run.log"
LONGEST_FILE = 8 * 2**20
"""Bytes; then the file becomes `run.log.1`, in the place of an earlier one."""
LONGEST_LINE = 4000
PACKAGES = ("moo", "evaluation", "dnas", "devices", "search_space", "scripts")
"""Whose loggers are kept, from INFO on; of other packages, warnings are."""
_QUIET = (
    events.StageProgress,
    events.TimeEstimated,
    events.TrainingProgress,
    events.FrontChanged,
    events.InnerSearchProgress,
)
"""Events that come often: kept where their stage changes, or not at all."""


class RunLog:
    """Keeps events and what loggers say; as a context it takes and frees the loggers.

    What comes before inputs are checked is kept until then. A file that cannot be written ends nothing: it is a help.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Write nothing yet.

        Args:
            folder: of the run; None where it is not known yet.
        """
        self._folder = folder
        self._handler = _FileOfRun()
        self._handlers: list[logging.Handler] = [self._handler]
        if not logging.getLogger().handlers and logging.lastResort is not None:
            # Without any handler, Python shows warnings; that stays so.
            self._handlers.append(logging.lastResort)
        self._levels: dict[str, int] = {}
        self._stage = ""

    def __enter__(self) -> RunLog:
        for handler in self._handlers:
            logging.getLogger().addHandler(handler)
        for name in PACKAGES:
            logger = logging.getLogger(name)
            self._levels[name] = logger.level
            logger.setLevel(logging.INFO)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._say(logging.ERROR, f"ended by {type(error).__name__}: {error}", trace=error)
        for handler in self._handlers:
            logging.getLogger().removeHandler(handler)
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)
        self._handler.close()

    def __call__(self, event: events.Event) -> None:
        """Take in one event."""
        match event:
            case events.RunStarted():
                self._use(Path(event.folder))
                self._say(logging.INFO, "the run is resumed" if event.resumed else "the run starts")
                for word, value in event.description:
                    self._say(logging.INFO, f"{word}: {value}")
            case events.TrainingsStarted() | events.AdaptationStarted():
                if self._folder is not None:
                    self._use(self._folder)
                self._say(logging.INFO, _as_text(event))
            case events.StageProgress(stage, _, total, detail) if stage != self._stage:
                self._stage = stage
                self._say(logging.INFO, f"{stage} ({total}) {detail}")
            case events.TrialStarted(trial):
                self._say(logging.INFO, f"{named(trial)} began")
            case events.TrialFinished(result, new):
                objectives = ", ".join(f"{value:.6g}" for value in result.objectives)
                self._say(logging.INFO, f"{named(result.trial)} ended, {new} new, {result.seconds:.1f} s: {objectives}")
            case events.TrialFailed(trial, trace):
                self._say(logging.ERROR, f"{named(trial)} failed: {' | '.join(trace.splitlines()[-12:])}")
            case events.FrontChanged():
                found = f"{event.evaluations} architectures, {len(event.front)} points on the front"
                self._say(logging.INFO, f"{found}, hypervolume {event.hypervolume:.6f}, {event.trials} trials")
            case events.MeasuringFailed() | events.BoardUnreachable() | events.TrainingFailed():
                self._say(logging.WARNING, _as_text(event))
            case _ if not isinstance(event, _QUIET):
                self._say(logging.INFO, _as_text(event))

    def _use(self, folder: Path) -> None:
        if self._handler.use(folder):
            logs_to(folder / NAME)

    def _say(self, level: int, text: str, trace: BaseException | None = None) -> None:
        record = logging.LogRecord("run", level, "", 0, one_line(text, most=LONGEST_LINE), None, None)
        if trace is not None and not isinstance(trace, KeyboardInterrupt | ValueError):
            record.exc_info = (type(trace), trace, trace.__traceback__)
        self._handler.handle(record)


class _FileOfRun(logging.Handler):
    """Appends lines to a run's file, through no link, and within bounds."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._folder: Path | None = None
        self._file: int | None = None
        self._early: list[str] = []

    def use(self, folder: Path) -> bool:
        """Write to this folder from now on; returns whether that can be done."""
        if self._file is None:
            self._folder = folder
            self._open()
        return self._file is not None

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is the project's own, or a warning."""
        own = record.name.partition(".")[0] in (*PACKAGES, "run")
        return bool(super().filter(record)) and (own or record.levelno >= logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record as one line, its traceback as further ones."""
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        head = f"{at} {record.levelname:<7} {record.name}: "
        lines = [head + one_line(record.getMessage(), most=LONGEST_LINE)]
        if record.exc_info:
            trace = logging.Formatter().formatException(record.exc_info)
            lines += [f"{at}         {one_line(line, most=LONGEST_LINE)}" for line in trace.splitlines()]
        if self._file is None:
            self._early = (self._early + lines)[-1000:]
        else:
            self._write(lines)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        super().close()

    def _open(self) -> None:
        assert self._folder is not None
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        with suppress(OSError):
            handle = os.open(self._folder / NAME, flags, 0o644)
            found = os.fstat(handle)
            # A pipe or a device, or a file that has another name elsewhere, is none of ours.
            if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
                os.close(handle)
                return
            self._file = handle
            early, self._early = self._early, []
            self._write(early)

    def _write(self, lines: list[str]) -> None:
        assert self._file is not None
        assert self._folder is not None
        with suppress(OSError):
            os.write(self._file, "".join(f"{line}\n" for line in lines).encode(errors="replace"))
            if os.fstat(self._file).st_size > LONGEST_FILE:
                os.close(self._file)
                self._file = None
                (self._folder / NAME).replace(self._folder / f"{NAME}.1")
                self._open()


def _as_text(event: Any) -> str:
    """An event as its type's name in words, and its plain values."""
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in type(event).__name__).strip()
    return f"{words}: {_values(event)}"


def _values(record: Any) -> str:
    shown = []
    for field in fields(record):
        value = getattr(record, field.name)
        if is_dataclass(value) and not isinstance(value, type):
            shown.append(f"{field.name} ({_values(value)})")
        elif isinstance(value, str | int | float | tuple | None):
            shown.append(f"{field.name} {one_line(value, most=400)}")
    return ", ".join(shown)
