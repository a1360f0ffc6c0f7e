"""What it costs to leave a network at each of its exits. Start with `exit_costs`.

Array shapes: L layers, E exits, X = E + 1 ways through a network (leaving at each exit, and passing all).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt

from devices.cost_tables.cost_table import CostTable
from devices.cost_tables.operator_model import OperatorModel
from devices.cost_tables.pi4 import fitted_model, published_latencies
from devices.measurement import Source
from search_space.exits import Exit, head_graph, output_shape
from search_space.graphs import Graph, GraphBuilder
from search_space.spaces import FBNetSpace, add_head, add_stem

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PathCosts:
    """Costs of each way through a network with exits, in one configuration, the first exit first."""

    latency_ms_X: Floats
    energy_mj_X: Floats
    """Above idle."""
    latency_source: Source
    energy_source: Source
    idle_w: float | None = None
    """Idle power of the board; None if it is not known."""
    energy_error: float | None = None
    """How far modelled energies may be off, as a fraction; None where they were measured, or it is not known."""

    def expected(self, shares_X: Floats) -> tuple[float, float]:
        """Mean latency in ms and net energy in mJ.

        Args:
            shares_X: share of images that take each way, in all 1.
        """
        return float(shares_X @ self.latency_ms_X), float(shares_X @ self.energy_mj_X)

    def worst_latency_ms(self, thresholds_E: Sequence[float]) -> float:
        """Latency in ms of the longest way that an image can take.

        Args:
            thresholds_E: of each exit: none comes past a threshold of 0, and none leaves at one of 1.
        """
        latencies_ms = []
        for threshold, latency_ms in zip(thresholds_E, self.latency_ms_X, strict=False):
            if threshold < 1:
                latencies_ms.append(float(latency_ms))
            if threshold == 0:
                return max(latencies_ms)
        return max([*latencies_ms, float(self.latency_ms_X[-1])])


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ExitCosts:
    """Costs of a network and of candidate exits, from which those of any choice of exits follow; all are predicted."""

    exits: tuple[Exit, ...]
    """The candidates, E of them, in order."""
    before_ms_E: Floats
    """Latency of the network up to the place of each exit, without any head; so are energies."""
    before_mj_E: Floats
    head_ms_E: Floats
    """Latency of each head by itself."""
    head_mj_E: Floats
    whole_ms: float
    """Of the network without any head."""
    whole_mj: float
    energy_source: Source
    idle_w: float | None
    energy_error: float | None
    passing_ms: float = 0.0
    """What each exit takes besides its head: the decision, and the next call of the runtime."""
    passing_mj: float = 0.0

    def of(self, plan: Sequence[int]) -> PathCosts:
        """Costs of each way through the network where it has some of the candidate exits.

        Args:
            plan: places of these in `exits`, ascending; none is the network as it is.
        """
        chosen = list(plan)
        return PathCosts(
            latency_ms_X=_paths(self.before_ms_E[chosen], self.head_ms_E[chosen] + self.passing_ms, self.whole_ms),
            energy_mj_X=_paths(self.before_mj_E[chosen], self.head_mj_E[chosen] + self.passing_mj, self.whole_mj),
            latency_source="modelled",
            energy_source="modelled",
            idle_w=self.idle_w,
            energy_error=self.energy_error,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class WholeWays:
    """A network that was measured as it is, and in segments through which nothing leaves early."""

    plan: tuple[int, ...]
    """Places of its exits in the candidates."""
    static_ms: float
    """In one file, without exits."""
    last_ms: float
    """Past all exits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Passing:
    """What passing an exit takes besides its head, as measured networks tell."""

    latency_ms: float
    spread_ms: float
    """Standard deviation between networks: of the prediction for another one."""


