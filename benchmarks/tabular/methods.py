"""Methods that search a table whose accuracies are counted, each a function of task, look-ups and random numbers.

Shape suffixes: C candidates, L layers, M objectives, N architectures, O operators, T thetas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from benchmarks.tabular.inputs import CellInputs, places_of
from benchmarks.tabular.table import (
    HIGHEST_ERROR,
    SHAPE,
    Floats,
    LookUps,
    TabularExpectation,
    all_architectures,
)
from dnas.surrogate import Hyperparameters, ScoreScale, fit_surrogate
from dnas.surrogate_search import AS_THEY_ARE, ExpectedCost, SurrogateSearchSettings, search_thetas
from moo.algorithms.base import SurrogateProposal
from moo.algorithms.genomes import ArchitectureGenome, CoefficientBounds
from moo.algorithms.nsga2 import Evolution, categorical_variation
from moo.algorithms.surrogate_assisted import (
    CandidateSource,
    CoefficientSearch,
    SurrogateAssistedSettings,
    candidates_of,
    propose,
)
from moo.analysis.contributions import Contribution, contributions, seats_by
from moo.bayesian.process import ITERATIONS, ProcessHyperparameters, fit_process
from moo.bayesian.search import LocalSearch, LocalSearchSettings, PaidSearch
from moo.search.surrogates.task import CANDIDATE_SOURCES

BOUNDS = CoefficientBounds(alpha=(0.003, 30.0), beta=(0.3, 2.0), gamma=(0.003, 30.0), delta=(0.3, 2.0))
FIRST_LOOKUPS = 20
"""Architectures at random that the first surrogate is fitted to, spread over cost."""
LOOKUPS_IN_ROUND = 5
"""Architectures paid for between two choices."""
LATER_ITERATIONS = 15
"""Of fits from an earlier fit."""
REFITTED_AFTER = 1.1
"""So many times the architectures of the last fit, hyper-parameters are fitted anew."""
POPULATION = 20
"""Of NSGA-II, on architectures and, with exact gradients, on coefficients."""
SEARCH = SurrogateSearchSettings()
"""Of theta, as in a search."""
SETTINGS = SurrogateAssistedSettings(search=SEARCH)
ORACLE_SAMPLES = 4
"""Architectures paid for besides the mode of each theta, where gradients are exact."""


@dataclass(frozen=True)
class Task:
    """What a method may know: the costs."""

    costs: tuple[ExpectedCost, ...]
    cost_NC: Floats
    inputs: CellInputs

    def objectives(self, indices: tuple[int, ...], lookups: LookUps) -> tuple[float, float, float]:
        """Error, which is paid for, and costs; 0 stands for a missing second one."""
        costs = [*self.cost_NC[np.ravel_multi_index(indices, SHAPE)], 0.0]
        return lookups.error_of(indices), float(costs[0]), float(costs[1])


Method = Callable[[Task, LookUps, np.random.Generator], None]
"""Looks up until nothing is left, or BudgetSpentError ends it."""


def surrogate_assisted(task: Task, lookups: LookUps, rng: np.random.Generator) -> None:
    """The project's search: coefficients evolve on a surrogate of what was paid for, beside a local search."""
    _in_rounds(task, lookups, rng, coefficients=True)


def one_round_behind(task: Task, lookups: LookUps, rng: np.random.Generator) -> None:
    """The same where each round is chosen while the one before it is paid for, as with `--propose-beside`."""
    _in_rounds(task, lookups, rng, coefficients=True, behind=True)


def bayesian(task: Task, lookups: LookUps, rng: np.random.Generator) -> None:
    """The local search alone, as with `--method bayesian`."""
    _in_rounds(task, lookups, rng, coefficients=False)


