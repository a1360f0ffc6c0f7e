"""The genomes of the outer loop: log10 alpha, beta, log10 gamma, delta within bounds; or an operator a layer.

Where a run has several runtime configurations, the configuration is one more gene.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from devices.configuration import RuntimeConfiguration
from dnas.losses import Coefficients
from moo.algorithms.base import ConfiguredProposal
from moo.trials import Indices
from search_space.spaces import FBNetSpace

Bounds = tuple[float, float]
"""Lowest and highest value."""
_NAMES = ("alpha", "beta", "gamma", "delta")
_WEIGHTS = ("alpha", "gamma")
"""Evolved by their logarithms."""
Proposal = TypeVar("Proposal")


class Genome(Protocol[Proposal]):
    """What is evolved, as a vector of genes within bounds."""

    @property
    def lower(self) -> Sequence[float]:
        """Lower bound of each gene."""

    @property
    def upper(self) -> Sequence[float]:
        """Upper bound of each gene."""

    def encode(self, proposal: Proposal) -> Sequence[float]:
        """Genes of a proposal."""

    def decode(self, genes: Sequence[float]) -> Proposal:
        """What genes stand for."""


@dataclass(frozen=True)
class CoefficientBounds:
    """Box in which coefficients live; implements `moo.algorithms.nsga2.Genome`.

    A coefficient whose lowest and highest value are equal is fixed and has no gene.
    """

    alpha: Bounds
    beta: Bounds
    gamma: Bounds
    delta: Bounds

    @property
    def lower(self) -> tuple[float, ...]:
        """Lower bounds of the genes: one for each coefficient that is not fixed."""
        return tuple(self._scaled(name)[0] for name in self._free)

    @property
    def upper(self) -> tuple[float, ...]:
        """Upper bounds of the same genes."""
        return tuple(self._scaled(name)[1] for name in self._free)

    def encode(self, coefficients: Coefficients) -> tuple[float, ...]:
        """The genes of coefficients."""
        values = ((name, getattr(coefficients, name)) for name in self._free)
        return tuple(math.log10(value) if name in _WEIGHTS else value for name, value in values)

    def decode(self, genes: Sequence[float]) -> Coefficients:
        """Coefficients of a genome."""
        known = {name: getattr(self, name)[0] for name in _NAMES}
        for name, gene in zip(self._free, genes, strict=True):
            known[name] = 10 ** float(gene) if name in _WEIGHTS else float(gene)
        return Coefficients(**known)

    @property
    def _free(self) -> tuple[str, ...]:
        return tuple(name for name in _NAMES if getattr(self, name)[0] < getattr(self, name)[1])

    def _scaled(self, name: str) -> Bounds:
        low, high = getattr(self, name)
        return (math.log10(low), math.log10(high)) if name in _WEIGHTS else (low, high)


@dataclass(frozen=True)
class ConfiguredGenome:
    """A genome with one more gene, which is the runtime configuration; implements `moo.algorithms.nsga2.Genome`."""

    genome: Genome[Any]
    configurations: tuple[RuntimeConfiguration, ...]
    real: bool = True
    """Whether the other genes are real numbers; then a configuration's gene is one whose integral part is its index,
    else the index itself."""

    @property
    def lower(self) -> tuple[float, ...]:
        """Lower bounds of the genes."""
        return (*self.genome.lower, 0)

    @property
    def upper(self) -> tuple[float, ...]:
        """Upper bounds of the genes."""
        return (*self.genome.upper, len(self.configurations) - (1e-9 if self.real else 1))

    def encode(self, proposal: ConfiguredProposal) -> tuple[float, ...]:
        """The genes of a proposal."""
        index = self.configurations.index(proposal.configuration)
        return (*self.genome.encode(proposal.proposal), index + 0.5 if self.real else index)

    def decode(self, genes: Sequence[float]) -> ConfiguredProposal:
        """The proposal of a genome."""
        *own, last = genes
        return ConfiguredProposal(self.genome.decode(own), self.configurations[int(last)])


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
