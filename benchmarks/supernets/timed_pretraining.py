"""Pre-training for a given time instead of a number of passes: for supernets that are compared after equal time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile

import numpy as np

from dnas.batches import Batch, BatchDraw, BatchSource, endless_draws
from dnas.pretraining import DrawForward, Pretraining, PretrainSettings
from dnas.supernets.supernet import Supernet

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
        forward: DrawForward,
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
        self._pauses: list[float] = []
        self._start: float | None = None

    def __len__(self) -> int:
        return len(self.source)

    def draws(self, batch_size: int, rng: np.random.Generator) -> Iterator[BatchDraw]:
        """See `BatchSource.draws`; time begins with the first batch that is there."""
        self._pauses, self._start = list(self.ends), None
        return takewhile(lambda _: bool(self._pauses), endless_draws(self.source, batch_size, rng))

    def read(self, draws: Sequence[BatchDraw]) -> Iterator[Batch]:
        """See `BatchSource.read`; fewer than were drawn where time is up."""
        for batch in self.source.read(draws):
            if self._start is None:
                self._start = time.monotonic()
            over = time.monotonic() - self._start
            if over >= self._pauses[0]:
                self._pauses.pop(0)
                if self.on_pause is not None:
                    self.on_pause(over)
                self._start = time.monotonic() - over
            if not self._pauses:
                return
            self.on_batch(min(over / self.ends[-1], 1.0))
            yield batch
