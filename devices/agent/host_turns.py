"""Turns of the programs that measure on this machine, so that no timing has another one beside it.

Start with `HostTurns.turn`. What takes turns are measurements: a search goes on between those of another, and its
training slows these as any other program does, so whoever comes second is told who is there.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from devices.errors import MeasurementError
from search_space.boundary.text import one_line
from search_space.boundary.writing import NO_LINK

logger = logging.getLogger(__name__)

NAME = "pi-pareto-nas-{}.lock"
"""In the folder for temporary files, which all users of a machine share; `{}` is `measuring` or `present`."""
PAUSE_SECONDS = 0.02
"""Between two looks at whether it is our turn."""
TELL_SECONDS = 2.0
"""After which a wait is told."""
LONGEST_SECONDS = 1800.0
"""That somebody else is waited for: six times the longest measurement, after which that program was stopped."""


class HostTurns:
    """A program that measures on this machine. Locks end with the process that holds them, however it ends."""

    def __init__(self) -> None:
        self._present: IO[bytes] | None = None
        self._closed = threading.Event()

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until no other program measures on this machine; none does as long as the context lasts.

        Raises:
            MeasurementError: if `close` is called meanwhile.
        """
        self._appear()
        with _opened("measuring") as lock:
            if lock is not None:
                self._wait_for(lock)
            yield

    def close(self) -> None:
        """No longer be one of those that measure, or wait to; closing twice does no harm."""
        self._closed.set()
        if self._present is not None:
            self._present.close()
            self._present = None

    def _appear(self) -> None:
        """Be one of those that measure here, and say so if there are others."""
        if self._present is not None:
            return
        present = _open("present")
        if present is None:
            return
        if not _locked(present, fcntl.LOCK_EX):
            logger.warning(
                "%s also measures on this machine: measurements take turns, but other work slows them, so let one end "
                "before the other begins where timings matter.",
                _holder_of(present),
            )
        # Several are there together; one that appears at this moment is passed over in silence.
        _locked(present, fcntl.LOCK_SH)
        self._present = present

    def _wait_for(self, lock: IO[bytes]) -> None:
        start_s = time.monotonic()
        told = False
        while not _locked(lock, fcntl.LOCK_EX):
            waited_s = time.monotonic() - start_s
            if waited_s > LONGEST_SECONDS:
                logger.warning(
                    "%s has kept this machine for %.0f s and is waited for no longer: if it is stopped, end it.",
                    _holder_of(lock),
                    waited_s,
                )
                return
            if waited_s > TELL_SECONDS and not told:
                told = True
                logger.warning("waiting for %s, which measures on this machine.", _holder_of(lock))
            if self._closed.wait(PAUSE_SECONDS):
                raise MeasurementError("a closed device cannot measure: open a new one.")


@contextlib.contextmanager
def _opened(what: str) -> Iterator[IO[bytes] | None]:
    file = _open(what)
    try:
        yield file
    finally:
        if file is not None:
            file.close()


def _open(what: str) -> IO[bytes] | None:
    """A file to lock, of whichever user came first; None, and a warning, where there can be none.

    It is never written to, and no link is followed.
    """
    path = Path(tempfile.gettempdir()) / NAME.format(what)
    try:
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | NO_LINK)
        except FileNotFoundError:
            with contextlib.suppress(FileExistsError):
                os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | NO_LINK, 0o444))
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | NO_LINK)
        file = os.fdopen(handle, "rb", buffering=0)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            file.close()
            raise OSError("it is no file")
    except OSError as error:
        logger.warning("measurements of other programs on this machine are not waited for: %s: %s.", path, error)
        return None
    return file


def _locked(file: IO[bytes], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder_of(file: IO[bytes]) -> str:
    """Who holds the lock of a file, as far as the system tells."""
    status = os.fstat(file.fileno())
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/locks").read_text().splitlines():
            parts = line.split()
            if len(parts) > 5 and parts[1] == "FLOCK" and parts[5] == place and int(parts[4]) != os.getpid():
                command = Path(f"/proc/{int(parts[4])}/cmdline").read_bytes().decode(errors="replace")
                return f"process {int(parts[4])} ({one_line(command.replace(chr(0), ' ').strip(), most=80)})"
    return "another program"
