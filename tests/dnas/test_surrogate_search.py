from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dnas.losses import LOSSES, CoefficientBatch, Coefficients, LossName
from dnas.relaxation import entropy
from dnas.surrogate_search import AS_THEY_ARE, CrossEntropyScale, SurrogateSearchSettings, search_thetas

LAYERS, OPERATORS = 4, 3
SHAPE = (LAYERS, OPERATORS)
EVERYTHING = np.array(list(product(range(OPERATORS), repeat=LAYERS)))
COEFFICIENTS = (Coefficients(0.1, 0.5, 2.0, 1.0), Coefficients(3.0, 1.0, 0.2, 0.7), Coefficients(1.0, 2.0, 1.0, 2.0))
SETTINGS = SurrogateSearchSettings(steps=25, entropy_weight=0.05)
SCALE = CrossEntropyScale(0.4, -1.0, 0.5)
ERROR_LO = torch.tensor([[0.3, 0.15, 0.05], [0.2, 0.1, 0.02], [0.1, 0.03, 0.12], [0.15, 0.2, 0.01]])
LATENCY_LO = torch.tensor([[0.1, 1.0, 4.0], [0.2, 2.0, 3.0], [0.1, 0.2, 0.3], [0.5, 1.0, 5.0]])
ENERGY_LO = torch.tensor([[5.0, 1.0, 2.0], [2.0, 2.0, 1.0], [0.1, 2.0, 0.3], [1.0, 3.0, 0.5]])


def latency(probs_TLO: Tensor) -> Tensor:
    return (probs_TLO * LATENCY_LO).sum((-2, -1)) + 0.3


def energy(probs_TLO: Tensor) -> Tensor:
    return (probs_TLO * ENERGY_LO).sum((-2, -1)) + 1.0


class SumOfErrors:
    """A score that is a sum over layers."""

    def expected_score(self, probs_TLO: Tensor) -> Tensor:
        """See `ScoreModel`."""
        return 5 * (probs_TLO * ERROR_LO).sum((-2, -1))


