import itertools
import math
import time
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from devices.cost_tables.analytic import analytic_cost_table
from dnas.batches import BatchSource
from dnas.costs import OperatorCosts
from dnas.inner_search import OnSteps, StepRecord, ThetaResult, ThetaSettings, search_theta
from dnas.losses import Coefficients, LossName, additive_loss
from dnas.pretraining import Pretraining, PretrainSettings
from dnas.relaxation import TemperatureSchedule
from dnas.supernets.build import WeightSharing, build_supernet
from dnas.supernets.supernet import Supernet
from search_space.spaces import FBNetSpace, Stage
from tests.dnas.conftest import SourceOf

SETTINGS = ThetaSettings(steps=20, batch_size=16, lr=0.3, entropy_weight=0.0)


def costs_of(space: FBNetSpace) -> tuple[OperatorCosts, OperatorCosts]:
    table = analytic_cost_table(space)
    return (
        OperatorCosts(torch.tensor(table.latency_ms).float(), table.fixed_latency_ms),
        OperatorCosts(torch.tensor(table.energy_mj).float(), table.fixed_energy_mj),
    )


def search(
    supernet: Supernet,
    source: BatchSource,
    *,
    alpha: float = 0.1,
    gamma: float = 1e-6,
    settings: ThetaSettings = SETTINGS,
    seed: int = 0,
    on_steps: OnSteps | None = None,
) -> ThetaResult:
    coefficients = Coefficients(alpha=alpha, beta=1.0, gamma=gamma, delta=1.0)
    costs = costs_of(supernet.space)
    rng = np.random.default_rng(seed)
    return search_theta(supernet, source, *costs, coefficients, settings, rng, on_steps=on_steps)


@pytest.fixture(scope="module")
def supernet(space: FBNetSpace, easy_source: SourceOf) -> Supernet:
    """Pre-trained a little, so that cross-entropy has a say."""
    torch.manual_seed(0)
    supernet = build_supernet(space, "shared")
    run = Pretraining(supernet, easy_source(), PretrainSettings(epochs=4, batch_size=16), seed=0)
    for _ in range(4):
        run.run_epoch()
    return supernet


@pytest.mark.parametrize("weight_sharing", ["shared", "separate"])
def test_the_weights_stay_as_they_are_and_can_be_trained_on(
    space: FBNetSpace, easy_source: SourceOf, weight_sharing: WeightSharing
) -> None:
    supernet = build_supernet(space, weight_sharing)
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    search(supernet, easy_source(32), settings=replace(SETTINGS, steps=3))
    assert all(torch.equal(value, before[name]) for name, value in supernet.state_dict().items())
    assert all(parameter.grad is None for parameter in supernet.parameters())
    assert all(parameter.requires_grad for parameter in supernet.parameters())


def test_weights_that_were_frozen_stay_frozen(space: FBNetSpace, easy_source: SourceOf) -> None:
    supernet = build_supernet(space, "shared")
    supernet.get_submodule("stem").requires_grad_(requires_grad=False)
    search(supernet, easy_source(32), settings=replace(SETTINGS, steps=1))
    assert [p.requires_grad for p in supernet.get_submodule("stem").parameters()] == [False] * 3
    assert all(p.requires_grad for p in supernet.get_submodule("blocks").parameters())


def test_a_search_is_determined_by_its_rng(supernet: Supernet, easy_source: SourceOf) -> None:
    settings = replace(SETTINGS, steps=5)
    results = [search(supernet, easy_source(40), settings=settings, seed=seed) for seed in (1, 1, 2)]
    for name in ("theta_LO", "probs_TLO"):
        assert np.array_equal(getattr(results[0], name), getattr(results[1], name))
    assert results[0].records == results[1].records
    assert not np.array_equal(results[0].theta_LO, results[2].theta_LO)


@pytest.mark.parametrize("seed", range(4))
def test_a_larger_alpha_never_gives_a_slower_network(supernet: Supernet, easy_source: SourceOf, seed: int) -> None:
    latency, _ = costs_of(supernet.space)
    expected_ms = [
        float(latency.expected(torch.from_numpy(search(supernet, easy_source(), alpha=alpha, seed=seed).probs_TLO[-1])))
        for alpha in (1e-3, 0.3, 3.0, 100.0)
    ]
    assert expected_ms == sorted(expected_ms, reverse=True)
    assert expected_ms[-1] < 0.8 * expected_ms[0]


