"""Hardware-aware losses of the inner search.

Both take the cross-entropy, the expected costs relative to those of uniform theta, and the coefficients, of one inner
search or of a batch of them. They are written nowhere else: the search on the supernet (`dnas.inner_search`) and that
on a surrogate (`dnas.surrogate_search`) take a loss by its name. Shape suffix: T inner searches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

LossName = Literal["additive", "multiplicative"]


@dataclass(frozen=True)
class Coefficients:
    """The loss coefficients that the outer loop evolves.

    Negative exponents would reward slower networks, so none may be negative. A weight of 0 switches its term off.
    """

    alpha: float
    """Weight of latency."""
    beta: float
    """Exponent of latency."""
    gamma: float
    """Weight of energy."""
    delta: float
    """Exponent of energy."""

    def __post_init__(self) -> None:
        for name in ("alpha", "beta", "gamma", "delta"):
            value, weight = getattr(self, name), name in ("alpha", "gamma")
            if not (math.isfinite(value) and (value > 0 or (weight and value == 0))):
                relation = ">=" if weight else ">"
                raise ValueError(f"`{name} {relation} 0` must hold for the coefficients, but got {name}={value}.")


class LossCoefficients(Protocol):
    """Coefficients of one inner search, or of a batch of them."""

    @property
    def alpha(self) -> float | Tensor:
        """Weight of latency."""

    @property
    def beta(self) -> float | Tensor:
        """Exponent of latency."""

    @property
    def gamma(self) -> float | Tensor:
        """Weight of energy."""

    @property
    def delta(self) -> float | Tensor:
        """Exponent of energy."""


@dataclass(frozen=True)
class CoefficientBatch:
    """Coefficients of several inner searches, each of shape (T,)."""

    alpha: Tensor
    beta: Tensor
    gamma: Tensor
    delta: Tensor

    @staticmethod
    def of(coefficients: Sequence[Coefficients], *, like: Tensor | None = None) -> CoefficientBatch:
        """The coefficients of T inner searches as one batch, of the type and device of a tensor where one is given."""
        rows = [(c.alpha, c.beta, c.gamma, c.delta) for c in coefficients]
        batch_T4 = torch.tensor(rows, dtype=None if like is None else like.dtype)
        return CoefficientBatch(*(batch_T4 if like is None else batch_T4.to(like.device)).unbind(-1))


Loss = Callable[[Tensor, Tensor, Tensor, LossCoefficients], Tensor]
"""(cross-entropy, LAT / LAT_ref, ENER / ENER_ref, coefficients) -> loss, of the shape that these have."""


def additive_loss(
    cross_entropy: Tensor, relative_latency: Tensor, relative_energy: Tensor, coefficients: LossCoefficients
) -> Tensor:
    """CE + alpha * (LAT / LAT_ref)^beta + gamma * (ENER / ENER_ref)^delta.

    Source: HANNA's loss (energy added to FBNet's), with both costs made relative to uniform theta.
    """
    return (
        cross_entropy
        + coefficients.alpha * relative_latency**coefficients.beta
        + coefficients.gamma * relative_energy**coefficients.delta
    )


def multiplicative_loss(
    cross_entropy: Tensor, relative_latency: Tensor, relative_energy: Tensor, coefficients: LossCoefficients
) -> Tensor:
    """CE * alpha * log(LAT)^beta * gamma * log(ENER)^delta.

    Source: FBNet, Eq. 2 (`CE * alpha * log(LAT)^beta`), with the energy factor in the same form. FBNet's LAT is in
    microseconds, which keeps the logarithm positive; here it is 1 + 1000 times the relative cost. A factor whose weight
    is 0 is switched off, that is 1: with gamma 0 this is FBNet's own loss.
    """
    return (
        cross_entropy
        * _factor(relative_latency, coefficients.alpha, coefficients.beta)
        * _factor(relative_energy, coefficients.gamma, coefficients.delta)
    )


def _factor(relative_cost: Tensor, weight: float | Tensor, exponent: float | Tensor) -> Tensor:
    factor = weight * torch.log(1 + 1000 * relative_cost) ** exponent
    return torch.where(torch.as_tensor(weight) == 0, torch.ones_like(factor), factor)


LOSSES: dict[LossName, Loss] = {"additive": additive_loss, "multiplicative": multiplicative_loss}
SHIFT_INVARIANT: frozenset[LossName] = frozenset({"additive"})
"""Losses whose gradient does not change where a constant is added to the cross-entropy."""
