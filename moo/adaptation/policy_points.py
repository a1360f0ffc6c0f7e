"""Policies of one network, and their points in runtime configurations. Start with `points_of`.

Array shapes: A policies, X = K + 1 ways through a network with K exits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

from devices.configuration import RuntimeConfiguration
from devices.cost_tables.energy_objective import EnergyObjective
from devices.cost_tables.exit_costs import PathCosts
from evaluation.early_exits.plans import Plan
from moo.storage.pareto import epsilon_front, non_dominated
from moo.trials import Objectives

Floats = npt.NDArray[np.float64]
PathsOf = Callable[[Plan], PathCosts]
"""Costs of each way through the network with a plan, in one configuration."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A plan with thresholds, judged on the outcomes of a precision."""

    plan: Plan
    thresholds: tuple[float, ...]
    error: float
    shares: tuple[float, ...]
    """Of images that take each way; in all 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyPoint:
    """A policy in a runtime configuration."""

    plan: Plan
    thresholds: tuple[float, ...]
    """Of each exit of the plan: an image leaves at the first whose largest softmax exceeds it."""
    configuration: RuntimeConfiguration
    error: float
    """On the images that the outcomes are of, in [0, 1]."""
    shares: tuple[float, ...]
    """Of images that take each way; one more than there are exits, in all 1."""
    latency_ms: float
    """Expected: the sum of shares x costs of the ways. So are energies."""
    worst_latency_ms: float
    """Of the longest way that an image can take."""
    energy_mj: float
    """That which is minimised."""
    net_mj: float
    """Above idle."""

    @property
    def objectives(self) -> Objectives:
        """Error, expected latency in ms, expected energy in mJ."""
        return self.error, self.latency_ms, self.energy_mj


def points_of(
    policies: Mapping[RuntimeConfiguration, Sequence[Policy]],
    paths: Mapping[RuntimeConfiguration, PathsOf],
    energy: EnergyObjective,
    most: int | None,
) -> tuple[PolicyPoint, ...]:
    """The points of policies that no other of them dominates, best error first.

    Args:
        policies: in each configuration.
        paths: costs in each of these.
        energy: that is minimised.
        most: points, at most; None for all.

    Raises:
        ValueError: if `most` is below 1, or an idle power is needed and not known.
    """
    points: list[_Priced] = []
    for configuration, paths_of in paths.items():
        ordered = sorted(policies[configuration], key=lambda one: (one.plan, one.thresholds))
        for plan, group in groupby(ordered, key=lambda one: one.plan):
            points += _priced(tuple(group), configuration, paths_of(plan), energy)
    kept = _front_of(points, most)
    return tuple(
        one.point() for one in sorted(kept, key=lambda one: (one.objectives, one.configuration, one.policy.plan))
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Priced:
    """What a `PolicyPoint` is made of, which most of the product never become."""

    policy: Policy
    configuration: RuntimeConfiguration
    objectives: Objectives
    net_mj: float
    paths: PathCosts

    def point(self) -> PolicyPoint:
        error, latency_ms, energy_mj = self.objectives
        return PolicyPoint(
            plan=self.policy.plan,
            thresholds=self.policy.thresholds,
            configuration=self.configuration,
            error=error,
            shares=self.policy.shares,
            latency_ms=latency_ms,
            worst_latency_ms=self.paths.worst_latency_ms(self.policy.thresholds),
            energy_mj=energy_mj,
            net_mj=self.net_mj,
        )


def _priced(
    policies: Sequence[Policy], configuration: RuntimeConfiguration, paths: PathCosts, energy: EnergyObjective
) -> Iterable[_Priced]:
    """Points of policies of one plan."""
    shares_AX = np.array([one.shares for one in policies])
    latency_ms_A, net_mj_A = shares_AX @ paths.latency_ms_X, shares_AX @ paths.energy_mj_X
    energy_mj_A = energy.energy_mj(net_mj_A, latency_ms_A, paths.idle_w)
    for policy, latency_ms, net_mj, energy_mj in zip(
        policies, latency_ms_A.tolist(), net_mj_A.tolist(), energy_mj_A.tolist(), strict=True
    ):
        yield _Priced(
            policy=policy,
            configuration=configuration,
            objectives=(policy.error, latency_ms, energy_mj),
            net_mj=net_mj,
            paths=paths,
        )


def _front_of(points: Sequence[_Priced], most: int | None) -> list[_Priced]:
    """Points that none dominates, thinned out where they are too many."""
    if not points:
        return []
    objectives_AM = np.array([one.objectives for one in points])
    kept = non_dominated(objectives_AM)
    if most is not None:
        kept = [kept[place] for place in epsilon_front(objectives_AM[kept], most)]
    return [points[place] for place in kept]
