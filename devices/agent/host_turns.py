"""Turns of the programs that measure on this machine, so that no timing has another one beside it.

Start with `HostTurns.turn`. What takes turns are measurements: a search goes on between those of another, and its
training slows these as any other program does, so whoever comes second is told who is there.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from devices.turns import Turns, holder_of
from search_space.boundary.locking import lock_at_once
from search_space.boundary.writing import NO_LINK

logger = logging.getLogger(__name__)

NAME = "pi-pareto-nas-{}.lock"
"""In the folder for temporary files, which all users of a machine share; `{}` is `measuring` or `present`."""


class HostTurns:
    """A program that measures on this machine. Locks end with the process that holds them, however it ends."""

    def __init__(self) -> None:
        self._present: IO[bytes] | None = None
        self._turns = Turns(what="measures on this machine")

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until no other program measures on this machine; none does as long as the context lasts.

        Raises:
            MeasurementError: if `close` is called meanwhile.
        """
        self._appear()
        with _opened("measuring") as lock:
            if lock is not None:
                self._turns.wait(lock)
            yield

    def close(self) -> None:
        """No longer be one of those that measure, or wait to; closing twice does no harm."""
        self._turns.close()
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
        # Where files cannot be locked, waiting says so.
        with contextlib.suppress(OSError):
            if not lock_at_once(present):
                logger.warning(
                    "%s also measures on this machine: measurements take turns, but other work slows them, so let one "
                    "end before the other begins where timings matter.",
                    holder_of(present),
                )
            # Several are there together; one that appears at this moment is passed over in silence.
            lock_at_once(present, shared=True)
        self._present = present


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
                made = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | NO_LINK, 0o444)
                # Whatever this user's mask is: others lock it, too.
                os.fchmod(made, 0o444)
                os.close(made)
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | NO_LINK)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise OSError("it is no file")
    except OSError as error:
        logger.warning("measurements of other programs on this machine are not waited for: %s: %s.", path, error)
        return None
    return os.fdopen(handle, "rb", buffering=0)
