"""One plan for each network: it is deployed with one set of segments. Start with `choose_plans`.

Operating points of a network share its plan, or are the network as it is. Array shapes: B points, M = 3 objectives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from evaluation.early_exits.plans import Plan
from moo.adaptation.policy_points import PolicyPoint
from moo.storage.pareto import hypervolume, non_dominated
from moo.trials import Objectives

Floats = npt.NDArray[np.float64]
ROUNDS = 10
"""In which choices are made anew, at most; two or three are usual."""

LEAST_GAIN = 1e-12
"""Of hypervolume, as a share of the box; less is rounding."""


def choose_plans(points: Mapping[str, Sequence[PolicyPoint]], reference_point: Objectives) -> dict[str, Plan]:
    """For each network the plan whose points, with those of the others' plans, dominate most.

    Greedy: the network and plan that add most to the hypervolume come first, then those that add most to it, and so on;
    then each choice is made anew, given the others, as long as that dominates more. As hypervolume is submodular, what
    the first round adds to that of the networks as they are is at least half of what the best choice adds (Fisher et
    al., "An analysis of approximations for maximizing submodular set functions II", 1978). A network to which no plan
    adds anything stays as it is.

    Args:
        points: of each network by its name, of any plans; those of the empty plan count for every choice. Points of a
            plan that the same network's points of another plan dominate count, too: the other one may not be chosen.
        reference_point: of hypervolume.

    Returns:
        Plans in the order of the networks.
    """
    groups = {(name, plan): found for name, own in points.items() for plan, found in _by_plan(own).items()}
    box = _Box(np.array(reference_point), [found for (_, plan), found in groups.items() if not plan])
    candidates = {name: [plan for other, plan in groups if other == name and plan] for name in points}
    chosen = _greedily(box, groups, candidates)
    volume = box.volume([groups[key] for key in chosen.items() if key[1]])
    for _ in range(ROUNDS):
        before = volume
        for name, plans in candidates.items():
            others = box.extended([groups[key] for key in chosen.items() if key[1] and key[0] != name])
            for plan in plans:
                found = others.volume([groups[name, plan]])
                if found > volume + LEAST_GAIN:
                    chosen[name], volume = plan, found
        if volume <= before:
            break
    return chosen


def joint_front(
    points: Mapping[str, Sequence[PolicyPoint]], plans: Mapping[str, Plan]
) -> dict[str, tuple[PolicyPoint, ...]]:
    """The points of each network's plan, and of networks as they are, that none of all dominates.

    Args:
        points: of each network, of any plans.
        plans: of each network.
    """
    allowed = [(name, point) for name, own in points.items() for point in own if point.plan in ((), plans[name])]
    kept = non_dominated(np.array([point.objectives for _, point in allowed]).reshape(-1, 3))
    front = [allowed[place] for place in kept]
    return {name: tuple(point for other, point in front if other == name) for name in points}


def _by_plan(points: Sequence[PolicyPoint]) -> dict[Plan, Floats]:
    """Objectives of points, (B, M), by their plan."""
    found: dict[Plan, list[Objectives]] = {}
    for point in points:
        found.setdefault(point.plan, []).append(point.objectives)
    return {plan: np.array(objectives) for plan, objectives in sorted(found.items())}


def _greedily(
    box: _Box, groups: Mapping[tuple[str, Plan], Floats], candidates: Mapping[str, Sequence[Plan]]
) -> dict[str, Plan]:
    chosen: dict[str, Plan] = dict.fromkeys(candidates, ())
    # What a plan adds only falls as others join, so that a bound from before is looked at again only if it is the best.
    bounds = {(name, plan): np.inf for name, plans in candidates.items() for plan in plans}
    current = set[tuple[str, Plan]]()
    while bounds:
        best = max(bounds, key=bounds.__getitem__)
        if best not in current:
            bounds[best] = box.volume([groups[best]]) - box.volume([])
            current.add(best)
            continue
        if bounds[best] <= LEAST_GAIN:
            break
        chosen[best[0]] = best[1]
        box = box.extended([groups[best]])
        bounds = {key: bound for key, bound in bounds.items() if key[0] != best[0]}
        current.clear()
    return chosen


class _Box:
    """Points below a reference point, and what they and others dominate of it."""

    def __init__(self, reference_M: Floats, points: Sequence[Floats]) -> None:
        self._reference_M = reference_M
        joined_BM = np.concatenate([np.empty((0, len(reference_M))), *points])
        self._front_BM = joined_BM[non_dominated(joined_BM)]

    def extended(self, points: Sequence[Floats]) -> _Box:
        """With more points."""
        return _Box(self._reference_M, [self._front_BM, *points])

    def volume(self, points: Sequence[Floats]) -> float:
        """Share of the box that its own and these points dominate."""
        return hypervolume(np.concatenate([self._front_BM, *points]), self._reference_M)