def passing_of(measured: Sequence[tuple[ExitCosts, WholeWays]]) -> Passing:
    """What passing an exit takes, by networks that were measured on this board in this configuration.

    It is what a network in segments takes beyond the same in one file and the heads, which are predicted in proportion
    to that, divided by its exits. A share of the heads' error is in it: the worse they are predicted, the wider the
    spread.

    Args:
        measured: networks, with their predicted costs.

    Raises:
        ValueError: if none has exits.
    """
    each_N = np.array(
        [
            (ways.last_ms - ways.static_ms * (1 + costs.head_ms_E[list(ways.plan)].sum() / costs.whole_ms))
            / len(ways.plan)
            for costs, ways in measured
            if ways.plan
        ]
    )
    if not len(each_N):
        raise ValueError("what an exit takes needs at least one network with exits that was measured, but got none.")
    return Passing(latency_ms=max(0.0, float(each_N.mean())), spread_ms=float(each_N.std()))


def with_passing(costs: ExitCosts, passing_ms: float) -> ExitCosts:
    """Costs in which each exit takes some time besides its head, at the network's mean power."""
    return replace(costs, passing_ms=passing_ms, passing_mj=passing_ms * costs.whole_mj / costs.whole_ms)


def _paths(before_E: Floats, head_E: Floats, whole: float) -> Floats:
    passed_E = np.cumsum(head_E)
    total = whole + (passed_E[-1] if len(passed_E) else 0.0)
    return np.append(before_E + passed_E, total)


def latency_shares(table: CostTable, space: FBNetSpace, operators: tuple[str, ...]) -> Floats:
    """Share of a network's latency up to the end of each layer, shape (L,)."""
    before_ms_L = _up_to_layers(table.latency_ms, table.fixed_latency_ms, table, space, operators)
    return before_ms_L / table.latency_of(_indices(table, operators))


def exit_costs(table: CostTable, space: FBNetSpace, operators: tuple[str, ...], exits: Sequence[Exit]) -> ExitCosts:
    """Costs of a network and of candidate exits.

    Up to an exit they are sums of the table. What all networks pay, its fixed cost, is divided between what comes
    before and after the searchable layers as the operator model of a Raspberry Pi 4 says, and so are heads priced, in
    proportion to the whole network.

    Args:
        table: of the board, in a configuration.
        space: of the network.
        operators: the network, one a layer.
        exits: candidates, in order.
    """
    model, indices = _operator_model(), _indices(table, operators)
    whole_ms, whole_mj = table.latency_of(indices), table.energy_of(indices)
    layers = [one.layer for one in exits]
    scale = whole_ms / model.latency_ms(space.graph(operators))
    head_ms_E = scale * np.array([model.latency_ms(head_graph(space, one)) for one in exits])
    return ExitCosts(
        exits=tuple(exits),
        before_ms_E=_up_to_layers(table.latency_ms, table.fixed_latency_ms, table, space, operators)[layers],
        before_mj_E=_up_to_layers(table.energy_mj, table.fixed_energy_mj, table, space, operators)[layers],
        head_ms_E=head_ms_E,
        head_mj_E=head_ms_E * whole_mj / whole_ms,
        whole_ms=whole_ms,
        whole_mj=whole_mj,
        energy_source=table.energy_source,
        idle_w=table.idle_w,
        energy_error=table.energy_error,
    )


def _up_to_layers(
    costs_LO: Floats, fixed: float, table: CostTable, space: FBNetSpace, operators: tuple[str, ...]
) -> Floats:
    indices = _indices(table, operators)
    own_L = costs_LO[np.arange(len(indices)), list(indices)]
    return _share_before(space) * fixed + np.cumsum(own_L)


def _share_before(space: FBNetSpace) -> float:
    """Share of the fixed cost that comes before the searchable layers."""
    stem, head = GraphBuilder(space.input_shape), GraphBuilder(output_shape(space, space.num_layers - 1))
    add_stem(stem, space)
    add_head(head, Graph.INPUT, space)
    before_ms, after_ms = (_operator_model().latency_ms(one.build()) for one in (stem, head))
    return before_ms / (before_ms + after_ms)


@cache
def _operator_model() -> OperatorModel:
    return fitted_model(published_latencies())


def _indices(table: CostTable, operators: Sequence[str]) -> list[int]:
    return [table.operators.index(name) for name in operators]
