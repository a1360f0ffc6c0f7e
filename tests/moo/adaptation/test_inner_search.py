from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from devices.configuration import Precision, RuntimeConfiguration, configurations_of
from devices.cost_tables.energy_objective import EnergyObjective
from devices.cost_tables.exit_costs import ExitCosts, PathCosts
from evaluation.early_exits.outcomes import ExitOutcomes
from evaluation.early_exits.policy import judged, oracle
from moo.adaptation.inner_search import search_each_plan, search_policies, search_thresholds
from moo.adaptation.policy_points import PolicyPoint
from moo.storage.pareto import hypervolume, non_dominated
from search_space.exits import Exit
from tests.moo.adaptation.drawn_networks import (
    CONFIGURATIONS,
    drawn_costs,
    drawn_exits,
    drawn_outcomes,
    precisions_of,
)

NET, GROSS, PERIOD = EnergyObjective(), EnergyObjective("gross"), EnergyObjective("period", 20.0)
BOTH_PRECISIONS = configurations_of((1, 4), (1500, 2400), ("fp32", "int8"))


def anything(_: Sequence[Exit]) -> bool:
    return True


def searched(outcomes: Any, costs: Any, **given: Any) -> tuple[PolicyPoint, ...]:
    defaults: dict[str, Any] = {"max_exits": 2, "energy": NET, "is_allowed": anything, "seed": 0}
    return search_policies(outcomes, costs, **(defaults | given))


def every_threshold(confidence_N: Any) -> list[float]:
    values = np.unique(confidence_N.astype(float))
    return [0.0, *((values[:-1] + values[1:]) / 2).tolist(), 1.0]


def front_by_brute_force(
    outcomes: Mapping[Precision, ExitOutcomes],
    costs: Mapping[RuntimeConfiguration, ExitCosts],
    max_exits: int,
    energy: EnergyObjective,
) -> Any:
    """Objectives of the front of all plans, all thresholds that tell images apart, and all configurations."""
    found = []
    for configuration, own in costs.items():
        outcome = outcomes[configuration.precision]
        for size in range(max_exits + 1):
            for plan in itertools.combinations(range(len(own.exits)), size):
                if len({own.exits[place].layer for place in plan}) < size:
                    continue
                for thresholds in itertools.product(*(every_threshold(outcome.confidence_XN[place]) for place in plan)):
                    found.append(priced(outcome, own, plan, thresholds, energy))
    return front_of(np.array(found))


def priced(outcome: ExitOutcomes, costs: ExitCosts, plan: Any, thresholds: Any, energy: EnergyObjective) -> Any:
    single, paths = judged(outcome.of(plan), thresholds), costs.of(plan)
    latency_ms, net_mj = paths.expected(single.shares_X)
    return single.error, latency_ms, energy.energy_mj(net_mj, latency_ms, costs.idle_w)


def front_of(objectives: Any) -> Any:
    """Without differences that only rounding makes."""
    rounded = np.round(objectives, 9)
    return np.unique(rounded[non_dominated(rounded)], axis=0)


def assert_equal_fronts(points: Sequence[PolicyPoint], expected: Any) -> None:
    np.testing.assert_allclose(front_of(np.array([one.objectives for one in points])), expected, atol=2e-9)


@pytest.mark.parametrize("energy", [NET, GROSS, PERIOD], ids=lambda one: one.kind)
@pytest.mark.parametrize("in_proportion", [True, False])
@pytest.mark.parametrize("values", [None, 4])
def test_the_front_is_that_of_brute_force(energy: EnergyObjective, in_proportion: bool, values: int | None) -> None:
    exits = drawn_exits(2, heads=2)
    outcomes = {"fp32": drawn_outcomes(exits, 14, values=values)}
    costs = drawn_costs(exits, in_proportion=in_proportion)
    points = searched(outcomes, costs, energy=energy, evaluations=10**6)
    assert_equal_fronts(points, front_by_brute_force(outcomes, costs, 2, energy))  # type: ignore[arg-type]


def test_each_precision_has_its_own_outcomes() -> None:
    exits = drawn_exits(3)
    outcomes, costs = precisions_of(exits, 9), drawn_costs(exits, BOTH_PRECISIONS)
    points = searched(outcomes, costs, max_exits=3, evaluations=10**6)
    assert {one.configuration.precision for one in points} == {"fp32", "int8"}
    assert_equal_fronts(points, front_by_brute_force(outcomes, costs, 3, NET))


