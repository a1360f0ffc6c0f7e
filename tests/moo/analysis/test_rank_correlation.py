from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from moo.analysis.rank_correlation import kendall_tau, trust_in_supernet
from moo.storage.archive import Archive
from tests.moo.conftest import EntryOf, TrainedOf


@pytest.mark.parametrize("ties", [False, True])
def test_tau_is_that_of_scipy(ties: bool) -> None:
    rng = np.random.default_rng(0)
    for count in (3, 7, 30):
        x, y = rng.normal(size=(2, count)).round(0 if ties else 9)
        if len(set(x)) > 1 and len(set(y)) > 1:
            assert kendall_tau(list(x), list(y)).tau == pytest.approx(stats.kendalltau(x, y).statistic)


def test_tau_counts_pairs_in_the_same_and_in_the_other_order() -> None:
    assert kendall_tau([1, 2, 3, 4, 5], [1, 2, 3, 5, 4]).tau == pytest.approx((9 - 1) / 10)
    assert kendall_tau([1, 2, 3, 4, 5], [5, 4, 3, 2, 1]).tau == pytest.approx(-1)
    assert kendall_tau([1, 2, 3], [10, 20, 30]).count == 3


def test_the_interval_is_that_of_the_published_variance() -> None:
    result = kendall_tau(range(8), [1, 0, 2, 4, 3, 5, 7, 6])
    assert result.tau == pytest.approx(1 - 2 * 3 / 28)
    assert math.atanh(result.high) - math.atanh(result.tau) == pytest.approx(1.96 * math.sqrt(0.437 / 4), rel=1e-4)
    assert math.atanh(result.tau) - math.atanh(result.low) == pytest.approx(1.96 * math.sqrt(0.437 / 4), rel=1e-4)


def test_the_interval_turns_with_the_ranking() -> None:
    x, y = [1, 2, 3, 4, 5, 6], [2, 1, 3, 4, 6, 5]
    forward, backward = kendall_tau(x, y), kendall_tau(x, [-value for value in y])
    assert (backward.tau, backward.low, backward.high) == pytest.approx((-forward.tau, -forward.high, -forward.low))


def test_full_agreement_of_few_networks_is_no_certainty() -> None:
    result = kendall_tau(range(6), range(6))
    assert (result.tau, result.high) == pytest.approx((1, 1))
    assert 0 < result.low < 0.9
    opposite = kendall_tau(range(6), range(6, 0, -1))
    assert (opposite.low, opposite.high) == pytest.approx((-1, -result.low))


def test_fewer_than_five_networks_exclude_nothing() -> None:
    result = kendall_tau(range(4), range(4))
    assert (result.tau, result.low, result.high) == pytest.approx((1, -1, 1))


@pytest.mark.parametrize(("correlation", "count"), [(0.0, 6), (0.6, 12), (0.9, 24)])
def test_the_interval_covers_the_true_value_as_often_as_it_says(correlation: float, count: int) -> None:
    """Of a bivariate normal distribution tau is 2 / pi arcsin(rho): Kendall and Gibbons (1990), chapter 10."""
    rng = np.random.default_rng(1)
    true = 2 / math.pi * math.asin(correlation)
    trials = 600
    covered = 0
    for _ in range(trials):
        x, noise = rng.normal(size=(2, count))
        result = kendall_tau(list(x), list(correlation * x + math.sqrt(1 - correlation**2) * noise))
        covered += result.low <= true <= result.high
    assert 0.93 <= covered / trials <= 0.99


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1, 2], [1, 2], "`len(x) >= 3` must hold, but got 2"),
        ([1, 2, 3], [1, 2], "`len(x) == len(y)` must hold, but got 3 and 2"),
        ([4, 4, 4], [1, 2, 3], "`x` must have at least two distinct values to be ranked, but all are 4"),
        ([1, 2, 3], [4, 4, 4], "`y` must have at least two distinct values to be ranked, but all are 4"),
    ],
)
def test_what_cannot_be_ranked_is_refused(x: Any, y: Any, message: str) -> None:
    with pytest.raises(ValueError) as raised:
        kendall_tau(x, y)
    assert message in str(raised.value)


def test_trust_needs_three_trained_networks_that_differ(entry_of: EntryOf, trained_of: TrainedOf) -> None:
    archive = Archive((1.0, 10.0, 10.0))
    for place in range(3):
        archive.add(entry_of((place, 0, 0), 0.5 + place / 10, position=place))
        assert trust_in_supernet(archive) is None
        identifier = archive.entries[place].architecture.id
        archive.set_trained(identifier, trained_of(identifier, error=0.3 - place / 10))
    result = trust_in_supernet(archive)
    assert result is not None
    assert (result.tau, result.count) == (pytest.approx(-1), 3)
    for entry in archive.entries:
        archive.set_trained(entry.architecture.id, trained_of(entry.architecture.id, error=0.3))
    assert trust_in_supernet(archive) is None


def test_trust_is_that_of_networks_trained_alike(entry_of: EntryOf, trained_of: TrainedOf) -> None:
    """Networks trained for longer have smaller errors whatever the supernet said of them."""
    archive = Archive((1.0, 10.0, 10.0))
    for place in range(6):
        archive.add(entry_of((place // 3, place % 3, 0), 0.5 + place / 10, position=place))
        identifier = archive.entries[place].architecture.id
        network = trained_of(identifier, error=0.3 + place / 100)
        archive.set_trained(identifier, replace(network, epochs=30.0, error=0.01) if place > 3 else network)
    result = trust_in_supernet(archive)
    assert result is not None
    assert (result.tau, result.count) == (pytest.approx(1), 4)
