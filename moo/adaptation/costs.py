"""What the ways through networks cost: predicted, or measured on the run's board. Start with `predicted_costs_of`.

Array shapes: X ways through a network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from devices.configuration import RuntimeConfiguration
from devices.cost_tables.exit_costs import ExitCosts, PathCosts, exit_costs, with_passing
from devices.cost_tables.family import CostTables
from devices.measurement import Measurement, largest_error
from moo.adaptation.training.backbones import Backbone
from moo.storage.adaptive_front import AdaptivePoint
from search_space.spaces import FBNetSpace


def predicted_costs_of(
    backbone: Backbone,
    space: FBNetSpace,
    tables: CostTables,
    configurations: Sequence[RuntimeConfiguration],
    static: Mapping[RuntimeConfiguration, AdaptivePoint],
    passing_ms: Mapping[RuntimeConfiguration, float],
) -> dict[RuntimeConfiguration, ExitCosts]:
    """Costs of a network and its candidate exits in each configuration, by the cost tables.

    Where the network as it is was measured, all are in proportion to that: a table that is off for this network would
    else make exits look better, or worse, than they are.

    Args:
        backbone: the network.
        space: that it is of.
        tables: of the run, as measured networks have corrected them.
        configurations: that are searched.
        static: the network as it is, in each of them.
        passing_ms: what passing an exit takes where that was measured; at another clock it takes longer, or less, as
            the network does.
    """
    found = {}
    for configuration in configurations:
        costs = exit_costs(tables[configuration], space, backbone.architecture.operators, backbone.exits)
        point = static[configuration]
        found[configuration] = _in_proportion(
            costs, point.latency_ms / costs.whole_ms, point.net_energy_mj / costs.whole_mj if costs.whole_mj else 1.0
        )
    return {configuration: _with_passing(configuration, found, passing_ms) for configuration in found}


def _with_passing(
    configuration: RuntimeConfiguration,
    costs: Mapping[RuntimeConfiguration, ExitCosts],
    passing_ms: Mapping[RuntimeConfiguration, float],
) -> ExitCosts:
    own, reference = costs[configuration], clock_reference(configuration, tuple(costs))
    if reference not in passing_ms:
        return own
    return with_passing(own, passing_ms[reference] * own.whole_ms / costs[reference].whole_ms)


def clock_reference(
    configuration: RuntimeConfiguration, configurations: Sequence[RuntimeConfiguration]
) -> RuntimeConfiguration:
    """The first of the configurations that one differs from in its clock at most."""
    own = replace(configuration, frequency_mhz=None)
    return next(one for one in configurations if replace(one, frequency_mhz=None) == own)


def slowdown_of(paths: PathCosts, static_ms: float) -> float:
    """By how much the way past all exits takes longer than the network as it is, as a share.

    Args:
        paths: costs of each way.
        static_ms: latency of the network as it is, in the same configuration.
    """
    return float(paths.latency_ms_X[-1] / static_ms - 1)


def _in_proportion(costs: ExitCosts, latency: float, energy: float) -> ExitCosts:
    return replace(
        costs,
        before_ms_E=costs.before_ms_E * latency,
        head_ms_E=costs.head_ms_E * latency,
        whole_ms=costs.whole_ms * latency,
        before_mj_E=costs.before_mj_E * energy,
        head_mj_E=costs.head_mj_E * energy,
        whole_mj=costs.whole_mj * energy,
    )


def measured_costs_of(ways: Sequence[Measurement]) -> PathCosts:
    """Costs of each way through a network as a board measured them.

    Args:
        ways: a measurement of each, in one configuration, the first exit's first.
    """
    latency = {way.latency_source for way in ways}
    energy = {way.energy_source for way in ways}
    return PathCosts(
        latency_ms_X=np.array([way.latency_ms for way in ways]),
        energy_mj_X=np.array([way.energy_mj for way in ways]),
        latency_source=latency.pop() if len(latency) == 1 else "modelled",
        energy_source=energy.pop() if len(energy) == 1 else "modelled",
        idle_w=ways[-1].idle_w,
        energy_error=largest_error(way.energy_error for way in ways),
    )
