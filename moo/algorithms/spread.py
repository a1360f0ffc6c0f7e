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

    Implements `moo.algorithms.base.Algorithm`; learns nothing.
    """

    def __init__(self, space: FBNetSpace, count: int, *, seed: int) -> None:
        """Draw them.

        Args:
            space: of the architectures.
            count: how many; fewer where the space has fewer.
            seed: of all random numbers.
        """
        rng = np.random.default_rng(seed)
        (macs_LO, fixed), _ = count_tables(space)
        scaled_LO = macs_LO / np.maximum(macs_LO.max(1, keepdims=True), 1)
        tilt_C = rng.uniform(-STEEPEST, STEEPEST, DRAWN_FOR_EACH * count)
        noise_CLO = rng.gumbel(size=(len(tilt_C), *macs_LO.shape))
        drawn_CL = np.unique((tilt_C[:, None, None] * scaled_LO + noise_CLO).argmax(-1), axis=0)
        cost_C = np.log(macs_LO[np.arange(len(macs_LO)), drawn_CL].sum(-1) + fixed)
        targets = np.linspace(cost_C.min(), cost_C.max(), count)
        chosen: dict[int, None] = {}
        for target in targets:
            order = np.argsort(np.abs(cost_C - target), kind="stable").tolist()
            nearest = next((place for place in order if place not in chosen), None)
            if nearest is not None:
                chosen[nearest] = None
        places = rng.permutation(list(chosen))
        self._left: list[Indices] = [tuple(drawn_CL[place].tolist()) for place in places]

    def ask(self, count: int) -> Sequence[Indices]:
        """See `Algorithm.ask`."""
        asked, self._left = self._left[:count], self._left[count:]
        return asked

    def tell(
        self, outcomes: Sequence[tuple[Proposal, Objectives | None]], violations: Sequence[float] | None = None
    ) -> None:
        """See `Algorithm.tell`."""
