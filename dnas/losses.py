"""Hardware-aware losses of the inner search.

Both take the cross-entropy, the expected costs relative to those of uniform theta, and the coefficients.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

LossName = Literal["additive", "multiplicative"]


@dataclass(frozen=True)
class Coefficients:
    """The loss-coefficient tuple that the outer loop evolves.

    Negative exponents would reward slower networks, so all four must be positive.
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
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"`{name} > 0` must hold for the coefficients, but got {name}={value}.")


Loss = Callable[[Tensor, Tensor, Tensor, Coefficients], Tensor]
"""(cross-entropy, LAT / LAT_ref, ENER / ENER_ref, coefficients) -> scalar loss."""


def additive_loss(
    cross_entropy: Tensor, relative_latency: Tensor, relative_energy: Tensor, coefficients: Coefficients
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
    cross_entropy: Tensor, relative_latency: Tensor, relative_energy: Tensor, coefficients: Coefficients
) -> Tensor:
    """CE * alpha * log(LAT)^beta * gamma * log(ENER)^delta.

    Source: FBNet, Eq. 2 (`CE * alpha * log(LAT)^beta`), with the energy factor in the same form. FBNet's LAT is in
    microseconds, which keeps the logarithm positive; here it is 1 + 1000 times the relative cost.
    """
    log_latency = torch.log(1 + 1000 * relative_latency)
    log_energy = torch.log(1 + 1000 * relative_energy)
    return (
        cross_entropy
        * (coefficients.alpha * log_latency**coefficients.beta)
        * (coefficients.gamma * log_energy**coefficients.delta)
    )


LOSSES: dict[LossName, Loss] = {"additive": additive_loss, "multiplicative": multiplicative_loss}
