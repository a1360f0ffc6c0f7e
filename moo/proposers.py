"""What a search tries next: the project's own method and its rivals, under one interface. Start with `proposer_of`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from dnas.losses import Coefficients
from moo.config import SearchConfig
from moo.evolution import Evolution, categorical_variation
from moo.genomes import CoefficientBounds, bounds_of, genome_of
from moo.jobs import ArchitectureJob, Indices, Objectives, SearchJob, TupleJob
from search_space.spaces import FBNetSpace

Proposal = Coefficients | Indices
"""A tuple for an inner search, or an architecture to evaluate as it is."""


class Proposer(Protocol):
    """Proposes what to try."""

    def ask(self, count: int) -> Sequence[Proposal]:
        """New proposals; fewer than asked for, or none, where it has no more."""

    def tell(self, outcomes: Sequence[tuple[Proposal, Objectives | None]]) -> None:
        """What proposals came to; `None` for one that failed."""


class RandomTuples:
    """Tuples drawn uniformly from the box of the genome; learns nothing."""

    def __init__(self, bounds: CoefficientBounds, *, seed: int) -> None:
        self._bounds = bounds
        self._rng = np.random.default_rng(seed)

    def ask(self, count: int) -> list[Coefficients]:
        """See `Proposer.ask`."""
        genes = self._rng.uniform(self._bounds.lower, self._bounds.upper, (count, len(self._bounds.lower)))
        return [self._bounds.decode(row) for row in genes]

    def tell(self, outcomes: Sequence[tuple[Proposal, Objectives | None]]) -> None:
        """See `Proposer.tell`."""


class Grid:
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
        """See `Proposer.ask`."""
        return list(itertools.islice(self._left, count))

    def tell(self, outcomes: Sequence[tuple[Proposal, Objectives | None]]) -> None:
        """See `Proposer.tell`."""


def proposer_of(config: SearchConfig, space: FBNetSpace, *, start: int = 0) -> Proposer:
    """The proposer of a run's method.

    Args:
        config: names the method, its bounds and seed.
        space: of the architectures.
        start: how many proposals were made before, where an asynchronous run goes on.
    """
    seed = int(np.random.SeedSequence(config.seed, spawn_key=(2,)).generate_state(1)[0])
    bounds = bounds_of(config)
    proposer: Proposer
    size = generation_size(config)
    match config.method:
        case "dnas":
            tuples: Evolution[Any] = Evolution(bounds, population=size, seed=seed + start)
            return tuples
        case "architectures":
            architectures: Evolution[Any] = Evolution(
                genome_of(space), population=size, seed=seed + start, variation=categorical_variation()
            )
            return architectures
        case "random":
            proposer = RandomTuples(bounds, seed=seed)
        case "grid":
            proposer = Grid(bounds, points=config.population * config.generations, seed=seed)
    proposer.ask(start)
    return proposer


def generation_size(config: SearchConfig) -> int:
    """Proposals in a generation.

    Where architectures are proposed there are as many of them as the inner searches of a generation would evaluate.
    """
    return config.population * (config.samples + 1 if config.method == "architectures" else 1)


def job_of(proposal: Proposal, *, number: int, generation: int) -> SearchJob:
    """The job that tries a proposal."""
    if isinstance(proposal, Coefficients):
        return TupleJob(number, generation, proposal)
    return ArchitectureJob(number, generation, proposal)


def proposal_of(job: SearchJob) -> Proposal:
    """What a job tries."""
    return job.coefficients if isinstance(job, TupleJob) else job.indices
