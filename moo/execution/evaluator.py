"""Does jobs: pre-trains a supernet, searches one set of coefficients, evaluates architectures, delivers one network.

A worker is a `Evaluator`: the supernet and the splits, held once. Results depend on the job alone, not on the worker.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import safetensors.torch
import torch

from devices.cost_tables.cost_table import CostTable
from devices.cost_tables.energy_objective import EnergyObjective
from devices.cost_tables.family import CostTables
from dnas.costs import OperatorCosts
from dnas.inner_search import OnSteps, StepRecord, ThetaResult, ThetaSettings
from dnas.joint.search import InnerSearch, search_thetas
from dnas.losses import LOSSES, Coefficients
from dnas.pretraining import PretrainSettings
from dnas.relaxation import mode_and_samples
from evaluation.accuracy import RECALIBRATION_IMAGES, Classified, classification, classified, inherited_network
from evaluation.batches import ImageBatches
from evaluation.early_exits.outcomes import ExitOutcomes
from evaluation.early_exits.quick import quick_outcomes
from evaluation.export import file_error, quantized_file
from moo.execution.news import InnerSearchProgress, Tell
from moo.execution.operating_points import (
    Penalty,
    best_operating_point,
    cost_at_no_more_error,
    loss_under,
    possible_exits,
)
from moo.execution.pretraining import new_pretraining, new_supernet, supernet_bytes
from moo.trials import (
    AdaptiveEvaluation,
    ArchitectureTrial,
    Arrays,
    CoefficientTrial,
    DeliveryJob,
    DeliveryResult,
    EvaluatedArchitecture,
    Indices,
    Job,
    Outcome,
    QuantizationJob,
    QuantizationResult,
    Trial,
    TrialResult,
    WorkerSetup,
)
from search_space.architectures import architecture_from_indices
from search_space.counts import count
from search_space.exits import Exit
from search_space.graphs import Graph
from search_space.networks import Network


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SearchedTheta:
    """What the inner search of a trial found, which is not evaluated yet."""

    trial: CoefficientTrial
    costs: CostTable
    """Of the trial's configuration."""
    search: InnerSearch
    """Its random numbers go on where the search ended."""
    theta: ThetaResult
    seconds: float
    """Duration; of searches that were done together, an even part."""