def _in_rounds(
    task: Task, lookups: LookUps, rng: np.random.Generator, *, coefficients: bool, behind: bool = False
) -> None:
    error_of = {indices: lookups.error_of(indices) for indices in _spread_over_cost(task, rng)}
    source_of: dict[tuple[int, ...], str] = {}
    start: ProcessHyperparameters | None = None
    theta_start: Hyperparameters | None = None
    fitted = 0
    pending: list[tuple[int, ...]] = []
    while lookups.left:
        indices_NL, error_N = np.array(list(error_of)), np.array(list(error_of.values()))
        # Hyper-parameters change little from round to round.
        iterations = ITERATIONS if start is None else LATER_ITERATIONS * (len(error_of) >= REFITTED_AFTER * fitted)
        fitted = len(error_of) if iterations else fitted
        process = fit_process(task.inputs(indices_NL), error_N, operators=SHAPE[0], start=start, iterations=iterations)
        start = process.hyperparameters
        counted_N = error_N[error_N < HIGHEST_ERROR]
        paid_search = PaidSearch(
            layers=len(SHAPE),
            operators=SHAPE[0],
            describe=task.inputs,
            costs_of=lambda indices: task.cost_NC[places_of(indices)][:, None],
            reference_error=1.05 * counted_N.max(initial=0.1),
            reference_J=task.cost_NC.max(0),
            exists=task.inputs.are_connected,
        )
        searched = None
        if coefficients:
            model = fit_surrogate(
                indices_NL, error_N, num_operators=SHAPE[0], start=theta_start,
                iterations=iterations and (ITERATIONS if theta_start is None else LATER_ITERATIONS),
            )  # fmt: skip
            theta_start = model.hyperparameters
            searched = CoefficientSearch(
                model=model,
                scale=AS_THEY_ARE,
                costs=[task.costs],
                genome=BOUNDS,
                shape=(len(SHAPE), SHAPE[0]),
                settings=SETTINGS,
            )
        known_NL, known_N = indices_NL, error_N
        if pending:
            known_NL = np.concatenate([known_NL, np.array(pending)])
            known_N = np.concatenate([known_N, process.predict(task.inputs(np.array(pending))).errors()[0]])
        local = LocalSearch(paid_search, process, known_NL, known_N, LocalSearchSettings(), rng)
        count = min(LOOKUPS_IN_ROUND, lookups.left)
        seats: dict[CandidateSource, int] = {"neighbours": count}
        if coefficients:
            seats = _seats(task, error_of, source_of, count)
        proposals = propose(local, seats, searched, rng=rng)
        chosen = [proposal.indices for proposal in proposals if isinstance(proposal, SurrogateProposal)]
        source_of |= {
            proposal.indices: "neighbours" if proposal.coefficients is None else "coefficients"
            for proposal in proposals
            if isinstance(proposal, SurrogateProposal)
        }
        chosen = chosen or [tuple(rng.integers(SHAPE).tolist())]
        now, pending = (pending, chosen) if behind else (chosen, [])
        error_of |= {indices: lookups.error_of(indices) for indices in now}


def _spread_over_cost(task: Task, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Connected cells at random, one in each part of the range of the first cost that has equally many."""
    everything_NL = all_architectures()
    places = np.flatnonzero(task.inputs.are_connected(everything_NL))
    places = places[np.argsort(task.cost_NC[places, 0], kind="stable")]
    chosen = rng.permutation([rng.choice(part) for part in np.array_split(places, FIRST_LOOKUPS)])
    return [tuple(row) for row in everything_NL[chosen].tolist()]


def _seats(
    task: Task, error_of: Mapping[tuple[int, ...], float], source_of: Mapping[tuple[int, ...], str], count: int
) -> dict[CandidateSource, int]:
    error_N, cost_NC = np.array(list(error_of.values())), task.cost_NC[places_of(np.array(list(error_of)))]
    reference_M = np.append(HIGHEST_ERROR, task.cost_NC.max(0))
    sources = [source_of.get(indices, "first") for indices in error_of]
    made = contributions(sources, np.column_stack([error_N, cost_NC])[:, None], reference_M)
    return seats_by({name: made.get(name, Contribution()) for name in CANDIDATE_SOURCES}, count)


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
        """See `dnas.surrogate_search.ScoreModel`."""
        return self._expectation(probs_TLO)


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
    "bayesian": bayesian,
    "NSGA-II on architectures": nsga2_on_architectures,
    "random search": random_search,
}
"""Methods that know what a search can know."""
