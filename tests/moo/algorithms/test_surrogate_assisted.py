from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from devices.configuration import configurations_of
from dnas.losses import Coefficients
from dnas.surrogate import fit_surrogate
from dnas.surrogate_search import AS_THEY_ARE, CrossEntropyScale, SurrogateSearchSettings
from moo.algorithms.base import ConfiguredProposal, SurrogateProposal
from moo.algorithms.genomes import CoefficientBounds, ConfiguredGenome
from moo.algorithms.surrogate_assisted import (
    CoefficientSearch,
    CostLimit,
    SurrogateAssistedSettings,
    candidates_of,
    propose,
)
from moo.bayesian.process import fit_process
from moo.bayesian.search import LocalSearch, LocalSearchSettings
from moo.storage.pareto import hypervolume, non_dominated
from tests.moo.bayesian.known import (
    ALL,
    ENERGY_LO,
    ERROR_LO,
    LATENCY_LO,
    LAYERS,
    OPERATORS,
    described,
    errors_of,
    local_search,
    paid_search,
    summed,
)

SETTINGS = SurrogateAssistedSettings(
    population=8, generations=2, samples=4, search=SurrogateSearchSettings(steps=25, entropy_weight=0.05)
)
BOUNDS = CoefficientBounds((0.01, 10.0), (0.3, 2.0), (0.01, 10.0), (0.3, 2.0))
FIXED = CoefficientBounds((0.2, 0.2), (1.0, 1.0), (0.1, 0.1), (1.0, 1.0))
SEATS = {"coefficients": 5}
ONE, TWO = configurations_of(threads=(1, 2))
SCALES = ((1.0, 1.0), (0.5, 2.0))
"""Of latency and energy in the two configurations: the second is quicker and takes more energy."""


def expected(figure_LO: Any, scale: float = 1.0) -> Any:
    figure = scale * torch.from_numpy(figure_LO).float()
    return lambda probs_TLO: (probs_TLO * figure).sum((-2, -1))


class KnownScores:
    """Knows all errors; a `ScoreModel`."""

    def expected_score(self, probs_TLO: Any) -> Any:
        return 5 * expected(ERROR_LO)(probs_TLO)


def coefficient_search(scales: Any = ((1.0, 1.0),), **options: Any) -> CoefficientSearch:
    costs = [[expected(LATENCY_LO, one[0]), *(expected(ENERGY_LO, scale) for scale in one[1:])] for one in scales]
    defaults: dict[str, Any] = {
        "model": KnownScores(),
        "scale": AS_THEY_ARE,
        "costs": costs,
        "genome": BOUNDS if len(scales) == 1 else ConfiguredGenome(BOUNDS, (ONE, TWO)),
        "shape": (LAYERS, OPERATORS),
        "settings": SETTINGS,
    }
    return CoefficientSearch(**(defaults | options))


def proposed(
    seats: Any = SEATS,
    *,
    scales: Any = ((1.0, 1.0),),
    evaluated: Any = ALL[:3],
    highest_ms: float | None = None,
    seed: int = 0,
    **options: Any,
) -> list[Any]:
    limits = [] if highest_ms is None else [CostLimit([expected(LATENCY_LO, one[0]) for one in scales], highest_ms)]
    configurations = (ONE, TWO) if len(scales) > 1 else ()
    local = local_search(paid_search(scales, highest_ms=highest_ms), evaluated=evaluated, seed=seed)
    searched = None
    if "coefficients" in seats:
        searched = coefficient_search(scales, limits=limits, **options).candidates(
            configurations, np.random.default_rng(seed)
        )
    return propose(local, seats, searched, configurations=configurations)


def plain_of(choices: list[Any]) -> list[SurrogateProposal]:
    return [getattr(choice, "proposal", choice) for choice in choices]


def objectives_of(indices: Any, scales: Any = (1.0, 1.0)) -> Any:
    figures = [errors_of(indices), scales[0] * summed(LATENCY_LO, indices)]
    return np.column_stack([*figures, *(scale * summed(ENERGY_LO, indices) for scale in scales[1:])])


def test_candidates_are_different_and_begin_with_the_modes() -> None:
    theta = torch.tensor([[[0.0, 9.0], [0.0, 1.0]], [[5.0, 0.0], [1.0, 0.0]], [[0.0, 9.0], [0.0, 1.0]]])
    drawn, owner = candidates_of(theta, 30, np.random.default_rng(0))
    assert drawn[:2].tolist() == [[1, 1], [0, 0]]
    assert owner[:2].tolist() == [0, 1]
    assert len({tuple(row) for row in drawn.tolist()}) == len(drawn) == 4
    assert candidates_of(theta, 0, np.random.default_rng(0))[0].tolist() == [[1, 1], [0, 0]]


