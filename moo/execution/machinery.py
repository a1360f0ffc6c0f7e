"""Death of what runs jobs, told apart from failures of jobs."""

from __future__ import annotations

import errno
from collections.abc import Iterator

WANTS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EIO, errno.EMFILE, errno.ENFILE, errno.EROFS})
"""Errors of a machine that has no space, memory or files left, or whose disk is broken."""
_WORDS = ("can't allocate memory", "bad_alloc", "bad allocation", "out of memory", "no space left on device")
"""What libraries say of the same in errors of other kinds."""


class MachineryError(RuntimeError):
    """What runs jobs has died: nothing can be said of its jobs, which are still to be done."""


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
