"""Locks of open files, by which processes keep out of each other's way."""

from __future__ import annotations

import sys
from typing import IO, Any


def lock_at_once(file: IO[Any] | int, *, shared: bool = False) -> bool:
    """Lock an open file until it is closed, or the process ends, unless another process has locked it.

    Args:
        file: or its descriptor.
        shared: whether others may have it, too, that also share it.

    Returns:
        Whether it is locked now.

    Raises:
        OSError: if the file system has no locks.
        ValueError: if the operating system has none.
    """
    check_locks()
    import fcntl

    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_for_lock(file: IO[Any] | int) -> None:
    """The same, but wait for it, and share it with nobody."""
    check_locks()
    import fcntl

    fcntl.flock(file, fcntl.LOCK_EX)


def check_locks() -> None:
    """Check that this system has locks of files. Windows lacks them, and shows pages of help all the same.

    Raises:
        ValueError: if it has no locks of files.
    """
    try:
        import fcntl  # noqa: F401
    except ImportError:
        raise ValueError(
            f"the system must have locks of files, as Linux and macOS have, but this is {sys.platform}: on Windows, "
            "run the command in WSL 2 (`wsl --install`)."
        ) from None
