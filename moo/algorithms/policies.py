"""NSGA-II over vectors of choices that are judged in batches, in memory. Start with `evolve_choices`.

Unlike the evolutions of the outer loop it judges as it goes, and ends after a number of evaluations.
Array shapes: A individuals, G genes, M objectives.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import Problem
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.sampling.rnd import IntegerRandomSampling

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
POPULATION = 100
ATTEMPTS = 20
"""Generations without anything new, after which evolution ends."""


@dataclass(frozen=True, slots=True, eq=False)
class Choices:
    """What may be chosen: gene g is a whole number from 0 to `options[g] - 1`."""

    options: tuple[int, ...]
    ordered: tuple[bool, ...]
    """Whether neighbouring numbers of a gene mean similar things."""


@dataclass(frozen=True, slots=True, eq=False)
class JudgedChoices:
    """All individuals that were judged and are allowed, in the order of their judgement; none comes twice."""

    choices_AG: Integers
    objectives_AM: Floats


Judge = Callable[[Integers], tuple[Floats, npt.NDArray[np.bool_]]]
"""From choices (A, G) to objectives (A, M), which are minimised, and whether each is allowed (A,)."""


def evolve_choices(
    choices: Choices, judge: Judge, *, objectives: int, evaluations: int, seed: int, population: int = POPULATION
) -> JudgedChoices:
    """Evolve choices until the evaluations are used up.

    Ordered genes have simulated binary crossover and polynomial mutation, rounded; of others a child takes one
    parent's, and draws it anew with a probability of one in the number of genes. What is not allowed is dominated by
    all that is.

    Source: Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II" (2002), by way of pymoo.

    Args:
        choices: the genes.
        judge: what they come to; it is never given an individual twice.
        objectives: M.
        evaluations: individuals that are judged, at most; fewer where variation gives nothing new any more.
        seed: of all random numbers.
        population: individuals that survive a generation.

    Raises:
        ValueError: if there is nothing to choose, or no evaluation.
    """
    if not choices.options or min(choices.options) < 1 or evaluations < 1:
        raise ValueError(
            f"there must be genes with options and `evaluations >= 1`, but got {choices.options} and {evaluations=}."
        )
    evaluations = min(evaluations, math.prod(choices.options))
    highest = np.array(choices.options) - 1
    problem = Problem(n_var=len(highest), n_obj=objectives, n_ieq_constr=1, xl=np.zeros(len(highest)), xu=highest)
    ordered = np.array(choices.ordered)
    algorithm = NSGA2(
        pop_size=min(population, evaluations),
        sampling=IntegerRandomSampling(),
        crossover=_Crossover(ordered),
        mutation=_Mutation(ordered),
    )
    algorithm.setup(problem, termination=("n_gen", 10**9), seed=seed)
    known: dict[bytes, tuple[Floats, bool]] = {}
    judged, values, barren = [], [], 0
    while len(known) < evaluations and barren < ATTEMPTS:
        infills = algorithm.ask()
        if infills is None:
            # In a hundred attempts of pymoo's, nothing that the population does not have.
            break
        asked_AG = np.rint(infills.get("X")).astype(np.int64)
        keys = [row.tobytes() for row in asked_AG]
        fresh = list({key: place for place, key in reversed(list(enumerate(keys))) if key not in known}.values())[::-1]
        fresh = fresh[: evaluations - len(known)]
        barren = 0 if fresh else barren + 1
        if fresh:
            objectives_AM, allowed_A = judge(asked_AG[fresh])
            known |= {
                keys[place]: (own_M, bool(allowed))
                for place, own_M, allowed in zip(fresh, objectives_AM, allowed_A, strict=True)
            }
            judged.append(asked_AG[fresh][allowed_A])
            values.append(objectives_AM[allowed_A])
        told = infills[[place for place, key in enumerate(keys) if key in known]]
        results = [known[key] for key in keys if key in known]
        for individual, (own_M, allowed) in zip(told, results, strict=True):
            individual.set("F", own_M)
            individual.set("G", np.array([0.0 if allowed else 1.0]))
            individual.evaluated.update({"F", "G", "H"})
        algorithm.tell(infills=told)
    return JudgedChoices(np.concatenate(judged), np.concatenate(values))


class _Crossover(SBX):  # type: ignore[misc]
    def __init__(self, ordered_G: npt.NDArray[np.bool_]) -> None:
        # As pymoo's NSGA-II has it.
        super().__init__(eta=15, prob=0.9)
        self._ordered_G = ordered_G

    def _do(self, problem: Any, X: npt.NDArray[Any], *args: Any, random_state: Any = None, **other: Any) -> Any:
        crossed = np.rint(super()._do(problem, X.astype(float), *args, random_state=random_state, **other))
        swapped = random_state.random(X.shape[1:]) < 0.5
        crossed[0] = np.where(self._ordered_G, crossed[0], np.where(swapped, X[1], X[0]))
        crossed[1] = np.where(self._ordered_G, crossed[1], np.where(swapped, X[0], X[1]))
        return crossed


class _Mutation(PM):  # type: ignore[misc]
    def __init__(self, ordered_G: npt.NDArray[np.bool_]) -> None:
        super().__init__(eta=20)
        self._ordered_G = ordered_G

    def _do(self, problem: Any, X: npt.NDArray[Any], *args: Any, random_state: Any = None, **other: Any) -> Any:
        mutated = np.rint(super()._do(problem, X.astype(float), *args, random_state=random_state, **other))
        drawn = random_state.integers(0, problem.xu.astype(int) + 1, size=X.shape)
        anew = random_state.random(X.shape) < 1 / X.shape[1]
        return np.where(self._ordered_G, mutated, np.where(anew, drawn, X))
