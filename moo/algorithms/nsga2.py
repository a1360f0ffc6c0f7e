"""NSGA-II over a genome, by ask and tell, for whole generations or for one individual at a time.

Its state is never saved: a resumed run with generations asks and tells again from the store, which gives the same
generations, as all its random numbers come from one seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.individual import Individual
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.crossover.ux import UniformCrossover
from pymoo.operators.mutation.pm import PM
from pymoo.operators.sampling.lhs import LHS
from pymoo.operators.sampling.rnd import IntegerRandomSampling

from moo.algorithms.genomes import Genome
from moo.trials import Objectives

ATTEMPTS = 20
"""How often variation is tried where it gives nothing but what was asked for before."""
Proposal = TypeVar("Proposal")


class Evolution(Generic[Proposal]):
    """NSGA-II.

    Source: Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II" (2002), by way of pymoo.
    """

    def __init__(
        self,
        genome: Genome[Proposal],
        *,
        population: int,
        seed: int,
        variation: dict[str, Any] | None = None,
        constrained: bool = False,
    ) -> None:
        """Begin.

        Args:
            genome: what is evolved.
            population: individuals that survive a generation.
            seed: of all random numbers.
            variation: sampling, crossover and mutation, as pymoo names them; by default a Latin hypercube, simulated
                binary crossover and polynomial mutation, for real genes. For others see `categorical_variation` and
                `configured_variation`.
            constrained: whether proposals come with violations of limits: what keeps them is preferred to what does
                not, as in section VI of the source.
        """
        self._genome = genome
        lower, upper = np.array(genome.lower), np.array(genome.upper)
        self._constrained = constrained
        problem = Problem(n_var=len(lower), n_obj=3, n_ieq_constr=int(constrained), xl=lower, xu=upper)
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

    def tell(
        self, outcomes: Sequence[tuple[Proposal, Objectives | None]], violations: Sequence[float] | None = None
    ) -> None:
        """What proposals came to, of a generation or of some of it, or of an earlier process; `None`: it failed.

        A failed one takes no part in the selection; it is never given made-up objectives.

        Args:
            outcomes: proposals with their objectives.
            violations: of limits, one for each; for a constrained evolution.
        """
        survivors = []
        exceeded = violations or [0.0] * len(outcomes)
        for (proposal, objectives), violation in zip(outcomes, exceeded, strict=True):
            self._seen.add(proposal)
            individual = self._asked.pop(proposal, None)
            if individual is None:
                individual = Individual(X=np.array(self._genome.encode(proposal)))
            if objectives is not None:
                individual.set("F", np.array(objectives, float))
                if self._constrained:
                    individual.set("G", np.array([violation]))
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


class FixedProposal(Generic[Proposal]):
    """The only proposal of a genome without genes; implements `moo.algorithms.base.Algorithm`."""

    def __init__(self, genome: Genome[Proposal]) -> None:
        self._left = [genome.decode(())]

    def ask(self, count: int) -> list[Proposal]:
        """It, and then nothing."""
        asked, self._left = self._left[:count], self._left[count:]
        return asked

    def tell(
        self, outcomes: Sequence[tuple[Proposal, Objectives | None]], violations: Sequence[float] | None = None
    ) -> None:
        """See `Algorithm.tell`."""


def configured_variation() -> dict[str, Any]:
    """Sampling, crossover and mutation of real genes and, as the last one, the index of a configuration."""
    return {"sampling": LHS(), "crossover": _ConfiguredCrossover(), "mutation": _ConfiguredMutation()}


class _ConfiguredCrossover(SBX):  # type: ignore[misc]
    """Simulated binary crossover; of the last gene, whose order means nothing, each child takes one parent's."""

    def __init__(self) -> None:
        # As pymoo's NSGA-II has it.
        super().__init__(eta=15, prob=0.9)

    def _do(self, problem: Any, X: npt.NDArray[Any], *args: Any, random_state: Any = None, **other: Any) -> Any:
        crossed = super()._do(problem, X, *args, random_state=random_state, **other)
        swapped = random_state.random(X.shape[1]) < 0.5
        crossed[0, :, -1] = np.where(swapped, X[1, :, -1], X[0, :, -1])
        crossed[1, :, -1] = np.where(swapped, X[0, :, -1], X[1, :, -1])
        return crossed


class _ConfiguredMutation(PM):  # type: ignore[misc]
    """Polynomial mutation; the last gene is drawn anew with a probability of one in the number of genes."""

    def __init__(self) -> None:
        super().__init__(eta=20)

    def _do(self, problem: Any, X: npt.NDArray[Any], *args: Any, random_state: Any = None, **other: Any) -> Any:
        mutated = super()._do(problem, X, *args, random_state=random_state, **other)
        drawn = random_state.uniform(problem.xl[-1], problem.xu[-1], len(X))
        mutated[:, -1] = np.where(random_state.random(len(X)) < 1 / X.shape[1], drawn, X[:, -1])
        return mutated


def categorical_variation() -> dict[str, Any]:
    """Sampling, crossover and mutation of genes that are indices into choices, whose order means nothing."""
    return {"sampling": IntegerRandomSampling(), "crossover": UniformCrossover(), "mutation": _RandomChoice()}


class _RandomChoice(Mutation):  # type: ignore[misc]
    """Draws each gene anew with a probability of one in the number of genes."""

    def _do(self, problem: Any, X: npt.NDArray[Any], random_state: Any = None, **_: Any) -> npt.NDArray[Any]:
        drawn = random_state.integers(problem.xl, problem.xu + 1, size=X.shape)
        return np.where(random_state.random(X.shape) < 1 / X.shape[1], drawn, X)
