"""Does jobs: pre-trains a supernet, searches one tuple, evaluates architectures, delivers one network.

A worker is a `Workbench`: the supernet and the splits, held once. Results depend on the job alone, not on the worker.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import numpy as np
import safetensors.torch
import torch

from devices.cost_tables.cost_table import CostTable
from dnas.costs import OperatorCosts
from dnas.inner_search import ThetaSettings, search_theta
from dnas.losses import LOSSES, Coefficients
from dnas.pretraining import PretrainSettings
from dnas.relaxation import mode_and_samples
from evaluation.accuracy import classification, inherited_network
from evaluation.splits import ImageBatches
from moo.execution.pretraining import new_pretraining, new_supernet, supernet_bytes
from moo.trials import (
    ArchitectureJob,
    Bench,
    DeliveryJob,
    DeliveryResult,
    EvaluatedArchitecture,
    Indices,
    Job,
    Outcome,
    SearchResult,
    TupleJob,
)
from search_space.architectures import architecture_from_indices


@dataclass
class Workbench:
    """A supernet and the splits, ready for jobs."""

    bench: Bench
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __post_init__(self) -> None:
        torch.set_num_threads(self.bench.threads)
        splits = self.bench.splits
        self.supernet = new_supernet(self.bench).to(self.device)
        self._loaded: bytes | None = None
        self._known: dict[Indices, tuple[float, float]] = {}
        self.theta_batches = self._batches("theta", augmented=True)
        self.selection = self._batches("selection")
        self.recalibration = ImageBatches(splits.weights, splits, device=self.device)

    def run(self, job: Job, costs: CostTable, supernet: bytes) -> Outcome:
        """Do one job with the supernet's weights given as safetensors.

        A tuple that trains a supernet of its own does not need them.
        """
        if isinstance(job, TupleJob) and self.bench.independent is not None:
            return self._independent_search(job, self.bench.independent, costs)
        self._load(supernet)
        if isinstance(job, TupleJob):
            return self.search(job, costs)
        if isinstance(job, ArchitectureJob):
            start = time.monotonic()
            evaluated = self._evaluate(job.indices, costs)
            return SearchResult(job, (evaluated,), 0, None, time.monotonic() - start)
        return self.deliver(job)

    def search(self, job: TupleJob, costs: CostTable) -> SearchResult:
        """Search theta for the job's coefficients, and evaluate its mode and samples."""
        start = time.monotonic()
        rng = np.random.default_rng(np.random.SeedSequence(self.bench.seed, spawn_key=(1, job.id)))
        latency = OperatorCosts(torch.tensor(costs.latency_ms, dtype=torch.float32), costs.fixed_latency_ms)
        energy = OperatorCosts(torch.tensor(costs.energy_mj, dtype=torch.float32), costs.fixed_energy_mj)
        theta = search_theta(
            self.supernet, self.theta_batches, latency, energy, job.coefficients, self.bench.theta, rng
        )
        theta_LO = torch.from_numpy(theta.theta_LO)
        drawn = mode_and_samples(theta_LO, self.bench.samples, rng)
        evaluated = tuple(self._evaluate(indices, costs) for indices in drawn)
        losses = [
            _loss(self.bench.theta, item, job.coefficients, latency.reference(), energy.reference())
            for item in evaluated
        ]
        return SearchResult(job, evaluated, int(np.argmin(losses)), theta, time.monotonic() - start)

    def _independent_search(self, job: TupleJob, settings: PretrainSettings, costs: CostTable) -> SearchResult:
        """Pre-train a supernet of the tuple's own from fresh weights, and search theta on it."""
        start = time.monotonic()
        seed = int(np.random.SeedSequence(self.bench.seed, spawn_key=(3, job.id)).generate_state(1)[0])
        pretraining = new_pretraining(replace(self.bench, seed=seed), settings, self.device)
        while pretraining.epochs_done < settings.epochs:
            pretraining.run_epoch()
        supernet = supernet_bytes(pretraining.supernet.state_dict())
        self._load(supernet)
        result = self.search(job, costs)
        return replace(result, seconds=time.monotonic() - start, supernet=supernet)

    def _load(self, supernet: bytes) -> None:
        if supernet != self._loaded:
            self.supernet.load_state_dict(safetensors.torch.load(supernet))
            self._loaded = supernet
            self._known.clear()

    def deliver(self, job: DeliveryJob) -> DeliveryResult:
        """Weights of one network, and its error on the test split."""
        network = self._network(job.indices)
        test_error, _ = classification(network, self._batches("test"))
        weights = {name: value.cpu().contiguous().numpy() for name, value in network.state_dict().items()}
        return DeliveryResult(job, weights, test_error)

    def _evaluate(self, indices: Indices, costs: CostTable) -> EvaluatedArchitecture:
        if indices not in self._known:
            self._known[indices] = classification(self._network(indices), self.selection)
        error, cross_entropy = self._known[indices]
        return EvaluatedArchitecture(indices, error, cross_entropy, costs.latency_of(indices), costs.energy_of(indices))

    def _network(self, indices: Indices) -> torch.nn.Module:
        space = self.bench.space
        graph = space.graph(architecture_from_indices(space, indices).operators)
        state = self.supernet.sub_network_state(indices)
        return inherited_network(graph, state, self.recalibration, device=self.device)

    def _batches(self, name: str, *, augmented: bool = False) -> ImageBatches:
        splits = self.bench.splits
        return ImageBatches(
            getattr(splits, name),
            splits,
            augmentation=self.bench.augmentation if augmented else None,
            device=self.device,
        )


def _loss(
    settings: ThetaSettings,
    item: EvaluatedArchitecture,
    coefficients: Coefficients,
    latency_reference: float,
    energy_reference: float,
) -> float:
    """The tuple's own loss of one architecture, with its cross-entropy on the selection split."""
    return float(
        LOSSES[settings.loss](
            torch.tensor(item.cross_entropy),
            torch.tensor(item.latency_ms / latency_reference),
            torch.tensor(item.energy_mj / energy_reference),
            coefficients,
        )
    )
