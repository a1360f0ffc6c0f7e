"""Against moocore's hypervolume: exactly where errors are certain, and by Monte Carlo where they are not."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import moocore
import numpy as np
import pytest
from scipy.special import ndtri

from moo.bayesian.improvement import Frame

OFFSET = 1e-3
POINTS, CANDIDATES = 12, 5
costs = pytest.mark.parametrize("kinds", [1, 2])
configurations = pytest.mark.parametrize("configurations", [1, 3])


def frame_of(kinds: int, configurations: int, *, seed: int = 0, reference_error: float = 1.0) -> Frame:
    """Points of which some lie beyond the reference point."""
    rng = np.random.default_rng(seed)
    cost_PKJ = rng.uniform(0, 1.2, (POINTS, configurations, kinds))
    return Frame(rng.uniform(0, 1.2, POINTS), cost_PKJ, reference_error, np.linspace(0.9, 1.1, kinds))


def candidates_of(frame: Frame, *, seed: int = 1) -> tuple[Any, Any]:
    """Errors and costs; one of them is beyond the reference point."""
    rng = np.random.default_rng(seed)
    error_C = rng.uniform(0, 0.4, CANDIDATES)
    cost_CKJ = rng.uniform(0, 0.5, (CANDIDATES, *frame.cost_PKJ.shape[1:]))
    cost_CKJ[-1] += 2.0
    return error_C, cost_CKJ


def points_of(error_N: Any, cost_NKJ: Any) -> Any:
    configurations = cost_NKJ.shape[1]
    return np.column_stack([np.repeat(error_N, configurations), cost_NKJ.reshape(len(error_N) * configurations, -1)])


def volume(points_QM: Any, frame: Frame) -> float:
    return float(moocore.hypervolume(points_QM, ref=np.array([frame.reference_error, *frame.reference_J])))


def added(frame: Frame, error: float, cost_KJ: Any) -> float:
    known = points_of(frame.error_P, frame.cost_PKJ)
    return volume(np.vstack([known, points_of(np.array([error]), cost_KJ[None])]), frame) - volume(known, frame)


@costs
@configurations
@pytest.mark.parametrize("seed", range(4))
def test_of_certain_errors_it_is_the_hypervolume_that_they_add(kinds: int, configurations: int, seed: int) -> None:
    frame = frame_of(kinds, configurations, seed=seed, reference_error=1.0 if seed % 2 else 0.5)
    error_C, cost_CKJ = candidates_of(frame, seed=seed + 10)
    gain_C = frame.expected_improvement(
        np.log(error_C + OFFSET), np.full(CANDIDATES, 1e-7), cost_CKJ, offset=OFFSET
    )  # fmt: skip
    expected = [added(frame, error, cost_KJ) for error, cost_KJ in zip(error_C, cost_CKJ, strict=True)]
    assert max(expected) > 0.01
    assert expected[-1] == 0
    np.testing.assert_allclose(gain_C, expected, atol=1e-6)


@costs
@configurations
def test_of_uncertain_errors_it_is_the_mean_of_what_they_add(kinds: int, configurations: int) -> None:
    frame = frame_of(kinds, configurations)
    error_C, cost_CKJ = candidates_of(frame)
    mean_C, deviation_C = np.log(error_C + OFFSET), np.array([0.4, 0.1, 0.8, 1.5, 0.4])
    gain_C = frame.expected_improvement(mean_C, deviation_C, cost_CKJ, offset=OFFSET)
    # Evenly spaced quantiles: closer than as many random numbers.
    normal_S = ndtri((np.arange(1000) + 0.5) / 1000)
    expected = [
        np.mean([added(frame, error, cost_KJ) for error in np.exp(mean + deviation * normal_S) - OFFSET])
        for mean, deviation, cost_KJ in zip(mean_C, deviation_C, cost_CKJ, strict=True)
    ]
    assert max(expected) > 0.01
    np.testing.assert_allclose(gain_C, expected, rtol=0.01, atol=1e-4)


@costs
def test_without_any_point_it_is_the_box_beyond_the_candidate(kinds: int) -> None:
    frame = Frame(np.empty(0), np.empty((0, 1, kinds)), 0.8, np.full(kinds, 2.0))
    (gain,) = frame.expected_improvement(
        np.log([0.3 + OFFSET]), np.array([0.0]), np.full((1, 1, kinds), 0.5), offset=OFFSET
    )
    assert gain == pytest.approx(0.5 * 1.5**kinds)


@costs
@configurations
def test_costs_beyond_all_bounds_add_nothing_and_hide_nothing(kinds: int, configurations: int) -> None:
    """An architecture that exceeds the limits in a configuration is no point there."""
    frame = frame_of(kinds, configurations)
    error_C, cost_CKJ = candidates_of(frame)
    barred = Frame(
        np.append(frame.error_P, 0.0),
        np.concatenate([frame.cost_PKJ, np.full((1, configurations, kinds), np.inf)]),
        frame.reference_error,
        frame.reference_J,
    )
    mean_C, deviation_C = np.log(error_C + OFFSET), np.full(CANDIDATES, 0.2)
    usual = frame.expected_improvement(mean_C, deviation_C, cost_CKJ, offset=OFFSET)
    np.testing.assert_array_equal(barred.expected_improvement(mean_C, deviation_C, cost_CKJ, offset=OFFSET), usual)
    nowhere = frame.expected_improvement(mean_C, deviation_C, np.full_like(cost_CKJ, np.inf), offset=OFFSET)
    np.testing.assert_array_equal(nowhere, np.zeros(CANDIDATES))
    if configurations > 1:
        # In one configuration alone, it is worth what it is there.
        alone = np.full_like(cost_CKJ, np.inf)
        alone[:, 1] = cost_CKJ[:, 1]
        np.testing.assert_allclose(
            frame.expected_improvement(mean_C, deviation_C, alone, offset=OFFSET),
            frame.expected_improvement(mean_C, deviation_C, cost_CKJ[:, 1:2], offset=OFFSET),
        )


@costs
def test_the_order_of_configurations_does_not_matter(kinds: int) -> None:
    frame = frame_of(kinds, 3)
    error_C, cost_CKJ = candidates_of(frame)
    mean_C, deviation_C = np.log(error_C + OFFSET), np.full(CANDIDATES, 0.2)
    np.testing.assert_allclose(
        frame.expected_improvement(mean_C, deviation_C, cost_CKJ[:, ::-1], offset=OFFSET),
        frame.expected_improvement(mean_C, deviation_C, cost_CKJ, offset=OFFSET),
    )


@costs
def test_equal_errors_and_equal_costs_are_no_trouble(kinds: int) -> None:
    """Rounded values, of which many are equal."""
    rng = np.random.default_rng(5)
    frame = Frame(rng.integers(1, 4, 20) / 5, rng.integers(1, 4, (20, 2, kinds)) / 5, 1.0, np.ones(kinds))
    error_C, cost_CKJ = rng.integers(0, 4, 30) / 5, rng.integers(0, 4, (30, 2, kinds)) / 5
    gain_C = frame.expected_improvement(np.log(error_C + OFFSET), np.full(30, 1e-7), cost_CKJ, offset=OFFSET)
    expected = [added(frame, error, cost_KJ) for error, cost_KJ in zip(error_C, cost_CKJ, strict=True)]
    np.testing.assert_allclose(gain_C, expected, atol=1e-6)


def test_it_falls_with_the_expected_error_and_with_each_known_point() -> None:
    frame = frame_of(2, 1)
    cost_CKJ = np.full((8, 1, 2), 0.2)
    gain_C = frame.expected_improvement(np.linspace(-4, 0, 8), np.full(8, 0.3), cost_CKJ, offset=OFFSET)
    assert all(first > second for first, second in pairwise(gain_C))
    more = frame.with_point(0.1, cost_CKJ[0] + 0.05)
    later_C = more.expected_improvement(np.linspace(-4, 0, 8), np.full(8, 0.3), cost_CKJ, offset=OFFSET)
    assert (later_C < gain_C).all()
    assert (later_C >= 0).all()
