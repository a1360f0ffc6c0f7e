"""A space of 81 architectures whose errors and costs are sums over layers, and a process that knows them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from moo.bayesian.inputs import ArchitectureInputs, Floats, Integers
from moo.bayesian.process import Prediction, log_errors
from moo.bayesian.search import LocalSearch, LocalSearchSettings, PaidSearch

LAYERS, OPERATORS = 4, 3
ALL = np.array(list(product(range(OPERATORS), repeat=LAYERS)))
ERROR_LO = np.array([[0.3, 0.15, 0.05], [0.2, 0.1, 0.02], [0.1, 0.03, 0.12], [0.15, 0.2, 0.01]])
LATENCY_LO = np.array([[0.1, 1.0, 4.0], [0.2, 2.0, 3.0], [0.1, 0.2, 0.3], [0.5, 1.0, 5.0]])
ENERGY_LO = np.array([[5.0, 1.0, 2.0], [2.0, 2.0, 1.0], [0.1, 2.0, 0.3], [1.0, 3.0, 0.5]])
NOISE_VARIANCE = 1e-14


def summed(figure_LO: Floats, indices_NL: Integers) -> Floats:
    """Sums over layers, (N,)."""
    summed_N: Floats = figure_LO[np.arange(LAYERS), indices_NL].sum(-1)
    return summed_N


def errors_of(indices_NL: Integers) -> Floats:
    """True errors."""
    return summed(ERROR_LO, indices_NL)


def described(indices_NL: Integers) -> ArchitectureInputs:
    """Operators alone; a `Describe`."""
    return ArchitectureInputs(indices_NL, np.empty((len(indices_NL), 0)))


class KnownProcess:
    """Stands for a `GaussianProcess`: expects the true errors, all as sure of themselves."""

    def __init__(self, deviation: float = 1e-6) -> None:
        self.deviation = deviation

    def predict(self, inputs: ArchitectureInputs, *, jointly: bool = False) -> Prediction:
        """See `GaussianProcess.predict`."""
        variance_M = np.full(len(inputs), self.deviation**2)
        return Prediction(
            mean_M=log_errors(errors_of(inputs.category_NL)),
            covariance_MM=np.diag(variance_M) if jointly else None,
            variance_M=variance_M,
            noise_variance=NOISE_VARIANCE,
        )


def paid_search(
    scales: Sequence[tuple[float, ...]] = ((1.0, 1.0),), *, highest_ms: float | None = None, **options: Any
) -> PaidSearch:
    """A search whose reference point is beyond all architectures.

    Args:
        scales: of latency and, where it counts, energy in each configuration.
        highest_ms: latency that an architecture may have.
        options: of `PaidSearch`, in place of others.
    """

    def exceeded(indices_NL: Integers) -> Floats:
        latency_NK = np.column_stack([scale[0] * summed(LATENCY_LO, indices_NL) for scale in scales])
        exceeded_NK: Floats = (latency_NK / (highest_ms or np.inf) - 1).clip(0)
        return exceeded_NK

    def costs_of(indices_NL: Integers) -> Floats:
        costs_JN = [summed(LATENCY_LO, indices_NL), summed(ENERGY_LO, indices_NL)]
        cost_NKJ: Floats = np.array([
            [scale * cost_N for scale, cost_N in zip(configuration, costs_JN, strict=False)] for configuration in scales
        ]).transpose(2, 0, 1)  # fmt: skip
        cost_NKJ[exceeded(indices_NL) > 0] = np.inf
        return cost_NKJ

    defaults: dict[str, Any] = {
        "layers": LAYERS,
        "operators": OPERATORS,
        "describe": described,
        "costs_of": costs_of,
        "reference_error": 0.9,
        "reference_J": np.array([14.0, 13.0][: len(scales[0])]) * np.max(scales),
        "exceeded_of": None if highest_ms is None else exceeded,
    }
    return PaidSearch(**(defaults | options))


def local_search(
    search: PaidSearch | None = None,
    *,
    evaluated: Integers = ALL[:3],
    process: Any = None,
    settings: LocalSearchSettings | None = None,
    seed: int = 0,
) -> LocalSearch:
    """A local search by true errors, which some architectures have shown."""
    stands_in: Any = KnownProcess()
    return LocalSearch(
        search or paid_search(),
        process or stands_in,
        evaluated,
        errors_of(evaluated),
        settings or LocalSearchSettings(),
        np.random.default_rng(seed),
    )
