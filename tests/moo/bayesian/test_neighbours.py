from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from moo.bayesian.neighbours import crossed, distinct, one_change, several_changes
from tests.moo.bayesian.known import ALL, LAYERS, OPERATORS

GIVEN = ALL[[0, 41, 77]]


def as_set(indices: Any) -> set[tuple[int, ...]]:
    return {tuple(row) for row in indices.tolist()}


def changes(row: Any) -> int:
    """Fewest layers in which an architecture differs from one of the given ones."""
    return int((row != GIVEN).sum(1).min())


def test_where_there_is_room_for_all_each_change_of_one_layer_is_there_once() -> None:
    found = one_change(GIVEN, OPERATORS, 1000, np.random.default_rng(0))
    expected = {tuple(row) for row in ALL.tolist() if ((np.array(row) != GIVEN).sum(1) == 1).any()}
    assert as_set(found) == expected
    assert len(found) == len(expected)


@pytest.mark.parametrize("most", [1, 5, 23])
def test_where_there_is_not_some_at_random_are(most: int) -> None:
    drawn = [one_change(GIVEN, OPERATORS, most, np.random.default_rng(seed)) for seed in range(30)]
    assert all(1 <= len(found) <= most for found in drawn)
    assert all(((found[:, None] != GIVEN).sum(-1) == 1).any(1).all() for found in drawn)
    together = set[tuple[int, ...]]().union(*map(as_set, drawn))
    assert len(together) > 0.6 * len(one_change(GIVEN, OPERATORS, 1000, np.random.default_rng(0)))


def test_several_changes_are_no_more_than_said() -> None:
    found = several_changes(GIVEN, OPERATORS, 2, 400, np.random.default_rng(0))
    assert {changes(row) for row in found} == {0, 1, 2}
    assert len(as_set(found)) == len(found) <= 400


def test_what_is_crossed_has_each_layer_from_one_of_two() -> None:
    pair = np.array([[0, 0, 0, 0], [1, 2, 1, 2]])
    found = crossed(pair, 300, np.random.default_rng(0))
    assert as_set(found) == {tuple(pair[list(choice), range(4)].tolist()) for choice in np.ndindex(2, 2, 2, 2)}
    assert len(found) == 2**LAYERS


def test_one_operator_alone_has_no_neighbours() -> None:
    only = np.zeros((1, LAYERS), np.intp)
    assert one_change(only, 1, 100, np.random.default_rng(0)).shape == (0, LAYERS)


def test_the_given_ones_are_not_changed() -> None:
    before = GIVEN.copy()
    one_change(GIVEN, OPERATORS, 100, np.random.default_rng(0))
    several_changes(GIVEN, OPERATORS, 2, 100, np.random.default_rng(0))
    np.testing.assert_array_equal(GIVEN, before)


def test_each_is_kept_once_at_its_first_place() -> None:
    assert distinct(np.array([[2, 1], [0, 0], [2, 1], [0, 1], [0, 0]])).tolist() == [[2, 1], [0, 0], [0, 1]]
