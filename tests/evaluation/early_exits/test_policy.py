from __future__ import annotations

import numpy as np
import pytest

from evaluation.early_exits.outcomes import ExitOutcomes, outcomes_of
from evaluation.early_exits.policy import judged, oracle, ways_taken
from search_space.exits import Exit

EXITS = (Exit(1, "linear"), Exit(3, "conv"), Exit(5, "conv"))
COSTS_X = np.array([0.3, 0.5, 0.8, 1.1])


@pytest.fixture
def outcomes() -> ExitOutcomes:
    rng = np.random.default_rng(0)
    labels_N = rng.integers(0, 5, 400)
    logits_XNK = rng.normal(size=(4, 400, 5))
    logits_XNK[:, np.arange(400), labels_N] += np.array([[0.5], [1.0], [2.0], [3.0]])
    return outcomes_of(EXITS, logits_XNK.astype(np.float32), labels_N)


def test_a_threshold_of_0_is_the_first_exit_and_of_1_the_network_itself(outcomes: ExitOutcomes) -> None:
    first = judged(outcomes, [0, 0.5, 0.5])
    assert first.error == 1 - outcomes.correct_XN[0].mean()
    assert first.cross_entropy == pytest.approx(outcomes.cross_entropy_XN[0].mean())
    assert first.shares_X.tolist() == [1, 0, 0, 0]
    static = judged(outcomes, [1, 1, 1])
    assert static.error == outcomes.static_error
    assert static.cross_entropy == pytest.approx(outcomes.cross_entropy_XN[-1].mean())
    assert static.shares_X.tolist() == [0, 0, 0, 1]


def test_a_confidence_of_exactly_1_passes_a_threshold_of_1(outcomes: ExitOutcomes) -> None:
    outcomes.confidence_XN[:, :10] = 1
    assert judged(outcomes, [1, 1, 1]).shares_X.tolist() == [0, 0, 0, 1]
    assert ways_taken(outcomes.confidence_XN, [1, 0.999999, 1])[:10].tolist() == [1] * 10


def test_a_confidence_that_equals_the_threshold_does_not_exceed_it() -> None:
    confidence_XN = np.array([[0.5, 0.7, 0.9], [0.2, 0.2, 0.2]], np.float32)
    assert ways_taken(confidence_XN, [0.7]).tolist() == [1, 1, 0]


def test_shares_come_to_1_and_costs_rise_with_each_threshold(outcomes: ExitOutcomes) -> None:
    levels = np.linspace(0, 1, 9)
    for place in range(3):
        costs = []
        for level in levels:
            thresholds = [0.6, 0.7, 0.8]
            thresholds[place] = float(level)
            shares_X = judged(outcomes, thresholds).shares_X
            assert shares_X.sum() == pytest.approx(1)
            costs.append(float(shares_X @ COSTS_X))
        assert costs == sorted(costs)
        assert costs[0] < costs[-1]


def test_the_oracle_is_never_wrong_more_often_than_a_policy(outcomes: ExitOutcomes) -> None:
    rng = np.random.default_rng(1)
    bound = oracle(outcomes)
    assert bound.shares_X.sum() == pytest.approx(1)
    assert all(bound.error <= judged(outcomes, rng.uniform(size=3).tolist()).error for _ in range(50))
    assert bound.error == 1 - outcomes.correct_XN.any(0).mean()


@pytest.mark.parametrize("thresholds", [[0.5, 0.5], [0.5, 0.5, 1.1], [-0.1, 0.5, 0.5], [0.5, float("nan"), 0.5]])
def test_thresholds_are_one_for_each_exit_and_from_0_to_1(outcomes: ExitOutcomes, thresholds: list[float]) -> None:
    with pytest.raises(ValueError, match="threshold"):
        judged(outcomes, thresholds)
