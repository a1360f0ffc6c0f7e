"""The inner search of a network: exits, thresholds and runtime configurations. Start with `search_policies`.

It rests on cached outcomes of all candidate exits, so that a policy takes microseconds, and judges by error, expected
latency and expected energy. Two engines: `factorised` searches plans and thresholds once for all configurations that
put them in the same order, and multiplies; `nsga2` evolves the whole product, as HADAS (Bouzidi et al., DATE 2023)
does, and is the control.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from typing import get_args

import numpy as np

from devices.configuration import Precision, RuntimeConfiguration
from devices.cost_tables.energy_objective import EnergyObjective
from devices.cost_tables.exit_costs import ExitCosts, PathCosts
from evaluation.early_exits.outcomes import ExitOutcomes
from evaluation.early_exits.plans import Plan, plans_of
from moo.adaptation.config import InnerEngine
from moo.adaptation.cost_orders import CostOrder, comparable_energy, searches_of
from moo.adaptation.evolved_policies import EVOLVED, CostsOf, evolve_policies
from moo.adaptation.policy_points import Floats, PathsOf, Policy, PolicyPoint, points_of
from moo.adaptation.policy_search import search_grids
from search_space.exits import Exit

INNER_ENGINES: tuple[InnerEngine, ...] = get_args(InnerEngine)
POLICIES_OF_PLAN = 30_000
"""That are judged where each plan of several has its own points."""
Outcomes = Mapping[Precision, ExitOutcomes]


def search_policies(
    outcomes: Outcomes,
    costs: Mapping[RuntimeConfiguration, ExitCosts],
    *,
    max_exits: int,
    energy: EnergyObjective,
    is_allowed: Callable[[Sequence[Exit]], bool],
    engine: InnerEngine = "factorised",
    seed: int,
    evaluations: int | None = None,
    most_points: int | None = None,
) -> tuple[PolicyPoint, ...]:
    """Operating points of a network that none of them dominates, best error first.

    The network without exits is a candidate in every configuration.

    Args:
        outcomes: of all candidate exits, for each precision that a configuration has.
        costs: of the same exits, in each configuration.
        max_exits: of a plan; 0 leaves the network as it is.
        energy: that is minimised.
        is_allowed: whether a network may have these exits together.
        engine: how it is searched.
        seed: of all random numbers; where all policies of a grid are judged there are none.
        evaluations: policies that are judged, at most: on the outcomes of each precision by `factorised`, in a
            configuration by `nsga2`; None for a default.
        most_points: that are handed back, spread evenly; None for all.

    Raises:
        ValueError: if there is no configuration, a precision lacks outcomes, exits differ, a number is out of range,
            or an idle power is needed and not known.
    """
    _check(outcomes, costs, max_exits, evaluations)
    if engine not in INNER_ENGINES:
        raise ValueError(f"`--inner` must be one of {', '.join(INNER_ENGINES)}, but got {engine!r}.")
    plans = plans_of(_same_exits(outcomes, costs), max_exits, is_allowed)
    paths = {configuration: cache(own.of) for configuration, own in costs.items()}
    if engine == "factorised":
        orders = searches_of(costs, energy)
        policies = _factorised(outcomes, paths, orders, ((), *plans), energy, evaluations, seed)
    else:
        policies = _whole_product(outcomes, paths, plans, energy, evaluations, seed)
    return points_of(policies, paths, energy, most_points)


def search_each_plan(
    outcomes: Outcomes,
    costs: Mapping[RuntimeConfiguration, ExitCosts],
    plans: Collection[Plan],
    *,
    energy: EnergyObjective,
    most_points: int | None = None,
) -> tuple[PolicyPoint, ...]:
    """Operating points of each of several plans that no other of the same plan dominates: what a choice rests on.

    Args:
        outcomes: of all candidate exits, for each precision that a configuration has.
        costs: of the same exits, in each configuration.
        plans: places of their exits among these; the network as it is comes besides.
        energy: that is minimised.
        most_points: of a plan, spread evenly; None for all.

    Raises:
        ValueError: as `search_policies` does.
    """
    _check(outcomes, costs, 0, None)
    _same_exits(outcomes, costs)
    orders = searches_of(costs, energy)
    paths = {configuration: cache(own.of) for configuration, own in costs.items()}
    points: list[PolicyPoint] = []
    for plan in sorted({(), *plans}, key=lambda one: (len(one), one)):
        policies = _factorised(outcomes, paths, orders, (plan,), energy, POLICIES_OF_PLAN, seed=0)
        points += points_of(policies, paths, energy, most_points)
    return tuple(points)


def search_thresholds(
    outcomes: Outcomes,
    costs: Mapping[RuntimeConfiguration, PathCosts],
    *,
    energy: EnergyObjective,
    most_points: int | None = None,
) -> tuple[PolicyPoint, ...]:
    """Operating points of a network with one plan, all exits of its outcomes, that none of them dominates.

    The network without exits is none of them, as its costs are not among those of the ways: where no image leaves
    early, it still runs the heads.

    Args:
        outcomes: of the exits of the plan, for each precision that a configuration has.
        costs: of each way, in each configuration.
        energy: that is minimised.
        most_points: that are handed back, spread evenly; None for all.

    Raises:
        ValueError: if there is no configuration, a precision lacks outcomes, ways and exits differ in number, or an
            idle power is needed and not known.
    """
    _check(outcomes, costs, 0, None)
    used = _used(outcomes, costs)
    ways = {len(own.exits) + 1 for own in used} | {len(own.latency_ms_X) for own in costs.values()}
    if len(ways) > 1:
        raise ValueError(
            f"there must be costs for each exit and for passing all, but ways differ in number: {sorted(ways)}."
        )
    plan = tuple(range(len(used[0].exits)))
    paths = {configuration: _only(own) for configuration, own in costs.items()}
    policies = _factorised(outcomes, paths, searches_of(costs, energy), (plan,), energy, None, seed=0)
    return points_of(policies, paths, energy, most_points)


def _factorised(
    outcomes: Outcomes,
    paths: Mapping[RuntimeConfiguration, PathsOf],
    orders: Sequence[CostOrder],
    plans: Sequence[Plan],
    energy: EnergyObjective,
    evaluations: int | None,
    seed: int,
) -> dict[RuntimeConfiguration, list[Policy]]:
    """What the searches of each precision find, in all its configurations."""
    found: dict[Precision, list[Policy]] = {}
    for precision in dict.fromkeys(configuration.precision for configuration in paths):
        own = [order for order in orders if order.configuration.precision == precision]
        searched = [_costs_of(paths[o.configuration], energy, latency_alone=o.two_objectives) for o in own]
        found[precision] = search_grids(outcomes[precision], plans, searched, policies=evaluations, seed=seed)
    return {configuration: found[configuration.precision] for configuration in paths}


def _whole_product(
    outcomes: Outcomes,
    paths: Mapping[RuntimeConfiguration, PathsOf],
    plans: Sequence[Plan],
    energy: EnergyObjective,
    evaluations: int | None,
    seed: int,
) -> dict[RuntimeConfiguration, list[Policy]]:
    """What NSGA-II finds, and the network as it is."""
    static = {one: _static_policy(outcomes[one.precision]) for one in paths}
    if not plans:
        return {configuration: [policy] for configuration, policy in static.items()}
    evolved = evolve_policies(
        [outcomes[configuration.precision] for configuration in paths],
        [_costs_of(own, energy, latency_alone=False) for own in paths.values()],
        ((), *plans),
        evaluations=evaluations or EVOLVED,
        seed=seed,
    )
    return {configuration: [static[configuration], *own] for configuration, own in zip(paths, evolved, strict=True)}


def _static_policy(outcomes: ExitOutcomes) -> Policy:
    return Policy((), (), np.count_nonzero(~outcomes.correct_XN[-1]) / outcomes.images, (1.0,))


def _only(paths: PathCosts) -> PathsOf:
    return lambda _: paths


def _costs_of(paths_of: PathsOf, energy: EnergyObjective, *, latency_alone: bool) -> CostsOf:
    def costs_of(plan: Plan) -> tuple[Floats, ...]:
        paths = paths_of(plan)
        latency_ms_X = paths.latency_ms_X
        return (latency_ms_X,) if latency_alone else (latency_ms_X, comparable_energy(paths, energy))

    return costs_of


def _used(outcomes: Outcomes, costs: Mapping[RuntimeConfiguration, object]) -> list[ExitOutcomes]:
    return [outcomes[precision] for precision in dict.fromkeys(one.precision for one in costs)]


def _same_exits(outcomes: Outcomes, costs: Mapping[RuntimeConfiguration, ExitCosts]) -> tuple[Exit, ...]:
    first, *others = *(own.exits for own in costs.values()), *(own.exits for own in _used(outcomes, costs))
    if set(others) != {first}:
        raise ValueError("outcomes and costs must be of the same candidate exits: make both anew for one network.")
    return first


def _check(
    outcomes: Outcomes, costs: Mapping[RuntimeConfiguration, object], max_exits: int, evaluations: int | None
) -> None:
    if not costs:
        raise ValueError("a network must have costs in at least one configuration, but got none.")
    missing = sorted({one.precision for one in costs} - set(outcomes))
    if missing:
        raise ValueError(
            f"each precision must have outcomes of its own, but {', '.join(missing)} has none: evaluate the network in "
            "it, or omit its configurations."
        )
    if max_exits < 0 or (evaluations is not None and evaluations < 1):
        raise ValueError(f"`max_exits >= 0` and `evaluations >= 1` must hold, but got {max_exits=} and {evaluations=}.")
