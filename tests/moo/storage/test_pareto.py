from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from moo.storage.pareto import epsilon_front, hypervolume, non_dominated


def dominates(a: Any, b: Any) -> Any:
    return bool((a <= b).all() and (a < b).any())


def brute_force(points: Any) -> Any:
    kept = []
    for index, point in enumerate(points):
        dominated = any(dominates(other, point) for other in points)
        repeated = any((earlier == point).all() for earlier in points[:index])
        if not dominated and not repeated:
            kept.append(index)
    return kept


@pytest.mark.parametrize("objectives", [2, 3])
@pytest.mark.parametrize("seed", range(10))
def test_non_dominated_agrees_with_brute_force_with_duplicates_and_ties(objectives: int, seed: Any) -> None:
    points = np.random.default_rng(seed).integers(0, 5, (40, objectives)).astype(float)
    assert non_dominated(points) == brute_force(points)


def test_of_equal_points_the_first_counts_and_their_order_stays() -> None:
    points = np.array([[2.0, 1.0], [1.0, 2.0], [2.0, 1.0], [1.0, 2.0], [3.0, 3.0]])
    assert non_dominated(points) == [0, 1]
    assert non_dominated(np.empty((0, 3))) == []


def test_hypervolume_of_one_point_is_a_box() -> None:
    assert hypervolume(np.array([[0.25, 2.0, 3.0]]), np.array([1.0, 10.0, 6.0])) == pytest.approx(0.75 * 0.8 * 0.5)


def test_hypervolume_of_two_points_is_an_l_shape() -> None:
    points = np.array([[1.0, 3.0], [2.0, 1.0]])
    assert hypervolume(points, np.array([4.0, 4.0])) == pytest.approx((3 * 1 + 2 * 3 - 2 * 1) / 16)


def inclusion_exclusion(points: Any, reference: Any) -> Any:
    total = 0.0
    for size in range(1, len(points) + 1):
        for subset in combinations(points, size):
            total -= (-1) ** size * float(np.prod(np.maximum(reference - np.max(subset, axis=0), 0)))
    return total / float(np.prod(reference))


@pytest.mark.parametrize("seed", range(5))
def test_hypervolume_in_three_dimensions_by_inclusion_and_exclusion(seed: Any) -> None:
    rng = np.random.default_rng(seed)
    reference = np.array([0.9, 20.0, 300.0])
    points = rng.random((7, 3)) * reference * 1.1
    assert hypervolume(points, reference) == pytest.approx(inclusion_exclusion(points, reference))


def test_hypervolume_agrees_with_monte_carlo() -> None:
    rng = np.random.default_rng(0)
    points, reference = rng.random((20, 3)) * 5, np.full(3, 5.0)
    samples = rng.random((200_000, 3)) * 5
    dominated = np.zeros(len(samples), bool)
    for point in points:
        dominated |= (point <= samples).all(1)
    assert hypervolume(points, reference) == pytest.approx(dominated.mean(), abs=0.005)


def test_points_beyond_the_reference_point_and_dominated_ones_do_not_count() -> None:
    reference = np.array([1.0, 1.0, 1.0])
    point = np.array([[0.5, 0.5, 0.5]])
    more = np.vstack([point, [[0.1, 0.1, 1.0]], [[0.1, 0.1, 2.0]], [[0.6, 0.5, 0.5]], point])
    assert hypervolume(more, reference) == hypervolume(point, reference) == pytest.approx(0.125)
    assert hypervolume(np.array([[1.0, 0.0, 0.0]]), reference) == 0
    assert hypervolume(np.empty((0, 3)), reference) == 0
    assert hypervolume(np.zeros((1, 3)), reference) == 1


def front_of(seed: int) -> Any:
    """Points of which what one gains in an objective it loses in the others."""
    return np.random.default_rng(seed).dirichlet(np.ones(3), 200) * (0.9, 20.0, 300.0) + (0.0, 0.5, 5.0)


@pytest.mark.parametrize("size", [3, 5, 12, 24])
@pytest.mark.parametrize("seed", range(3))
def test_an_epsilon_front_has_its_size_and_the_best_of_each_objective(seed: int, size: int) -> None:
    points = front_of(seed)
    assert len(non_dominated(points)) == 200
    places = epsilon_front(points, size)
    assert size / 2 <= len(places) <= size
    assert places == sorted(set(places))
    assert points[places].min(0) == pytest.approx(points.min(0))
    assert epsilon_front(points, size) == places


def test_an_epsilon_front_keeps_most_of_the_hypervolume() -> None:
    points, reference = front_of(0), np.array([1.0, 22.0, 320.0])
    shares = [
        hypervolume(points[epsilon_front(points, size)], reference) / hypervolume(points, reference)
        for size in (3, 12, 24, 48)
    ]
    assert shares[1] > 0.75
    assert shares[2] > 0.85
    assert shares == sorted(shares)


@pytest.mark.parametrize("size", [1, 2])
def test_an_epsilon_front_smaller_than_the_objectives_has_the_first_of_their_best(size: int) -> None:
    points = front_of(1)
    places = epsilon_front(points, size)
    assert set(places) == {int(points[:, column].argmin()) for column in range(size)}


def test_a_front_that_is_small_enough_is_its_own_epsilon_front() -> None:
    points = front_of(0)[:7]
    assert epsilon_front(points, 7) == epsilon_front(points, 24) == list(range(7))
    assert epsilon_front(np.empty((0, 3)), 4) == []
    flat = np.column_stack([np.arange(9) / 10, 10.0 - np.arange(9), np.full(9, 2.0)])
    assert len(epsilon_front(flat, 4)) <= 4


def test_an_epsilon_front_of_no_points_is_refused() -> None:
    with pytest.raises(ValueError, match="`size >= 1` must hold for a front, but got 0"):
        epsilon_front(front_of(0), 0)