@dataclass
class Evaluator:
    """A supernet and the splits, ready for jobs."""

    setup: WorkerSetup
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    tell: Tell | None = None
    """Is told how far inner searches are; it must not raise."""

    def __post_init__(self) -> None:
        torch.set_num_threads(self.setup.threads)
        self.supernet = new_supernet(self.setup).to(self.device)
        self._loaded: bytes | None = None
        self._known: dict[Indices, Classified] = {}
        self._quantized: dict[Indices, float] = {}
        self._with_exits: dict[tuple[Indices, tuple[Exit, ...]], ExitOutcomes] = {}
        self.theta_batches = self._batches("theta", augmented=True)
        self.selection = self._batches("selection")
        self.recalibration = self._batches("weights", most=RECALIBRATION_IMAGES)
        self.unaugmented = self._batches("weights")

    def run(self, job: Job, costs: CostTables, supernet: bytes) -> Outcome:
        """Do one job.

        Args:
            job: what to do.
            costs: with the energy that the run minimises.
            supernet: its weights as safetensors; a trial that trains a supernet of its own does not need them.
        """
        if isinstance(job, CoefficientTrial) and self.setup.independent is not None:
            return self._independent_search(job, self.setup.independent, costs)
        self._load(supernet)
        if isinstance(job, CoefficientTrial):
            return self.search(job, costs)
        if isinstance(job, ArchitectureTrial):
            return self._evaluated(job, costs)
        if isinstance(job, QuantizationJob):
            return QuantizationResult(job, self._quantized_error(job.indices))
        return self.deliver(job)

    def search(self, job: CoefficientTrial, tables: CostTables) -> TrialResult:
        """Search theta for the job's coefficients and configuration, and evaluate its mode and samples."""
        (searched,) = self._search_thetas([job], tables)
        return self.result(searched)

    def search_thetas(
        self, jobs: Sequence[CoefficientTrial], tables: CostTables, supernet: bytes
    ) -> list[SearchedTheta]:
        """Search theta for several trials in one forward of the run's supernet; `result` evaluates each.

        Args:
            jobs: trials, which then have costs of their own configurations each.
            tables: as for `run`.
            supernet: as for `run`.
        """
        self._load(supernet)
        return self._search_thetas(jobs, tables)

    def _search_thetas(self, jobs: Sequence[CoefficientTrial], tables: CostTables) -> list[SearchedTheta]:
        start = time.monotonic()
        searches = [self._inner_search(job, _table_for(job, tables)) for job in jobs]
        settings, precision = self.setup.theta, self.setup.precision
        thetas = search_thetas(self.supernet, self.theta_batches, searches, settings, precision=precision)
        seconds = (time.monotonic() - start) / len(jobs)
        return [
            SearchedTheta(trial=job, costs=_table_for(job, tables), search=search, theta=theta, seconds=seconds)
            for job, search, theta in zip(jobs, searches, thetas, strict=True)
        ]

    def _inner_search(self, job: CoefficientTrial, costs: CostTable) -> InnerSearch:
        return InnerSearch(
            latency=OperatorCosts(torch.tensor(costs.latency_ms, dtype=torch.float32), costs.fixed_latency_ms),
            energy=OperatorCosts(torch.tensor(costs.energy_mj, dtype=torch.float32), costs.fixed_energy_mj),
            coefficients=job.coefficients,
            rng=np.random.default_rng(np.random.SeedSequence(self.setup.seed, spawn_key=(1, job.id))),
            on_steps=self._on_steps(job),
        )

    def result(self, searched: SearchedTheta) -> TrialResult:
        """Evaluate the mode and samples of a theta."""
        start, job, costs = time.monotonic(), searched.trial, searched.costs
        theta_LO = torch.from_numpy(searched.theta.theta_LO)
        drawn = mode_and_samples(theta_LO, self.setup.samples, searched.search.rng)
        evaluated = tuple(self._evaluate(indices, costs) for indices in drawn)
        references = searched.search.latency.reference(), searched.search.energy.reference()
        losses = [_loss(self.setup.theta, item, job.coefficients, *references) for item in evaluated]
        if self.setup.adaptive is not None:
            penalty = loss_under(job.coefficients, self.setup.theta.loss, *references)
            best = [self._best_point(item, costs, penalty, self.setup.adaptive) for item in evaluated]
            evaluated = tuple(replace(item, adaptive=point) for item, (point, _) in zip(evaluated, best, strict=True))
            losses = [least for _, least in best]
        limits = self.setup.limits
        violations = [limits.violation(item.latency_ms, item.energy_mj, item.params) for item in evaluated]
        chosen = min(range(len(evaluated)), key=lambda place: (violations[place], losses[place]))
        return TrialResult(
            trial=job,
            architectures=tuple(
                self._quantized_for(job, item) if place == chosen else item for place, item in enumerate(evaluated)
            ),
            chosen=chosen,
            theta=searched.theta,
            seconds=searched.seconds + time.monotonic() - start,
        )

    def _on_steps(self, job: CoefficientTrial) -> OnSteps | None:
        """Tells of steps as those of a trial."""
        tell, steps = self.tell, self.setup.theta.steps
        if tell is None:
            return None

        def on_steps(step: int, records: tuple[StepRecord, ...], ended: tuple[float, ...]) -> None:
            tell(InnerSearchProgress(trial=job, step=step, steps=steps, records=records, ended=ended))

        return on_steps

    def _evaluated(self, job: ArchitectureTrial, tables: CostTables) -> TrialResult:
        """Evaluate the job's architecture."""
        start = time.monotonic()
        costs = _table_for(job, tables)
        item = self._evaluate(job.indices, costs)
        if self.setup.adaptive is not None:
            point, _ = self._best_point(item, costs, cost_at_no_more_error(item), self.setup.adaptive)
            item = replace(item, adaptive=point)
        return TrialResult(
            trial=job,
            architectures=(self._quantized_for(job, item),),
            chosen=0,
            theta=None,
            seconds=time.monotonic() - start,
        )

    def _best_point(
        self, item: EvaluatedArchitecture, costs: CostTable, penalty: Penalty, energy: EnergyObjective
    ) -> tuple[AdaptiveEvaluation, float]:
        """What an architecture does with early exits where that is best by a penalty, and this penalty."""
        space = self.setup.space
        outcomes = self._outcomes(item.indices, possible_exits(space, self._operators(item.indices), costs))
        return best_operating_point(item, outcomes, space, costs, energy, penalty)

    def _outcomes(self, indices: Indices, exits: tuple[Exit, ...]) -> ExitOutcomes | None:
        """What exits of an architecture say of the selection split; None where there are none."""
        if not exits:
            return None
        if (indices, exits) not in self._with_exits:
            # Drawn anew for each architecture, and the same on whichever worker it comes.
            seed = int(np.random.SeedSequence(self.setup.seed, spawn_key=(5, *indices)).generate_state(1)[0])
            self._with_exits[indices, exits] = quick_outcomes(
                self._network(indices), self.setup.space, exits, self.unaugmented, self.selection, seed=seed
            )
        return self._with_exits[indices, exits]

    def _independent_search(self, job: CoefficientTrial, settings: PretrainSettings, costs: CostTables) -> TrialResult:
        """Pre-train a supernet of the trial's own from fresh weights, and search theta on it."""
        start = time.monotonic()
        seed = int(np.random.SeedSequence(self.setup.seed, spawn_key=(3, job.id)).generate_state(1)[0])
        pretraining = new_pretraining(replace(self.setup, seed=seed), settings, self.device)
        while not pretraining.done:
            found = pretraining.run_epoch().divergence
            if found is not None and found.lr is None:
                raise RuntimeError(f"pre-training {found}; choose a lower --pretrain-lr than {settings.lr:g}")
        supernet = supernet_bytes(pretraining.supernet.state_dict())
        self._load(supernet)
        result = self.search(job, costs)
        return replace(result, seconds=time.monotonic() - start, supernet=supernet)

    def _load(self, supernet: bytes) -> None:
        if supernet != self._loaded:
            self.supernet.load_state_dict(safetensors.torch.load(supernet))
            self._loaded = supernet
            self._known.clear()
            self._quantized.clear()
            self._with_exits.clear()

    def deliver(self, job: DeliveryJob) -> DeliveryResult:
        """Weights of one network, and its error on the test split."""
        network = self._network(job.indices)
        test_error, _ = classification(network, self._batches("test"))
        weights = _arrays(network)
        if not job.quantized:
            return DeliveryResult(job=job, weights=weights, test_error=test_error)
        splits = self.setup.splits
        file = quantized_file(self._graph(job.indices), weights, splits, activations=self.setup.activations)
        quantized_error = file_error(file, splits.test, splits, threads=self.setup.threads)
        return DeliveryResult(
            job=job, weights=weights, test_error=test_error, quantized=file, quantized_test_error=quantized_error
        )

    def _quantized_for(self, job: Trial, item: EvaluatedArchitecture) -> EvaluatedArchitecture:
        """What stands for a trial, evaluated in the precision of the trial's configuration too."""
        if job.configuration is None or job.configuration.precision != "int8":
            return item
        return replace(item, quantized_error=self._quantized_error(item.indices))

    def _quantized_error(self, indices: Indices) -> float:
        if indices not in self._quantized:
            splits, graph = self.setup.splits, self._graph(indices)
            file = quantized_file(graph, _arrays(self._network(indices)), splits, activations=self.setup.activations)
            self._quantized[indices] = file_error(file, splits.selection, splits, threads=self.setup.threads)
        return self._quantized[indices]

    def _evaluate(self, indices: Indices, costs: CostTable) -> EvaluatedArchitecture:
        if indices not in self._known:
            self._known[indices] = classified(self._network(indices), self.selection)
        found = self._known[indices]
        return EvaluatedArchitecture(
            indices=indices,
            error=found.error,
            cross_entropy=found.cross_entropy,
            correct=np.packbits(found.correct_N).tobytes(),
            latency_ms=costs.latency_of(indices),
            energy_mj=costs.energy_of(indices),
            params=count(self._graph(indices)).params,
        )

    def _operators(self, indices: Indices) -> tuple[str, ...]:
        return architecture_from_indices(self.setup.space, indices).operators

    def _graph(self, indices: Indices) -> Graph:
        return self.setup.space.graph(self._operators(indices))

    def _network(self, indices: Indices) -> Network:
        graph = self._graph(indices)
        state = self.supernet.sub_network_state(indices)
        return inherited_network(graph, state, self.recalibration, device=self.device)

    def _batches(self, name: str, *, augmented: bool = False, most: int | None = None) -> ImageBatches:
        """Images of a split, or its first ones; nothing is read yet."""
        splits, images = self.setup.splits, getattr(self.setup.splits, name)
        return ImageBatches(
            images if most is None else images.take(np.arange(min(most, len(images)))),
            splits,
            augmentation=self.setup.augmentation if augmented else None,
            balanced=augmented and self.setup.balanced,
            device=self.device,
        )


def _table_for(job: Trial, costs: CostTables) -> CostTable:
    return costs.base if job.configuration is None else costs[job.configuration]


def _arrays(network: torch.nn.Module) -> Arrays:
    """Copies, as a network may share its weights with the supernet."""
    return {name: value.cpu().numpy().copy() for name, value in network.state_dict().items()}


def _loss(
    settings: ThetaSettings,
    item: EvaluatedArchitecture,
    coefficients: Coefficients,
    latency_reference: float,
    energy_reference: float,
) -> float:
    """The trial's own loss of one architecture, with its cross-entropy on the selection split."""
    return float(
        LOSSES[settings.loss](
            torch.tensor(item.cross_entropy),
            torch.tensor(item.latency_ms / latency_reference),
            torch.tensor(item.energy_mj / energy_reference),
            coefficients,
        )
    )
