from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from dnas.costs import OperatorCosts
from dnas.surrogate import fit_surrogate
from dnas.surrogate_search import AS_THEY_ARE, CrossEntropyScale, SurrogateSearchSettings
from moo.algorithms.acquisition import AcquisitionSettings, EvaluatedArchitectures, costs_of, most_promising
from moo.algorithms.genomes import CoefficientBounds
from moo.algorithms.surrogate_assisted import SurrogateAssistedSettings, candidates_of, propose
from moo.storage.pareto import hypervolume, non_dominated

LAYERS, OPERATORS = 4, 3
ALL = np.array(list(product(range(OPERATORS), repeat=LAYERS)))
SETTINGS = SurrogateAssistedSettings(
    population=8,
    generations=2,
    samples=4,
    search=SurrogateSearchSettings(steps=25, entropy_weight=0.05),
    acquisition=AcquisitionSettings(draws=8, directions=64, shortlist=40),
)
BOUNDS = CoefficientBounds((0.01, 10.0), (0.3, 2.0), (0.01, 10.0), (0.3, 2.0))


def latency(probs_TLO: Any) -> Any:
    cost_LO = torch.tensor([[0.1, 1.0, 4.0], [0.2, 2.0, 3.0], [0.1, 0.2, 0.3], [0.5, 1.0, 5.0]])
    return (probs_TLO * cost_LO).sum((-2, -1)) + 0.3


def energy(probs_TLO: Any) -> Any:
    cost_LO = torch.tensor([[5.0, 1.0, 2.0], [2.0, 2.0, 1.0], [0.1, 2.0, 0.3], [1.0, 3.0, 0.5]])
    return (probs_TLO * cost_LO).sum((-2, -1)) + 1.0


class KnownErrors:
    """Errors that are a sum over layers, known up to a spread; an `AccuracyModel`."""

    def __init__(self, spread_of: Any = lambda indices: np.zeros(len(indices))) -> None:
        self.error_LO = np.array([[0.3, 0.15, 0.05], [0.2, 0.1, 0.02], [0.1, 0.03, 0.12], [0.15, 0.2, 0.01]])
        self.spread_of = spread_of

    def expected_score(self, probs_TLO: Any) -> Any:
        error_LO = torch.from_numpy(self.error_LO).to(probs_TLO.dtype)
        return 5 * (probs_TLO * error_LO).sum((-2, -1))

    def predict(self, indices_CL: Any) -> Any:
        return self.error_LO[np.arange(LAYERS), indices_CL].sum(-1), self.spread_of(indices_CL)

    def sample_errors(self, indices_CL: Any, count: Any, rng: Any) -> Any:
        mean_C, std_C = self.predict(indices_CL)
        return mean_C + std_C * rng.standard_normal((count, len(mean_C)))


def objectives_of(indices: Any, costs: Any) -> Any:
    return np.column_stack([KnownErrors().predict(indices)[0], costs_of(costs, indices, OPERATORS)])


def proposed(
    costs: Any = (latency, energy), evaluated: Any = ALL[:3], count: int = 5, seed: int = 0, settings: Any = SETTINGS
) -> Any:
    objectives = objectives_of(evaluated, costs)
    return propose(
        KnownErrors(),
        AS_THEY_ARE,
        costs,
        EvaluatedArchitectures(evaluated, objectives[:, 0]),
        BOUNDS,
        reference_M=1.1 * objectives_of(ALL, costs).max(0),
        num_operators=OPERATORS,
        count=count,
        settings=settings,
        rng=np.random.default_rng(seed),
    )


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


@pytest.mark.parametrize("costs", [(latency,), (latency, energy)])
def test_the_choice_among_certain_candidates_is_greedy_in_exact_hypervolume(costs: Any) -> None:
    seen, candidates = ALL[[5, 40]], ALL[7:67:3]
    reference = 1.1 * objectives_of(ALL, costs).max(0)
    lowest = np.vstack([objectives_of(seen, costs), objectives_of(candidates, costs)]).min(0)
    lowest[0] = objectives_of(seen, costs)[:, 0].min()
    places = most_promising(
        KnownErrors(),
        costs,
        EvaluatedArchitectures(seen, objectives_of(seen, costs)[:, 0]),
        candidates,
        reference_M=reference,
        num_operators=OPERATORS,
        count=4,
        settings=replace(SETTINGS.acquisition, directions=4096),
        rng=np.random.default_rng(0),
    )

    def exact(indices: Any) -> Any:
        return hypervolume(objectives_of(indices, costs) - lowest + 1e-9, reference - lowest + 1e-9)

    chosen = seen
    for place in places:
        gains = [exact(np.vstack([chosen, row])) for row in candidates]
        assert gains[place] >= exact(chosen) + 0.97 * (max(gains) - exact(chosen))
        chosen = np.vstack([chosen, candidates[place]])
    assert len(set(places)) == 4


