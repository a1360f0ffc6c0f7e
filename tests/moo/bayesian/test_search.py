from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from moo.bayesian.inputs import Integers
from moo.bayesian.process import ERROR_OFFSET, fit_process
from moo.bayesian.search import Candidates, LocalSearch, LocalSearchSettings, PaidSearch
from moo.storage.pareto import hypervolume
from tests.moo.bayesian.known import (
    ALL,
    ENERGY_LO,
    LATENCY_LO,
    LAYERS,
    OPERATORS,
    KnownProcess,
    described,
    errors_of,
    local_search,
    paid_search,
    summed,
)

REFERENCE_M = np.array([0.9, 14.0, 13.0])
FEW = LocalSearchSettings(neighbours=12, others=3, rounds=6, beam=4, shortlist=20)
"""Far fewer than there are architectures, so that the search has to climb."""


def as_set(indices: Integers) -> set[tuple[int, ...]]:
    return {tuple(row) for row in indices.tolist()}


def volume(indices: Integers) -> float:
    """Of true points, in units of the objectives."""
    points = np.column_stack([errors_of(indices), summed(LATENCY_LO, indices), summed(ENERGY_LO, indices)])
    return hypervolume(points, REFERENCE_M) * float(np.prod(REFERENCE_M))


def added(indices: Integers, evaluated: Integers) -> Any:
    return np.array([volume(np.vstack([evaluated, row])) - volume(evaluated) for row in indices])


@pytest.mark.parametrize("evaluated", [ALL[:1], ALL[:3], ALL[10:60:7]])
def test_what_is_judged_is_new_in_order_and_worth_what_it_adds(evaluated: Integers) -> None:
    found = local_search(evaluated=evaluated).judged(np.vstack([ALL, ALL[::-1]]))
    assert as_set(found.indices_CL) == as_set(ALL) - as_set(evaluated)
    assert len(found) == len(ALL) - len(evaluated)
    np.testing.assert_allclose(found.gain_C, added(found.indices_CL, evaluated), atol=1e-4)
    assert (np.diff(found.gain_C) <= 0).all()


def test_what_was_looked_at_is_not_looked_at_again() -> None:
    local = local_search()
    first = local.judged(ALL[10:20])
    assert len(first) == 10
    assert as_set(local.judged(ALL[15:25]).indices_CL) == as_set(ALL[20:25])
    assert len(local.judged(ALL[10:25])) == 0
    found = as_set(local.candidates(first).indices_CL)
    assert found
    assert not found & (as_set(ALL[:3]) | as_set(ALL[10:25]))


@pytest.mark.parametrize("seed", range(5))
def test_it_climbs_to_the_best_of_a_space_that_it_sees_little_of(seed: int) -> None:
    """The best of all is known: each of 81 was judged."""
    evaluated = ALL[[0, 80]]
    local = local_search(evaluated=evaluated, settings=FEW, seed=seed)
    found = local.candidates()
    best = added(ALL, evaluated).max()
    assert found.gain_C[0] == pytest.approx(best, rel=1e-4)
    assert not as_set(found.indices_CL) & as_set(evaluated)
    assert len(as_set(found.indices_CL)) == len(found) < 70


def test_in_a_space_too_large_to_enumerate_it_climbs_to_the_known_best() -> None:
    """Ten layers, each with one best operator, which all cost the same: of 9.8 million architectures one is best."""
    layers, operators = 10, 5
    best_L = np.random.default_rng(7).integers(0, operators, layers)

    class Distance(KnownProcess):
        def predict(self, inputs: Any, *, jointly: bool = False) -> Any:
            wrong_M = (inputs.category_NL != best_L).mean(1)
            found = super().predict(described(np.zeros((len(inputs), LAYERS), int)), jointly=jointly)
            object.__setattr__(found, "mean_M", np.log(0.05 + 0.8 * wrong_M + ERROR_OFFSET))
            return found

    search = PaidSearch(
        layers=layers,
        operators=operators,
        describe=described,
        costs_of=lambda indices: np.ones((len(indices), 1, 1)),
        reference_error=1.0,
        reference_J=np.array([2.0]),
    )
    begin, process = (best_L + 1)[None] % operators, Distance()
    standing_in: Any = process
    settings = LocalSearchSettings(neighbours=400, rounds=12)
    local = LocalSearch(search, standing_in, begin, np.array([0.85]), settings, np.random.default_rng(0))
    np.testing.assert_array_equal(local.candidates().indices_CL[0], best_L)


