"""The genome of the outer loop: log10 alpha, beta, log10 gamma, delta, within bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dnas.losses import Coefficients
from moo.config import Bounds, SearchConfig


@dataclass(frozen=True)
class CoefficientBounds:
    """Box in which the genome lives."""

    alpha: Bounds
    beta: Bounds
    gamma: Bounds
    delta: Bounds

    @property
    def lower(self) -> tuple[float, ...]:
        """Lower bounds of the four genes."""
        return (math.log10(self.alpha[0]), self.beta[0], math.log10(self.gamma[0]), self.delta[0])

    @property
    def upper(self) -> tuple[float, ...]:
        """Upper bounds of the four genes."""
        return (math.log10(self.alpha[1]), self.beta[1], math.log10(self.gamma[1]), self.delta[1])

    def decode(self, genes: Sequence[float]) -> Coefficients:
        """Coefficients of a genome of four genes."""
        log_alpha, beta, log_gamma, delta = (float(gene) for gene in genes)
        return Coefficients(10**log_alpha, beta, 10**log_gamma, delta)


def bounds_of(config: SearchConfig) -> CoefficientBounds:
    """The bounds that a run's settings give."""
    return CoefficientBounds(config.alpha, config.beta, config.gamma, config.delta)
