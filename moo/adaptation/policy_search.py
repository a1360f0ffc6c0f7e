"""The plans and thresholds of one precision that none dominates, on cached outcomes. Start with `search_grids`.

Plans of a size that fits are judged exhaustively, with all policies of a grid of thresholds; larger ones by NSGA-II.
Array shapes: N images, K exits of a plan, A policies, B those of a front, M = 2 or 3 objectives, C = M - 1 costs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from evaluation.early_exits.outcomes import ExitOutcomes
from evaluation.early_exits.plans import Plan, levels_of
from evaluation.early_exits.threshold_grid import ThresholdGrid, judge_grid, threshold_grid
from moo.adaptation.evolved_policies import EVOLVED, CostsOf, evolve_policies
from moo.adaptation.policy_points import Policy
from moo.storage.pareto import non_dominated

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
MOST_POLICIES = 6_000_000
"""That are judged where nobody says how many: half a second of one core."""
SAME = 1e-12
"""Relative difference of costs that only rounding makes."""


def search_grids(
    outcomes: ExitOutcomes, plans: Sequence[Plan], costs: Sequence[CostsOf], *, policies: int | None, seed: int
) -> list[Policy]:
    """The policies that none dominates, by error and at least one of several costs.

    Args:
        outcomes: of all candidate exits.
        plans: that may be chosen; where the empty one is among them, so is the network as it is.
        costs: of each search; what any of them finds is handed back.
        policies: judged at most; None for a default.
        seed: of NSGA-II, for sizes of plans whose policies are too many.
    """
    fronts = [_Front(of_plan, outcomes.images) for of_plan in costs]
    levels = levels_of(plans, MOST_POLICIES if policies is None else policies)
    for size, number in levels.items():
        grid = threshold_grid(outcomes, number)
        for plan in plans:
            if len(plan) == size:
                _judge_all(outcomes, grid, plan, fronts)
    found = [policy for front in fronts for policy in front.policies]
    if any(len(plan) not in levels for plan in plans):
        budget = (policies or EVOLVED) // len(costs)
        for of_plan in costs:
            found += evolve_policies([outcomes], [of_plan], plans, evaluations=budget, seed=seed)[0]
    return list(dict.fromkeys(found))


def _judge_all(outcomes: ExitOutcomes, grid: ThresholdGrid, plan: Plan, fronts: Sequence[_Front]) -> None:
    judged = judge_grid(outcomes, grid, plan)
    for front in fronts:
        costs_CA = np.stack([judged.expected(cost_X).ravel() for cost_X in front.costs_of(plan)])
        entering_A = front.entering(judged.wrong.ravel(), costs_CA)
        if not len(entering_A):
            continue
        places = np.unravel_index(entering_A, judged.wrong.shape) if plan else ()
        thresholds = [
            tuple(grid.thresholds[exit_][level] for exit_, level in zip(plan, own, strict=True))
            for own in (zip(*(place.tolist() for place in places), strict=True) if plan else [()])
        ]
        error_A = judged.wrong.ravel()[entering_A] / outcomes.images
        policies = [
            Policy(plan, own, error, tuple(shares))
            for own, error, shares in zip(
                thresholds,
                error_A.tolist(),
                judged.shares_of(places).reshape(len(entering_A), -1).tolist(),
                strict=True,
            )
        ]
        front.add(policies, judged.wrong.ravel()[entering_A], costs_CA[:, entering_A])


class _Front:
    """The policies of one search that none has dominated so far; of equal ones the first."""

    def __init__(self, costs_of: CostsOf, images: int) -> None:
        self.costs_of = costs_of
        self.policies: list[Policy] = []
        self._images = images
        self._objectives_BM: Floats | None = None
        self._guards: list[Floats] = []

    def entering(self, wrong_A: Integers, costs_CA: Floats) -> Integers:
        """Places of those that neither the front nor each other dominates."""
        alive_A = np.ones(len(wrong_A), bool)
        for guard_CW in self._guards:
            alive_A &= (guard_CW[:, wrong_A] > costs_CA * (1 + SAME)).any(0)
        places_A = np.flatnonzero(alive_A)
        kept = non_dominated(np.column_stack([wrong_A[places_A], costs_CA[:, places_A].T]))
        return places_A[kept]

    def add(self, policies: Sequence[Policy], wrong_A: Integers, costs_CA: Floats) -> None:
        """Add policies, and drop what they dominate."""
        objectives_AM = np.column_stack([wrong_A, costs_CA.T])
        both_BM = objectives_AM if self._objectives_BM is None else np.concatenate([self._objectives_BM, objectives_AM])
        kept = non_dominated(both_BM)
        both = [*self.policies, *policies]
        self.policies = [both[place] for place in kept]
        self._objectives_BM = both_BM[kept]
        self._guards = _guards(self._objectives_BM, self._images)


def _guards(objectives_BM: Floats, images: int) -> list[Floats]:
    """Costs of points of a front that dominate most, each of shape (C, N + 1): of those with at most so many wrong.

    One guard is the cheapest by each cost, and with two costs another by their sum; together they turn away nearly
    all that the front dominates, at a look-up each.
    """
    wrong_B, costs_BC = objectives_BM[:, 0], objectives_BM[:, 1:]
    directions = np.eye(costs_BC.shape[1]) if costs_BC.shape[1] == 1 else np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    scaled_BC = costs_BC / np.maximum(costs_BC.mean(0), 1e-300)
    guards = []
    for direction_C in directions:
        key_B = scaled_BC @ direction_C
        order_B = np.lexsort((key_B, wrong_B))
        lowest_B = np.minimum.accumulate(key_B[order_B])
        best_B = np.maximum.accumulate(np.where(key_B[order_B] == lowest_B, np.arange(len(order_B)), 0))
        last_W = np.searchsorted(wrong_B[order_B], np.arange(images + 1), side="right") - 1
        guard_CW = costs_BC[order_B[best_B[last_W]]].T
        guards.append(np.where(last_W >= 0, guard_CW, np.inf))
    return guards
