from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from devices.configuration import configurations_of
from devices.cost_tables.energy_objective import EnergyObjective
from devices.cost_tables.exit_costs import with_passing
from moo.adaptation.cost_orders import are_proportional, searches_of
from tests.moo.adaptation.drawn_networks import CONFIGURATIONS, drawn_costs, drawn_exits

NET, GROSS, PERIOD = EnergyObjective(), EnergyObjective("gross"), EnergyObjective("period", 20.0)


@pytest.mark.parametrize("energy", [NET, GROSS, PERIOD], ids=lambda one: one.kind)
def test_one_search_serves_all_configurations_that_scale(energy: EnergyObjective) -> None:
    found = searches_of(drawn_costs(drawn_exits(4, heads=2)), energy)
    assert [(one.configuration, one.two_objectives) for one in found] == [(CONFIGURATIONS[0], True)]


def test_each_precision_is_searched_by_itself() -> None:
    configurations = configurations_of((1, 2), (1500, 2400), ("fp32", "int8"))
    found = searches_of(drawn_costs(drawn_exits(3), configurations), NET)
    assert [one.configuration.precision for one in found] == ["fp32", "int8"]


def test_a_configuration_that_does_not_scale_has_its_own_search() -> None:
    costs = drawn_costs(drawn_exits(3))
    *_, last = costs
    costs[last] = replace(costs[last], head_ms_E=costs[last].head_ms_E * 1.01)
    found = searches_of(costs, NET)
    assert [(one.configuration, one.two_objectives) for one in found] == [(CONFIGURATIONS[0], True), (last, False)]


def test_what_passing_an_exit_takes_scales_or_has_its_own_search() -> None:
    costs = drawn_costs(drawn_exits(3))
    scaled = {one: with_passing(own, 0.1 * own.whole_ms) for one, own in costs.items()}
    assert len(searches_of(scaled, NET)) == 1
    *_, last = costs
    assert len(searches_of(scaled | {last: with_passing(costs[last], 0.2 * costs[last].whole_ms)}, NET)) == 2


def test_energy_that_is_not_in_proportion_to_latency_is_an_objective_of_its_own() -> None:
    costs = {
        configuration: replace(own, head_mj_E=own.head_mj_E * 2)
        for configuration, own in drawn_costs(drawn_exits(3)).items()
    }
    (found,) = searches_of(costs, NET)
    assert not found.two_objectives
    assert len(searches_of(costs, GROSS)) > 1, "idle energy has another share at each power"


def test_measured_ways_are_compared_as_they_are() -> None:
    costs = {configuration: own.of((0, 1)) for configuration, own in drawn_costs(drawn_exits(3)).items()}
    assert len(searches_of(costs, NET)) == 1
    *_, last = costs
    costs[last] = replace(costs[last], latency_ms_X=costs[last].latency_ms_X + np.array([0.0, 0.0, 0.01]))
    assert len(searches_of(costs, NET)) == 2


def test_proportions_have_a_tolerance() -> None:
    one_V = np.array([1.0, 2.0, 5.0])
    assert are_proportional(one_V, 3 * one_V)
    assert are_proportional(one_V, 3 * one_V * np.array([0.99, 1.01, 1.0]), tolerance=0.0101)
    assert not are_proportional(one_V, 3 * one_V * np.array([0.99, 1.01, 1.0]), tolerance=0.0099)
    assert not are_proportional(one_V, -one_V), "the order is reversed"
    assert not are_proportional(one_V, np.array([0.0, 2.0, 5.0]))
    assert are_proportional(np.array([0.0, 2.0]), np.array([0.0, 3.0]))
    assert not are_proportional(one_V, one_V + 1), "an exit's cost is added to others"
