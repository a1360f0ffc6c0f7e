"""NSGA-II over the genome, by ask and tell.

Its state is never saved: a resumed run asks and tells again from the store, which gives the same generations,
as all its random numbers come from one seed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.population import Population
from pymoo.core.problem import Problem

from dnas.losses import Coefficients
from moo.coefficients import CoefficientBounds

Objectives = tuple[float, float, float]
"""Error, latency in ms, energy in mJ."""


class Evolution:
    """NSGA-II, one generation at a time.

    Source: Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II" (2002), by way of pymoo.
    """

    def __init__(self, bounds: CoefficientBounds, *, population: int, seed: int) -> None:
        self._bounds = bounds
        problem = Problem(n_var=4, n_obj=3, xl=np.array(bounds.lower), xu=np.array(bounds.upper))
        self._algorithm = NSGA2(pop_size=population, sampling=_latin_hypercube())
        self._algorithm.setup(problem, termination=("n_gen", 10**9), seed=seed)
        self._asked: Population | None = None

    def ask(self) -> list[Coefficients]:
        """The next generation's coefficients."""
        self._asked = self._algorithm.ask()
        if self._asked is None:
            return []
        return [self._bounds.decode(genes) for genes in self._asked.get("X")]

    def tell(self, objectives: Sequence[Objectives | None]) -> None:
        """Objectives of the generation that was asked for, in its order; `None` for one that failed.

        A failed tuple takes no part in the selection; it is never given made-up objectives.

        Raises:
            ValueError: if the number of objectives is not that of the generation, or all failed.
        """
        asked = self._asked
        if asked is None or len(objectives) != len(asked):
            expected = 0 if asked is None else len(asked)
            raise ValueError(f"a generation must get {expected} objectives, but got {len(objectives)}.")
        kept = [index for index, values in enumerate(objectives) if values is not None]
        if not kept:
            raise ValueError("at least one tuple of a generation must have objectives, but all failed.")
        survivors = asked[np.array(kept)]
        survivors.set("F", np.array([objectives[index] for index in kept], float))
        for individual in survivors:
            individual.evaluated.update({"F", "G", "H"})
        self._algorithm.tell(infills=survivors)
        self._asked = None

    @property
    def genes(self) -> npt.NDArray[np.float64]:
        """Genomes of the current population, shape (population, 4)."""
        return np.asarray(self._algorithm.pop.get("X"), np.float64)


def _latin_hypercube() -> object:
    from pymoo.operators.sampling.lhs import LHS

    return LHS()
