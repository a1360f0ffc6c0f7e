"""Methods that search a table whose accuracies are counted, each a function of task, look-ups and random numbers.

Shape suffixes: C candidates, L layers, M objectives, N architectures, O operators, T thetas.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from benchmarks.tabular.table import (
    HIGHEST_ERROR,
    SHAPE,
    Floats,
    Integers,
    LookUps,
    TabularExpectation,
    all_architectures,
)
from dnas.surrogate import Hyperparameters, ScoreScale, fit_surrogate
from dnas.surrogate_search import AS_THEY_ARE, ExpectedCost, SurrogateSearchSettings, search_thetas
from moo.algorithms.acquisition import EvaluatedArchitectures
from moo.algorithms.base import SurrogateProposal
from moo.algorithms.genomes import ArchitectureGenome, CoefficientBounds
from moo.algorithms.nsga2 import Evolution, categorical_variation
from moo.algorithms.surrogate_assisted import SurrogateAssistedSettings, candidates_of, propose

BOUNDS = CoefficientBounds(alpha=(0.003, 30.0), beta=(0.3, 2.0), gamma=(0.003, 30.0), delta=(0.3, 2.0))
FIRST_LOOKUPS = 40
"""Random architectures that the first surrogate is fitted to."""
LOOKUPS_IN_ROUND = 10
"""Architectures paid for between two fits."""
FIRST_ITERATIONS, LATER_ITERATIONS = 40, 15
"""Of fits from the prior, and from an earlier fit."""
POPULATION = 20
"""Of NSGA-II, on architectures and, with exact gradients, on coefficients."""
SEARCH = SurrogateSearchSettings()
"""Of theta, as in a search."""
ORACLE_SAMPLES = 4
"""Architectures paid for besides the mode of each theta, where gradients are exact."""


@dataclass(frozen=True)
class Task:
    """What a method may know: the costs."""

    costs: tuple[ExpectedCost, ...]
    cost_NC: Floats

    def objectives(self, indices: tuple[int, ...], lookups: LookUps) -> tuple[float, float, float]:
        """Error, which is paid for, and costs; 0 stands for a missing second one."""
        costs = [*self.cost_NC[np.ravel_multi_index(indices, SHAPE)], 0.0]
        return lookups.error_of(indices), float(costs[0]), float(costs[1])


Method = Callable[[Task, LookUps, np.random.Generator], None]
"""Looks up until nothing is left, or BudgetSpentError ends it."""


def surrogate_assisted(task: Task, lookups: LookUps, rng: np.random.Generator) -> None:
    """The project's search: coefficients evolve on a surrogate of what was paid for, in rounds."""
    _in_rounds(task, lookups, rng, behind=False)


def one_round_behind(task: Task, lookups: LookUps, rng: np.random.Generator) -> None:
    """The same where each round is chosen while the one before it is paid for, as with `--propose-beside`."""
    _in_rounds(task, lookups, rng, behind=True)


def _in_rounds(task: Task, lookups: LookUps, rng: np.random.Generator, *, behind: bool) -> None:
    everything_NL = all_architectures()
    order_N = rng.permutation(len(everything_NL))
    error_of = {
        tuple(indices): lookups.error_of(indices) for indices in everything_NL[order_N[:FIRST_LOOKUPS]].tolist()
    }
    start: Hyperparameters | None = None
    pending: list[tuple[int, ...]] = []
    while lookups.left:
        evaluated = EvaluatedArchitectures(np.array(list(error_of)), np.array(list(error_of.values())))
        surrogate = fit_surrogate(
            evaluated.indices_NL,
            evaluated.error_N,
            num_operators=SHAPE[0],
            start=start,
            iterations=FIRST_ITERATIONS if start is None else LATER_ITERATIONS,
        )
        start = surrogate.hyperparameters
        counted_N = evaluated.error_N[evaluated.error_N < HIGHEST_ERROR]
        choices = propose(
            surrogate,
            AS_THEY_ARE,
            [task.costs],
            evaluated.with_expected(surrogate, np.array(pending)) if pending else evaluated,
            BOUNDS,
            reference_M=np.array([1.05 * counted_N.max(initial=0.1), *task.cost_NC.max(0)]),
            num_operators=SHAPE[0],
            count=min(LOOKUPS_IN_ROUND, lookups.left),
            settings=SurrogateAssistedSettings(search=SEARCH),
            rng=rng,
        )
        chosen = [choice.indices for choice in choices if isinstance(choice, SurrogateProposal)] or [
            tuple(rng.choice(everything_NL).tolist())
        ]
        now, pending = (pending, chosen) if behind else (chosen, [])
        error_of |= {indices: lookups.error_of(indices) for indices in now}


