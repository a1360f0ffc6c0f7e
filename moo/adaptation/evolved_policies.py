"""Plans, thresholds and configurations evolved together, as HADAS does. Start with `evolve_policies`.

A genome has a configuration, and for each exit that a plan may have a slot: a candidate exit or none, and the place of
its threshold in a grid.
Array shapes: A policies, K slots, C costs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from evaluation.early_exits.outcomes import ExitOutcomes
from evaluation.early_exits.plans import Plan
from evaluation.early_exits.threshold_grid import judge_policies, threshold_grid
from moo.adaptation.policy_points import Policy
from moo.algorithms.policies import Choices, evolve_choices
from moo.storage.pareto import non_dominated

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
CostsOf = Callable[[Plan], tuple[Floats, ...]]
"""One or two costs of each way through the network with a plan, each of shape (exits + 1,)."""
EVOLVED = 20_000
"""Policies that are judged where nobody says how many."""
LEVELS = 101
"""Thresholds of an exit, with 0 and 1."""


def evolve_policies(
    outcomes: Sequence[ExitOutcomes],
    costs: Sequence[CostsOf],
    plans: Sequence[Plan],
    *,
    evaluations: int,
    seed: int,
) -> list[list[Policy]]:
    """The policies, of those that NSGA-II judges, that none dominates by error and costs, in each configuration.

    Args:
        outcomes: of all candidate exits, in each configuration.
        costs: in each configuration, of the same number.
        plans: that may be chosen; one at least has exits.
        evaluations: policies in a configuration that are judged, at most.
        seed: of all random numbers.
    """
    genome = _Genome(outcomes, costs, plans)
    evolved = evolve_choices(
        genome.choices, genome.judge, objectives=1 + genome.num_costs, evaluations=evaluations, seed=seed
    )
    kept_AG = evolved.choices_AG[non_dominated(evolved.objectives_AM)]
    return [genome.policies(kept_AG[kept_AG[:, 0] == place], place) for place in range(len(costs))]


class _Genome:
    """What genes stand for: the configuration, then the exit of each slot from 1, or 0 for none, then its threshold."""

    def __init__(self, outcomes: Sequence[ExitOutcomes], costs: Sequence[CostsOf], plans: Sequence[Plan]) -> None:
        grids = {id(one): threshold_grid(one, LEVELS) for one in outcomes}
        self._outcomes, self._costs = outcomes, costs
        self._grids = [grids[id(one)] for one in outcomes]
        self._plans = set(plans)
        self._known: dict[tuple[int, Plan], Floats] = {}
        self._slots = max(len(plan) for plan in plans)
        exits = len(outcomes[0].exits)
        self.choices = Choices(
            (len(costs), *(exits + 1,) * self._slots, *(LEVELS,) * self._slots),
            (False, *(False,) * self._slots, *(True,) * self._slots),
        )
        self.num_costs = len(costs[0](()))

    def judge(self, choices_AG: Integers) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Error and costs of each individual, and whether its plan may be chosen."""
        objectives_AM = np.zeros((len(choices_AG), 1 + self.num_costs))
        allowed_A = np.array([_plan(exits_K) in self._plans for exits_K in self._decoded(choices_AG, 0)[0]])
        for configuration in np.unique(choices_AG[allowed_A, 0]).tolist():
            places_A = np.flatnonzero(allowed_A & (choices_AG[:, 0] == configuration))
            exits_AK, levels_AK = self._decoded(choices_AG[places_A], configuration)
            outcomes, grid = self._outcomes[configuration], self._grids[configuration]
            wrong_A, shares_AX = judge_policies(outcomes, grid, exits_AK, levels_AK)
            costs_ACX = np.stack([self._costs_of(configuration, _plan(exits_K)) for exits_K in exits_AK])
            objectives_AM[places_A, 0] = wrong_A / outcomes.images
            objectives_AM[places_A, 1:] = np.einsum("ax,acx->ac", shares_AX, costs_ACX)
        return objectives_AM, allowed_A

    def policies(self, choices_AG: Integers, configuration: int) -> list[Policy]:
        """The policy of each individual of a configuration."""
        exits_AK, levels_AK = self._decoded(choices_AG, configuration)
        outcomes, grid = self._outcomes[configuration], self._grids[configuration]
        wrong_A, shares_AX = judge_policies(outcomes, grid, exits_AK, levels_AK)
        found = []
        for exits_K, levels_K, wrong, shares_X in zip(exits_AK, levels_AK, wrong_A.tolist(), shares_AX, strict=True):
            plan = _plan(exits_K)
            thresholds = tuple(grid.thresholds[place][level] for place, level in zip(plan, levels_K, strict=False))
            shares = (*shares_X[: len(plan)].tolist(), float(shares_X[-1]))
            found.append(Policy(plan, thresholds, wrong / outcomes.images, shares))
        return found

    def _decoded(self, choices_AG: Integers, configuration: int) -> tuple[Integers, Integers]:
        """Exits in order, -1 for none after them, and the places of their thresholds; both (A, K)."""
        exits_AK = choices_AG[:, 1 : 1 + self._slots] - 1
        levels_AK = choices_AG[:, 1 + self._slots :]
        order_AK = np.argsort(np.where(exits_AK < 0, np.iinfo(np.int64).max, exits_AK), axis=1, kind="stable")
        exits_AK, levels_AK = (np.take_along_axis(one, order_AK, axis=1) for one in (exits_AK, levels_AK))
        # Some exits have fewer thresholds than there are levels, and the last one is always the last.
        highest_E = np.array([len(own) - 1 for own in self._grids[configuration].thresholds])
        return exits_AK, levels_AK * highest_E[exits_AK] // (LEVELS - 1)

    def _costs_of(self, configuration: int, plan: Plan) -> Floats:
        """Costs of the ways, (C, K + 1): those of slots without an exit are 0, as nothing leaves there."""
        if (configuration, plan) not in self._known:
            costs_CX = np.zeros((self.num_costs, self._slots + 1))
            own_CX = np.stack(self._costs[configuration](plan))
            costs_CX[:, : len(plan)], costs_CX[:, -1] = own_CX[:, :-1], own_CX[:, -1]
            self._known[configuration, plan] = costs_CX
        return self._known[configuration, plan]


def _plan(exits_K: Integers) -> Plan:
    return tuple(place for place in exits_K.tolist() if place >= 0)
