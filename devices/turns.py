"""Locks of files that programs take turns by. A lock ends with the process that holds it, however that ends.

Start with `Turns.wait`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from pathlib import Path
from typing import IO

from devices.errors import MeasurementError
from search_space.boundary.locking import lock_at_once
from search_space.boundary.text import one_line, reason_of

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 0.02
"""Between two looks at whether it is our turn."""
TELL_SECONDS = 2.0
"""After which a wait is told."""
LONGEST_SECONDS = 1800.0
"""That somebody else is waited for: six times the longest measurement, after which that program was stopped."""


class Turns:
    """Turns of this program at the lock of a file, one after another."""

    def __init__(self, *, what: str) -> None:
        """Wait for nobody yet.

        Args:
            what: the other programs do, as in `measures on this machine`.
        """
        self._what = what
        self._closed = threading.Event()
        self._in_vain = False
        self._told_why_not = False

    def wait(self, file: IO[bytes]) -> None:
        """Wait until no other program holds the lock of a file; it is ours then until the file is closed.

        One that does not give it back in half an hour is waited for no longer, at later turns as well, until it does.

        Args:
            file: that is open.

        Raises:
            MeasurementError: if `close` is called meanwhile.
        """
        start_s = time.monotonic()
        told = False
        while not self._is_ours(file):
            waited_s = time.monotonic() - start_s
            if self._in_vain:
                return
            if waited_s > LONGEST_SECONDS:
                logger.warning(
                    "%s %s for %.0f s and is waited for no longer: if it is stopped, end it.",
                    holder_of(file),
                    self._what,
                    waited_s,
                )
                self._in_vain = True
                return
            if waited_s > TELL_SECONDS and not told:
                told = True
                logger.warning("waiting for %s, which %s.", holder_of(file), self._what)
            if self._closed.wait(PAUSE_SECONDS):
                raise MeasurementError("a closed device cannot measure: open a new one.")
        self._in_vain = False

    def close(self) -> None:
        """Wait no longer."""
        self._closed.set()

    def _is_ours(self, file: IO[bytes]) -> bool:
        try:
            return lock_at_once(file)
        except OSError as error:
            # A network's file system may have no locks.
            if not self._told_why_not:
                self._told_why_not = True
                logger.warning("no other program that %s is waited for: %s.", self._what, reason_of(error))
            return True


def holder_of(file: IO[bytes]) -> str:
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