def one_by_one(
    loss: LossName, scale: CrossEntropyScale, costs: tuple[Callable[[Tensor], Tensor], ...], start: Any, c: Coefficients
) -> Tensor:
    """The search for one set of coefficients, written plainly."""
    theta = torch.from_numpy(start).float().requires_grad_()
    uniform = torch.full(SHAPE, 1 / OPERATORS)
    optimizer = torch.optim.Adam([theta], lr=SETTINGS.lr, betas=(0.9, 0.99))
    for _ in range(SETTINGS.steps):
        probs = torch.softmax(theta, -1)
        score = SumOfErrors().expected_score(probs)
        nats = scale.deviation * score if loss == "additive" else (scale.log_mean + scale.log_deviation * score).exp()
        relative = [cost(probs) / cost(uniform) for cost in costs]
        if len(costs) == 1:
            relative.append(torch.tensor(0.0))
        optimizer.zero_grad()
        (LOSSES[loss](nats, relative[0], relative[1], c) - SETTINGS.entropy_weight * entropy(theta)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return theta.detach()


@pytest.mark.parametrize(
    ("loss", "costs"),
    [("additive", (latency,)), ("additive", (latency, energy)), ("multiplicative", (latency, energy))],
)
def test_searches_in_one_batch_are_searches_one_by_one_with_the_loss_of_that_name(
    loss: LossName, costs: tuple[Callable[[Tensor], Tensor], ...]
) -> None:
    settings = replace(SETTINGS, loss=loss)
    found = search_thetas(SumOfErrors(), SCALE, costs, COEFFICIENTS, SHAPE, settings, np.random.default_rng(3))
    initial = np.random.default_rng(3).normal(0, settings.initial_scale, (3, *SHAPE))
    for coefficients, start, theta_LO in zip(COEFFICIENTS, initial, found, strict=True):
        torch.testing.assert_close(theta_LO, one_by_one(loss, SCALE, costs, start, coefficients), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_of_a_batch_is_the_loss_of_each(loss: LossName) -> None:
    nats_T, latency_T, energy_T = torch.rand(3, 3) + 0.1
    batch = LOSSES[loss](nats_T, latency_T, energy_T, CoefficientBatch.of(COEFFICIENTS))
    single = [LOSSES[loss](nats_T[n], latency_T[n], energy_T[n], c) for n, c in enumerate(COEFFICIENTS)]
    torch.testing.assert_close(batch, torch.stack(single))


def test_weights_of_costs_decide_between_accuracy_latency_and_energy() -> None:
    settings = replace(SETTINGS, steps=80, entropy_weight=0.0)
    weights = [(1e-4, 1e-4), (1e3, 1e-4), (1e-4, 1e3)]
    coefficients = [Coefficients(alpha, 1.0, gamma, 1.0) for alpha, gamma in weights]
    rng = np.random.default_rng(0)
    theta = search_thetas(SumOfErrors(), AS_THEY_ARE, (latency, energy), coefficients, SHAPE, settings, rng)
    rows = np.arange(LAYERS)
    objectives = [cost_LO.numpy()[rows, EVERYTHING].sum(-1) for cost_LO in (ERROR_LO, LATENCY_LO, ENERGY_LO)]
    best = [int(objective.argmin()) for objective in objectives]
    assert np.array_equal(theta.argmax(-1).numpy(), EVERYTHING[best])


def test_an_entropy_weight_keeps_operators_likely() -> None:
    plain, rewarded = (
        search_thetas(
            SumOfErrors(), AS_THEY_ARE, (latency,), COEFFICIENTS, SHAPE, replace(SETTINGS, entropy_weight=weight),
            np.random.default_rng(0),
        )
        for weight in (0.0, 3.0)
    )  # fmt: skip
    assert float(entropy(rewarded)) > float(entropy(plain)) + 0.2


def test_cross_entropies_have_the_spread_of_those_seen_and_are_positive_where_they_must_be() -> None:
    error_N = np.random.default_rng(0).uniform(0.05, 0.9, 500)
    nats_N = -np.log1p(-error_N)
    scale = CrossEntropyScale.of(error_N)
    score_T = torch.linspace(-3, 3, 7)
    linear_T, positive_T = (scale.cross_entropies(score_T, loss) for loss in ("additive", "multiplicative"))
    torch.testing.assert_close(linear_T, float(nats_N.std()) * score_T)
    torch.testing.assert_close(positive_T.log(), float(np.log(nats_N).mean()) + float(np.log(nats_N).std()) * score_T)
    assert bool((positive_T > 0).all())


@pytest.mark.parametrize("error", [0.0, 1.0])
def test_networks_that_are_always_right_or_always_wrong_have_a_finite_scale(error: float) -> None:
    scale = CrossEntropyScale.of(np.array([0.5, error]))
    assert np.isfinite([scale.deviation, scale.log_mean, scale.log_deviation]).all()


def test_one_cost_goes_with_a_sum_alone() -> None:
    with pytest.raises(
        ValueError, match="a search with one cost must have the additive loss, but got 'multiplicative'"
    ):
        search_thetas(
            SumOfErrors(), SCALE, (latency,), COEFFICIENTS, SHAPE, replace(SETTINGS, loss="multiplicative"),
            np.random.default_rng(0),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"steps": 0}, "`steps >= 1` must hold for the search on a surrogate, but got 0"),
        ({"lr": 0.0}, "`lr > 0` must hold, but got 0.0"),
        ({"entropy_weight": -0.1}, "`entropy_weight >= 0` must hold, but got -0.1"),
        ({"initial_scale": -1.0}, "`initial_scale >= 0` must hold, but got -1.0"),
        ({"loss": "log"}, "`loss` must be one of additive, multiplicative, but got 'log'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        SurrogateSearchSettings(**settings)
