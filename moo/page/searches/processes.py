"""Processes that work in run folders: found without any help of theirs, known for sure, and asked to stop.

Whatever works in a run folder holds its lock, and the kernel lists who holds which (/proc/locks): so those that were
started in a terminal are found, too. A process is its number and its start, as numbers come again. Start with
`LockHolders`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from evaluation.work_folder import LOCK

_PROC = Path("/proc")
_SEARCHING, _TRAINING = "searching", "training"
_WORK = {
    "pareto_search": _SEARCHING, "pareto-search": _SEARCHING,
    "train_front": _TRAINING, "train-front": _TRAINING,
    "compare_baselines": "training baselines", "compare-baselines": "training baselines",
    "adapt_front": "adapting", "adapt-front": "adapting",
}  # fmt: skip
"""What the commands of the project do, by their names as scripts and as installed."""


@dataclass(frozen=True)
class Process:
    """A process, and no later one of the same number."""

    pid: int
    start: int
    """Ticks of the kernel's clock (field 22 of /proc/PID/stat)."""

    @property
    def is_alive(self) -> bool:
        """Whether it still runs; one that has ended and was not waited for does not."""
        found = _stat(self.pid)
        return found is not None and int(found[19]) == self.start and found[0] not in "ZX"

    @property
    def is_own(self) -> bool:
        """Whether it is of the user of this process, who alone may stop it."""
        try:
            return (_PROC / str(self.pid)).stat().st_uid == os.getuid()
        except OSError:
            return False

    @property
    def words(self) -> tuple[str, ...]:
        """Its command line; empty where it has ended."""
        try:
            content = (_PROC / str(self.pid) / "cmdline").read_bytes()
        except OSError:
            return ()
        return tuple(os.fsdecode(word) for word in content.rstrip(b"\0").split(b"\0"))

    @property
    def work(self) -> str:
        """What it does, as a word: `searching`, `training`, `adapting`, or `working`."""
        names = (Path(word).name.removesuffix(".py") for word in self.words[:4])
        return next((_WORK[name] for name in names if name in _WORK), "working")

    @property
    def head(self) -> Process:
        """The process that is asked: one of the same command line that watches over it, else itself."""
        found = _stat(self.pid)
        parent = None if found is None else process_of(int(found[1]))
        return parent if parent is not None and self.words and parent.words == self.words else self

    def interrupt(self) -> bool:
        """Ask it to stop, as Ctrl-C does; returns whether it was there.

        Raises:
            ValueError: if it is another user's, or the system cannot tell it from a later one of the same number.
        """
        if not hasattr(os, "pidfd_open"):
            raise ValueError("a search can be stopped from the page on Linux alone: press Ctrl-C in its terminal.")
        try:
            handle = os.pidfd_open(self.pid)
        except OSError:
            return False
        try:
            # From here on the number cannot become another's.
            if not self.is_alive:
                return False
            if not self.is_own:
                raise ValueError("only the user who started a search may stop it, but this one is another's.")
            # What a script started in the background ignores Ctrl-C; the project's programs take both alike.
            number = signal.SIGTERM if _ignores(self.pid, signal.SIGINT) else signal.SIGINT
            signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(handle)
        return True


def process_of(pid: int) -> Process | None:
    """The process that has a number now; None where none has."""
    found = _stat(pid)
    return None if found is None else Process(pid, int(found[19]))


class LockHolders:
    """Who holds the locks of folders, as of when this was made."""

    def __init__(self) -> None:
        self._pids: dict[int, list[int]] = {}
        with suppress(OSError):
            for line in (_PROC / "locks").read_text().splitlines():
                for inode, pid in _flock(line):
                    self._pids.setdefault(inode, []).append(pid)

    def of(self, folder: Path) -> Process | None:
        """The process that works in a folder; None where none does."""
        lock = folder / LOCK
        try:
            found = lock.lstat()
        except OSError:
            return None
        for pid in self._pids.get(found.st_ino, ()):
            process = process_of(pid)
            # File systems have numbers of their own: the very file must be open where that can be seen.
            if process is not None and (not process.is_own or _has_open(pid, found)):
                return process
        return None


def _flock(line: str) -> Iterator[tuple[int, int]]:
    """Number of file and holder, of a line like `1: FLOCK ADVISORY WRITE 3526 fe:00:2302266 0 EOF`."""
    words = line.split()
    if len(words) > 5 and words[1] == "FLOCK":
        with suppress(ValueError):
            yield int(words[5].rpartition(":")[2]), int(words[4])


def _ignores(pid: int, number: signal.Signals) -> bool:
    with suppress(OSError, ValueError):
        for line in (_PROC / str(pid) / "status").read_text().splitlines():
            if line.startswith("SigIgn:"):
                return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False


def _has_open(pid: int, wanted: os.stat_result) -> bool:
    with suppress(OSError), os.scandir(_PROC / str(pid) / "fd") as handles:
        for handle in handles:
            with suppress(OSError):
                if os.path.samestat(handle.stat(), wanted):
                    return True
    return False


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the third on: state, parent, ..."""
    if pid <= 0:
        return None
    try:
        # The name, in parentheses, may hold any.
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
