"""Processes of this machine, as the kernel tells of them."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from benchmarks.resuming.processes import marked


def descendants(ancestor: int) -> dict[int, str]:
    """Command lines of all live processes that descend from one, by their numbers."""
    parents, lines = dict[int, int](), dict[int, str]()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, mother = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                parents[int(entry.name)] = int(mother)
                lines[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    found, waiting = dict[int, str](), [ancestor]
    while waiting:
        parent = waiting.pop()
        new = [number for number, one in parents.items() if one == parent and number not in found]
        found |= {number: lines[number] for number in new}
        waiting += new
    return found


def kill_ray_workers(task: str) -> None:
    """Kill those of this process that are at work on a task of Ray."""
    workers = [number for number, line in descendants(os.getpid()).items() if line.startswith(f"ray::{task}")]
    assert workers
    for number in workers:
        os.kill(number, signal.SIGKILL)


def assert_gone(mark: str, *, within_seconds: float) -> None:
    """Assert that soon no process with a mark (`benchmarks.resuming.processes.MARK`) is left."""
    deadline = time.monotonic() + within_seconds
    while left := marked(mark):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
