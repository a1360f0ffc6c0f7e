"""Costs of very many operating points at once, and by how much they exceed limits, as for each by itself.

Shape suffixes: K configurations, L layers, M costs or objectives, N architectures, O operators, P points.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from devices.cost_tables.energy_objective import EnergyObjective
from devices.cost_tables.family import CostTables
from moo.limits import CostLimits

Floats = npt.NDArray[np.float64]


def predicted_costs(tables: CostTables, operators: Sequence[Sequence[str]], energy: EnergyObjective) -> Floats:
    """Latency in ms and an energy in mJ of architectures in each configuration, shape (N, K, 2).

    The figures are those of `CostTable.latency_of` and `energy_of` to the last bit.

    Args:
        tables: of the configurations, with energy above idle.
        operators: of each architecture, a name for each layer.
        energy: which one.
    """
    index_of = {name: index for index, name in enumerate(tables.base.operators)}
    indices_NL = np.array([[index_of[name] for name in names] for names in operators], np.intp)
    indices_NL = indices_NL.reshape(len(operators), tables.base.num_layers)
    layers_L = np.arange(tables.base.num_layers)
    costs_NKM = np.empty((len(operators), len(tables), 2))
    for place, table in enumerate(tables):
        latency_N = table.fixed_latency_ms + _chosen(table.latency_ms, layers_L, indices_NL)
        net_N = table.fixed_energy_mj + _chosen(table.energy_mj, layers_L, indices_NL)
        costs_NKM[:, place, 0] = latency_N
        costs_NKM[:, place, 1] = energy.energy_mj(net_N, latency_N, table.idle_w)
    return costs_NKM


def violations(limits: CostLimits, objectives_PM: Floats, params_P: Floats) -> Floats:
    """`CostLimits.violation` of each point.

    Args:
        limits: of a run.
        objectives_PM: error, latency in ms and the energy that is minimised.
        params_P: trainable parameters.
    """
    pairs = (
        (objectives_PM[:, 1], limits.max_latency_ms),
        (objectives_PM[:, 2], limits.max_energy_mj),
        (params_P, limits.max_params),
    )
    total_P = np.zeros(len(objectives_PM))
    for value_P, limit in pairs:
        if limit is not None:
            total_P += np.maximum(0.0, value_P / limit - 1)
    return total_P


def _chosen(costs_LO: Floats, layers_L: npt.NDArray[np.intp], indices_NL: npt.NDArray[np.intp]) -> Floats:
    # Contiguous along the layers, which numpy then adds in the order in which it adds those of one network.
    sum_N: Floats = np.ascontiguousarray(costs_LO[layers_L, indices_NL]).sum(axis=1)
    return sum_N