@pytest.mark.parametrize("engine", ["factorised", "nsga2"])
@pytest.mark.parametrize("energy", [NET, GROSS, PERIOD], ids=lambda one: one.kind)
@pytest.mark.parametrize("max_exits", [1, 2, 3, 4])
def test_points_are_what_their_policies_come_to(engine: Any, energy: EnergyObjective, max_exits: int) -> None:
    exits = drawn_exits(4, heads=2)
    outcomes, costs = precisions_of(exits, 200, values=30), drawn_costs(exits, BOTH_PRECISIONS)
    points = searched(outcomes, costs, engine=engine, energy=energy, max_exits=max_exits, evaluations=1000)
    assert max(len(one.plan) for one in points) <= max_exits
    assert len(non_dominated(np.array([one.objectives for one in points]))) == len(points)
    for one in points:
        outcome, own = outcomes[one.configuration.precision], costs[one.configuration]
        single = judged(outcome.of(one.plan), one.thresholds)
        assert one.objectives == pytest.approx(priced(outcome, own, one.plan, one.thresholds, energy), rel=1e-12)
        assert one.shares == pytest.approx(tuple(single.shares_X))
        assert sum(one.shares) == pytest.approx(1)
        assert one.net_mj == pytest.approx(own.of(one.plan).expected(single.shares_X)[1])
        assert oracle(outcome.of(one.plan)).error <= one.error + 1e-12
        assert len({exits[place].layer for place in one.plan}) == len(one.plan)


def test_the_worst_latency_is_that_of_the_last_way_that_can_be_taken() -> None:
    exits = drawn_exits(2)
    outcomes, costs = {"fp32": drawn_outcomes(exits, 40)}, drawn_costs(exits, CONFIGURATIONS[:1])
    always, passing = 0, 0
    for one in searched(outcomes, costs):
        paths = costs[one.configuration].of(one.plan)
        if 0 in one.thresholds:
            always += 1
            assert one.worst_latency_ms == paths.latency_ms_X[one.thresholds.index(0)]
        else:
            passing += 1
            assert one.worst_latency_ms == paths.latency_ms_X[-1]
        assert one.worst_latency_ms >= one.latency_ms - 1e-12
    assert always
    assert passing


def test_the_network_as_it_is_competes_in_every_configuration() -> None:
    exits = drawn_exits(2)
    outcomes, costs = {"fp32": drawn_outcomes(exits, 50)}, drawn_costs(exits)
    nothing = searched(outcomes, costs, is_allowed=lambda _: False)
    assert {one.plan for one in nothing} == {()}
    assert nothing == searched(outcomes, costs, max_exits=0)
    assert nothing == searched(outcomes, costs, is_allowed=lambda _: False, engine="nsga2")
    configurations = {one.configuration for one in nothing}
    assert configurations == {
        CONFIGURATIONS[place]
        for place in non_dominated(np.array([(own.whole_ms, own.whole_mj) for own in costs.values()]))
    }
    assert len(configurations) > 1
    useless = replace(outcomes["fp32"], correct_XN=np.stack([*np.zeros((2, 50), bool), np.ones(50, bool)]))
    assert {one.plan for one in searched({"fp32": useless}, costs) if one.error == 0} == {()}


def test_only_allowed_plans_are_searched() -> None:
    exits = drawn_exits(4, heads=2)
    outcomes, costs = {"fp32": drawn_outcomes(exits, 100)}, drawn_costs(exits)

    def alike(chosen: Sequence[Exit]) -> bool:
        return len({one.head for one in chosen}) == 1

    for engine in ("factorised", "nsga2"):
        points = searched(outcomes, costs, max_exits=3, is_allowed=alike, engine=engine, evaluations=3000)
        assert any(len(one.plan) == 2 for one in points)
        assert all(alike([exits[place] for place in one.plan]) for one in points if one.plan)


def test_the_control_comes_near_the_front_of_all_policies() -> None:
    exits = drawn_exits(4, heads=2)
    outcomes, costs = precisions_of(exits, 300), drawn_costs(exits, BOTH_PRECISIONS)
    reference = np.array(
        [0.9, max(one.whole_ms for one in costs.values()), max(one.whole_mj for one in costs.values())]
    )
    volumes = [
        hypervolume(np.array([one.objectives for one in points]), reference)
        for points in (
            searched(outcomes, costs),
            searched(outcomes, costs, engine="nsga2", evaluations=5000),
            searched(outcomes, costs, engine="nsga2", evaluations=100),
            searched(outcomes, costs, max_exits=0),
        )
    ]
    assert volumes == sorted(volumes, reverse=True)
    assert volumes[1] > 0.98 * volumes[0]


def test_where_all_policies_are_too_many_they_are_evolved() -> None:
    exits = drawn_exits(6, heads=2)
    outcomes, costs = {"fp32": drawn_outcomes(exits, 200)}, drawn_costs(exits)
    reference = np.array(
        [0.9, *(max(getattr(one, name) for one in costs.values()) for name in ("whole_ms", "whole_mj"))]
    )
    whole, few = (searched(outcomes, costs, max_exits=3, evaluations=number) for number in (10**6, 2000))
    volumes = [hypervolume(np.array([one.objectives for one in points]), reference) for points in (whole, few)]
    assert 0.98 * volumes[0] < volumes[1] <= volumes[0] * (1 + 1e-9) + 0.005


