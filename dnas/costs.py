"""Expected latency and energy of a distribution over architectures, as exact expectations.

Costs come in as plain tensors, so that this package knows nothing of boards. Shape suffixes: L layers, O operators.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class OperatorCosts:
    """One cost (latency in ms, or energy in mJ) of every operator at every layer."""

    cost_LO: Tensor
    """Cost of each operator at each layer, shape (L, O)."""
    fixed: float
    """Cost of what is not searched: stem, last convolution, classifier."""

    def expected(self, probs_LO: Tensor) -> Tensor:
        """Expected cost of a network, a scalar: fixed + sum over l, o of probs_lo * cost_lo (FBNet, Eq. 5)."""
        return (probs_LO * self.cost_LO).sum() + self.fixed

    def reference(self) -> float:
        """Expected cost under uniform theta; dividing by it makes coefficients free of units and boards."""
        return float(self.cost_LO.mean(-1).sum()) + self.fixed

    def to(self, device: torch.device) -> OperatorCosts:
        """The same costs on another torch device."""
        return OperatorCosts(self.cost_LO.to(device), self.fixed)
