from __future__ import annotations

import itertools

import numpy as np
import pytest

from devices.configuration import RuntimeConfiguration
from moo.adaptation.plan_choice import choose_plans, joint_front
from moo.adaptation.policy_points import PolicyPoint
from moo.storage.pareto import hypervolume, non_dominated
from moo.trials import Objectives

REFERENCE = (1.0, 1.0, 1.0)


def point(plan: tuple[int, ...], objectives: Objectives) -> PolicyPoint:
    error, latency_ms, energy_mj = objectives
    return PolicyPoint(
        plan=plan,
        thresholds=(0.5,) * len(plan),
        configuration=RuntimeConfiguration(),
        error=error,
        shares=(1 / (len(plan) + 1),) * (len(plan) + 1),
        latency_ms=latency_ms,
        worst_latency_ms=latency_ms,
        energy_mj=energy_mj,
        net_mj=energy_mj,
    )


def drawn_networks(networks: int, plans: int, *, seed: int) -> dict[str, list[PolicyPoint]]:
    rng = np.random.default_rng(seed)
    names = [(), *((place,) for place in range(plans))]
    return {
        f"network {number}": [
            point(plan, tuple(rng.uniform(0.2, 1, 3).tolist())) for plan in names for _ in range(1 if plan == () else 3)
        ]
        for number in range(networks)
    }


def volume_of(points: dict[str, list[PolicyPoint]], plans: dict[str, tuple[int, ...]]) -> float:
    chosen = [one.objectives for name, own in points.items() for one in own if one.plan in ((), plans[name])]
    return hypervolume(np.array(chosen), np.array(REFERENCE))


def test_choices_come_to_what_the_best_of_all_does() -> None:
    shares = []
    for seed in range(20):
        points = drawn_networks(3, 3, seed=seed)
        options = [(), (0,), (1,), (2,)]
        best = max(
            volume_of(points, dict(zip(points, choice, strict=True)))
            for choice in itertools.product(options, repeat=len(points))
        )
        static = volume_of(points, dict.fromkeys(points, ()))
        found = volume_of(points, choose_plans(points, REFERENCE))
        shares.append((found - static) / (best - static))
    assert min(shares) >= 0.5, "what the greedy choice is proven to add"
    assert np.mean(shares) > 0.99
    assert max(shares) <= 1 + 1e-9


def test_a_choice_is_revised_where_others_have_come_to_dominate_the_same() -> None:
    """Plan 0 of the first network dominates most by itself, but most of that the other two dominate together."""
    points = {
        "first": [point((0,), (0.4, 0.4, 0.5)), point((1,), (0.05, 0.7, 0.5))],
        "second": [point((0,), (0.2, 0.6, 0.5))],
        "third": [point((0,), (0.6, 0.2, 0.5))],
    }
    assert choose_plans(points, REFERENCE) == {"first": (1,), "second": (0,), "third": (0,)}


def test_a_network_to_which_no_plan_adds_anything_stays_as_it_is() -> None:
    points = {
        "good": [point((), (0.2, 0.2, 0.2)), point((0,), (0.3, 0.2, 0.2))],
        "gains": [point((), (0.5, 0.5, 0.5)), point((0,), (0.1, 0.4, 0.5)), point((1,), (0.15, 0.4, 0.5))],
        "empty": [],
    }
    assert choose_plans(points, REFERENCE) == {"good": (), "gains": (0,), "empty": ()}


def test_points_beyond_the_reference_point_do_not_count() -> None:
    points = {"a": [point((), (0.5, 0.5, 0.5)), point((0,), (0.1, 1.5, 0.1)), point((1,), (0.4, 0.9, 0.9))]}
    assert choose_plans(points, REFERENCE) == {"a": (1,)}


@pytest.mark.parametrize("seed", range(5))
def test_the_joint_front_has_points_of_one_plan_of_each_network(seed: int) -> None:
    points = drawn_networks(4, 3, seed=seed)
    plans = choose_plans(points, REFERENCE)
    front = joint_front(points, plans)
    assert list(front) == list(points)
    assert all(one.plan in ((), plans[name]) for name, own in front.items() for one in own)
    objectives = np.array([one.objectives for own in front.values() for one in own])
    assert len(non_dominated(objectives)) == len(objectives)
    assert hypervolume(objectives, np.array(REFERENCE)) == pytest.approx(volume_of(points, plans))
    assert joint_front({"a": []}, {"a": ()}) == {"a": ()}
