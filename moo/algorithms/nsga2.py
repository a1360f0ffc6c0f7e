"""NSGA-II over a genome, by ask and tell, for whole generations or for one individual at a time.

Its state is never saved: a resumed run with generations asks and tells again from the store, which gives the same
generations, as all its random numbers come from one seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.individual import Individual
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.operators.crossover.ux import UniformCrossover
from pymoo.operators.sampling.lhs import LHS
from pymoo.operators.sampling.rnd import IntegerRandomSampling

from moo.trials import Objectives

ATTEMPTS = 20
"""How often variation is tried where it gives nothing but what was asked for before."""
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


class Evolution(Generic[Proposal]):
    """NSGA-II.

    Source: Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II" (2002), by way of pymoo.
    """

    def __init__(
        self, genome: Genome[Proposal], *, population: int, seed: int, variation: dict[str, Any] | None = None
    ) -> None:
        """Begin.

        Args:
            genome: what is evolved.
            population: individuals that survive a generation.
            seed: of all random numbers.
            variation: sampling, crossover and mutation, as pymoo names them; by default a Latin hypercube, simulated
                binary crossover and polynomial mutation, for real genes. For others see `categorical_variation`.
        """
        self._genome = genome
        lower, upper = np.array(genome.lower), np.array(genome.upper)
        problem = Problem(n_var=len(lower), n_obj=3, xl=lower, xu=upper)
        self._algorithm = NSGA2(pop_size=population, **(variation or {"sampling": LHS()}))
        self._algorithm.setup(problem, termination=("n_gen", 10**9), seed=seed)
        self._first: list[Individual] = []
        self._asked: dict[Proposal, Individual] = {}
        self._seen: set[Proposal] = set()

    def ask(self, count: int) -> list[Proposal]:
        """New proposals: `count` of them, or fewer where variation gives only what was asked for before."""
        proposals: list[Proposal] = []
        for _ in range(ATTEMPTS):
            for individual in self._individuals(count - len(proposals)):
                proposal = self._genome.decode(individual.X)
                if proposal not in self._seen:
                    self._seen.add(proposal)
                    self._asked[proposal] = individual
                    proposals.append(proposal)
            if len(proposals) == count:
                break
        return proposals

    def tell(self, outcomes: Sequence[tuple[Proposal, Objectives | None]]) -> None:
        """What proposals came to, of a generation or of some of it, or of an earlier process; `None`: it failed.

        A failed one takes no part in the selection; it is never given made-up objectives.
        """
        survivors = []
        for proposal, objectives in outcomes:
            self._seen.add(proposal)
            individual = self._asked.pop(proposal, None)
            if individual is None:
                individual = Individual(X=np.array(self._genome.encode(proposal)))
            if objectives is not None:
                individual.set("F", np.array(objectives, float))
                individual.evaluated.update({"F", "G", "H"})
                survivors.append(individual)
        # pymoo takes all of the first ones into the population, however many they are.
        first = 0 if self._algorithm.is_initialized else self._algorithm.pop_size
        for part in (survivors[:first], survivors[first:]):
            if part:
                self._algorithm.tell(infills=Population.create(*part))

    @property
    def genes(self) -> npt.NDArray[np.float64]:
        """Genomes of the current population, shape (population, genes)."""
        return np.asarray(self._algorithm.pop.get("X"), np.float64)

    def _individuals(self, count: int) -> list[Individual]:
        """At most `count`: from initial samples until these are used up and something was told, then children."""
        if not self._first and not self._algorithm.is_initialized:
            self._first = list(self._algorithm.ask())
        if self._first:
            chosen, self._first = self._first[:count], self._first[count:]
            return chosen
        self._algorithm.n_offsprings = count
        children = self._algorithm.ask()
        return [] if children is None else list(children)[:count]


def categorical_variation() -> dict[str, Any]:
    """Sampling, crossover and mutation of genes that are indices into choices, whose order means nothing."""
    return {"sampling": IntegerRandomSampling(), "crossover": UniformCrossover(), "mutation": _RandomChoice()}


class _RandomChoice(Mutation):  # type: ignore[misc]
    """Draws each gene anew with a probability of one in the number of genes."""

    def _do(self, problem: Any, X: npt.NDArray[Any], random_state: Any = None, **_: Any) -> npt.NDArray[Any]:
        drawn = random_state.integers(problem.xl, problem.xu + 1, size=X.shape)
        return np.where(random_state.random(X.shape) < 1 / X.shape[1], drawn, X)
