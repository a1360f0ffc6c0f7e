"""Two rivals that learn nothing: random coefficients, and a grid of fixed linear weights."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from dnas.losses import Coefficients
from moo.algorithms.base import Proposal
from moo.algorithms.genomes import CoefficientBounds
from moo.trials import Objectives


class RandomCoefficients:
    """Coefficients drawn uniformly from the box of the genome; learns nothing."""

    def __init__(self, bounds: CoefficientBounds, *, seed: int) -> None:
        self._bounds = bounds
        self._rng = np.random.default_rng(seed)

    def ask(self, count: int) -> list[Coefficients]:
        """See `Algorithm.ask`."""
        genes = self._rng.uniform(self._bounds.lower, self._bounds.upper, (count, len(self._bounds.lower)))
        return [self._bounds.decode(row) for row in genes]

    def tell(self, outcomes: Sequence[tuple[Proposal, Objectives | None]]) -> None:
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
        alphas, gammas = (np.geomspace(*bound, side) for bound in (bounds.alpha, bounds.gamma))
        grid = [Coefficients(float(alpha), 1.0, float(gamma), 1.0) for alpha in alphas for gamma in gammas]
        order = np.random.default_rng(seed).permutation(len(grid))
        self._left = iter([grid[place] for place in order])

    def ask(self, count: int) -> list[Coefficients]:
        """See `Algorithm.ask`."""
        return list(itertools.islice(self._left, count))

    def tell(self, outcomes: Sequence[tuple[Proposal, Objectives | None]]) -> None:
        """See `Algorithm.tell`."""
