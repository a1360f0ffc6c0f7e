"""Whether energy is an objective of its own."""

from __future__ import annotations

import numpy as np
import pytest

from moo.analysis.objectives import independent_objectives, latency_energy_correlation, why_two_objectives


@pytest.fixture
def errors() -> list[float]:
    return [float(error) for error in np.linspace(0.3, 0.1, 40)]


def test_energy_proportional_to_latency_is_no_objective(errors: list[float]) -> None:
    points = [(error, 1 + place / 7, 2.3 * (1 + place / 7)) for place, error in enumerate(errors)]
    assert independent_objectives(points) == 2
    assert latency_energy_correlation(points) == 1


def test_nor_is_energy_in_the_order_of_latency(errors: list[float]) -> None:
    points = [(error, 1.0 + place, (1.0 + place) ** 3) for place, error in enumerate(errors)]
    assert independent_objectives(points) == 2


def test_noise_within_an_order_makes_no_objective(errors: list[float]) -> None:
    rng = np.random.default_rng(0)
    points = [(error, 1.0 + place, 2.0 + 2 * place + float(rng.normal(0, 1.0))) for place, error in enumerate(errors)]
    rho = latency_energy_correlation(points)
    assert rho is not None
    assert 0.995 < rho < 1
    assert independent_objectives(points) == 2


def test_energy_that_falls_with_latency_is_a_third_objective(errors: list[float]) -> None:
    points = [(error, 1.0 + place, 50.0 - place) for place, error in enumerate(errors)]
    assert independent_objectives(points) == 3
    assert latency_energy_correlation(points) == pytest.approx(-1)
    assert why_two_objectives(points) == ""


@pytest.mark.parametrize(
    "points",
    [[], [(0.1, 1.0, 2.0), (0.2, 0.5, 3.0)], [(0.1, 1.0, 2.0), (0.2, 1.0, 1.0), (0.3, 1.0, 0.5)]],
)
def test_points_without_an_order_show_no_third_objective(points: list[tuple[float, float, float]]) -> None:
    assert independent_objectives(points) == 2
    assert latency_energy_correlation(points) is None
    assert "too few different points" in why_two_objectives(points)


def test_the_reason_names_the_correlation_and_the_remedy(errors: list[float]) -> None:
    text = why_two_objectives([(error, 1.0 + place, 2.0 + 2 * place) for place, error in enumerate(errors)])
    assert "energy follows latency on this front (Spearman's rho 1.000)" in text
    assert "Several threads, clocks or precisions" in text
