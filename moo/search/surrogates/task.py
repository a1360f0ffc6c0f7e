"""The surrogate of a run, and what generations on it evaluate. Start at `surrogate_task`.

Two models of one error: one in closed form over theta, on which coefficients are searched, and a Gaussian process that
knows more of an architecture and judges all candidates (`moo.bayesian`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import numpy.typing as npt
import torch

from devices.cost_tables.family import CostTables
from dnas.surrogate import Surrogate, fit_surrogate
from dnas.surrogate_search import CrossEntropyScale, ExpectedCost, SurrogateSearchSettings
from moo.algorithms.surrogate_assisted import (
    CandidateSource,
    CoefficientSearch,
    CostLimit,
    SurrogateAssistedSettings,
    propose,
)
from moo.analysis.contributions import Contribution, TrialSource, contributions, seats_by
from moo.bayesian.inputs import LayerwiseInputs
from moo.bayesian.process import GaussianProcess, fit_process
from moo.bayesian.search import LocalSearch, LocalSearchSettings, PaidSearch
from moo.config import SearchConfig
from moo.search.proposals import SurrogateChoice, coefficient_genome, surrogate_generation_size
from moo.storage.archive import Archive, Entry
from moo.trials import Indices
from search_space.architectures import operator_indices
from search_space.block_graph import count_tables
from search_space.spaces import FBNetSpace

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]
CANDIDATE_SOURCES: tuple[CandidateSource, ...] = get_args(CandidateSource)


def surrogate_task(
    config: SearchConfig,
    space: FBNetSpace,
    archive: Archive,
    tables: CostTables,
    *,
    before: int,
    sources: Mapping[int, TrialSource],
    first: int | None = None,
    pending: Sequence[Indices] = (),
) -> SurrogateTask:
    """What proposals on a surrogate follow from, to be done when it suits.

    Args:
        config: bounds and seed; its loss, theta steps, entropy weight and samples hold as on the supernet.
        space: of the architectures.
        archive: of the run; may change afterwards.
        tables: what a generation is searched with, with energy above idle.
        before: only results of trials with lower numbers are looked at, so that a resumed run proposes the same.
        sources: where the architectures of each trial come from, by its number.
        first: number of the first trial that the proposals become; by default `before`.
        pending: architectures that are evaluated meanwhile.
    """
    return SurrogateTask(
        config=config,
        space=space,
        entries=tuple(entry for entry in archive.entries if entry.trial_id < before),
        tables=tables,
        reference_M=np.array(archive.reference_point),
        first=before if first is None else first,
        sources=sources,
        pending=tuple(pending),
    )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SurrogateTask:
    """All that proposals on a surrogate follow from."""

    config: SearchConfig
    space: FBNetSpace
    entries: tuple[Entry, ...]
    """What is known."""
    tables: CostTables
    reference_M: Floats
    first: int
    """Number of the first trial that the proposals become."""
    sources: Mapping[int, TrialSource]
    """Where the architectures of each trial come from, by its number."""
    pending: tuple[Indices, ...] = ()
    """Architectures that are evaluated meanwhile: they are not proposed again, and are expected to be as predicted."""

    def proposals(self) -> list[SurrogateChoice]:
        """As many as `surrogate_generation_size` says, or fewer."""
        config, tables = self.config, self.tables
        if len(self.entries) < 2:
            return []
        rng = np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(4, self.first)))
        found = surrogate_of(config, self.space, self.entries, tables, reference_M=self.reference_M)
        indices_NL, error_N = found.indices_NL, found.error_N
        if self.pending:
            # As in a "kriging believer": Ginsbourger et al., "Kriging is well-suited to parallelize" (2010).
            pending_NL = np.array(self.pending)
            expected_N, _ = found.process.predict(found.search.describe(pending_NL)).errors()
            indices_NL, error_N = np.concatenate([indices_NL, pending_NL]), np.concatenate([error_N, expected_N])
        count = surrogate_generation_size(config)
        # More of them are judged jointly where more are wanted than by default.
        settings = LocalSearchSettings(shortlist=max(LocalSearchSettings().shortlist, 2 * count))
        local = LocalSearch(found.search, found.process, indices_NL, error_N, settings, rng)
        configurations = tables.configurations if len(tables) > 1 else ()
        if config.method == "bayesian" or config.candidates == "neighbours":
            return propose(local, {"neighbours": count}, None, configurations=configurations)
        searched = CoefficientSearch(
            model=found.model,
            scale=found.scale,
            costs=[[latency, energy] for latency, energy in zip(found.latencies, found.energies, strict=True)],
            genome=coefficient_genome(config, tables.configurations),
            shape=(self.space.num_layers, len(self.space.operators)),
            limits=found.limits,
            settings=SurrogateAssistedSettings(samples=config.samples, search=found.settings),
        )
        seats: dict[CandidateSource, int] = {"coefficients": count}
        if config.candidates == "both":
            seats = self._seats(found, count)
        return propose(local, seats, searched.candidates(configurations, rng), configurations=configurations)

    def _seats(self, found: RunSurrogate, count: int) -> dict[CandidateSource, int]:
        """Of the two sources of candidates, by what each has contributed."""
        order = sorted(range(len(self.entries)), key=lambda place: self._order(self.entries[place]))
        cost_NKJ = found.search.costs_of(found.indices_NL[order])
        error_NK1 = np.broadcast_to(found.error_N[order, None, None], (*cost_NKJ.shape[:2], 1))
        made = contributions(
            [self.sources[self.entries[place].trial_id] for place in order],
            np.concatenate([error_NK1, cost_NKJ], -1),
            self.reference_M,
        )
        return seats_by({name: made.get(name, Contribution()) for name in CANDIDATE_SOURCES}, count)

    @staticmethod
    def _order(entry: Entry) -> tuple[int, int]:
        return entry.trial_id, entry.position


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RunSurrogate:
    """A surrogate of what a run has evaluated, and what searches on it minimise."""

    indices_NL: Integers
    error_N: Floats
    """Of the architectures that the run has evaluated."""
    model: Surrogate
    """On which coefficients are searched."""
    scale: CrossEntropyScale
    process: GaussianProcess
    """By which candidates are judged."""
    search: PaidSearch
    """What a local search on that needs."""
    latencies: tuple[ExpectedCost, ...]
    """In each runtime configuration; so are the energies."""
    energies: tuple[ExpectedCost, ...]
    limits: tuple[CostLimit, ...]
    settings: SurrogateSearchSettings
    """How each theta is searched."""


def surrogate_of(
    config: SearchConfig, space: FBNetSpace, entries: Sequence[Entry], tables: CostTables, *, reference_M: Floats
) -> RunSurrogate:
    """The surrogate on which a run's searches go on.

    Args:
        config: its loss, theta steps and entropy weight hold as on the supernet.
        space: of the architectures.
        entries: of the archive, at least two.
        tables: to search with, with energy above idle.
        reference_M: reference point of the hypervolume: error, latency and energy.
    """
    indices_NL = np.array([operator_indices(space, entry.architecture) for entry in entries])
    error_N = np.array([entry.error for entry in entries])
    searched = [config.energy_objective.table(table) for table in tables]
    latencies = [(table.latency_ms, table.fixed_latency_ms) for table in searched]
    energies = [(table.energy_mj, table.fixed_energy_mj) for table in searched]
    macs, params = count_tables(space)
    describe = LayerwiseInputs(
        np.stack([latencies[0][0], energies[0][0], macs[0], params[0]]),
        np.array([latencies[0][1], energies[0][1], macs[1], params[1]]),
        groups=_stage_layers(space),
        idle_LO=np.array(
            [[name == "skip" and layer.keeps_shape for name in space.operators] for layer in space.layers]
        ),
    )
    limits = config.limits
    limited = [
        (limits.max_latency_ms, latencies),
        (limits.max_energy_mj, energies),
        (limits.max_params, [params] * len(searched)),
    ]
    given = [(highest, costs) for highest, costs in limited if highest is not None]

    def exceeded(indices: Integers) -> Floats:
        exceeded_KN: Floats = np.zeros((len(searched), len(indices)))
        for highest, costs in given:
            exceeded_KN = exceeded_KN + [(_summed(*table, indices) / highest - 1).clip(0) for table in costs]
        return exceeded_KN

    def costs_of(indices: Integers) -> Floats:
        kinds = np.array([[_summed(*table, indices) for table in costs] for costs in (latencies, energies)])
        # Where it exceeds the limits an architecture is no point.
        cost_NKJ: Floats = np.where(exceeded(indices) > 0, np.inf, kinds).transpose(2, 1, 0)
        return cost_NKJ

    return RunSurrogate(
        indices_NL=indices_NL,
        error_N=error_N,
        model=fit_surrogate(indices_NL, error_N, num_operators=len(space.operators)),
        scale=CrossEntropyScale.of(error_N),
        process=fit_process(describe(indices_NL), error_N, operators=len(space.operators)),
        search=PaidSearch(
            layers=space.num_layers,
            operators=len(space.operators),
            describe=describe,
            costs_of=costs_of,
            reference_error=float(reference_M[0]),
            reference_J=reference_M[1:],
            exceeded_of=(lambda indices: exceeded(indices).T) if given else None,
        ),
        latencies=tuple(_expected_cost(*table) for table in latencies),
        energies=tuple(_expected_cost(*table) for table in energies),
        limits=tuple(CostLimit([_expected_cost(*table) for table in costs], highest) for highest, costs in given),
        settings=SurrogateSearchSettings(
            steps=config.theta_steps, entropy_weight=config.entropy_weight, loss=config.loss
        ),
    )


def _stage_layers(space: FBNetSpace) -> list[range]:
    ends = np.cumsum([stage.layers for stage in space.stages]).tolist()
    return [range(end - stage.layers, end) for end, stage in zip(ends, space.stages, strict=True)]


def _summed(cost_LO: Floats, fixed: float, indices_NL: Integers) -> Floats:
    summed_N: Floats = cost_LO[np.arange(len(cost_LO)), indices_NL].sum(-1) + fixed
    return summed_N


def _expected_cost(cost_LO: Floats, fixed: float) -> ExpectedCost:
    costs = torch.tensor(cost_LO, dtype=torch.float32)
    return lambda probs_TLO: (probs_TLO * costs).sum((-1, -2)) + fixed
