"""How a command ends before its work does: one line that says why and how to go on, and the exit code.

Start with `told`. Nothing heavy is imported here.
"""

from __future__ import annotations

import errno
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from moo.execution.machinery import MachineryError
from search_space.boundary.text import command_line, one_line, shown

STOP_SIGNALS = tuple(one for one in signal.Signals if one.name in ("SIGINT", "SIGTERM", "SIGHUP"))
LONGEST_MESSAGE = 3000
"""Characters of an error that are shown."""
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
NOT_ALLOWED = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ELOOP, errno.EIO,
    errno.ENAMETOOLONG,
)  # fmt: skip
"""What the system answers where a file is another kind of file, or may not be read or written."""


class StoppedError(KeyboardInterrupt):
    """A signal asked this command to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@dataclass
class Ending:
    """What is said if a command ends before its work does."""

    command: str | None = None
    """What goes on with it; None while nothing is written."""
    kept: str = ""
    """What is not lost, as a clause."""
    log: Path | None = None
    """Where all that the command told is kept."""
    stopped_by: int | None = None
    """The signal that asked it to stop."""
    note: Callable[[str, str], None] = field(default=lambda key, value: None)
    """Tells a process that watches over this one (`scripts.interface.watching`)."""

    @property
    def go_on(self) -> str:
        """How to go on, as a sentence."""
        return "Nothing was written." if self.command is None else f"Go on with: {self.command}"


CURRENT: ContextVar[Ending] = ContextVar("ending")
"""That of the command which runs, once `run` has begun."""


def goes_on_with(command: str, *, kept: str = "nothing that had ended is lost") -> None:
    """From now on, what a command has done is kept, and `command` goes on with it."""
    ending = _current()
    ending.command, ending.kept = command, kept
    ending.note("command", command)
    ending.note("kept", kept)


def logs_to(file: Path) -> None:
    """From now on, all that a command tells is kept in a file."""
    _current().log = file


def same_command(*, omitted: str = "") -> str:
    """This very command line, without one option."""
    return command_line(word for word in these_words() if word != omitted)


def these_words() -> list[str]:
    """Program and arguments of this very command."""
    name = Path(sys.argv[0]).name
    return [*(["python", f"scripts/{name}"] if name.endswith(".py") else [name]), *sys.argv[1:]]


def told(error: BaseException) -> int | None:
    """Say on stderr in one line why a command ends and how to go on.

    Returns:
        The exit code; None where nothing was said, as the error is a mistake of ours.
    """
    ending, code = _current(), 1
    if isinstance(error, KeyboardInterrupt) or ending.stopped_by is not None:
        # Whatever a signal's exception became on its way, as libraries catch it.
        code = 128 + (ending.stopped_by or signal.SIGINT)
        line = f"Stopped{f'; {ending.kept}' if ending.command else ''}. {ending.go_on}"
    elif isinstance(error, MachineryError):
        line = f"error: {one_line(error, most=LONGEST_MESSAGE)} {ending.go_on}"
    elif isinstance(error, MemoryError):
        line = f"error: there must be memory for this, but none is left; free some, and try again. {ending.go_on}"
    elif isinstance(error, OSError) and error.errno in NO_SPACE:
        where = f" for {one_line(error.filename)}" if error.filename else ""
        line = (
            f"error: there must be space on the disk, but none is left{where}; make some, and go on: what had ended is "
            f"kept.{f' {ending.go_on}' if ending.command else ''}"
        )
    elif isinstance(error, OSError) and error.errno in NOT_ALLOWED and error.filename is not None:
        code = 2
        line = (
            # Of two names, what a file is to be called is the one that people know.
            f"error: files must be readable and writable, but {shown(str(error.filename2 or error.filename))} is not: "
            f"{one_line(error.strerror)}. Mend that, and go on: what had ended is kept."
            f"{f' {ending.go_on}' if ending.command else ''}"
        )
    elif isinstance(error, ValueError):
        code, line = 2, f"error: {one_line(error, most=LONGEST_MESSAGE)}"
    else:
        return None
    write_line(line)
    if code == 1 and ending.log is not None:
        write_line(f"All that it told: {one_line(ending.log, most=LONGEST_MESSAGE)}")
    ending.note("told", "")
    return code


def write_line(line: str) -> None:
    """Write a line to stderr, if anybody still reads it: the terminal may have been closed."""
    with suppress(OSError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def say_mistake(error: BaseException) -> None:
    """Show the traceback of a mistake of ours, and how to go on."""
    for line in "".join(traceback.format_exception(error)).splitlines():
        write_line(line[: len(line) - len(line.lstrip())] + one_line(line, most=LONGEST_MESSAGE))
    if _current().command is not None:
        write_line(_current().go_on)
    if _current().log is not None:
        write_line(f"All that it told: {one_line(_current().log, most=LONGEST_MESSAGE)}")


def stopped_by() -> int | None:
    """The signal that asked this command to stop, if one has."""
    return _current().stopped_by


def answer_signals(ending: Ending) -> None:
    """Have the first of the signals that ask to stop raise `StoppedError`; later ones are no news.

    One that is ignored, as SIGHUP under `nohup`, stays so.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        if ending.stopped_by is None:
            ending.stopped_by = number
            raise StoppedError(number)

    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)


def _current() -> Ending:
    return CURRENT.get(Ending())