def test_samples_are_as_frequent_as_softmax_says() -> None:
    theta = torch.tensor([[0.0, 1.0, -1.0]]).repeat(2000, 1, 1)
    theta[:, 0] += 0.0
    rng = np.random.default_rng(0)
    drawn = [candidates_of(theta_LO[None], 1, rng)[0] for theta_LO in theta]
    others = np.array([rows[1, 0] if len(rows) > 1 else rows[0, 0] for rows in drawn])
    frequencies = np.bincount(others, minlength=3) / len(others)
    np.testing.assert_allclose(frequencies, torch.softmax(theta[0, 0], -1).numpy(), atol=0.05)


def test_what_was_evaluated_is_not_chosen_again_and_choices_are_different() -> None:
    choices = proposed({"coefficients": 10}, evaluated=ALL[::2])
    found = [choice.indices for choice in choices]
    assert 1 <= len(found) <= 10
    assert len(set(found)) == len(found)
    assert not set(found) & {tuple(row) for row in ALL[::2].tolist()}
    for choice in choices:
        assert 0.01 <= choice.coefficients.alpha <= 10.0
        assert 0.3 <= choice.coefficients.delta <= 2.0


@pytest.mark.parametrize("seats", [{"coefficients": 5}, {"neighbours": 5}, {"coefficients": 3, "neighbours": 2}])
def test_nothing_is_chosen_where_everything_was_evaluated(seats: Any) -> None:
    assert proposed(seats, evaluated=ALL) == []


def test_choices_follow_the_rng() -> None:
    seats = {"coefficients": 4, "neighbours": 3}
    assert proposed(seats, seed=1) == proposed(seats, seed=1)
    coefficients = [[choice.coefficients for choice in proposed(seed=seed)] for seed in (1, 2)]
    assert coefficients[0] != coefficients[1]


@pytest.mark.parametrize("scales", [(1.0,), (1.0, 1.0)])
@pytest.mark.parametrize("source", ["coefficients", "neighbours"])
def test_choices_lead_to_the_front(scales: Any, source: str) -> None:
    """With known errors, as many choices as the front is large should nearly cover it."""
    objectives, reference = objectives_of(ALL, scales), np.array([0.9, 14.0, 13.0][: 1 + len(scales)])
    front = non_dominated(objectives)
    settings = replace(SETTINGS, population=24, samples=8)
    choices = proposed({source: len(front)}, scales=(scales,), settings=settings)
    found = np.array([*(choice.indices for choice in choices), *ALL[:3]])
    reached = hypervolume(objectives_of(found, scales), reference)
    random = np.random.default_rng(0).permutation(len(ALL))[: len(front)]
    assert reached > 0.98 * hypervolume(objectives, reference)
    assert reached > hypervolume(objectives[random], reference)


def test_each_source_fills_its_seats() -> None:
    """What the local search found is of no coefficients; here both find more than they have seats for."""
    settings = replace(SETTINGS, population=4, generations=1, samples=0)
    choices = proposed({"coefficients": 2, "neighbours": 5}, settings=settings)
    assert [choice.coefficients is None for choice in choices].count(True) == 5
    assert len({choice.indices for choice in choices}) == len(choices) == 7
    assert all(choice.coefficients is None for choice in proposed({"neighbours": 6}))


def test_seats_that_coefficients_cannot_fill_go_to_neighbours() -> None:
    """All coefficients are one tuple and all begin alike, so that they lead to few architectures."""
    settings = replace(SETTINGS, population=4, generations=1, samples=0)
    few = len(coefficient_search(genome=FIXED, settings=settings).candidates((), np.random.default_rng(0))[0])
    choices = proposed({"coefficients": 12, "neighbours": 1}, genome=FIXED, settings=settings)
    assert len(choices) == 13
    assert sum(choice.coefficients is not None for choice in choices) <= few < 12


def test_an_architecture_is_proposed_with_coefficients_whose_theta_gave_it() -> None:
    searched = coefficient_search()
    candidates, proposal = searched.candidates((), np.random.default_rng(0))
    assert len(np.unique(candidates, axis=0)) == len(candidates)
    for place, row in enumerate(candidates.tolist()):
        found = proposal(place)
        assert isinstance(found, SurrogateProposal)
        assert found.indices == tuple(row)
        assert found.coefficients is not None


