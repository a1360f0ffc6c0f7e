"""What a search tries next: the project's own method and its rivals, under one interface. Start with `proposer_of`."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from devices.cost_tables.cost_table import CostTable
from dnas.losses import Coefficients
from dnas.surrogate import Surrogate, fit_surrogate
from evaluation.work_folder import write_json
from moo.algorithms.acquisition import Evaluated, ExpectedCost
from moo.algorithms.base import Choice, Proposal, Proposer
from moo.algorithms.genomes import CoefficientBounds, genome_of
from moo.algorithms.nsga2 import Evolution, categorical_variation
from moo.algorithms.random_and_grid import Grid, RandomTuples
from moo.algorithms.surrogate_assisted import SteeringSettings, steer
from moo.config import SearchConfig
from moo.storage.archive import Archive
from moo.trials import ArchitectureJob, Objectives, SearchJob, TupleJob
from search_space.architectures import operator_indices
from search_space.spaces import FBNetSpace

Floats = npt.NDArray[np.float64]


def bounds_of(config: SearchConfig) -> CoefficientBounds:
    """The bounds that a run's settings give."""
    return CoefficientBounds(config.alpha, config.beta, config.gamma, config.delta)


def proposer_of(config: SearchConfig, space: FBNetSpace, *, start: int = 0) -> Proposer:
    """The proposer of a run's method.

    Args:
        config: names the method, its bounds and seed.
        space: of the architectures.
        start: how many proposals were made before, where an asynchronous run goes on.
    """
    seed = int(np.random.SeedSequence(config.seed, spawn_key=(2,)).generate_state(1)[0])
    bounds = bounds_of(config)
    proposer: Proposer
    size = generation_size(config)
    match config.method:
        case "dnas":
            tuples: Evolution[Any] = Evolution(bounds, population=size, seed=seed + start)
            return tuples
        case "architectures":
            architectures: Evolution[Any] = Evolution(
                genome_of(space), population=size, seed=seed + start, variation=categorical_variation()
            )
            return architectures
        case "random":
            proposer = RandomTuples(bounds, seed=seed)
        case "grid":
            proposer = Grid(bounds, points=config.population * config.generations, seed=seed)
    proposer.ask(start)
    return proposer


def read_choices(path: Path) -> list[Choice]:
    """Choices as `write_choices` wrote them."""
    items = json.loads(path.read_text())["choices"]
    return [Choice(tuple(item["indices"]), Coefficients(**item["coefficients"])) for item in items]


def write_choices(path: Path, choices: Sequence[Choice]) -> None:
    """Keep what was proposed."""
    write_json(path, {"choices": [dataclasses.asdict(choice) for choice in choices]})


def evaluations_of_generation(config: SearchConfig) -> int:
    """Architectures that the inner searches of a generation evaluate."""
    return config.population * (config.samples + 1)


def steered_size(config: SearchConfig) -> int:
    """Architectures evaluated before the surrogate is fitted anew: few, as each fit makes the next choice better."""
    return 2 * config.population


def generation_size(config: SearchConfig) -> int:
    """Proposals of a proposer in a generation; of architectures, as many as inner searches would evaluate."""
    return evaluations_of_generation(config) if config.method == "architectures" else config.population


def supernet_generations(config: SearchConfig) -> float:
    """Generations that are not searched on a surrogate; infinity if none is."""
    return config.supernet_generations if config.method == "dnas" and not config.independent else math.inf


def expected_jobs(config: SearchConfig) -> int:
    """Jobs of a whole search, if none of its generations falls short."""
    proposed = int(min(config.generations, supernet_generations(config)))
    return proposed * generation_size(config) + (config.generations - proposed) * steered_size(config)


def job_of(proposal: Proposal, *, number: int, generation: int) -> SearchJob:
    """The job that tries a proposal."""
    if isinstance(proposal, Coefficients):
        return TupleJob(number, generation, proposal)
    if isinstance(proposal, Choice):
        return ArchitectureJob(number, generation, proposal.indices, proposal.coefficients)
    return ArchitectureJob(number, generation, proposal)


def proposal_of(job: SearchJob) -> Proposal:
    """What a job tries."""
    if isinstance(job, TupleJob):
        return job.coefficients
    return job.indices if job.coefficients is None else Choice(job.indices, job.coefficients)


def tell(proposer: Proposer, job: SearchJob, objectives: Objectives | None) -> None:
    """Tell a proposer what one job came to; what a surrogate proposed it did not ask for."""
    proposal = proposal_of(job)
    if not isinstance(proposal, Choice):
        proposer.tell([(proposal, objectives)])


def steered(
    config: SearchConfig, space: FBNetSpace, archive: Archive, table: CostTable, *, before: int
) -> list[Choice]:
    """The architectures most worth evaluating, by searching many tuples on a surrogate of what was evaluated.

    Args:
        config: bounds and seed.
        space: of the architectures.
        archive: of the run.
        table: what a generation is searched with.
        before: only results of jobs with lower numbers are looked at, so that a resumed run proposes the same.

    Returns:
        As many as `steered_size` says, or fewer.
    """
    entries = [entry for entry in archive.entries if entry.tuple_id < before]
    if len(entries) < 2:
        return []
    indices_NL = np.array([operator_indices(space, entry.architecture) for entry in entries])
    evaluated = Evaluated(indices_NL, np.array([entry.error for entry in entries]))
    surrogate = fit_surrogate(evaluated.indices_NL, evaluated.error_N, num_operators=len(space.operators))
    return steer(
        _InNats(surrogate, float(np.std(-np.log1p(-evaluated.error_N)))),
        [
            _expected_cost(table.latency_ms, table.fixed_latency_ms),
            _expected_cost(table.energy_mj, table.fixed_energy_mj),
        ],
        evaluated,
        bounds_of(config),
        reference_M=np.array(archive.reference_point),
        num_operators=len(space.operators),
        count=steered_size(config),
        settings=SteeringSettings(),
        rng=np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(4, before))),
    )


@dataclass(frozen=True)
class _InNats:
    """A surrogate whose scores are as far apart as cross-entropies, so that coefficients mean what they mean there.

    Negative logarithms of accuracies stand for cross-entropies.
    """

    surrogate: Surrogate
    nats: float
    """Of a score of one."""

    def expected_score(self, probs_TLO: torch.Tensor) -> torch.Tensor:
        """See `moo.algorithms.acquisition.AccuracyModel`."""
        return self.nats * self.surrogate.expected_score(probs_TLO)

    def predict(self, indices_CL: npt.NDArray[np.intp]) -> tuple[Floats, Floats]:
        """See `moo.algorithms.acquisition.AccuracyModel`."""
        return self.surrogate.predict(indices_CL)

    def sample_errors(self, indices_CL: npt.NDArray[np.intp], count: int, rng: np.random.Generator) -> Floats:
        """See `moo.algorithms.acquisition.AccuracyModel`."""
        return self.surrogate.sample_errors(indices_CL, count, rng)


def _expected_cost(cost_LO: Floats, fixed: float) -> ExpectedCost:
    costs = torch.tensor(cost_LO, dtype=torch.float32)
    return lambda probs_TLO: (probs_TLO * costs).sum((-1, -2)) + fixed
