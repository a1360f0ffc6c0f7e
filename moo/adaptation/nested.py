"""The nested search over several networks: policies of each, finalists, and thresholds anew for their files.

Start with `search_networks`; `finalists_of` chooses by its results, `deployed_points` searches the files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from devices.configuration import RuntimeConfiguration
from devices.cost_tables.exit_costs import ExitCosts, PathCosts
from moo import events
from moo.adaptation.costs import predicted_costs_of, slowdown_of
from moo.adaptation.inner_search import search_each_plan, search_policies, search_thresholds
from moo.adaptation.inputs import AdaptationInputs
from moo.adaptation.plan_choice import choose_plans, joint_front
from moo.adaptation.points import Variant, adaptive_point
from moo.adaptation.policy_points import PolicyPoint
from moo.adaptation.training.backbones import Backbone
from moo.adaptation.training.deployed import Deployment
from moo.adaptation.training.exits import TrainedExits
from moo.adaptation.training.finalists import Finalist
from moo.storage.adaptive_front import AdaptivePoint
from moo.storage.archive import reference_point_of
from moo.trials import Objectives
from search_space.exits import Exit, keeps_head_limit

MOST_POINTS = 100
"""Operating points of one network that compete for the front."""
Costs = Mapping[RuntimeConfiguration, ExitCosts]


def network_costs(
    inputs: AdaptationInputs, backbone: Backbone, static: Sequence[AdaptivePoint]
) -> dict[RuntimeConfiguration, ExitCosts]:
    """Predicted costs of a network and its candidate exits, in each configuration that is searched.

    Args:
        inputs: what it is adapted with.
        backbone: the network.
        static: networks as they are, this one among them in each configuration.
    """
    own = {point.configuration: point for point in static if point.id == backbone.id}
    return predicted_costs_of(backbone, inputs.run.space, inputs.tables, inputs.configurations, own, inputs.passing_ms)


def search_networks(
    inputs: AdaptationInputs,
    backbones: Sequence[Backbone],
    trained: Mapping[str, TrainedExits],
    static: Sequence[AdaptivePoint],
) -> dict[str, tuple[PolicyPoint, ...]]:
    """The operating points of each network, by the inner search; on predicted costs.

    They are those of each plan that a point of the network's front has: a network is deployed with one plan.

    Args:
        inputs: what they are adapted with.
        backbones: the networks.
        trained: their exits.
        static: networks as they are, in each configuration.
    """
    found = {}
    for done, backbone in enumerate(backbones):
        inputs.tell(events.StageProgress("searching", done, len(backbones), backbone.id))
        costs = network_costs(inputs, backbone, static)
        outcomes = trained[backbone.id].outcomes
        best = search_policies(
            outcomes,
            costs,
            max_exits=inputs.config.max_exits,
            energy=inputs.energy,
            is_allowed=partial(_is_allowed, inputs, backbone, costs[inputs.configurations[0]]),
            engine=inputs.config.inner,
            seed=inputs.run.config.seed,
        )
        plans = sorted({one.plan for one in best})
        points = search_each_plan(outcomes, costs, plans, energy=inputs.energy, most_points=MOST_POINTS)
        found[backbone.id] = tuple(
            one for one in points if not one.plan or _is_quick_enough(inputs, costs[one.configuration], one.plan)
        )
    return found


def _is_allowed(inputs: AdaptationInputs, backbone: Backbone, costs: ExitCosts, exits: Sequence[Exit]) -> bool:
    """Whether a network may have these exits together, by its costs in the base configuration."""
    return keeps_head_limit(inputs.run.space, backbone.architecture.operators, exits) and _is_quick_enough(
        inputs, costs, [costs.exits.index(one) for one in exits]
    )


def _is_quick_enough(inputs: AdaptationInputs, costs: ExitCosts, plan: Sequence[int]) -> bool:
    most = inputs.most_slowdown
    return most is None or slowdown_of(costs.of(plan), costs.whole_ms) <= most


def deployed_points(
    inputs: AdaptationInputs, deployment: Deployment, costs: Mapping[RuntimeConfiguration, PathCosts]
) -> tuple[AdaptivePoint, ...]:
    """The operating points of a network's very files, with thresholds that are searched for these.

    Args:
        inputs: what it is adapted with.
        deployment: the network with its exits.
        costs: of each way, in the configurations that count, the base first. What is not dominated in the base alone
            is among the points, too.
    """
    outcomes = {precision: own.outcomes for precision, own in deployment.segments.items()}
    found: dict[PolicyPoint, None] = {}
    base = next(iter(costs))
    for chosen in (costs, {base: costs[base]}):
        found |= dict.fromkeys(search_thresholds(outcomes, chosen, energy=inputs.energy, most_points=MOST_POINTS))
    points = []
    for point in found:
        variant = Variant(
            architecture=deployment.backbone.architecture,
            outcomes=outcomes[point.configuration.precision],
            jointly_trained=deployment.jointly_trained,
            segment_params=deployment.params,
        )
        points.append(
            adaptive_point(
                variant, point.configuration, point.thresholds, costs[point.configuration], energy=inputs.energy
            )
        )
    return tuple(points)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Finalists:
    """Networks that are on the joint front with exits, by predicted costs."""

    networks: tuple[Finalist, ...]
    configurations: Mapping[str, tuple[RuntimeConfiguration, ...]]
    """Those that each network is on it in, the base before them, by id."""


def finalists_of(
    inputs: AdaptationInputs,
    backbones: Sequence[Backbone],
    trained: Mapping[str, TrainedExits],
    policies: Mapping[str, Sequence[PolicyPoint]],
    static: Sequence[AdaptivePoint],
) -> Finalists:
    """The networks that are on the joint front with exits, each with its plan.

    Args:
        inputs: what they are adapted with.
        backbones: the networks.
        trained: their exits.
        policies: of each, by the inner search.
        static: all networks as they are.
    """
    everything = {**_as_they_are(static, policies), **policies}
    plans = choose_plans(everything, _reference_point(inputs))
    on_front = {
        name: {point.configuration for point in points if point.plan}
        for name, points in joint_front(everything, plans).items()
    }
    chosen = [backbone for backbone in backbones if on_front[backbone.id]]
    base = inputs.configurations[0]
    return Finalists(
        networks=tuple(
            Finalist(
                backbone=backbone,
                trained=trained[backbone.id],
                plan=tuple(backbone.exits[place] for place in plans[backbone.id]),
            )
            for backbone in chosen
        ),
        configurations={
            backbone.id: tuple(one for one in inputs.configurations if one in on_front[backbone.id] | {base})
            for backbone in chosen
        },
    )


def _as_they_are(static: Sequence[AdaptivePoint], searched: Mapping[str, object]) -> dict[str, tuple[PolicyPoint, ...]]:
    """Networks that get no exits, as those have them that were searched."""
    found: dict[str, tuple[PolicyPoint, ...]] = {}
    for point in static:
        if point.id not in searched:
            own = PolicyPoint(
                plan=(),
                thresholds=(),
                configuration=point.configuration,
                error=point.error,
                shares=(1.0,),
                latency_ms=point.latency_ms,
                worst_latency_ms=point.worst_latency_ms,
                energy_mj=point.energy_mj,
                net_mj=point.net_energy_mj,
            )
            found[point.id] = (*found.get(point.id, ()), own)
    return found


def _reference_point(inputs: AdaptationInputs) -> Objectives:
    """Of hypervolume: error, latency in ms, the energy that is minimised."""
    error = inputs.run.origin.dataset.reference_error
    return reference_point_of(inputs.tables.only(inputs.configurations), error, inputs.energy)
