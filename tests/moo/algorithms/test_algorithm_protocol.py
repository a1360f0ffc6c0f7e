"""What every search algorithm promises; a new one is a line in `ALGORITHMS`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dnas.losses import Coefficients
from moo.algorithms.base import Algorithm
from moo.algorithms.genomes import ArchitectureGenome, CoefficientBounds
from moo.algorithms.nsga2 import Evolution, categorical_variation
from moo.algorithms.random_and_grid import CoefficientGrid, RandomCoefficients

BOUNDS = CoefficientBounds((0.01, 3.0), (0.3, 2.0), (0.001, 1.0), (0.3, 2.0))
GENOME = ArchitectureGenome(6, 5)


def evolution(genome: Any, seed: int, **options: Any) -> Algorithm:
    found: Evolution[Any] = Evolution(genome, population=6, seed=seed, **options)
    return found


ALGORITHMS: dict[str, Callable[[int], Algorithm]] = {
    "NSGA-II on coefficients": lambda seed: evolution(BOUNDS, seed),
    "NSGA-II on architectures": lambda seed: evolution(GENOME, seed, variation=categorical_variation()),
    "random": lambda seed: RandomCoefficients(BOUNDS, seed=seed),
    "grid": lambda seed: CoefficientGrid(BOUNDS, points=49, seed=seed),
}


def objectives_of(proposal: Any) -> tuple[float, float, float]:
    """Any objectives that disagree."""
    genes = BOUNDS.encode(proposal) if isinstance(proposal, Coefficients) else GENOME.encode(proposal)
    return (float(sum(genes)), float(-genes[0]), float(genes[-1] ** 2))


def course(
    algorithm: Algorithm, *, generations: int = 4, fails: Callable[[int], bool] = lambda place: False
) -> list[Any]:
    """All proposals of some generations."""
    asked: list[Any] = []
    for _ in range(generations):
        new = list(algorithm.ask(6))
        outcomes: list[Any] = [
            (item, None if fails(place) else objectives_of(item)) for place, item in enumerate(new, start=len(asked))
        ]
        asked += new
        algorithm.tell(outcomes)
    return asked


@pytest.fixture(params=ALGORITHMS)
def make(request: pytest.FixtureRequest) -> Callable[[int], Algorithm]:
    """Makes one of the algorithms from a seed."""
    return ALGORITHMS[request.param]


def test_it_never_proposes_more_than_was_asked_for(make: Callable[[int], Algorithm]) -> None:
    algorithm = make(0)
    for count in (1, 4, 6):
        assert len(algorithm.ask(count)) <= count


def test_no_proposal_comes_twice(make: Callable[[int], Algorithm]) -> None:
    asked = course(make(0))
    assert len(asked) == len(set(asked)) == 24


def test_one_seed_gives_one_course_and_another_seed_another(make: Callable[[int], Algorithm]) -> None:
    assert course(make(1)) == course(make(1))
    assert course(make(1)) != course(make(2))


def test_failures_do_no_harm(make: Callable[[int], Algorithm]) -> None:
    asked = course(make(0), fails=lambda place: place % 3 == 0)
    assert len(set(asked)) == len(asked) > 6


def test_it_may_be_told_one_by_one_in_any_order_and_of_what_it_never_asked_for(
    make: Callable[[int], Algorithm],
) -> None:
    algorithm, other = make(0), make(9)
    for proposal in reversed(list(algorithm.ask(6))):
        algorithm.tell([(proposal, objectives_of(proposal))])
    algorithm.tell([(proposal, objectives_of(proposal)) for proposal in other.ask(3)])
    assert len(algorithm.ask(6)) > 0


def test_proposals_lie_within_bounds(make: Callable[[int], Algorithm]) -> None:
    for proposal in course(make(3)):
        space: Any = BOUNDS if isinstance(proposal, Coefficients) else GENOME
        genes = space.encode(proposal)
        limits = zip(space.lower, genes, space.upper, strict=True)
        assert all(low - 1e-9 <= gene <= high + 1e-9 for low, gene, high in limits)