def test_the_best_of_others_is_climbed_from() -> None:
    """What others propose is a beginning, though not among what is returned."""
    evaluated, settings = ALL[[0]], LocalSearchSettings(neighbours=8, others=1, rounds=1, beam=1)
    gains = added(ALL, evaluated)
    best = ALL[gains.argmax()]
    local = local_search(evaluated=evaluated, settings=settings)
    others = local.judged(best[None])
    found = local.candidates(others)
    assert tuple(best) not in as_set(found.indices_CL)
    near = ((found.indices_CL != best).sum(1) == 1).sum()
    assert near == LAYERS * (OPERATORS - 1)


def test_of_what_is_worth_no_look_nothing_is_a_candidate() -> None:
    search = paid_search(exists=lambda indices_NL: indices_NL[:, 0] != 2)
    found = local_search(search).candidates()
    assert len(found) > 0
    assert (found.indices_CL[:, 0] != 2).all()


def test_choices_are_the_greedy_ones_and_nearly_the_best_together() -> None:
    """Errors are certain here: each choice adds most to those before it."""
    evaluated, count = ALL[[40]], 3
    local = local_search(evaluated=evaluated)
    found = {"all": local.judged(ALL)}
    places = [place for _, place in local.chosen_together(found, {"all": count})]
    known = evaluated
    for place in places:
        row = found["all"].indices_CL[place]
        gains = added(found["all"].indices_CL, known)
        assert gains[place] == pytest.approx(gains.max(), rel=1e-3)
        known = np.vstack([known, row])
    some = found["all"].best(20).indices_CL
    best = max(volume(np.vstack([evaluated, some[list(chosen)]])) for chosen in combinations(range(20), count))
    assert volume(known) > 0.98 * best
    assert places != [0, 1, 2], "the best ones on their own are near to each other"


def test_choices_are_not_alike_where_one_tells_of_the_other() -> None:
    """By a fitted process two neighbours err alike: once one is chosen, the other is less uncertain."""
    seen = ALL[np.random.default_rng(0).permutation(len(ALL))[:20]]
    process = fit_process(described(seen), errors_of(seen), operators=OPERATORS)
    local = LocalSearch(
        paid_search(), process, seen, errors_of(seen), LocalSearchSettings(), np.random.default_rng(0)
    )  # fmt: skip
    found = {"all": local.judged(ALL)}
    places = [place for _, place in local.chosen_together(found, {"all": 6})]
    assert len(set(places)) == 6
    drawn = [np.random.default_rng(seed).permutation(len(found["all"]))[:6] for seed in range(200)]
    reached = volume(np.vstack([seen, found["all"].indices_CL[places]]))
    of_random = [volume(np.vstack([seen, found["all"].indices_CL[some]])) for some in drawn]
    assert np.mean(np.array(of_random) < reached) > 0.95


@pytest.mark.parametrize(
    ("sizes", "seats", "expected"),
    [
        ((20, 20), (4, 3), (4, 3)),
        ((2, 20), (4, 3), (2, 5)),
        ((20, 1), (4, 3), (6, 1)),
        ((20, 20), (0, 3), (0, 3)),
        ((2, 1), (4, 3), (2, 1)),
        ((0, 20), (4, 3), (0, 7)),
    ],
)
def test_seats_are_kept_and_passed_on_where_a_source_has_too_few(sizes: Any, seats: Any, expected: Any) -> None:
    local = local_search()
    first, second = local.judged(ALL[10 : 10 + sizes[0]]), local.judged(ALL[40 : 40 + sizes[1]])
    chosen = local.chosen_together({"a": first, "b": second}, {"a": seats[0], "b": seats[1]})
    names = [name for name, _ in chosen]
    assert (names.count("a"), names.count("b")) == expected
    assert len(set(chosen)) == len(chosen)
    assert all(place < len(first if name == "a" else second) for name, place in chosen)


