"""Operating points made of outcomes and costs, and the front among them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from devices.configuration import BASE
from devices.cost_tables.energy_objective import EnergyObjective
from devices.cost_tables.exit_costs import PathCosts
from evaluation.early_exits.outcomes import ExitOutcomes
from moo.adaptation.points import Variant, adaptive_point, joint_front
from moo.limits import CostLimits
from search_space.architectures import Architecture
from search_space.exits import Exit

ARCHITECTURE = Architecture(space="tiny", id="012", operators=("k3_e1", "k3_e6", "skip"))
OUTCOMES = ExitOutcomes(
    exits=(Exit(0, "linear"), Exit(1, "conv")),
    confidence_XN=np.array([[0.9, 0.4, 0.8, 0.3], [0.9, 0.9, 0.2, 0.2], [0.9, 0.9, 0.9, 0.9]], np.float32),
    correct_XN=np.array([[1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 0]], bool),
    cross_entropy_XN=np.ones((3, 4), np.float32),
)
COSTS = PathCosts(
    latency_ms_X=np.array([1.0, 2.0, 4.0]),
    energy_mj_X=np.array([10.0, 20.0, 40.0]),
    latency_source="measured",
    energy_source="modelled",
    idle_w=2.0,
    energy_error=0.25,
)
VARIANT = Variant(architecture=ARCHITECTURE, outcomes=OUTCOMES, jointly_trained=True, segment_params=(5, 6, 7))


def point_with(*thresholds: float, energy: Any = None) -> Any:
    return adaptive_point(VARIANT, BASE, thresholds, COSTS, energy=energy or EnergyObjective())


def test_a_point_is_the_sum_of_shares_and_costs() -> None:
    point = point_with(0.5, 0.5)
    assert point.exit_shares == (0.5, 0.25, 0.25)
    assert point.error == 0.5
    assert point.latency_ms == pytest.approx(0.5 * 1 + 0.25 * 2 + 0.25 * 4)
    assert point.net_energy_mj == pytest.approx(20.0)
    assert point.gross_energy_mj == pytest.approx(20.0 + 2.0 * 2)
    assert (point.worst_latency_ms, point.static_error) == (4.0, 0.25)
    # First right: image 0 at exit 0, 1 and 2 at exit 1; image 3 passes all.
    assert point.oracle_error == 0.25
    assert point.oracle_latency_ms == pytest.approx((1 + 2 + 2 + 4) / 4)
    assert point.error_low < point.error < point.error_high


def test_thresholds_of_0_and_1_are_the_first_exit_and_the_whole_network() -> None:
    first, whole = point_with(0.0, 0.5), point_with(1.0, 1.0)
    assert (first.latency_ms, first.worst_latency_ms, first.error) == (1.0, 1.0, 0.75)
    assert (whole.latency_ms, whole.worst_latency_ms, whole.error) == (4.0, 4.0, 0.25)
    assert point_with(1.0, 0.0).worst_latency_ms == 2.0


def test_energy_is_the_one_that_is_minimised() -> None:
    gross = point_with(1.0, 1.0, energy=EnergyObjective("gross"))
    period = point_with(1.0, 1.0, energy=EnergyObjective("period", 100.0))
    assert (gross.energy_mj, period.energy_mj) == (40 + 2 * 4, 40 + 2 * 100)
    assert gross.net_energy_mj == period.net_energy_mj == 40


def test_of_equal_points_the_network_as_it_is_stands() -> None:
    point = point_with(1.0, 1.0)
    static = replace(
        point, exits=(), thresholds=(), exit_shares=(1.0,), path_latency_ms=(4.0,), path_energy_mj=(40.0,),
        segment_params=(18,),
    )  # fmt: skip
    assert joint_front([point, static]) == (static,)
    worse = replace(static, latency_ms=5.0)
    assert joint_front([worse, point, point_with(0.5, 0.5)]) == (point, point_with(0.5, 0.5))
    assert joint_front([]) == ()


def test_limits_of_the_run_hold_for_expected_costs() -> None:
    quick, slow = point_with(0.5, 0.5), point_with(1.0, 1.0)
    assert joint_front([quick, slow], CostLimits(max_latency_ms=3.0)) == (quick,)
    assert joint_front([quick, slow], CostLimits(max_latency_ms=1.0)) == (quick,)
