from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from devices.cost_tables.energy_objective import EnergyObjective
from devices.cost_tables.exit_costs import exit_costs
from dnas.losses import Coefficients
from evaluation.early_exits.outcomes import ExitOutcomes
from evaluation.early_exits.plans import levels_of
from evaluation.early_exits.policy import judged
from evaluation.early_exits.threshold_grid import threshold_grid
from moo.execution import operating_points
from moo.execution.operating_points import (
    Judgements,
    Penalty,
    best_operating_point,
    cost_at_no_more_error,
    loss_under,
    penalty_of,
    possible_exits,
)
from moo.trials import AdaptiveEvaluation, EvaluatedArchitecture
from tests.moo.conftest import TABLE, TINY

INDICES = (0, 0, 1)
OPERATORS = tuple(TINY.operators[index] for index in INDICES)
EXITS = possible_exits(TINY, OPERATORS, TABLE)
NET = EnergyObjective()
CHEAP, DEAR = Coefficients(0.05, 1.0, 0.02, 1.0), Coefficients(2.0, 0.8, 1.0, 1.2)


@pytest.fixture
def outcomes() -> ExitOutcomes:
    """Of two exits that are right less often than the network, and the surer the more so."""
    rng, images = np.random.default_rng(0), 60
    confidence_XN = rng.uniform(0.3, 1, (3, images))
    correct_XN = rng.uniform(size=(3, images)) < confidence_XN * np.array([[0.8], [0.9], [1.1]])
    return ExitOutcomes(
        exits=EXITS,
        confidence_XN=confidence_XN.astype(np.float32),
        correct_XN=correct_XN,
        cross_entropy_XN=np.where(correct_XN, 0.2, 1.6).astype(np.float32) + rng.random((3, images), np.float32),
    )


def network_of(outcomes: ExitOutcomes, table: Any = TABLE) -> EvaluatedArchitecture:
    return EvaluatedArchitecture(
        indices=INDICES,
        error=outcomes.static_error,
        cross_entropy=float(outcomes.cross_entropy_XN[-1].mean()),
        latency_ms=table.latency_of(INDICES),
        energy_mj=table.energy_of(INDICES),
        params=1,
    )


def all_points(outcomes: ExitOutcomes, policies: int) -> list[tuple[float, float, float, float]]:
    """Error, cross-entropy and costs of each policy of the grids, one after the other, and of the network as it is."""
    plans = [(), (0,), (1,), (0, 1)]
    levels, costs = levels_of(plans[1:], policies), exit_costs(TABLE, TINY, OPERATORS, EXITS)
    found = []
    for plan in plans:
        grid = threshold_grid(outcomes, levels[len(plan)])
        for thresholds in itertools.product(*(grid.thresholds[place] for place in plan)):
            point = judged(outcomes.of(plan), thresholds)
            found.append((point.error, point.cross_entropy, *costs.of(plan).expected(point.shares_X)))
    return found


def test_the_example_has_two_exits() -> None:
    assert [one.layer for one in EXITS] == [0, 1]


@pytest.mark.parametrize("coefficients", [CHEAP, DEAR])
def test_coefficients_get_the_policy_with_the_least_loss(
    outcomes: ExitOutcomes, coefficients: Coefficients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operating_points, "MOST_POLICIES", 900)
    penalty = loss_under(coefficients, "additive", 8.0, 20.0)
    point, least = best_operating_point(network_of(outcomes), outcomes, TINY, TABLE, NET, penalty)
    c = coefficients
    losses = [
        cross_entropy + c.alpha * (latency / 8) ** c.beta + c.gamma * (energy / 20) ** c.delta
        for _, cross_entropy, latency, energy in all_points(outcomes, 900)
    ]
    assert len(losses) > 500
    assert least == pytest.approx(min(losses), rel=1e-6)
    place = int(np.argmin(losses))
    error, cross_entropy, latency, energy = all_points(outcomes, 900)[place]
    assert (point.error, point.latency_ms, point.energy_mj) == pytest.approx((error, latency, energy))
    assert point.cross_entropy == pytest.approx(cross_entropy)


