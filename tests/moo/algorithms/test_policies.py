from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from moo.algorithms.policies import Choices, evolve_choices
from moo.storage.pareto import hypervolume, non_dominated

CHOICES = Choices((3, 40, 40, 4), (False, True, True, False))


def judged(choices_AG: Any) -> Any:
    """A front that needs the right unordered genes, and ordered ones in balance; odd sums of these are not allowed."""
    kind_A, one_A, other_A, last_A = choices_AG.T
    penalty_A = 0.2 * (kind_A != 1) + 0.1 * (last_A != 2)
    objectives_AM = np.stack([one_A / 40 + penalty_A, (1 - one_A / 40) ** 2 + (other_A / 40 - 0.5) ** 2 + penalty_A], 1)
    return objectives_AM, (one_A + other_A) % 2 == 0


class Counted:
    """Keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, ...]] = []

    def __call__(self, choices_AG: Any) -> Any:
        self.asked += [tuple(row) for row in choices_AG.tolist()]
        return judged(choices_AG)


def evolved(evaluations: int = 2000, seed: int = 0, **given: Any) -> Any:
    judge = Counted()
    return evolve_choices(CHOICES, judge, objectives=2, evaluations=evaluations, seed=seed, **given), judge.asked


def volume_of(objectives_AM: Any) -> float:
    return hypervolume(objectives_AM, np.array([1.5, 1.5]))


def test_it_comes_near_the_front_of_all_choices() -> None:
    everything = np.array(list(itertools.product(*map(range, CHOICES.options))))
    objectives_AM, allowed_A = judged(everything)
    best = volume_of(objectives_AM[allowed_A])
    rng = np.random.default_rng(0)
    drawn = rng.choice(np.flatnonzero(allowed_A), 1000, replace=False)
    found, _ = evolved()
    assert volume_of(objectives_AM[drawn]) < 0.985 * best < 0.995 * best < volume_of(found.objectives_AM) <= best
    kinds = found.choices_AG[non_dominated(found.objectives_AM)]
    assert {*kinds[:, 0].tolist()} == {1}


def test_each_individual_is_judged_once_and_no_more_than_asked_for() -> None:
    found, asked = evolved(730)
    assert len(asked) == len(set(asked)) == 730
    assert all(0 <= gene < number for row in asked for gene, number in zip(row, CHOICES.options, strict=True))
    allowed = [row for row in asked if (row[1] + row[2]) % 2 == 0]
    assert [tuple(row) for row in found.choices_AG.tolist()] == allowed
    np.testing.assert_array_equal(found.objectives_AM, judged(np.array(allowed))[0])


def test_the_seed_says_all() -> None:
    assert evolved(400, 5)[1] == evolved(400, 5)[1] != evolved(400, 6)[1]


@pytest.mark.parametrize("options", [(2, 2), (1,), (3,)])
def test_it_ends_where_all_choices_were_judged(options: tuple[int, ...]) -> None:
    asked: list[tuple[int, ...]] = []

    def judge(choices_AG: Any) -> Any:
        asked.extend(tuple(row) for row in choices_AG.tolist())
        return choices_AG.sum(1, keepdims=True) * np.array([[1.0, -1.0]]), np.ones(len(choices_AG), bool)

    choices = Choices(options, (False,) * len(options))
    evolve_choices(choices, judge, objectives=2, evaluations=500, seed=0)
    assert sorted(asked) == sorted(itertools.product(*map(range, options)))


def test_nothing_allowed_is_an_empty_result() -> None:
    found = evolve_choices(
        Choices((5, 5), (True, True)),
        lambda choices_AG: (np.zeros((len(choices_AG), 3)), np.zeros(len(choices_AG), bool)),
        objectives=3,
        evaluations=20,
        seed=0,
    )
    assert found.choices_AG.shape == (0, 2)
    assert found.objectives_AM.shape == (0, 3)


@pytest.mark.parametrize(("options", "evaluations"), [((), 10), ((3, 0), 10), ((3,), 0)])
def test_nothing_to_choose_is_refused(options: tuple[int, ...], evaluations: int) -> None:
    with pytest.raises(ValueError, match="genes with options"):
        evolve_choices(Choices(options, (False,) * len(options)), judged, objectives=2, evaluations=evaluations, seed=0)
