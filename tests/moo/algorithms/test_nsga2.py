from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from moo.algorithms.genomes import ArchitectureGenome, CoefficientBounds
from moo.algorithms.nsga2 import Evolution, categorical_variation
from moo.storage.pareto import hypervolume, non_dominated

CORNERS = np.array([[0.5, 0.5, 0, 0], [-0.5, 0.5, 0, 0], [0, -0.5, 0.5, 0]])
BOUNDS = CoefficientBounds((0.01, 100.0), (0.5, 2.5), (0.01, 100.0), (0.5, 2.5))


def objectives_of(coefficients: Any) -> Any:
    """Squared distances of the genome to three corners: the front is their triangle."""
    genes = np.array(
        [
            np.log10(coefficients.alpha) / 2,
            coefficients.beta - 1.5,
            np.log10(coefficients.gamma) / 2,
            coefficients.delta - 1.5,
        ]
    )
    return tuple(float(value) for value in ((genes - CORNERS) ** 2).sum(1))


def evolved(generations: Any, *, population: int = 8, seed: int = 3, failing: Any = lambda place: False) -> Any:
    evolution = Evolution(BOUNDS, population=population, seed=seed)
    history = []
    for _ in range(generations):
        asked = evolution.ask(population)
        told = [None if failing(place) else objectives_of(item) for place, item in enumerate(asked)]
        history.append((asked, told))
        evolution.tell(list(zip(asked, told, strict=True)))
    return evolution, history


def test_replaying_stored_objectives_gives_the_same_coefficients() -> None:
    _, history = evolved(5, failing=lambda place: place == 2)
    resumed = Evolution(BOUNDS, population=8, seed=3)
    for asked, told in history:
        assert resumed.ask(8) == asked
        resumed.tell(list(zip(asked, told, strict=True)))


def test_failed_trials_take_no_part() -> None:
    evolution, history = evolved(1, failing=lambda place: place in (0, 5))
    (asked, _) = history[0]
    alive = {round(float(np.log10(item.alpha)), 9) for place, item in enumerate(asked) if place not in (0, 5)}
    assert {round(gene, 9) for gene in evolution.genes[:, 0]} == alive
    assert len(evolution.ask(8)) == 8


@pytest.mark.parametrize("alive", [1, 2, 3])
def test_evolution_goes_on_from_few_survivors(alive: int) -> None:
    evolution, history = evolved(4, population=4, failing=lambda place: place >= alive)
    assert [len(asked) for asked, _ in history] == [4] * 4
    assert len(evolution.genes) <= 4


def test_failures_never_survive_as_good_ones() -> None:
    """The best place of the space always fails; nothing that lies there may be selected."""
    evolution = Evolution(BOUNDS, population=8, seed=0)
    for _ in range(10):
        asked = evolution.ask(8)
        evolution.tell([(item, None if item.alpha < 1 else (item.alpha, item.alpha, item.alpha)) for item in asked])
        assert (evolution.genes[:, 0] >= 0).all()


def test_one_at_a_time_it_learns_from_each() -> None:
    """With workers that never wait, five proposals are always under way."""
    evolution = Evolution(BOUNDS, population=8, seed=3)
    under_way, points = evolution.ask(5), []
    for _ in range(200):
        item = under_way.pop(0)
        points.append(objectives_of(item))
        evolution.tell([(item, points[-1])])
        under_way += evolution.ask(1)
    assert len(under_way) == 5
    reference = np.full(3, 2.0)
    assert hypervolume(np.array(points[100:]), reference) > hypervolume(np.array(points[:100]), reference)


def test_it_goes_on_from_the_results_of_an_earlier_process() -> None:
    first, history = evolved(5)
    later = Evolution(BOUNDS, population=8, seed=4)
    later.tell([outcome for asked, told in history for outcome in zip(asked, told, strict=True)])
    order = np.lexsort(first.genes.T)
    assert later.genes[np.lexsort(later.genes.T)] == pytest.approx(first.genes[order])
    earlier = {item for asked, _ in history for item in asked}
    assert not earlier & set(later.ask(8))


def test_architectures_are_asked_for_once_and_run_out() -> None:
    genome = ArchitectureGenome(3, 3)
    evolution = Evolution(genome, population=6, seed=0, variation=categorical_variation())
    seen = []
    while asked := evolution.ask(6):
        seen += asked
        evolution.tell([(item, (float(sum(item)), float(item[0]), float(-item[1]))) for item in asked])
    assert len(seen) == len(set(seen)) >= 20
    assert all(type(index) is int and 0 <= index < 3 for item in seen for index in item)


def test_on_architectures_it_beats_chance() -> None:
    """Two objectives that pull each layer two ways: the front has one architecture for each number of zeros."""
    genome = ArchitectureGenome(12, 5)
    evolution = Evolution(genome, population=20, seed=1, variation=categorical_variation())

    def values(item: Any) -> Any:
        return (sum(index != 0 for index in item) / 12, sum(index != 4 for index in item) / 12, 0.5)

    points = []
    for _ in range(25):
        asked = evolution.ask(20)
        told = [values(item) for item in asked]
        points += told
        evolution.tell(list(zip(asked, told, strict=True)))
    chance = [values(item) for item in np.random.default_rng(0).integers(5, size=(500, 12)).tolist()]
    reference = np.ones(3)
    best = hypervolume(np.array([(k / 12, 1 - k / 12, 0.5) for k in range(13)]), reference)
    assert hypervolume(np.array(chance), reference) < 0.7 * best
    assert hypervolume(np.array(points), reference) > 0.85 * best


def test_it_approaches_a_known_front() -> None:
    """Three squared distances; the true front is the triangle of the corners, sampled here."""
    _, history = evolved(30, population=20)
    points = np.array([values for _, told in history for values in told])
    weights = np.random.default_rng(0).dirichlet(np.ones(3), 1500)
    true = (((weights @ CORNERS)[:, None] - CORNERS) ** 2).sum(-1)
    reference = np.full(3, 2.0)
    best = hypervolume(true[non_dominated(true)], reference)
    reached = hypervolume(points, reference)
    random = np.random.default_rng(1).uniform(-1, 1, (len(points), 4))
    by_chance = hypervolume(((random[:, None] - CORNERS) ** 2).sum(-1), reference)
    assert by_chance < reached
    assert 0.92 * best < reached <= best * 1.001
