"""Methods that search a table whose accuracies are counted, each a function of task, look-ups and random numbers.

Shape suffixes: C candidates, L layers, M objectives, N architectures, O operators, T thetas.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from benchmarks.tabular.inputs import CellInputs, places_of
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
from moo.algorithms.base import SurrogateProposal
from moo.algorithms.genomes import ArchitectureGenome, CoefficientBounds
from moo.algorithms.nsga2 import Evolution, categorical_variation
from moo.algorithms.surrogate_assisted import (
    CandidateSource,
    CoefficientSearch,
    FoundCandidates,
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
"""So many times the architectures of the last fit, hyper-parameters are fitted and coefficients searched anew."""
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
    _Rounds(task, lookups, rng, coefficients=True).run()


def one_round_behind(task: Task, lookups: LookUps, rng: np.random.Generator) -> None:
    """The same where each round is chosen while the one before it is paid for, as with `--propose-beside`."""
    _Rounds(task, lookups, rng, coefficients=True, behind=True).run()


def bayesian(task: Task, lookups: LookUps, rng: np.random.Generator) -> None:
    """The local search alone, as with `--method bayesian`."""
    _Rounds(task, lookups, rng).run()


def all_judged(task: Task, lookups: LookUps, rng: np.random.Generator) -> None:
    """The same without a search: all cells are judged in each round, which no larger space allows."""
    _Rounds(task, lookups, rng, everything_NL=all_architectures()).run()


@dataclass
class _Rounds:
    """A search that chooses a few architectures, pays for them and learns from them, round after round."""

    task: Task
    lookups: LookUps
    rng: np.random.Generator
    coefficients: bool = False
    behind: bool = False
    everything_NL: Integers | None = None
    _error_of: dict[tuple[int, ...], float] = field(default_factory=dict)
    _source_of: dict[tuple[int, ...], str] = field(default_factory=dict)
    _start: ProcessHyperparameters | None = None
    _theta_start: Hyperparameters | None = None
    _searched: FoundCandidates | None = None
    _fitted: int = 0

    def run(self) -> None:
        """Until nothing is left."""
        self._pay_for(_spread_over_cost(self.task, self.rng))
        pending: list[tuple[int, ...]] = []
        while self.lookups.left:
            chosen = self._chosen(pending) or [tuple(self.rng.integers(SHAPE).tolist())]
            now, pending = (pending, chosen) if self.behind else (chosen, [])
            self._pay_for(now)

    def _pay_for(self, architectures: Sequence[tuple[int, ...]]) -> None:
        self._error_of |= {indices: self.lookups.error_of(indices) for indices in architectures}

    def _chosen(self, pending: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
        task, rng = self.task, self.rng
        indices_NL, error_N = np.array(list(self._error_of)), np.array(list(self._error_of.values()))
        # Hyper-parameters change little from round to round.
        again = len(error_N) >= REFITTED_AFTER * self._fitted
        self._fitted = len(error_N) if again else self._fitted
        process = fit_process(
            task.inputs(indices_NL), error_N, operators=SHAPE[0], start=self._start,
            iterations=ITERATIONS if self._start is None else LATER_ITERATIONS * again,
        )  # fmt: skip
        self._start = process.hyperparameters
        if self.coefficients and again:
            self._searched = self._coefficient_search(indices_NL, error_N).candidates((), rng)
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
        if pending:
            pending_NL = np.array(pending)
            expected_N = process.predict(task.inputs(pending_NL)).errors()[0]
            indices_NL, error_N = np.concatenate([indices_NL, pending_NL]), np.concatenate([error_N, expected_N])
        local = LocalSearch(paid_search, process, indices_NL, error_N, LocalSearchSettings(), rng)
        count = min(LOOKUPS_IN_ROUND, self.lookups.left)
        if self.everything_NL is not None:
            candidates = local.judged(self.everything_NL)
            places = local.chosen_together({"all": candidates}, {"all": count})
            return [tuple(candidates.indices_CL[place].tolist()) for _, place in places]
        seats: dict[CandidateSource, int] = self._seats(count) if self.coefficients else {"neighbours": count}
        proposals = [one for one in propose(local, seats, self._searched) if isinstance(one, SurrogateProposal)]
        self._source_of |= {
            one.indices: "neighbours" if one.coefficients is None else "coefficients" for one in proposals
        }
        return [one.indices for one in proposals]

    def _coefficient_search(self, indices_NL: Integers, error_N: Floats) -> CoefficientSearch:
        model = fit_surrogate(
            indices_NL, error_N, num_operators=SHAPE[0], start=self._theta_start,
            iterations=ITERATIONS if self._theta_start is None else LATER_ITERATIONS,
        )  # fmt: skip
        self._theta_start = model.hyperparameters
        return CoefficientSearch(
            model=model, scale=AS_THEY_ARE, costs=[self.task.costs], genome=BOUNDS,
            shape=(len(SHAPE), SHAPE[0]), settings=SETTINGS,
        )  # fmt: skip

    def _seats(self, count: int) -> dict[CandidateSource, int]:
        cost_NC = self.task.cost_NC[places_of(np.array(list(self._error_of)))]
        reference_M = np.append(HIGHEST_ERROR, self.task.cost_NC.max(0))
        sources = [self._source_of.get(indices, "first") for indices in self._error_of]
        point_NKM = np.column_stack([list(self._error_of.values()), cost_NC])[:, None]
        made = contributions(sources, point_NKM, reference_M)
        return seats_by({name: made.get(name, Contribution()) for name in CANDIDATE_SOURCES}, count)


def _spread_over_cost(task: Task, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Connected cells at random, one in each part of the range of the first cost that has equally many."""
    everything_NL = all_architectures()
    places = np.flatnonzero(task.inputs.are_connected(everything_NL))
    places = places[np.argsort(task.cost_NC[places, 0], kind="stable")]
    chosen = rng.permutation([rng.choice(part) for part in np.array_split(places, FIRST_LOOKUPS)])
    return [tuple(row) for row in everything_NL[chosen].tolist()]


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