def test_costs_that_weigh_more_have_more_images_leave_early(outcomes: ExitOutcomes) -> None:
    item = network_of(outcomes)
    cheap, dear = (
        best_operating_point(item, outcomes, TINY, TABLE, NET, loss_under(one, "additive", 8.0, 20.0))[0]
        for one in (CHEAP, DEAR)
    )
    assert dear.latency_ms < cheap.latency_ms <= item.latency_ms
    assert dear.exit_shares[-1] < cheap.exit_shares[-1]


@pytest.mark.parametrize("loss", ["additive", "multiplicative"])
def test_no_network_is_worse_than_without_exits(outcomes: ExitOutcomes, loss: Any) -> None:
    rng, item = np.random.default_rng(1), network_of(outcomes)
    with_exits = 0
    for _ in range(20):
        penalty = loss_under(Coefficients(*rng.uniform(0.01, 2, 4)), loss, 8.0, 20.0)
        point, least = best_operating_point(item, outcomes, TINY, TABLE, NET, penalty)
        without, static = best_operating_point(item, None, TINY, TABLE, NET, penalty)
        assert (without.exits, without.exit_shares) == ((), (1.0,))
        assert least <= static == penalty_of(without, penalty)
        assert least == penalty_of(point, penalty)
        assert (least < static) == (len(point.exits) > 0)
        with_exits += least < static
    assert with_exits > 0


def test_an_architecture_gets_the_least_cost_at_no_more_error(
    outcomes: ExitOutcomes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operating_points, "MOST_POLICIES", 900)
    item = network_of(outcomes)
    point, least = best_operating_point(item, outcomes, TINY, TABLE, NET, cost_at_no_more_error(item))
    costs = [
        latency / item.latency_ms + energy / item.energy_mj
        for error, _, latency, energy in all_points(outcomes, 900)
        if error <= item.error
    ]
    assert 1 < len(costs) < len(all_points(outcomes, 900))
    assert least < 2
    assert least == pytest.approx(min(costs))
    assert point.error <= item.error
    assert point.latency_ms < item.latency_ms


def test_exits_that_know_nothing_are_not_used(outcomes: ExitOutcomes) -> None:
    right_XN = np.repeat([[False], [False], [True]], outcomes.images, axis=1)
    wrong = replace(outcomes, correct_XN=right_XN)
    item = network_of(wrong)
    point, least = best_operating_point(item, wrong, TINY, TABLE, NET, cost_at_no_more_error(item))
    assert (point.exits, point.error, least) == ((), 0, 2)


def test_idle_power_over_a_period_is_paid_once_whatever_way_an_image_takes(outcomes: ExitOutcomes) -> None:
    table = replace(TABLE, idle_w=3.0)
    energy = EnergyObjective("period", period_ms=50.0)
    of_period = energy.table(table)
    item = network_of(outcomes, of_period)
    by_energy: Penalty = lambda points: points.latency_ms  # noqa: E731
    point, _ = best_operating_point(item, outcomes, TINY, of_period, energy, by_energy)
    net, _ = best_operating_point(network_of(outcomes), outcomes, TINY, TABLE, NET, by_energy)
    assert point.exits == net.exits != ()
    assert point.energy_mj == pytest.approx(net.energy_mj + 3.0 * 50.0)


def test_a_network_without_room_has_no_exit() -> None:
    latency_ms = np.zeros_like(TABLE.latency_ms)
    all_at_the_end = replace(TABLE, latency_ms=latency_ms + np.array([[0.01], [0.01], [100.0]]))
    assert possible_exits(TINY, OPERATORS, all_at_the_end) == ()


def test_points_are_compared_together_as_they_are_one_by_one() -> None:
    rng = np.random.default_rng(2)
    values = rng.uniform(0.1, 1, (4, 7))
    together = Judgements(error=values[0], cross_entropy=values[1], latency_ms=values[2], energy_mj=values[3])
    for penalty in (loss_under(DEAR, "multiplicative", 8.0, 20.0), loss_under(CHEAP, "additive", 8.0, 20.0)):
        single = [
            penalty_of(
                AdaptiveEvaluation(
                    error=own[0],
                    cross_entropy=own[1],
                    latency_ms=own[2],
                    energy_mj=own[3],
                    exits=(),
                    thresholds=(),
                    exit_shares=(1.0,),
                ),
                penalty,
            )
            for own in values.T.tolist()
        ]
        np.testing.assert_array_equal(penalty(together), single)
