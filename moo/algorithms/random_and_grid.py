"""Two rivals that learn nothing: random coefficients, and a grid of fixed linear weights."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from devices.configuration import RuntimeConfiguration
from dnas.losses import Coefficients
from moo.algorithms.base import Algorithm, ConfiguredProposal, Proposal
from moo.algorithms.genomes import Bounds, CoefficientBounds
from moo.trials import Objectives

Floats = npt.NDArray[np.float64]


class RandomCoefficients:
    """Coefficients drawn uniformly from the box of the genome; learns nothing."""

    def __init__(self, bounds: CoefficientBounds, *, seed: int) -> None:
        self._bounds = bounds
        self._rng = np.random.default_rng(seed)

    def ask(self, count: int) -> list[Coefficients]:
        """See `Algorithm.ask`."""
        shape = (count, len(self._bounds.lower))
        genes = self._rng.uniform(self._bounds.lower, self._bounds.upper, shape)
        return [self._bounds.decode(row) for row in genes]

    def tell(
        self, outcomes: Sequence[tuple[Proposal, Objectives | None]], violations: Sequence[float] | None = None
    ) -> None:
        """See `Algorithm.tell`."""


class CoefficientGrid:
    """Fixed linear weights: a square grid of alpha and gamma, evenly spaced in their logarithms, beta = delta = 1.

    This is how scalarised searches are run by hand. Points are visited in random order, so that a run that ends early
    has seen the whole range.
    """

    def __init__(self, bounds: CoefficientBounds, *, points: int, seed: int) -> None:
        """Lay out the grid.

        Args:
            bounds: of alpha and gamma.
            points: how many are wanted; the grid has the next square number.
            seed: of the order.
        """
        side = math.ceil(math.sqrt(points))
        alphas, gammas = (_spaced(bound, side) for bound in (bounds.alpha, bounds.gamma))
        grid = [Coefficients(float(alpha), 1.0, float(gamma), 1.0) for alpha in alphas for gamma in gammas]
        order = np.random.default_rng(seed).permutation(len(grid))
        self._left = iter([grid[place] for place in order])

    def ask(self, count: int) -> list[Coefficients]:
        """See `Algorithm.ask`."""
        return list(itertools.islice(self._left, count))

    def tell(
        self, outcomes: Sequence[tuple[Proposal, Objectives | None]], violations: Sequence[float] | None = None
    ) -> None:
        """See `Algorithm.tell`."""


def _spaced(bound: Bounds, count: int) -> Floats:
    low, high = bound
    return np.array([low]) if low == high else np.geomspace(low, high, count)


class AssignedConfigurations:
    """Gives each proposal of an algorithm that knows no configurations one of them, all equally often."""

    def __init__(self, algorithm: Algorithm, configurations: Sequence[RuntimeConfiguration], *, seed: int) -> None:
        """An algorithm, with configurations.

        Args:
            algorithm: whose proposals are plain.
            configurations: at least two.
            seed: of the order.
        """
        self._algorithm = algorithm
        self._configurations = tuple(configurations)
        self._rng = np.random.default_rng(seed)
        self._waiting: list[RuntimeConfiguration] = []

    def ask(self, count: int) -> list[Proposal]:
        """See `Algorithm.ask`."""
        return [self._with_configuration(proposal) for proposal in self._algorithm.ask(count)]

    def tell(
        self, outcomes: Sequence[tuple[Proposal, Objectives | None]], violations: Sequence[float] | None = None
    ) -> None:
        """See `Algorithm.tell`."""
        plain = [
            (proposal.proposal if isinstance(proposal, ConfiguredProposal) else proposal, objectives)
            for proposal, objectives in outcomes
        ]
        self._algorithm.tell(plain, violations)

    def _with_configuration(self, proposal: Proposal) -> ConfiguredProposal:
        assert not isinstance(proposal, ConfiguredProposal), "the algorithm must know no configurations"
        if not self._waiting:
            self._waiting = [self._configurations[place] for place in self._rng.permutation(len(self._configurations))]
        return ConfiguredProposal(proposal, self._waiting.pop())
