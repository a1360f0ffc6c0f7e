"""The best that a network can do with early exits, by what a trial looks for. Start with `best_operating_point`.

All policies of a grid of thresholds are judged on what exits say of the selection split, and the one that is worth most
stands for the network; the network as it is, without exits, is one of them.
Array shapes: A operating points, X ways through a network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from devices.cost_tables.cost_table import CostTable
from devices.cost_tables.energy_objective import EnergyObjective
from devices.cost_tables.exit_costs import ExitCosts, exit_costs, latency_shares
from dnas.losses import LOSSES, Coefficients, LossName
from evaluation.early_exits.outcomes import ExitOutcomes
from evaluation.early_exits.plans import levels_of, plans_of
from evaluation.early_exits.policy import judged
from evaluation.early_exits.threshold_grid import judge_grid, mean_grid, threshold_grid
from moo.trials import AdaptiveEvaluation, EvaluatedArchitecture
from search_space.exits import Exit, candidate_exits, keeps_head_limit
from search_space.spaces import FBNetSpace

Floats = npt.NDArray[np.float64]
MOST_EXITS = 3
MOST_POLICIES = 200_000
"""Judged for a network: 0.1 seconds of one core."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Judgements:
    """Operating points as a trial compares them; each array has the shape (A,)."""

    error: Floats
    cross_entropy: Floats
    latency_ms: Floats
    energy_mj: Floats
    """The energy that the run minimises."""


Penalty = Callable[[Judgements], Floats]
"""What a trial minimises, of shape (A,)."""


def loss_under(
    coefficients: Coefficients, loss: LossName, latency_reference: float, energy_reference: float
) -> Penalty:
    """The loss of a trial with coefficients.

    Args:
        coefficients: of the trial.
        loss: its form.
        latency_reference: latency in ms under uniform theta.
        energy_reference: energy in mJ under uniform theta.
    """

    def penalty(points: Judgements) -> Floats:
        value_A: Floats = LOSSES[loss](
            torch.from_numpy(points.cross_entropy),
            torch.from_numpy(points.latency_ms / latency_reference),
            torch.from_numpy(points.energy_mj / energy_reference),
            coefficients,
        ).numpy()
        return value_A

    return penalty


def cost_at_no_more_error(item: EvaluatedArchitecture) -> Penalty:
    """What a trial without coefficients looks for: the cheapest point that is no less accurate than the network is.

    Such a point dominates the network or is the network, and different networks stay different trade-offs.

    Args:
        item: the network, whose latency and energy count the same.
    """

    def penalty(points: Judgements) -> Floats:
        cost_A = points.latency_ms / item.latency_ms + points.energy_mj / item.energy_mj
        value_A: Floats = np.where(points.error <= item.error, cost_A, np.inf)
        return value_A

    return penalty


def possible_exits(space: FBNetSpace, operators: tuple[str, ...], table: CostTable) -> tuple[Exit, ...]:
    """The linear exits that a network may get in a configuration; none where there is no room for one."""
    try:
        exits = candidate_exits(space, operators, latency_shares(table, space, operators).tolist())
    except ValueError:
        return ()
    return tuple(one for one in exits if one.head == "linear")


def best_operating_point(
    item: EvaluatedArchitecture,
    outcomes: ExitOutcomes | None,
    space: FBNetSpace,
    table: CostTable,
    energy: EnergyObjective,
    penalty: Penalty,
) -> tuple[AdaptiveEvaluation, float]:
    """The operating point of a network with the least penalty, and that penalty; of equal ones that of fewer exits.

    Args:
        item: the network as it is.
        outcomes: of the exits that it may get; None where there are none.
        space: of the network.
        table: of the trial's configuration, with the energy that the run minimises.
        energy: which one that is.
        penalty: what the trial minimises.
    """
    static = AdaptiveEvaluation(
        error=item.error,
        cross_entropy=item.cross_entropy,
        latency_ms=item.latency_ms,
        energy_mj=item.energy_mj,
        exits=(),
        thresholds=(),
        exit_shares=(1.0,),
    )
    best, least = static, penalty_of(static, penalty)
    if outcomes is None:
        return best, least
    operators = tuple(space.operators[index] for index in item.indices)
    # Idle power over a period is paid whatever way an image takes.
    paid_anyway_mj = energy.energy_mj(0.0, 0.0, table.idle_w)
    of_ways = replace(table, fixed_energy_mj=table.fixed_energy_mj - paid_anyway_mj)
    costs = exit_costs(of_ways, space, operators, outcomes.exits)
    plans = plans_of(outcomes.exits, MOST_EXITS, partial(keeps_head_limit, space, operators))
    for size, levels in levels_of(plans, MOST_POLICIES).items():
        grid = threshold_grid(outcomes, levels)
        for plan in (one for one in plans if len(one) == size):
            paths, grid_judged = costs.of(plan), judge_grid(outcomes, grid, plan)
            points = Judgements(
                error=grid_judged.wrong.ravel() / outcomes.images,
                cross_entropy=mean_grid(outcomes.cross_entropy_XN, grid, plan).ravel(),
                latency_ms=grid_judged.expected(paths.latency_ms_X).ravel(),
                energy_mj=grid_judged.expected(paths.energy_mj_X).ravel() + paid_anyway_mj,
            )
            places = np.unravel_index(int(penalty(points).argmin()), grid_judged.wrong.shape)
            thresholds = tuple(grid.thresholds[exit_][place] for exit_, place in zip(plan, places, strict=True))
            point = _point(outcomes, costs, plan, thresholds, paid_anyway_mj)
            if (value := penalty_of(point, penalty)) < least:
                best, least = point, value
    return best, least


def _point(
    outcomes: ExitOutcomes,
    costs: ExitCosts,
    plan: Sequence[int],
    thresholds: tuple[float, ...],
    paid_anyway_mj: float,
) -> AdaptiveEvaluation:
    own = outcomes.of(plan)
    found = judged(own, thresholds)
    latency_ms, energy_mj = costs.of(plan).expected(found.shares_X)
    return AdaptiveEvaluation(
        error=found.error,
        cross_entropy=found.cross_entropy,
        latency_ms=latency_ms,
        energy_mj=energy_mj + paid_anyway_mj,
        exits=own.exits,
        thresholds=thresholds,
        exit_shares=tuple(found.shares_X.tolist()),
    )


def penalty_of(point: AdaptiveEvaluation, penalty: Penalty) -> float:
    """The penalty of one point."""
    figures = ((value,) for value in (point.error, point.cross_entropy, point.latency_ms, point.energy_mj))
    error, cross_entropy, latency_ms, energy_mj = (np.array(one, np.float64) for one in figures)
    return float(
        penalty(Judgements(error=error, cross_entropy=cross_entropy, latency_ms=latency_ms, energy_mj=energy_mj))[0]
    )
