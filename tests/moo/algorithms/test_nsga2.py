from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from devices.configuration import configurations_of
from dnas.losses import Coefficients
from moo.algorithms.base import ConfiguredProposal
from moo.algorithms.genomes import ArchitectureGenome, CoefficientBounds, ConfiguredGenome
from moo.algorithms.nsga2 import Evolution, FixedProposal, categorical_variation, configured_variation
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


CONFIGURATIONS = configurations_of(threads=(1, 2, 4), precisions=("fp32", "int8"))


def test_configured_variation_gives_configurations_and_coefficients_within_bounds() -> None:
    genome = ConfiguredGenome(BOUNDS, CONFIGURATIONS)
    evolution: Evolution[ConfiguredProposal] = Evolution(genome, population=8, seed=2, variation=configured_variation())
    seen = []
    for _ in range(30):
        asked = evolution.ask(8)
        seen += asked
        evolution.tell([(item, objectives_of(item.proposal)) for item in asked])
        assert (evolution.genes >= genome.lower).all()
        assert (evolution.genes <= genome.upper).all()
    for item in seen:
        assert item.configuration in CONFIGURATIONS
        assert isinstance(item.proposal, Coefficients)
        for name in ("alpha", "beta", "gamma", "delta"):
            low, high = getattr(BOUNDS, name)
            assert low * (1 - 1e-9) <= getattr(item.proposal, name) <= high * (1 + 1e-9)
    assert len(set(seen)) == len(seen) == 240
    # The first generation is spread evenly, and mutation brings back what selection lost.
    assert len({item.configuration for item in seen[:8]}) == len(CONFIGURATIONS)
    assert len({item.configuration for item in seen[-80:]}) >= 3


def test_children_have_a_configuration_of_their_parents_but_for_mutation() -> None:
    """Whichever of two configurations is far better, the other five are soon rare."""
    genome = ConfiguredGenome(BOUNDS, CONFIGURATIONS)
    evolution: Evolution[ConfiguredProposal] = Evolution(
        genome, population=10, seed=1, variation=configured_variation()
    )
    good = CONFIGURATIONS[3]
    for _ in range(12):
        asked = evolution.ask(10)
        last = asked
        evolution.tell([(item, _shifted(item, 0.0 if item.configuration == good else 10.0)) for item in asked])
    assert sum(item.configuration == good for item in last) >= 6


def _shifted(item: ConfiguredProposal, shift: float) -> Any:
    return tuple(value + shift for value in objectives_of(item.proposal))


def test_a_constrained_evolution_prefers_what_keeps_the_limits() -> None:
    """What is best in every objective exceeds the limit; without it, the population would be of that alone."""
    best = {}
    for constrained in (False, True):
        evolution = Evolution(BOUNDS, population=12, seed=0, constrained=constrained)
        for _ in range(15):
            asked = evolution.ask(12)
            outcomes = [(item, (item.alpha, item.alpha, item.alpha)) for item in asked]
            violations = [max(0.0, 1.0 - item.alpha) for item in asked]
            evolution.tell(outcomes, violations)
        best[constrained] = 10 ** evolution.genes[:, 0]
    assert best[False].max() < 0.5
    assert (best[True] >= 1.0).all()
    assert best[True].min() < 1.5


def test_where_nothing_keeps_the_limits_what_exceeds_them_least_survives() -> None:
    evolution = Evolution(BOUNDS, population=6, seed=0, constrained=True)
    asked = evolution.ask(6)
    evolution.tell([(item, (1.0, 1.0, 1.0)) for item in asked], [1000.0 - item.alpha for item in asked])
    more = evolution.ask(6)
    evolution.tell([(item, (0.1, 0.1, 0.1)) for item in more], [1000.0 - item.alpha for item in more])
    expected = sorted((item.alpha for item in [*asked, *more]), reverse=True)[:6]
    assert sorted(10 ** evolution.genes[:, 0], reverse=True) == pytest.approx(expected)


def test_replaying_stored_objectives_and_violations_gives_the_same_proposals() -> None:
    def made() -> Evolution[ConfiguredProposal]:
        genome = ConfiguredGenome(BOUNDS, CONFIGURATIONS)
        return Evolution(genome, population=6, seed=5, variation=configured_variation(), constrained=True)

    first, history = made(), []
    for _ in range(5):
        asked = first.ask(6)
        outcomes = [(item, None if place == 1 else objectives_of(item.proposal)) for place, item in enumerate(asked)]
        violations = [float(item.configuration.threads > 2) for item in asked]
        history.append((asked, outcomes, violations))
        first.tell(outcomes, violations)
    resumed = made()
    for asked, outcomes, violations in history:
        assert resumed.ask(6) == asked
        resumed.tell(outcomes, violations)


def test_a_genome_without_genes_has_one_proposal() -> None:
    fixed = CoefficientBounds((0.2, 0.2), (1.0, 1.0), (0.0, 0.0), (2.0, 2.0))
    algorithm: FixedProposal[Coefficients] = FixedProposal(fixed)
    assert algorithm.ask(0) == []
    assert algorithm.ask(4) == [Coefficients(0.2, 1.0, 0.0, 2.0)]
    algorithm.tell([(Coefficients(0.2, 1.0, 0.0, 2.0), (1.0, 1.0, 1.0))])
    assert algorithm.ask(4) == []
