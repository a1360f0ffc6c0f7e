from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from devices.cost_tables.analytic import analytic_cost_table
from dnas.costs import OperatorCosts
from dnas.inner_search import OnSteps, StepRecord, ThetaResult, ThetaSettings, search_theta
from dnas.joint.search import InnerSearch, search_thetas
from dnas.losses import Coefficients, LossName
from dnas.relaxation import gumbel_noise, random_theta
from dnas.supernets.build import WeightSharing, build_supernet
from dnas.supernets.supernet import Supernet
from search_space.spaces import FBNetSpace
from tests.dnas.conftest import ArraySource, Randomise, SourceOf

SETTINGS = ThetaSettings(steps=20, batch_size=16)
COEFFICIENTS = (
    Coefficients(alpha=0.1, beta=1.0, gamma=0.0, delta=1.0),
    Coefficients(alpha=3.0, beta=0.7, gamma=0.5, delta=1.3),
    Coefficients(alpha=0.0, beta=2.0, gamma=0.01, delta=0.3),
)


@pytest.fixture
def in_double(monkeypatch: pytest.MonkeyPatch) -> None:
    """Theta and its noise have the numbers of single precision, in double precision."""
    for module in ("dnas.inner_search", "dnas.joint.search"):
        monkeypatch.setattr(f"{module}.random_theta", lambda *a, **k: random_theta(*a, **k).double())
        monkeypatch.setattr(f"{module}.gumbel_noise", lambda *a: gumbel_noise(*a).double())


def searches_of(
    space: FBNetSpace, *, dtype: torch.dtype = torch.float32, on_steps: Sequence[OnSteps | None] = (None, None, None)
) -> list[InnerSearch]:
    """Each with coefficients, costs and random numbers of its own."""
    table = analytic_cost_table(space)
    return [
        InnerSearch(
            latency=OperatorCosts(torch.tensor(table.latency_ms, dtype=dtype) ** (1 + 0.1 * number), 1.0 + number),
            energy=OperatorCosts(torch.tensor(table.energy_mj, dtype=dtype), 2.0 - 0.5 * number),
            coefficients=coefficients,
            rng=np.random.default_rng(number),
            on_steps=told,
        )
        for number, (coefficients, told) in enumerate(zip(COEFFICIENTS, on_steps, strict=True))
    ]


def alone(
    supernet: Supernet, source: ArraySource, searches: Sequence[InnerSearch], settings: ThetaSettings
) -> list[ThetaResult]:
    return [
        search_theta(supernet, source, one.latency, one.energy, one.coefficients, settings, one.rng) for one in searches
    ]


def figures(result: ThetaResult) -> npt.NDArray[Any]:
    return np.array([record.figures for record in result.records])


@pytest.mark.parametrize("loss", ["additive", "multiplicative"])
@pytest.mark.usefixtures("in_double")
def test_each_search_finds_what_it_finds_alone(
    space: FBNetSpace, easy_source: SourceOf, randomised: Randomise, loss: LossName
) -> None:
    supernet, source, settings = (
        randomised(build_supernet(space, "shared")).double(),
        easy_source(),
        replace(SETTINGS, loss=loss),
    )
    source = ArraySource(source.x_BCHW.double(), source.labels_B)
    searches, others = searches_of(space, dtype=torch.float64), searches_of(space, dtype=torch.float64)
    results = search_thetas(supernet, source, searches, settings)
    expected = alone(supernet, source, others, settings)
    for one, other in zip(results, expected, strict=True):
        np.testing.assert_allclose(one.theta_LO, other.theta_LO, rtol=0, atol=1e-8)
        np.testing.assert_allclose(one.probs_TLO, other.probs_TLO, rtol=0, atol=1e-8)
        np.testing.assert_allclose(figures(one), figures(other), rtol=1e-7, atol=1e-8)
    assert [one.rng.random() for one in searches] == [one.rng.random() for one in others], "random numbers go on alike"


def test_in_single_precision_they_differ_by_rounding(
    space: FBNetSpace, easy_source: SourceOf, randomised: Randomise
) -> None:
    supernet, source, settings = randomised(build_supernet(space, "shared")), easy_source(), replace(SETTINGS, steps=8)
    results = search_thetas(supernet, source, searches_of(space), settings)
    for one, other in zip(results, alone(supernet, source, searches_of(space), settings), strict=True):
        np.testing.assert_allclose(one.theta_LO, other.theta_LO, rtol=0, atol=0.01)
        assert one.theta_LO.dtype == other.theta_LO.dtype == np.float32
        assert one.probs_TLO.shape == other.probs_TLO.shape
        assert len(one.records) == len(one.ended) == 8


@pytest.mark.parametrize(("weight_sharing", "count"), [("separate", 3), ("shared", 1)])
def test_one_search_and_separate_weights_are_done_as_ever(
    space: FBNetSpace, easy_source: SourceOf, weight_sharing: WeightSharing, count: int
) -> None:
    supernet, source, settings = build_supernet(space, weight_sharing), easy_source(32), replace(SETTINGS, steps=2)
    results = search_thetas(supernet, source, searches_of(space)[:count], settings)
    for one, other in zip(results, alone(supernet, source, searches_of(space)[:count], settings), strict=True):
        assert np.array_equal(one.theta_LO, other.theta_LO)
        assert one.records == other.records


def test_the_weights_stay_as_they_are_and_can_be_trained_on(space: FBNetSpace, easy_source: SourceOf) -> None:
    supernet = build_supernet(space, "shared")
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    search_thetas(supernet, easy_source(32), searches_of(space), replace(SETTINGS, steps=2))
    assert all(torch.equal(value, before[name]) for name, value in supernet.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in supernet.parameters())


def test_a_search_that_ends_in_no_numbers_spoils_no_other(
    space: FBNetSpace, easy_source: SourceOf, randomised: Randomise
) -> None:
    supernet, source, settings = randomised(build_supernet(space, "shared")), easy_source(), replace(SETTINGS, steps=4)
    broken = searches_of(space)
    broken[1] = replace(broken[1], latency=OperatorCosts(torch.full_like(broken[1].latency.cost_LO, torch.nan), 1.0))
    results, expected = (search_thetas(supernet, source, those, settings) for those in (broken, searches_of(space)))
    assert np.isnan(results[1].theta_LO).all()
    for number in (0, 2):
        assert np.array_equal(results[number].theta_LO, expected[number].theta_LO)
        assert results[number].records == expected[number].records


def test_each_is_told_of_its_own_steps(
    space: FBNetSpace, easy_source: SourceOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that goes on by 0.4 s each time that somebody looks."""
    looks = itertools.count()
    clock = SimpleNamespace(time=time.time, monotonic=lambda: 0.4 * next(looks))
    monkeypatch.setattr("dnas.inner_search.time", clock)
    told: list[list[StepRecord]] = [[], [], []]

    def listener(number: int) -> OnSteps:
        return lambda step, records, ended: told[number].extend(records)

    searches = searches_of(space, on_steps=[listener(number) for number in range(3)])
    results = search_thetas(build_supernet(space, "shared"), easy_source(32), searches, replace(SETTINGS, steps=6))
    assert [tuple(records) for records in told] == [result.records for result in results]
