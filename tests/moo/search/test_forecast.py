from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from devices.configuration import BASE, configurations_of
from dnas.pretraining import PretrainSettings
from moo.config import SearchConfig
from moo.search.forecast import (
    EXITS_SECONDS,
    Forecast,
    Machines,
    Speed,
    estimated_seconds,
    expected_sizes,
    measured_speed,
    minutes_text,
)
from moo.storage.origin import SplitSizes
from tests.moo.conftest import TINY

SPEED = Speed(weight_step=0.1, theta_step=0.05, image=0.001, decoding=0.01)
IMAGES = SplitSizes(weights=640, theta=100, selection=100, test=160)
PRETRAINING = PretrainSettings(epochs=20, batch_size=64)
MACHINES = Machines(workers=2, configurations=(BASE,))


def estimate(machines: Machines = MACHINES, speed: Speed = SPEED, **settings: Any) -> Forecast:
    return estimated_seconds(SearchConfig(**settings), IMAGES, PRETRAINING, speed, machines)


def test_pre_training_is_steps_times_seconds() -> None:
    assert estimate().pretraining == pytest.approx(20 * 10 * 0.1)
    assert estimate(independent=True).pretraining == estimate(from_run="run").pretraining == 0


def test_gpus_share_pre_training_and_cores_do_what_they_did() -> None:
    several = replace(PRETRAINING, paths_per_step=4)
    for machines, share in ((MACHINES, 1), (replace(MACHINES, gpus=2), 2), (replace(MACHINES, gpus=8, workers=8), 4)):
        found = estimated_seconds(SearchConfig(), IMAGES, several, SPEED, machines)
        assert found.pretraining == pytest.approx(20 * 10 * 0.1 / share)


def test_a_profile_is_measurements_times_seconds() -> None:
    machines = replace(MACHINES, measurements=300, measurement_seconds=0.5)
    assert estimate(machines).profiling == pytest.approx(150)
    assert estimate().profiling == 0


def test_images_are_read_once() -> None:
    without = estimate(speed=replace(SPEED, decoding=0.0)).loading
    assert estimate().loading - without == pytest.approx(1000 * 0.01)


def test_one_generation_of_one_trial_by_hand() -> None:
    # Recalibration on 640 images and 100 to classify, for a mode and four samples, after 60 steps; one of two workers.
    evaluation = 0.1 + 0.001 * 740
    expected = (4 * (60 * 0.05 + 5 * evaluation)) / 2
    assert estimate(population=4, generations=1).searching == pytest.approx(expected)


def test_adaptive_trials_fit_exits_to_each_of_their_networks() -> None:
    # A second network, recalibrated, on all 640 images that heads are fitted to, and the 100 of the outcomes again.
    usual = estimate(adaptive=False, supernet_generations=99, population=4, generations=3).searching
    adaptive = estimate(adaptive=True, population=4, generations=3).searching
    each = 0.1 + EXITS_SECONDS + 0.001 * (640 + 640 + 100)
    assert adaptive - usual == pytest.approx(3 * 4 * 5 * each / 2)


def test_what_makes_a_search_longer() -> None:
    usual = estimate().searching
    assert estimate(population=16).searching > usual
    assert estimate(generations=16).searching > usual
    assert estimate(method="random").searching > usual
    assert estimate(independent=True).searching > usual
    assert estimate(machines=replace(MACHINES, workers=1)).searching > usual
    in_int8 = replace(MACHINES, configurations=configurations_of((1,), (None,), ("fp32", "int8")))
    assert estimate(in_int8).searching > usual
    assert estimate(replace(MACHINES, measurement_seconds=0.5)).searching > usual
    assert estimate(method="architectures", generations=1).searching < estimate(generations=1).searching


def test_a_time_for_the_search_is_the_searchs_time() -> None:
    found = estimate(minutes=3)
    assert found.searching == 180
    assert found.total == pytest.approx(found.besides_search + 180)


def test_more_pixels_take_longer_but_images_are_read_as_quickly() -> None:
    larger = SPEED.scaled(4)
    assert larger.decoding == SPEED.decoding
    assert estimate(speed=larger).pretraining == pytest.approx(4 * estimate().pretraining)
    assert estimate(speed=larger).loading == estimate().loading


def test_splits_are_those_that_are_made() -> None:
    assert expected_sizes(300, test_images=0) == SplitSizes(weights=165, theta=45, selection=45, test=45)
    assert expected_sizes(50_000, test_images=10_000) == SplitSizes(
        weights=40_000, theta=5000, selection=5000, test=10_000
    )


@pytest.mark.parametrize("weight_sharing", ["shared", "separate"])
def test_steps_are_timed_and_nothing_is_changed(weight_sharing: Any) -> None:
    before = torch.get_num_threads(), torch.get_rng_state()
    speed = measured_speed(TINY, SearchConfig(weight_sharing=weight_sharing), pretraining=PRETRAINING, theta_batch=4)
    assert min(speed.weight_step, speed.theta_step, speed.image) > 0
    assert speed.decoding == 0
    assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


def test_minutes_as_one_says_them() -> None:
    assert [minutes_text(seconds) for seconds in (5, 80, 100, 640)] == [
        "about 1 min", "about 1 min", "about 2 min", "about 11 min",
    ]  # fmt: skip
