"""Limits of memory, and how much memory of its own a process has. Linux alone."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_SAMPLED_SECONDS = 0.02


@contextmanager
def memory_limit(limit: int) -> Iterator[str]:
    """Limit the memory of this process, pages of files that it reads included where there are control groups.

    Args:
        limit: in bytes.

    Yields:
        What limits it.
    """
    group = _new_group(limit)
    if group is None:
        before = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, before[1]))
        try:
            yield "RLIMIT_DATA, which does not count pages of files"
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, before)
        return
    home = group.parent
    (group / "cgroup.procs").write_text(str(os.getpid()))
    try:
        yield "a control group, which counts pages of files too"
    finally:
        with suppress(OSError):
            (home / "cgroup.procs").write_text(str(os.getpid()))
            group.rmdir()


def _new_group(limit: int) -> Path | None:
    """A control group of memory (version 1 or 2) within this process's own; None where none can be made."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, kinds, path = line.split(":", 2)
        if kinds not in ("memory", ""):
            continue
        folder = _GROUPS / kinds / path.lstrip("/") / f"limited-{os.getpid()}"
        with suppress(OSError):
            folder.mkdir()
            try:
                (folder / ("memory.limit_in_bytes" if kinds else "memory.max")).write_text(str(limit))
            except OSError:
                folder.rmdir()
                continue
            return folder
    return None


class OwnMemory:
    """The most memory that this process has had of its own meanwhile: without pages of files, which may be dropped."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> OwnMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.is_set():
            lines = Path("/proc/self/status").read_text().splitlines()
            own = sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("RssAnon", "RssShmem")))
            self.peak_bytes = max(self.peak_bytes, own)
            time.sleep(_SAMPLED_SECONDS)
