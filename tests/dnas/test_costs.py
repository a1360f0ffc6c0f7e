"""Expectations against the sum over all 729 architectures of the tiny space."""

import itertools

import numpy as np
import pytest
import torch

from devices.cost_tables.analytic import analytic_cost_table
from devices.cost_tables.cost_table import CostTable
from dnas.costs import OperatorCosts
from dnas.relaxation import one_hot
from search_space.spaces import FBNetSpace

ALL = list(itertools.product(range(9), repeat=3))


@pytest.fixture(scope="module")
def table(space: FBNetSpace) -> CostTable:
    return analytic_cost_table(space)


@pytest.fixture
def costs(table: CostTable) -> OperatorCosts:
    return OperatorCosts(torch.tensor(table.latency_ms), table.fixed_latency_ms)


def test_a_certain_architecture_costs_what_the_table_says(table: CostTable, costs: OperatorCosts) -> None:
    energy = OperatorCosts(torch.tensor(table.energy_mj), table.fixed_energy_mj)
    for indices in ALL[::17]:
        hot_LO = one_hot(indices, 9).double()
        assert float(costs.expected(hot_LO)) == pytest.approx(table.latency_of(indices))
        assert float(energy.expected(hot_LO)) == pytest.approx(table.energy_of(indices))


def test_uniform_theta_costs_the_mean_over_all_architectures(table: CostTable, costs: OperatorCosts) -> None:
    mean_ms = np.mean([table.latency_of(indices) for indices in ALL])
    assert float(costs.expected(torch.full((3, 9), 1 / 9).double())) == pytest.approx(mean_ms)
    assert costs.reference() == pytest.approx(mean_ms)


def test_any_theta_costs_the_weighted_mean_over_all_architectures(table: CostTable, costs: OperatorCosts) -> None:
    probs_LO = torch.softmax(torch.randn(3, 9).double(), -1)
    weights = [np.prod([float(probs_LO[layer, index]) for layer, index in enumerate(indices)]) for indices in ALL]
    expected_ms = np.dot(weights, [table.latency_of(indices) for indices in ALL])
    assert float(costs.expected(probs_LO)) == pytest.approx(expected_ms)


def test_costs_can_be_moved(costs: OperatorCosts) -> None:
    moved = costs.to(torch.device("meta"))
    assert moved.cost_LO.device.type == "meta"
    assert moved.fixed == costs.fixed
