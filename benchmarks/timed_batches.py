"""Batches for so much time instead of so many passes: for supernets that are trained for equal time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
from torch import Tensor

from dnas.batches import BatchSource, endless_batches


class TimedBatches:
    """Batches until training time is up, with pauses that do not count; implements `dnas.batches.BatchSource`.

    Args:
        source: pass after pass is made over it.
        ends: times, in seconds, at which to pause.
        on_batch: called with the share of the time that is over, before each batch: the learning rate is to follow it.
        on_pause: called with the time that is over, at each of `ends`.
    """

    def __init__(
        self,
        source: BatchSource,
        ends: list[float],
        on_batch: Callable[[float], None],
        on_pause: Callable[[float], None],
    ) -> None:
        self.source = source
        self.ends = ends
        self.on_batch = on_batch
        self.on_pause = on_pause

    def __len__(self) -> int:
        return len(self.source)

    def batches(self, batch_size: int, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """See `BatchSource.batches`."""
        pauses = list(self.ends)
        start = time.monotonic()
        for batch in endless_batches(self.source, batch_size, rng):
            over = time.monotonic() - start
            if over >= pauses[0]:
                pauses.pop(0)
                self.on_pause(over)
                start = time.monotonic() - over
            if not pauses:
                return
            self.on_batch(min(over / self.ends[-1], 1.0))
            yield batch
