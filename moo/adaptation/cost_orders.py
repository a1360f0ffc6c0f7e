"""Which costs put policies in the same order, so that one search serves them all. Start with `searches_of`.

Where a configuration's costs of all ways are those of another times one factor, so are its expected costs: of two
policies the same one is the cheaper. Shape suffix: V costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from devices.configuration import RuntimeConfiguration
from devices.cost_tables.energy_objective import EnergyObjective
from devices.cost_tables.exit_costs import ExitCosts, PathCosts

Floats = npt.NDArray[np.float64]
TOLERANCE = 1e-6
"""By which factors of single costs may differ, relative to their mean, where they count as one. A policy that such a
search omits is dominated by one that costs at most twice this share more."""


@dataclass(frozen=True, slots=True)
class CostOrder:
    """Configurations that one search serves."""

    configuration: RuntimeConfiguration
    """Whose costs the search minimises."""
    two_objectives: bool
    """Whether its energy is its latency times one factor, so that error and latency say all."""


def searches_of(
    costs: Mapping[RuntimeConfiguration, ExitCosts] | Mapping[RuntimeConfiguration, PathCosts], energy: EnergyObjective
) -> tuple[CostOrder, ...]:
    """The searches that give every configuration its non-dominated policies, each for one precision.

    Args:
        costs: of each configuration.
        energy: that is minimised.
    """
    searches: list[CostOrder] = []
    found: list[tuple[Floats, Floats]] = []
    for configuration, own in costs.items():
        latency_ms_V, energy_mj_V = _latencies(own), _energies(own, energy)
        known = (
            other.configuration.precision == configuration.precision
            and are_proportional(latency_ms_V, other_ms_V)
            and are_proportional(energy_mj_V, other_mj_V)
            for other, (other_ms_V, other_mj_V) in zip(searches, found, strict=True)
        )
        if not any(known):
            searches.append(CostOrder(configuration, are_proportional(latency_ms_V, energy_mj_V)))
            found.append((latency_ms_V, energy_mj_V))
    return tuple(searches)


def are_proportional(one_V: Floats, other_V: Floats, tolerance: float = TOLERANCE) -> bool:
    """Whether costs are others times one positive factor, to a tolerance."""
    if (one_V < 0).any() or (other_V < 0).any() or ((one_V == 0) != (other_V == 0)).any():
        return False
    factors = other_V[one_V > 0] / one_V[one_V > 0]
    return not len(factors) or bool(np.ptp(factors) <= tolerance * (factors.max() + factors.min()))


def comparable_energy(paths: PathCosts, energy: EnergyObjective) -> Floats:
    """Energies of each way in the order of the objective; what all pay alike, as idle power over a period, is omitted.

    Raises:
        ValueError: if the board's idle power is needed, and not known.
    """
    return _ordering(paths.energy_mj_X, paths.latency_ms_X, paths.idle_w, energy)


def _ordering(net_mj_V: Floats, latency_ms_V: Floats, idle_w: float | None, energy: EnergyObjective) -> Floats:
    with_idle_V = energy.energy_mj(net_mj_V, latency_ms_V, idle_w)
    return net_mj_V if energy.kind == "period" else with_idle_V


def _latencies(costs: ExitCosts | PathCosts) -> Floats:
    """All those that expected latencies are made of."""
    if isinstance(costs, PathCosts):
        return costs.latency_ms_X
    return np.concatenate([costs.before_ms_E, costs.head_ms_E, [costs.whole_ms, costs.passing_ms]])


def _energies(costs: ExitCosts | PathCosts, energy: EnergyObjective) -> Floats:
    if isinstance(costs, PathCosts):
        return comparable_energy(costs, energy)
    net_mj_V = np.concatenate([costs.before_mj_E, costs.head_mj_E, [costs.whole_mj, costs.passing_mj]])
    return _ordering(net_mj_V, _latencies(costs), costs.idle_w, energy)
