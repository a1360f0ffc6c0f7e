"""Locks of files that programs take turns by. A lock ends with the process that holds it, however that ends."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import threading
import time
from pathlib import Path
from typing import IO

from devices.errors import MeasurementError
from search_space.boundary.text import one_line

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 0.02
"""Between two looks at whether it is our turn."""
TELL_SECONDS = 2.0
"""After which a wait is told."""
LONGEST_SECONDS = 1800.0
"""That somebody else is waited for: six times the longest measurement, after which that program was stopped."""


def wait_for_turn(file: IO[bytes], closed: threading.Event, *, what: str) -> None:
    """Wait until no other program holds the lock of a file; it is ours then until the file is closed.

    One that does not give it back in half an hour is waited for no longer.

    Args:
        file: that is open.
        closed: ends the wait.
        what: the other program does, as in `measures on this machine`.

    Raises:
        MeasurementError: if `closed` is set.
    """
    start_s = time.monotonic()
    told = False
    while not locked(file, fcntl.LOCK_EX):
        waited_s = time.monotonic() - start_s
        if waited_s > LONGEST_SECONDS:
            logger.warning(
                "%s %s for %.0f s and is waited for no longer: if it is stopped, end it.",
                holder_of(file),
                what,
                waited_s,
            )
            return
        if waited_s > TELL_SECONDS and not told:
            told = True
            logger.warning("waiting for %s, which %s.", holder_of(file), what)
        if closed.wait(PAUSE_SECONDS):
            raise MeasurementError("a closed device cannot measure: open a new one.")


def locked(file: IO[bytes], kind: int) -> bool:
    """Whether a lock of `fcntl` could be had at once.

    Args:
        file: that is open.
        kind: `fcntl.LOCK_EX` or `fcntl.LOCK_SH`.
    """
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
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
