"""What every search algorithm promises; a new one is a line in `ALGORITHMS`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from devices.configuration import configurations_of
from dnas.losses import Coefficients
from moo.algorithms.base import Algorithm, ConfiguredProposal, Proposal
from moo.algorithms.genomes import ArchitectureGenome, CoefficientBounds, ConfiguredGenome
from moo.algorithms.nsga2 import Evolution, FixedProposal, categorical_variation, configured_variation
from moo.algorithms.random_and_grid import AssignedConfigurations, CoefficientGrid, RandomCoefficients
from moo.algorithms.spread import SpreadArchitectures
from moo.trials import Objectives
from search_space.spaces import FBNetSpace, Stage

POPULATION = 6
BOUNDS = CoefficientBounds((0.01, 3.0), (0.3, 2.0), (0.001, 1.0), (0.3, 2.0))
SPACE = FBNetSpace(
    name="six-layers",
    input_size=8,
    classes=4,
    stem_channels=8,
    stem_stride=1,
    stages=(Stage(8, 6, 1),),
    last_channels=16,
    operators=("k3_e1", "k3_e3", "k3_e6", "k5_e6", "skip"),
)
GENOME = ArchitectureGenome(SPACE.num_layers, len(SPACE.operators))
CONFIGURATIONS = configurations_of(threads=(1, 2), precisions=("fp32", "int8"))
MakeAlgorithm = Callable[[int], Algorithm]


def evolution(genome: Any, seed: int, **options: Any) -> Algorithm:
    found: Evolution[Any] = Evolution(genome, population=POPULATION, seed=seed, **options)
    return found


ALGORITHMS: dict[str, MakeAlgorithm] = {
    "NSGA-II on coefficients": lambda seed: evolution(BOUNDS, seed),
    "NSGA-II on architectures": lambda seed: evolution(GENOME, seed, variation=categorical_variation()),
    "random": lambda seed: RandomCoefficients(BOUNDS, seed=seed),
    "grid": lambda seed: CoefficientGrid(BOUNDS, points=64, seed=seed),
    "spread": lambda seed: SpreadArchitectures(SPACE, POPULATION, seed=seed),
    "constrained": lambda seed: evolution(BOUNDS, seed, constrained=True),
    "NSGA-II on coefficients and configurations": lambda seed: evolution(
        ConfiguredGenome(BOUNDS, CONFIGURATIONS), seed, variation=configured_variation()
    ),
    "NSGA-II on architectures and configurations": lambda seed: evolution(
        ConfiguredGenome(GENOME, CONFIGURATIONS, real=False), seed, variation=categorical_variation()
    ),
    "NSGA-II on configurations, constrained": lambda seed: evolution(
        ConfiguredGenome(BOUNDS, CONFIGURATIONS), seed, variation=configured_variation(), constrained=True
    ),
    "random with configurations": lambda seed: AssignedConfigurations(
        RandomCoefficients(BOUNDS, seed=seed), CONFIGURATIONS, seed=seed
    ),
    "spread with configurations": lambda seed: AssignedConfigurations(
        SpreadArchitectures(SPACE, POPULATION, seed=seed), CONFIGURATIONS, seed=seed
    ),
    "grid with configurations": lambda seed: AssignedConfigurations(
        CoefficientGrid(BOUNDS, points=64, seed=seed), CONFIGURATIONS, seed=seed
    ),
}
"""Each makes an algorithm from a seed, and has at least ten generations to propose."""


@pytest.fixture(params=ALGORITHMS)
def make(request: pytest.FixtureRequest) -> MakeAlgorithm:
    """Makes one of the algorithms from a seed."""
    return ALGORITHMS[request.param]


def objectives_of(proposal: Any) -> Objectives:
    """Any objectives that disagree."""
    if isinstance(proposal, ConfiguredProposal):
        error, latency_ms, energy_mj = objectives_of(proposal.proposal)
        threads = proposal.configuration.threads
        return (error, latency_ms - threads, energy_mj + threads)
    genes = BOUNDS.encode(proposal) if isinstance(proposal, Coefficients) else GENOME.encode(proposal)
    return (float(sum(genes)), float(-genes[0]), float(genes[-1] ** 2))


def generations_of(
    algorithm: Algorithm, count: int, *, fails: Callable[[int], bool] = lambda place: False, disturb: bool = False
) -> list[list[Proposal]]:
    """The proposals of some generations, each told as a whole; `fails` says at which places trials fail."""
    generations: list[list[Proposal]] = []
    for number in range(count):
        if disturb:
            np.random.seed(number)  # noqa: NPY002
        asked = list(algorithm.ask(POPULATION))
        algorithm.tell([(item, None if fails(place) else objectives_of(item)) for place, item in enumerate(asked)])
        generations.append(asked)
    return generations


def assert_new_and_whole(generations: list[list[Proposal]]) -> None:
    """Every generation has its size, and no proposal comes twice."""
    assert [len(asked) for asked in generations] == [POPULATION] * len(generations)
    assert len({item for asked in generations for item in asked}) == POPULATION * len(generations)


def test_it_never_proposes_more_than_was_asked_for(make: MakeAlgorithm) -> None:
    algorithm = make(0)
    for count in (0, 1, 4, POPULATION, 1):
        asked = algorithm.ask(count)
        assert len(asked) <= count
        algorithm.tell([(item, objectives_of(item)) for item in asked])


def test_no_proposal_comes_twice(make: MakeAlgorithm) -> None:
    assert_new_and_whole(generations_of(make(0), 10))


def test_no_proposal_comes_twice_while_results_are_awaited(make: MakeAlgorithm) -> None:
    algorithm = make(0)
    assert_new_and_whole([list(algorithm.ask(POPULATION)) for _ in range(4)])


def test_proposals_lie_within_bounds(make: MakeAlgorithm) -> None:
    for proposal in (item for asked in generations_of(make(3), 10) for item in asked):
        if isinstance(proposal, ConfiguredProposal):
            assert proposal.configuration in CONFIGURATIONS
            proposal = proposal.proposal
        if isinstance(proposal, Coefficients):
            for name in ("alpha", "beta", "gamma", "delta"):
                low, high = getattr(BOUNDS, name)
                assert low * (1 - 1e-9) <= getattr(proposal, name) <= high * (1 + 1e-9)
        else:
            assert isinstance(proposal, tuple)
            assert len(proposal) == GENOME.num_layers
            assert all(type(index) is int and 0 <= index < GENOME.num_operators for index in proposal)


def test_the_same_seed_gives_the_same_proposals_whatever_else_draws_random_numbers(make: MakeAlgorithm) -> None:
    first = generations_of(make(1), 6)
    assert generations_of(make(1), 6, disturb=True) == first
    assert all(asked != others for asked, others in zip(first, generations_of(make(2), 6), strict=True))


@pytest.mark.parametrize("failing", [(0,), (0, 2, 4), (1, 2, 3, 4, 5), (0, 1, 2, 3, 4, 5)])
def test_failures_do_no_harm(make: MakeAlgorithm, failing: tuple[int, ...]) -> None:
    assert_new_and_whole(generations_of(make(0), 5, fails=lambda place: place in failing))


def test_results_may_come_one_by_one_in_any_order(make: MakeAlgorithm) -> None:
    algorithm = make(0)
    under_way = list(algorithm.ask(POPULATION))
    generations = [list(under_way)]
    rng = np.random.default_rng(0)
    for _ in range(4):
        generations.append([])
        for _ in range(POPULATION):
            proposal = under_way.pop(int(rng.integers(len(under_way))))
            algorithm.tell([(proposal, None if rng.random() < 0.2 else objectives_of(proposal))])
            generations[-1] += algorithm.ask(1)
            under_way.append(generations[-1][-1])
    assert_new_and_whole(generations)


@pytest.mark.parametrize("begun", [False, True])
def test_results_of_what_it_never_proposed_do_no_harm(make: MakeAlgorithm, begun: bool) -> None:
    algorithm = make(0)
    generations = generations_of(algorithm, 2) if begun else []
    foreign = [item for asked in generations_of(make(9), 2) for item in asked]
    algorithm.tell([(item, objectives_of(item)) for item in foreign[1:]])
    algorithm.tell([(foreign[0], None)])
    assert_new_and_whole(generations + generations_of(algorithm, 3))


def test_being_told_nothing_does_no_harm(make: MakeAlgorithm) -> None:
    algorithm = make(0)
    algorithm.tell([])
    assert_new_and_whole(generations_of(algorithm, 2))


def test_violations_may_be_told_with_outcomes(make: MakeAlgorithm) -> None:
    """Whether an algorithm heeds them or not."""
    algorithm, generations = make(0), []
    for _ in range(4):
        asked = list(algorithm.ask(POPULATION))
        algorithm.tell(
            [(item, objectives_of(item)) for item in asked], [float(place % 2) for place in range(len(asked))]
        )
        generations.append(asked)
    assert_new_and_whole(generations)


def test_what_has_no_more_to_propose_says_so() -> None:
    fixed = CoefficientBounds((0.2, 0.2), (1.0, 1.0), (0.1, 0.1), (1.0, 1.0))
    made: FixedProposal[Any] = FixedProposal(fixed)
    algorithm: Algorithm = made
    (only,) = algorithm.ask(POPULATION)
    algorithm.tell([(only, None)])
    algorithm.tell([(only, (1.0, 1.0, 1.0))], [0.5])
    algorithm.tell([])
    assert list(algorithm.ask(POPULATION)) == []


def test_assigned_configurations_are_equally_frequent_and_each_algorithm_learns_of_its_own() -> None:
    class Noting(RandomCoefficients):
        def tell(self, outcomes: Any, violations: Any = None) -> None:
            told.append((outcomes, violations))

    told: list[Any] = []
    algorithm = AssignedConfigurations(Noting(BOUNDS, seed=0), CONFIGURATIONS, seed=0)
    asked = algorithm.ask(40)
    configurations = [item.configuration for item in asked if isinstance(item, ConfiguredProposal)]
    assert [configurations.count(one) for one in CONFIGURATIONS] == [10] * 4
    assert {tuple(configurations[start : start + 4]) for start in range(0, 40, 4)} != {CONFIGURATIONS}
    algorithm.tell([(asked[0], (1.0, 2.0, 3.0)), (asked[1], None)], [0.0, 1.0])
    plain = [item.proposal for item in asked[:2] if isinstance(item, ConfiguredProposal)]
    assert told == [([(plain[0], (1.0, 2.0, 3.0)), (plain[1], None)], [0.0, 1.0])]
    later = AssignedConfigurations(RandomCoefficients(BOUNDS, seed=0), CONFIGURATIONS, seed=0)
    later.ask(13)
    assert later.ask(27) == asked[13:]
