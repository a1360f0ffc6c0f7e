"""The genomes of the outer loop: log10 alpha, beta, log10 gamma, delta within bounds; or an operator a layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dnas.losses import Coefficients
from moo.trials import Indices
from search_space.spaces import FBNetSpace

Bounds = tuple[float, float]
"""Lowest and highest value."""


@dataclass(frozen=True)
class CoefficientBounds:
    """Box in which coefficients live; implements `moo.algorithms.nsga2.Genome`."""

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

    def encode(self, coefficients: Coefficients) -> tuple[float, ...]:
        """The four genes of coefficients."""
        c = coefficients
        return (math.log10(c.alpha), c.beta, math.log10(c.gamma), c.delta)

    def decode(self, genes: Sequence[float]) -> Coefficients:
        """Coefficients of a genome of four genes."""
        log_alpha, beta, log_gamma, delta = (float(gene) for gene in genes)
        return Coefficients(10**log_alpha, beta, 10**log_gamma, delta)


@dataclass(frozen=True)
class ArchitectureGenome:
    """An operator's index for each layer; implements `moo.algorithms.nsga2.Genome`."""

    num_layers: int
    num_operators: int

    @property
    def lower(self) -> tuple[float, ...]:
        """The first operator's index, for each layer."""
        return (0,) * self.num_layers

    @property
    def upper(self) -> tuple[float, ...]:
        """The last operator's index, for each layer."""
        return (self.num_operators - 1,) * self.num_layers

    def encode(self, indices: Indices) -> Indices:
        """An architecture is its own genome."""
        return indices

    def decode(self, genes: Sequence[float]) -> Indices:
        """The architecture of a genome."""
        return tuple(int(gene) for gene in genes)


def genome_of(space: FBNetSpace) -> ArchitectureGenome:
    """The genome of a space's architectures."""
    return ArchitectureGenome(space.num_layers, len(space.operators))