def test_of_two_alike_the_less_certain_one_is_chosen() -> None:
    """Latencies and errors are equal; the expected improvement is not."""
    candidates = np.array([[1, 1, 1, 1], [1, 1, 1, 0]])

    class Alike(KnownErrors):
        def predict(self, indices_CL: Any) -> Any:
            return np.full(len(indices_CL), 0.5), np.where(indices_CL[:, 3] == 0, 0.2, 0.01)

    def same(probs_TLO: Any) -> Any:
        return torch.ones(probs_TLO.shape[:-2])

    for rows, best in ((candidates, 1), (candidates[::-1], 0)):
        places = most_promising(
            Alike(), (same,), EvaluatedArchitectures(ALL[:1], np.array([0.5])), rows, reference_M=np.array([1.0, 2.0]),
            num_operators=OPERATORS, count=1, settings=SETTINGS.acquisition, rng=np.random.default_rng(0),
        )  # fmt: skip
        assert places == [best]


def test_what_was_evaluated_is_not_chosen_again_and_choices_are_different() -> None:
    known = ALL[::2]
    choices = proposed(evaluated=known, count=10)
    found = [choice.indices for choice in choices]
    assert 1 <= len(found) <= 10
    assert len(set(found)) == len(found)
    assert not set(found) & {tuple(row) for row in known.tolist()}
    for choice in choices:
        assert 0.01 <= choice.coefficients.alpha <= 10.0
        assert 0.3 <= choice.coefficients.delta <= 2.0


def test_nothing_is_chosen_where_everything_was_evaluated() -> None:
    assert proposed(evaluated=ALL) == []


def test_choices_follow_the_rng() -> None:
    assert proposed(seed=1) == proposed(seed=1)
    assert proposed(seed=1) != proposed(seed=2)


@pytest.mark.parametrize("costs", [(latency,), (latency, energy)])
def test_choices_lead_to_the_front(costs: Any) -> None:
    """With known errors, as many choices as the front is large should nearly cover it."""
    objectives = objectives_of(ALL, costs)
    reference = 1.1 * objectives.max(0)
    front = non_dominated(objectives)
    acquisition = replace(SETTINGS.acquisition, directions=512)
    settings = replace(SETTINGS, population=24, samples=8, acquisition=acquisition)
    choices = proposed(costs, count=len(front), settings=settings)
    found = np.array([*(choice.indices for choice in choices), *ALL[:3]])
    reached = hypervolume(objectives_of(found, costs), reference)
    random = np.random.default_rng(0).permutation(len(ALL))[: len(front)]
    assert reached > 0.98 * hypervolume(objectives, reference)
    assert reached > hypervolume(objectives[random], reference)


def test_a_fitted_surrogate_and_a_cost_table_give_proposals() -> None:
    """What a search of networks has: operator costs by layer, a few errors, and reference points of its own."""
    rng = np.random.default_rng(0)
    known = ALL[rng.permutation(len(ALL))[:30]]
    error = KnownErrors().predict(known)[0]
    surrogate = fit_surrogate(known, error, num_operators=OPERATORS)
    table = OperatorCosts(torch.rand(LAYERS, OPERATORS), 0.5)

    def expected(probs_TLO: Any) -> Any:
        return (probs_TLO * table.cost_LO).sum((-2, -1)) + table.fixed

    choices = propose(
        surrogate, CrossEntropyScale.of(error), (expected,), EvaluatedArchitectures(known, error), BOUNDS,
        reference_M=np.array([0.9, 5.0]),
        num_operators=OPERATORS, count=3, settings=SETTINGS, rng=rng,
    )  # fmt: skip
    assert 1 <= len(choices) <= 3


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


@pytest.mark.parametrize("name", ["shortlist", "draws", "directions"])
def test_an_acquisition_that_judges_nothing_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"`{name} >= 1` must hold for an acquisition, but got 0"):
        AcquisitionSettings(**{name: 0})
