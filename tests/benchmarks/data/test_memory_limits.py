"""Memory that a process has of its own."""

import time

import numpy as np

from benchmarks.data.memory_limits import OwnMemory


def test_memory_that_is_written_to_is_counted_as_own() -> None:
    with OwnMemory() as memory:
        held = np.ones(2**24)
        deadline = time.monotonic() + 10
        while memory.peak_bytes < held.nbytes and time.monotonic() < deadline:
            time.sleep(0.01)
    assert memory.peak_bytes > held.nbytes