@pytest.mark.parametrize("engine", ["factorised", "nsga2"])
def test_the_seed_says_all(engine: Any) -> None:
    exits = drawn_exits(6, heads=2)
    outcomes, costs = {"fp32": drawn_outcomes(exits, 100)}, drawn_costs(exits)
    one, again, other = (
        searched(outcomes, costs, max_exits=3, engine=engine, evaluations=1500, seed=seed) for seed in (3, 3, 4)
    )
    assert one == again
    assert one != other, "grids of so few policies do not fit, so that both engines evolve"


def test_points_are_thinned_out() -> None:
    exits = drawn_exits(3)
    outcomes, costs = {"fp32": drawn_outcomes(exits, 300)}, drawn_costs(exits)
    whole = searched(outcomes, costs)
    few = searched(outcomes, costs, most_points=20)
    assert len(few) <= 20 < len(whole)
    assert set(few) <= set(whole)
    assert whole[0] in few, "the lowest error"


def path_costs(latency_ms: list[float], energy_mj: list[float]) -> PathCosts:
    return PathCosts(
        latency_ms_X=np.array(latency_ms),
        energy_mj_X=np.array(energy_mj),
        latency_source="measured",
        energy_source="measured",
        idle_w=2.0,
    )


@pytest.mark.parametrize("energy", [NET, GROSS, PERIOD], ids=lambda one: one.kind)
def test_thresholds_of_a_plan_whose_ways_were_measured(energy: EnergyObjective) -> None:
    exits = drawn_exits(2)
    outcomes = {"fp32": drawn_outcomes(exits, 15)}
    costs = {
        CONFIGURATIONS[0]: path_costs([1.0, 2.1, 3.0], [0.8, 2.2, 2.9]),
        CONFIGURATIONS[1]: path_costs([1.2, 1.9, 2.8], [1.1, 2.0, 4.0]),
    }
    points = search_thresholds(outcomes, costs, energy=energy)  # type: ignore[arg-type]
    found = []
    for own in costs.values():
        for thresholds in itertools.product(*map(every_threshold, outcomes["fp32"].confidence_XN[:2])):
            single = judged(outcomes["fp32"], thresholds)
            latency_ms, net_mj = own.expected(single.shares_X)
            found.append((single.error, latency_ms, energy.energy_mj(net_mj, latency_ms, 2.0)))
    assert_equal_fronts(points, front_of(np.array(found)))
    assert {one.plan for one in points} == {(0, 1)}


def test_each_plan_has_its_own_points() -> None:
    exits = drawn_exits(3)
    outcomes, costs = {"fp32": drawn_outcomes(exits, 16)}, drawn_costs(exits)
    points = search_each_plan(outcomes, costs, [(0,), (1, 2)], energy=NET)  # type: ignore[arg-type]
    assert [plan for plan, _ in itertools.groupby(one.plan for one in points)] == [(), (0,), (1, 2)]
    for plan in ((0,), (1, 2)):
        found = [
            priced(outcomes["fp32"], own, plan, thresholds, NET)
            for own in costs.values()
            for thresholds in itertools.product(
                *(every_threshold(outcomes["fp32"].confidence_XN[place]) for place in plan)
            )
        ]
        assert_equal_fronts([one for one in points if one.plan == plan], front_of(np.array(found)))


def test_what_does_not_fit_together_is_refused() -> None:
    exits = drawn_exits(2)
    outcomes, costs = {"fp32": drawn_outcomes(exits, 20)}, drawn_costs(exits)
    with pytest.raises(ValueError, match="at least one configuration"):
        searched(outcomes, {})
    with pytest.raises(ValueError, match="int8 has none"):
        searched(outcomes, drawn_costs(exits, BOTH_PRECISIONS))
    with pytest.raises(ValueError, match="same candidate exits"):
        searched(outcomes, drawn_costs(drawn_exits(3)))
    with pytest.raises(ValueError, match="max_exits >= 0"):
        searched(outcomes, costs, max_exits=-1)
    with pytest.raises(ValueError, match="evaluations >= 1"):
        searched(outcomes, costs, evaluations=0)
    with pytest.raises(ValueError, match="--inner"):
        searched(outcomes, costs, engine="random")
    with pytest.raises(ValueError, match="idle power"):
        searched(outcomes, drawn_costs(exits, idle_w=None), energy=GROSS)
    with pytest.raises(ValueError, match="ways differ in number"):
        search_thresholds(outcomes, {CONFIGURATIONS[0]: path_costs([1, 2], [1, 2])}, energy=NET)  # type: ignore[arg-type]
