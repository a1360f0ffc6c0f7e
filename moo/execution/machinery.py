"""Death of what runs jobs, told apart from failures of jobs."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Iterator

WANTS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EIO, errno.EMFILE, errno.ENFILE, errno.EROFS})
"""Errors of a machine that has no space, memory or files left, or whose disk is broken."""
_WORDS = ("can't allocate memory", "bad_alloc", "bad allocation", "out of memory", "no space left on device")
"""What libraries say of the same in errors of other kinds."""
SAID_SECONDS, PLACE_SECONDS = 60.0, 900.0
"""After which it is said that all work waits for a place, and after which it is given up."""
_LOG = logging.getLogger(__name__)


class MachineryError(RuntimeError):
    """What runs jobs has died: nothing can be said of its jobs, which are still to be done."""


class Patience:
    """How long all work has waited for a place on a cluster, whose cores or GPUs others may have."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Something is at work."""
        self._since = time.monotonic()
        self._said = False

    def check(self) -> None:
        """Nothing is at work.

        Raises:
            MachineryError: if it was so for a quarter of an hour.
        """
        waited = time.monotonic() - self._since
        if waited > PLACE_SECONDS:
            raise MachineryError(
                f"No worker had a place on the Ray cluster within {PLACE_SECONDS / 60:.0f} min: its cores, GPUs or "
                "memory are taken; look at `ray status`."
            )
        if waited > SAID_SECONDS and not self._said:
            self._said = True
            _LOG.warning("waiting for a free place on the Ray cluster (see `ray status`)")


def is_want(error: BaseException) -> bool:
    """Whether a machine wanted memory, disk or the like: the same job does well where it has them."""
    return any(
        isinstance(one, MemoryError)
        or (isinstance(one, OSError) and one.errno in WANTS)
        or any(word in str(one).lower() for word in _WORDS)
        for one in _causes(error)
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__
