from __future__ import annotations

import numpy as np
import pytest

from devices.configuration import configurations_of
from devices.cost_tables.energy_objective import EnergyObjective
from devices.cost_tables.raspberry_pi import built_in_tables
from moo.limits import CostLimits
from moo.storage.point_costs import predicted_costs, violations
from search_space.spaces import space_named

CONFIGURATIONS = configurations_of((1, 4), (1500, 600), ("fp32", "int8"))


@pytest.mark.parametrize("energy", [EnergyObjective(), EnergyObjective("gross"), EnergyObjective("period", 100.0)])
@pytest.mark.parametrize("space", ["fbnet-micro", "fbnet-cifar"])
def test_costs_of_many_are_those_of_each_to_the_last_bit(energy: EnergyObjective, space: str) -> None:
    tables = built_in_tables("pi4", space_named(space), CONFIGURATIONS)
    indices_NL = np.random.default_rng(0).integers(len(tables.base.operators), size=(300, tables.base.num_layers))
    operators = [[tables.base.operators[index] for index in indices] for indices in indices_NL]
    found_NKM = predicted_costs(tables, operators, energy)
    for indices, costs_KM in zip(indices_NL.tolist(), found_NKM.tolist(), strict=True):
        for table, costs in zip(tables, costs_KM, strict=True):
            latency_ms, net_mj = table.latency_of(indices), table.energy_of(indices)
            assert costs == [latency_ms, energy.energy_mj(net_mj, latency_ms, table.idle_w)]
    assert predicted_costs(tables, [], energy).shape == (0, len(CONFIGURATIONS), 2)


@pytest.mark.parametrize("limits", [CostLimits(), CostLimits(0.3, None, 40), CostLimits(0.7, 0.1, 10)])
def test_violations_of_many_are_those_of_each(limits: CostLimits) -> None:
    rng = np.random.default_rng(0)
    objectives_PM, params_P = rng.random((200, 3)), rng.integers(100, size=200).astype(float)
    expected = [
        limits.violation(latency_ms, energy_mj, int(params))
        for (_, latency_ms, energy_mj), params in zip(objectives_PM, params_P, strict=True)
    ]
    assert violations(limits, objectives_PM, params_P).tolist() == expected
