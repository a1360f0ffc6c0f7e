"""Operating points of networks with and without exits, and the front among them. Start with `adaptive_point`.

Array shapes: E exits, X = E + 1 ways through a network; M objectives.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from devices.configuration import RuntimeConfiguration
from devices.cost_tables.energy_objective import EnergyObjective
from devices.cost_tables.exit_costs import PathCosts
from devices.measurement import Measurement
from evaluation.early_exits.outcomes import ExitOutcomes
from evaluation.early_exits.policy import judged, oracle
from moo.analysis.chance import wilson
from moo.limits import CostLimits
from moo.storage.adaptive_front import AdaptivePoint
from moo.storage.archive import Archive, Costs
from moo.storage.pareto import Floats, non_dominated
from moo.storage.point_costs import violations
from search_space.architectures import Architecture


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """A network with exits as it is deployed, or would be, in a precision."""

    architecture: Architecture
    outcomes: ExitOutcomes
    """Of its exits, and no others, on the selection split."""
    jointly_trained: bool
    segment_params: tuple[int, ...]
    """Shape (X,)."""


def adaptive_point(
    variant: Variant,
    configuration: RuntimeConfiguration,
    thresholds: Sequence[float],
    costs: PathCosts,
    *,
    energy: EnergyObjective,
) -> AdaptivePoint:
    """A network with exits and thresholds in a configuration.

    Args:
        variant: the network.
        configuration: how it is run.
        thresholds: of each exit, shape (E,).
        costs: of each way through it in that configuration.
        energy: that is minimised.

    Raises:
        ValueError: if a threshold is out of range, or the energy needs an idle power that is not known.
    """
    outcomes = variant.outcomes
    policy, bound = judged(outcomes, thresholds), oracle(outcomes)
    latency_ms, net_mj = costs.expected(policy.shares_X)
    interval = wilson(policy.error, outcomes.images)
    return AdaptivePoint(
        architecture=variant.architecture,
        configuration=configuration,
        exits=outcomes.exits,
        thresholds=tuple(float(value) for value in thresholds),
        exit_shares=tuple(policy.shares_X.tolist()),
        error=policy.error,
        error_low=interval.low,
        error_high=interval.high,
        images=outcomes.images,
        static_error=outcomes.static_error,
        oracle_error=bound.error,
        oracle_latency_ms=costs.expected(bound.shares_X)[0],
        latency_ms=latency_ms,
        worst_latency_ms=costs.worst_latency_ms(thresholds),
        energy_mj=energy.energy_mj(net_mj, latency_ms, costs.idle_w),
        energy_kind=energy.kind,
        net_energy_mj=net_mj,
        gross_energy_mj=None if costs.idle_w is None else net_mj + costs.idle_w * latency_ms,
        energy_error=costs.energy_error,
        latency_source=costs.latency_source,
        energy_source=costs.energy_source,
        path_latency_ms=tuple(costs.latency_ms_X.tolist()),
        path_energy_mj=tuple(costs.energy_mj_X.tolist()),
        jointly_trained=variant.jointly_trained,
        segment_params=variant.segment_params,
    )


def static_points(
    archive: Archive, configurations: Sequence[RuntimeConfiguration], *, energy: EnergyObjective, images: int
) -> tuple[AdaptivePoint, ...]:
    """The trained networks of a run as they are, in some of its configurations, with the errors of their files.

    Args:
        archive: of the run.
        configurations: among those of the run.
        energy: that is minimised.
        images: of the selection split.
    """
    points = []
    for point in archive.trained_points():
        trained = point.entry.trained
        if point.configuration in configurations and trained is not None:
            test = 1 - trained.file_for(point.configuration).top1
            points.append(
                _static_point(
                    point.entry.architecture,
                    point.configuration,
                    point.error,
                    point.costs,
                    energy=energy,
                    images=images,
                    test_error=test,
                    params=trained.params,
                )
            )
    return tuple(points)


def _static_point(
    architecture: Architecture,
    configuration: RuntimeConfiguration,
    error: float,
    costs: Costs,
    *,
    energy: EnergyObjective,
    images: int,
    test_error: float,
    params: int,
) -> AdaptivePoint:
    interval = wilson(error, images)
    return AdaptivePoint(
        architecture=architecture,
        configuration=configuration,
        exits=(),
        thresholds=(),
        exit_shares=(1.0,),
        error=error,
        error_low=interval.low,
        error_high=interval.high,
        images=images,
        static_error=error,
        oracle_error=error,
        oracle_latency_ms=costs.latency_ms,
        test_error=test_error,
        latency_ms=costs.latency_ms,
        worst_latency_ms=costs.latency_ms,
        energy_mj=energy.energy_mj(costs.net_mj, costs.latency_ms, costs.idle_w),
        energy_kind=energy.kind,
        net_energy_mj=costs.net_mj,
        gross_energy_mj=costs.gross_mj,
        energy_error=costs.energy_error,
        latency_source=costs.latency_source,
        energy_source=costs.energy_source,
        path_latency_ms=(costs.latency_ms,),
        path_energy_mj=(costs.net_mj,),
        jointly_trained=False,
        segment_params=(params,),
    )


def joint_front(points: Iterable[AdaptivePoint], limits: CostLimits | None = None) -> tuple[AdaptivePoint, ...]:
    """The points that no other dominates, of those nearest to the limits, best accuracy first; of equal ones the first.

    A network as it is comes before the same with exits.

    Args:
        points: with and without exits.
        limits: of the run, for expected costs.
    """
    ordered = sorted(points, key=_order)
    if not ordered:
        return ()
    objectives_PM = objectives_of_points(ordered)
    params_P = np.array([sum(point.segment_params) for point in ordered], np.float64)
    exceeded_P = violations(limits or CostLimits(), objectives_PM, params_P)
    near = np.flatnonzero(exceeded_P == exceeded_P.min())
    return tuple(ordered[near[place]] for place in non_dominated(objectives_PM[near]))


def objectives_of_points(points: Sequence[AdaptivePoint]) -> Floats:
    """Error, expected latency in ms and expected energy in mJ, shape (P, M)."""
    return np.array([point.objectives for point in points], np.float64).reshape(-1, 3)


def _order(point: AdaptivePoint) -> tuple[object, ...]:
    return (*point.objectives, len(point.exits), point.id, point.configuration.label, point.thresholds)


def with_measured_costs(point: AdaptivePoint, measurement: Measurement, energy: EnergyObjective) -> AdaptivePoint:
    """A network as it is, with costs that a board measured.

    Args:
        point: without exits.
        measurement: of the network's file in the point's configuration.
        energy: that is minimised.
    """
    m = measurement
    return replace(
        point,
        oracle_latency_ms=m.latency_ms,
        latency_ms=m.latency_ms,
        worst_latency_ms=m.latency_ms,
        energy_mj=energy.energy_mj(m.energy_mj, m.latency_ms, m.idle_w),
        net_energy_mj=m.energy_mj,
        gross_energy_mj=None if m.idle_w is None else m.energy_mj + m.idle_w * m.latency_ms,
        energy_error=m.energy_error,
        latency_source=m.latency_source,
        energy_source=m.energy_source,
        path_latency_ms=(m.latency_ms,),
        path_energy_mj=(m.energy_mj,),
    )
