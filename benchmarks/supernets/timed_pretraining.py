"""Pre-training for a given time instead of a number of passes: for supernets that are compared after equal time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from torch import Tensor

from dnas.batches import BatchSource, endless_batches
from dnas.pretraining import Forward, Pretraining, PretrainSettings
from dnas.supernet import Supernet

OnTime = Callable[[float], None]


class TimedPretraining:
    """Pre-training whose learning rate follows time instead of steps.

    Args:
        supernet: what is trained.
        images: pass after pass is made over them.
        settings: how; `epochs` has no effect.
        ends: training times, in seconds, at which to pause; the last one ends it.
        seed: of paths and batches.
        forward: what a step trains.
        on_share: called with the share of the time that is over, before each step.
        on_pause: called with the training time that is over, at each of `ends`.
    """

    def __init__(
        self,
        supernet: Supernet,
        images: BatchSource,
        settings: PretrainSettings,
        *,
        ends: Sequence[float],
        seed: int,
        forward: Forward,
        on_share: OnTime | None = None,
        on_pause: OnTime | None = None,
    ) -> None:
        self._on_share = on_share
        source = TimedBatches(images, ends, on_batch=self._keep_pace, on_pause=on_pause)
        self._pretraining = Pretraining(supernet, source, settings, seed=seed, forward=forward)

    @property
    def steps(self) -> int:
        """Steps so far."""
        return self._pretraining.step

    @property
    def planned_steps(self) -> int:
        """Steps that the schedule of the learning rate is made for, as far as can be told yet."""
        return self._pretraining.total_steps

    def run(self) -> None:
        """Train until time is up."""
        self._pretraining.run_epoch()

    def _keep_pace(self, share: float) -> None:
        if self._on_share is not None:
            self._on_share(share)
        if self.steps:
            self._pretraining.total_steps = max(self.steps + 1, round(self.steps / max(share, 1e-9)))


class TimedBatches:
    """Batches until time is up, with pauses that do not count; implements `dnas.batches.BatchSource`.

    Args:
        source: pass after pass is made over it.
        ends: times, in seconds, at which to pause; the last one ends it.
        on_batch: called with the share of the time that is over, before each batch.
        on_pause: called with the time that is over, at each of `ends`.
    """

    def __init__(
        self,
        source: BatchSource,
        ends: Sequence[float],
        *,
        on_batch: OnTime,
        on_pause: OnTime | None = None,
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
                if self.on_pause is not None:
                    self.on_pause(over)
                start = time.monotonic() - over
            if not pauses:
                return
            self.on_batch(min(over / self.ends[-1], 1.0))
            yield batch