@pytest.mark.parametrize("loss", ["additive", "multiplicative"])
def test_a_strong_alpha_picks_the_cheapest_operator_of_every_layer(
    supernet: Supernet, easy_source: SourceOf, loss: LossName
) -> None:
    settings = replace(SETTINGS, steps=40, loss=loss)
    coefficients = Coefficients(alpha=1e3, beta=1.0 if loss == "additive" else 8.0, gamma=1e-3, delta=1.0)
    latency, energy = costs_of(supernet.space)
    result = search_theta(supernet, easy_source(), latency, energy, coefficients, settings, np.random.default_rng(0))
    assert result.theta_LO.argmax(-1).tolist() == latency.cost_LO.argmin(-1).tolist()


def test_a_strong_gamma_picks_the_operators_of_least_energy(supernet: Supernet, easy_source: SourceOf) -> None:
    """Here energy is the other way round than latency."""
    latency, _ = costs_of(supernet.space)
    energy = OperatorCosts(latency.cost_LO.max() - latency.cost_LO, 1.0)
    coefficients = Coefficients(alpha=1e-3, beta=1.0, gamma=1e3, delta=1.0)
    settings = replace(SETTINGS, steps=40)
    result = search_theta(supernet, easy_source(), latency, energy, coefficients, settings, np.random.default_rng(0))
    assert result.theta_LO.argmax(-1).tolist() == energy.cost_LO.argmin(-1).tolist()


@pytest.mark.parametrize("name", ["k3_e1_g2", "k3_e3", "k5_e1"])
def test_a_tiny_alpha_prefers_the_operator_that_accuracy_depends_on(
    space: FBNetSpace, easy_source: SourceOf, name: str
) -> None:
    """One layer, of whose candidates a single one was trained together with stem and head."""
    one_layer = replace(space, stages=(Stage(6, 1, 2),))
    index = one_layer.operators.index(name)
    supernet = build_supernet(one_layer, "separate")
    run = Pretraining(
        supernet,
        easy_source(),
        PretrainSettings(epochs=6, batch_size=16),
        seed=0,
        forward=lambda supernet, rng: partial(supernet.forward_path, indices=(index,)),
    )
    for _ in range(6):
        run.run_epoch()
    for seed in range(2):
        result = search(supernet, easy_source(), alpha=1e-6, settings=replace(SETTINGS, steps=40), seed=seed)
        assert result.theta_LO.argmax(-1).tolist() == [index]


def test_an_entropy_weight_keeps_operators_likely(supernet: Supernet, easy_source: SourceOf) -> None:
    plain, rewarded = (
        search(supernet, easy_source(), alpha=3.0, settings=replace(SETTINGS, entropy_weight=weight)).records[-1]
        for weight in (0.0, 3.0)
    )
    assert plain.entropy < 0.5
    assert rewarded.entropy > 0.9 * math.log(9)


def test_records_hold_the_figures_of_each_step(supernet: Supernet, easy_source: SourceOf) -> None:
    settings = replace(SETTINGS, steps=4, temperature=TemperatureSchedule(4.0, 0.5))
    result = search(supernet, easy_source(), alpha=0.7, gamma=0.3, settings=settings)
    latency, energy = costs_of(supernet.space)
    assert result.theta_LO.shape == (3, 9)
    assert result.probs_TLO.shape == (4, 3, 9)
    torch.testing.assert_close(
        torch.from_numpy(result.probs_TLO[-1]), torch.softmax(torch.from_numpy(result.theta_LO), -1)
    )
    assert [record.temperature for record in result.records] == pytest.approx([4, 2, 1, 0.5])
    coefficients = Coefficients(alpha=0.7, beta=1.0, gamma=0.3, delta=1.0)
    for record, probs_LO in zip(result.records[1:], torch.from_numpy(result.probs_TLO), strict=False):
        assert record.latency_ms == pytest.approx(float(latency.expected(probs_LO)), rel=1e-4)
        assert record.energy_mj == pytest.approx(float(energy.expected(probs_LO)), rel=1e-4)
        assert record.entropy == pytest.approx(float(-(probs_LO * probs_LO.log()).sum(-1).mean()), rel=1e-4)
        loss = additive_loss(
            torch.tensor(record.cross_entropy),
            torch.tensor(record.latency_ms / latency.reference()),
            torch.tensor(record.energy_mj / energy.reference()),
            coefficients,
        )
        assert record.loss == pytest.approx(float(loss), rel=1e-4)
        assert record.accuracy * 16 == pytest.approx(round(record.accuracy * 16))


