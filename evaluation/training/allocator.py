"""Memory that stays with the process: training allocates and frees the same large tensors at every step."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's `mallopt` (malloc.h)."""
_LARGEST_MMAP_THRESHOLD = 32 * 2**20
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Have glibc keep freed memory instead of handing it back to the system; for CPU processes that train.

    Otherwise each tensor of more than some hundred kilobytes has fresh pages at every step, and each page its fault: on
    a virtual machine that was a third of a step. The process keeps the most memory that it ever had.

    Returns:
        Whether it took effect; elsewhere (macOS, musl) nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)) and bool(mallopt(_TRIM_THRESHOLD, _NEVER))