def test_a_fitted_surrogate_and_a_fitted_process_give_proposals_of_both_sources() -> None:
    """What a search of networks has: errors of a few of them, and nothing else."""
    rng = np.random.default_rng(0)
    known = ALL[rng.permutation(len(ALL))[:30]]
    error = errors_of(known)
    surrogate = fit_surrogate(known, error, num_operators=OPERATORS)
    process = fit_process(described(known), error, operators=OPERATORS)
    choices = propose(
        LocalSearch(paid_search(), process, known, error, LocalSearchSettings(), rng),
        {"coefficients": 2, "neighbours": 3},
        coefficient_search(model=surrogate, scale=CrossEntropyScale.of(error)).candidates((), rng),
    )
    assert len(choices) == 5
    # What they add is known here: more than most others would.
    reference, before = np.array([0.9, 14.0, 13.0]), objectives_of(known)
    found = hypervolume(
        np.vstack([before, objectives_of(np.array([one.indices for one in plain_of(choices)]))]), reference
    )
    drawn = [rng.permutation(len(ALL))[:5] for _ in range(100)]
    others = [hypervolume(np.vstack([before, objectives_of(ALL[places])]), reference) for places in drawn]
    assert np.mean(np.array(others) < found) > 0.9


@pytest.mark.parametrize("seats", [{"coefficients": 12}, {"neighbours": 12}, {"coefficients": 6, "neighbours": 6}])
def test_where_there_are_several_configurations_each_choice_has_one(seats: Any) -> None:
    choices = proposed(seats, scales=SCALES)
    assert 6 <= len(choices) <= 12
    assert {type(choice) for choice in choices} == {ConfiguredProposal}
    assert {choice.configuration for choice in choices} == {ONE, TWO}
    found = [choice.proposal.indices for choice in choices]
    assert len(set(found)) == len(found)
    assert not set(found) & {tuple(row) for row in ALL[:3].tolist()}
    assert proposed(seats, scales=SCALES) == choices


@pytest.mark.parametrize("seats", [{"coefficients": 12}, {"neighbours": 12}, {"coefficients": 6, "neighbours": 6}])
def test_limits_are_kept_by_all_that_is_chosen(seats: Any) -> None:
    """In the second configuration latencies are half as long, so that more keeps the limit."""

    def shortest_of(choices: list[Any]) -> Any:
        return 0.5 * summed(LATENCY_LO, np.array([choice.proposal.indices for choice in choices]))

    highest = 2.5
    choices = proposed(seats, scales=SCALES, highest_ms=highest)
    assert len(choices) >= 3
    assert (shortest_of(choices) <= highest).all()
    assert (shortest_of(proposed(seats, scales=SCALES)) > highest).any()
    for choice in choices:
        if choice.proposal.coefficients is None:
            (latency_ms,) = summed(LATENCY_LO, np.array([choice.proposal.indices]))
            assert latency_ms * (1, 0.5)[choice.configuration == TWO] <= highest


@pytest.mark.parametrize("seats", [{"neighbours": 4}, {"coefficients": 2, "neighbours": 2}])
def test_where_nothing_keeps_the_limits_the_nearest_are_chosen(seats: Any) -> None:
    choices = proposed(seats, scales=((1.0, 1.0),), highest_ms=0.4)
    left_ms = np.sort(summed(LATENCY_LO, ALL[3:]))
    chosen_ms = summed(LATENCY_LO, np.array([choice.indices for choice in choices]))
    np.testing.assert_allclose(chosen_ms, left_ms[: len(choices)])
    assert len(choices) == 4


@pytest.mark.parametrize("several", [False, True])
def test_fixed_coefficients_are_searched_from_many_beginnings(several: bool) -> None:
    genome = ConfiguredGenome(FIXED, (ONE, TWO)) if several else FIXED
    choices = proposed({"coefficients": 12}, scales=SCALES if several else ((1.0, 1.0),), genome=genome)
    assert len(choices) >= 1
    assert {choice.coefficients for choice in plain_of(choices)} == {Coefficients(0.2, 1.0, 0.1, 1.0)}


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"population": 3}, "`population >= 4` must hold for a search on a surrogate, but got 3"),
        ({"generations": 0}, "`generations >= 1` must hold for a search on a surrogate, but got 0"),
        ({"samples": -1}, "`samples >= 0` must hold for a search on a surrogate, but got -1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: Any, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        SurrogateAssistedSettings(**settings)