def nsga2_on_architectures(task: Task, lookups: LookUps, rng: np.random.Generator) -> None:
    """NSGA-II whose genes are the operators of the edges."""
    evolution = Evolution(
        ArchitectureGenome(len(SHAPE), SHAPE[0]),
        population=POPULATION,
        seed=int(rng.integers(2**31)),
        variation=categorical_variation(),
    )
    while lookups.left:
        asked = evolution.ask(POPULATION) or [tuple(rng.integers(SHAPE).tolist())]
        evolution.tell([(indices, task.objectives(indices, lookups)) for indices in asked])


def random_search(task: Task, lookups: LookUps, rng: np.random.Generator) -> None:
    """Different architectures, all equally likely."""
    for indices in all_architectures()[rng.permutation(np.prod(SHAPE))].tolist():
        lookups.error_of(indices)


class _ExactModel:
    """The expected score over the whole table: more than a search can know. Only its gradient is used."""

    def __init__(self, error_N: Floats) -> None:
        self._error_N = error_N
        self._expectation = TabularExpectation(ScoreScale.of(error_N).scores(error_N))

    def expected_score(self, probs_TLO: Tensor) -> Tensor:
        """See `moo.algorithms.acquisition.AccuracyModel`."""
        return self._expectation(probs_TLO)

    def predict(self, indices_CL: Integers) -> tuple[Floats, Floats]:
        """See `moo.algorithms.acquisition.AccuracyModel`."""
        error_C = self._error_N[np.ravel_multi_index(tuple(indices_CL.T), SHAPE)]
        return error_C, np.zeros(len(error_C))

    def sample_errors(self, indices_CL: Integers, count: int, rng: np.random.Generator) -> Floats:
        """See `moo.algorithms.acquisition.AccuracyModel`."""
        return np.repeat(self.predict(indices_CL)[0][None], count, 0)


def oracle_gradient(error_N: Floats) -> Method:
    """NSGA-II on coefficients whose inner searches have exact gradients; mode and all samples are paid for."""
    model = _ExactModel(error_N)

    def search(task: Task, lookups: LookUps, rng: np.random.Generator) -> None:
        evolution = Evolution(BOUNDS, population=POPULATION, seed=int(rng.integers(2**31)))
        while lookups.left:
            asked = evolution.ask(POPULATION)
            theta_TLO = search_thetas(model, AS_THEY_ARE, task.costs, asked, (len(SHAPE), SHAPE[0]), SEARCH, rng)
            outcomes = []
            for coefficients, theta_LO in zip(asked, theta_TLO, strict=True):
                drawn_CL, _ = candidates_of(theta_LO[None], ORACLE_SAMPLES, rng)
                objectives = [task.objectives(tuple(indices), lookups) for indices in drawn_CL.tolist()]
                outcomes.append((coefficients, objectives[0]))
            evolution.tell(outcomes)

    return search


METHODS: dict[str, Method] = {
    "surrogate-assisted": surrogate_assisted,
    "NSGA-II on architectures": nsga2_on_architectures,
    "random search": random_search,
}
"""Methods that know what a search can know."""
