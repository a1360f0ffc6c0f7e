from __future__ import annotations

import itertools

import numpy as np
import pytest

from moo.algorithms.spread import SpreadArchitectures
from search_space.counts import count
from search_space.spaces import FBNetSpace, space_named
from tests.moo.conftest import TINY


def macs_of(space: FBNetSpace, asked: list[tuple[int, ...]]) -> list[float]:
    return [count(space.graph(tuple(space.operators[index] for index in indices))).macs for indices in asked]


@pytest.mark.parametrize("seed", [0, 1])
def test_multiply_accumulates_are_spread_evenly_over_their_range(seed: int) -> None:
    """Architectures at random cluster in the middle: all 20 would lie within half a decade."""
    space = space_named("fbnet-cifar")
    asked = list(SpreadArchitectures(space, 20, seed=seed).ask(20))
    logs = np.sort(np.log(macs_of(space, asked)))
    random = np.random.default_rng(seed).integers(0, len(space.operators), (20, space.num_layers))
    of_random = np.log(macs_of(space, [tuple(row) for row in random.tolist()]))
    assert np.ptp(logs) > 2 * np.ptp(of_random)
    assert np.diff(logs).max() < 2 * np.ptp(logs) / 19
    assert len(set(asked)) == 20


def test_the_order_is_random_so_that_an_interrupted_beginning_is_spread_too() -> None:
    space = space_named("fbnet-cifar")
    logs = np.log(macs_of(space, list(SpreadArchitectures(space, 20, seed=0).ask(20))))
    assert abs(np.corrcoef(logs, np.arange(20))[0, 1]) < 0.6


def test_more_than_are_spread_together_are_others_and_spread_as_well() -> None:
    space = space_named("fbnet-cifar")
    algorithm = SpreadArchitectures(space, 10, seed=0)
    first, second = list(algorithm.ask(10)), list(algorithm.ask(10))
    assert not set(first) & set(second)
    widths = [np.ptp(np.log(macs_of(space, asked))) for asked in (first, second)]
    assert widths[1] > 0.7 * widths[0]


def test_it_ends_where_the_space_does() -> None:
    algorithm = SpreadArchitectures(TINY, 6, seed=0)
    asked = [indices for _ in range(20) for indices in algorithm.ask(3)]
    assert set(asked) == set(itertools.product(range(3), repeat=3))
    assert len(asked) == 27
    assert list(SpreadArchitectures(TINY, 100, seed=0).ask(100)) != []


def test_one_by_one_they_are_the_same() -> None:
    together, apart = SpreadArchitectures(TINY, 6, seed=3), SpreadArchitectures(TINY, 6, seed=3)
    assert list(together.ask(14)) == [indices for _ in range(14) for indices in apart.ask(1)]
