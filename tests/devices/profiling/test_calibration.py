"""Oracles: boards whose true costs are known, ordinary leave-one-out, and the closed form of ridge regression."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import spearmanr

from devices.cost_tables.analytic import analytic_cost_table
from devices.cost_tables.cost_table import CostTable
from devices.profiling.calibration import Calibration, calibrated, table_error
from search_space.spaces import space_named

SPACE = space_named("fbnet-cifar")
TABLE = analytic_cost_table(SPACE)
LAYERS, OPERATORS = TABLE.latency_ms.shape


def networks(count: int, seed: int) -> list[list[int]]:
    chosen: list[list[int]] = np.random.default_rng(seed).integers(OPERATORS, size=(count, LAYERS)).tolist()
    return chosen


def latencies(table: CostTable, indices: list[list[int]]) -> npt.NDArray[np.float64]:
    return np.array([table.latency_of(network) for network in indices])


def mean_error(table: CostTable, truth: CostTable, seed: int = 99) -> float:
    unseen = networks(200, seed)
    return table_error(latencies(table, unseen), latencies(truth, unseen)).mean_relative


def board(rng: np.random.Generator, **spreads: float) -> CostTable:
    """A board on which operators cost more or less than the table says, by log-normal factors."""
    factors = {"operator": (1, OPERATORS), "shape": (LAYERS, 1), "entry": (LAYERS, OPERATORS)}
    first_of_its_shape = [SPACE.layers.index(layer) for layer in SPACE.layers]
    costs = TABLE.latency_ms.copy()
    for name, spread in spreads.items():
        factor = np.broadcast_to(np.exp(rng.normal(0, spread, factors[name])), costs.shape)
        costs *= factor[first_of_its_shape]
    return replace(TABLE, latency_ms=costs, energy_mj=3 * costs)


def calibrate(table: CostTable, truth: CostTable, count: int, seed: int = 1) -> Calibration:
    chosen = networks(count, seed)
    latency = latencies(truth, chosen)
    return calibrated(table, SPACE, chosen, latency.tolist(), [truth.energy_of(network) for network in chosen])


def test_a_table_that_is_right_stays_as_it_is() -> None:
    table = calibrate(TABLE, TABLE, 30).table
    np.testing.assert_allclose(table.latency_ms, TABLE.latency_ms, rtol=1e-6, atol=1e-12)
    assert table.error is not None
    assert table.error.mean_relative < 1e-6
    assert table.fixed_latency_ms == pytest.approx(TABLE.fixed_latency_ms)


def test_a_board_that_is_slower_throughout_needs_few_networks() -> None:
    slower = replace(TABLE, latency_ms=2.5 * TABLE.latency_ms, fixed_latency_ms=2.5 * TABLE.fixed_latency_ms)
    assert mean_error(TABLE, slower) == pytest.approx(0.6)
    assert mean_error(calibrate(TABLE, slower, 4).table, slower) < 0.01


@pytest.mark.parametrize("spreads", [{"operator": 0.3}, {"shape": 0.3}, {"operator": 0.2, "shape": 0.2, "entry": 0.05}])
def test_what_operators_and_shapes_have_in_common_is_learned(spreads: dict[str, float]) -> None:
    truth = board(np.random.default_rng(0), **spreads)
    before, after = mean_error(TABLE, truth), mean_error(calibrate(TABLE, truth, 60).table, truth)
    assert after < 0.03
    assert after < before / 3


def test_more_networks_predict_better() -> None:
    truth = board(np.random.default_rng(3), operator=0.2, shape=0.2, entry=0.1)
    errors = [mean_error(calibrate(TABLE, truth, count).table, truth) for count in (5, 20, 80)]
    assert errors == sorted(errors, reverse=True)


def test_energy_is_calibrated_like_latency() -> None:
    truth = board(np.random.default_rng(0), operator=0.3)
    table = calibrate(replace(TABLE, energy_mj=3 * TABLE.latency_ms), truth, 60).table
    np.testing.assert_allclose(table.energy_mj, 3 * table.latency_ms, rtol=0.05, atol=2e-3)


def test_equal_layers_have_equal_entries() -> None:
    truth = board(np.random.default_rng(0), operator=0.2, shape=0.2, entry=0.1)
    table = calibrate(TABLE, truth, 40).table
    for first, layer in enumerate(SPACE.layers):
        for second in range(first):
            if SPACE.layers[second] == layer:
                np.testing.assert_array_equal(table.latency_ms[first], table.latency_ms[second])


def test_the_stated_error_is_that_of_networks_left_out() -> None:
    """With the measured networks' noise far above all corrections, predictions from the others are the table's."""
    truth = board(np.random.default_rng(0), operator=0.2, shape=0.2)
    result = calibrate(TABLE, truth, 60)
    stated, real = result.table.error, mean_error(result.table, truth)
    assert stated is not None
    assert 0.5 * real < stated.mean_relative < 2 * real
    assert stated.networks == 60
    assert "calibrated on 60 whole networks" in result.table.method


def test_a_network_left_out_is_predicted_without_its_own_latency() -> None:
    truth = board(np.random.default_rng(0), operator=0.2)
    chosen = networks(40, 1)
    latency = latencies(truth, chosen).tolist()
    whole = calibrated(TABLE, SPACE, chosen, latency, latency).left_out_ms_N
    others = calibrated(TABLE, SPACE, chosen[1:], latency[1:], latency[1:]).table
    assert others.latency_of(chosen[0]) == pytest.approx(whole[0], rel=0.02)


def test_calibrating_again_says_so_once() -> None:
    once = calibrate(TABLE, TABLE, 5).table
    assert calibrate(once, TABLE, 6).table.method.count("calibrated") == 1


def test_the_error_of_a_table_by_hand() -> None:
    error = table_error(np.array([1.05, 2.0, 2.4, 4.0]), np.array([1.0, 2.0, 3.0, 4.0]))
    assert error.mean_relative == pytest.approx((0.05 + 0 + 0.2 + 0) / 4)
    assert error.within_10_percent == 0.75
    assert error.spearman == pytest.approx(spearmanr([1.05, 2.0, 2.4, 4.0], [1, 2, 3, 4]).statistic)
    assert table_error(np.array([1.0, 2.0]), np.array([1.0, 2.0])).spearman is None


@pytest.mark.parametrize(
    ("chosen", "latency", "rule"),
    [
        ([], [], "0 networks, 0 latencies"),
        (networks(2, 0), [1.0], "2 networks, 1 latencies"),
        (networks(1, 0), [0.0], "finite and above 0"),
        (networks(1, 0), [float("nan")], "finite and above 0"),
    ],
)
def test_networks_without_costs_are_refused(chosen: list[list[int]], latency: list[float], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        calibrated(TABLE, SPACE, chosen, latency, latency)


def test_a_table_of_another_space_is_refused() -> None:
    with pytest.raises(ValueError, match="space of a cost table must be"):
        calibrated(TABLE, space_named("fbnet-micro"), networks(1, 0), [1.0], [1.0])
