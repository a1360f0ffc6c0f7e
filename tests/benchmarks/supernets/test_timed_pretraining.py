from __future__ import annotations

import time
from itertools import islice

import numpy as np
import pytest
from torch import Tensor

from benchmarks.supernets.forms import FORMS, new_supernet
from benchmarks.supernets.timed_pretraining import TimedBatches, TimedPretraining
from dnas.pretraining import Forward, PretrainSettings, sampled_path
from dnas.supernets.supernet import Supernet
from evaluation.batches import ImageBatches
from evaluation.splits import Splits
from tests.benchmarks.conftest import SPACE


def test_pauses_do_not_count(monkeypatch: pytest.MonkeyPatch, splits: Splits) -> None:
    """By a clock that a batch moves by 1 s and a pause by 100 s."""
    now = [0.0]
    paused: list[float] = []
    shares: list[float] = []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def pause(over: float) -> None:
        paused.append(over)
        now[0] += 100.0

    images = ImageBatches(splits.weights, splits)
    source = TimedBatches(images, [2.0, 4.0], on_batch=shares.append, on_pause=pause)
    draws = source.draws(8, np.random.default_rng(0))
    for _ in source.read(list(islice(draws, 10))):
        now[0] += 1.0
    assert paused == [2.0, 4.0]
    assert shares == [0.0, 0.25, 0.5, 0.75]


def test_the_schedule_ends_with_the_time(monkeypatch: pytest.MonkeyPatch, splits: Splits) -> None:
    """Steps of 1 s in 10 s: the schedule becomes that of ten steps, whatever the number of images."""
    now = [0.0]
    shares: list[float] = []

    def draw(supernet: Supernet, rng: np.random.Generator) -> Forward:
        path = sampled_path(supernet, rng)

        def forward(x_BCHW: Tensor) -> Tensor:
            now[0] += 1.0
            return path(x_BCHW)

        return forward

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    pretraining = TimedPretraining(
        new_supernet(FORMS["shared"], SPACE, seed=0),
        ImageBatches(splits.weights, splits),
        PretrainSettings(epochs=1, batch_size=8),
        ends=[10.0],
        seed=0,
        forward=draw,
        on_share=shares.append,
    )
    pretraining.run()
    assert pretraining.steps == pretraining.planned_steps == 10
    assert shares == pytest.approx([0.1 * step for step in range(10)])