def test_each_step_has_the_time_at_which_it_ended(supernet: Supernet, easy_source: SourceOf) -> None:
    before = time.time()
    result = search(supernet, easy_source(32), settings=replace(SETTINGS, steps=3))
    assert len(result.ended) == 3
    times = [before, *result.ended, time.time()]
    assert times == sorted(times)


def test_telling_of_steps_changes_nothing(
    supernet: Supernet, easy_source: SourceOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that goes on by 0.4 s each time that somebody looks."""
    looks = itertools.count()
    clock = SimpleNamespace(time=time.time, monotonic=lambda: 0.4 * next(looks))
    monkeypatch.setattr("dnas.inner_search.time", clock)
    settings = replace(SETTINGS, steps=8)
    told: list[tuple[int, tuple[StepRecord, ...], tuple[float, ...]]] = []
    silent = search(supernet, easy_source(40), settings=settings)
    looks = itertools.count()
    result = search(supernet, easy_source(40), settings=settings, on_steps=lambda *news: told.append(news))
    assert np.array_equal(result.theta_LO, silent.theta_LO)
    assert result.records == silent.records
    assert [step for step, _, _ in told] == [3, 6, 8]
    assert [record for _, records, _ in told for record in records] == list(result.records)
    assert [at for _, _, ended in told for at in ended] == list(result.ended)


def test_a_short_search_tells_nothing(
    supernet: Supernet, easy_source: SourceOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dnas.inner_search.TOLD_APART_SECONDS", math.inf)
    search(
        supernet, easy_source(32), settings=replace(SETTINGS, steps=2), on_steps=lambda *news: pytest.fail("was told")
    )


def test_the_unit_of_costs_does_not_matter(supernet: Supernet, easy_source: SourceOf) -> None:
    """Coefficients weigh costs relative to those of uniform theta."""
    latency, energy = costs_of(supernet.space)
    in_us = OperatorCosts(1000 * latency.cost_LO, 1000 * latency.fixed)
    coefficients = Coefficients(alpha=1.0, beta=0.7, gamma=0.5, delta=1.3)
    one, other = (
        search_theta(supernet, easy_source(), costs, energy, coefficients, SETTINGS, np.random.default_rng(0))
        for costs in (latency, in_us)
    )
    np.testing.assert_allclose(one.theta_LO, other.theta_LO, atol=1e-2)


@pytest.mark.parametrize("weight_sharing", ["shared", "separate"])
def test_a_source_of_one_image_more_than_a_batch_works_down_to_maps_of_one_pixel(
    space: FBNetSpace, easy_source: SourceOf, weight_sharing: WeightSharing
) -> None:
    narrow = replace(space, stages=(Stage(4, 1, 2), Stage(6, 1, 2), Stage(6, 1, 2)))
    result = search(build_supernet(narrow, weight_sharing), easy_source(9), settings=replace(SETTINGS, batch_size=8))
    assert np.isfinite(result.theta_LO).all()


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"steps": 0}, "`steps >= 1` must hold for the search of theta, but got 0"),
        ({"batch_size": 1}, r"`batch_size >= 2` must hold \(BatchNorm\), but got 1"),
        ({"loss": "mean"}, "`loss` must be one of additive, multiplicative, but got 'mean'"),
        ({"lr": 0.0}, "`lr > 0` must hold, but got 0.0"),
        ({"initial_scale": -1.0}, "`initial_scale >= 0` must hold, but got -1.0"),
        ({"entropy_weight": math.nan}, "`entropy_weight >= 0` must hold, but got nan"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        ThetaSettings(**settings)
