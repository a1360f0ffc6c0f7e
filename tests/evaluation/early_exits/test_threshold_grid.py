from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from evaluation.early_exits.outcomes import ExitOutcomes
from evaluation.early_exits.policy import judged, oracle
from evaluation.early_exits.threshold_grid import (
    DECIMALS,
    LEAST_GAP,
    judge_grid,
    judge_policies,
    mean_grid,
    threshold_grid,
)
from search_space.exits import Exit


def drawn_outcomes(exits: int, images: int, *, seed: int = 0, values: int | None = None) -> ExitOutcomes:
    """Random outcomes; of few values, confidences have many ties, and some are exactly 1."""
    rng = np.random.default_rng(seed)
    confidence_XN = rng.uniform(0.1, 1, (exits + 1, images))
    if values is not None:
        confidence_XN = np.ceil(confidence_XN * values) / values
    return ExitOutcomes(
        exits=tuple(Exit(layer, "conv") for layer in range(exits)),
        confidence_XN=confidence_XN.astype(np.float32),
        correct_XN=rng.uniform(size=confidence_XN.shape) < confidence_XN,
        cross_entropy_XN=rng.exponential(size=confidence_XN.shape).astype(np.float32),
    )


@pytest.mark.parametrize("values", [None, 5, 1])
@pytest.mark.parametrize("plan", [(), (1,), (0, 2), (0, 1, 3), (0, 1, 2, 3)])
def test_a_grid_is_judged_as_its_policies_one_by_one(plan: tuple[int, ...], values: int | None) -> None:
    outcomes = drawn_outcomes(4, 97, values=values)
    grid = threshold_grid(outcomes, 6)
    whole = judge_grid(outcomes, grid, plan)
    assert whole.wrong.size == grid.policies(plan)
    costs_X = np.array([0.3, 0.5, 0.8, 1.1, 1.3])[: len(plan) + 1]
    expected = whole.expected(costs_X)
    cross_entropy = mean_grid(outcomes.cross_entropy_XN, grid, plan)
    assert cross_entropy.shape == whole.wrong.shape
    for levels in itertools.product(*(range(len(grid.thresholds[place])) for place in plan)):
        thresholds = [grid.thresholds[place][level] for place, level in zip(plan, levels, strict=True)]
        single = judged(outcomes.of(plan), thresholds)
        assert whole.wrong[levels] == round(single.error * outcomes.images)
        shares_X = whole.shares_of([np.array([level]) for level in levels]).reshape(-1)
        np.testing.assert_array_equal(shares_X, single.shares_X)
        assert expected[levels] == pytest.approx(single.shares_X @ costs_X)
        assert cross_entropy[levels] == pytest.approx(single.cross_entropy, rel=1e-5)


@pytest.mark.parametrize("values", [None, 5])
def test_policies_of_different_plans_are_judged_together(values: int | None) -> None:
    outcomes, rng = drawn_outcomes(4, 80, values=values), np.random.default_rng(1)
    grid = threshold_grid(outcomes, 5)
    plans = [(), (2,), (0, 3), (0, 1, 2), (1, 2, 3)]
    plan_AK = np.array([[*plan, *(-1,) * (3 - len(plan))] for plan in plans])
    levels_AK = rng.integers(0, min(len(own) for own in grid.thresholds), plan_AK.shape)
    wrong_A, shares_AX = judge_policies(outcomes, grid, plan_AK, levels_AK)
    for plan, levels, wrong, shares_X in zip(plans, levels_AK, wrong_A, shares_AX, strict=True):
        thresholds = [grid.thresholds[place][level] for place, level in zip(plan, levels, strict=False)]
        single = judged(outcomes.of(plan), thresholds)
        assert wrong == round(single.error * outcomes.images)
        np.testing.assert_array_equal(shares_X, [*single.shares_X[:-1], *(0,) * (3 - len(plan)), single.shares_X[-1]])


def test_thresholds_are_quantiles_away_from_every_confidence() -> None:
    outcomes = drawn_outcomes(2, 4000)
    grid = threshold_grid(outcomes, 11)
    for own, confidence_N in zip(grid.thresholds, outcomes.confidence_XN, strict=False):
        assert (own[0], own[-1], len(own)) == (0, 1, 11)
        assert list(own) == sorted(set(own)) == [round(value, DECIMALS) for value in own]
        away = np.abs(confidence_N.astype(np.float64)[:, None] - np.array(own[1:-1]))
        assert away.min() >= LEAST_GAP / 4
        below = [(confidence_N < value).mean() for value in own[1:-1]]
        np.testing.assert_allclose(below, np.arange(1, 10) / 10, atol=0.0501)


def test_a_threshold_lies_in_the_widest_gap_near_its_quantile() -> None:
    confidence_N = np.array([0.30, 0.31, 0.32, 0.52, 0.53, 0.54, 0.60, 0.61], np.float32)
    outcomes = ExitOutcomes(
        exits=(Exit(0, "linear"),),
        confidence_XN=np.stack([confidence_N] * 2),
        correct_XN=np.ones((2, 8), bool),
        cross_entropy_XN=np.zeros((2, 8), np.float32),
    )
    assert threshold_grid(outcomes, 3).thresholds == ((0.0, 0.42, 1.0),)
    assert len(threshold_grid(outcomes, 50).thresholds[0]) == 9, "all seven gaps, 0 and 1"


def test_confidences_that_are_alike_have_no_threshold_between_them() -> None:
    outcomes = drawn_outcomes(1, 50, values=1)
    assert threshold_grid(outcomes, 20).thresholds == ((0.0, 1.0),)
    close = outcomes.confidence_XN - np.arange(50, dtype=np.float32) * np.float32(6e-8)
    nearly: Any = ExitOutcomes(
        exits=outcomes.exits,
        confidence_XN=close,
        correct_XN=outcomes.correct_XN,
        cross_entropy_XN=outcomes.cross_entropy_XN,
    )
    assert threshold_grid(nearly, 20).thresholds == ((0.0, 1.0),)


def test_the_oracle_is_a_bound_of_all_policies() -> None:
    outcomes = drawn_outcomes(3, 300)
    grid = threshold_grid(outcomes, 9)
    for plan in [(0,), (1, 2), (0, 1, 2)]:
        least = judge_grid(outcomes, grid, plan).wrong.min() / outcomes.images
        assert oracle(outcomes.of(plan)).error <= least + 1e-12


def test_senseless_grids_are_refused() -> None:
    outcomes = drawn_outcomes(2, 20)
    with pytest.raises(ValueError, match="at least the thresholds 0 and 1"):
        threshold_grid(outcomes, 1)
    outcomes.confidence_XN[0, 3] = np.nan
    with pytest.raises(ValueError, match="from 0 to 1"):
        threshold_grid(outcomes, 5)
