from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dnas.losses import Coefficients
from moo.analysis.contributions import Contribution, TrialSource, contributions, seats_by, source_of
from moo.storage.pareto import hypervolume
from moo.trials import ArchitectureTrial, CoefficientTrial

NAMES: tuple[TrialSource, ...] = ("supernet", "coefficients", "neighbours")
COEFFICIENTS = Coefficients(1.0, 1.0, 1.0, 1.0)


@pytest.mark.parametrize("configurations", [1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_contributions_are_what_each_point_added_in_turn(configurations: int, seed: int) -> None:
    """Against the hypervolume of all points before and after each, by itself."""
    rng = np.random.default_rng(seed)
    points, reference = rng.uniform(0, 1.3, (30, configurations, 3)), np.array([1.0, 0.9, 1.1])
    points[:, :, 0] = points[:, :1, 0]
    points[4, -1, 1:] = np.inf
    sources = [NAMES[place] for place in rng.integers(0, 3, 30)]
    found = contributions(sources, points, reference)
    expected = dict.fromkeys(NAMES, 0.0)
    for place, source in enumerate(sources):
        before, after = (hypervolume(points[:end].reshape(-1, 3), reference) for end in (place, place + 1))
        expected[source] += after - before
    for source in NAMES:
        assert found[source].evaluations == sources.count(source)
        assert found[source].hypervolume == pytest.approx(expected[source])
    total = hypervolume(points.reshape(-1, 3), reference)
    assert sum(one.hypervolume for one in found.values()) == pytest.approx(total)
    assert total > 0


def test_of_equal_points_the_first_one_counts() -> None:
    points = np.array([[[0.5, 0.5, 0.5]], [[0.5, 0.5, 0.5]], [[0.5, 0.5, 0.6]]])
    found = contributions(["neighbours", "coefficients", "supernet"], points, np.ones(3))
    assert found["neighbours"].hypervolume == pytest.approx(0.125)
    assert found["coefficients"] == found["supernet"] == Contribution(1, 0.0)


def test_nothing_contributed_nothing() -> None:
    assert contributions([], np.empty((0, 1, 3)), np.ones(3)) == {}


@pytest.mark.parametrize(
    ("trial", "source"),
    [
        (CoefficientTrial(0, 0, COEFFICIENTS), "supernet"),
        (ArchitectureTrial(id=1, generation=1, indices=(0,), coefficients=COEFFICIENTS), "coefficients"),
        (ArchitectureTrial(id=1, generation=1, indices=(0,)), "neighbours"),
        (ArchitectureTrial(id=1, generation=-1, indices=(0,)), "taken over"),
    ],
)
def test_a_trial_tells_where_its_architectures_come_from(trial: Any, source: str) -> None:
    assert source_of(trial) == source


@pytest.mark.parametrize("count", [2, 3, 7, 16, 65])
@pytest.mark.parametrize(
    "found",
    [
        {"a": Contribution(), "b": Contribution()},
        {"a": Contribution(10, 0.3), "b": Contribution()},
        {"a": Contribution(10, 0.0), "b": Contribution(500, 0.9)},
        {"a": Contribution(1, 0.0), "b": Contribution(0, 0.0)},
    ],
)
def test_seats_are_as_many_as_there_are_and_each_source_has_one(found: Any, count: int) -> None:
    seats = seats_by(found, count)
    assert sum(seats.values()) == count
    assert min(seats.values()) >= 1
    assert list(seats) == ["a", "b"]


def test_one_seat_alone_goes_to_the_better_source() -> None:
    assert seats_by({"a": Contribution(50, 0.1), "b": Contribution(50, 0.2)}, 1) == {"a": 0, "b": 1}
    assert seats_by({"a": Contribution(50, 0.2), "b": Contribution(50, 0.1)}, 1) == {"a": 1, "b": 0}


def test_seats_follow_what_an_evaluation_adds_not_how_many_there_were() -> None:
    """Of very many evaluations, in exact proportion."""
    found = {"a": Contribution(10**6, 0.3), "b": Contribution(10**5, 0.09)}
    assert seats_by(found, 40) == {"a": 10, "b": 30}


def test_few_evaluations_tell_little() -> None:
    """A source whose evaluations added twice as much each: one of them, or a hundred."""
    lucky = seats_by({"a": Contribution(1, 0.01), "b": Contribution(100, 0.5)}, 100)["a"]
    proven = seats_by({"a": Contribution(100, 1.0), "b": Contribution(100, 0.5)}, 100)["a"]
    assert 50 < lucky < 54
    assert 60 < proven < 67


def test_equal_sources_have_equal_seats() -> None:
    assert seats_by({"a": Contribution(), "b": Contribution()}, 10) == {"a": 5, "b": 5}
    assert seats_by({"a": Contribution(8, 0.2), "b": Contribution(8, 0.2)}, 10) == {"a": 5, "b": 5}
