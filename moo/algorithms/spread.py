"""Architectures at random, from the cheapest to the most costly: what a search on a surrogate begins with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from moo.algorithms.base import Proposal
from moo.trials import Indices, Objectives
from search_space.block_graph import count_tables
from search_space.spaces import FBNetSpace

DRAWN_FOR_EACH = 50
"""Architectures of which one is kept."""
STEEPEST = 4.0
"""Of the preferences for cheap or costly operators: the dearest of a layer has at most exp(4) times the odds."""


class SpreadArchitectures:
    """Different architectures spread evenly over the logarithm of their multiply-accumulates, in random order.

    Where more are asked for, as many again are drawn, spread as well. Implements `moo.algorithms.base.Algorithm`;
    learns nothing.
    """

    def __init__(self, space: FBNetSpace, count: int, *, seed: int) -> None:
        """Draw none yet.

        Args:
            space: of the architectures.
            count: how many are spread together; fewer where the space has fewer.
            seed: of all random numbers.
        """
        self._rng = np.random.default_rng(seed)
        (self._macs_LO, self._fixed), _ = count_tables(space)
        self._count = count
        self._drawn: dict[Indices, None] = {}
        """All so far, in the order in which they are proposed."""
        self._asked = 0

    def ask(self, count: int) -> Sequence[Indices]:
        """See `Algorithm.ask`."""
        first, self._asked = self._asked, self._asked + count
        while len(self._drawn) < self._asked:
            before = len(self._drawn)
            self._drawn |= dict.fromkeys(self._spread())
            if len(self._drawn) == before:
                # The space has no more.
                break
        asked = tuple(self._drawn)[first : self._asked]
        self._asked = first + len(asked)
        return asked

    def tell(
        self, outcomes: Sequence[tuple[Proposal, Objectives | None]], violations: Sequence[float] | None = None
    ) -> None:
        """See `Algorithm.tell`."""

    def _spread(self) -> list[Indices]:
        """New ones, at most as many as are spread together."""
        scaled_LO = self._macs_LO / np.maximum(self._macs_LO.max(1, keepdims=True), 1)
        tilt_C = self._rng.uniform(-STEEPEST, STEEPEST, DRAWN_FOR_EACH * self._count)
        noise_CLO = self._rng.gumbel(size=(len(tilt_C), *scaled_LO.shape))
        found_CL = np.unique((tilt_C[:, None, None] * scaled_LO + noise_CLO).argmax(-1), axis=0)
        found_CL = found_CL[[tuple(row) not in self._drawn for row in found_CL.tolist()]]
        if not len(found_CL):
            return []
        cost_C = np.log(self._macs_LO[np.arange(len(scaled_LO)), found_CL].sum(-1) + self._fixed)
        chosen: dict[int, None] = {}
        for target in np.linspace(cost_C.min(), cost_C.max(), min(self._count, len(cost_C))):
            order = np.argsort(np.abs(cost_C - target), kind="stable").tolist()
            chosen[next(place for place in order if place not in chosen)] = None
        return [tuple(found_CL[place].tolist()) for place in self._rng.permutation(list(chosen))]
