from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from devices.configuration import configurations_of
from dnas.costs import OperatorCosts
from dnas.losses import Coefficients
from dnas.surrogate import fit_surrogate
from dnas.surrogate_search import AS_THEY_ARE, CrossEntropyScale, SurrogateSearchSettings
from moo.algorithms.acquisition import AcquisitionSettings, EvaluatedArchitectures, costs_of, most_promising
from moo.algorithms.base import ConfiguredProposal
from moo.algorithms.genomes import CoefficientBounds, ConfiguredGenome
from moo.algorithms.surrogate_assisted import CostLimit, SurrogateAssistedSettings, candidates_of, propose
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
    costs: Any = (latency, energy),
    evaluated: Any = ALL[:3],
    count: int = 5,
    seed: int = 0,
    settings: Any = SETTINGS,
    genome: Any = BOUNDS,
) -> Any:
    objectives = objectives_of(evaluated, costs)
    return propose(
        KnownErrors(),
        AS_THEY_ARE,
        [costs],
        EvaluatedArchitectures(evaluated, objectives[:, 0]),
        genome,
        reference_M=1.1 * objectives_of(ALL, costs).max(0),
        num_operators=OPERATORS,
        count=count,
        settings=settings,
        rng=np.random.default_rng(seed),
    )


@pytest.mark.parametrize("reference_error", [0.001, 0.1, 0.15])
def test_the_best_is_chosen_where_none_is_better_than_the_reference(reference_error: float) -> None:
    """All cost the same here, and the best of those evaluated errs in 0.15."""
    seen, candidates = ALL[[0, 1, 9]], ALL[[0, 30, 53, 60, 80]]
    errors, expected = KnownErrors().predict(seen)[0], KnownErrors().predict(candidates)[0]
    flat = 0.15 + errors - errors.min()

    class Model(KnownErrors):
        def predict(self, indices_CL: Any) -> Any:
            mean_C, std_C = super().predict(indices_CL)
            return 0.15 + mean_C - errors.min(), std_C

    places = most_promising(
        Model(),
        [(lambda probs_TLO: torch.ones(len(probs_TLO)),)],
        EvaluatedArchitectures(seen, flat),
        candidates,
        reference_M=np.array([reference_error, 2.0]),
        num_operators=OPERATORS,
        count=1,
        settings=SETTINGS.acquisition,
        rng=np.random.default_rng(0),
    )
    assert places == [int(expected.argmin())]


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
        [costs],
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
            Alike(), [(same,)], EvaluatedArchitectures(ALL[:1], np.array([0.5])), rows,
            reference_M=np.array([1.0, 2.0]), num_operators=OPERATORS, count=1, settings=SETTINGS.acquisition,
            rng=np.random.default_rng(0),
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
        surrogate, CrossEntropyScale.of(error), [(expected,)], EvaluatedArchitectures(known, error), BOUNDS,
        reference_M=np.array([0.9, 5.0]),
        num_operators=OPERATORS, count=3, settings=SETTINGS, rng=rng,
    )  # fmt: skip
    assert 1 <= len(choices) <= 3


ONE, TWO = configurations_of(threads=(1, 2))


def double_energy(probs_TLO: Any) -> Any:
    return 2 * energy(probs_TLO)


def half_latency(probs_TLO: Any) -> Any:
    return 0.5 * latency(probs_TLO)


COSTS = ((latency, energy), (half_latency, double_energy))
"""Of the two configurations: the second is quicker and takes more energy."""


def configured(
    *, count: int = 6, seed: int = 0, limits: Sequence[CostLimit] = (), evaluated: Any = ALL[:3], genome: Any = BOUNDS
) -> list[Any]:
    objectives = np.vstack([objectives_of(ALL, costs) for costs in COSTS])
    return list(
        propose(
            KnownErrors(),
            AS_THEY_ARE,
            COSTS,
            EvaluatedArchitectures(evaluated, KnownErrors().predict(evaluated)[0]),
            ConfiguredGenome(genome, (ONE, TWO)),
            configurations=(ONE, TWO),
            limits=limits,
            reference_M=1.1 * objectives.max(0),
            num_operators=OPERATORS,
            count=count,
            settings=SETTINGS,
            rng=np.random.default_rng(seed),
        )
    )


def test_where_there_are_several_configurations_each_choice_has_one() -> None:
    choices = configured(count=12)
    assert 6 <= len(choices) <= 12
    assert {type(choice) for choice in choices} == {ConfiguredProposal}
    assert {choice.configuration for choice in choices} == {ONE, TWO}
    found = [choice.proposal.indices for choice in choices]
    assert len(set(found)) == len(found)
    assert not set(found) & {tuple(row) for row in ALL[:3].tolist()}
    assert all(0.01 <= choice.proposal.coefficients.alpha <= 10.0 for choice in choices)
    assert configured(count=12) == choices


def test_limits_are_kept_by_all_that_is_chosen() -> None:
    """In the second configuration latencies are half as long, so that more keeps the limit."""
    highest = 3.5
    limits = [CostLimit((latency, half_latency), highest)]
    choices = configured(count=12, limits=limits)
    assert len(choices) >= 3
    for choice in choices:
        cost = (latency, half_latency)[choice.configuration == TWO]
        (value,) = costs_of([cost], np.array([choice.proposal.indices]), OPERATORS)[:, 0]
        assert value <= highest * (1 + 1e-6)
    assert any(
        costs_of([latency], np.array([choice.proposal.indices]), OPERATORS)[0, 0] > highest
        for choice in configured(count=12)
    )


def test_where_nothing_keeps_the_limits_the_nearest_is_chosen() -> None:
    shortest = 0.5 * costs_of([latency], ALL, OPERATORS).min()
    choices = configured(count=12, limits=[CostLimit((latency, half_latency), shortest / 2)])
    assert len(choices) >= 1
    values = {
        float(costs_of([(latency, half_latency)[c.configuration == TWO]], np.array([c.proposal.indices]), 3)[0, 0])
        for c in choices
    }
    assert max(values) == pytest.approx(min(values))


@pytest.mark.parametrize("several", [False, True])
def test_fixed_coefficients_are_searched_from_many_beginnings(several: bool) -> None:
    fixed = CoefficientBounds((0.2, 0.2), (1.0, 1.0), (0.1, 0.1), (1.0, 1.0))
    if several:
        choices = configured(genome=fixed, count=12)
        assert {choice.configuration for choice in choices} <= {ONE, TWO}
        coefficients = {choice.proposal.coefficients for choice in choices}
    else:
        choices = proposed(genome=fixed)
        coefficients = {choice.coefficients for choice in choices}
    assert len(choices) >= 1
    assert coefficients == {Coefficients(0.2, 1.0, 0.1, 1.0)}


def test_of_several_configurations_the_best_counts_in_each_direction() -> None:
    """An architecture that is far ahead in one configuration alone is worth as much as in that one by itself."""
    seen, candidates = ALL[[40]], ALL[:27]
    errors = KnownErrors().predict(seen)[0]
    far = [[lambda probs_TLO: latency(probs_TLO) + 1e3, lambda probs_TLO: energy(probs_TLO) + 1e3], [latency, energy]]
    reference = 1.1 * objectives_of(ALL, (latency, energy)).max(0)

    def chosen(costs: Any) -> list[int]:
        return most_promising(
            KnownErrors(), costs, EvaluatedArchitectures(seen, errors), candidates, reference_M=reference,
            num_operators=OPERATORS, count=4, settings=SETTINGS.acquisition, rng=np.random.default_rng(0),
        )  # fmt: skip

    assert chosen(far) == chosen(far[::-1]) == chosen(far[1:])


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