def test_limits_are_kept_as_long_as_something_keeps_them() -> None:
    search = paid_search(highest_ms=2.0)
    local = local_search(search)
    pool = local.judged(ALL)
    chosen = [pool.indices_CL[place] for _, place in local.chosen_together({"all": pool}, {"all": 70})]
    assert 5 < len(chosen) < 70
    assert (summed(LATENCY_LO, np.array(chosen)) <= 2.0).all()
    within = summed(LATENCY_LO, pool.indices_CL) <= 2.0
    assert within[: within.sum()].all(), "what keeps them comes first"
    assert len(chosen) == within.sum()


def test_where_nothing_keeps_the_limits_what_exceeds_them_least_is_chosen_and_climbed_to() -> None:
    search = paid_search(highest_ms=0.5)
    local = local_search(search, evaluated=ALL[[80]], settings=FEW)
    pool = local.candidates()
    chosen = [pool.indices_CL[place] for _, place in local.chosen_together({"all": pool}, {"all": 2})]
    shortest = np.sort(summed(LATENCY_LO, ALL))[:2]
    np.testing.assert_allclose(summed(LATENCY_LO, np.array(chosen)), shortest)


def test_of_several_configurations_the_one_that_adds_most_suits() -> None:
    scales = ((1.0, 1.0), (0.5, 2.0))
    local = local_search(paid_search(scales), evaluated=ALL[[0]])
    found = [local.suits(row) for row in ALL]
    assert set(found) == {0, 1}
    for row, place in zip(ALL, found, strict=True):
        alone = [local_search(paid_search([scale], reference_J=np.array([14.0, 26.0]))) for scale in scales]
        # Beside the point that is known in both.
        gains = [
            local.frame.expected_improvement(
                np.log(errors_of(row[None]) + ERROR_OFFSET), np.array([1e-6]), one._search.costs_of(row[None]),
                offset=ERROR_OFFSET,
            )[0]
            for one in alone
        ]  # fmt: skip
        assert gains[place] == pytest.approx(max(gains))


@pytest.mark.parametrize("reference_error", [0.001, 0.1, 0.11])
def test_the_best_is_chosen_where_none_is_better_than_the_reference(reference_error: float) -> None:
    """All cost the same here: whatever errs less than the worst is worth the more the less it errs."""
    search = paid_search(
        costs_of=lambda indices: np.ones((len(indices), 1, 2)), reference_error=reference_error
    )  # fmt: skip
    local = local_search(search, evaluated=ALL[[0, 1, 9]])
    pool = local.judged(ALL[[30, 53, 60, 80]])
    assert tuple(pool.indices_CL[0]) == tuple(ALL[[30, 53, 60, 80]][errors_of(ALL[[30, 53, 60, 80]]).argmin()])
    assert pool.gain_C[0] > 0


def test_of_two_alike_the_less_certain_one_is_worth_more() -> None:
    certain, uncertain = (
        local_search(process=KnownProcess(deviation)).judged(ALL[[0, 5]]).gain_C for deviation in (0.01, 0.5)
    )
    assert (uncertain > certain).all()


def test_the_front_that_it_begins_with_is_what_no_other_dominates() -> None:
    evaluated = ALL[np.random.default_rng(3).permutation(len(ALL))[:30]]
    points = np.column_stack([errors_of(evaluated), summed(LATENCY_LO, evaluated), summed(ENERGY_LO, evaluated)])
    expected = [
        not any((other <= one).all() and (other < one).any() for other in points) for one in points
    ]  # fmt: skip
    assert as_set(local_search(evaluated=evaluated)._front_NL) == as_set(evaluated[expected])


def test_nothing_is_chosen_from_nothing() -> None:
    local = local_search()
    nothing = Candidates(np.empty((0, LAYERS), np.intp), np.empty(0))
    assert local.chosen_together({"a": nothing, "b": nothing}, {"a": 2, "b": 2}) == []
    assert local.chosen_together(dict[str, Candidates](), {}) == []
    everything = local_search(evaluated=ALL)
    assert len(everything.candidates()) == len(everything.judged(ALL)) == 0


def test_where_no_configuration_keeps_the_limits_the_nearest_suits() -> None:
    exceeded = np.array([[0.8, 0.3], [0.2, 0.6]])
    search = paid_search(((1.0, 1.0), (0.5, 1.0)), exceeded_of=lambda indices: exceeded[indices[:, 0] % 2])
    local = local_search(search)
    assert [local.suits(ALL[ALL[:, 0] == first][0]) for first in (0, 1)] == [1, 0]
