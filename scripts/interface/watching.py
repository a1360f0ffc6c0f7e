"""A long command in a process that another, small one watches over.

The watching process is the one that was started: it passes signals on, says how to go on where the other dies without
a word (killed for want of memory, or ended by a library), and leaves no process behind. Start with `watched`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from scripts.interface.endings import CURRENT, STOP_SIGNALS, Ending, answer_signals, write_line

PATIENCE_SECONDS = 6.0
"""From a signal to the last word of a command; it is killed where it has none."""
END_SECONDS = 8.0
"""From a signal to the end of a command that has had its last word, and may still draw what it found."""
AGAIN_SECONDS = 1.0
"""A second signal ends all at once; what comes sooner is the first again, sent to a process and to its group."""
LEAVE_SECONDS = 2.0
"""Time that a process has to end after its exit code is known, or after it is asked to."""
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def watched(work: Callable[[], int]) -> int:
    """Do work in a child process, and end with it.

    Args:
        work: returns the exit code; it says why where it is not 0 (`scripts.interface.endings`).

    Returns:
        The exit code; in the child process, too, which must then exit.
    """
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    waiting = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    others = _children()
    watcher, child = os.getpid(), os.fork()
    if not child:
        os.close(reader)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != watcher:
            os._exit(1)
        return _child(work, writer, waiting)
    os.close(writer)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    return _Watch(child, reader, others).until_end(waiting)


def _child(work: Callable[[], int], writer: int, waiting: set[int | signal.Signals]) -> int:
    def note(key: str, value: str) -> None:
        with contextlib.suppress(OSError):
            os.write(writer, f"{key} {value}\n".encode())

    ending = Ending(note=note)
    CURRENT.set(ending)
    answer_signals(ending)
    signal.pthread_sigmask(signal.SIG_SETMASK, waiting)
    code = work()
    note("code", str(code))
    return code


class _Watch:
    def __init__(self, child: int, reader: int, others: set[int]) -> None:
        self._child, self._reader, self._others = child, reader, others
        self._notes: dict[str, str] = {}
        self._rest = b""
        self._first: tuple[int, float] | None = None
        self._second: int | None = None
        self._ended: float | None = None

    def until_end(self, waiting: set[int | signal.Signals]) -> int:
        """Pass signals on until the child has ended; returns the exit code."""
        wakeup, alarm = os.pipe()
        for end in (wakeup, alarm, self._reader):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        for number in STOP_SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda number, frame: self._signalled(number))
        signal.pthread_sigmask(signal.SIG_SETMASK, waiting)
        while not (status := os.waitpid(self._child, os.WNOHANG))[0]:
            ready, _, _ = select.select([wakeup, self._reader], [], [], 0.5 if self._first or self._ended else None)
            if wakeup in ready:
                os.read(wakeup, 512)
            if self._reader in ready:
                self._read()
            if self._is_late() or self._second is not None:
                os.kill(self._child, signal.SIGKILL)
        self._read()
        code = self._code(os.waitstatus_to_exitcode(status[1]))
        end_processes(LEAVE_SECONDS if self._second is None else 0.0, others=self._others)
        return code

    def _signalled(self, number: int) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = (number, now)
            os.kill(self._child, number)
        elif now > self._first[1] + AGAIN_SECONDS:
            self._second = number

    def _is_late(self) -> bool:
        now = time.monotonic()
        if self._ended is not None:
            return now > self._ended + LEAVE_SECONDS
        patience = END_SECONDS if "told" in self._notes else PATIENCE_SECONDS
        return self._first is not None and now > self._first[1] + patience

    def _read(self) -> None:
        """Notes of the child, without waiting for any."""
        with contextlib.suppress(BlockingIOError):
            while content := os.read(self._reader, 4096):
                *lines, self._rest = (self._rest + content).split(b"\n")
                self._notes.update(_notes(lines))
        if "code" in self._notes and self._ended is None:
            self._ended = time.monotonic()

    def _code(self, status: int) -> int:
        """The exit code of all, and the last word where the child had none."""
        notes = self._notes
        if self._second is not None:
            return 128 + self._second
        if "code" in notes and (self._first is None or notes["code"] == "0"):
            return int(notes["code"])
        command = notes.get("command")
        go_on = "Nothing was written." if command is None else f"Go on with: {command}"
        kept = f"; {notes['kept']}" if command is not None else ""
        if self._first is not None:
            if "told" not in notes:
                write_line(f"Stopped{kept}. {go_on}")
            return 128 + self._first[0]
        if "told" not in notes:
            write_line(f"error: {_death(status)}{kept}. {go_on}")
        return 1


def _notes(lines: list[bytes]) -> Iterator[tuple[str, str]]:
    for line in lines:
        key, _, value = line.decode().partition(" ")
        yield key, value


def _death(status: int) -> str:
    if status >= 0:
        return f"a library ended the program with status {status}, as Ray does where it died itself"
    name = signal.Signals(-status).name
    return f"the program was killed ({name}){', as when memory runs out' if name == 'SIGKILL' else ''}"


def end_processes(patience_seconds: float, *, others: set[int]) -> None:
    """End all processes that descend from this one; those whose parent died have become its children.

    Args:
        patience_seconds: that they have to tidy up; then they are killed.
        others: children that were there before, which a shell may have left to this process.
    """
    asked: set[int] = set()
    deadline = time.monotonic() + patience_seconds
    while pids := _children() - others:
        late = time.monotonic() > deadline
        for pid in pids if late else pids - asked:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
                os.kill(pid, signal.SIGCONT)
        asked |= pids
        if time.monotonic() > deadline + LEAVE_SECONDS:
            return
        for pid in pids:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.02)


def _children() -> set[int]:
    """Processes whose parent is this one, those that have ended and were not waited for included."""
    me, found = os.getpid(), set()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name, in parentheses, may hold any.
            if int(entry.read_text().rpartition(")")[2].split()[1]) == me:
                found.add(int(entry.parent.name))
    return found


def _prctl(option: int, value: int) -> None:
    """Ask the kernel for something; other systems than Linux do without."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
