"""What a search tries next: the project's own method and its rivals, under one interface. Start with `algorithm_of`."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from devices.cost_tables.cost_table import CostTable
from dnas.losses import Coefficients
from dnas.surrogate import fit_surrogate
from dnas.surrogate_search import CrossEntropyScale, ExpectedCost, SurrogateSearchSettings
from evaluation.work_folder import write_json
from moo.algorithms.acquisition import EvaluatedArchitectures
from moo.algorithms.base import Algorithm, Proposal, SurrogateProposal
from moo.algorithms.genomes import CoefficientBounds, genome_of
from moo.algorithms.nsga2 import Evolution, categorical_variation
from moo.algorithms.random_and_grid import CoefficientGrid, RandomCoefficients
from moo.algorithms.surrogate_assisted import SurrogateAssistedSettings, propose
from moo.config import SearchConfig
from moo.storage.archive import Archive
from moo.storage.run_folder import RunFolder
from moo.trials import ArchitectureTrial, CoefficientTrial, Objectives, Trial
from search_space.architectures import operator_indices
from search_space.spaces import FBNetSpace

Floats = npt.NDArray[np.float64]
ProposalSource = Callable[[int, CostTable], Sequence[Proposal]]
"""The first trial's number and the costs to search with, to what a search on a surrogate proposes."""


def bounds_of(config: SearchConfig) -> CoefficientBounds:
    """The bounds that a run's settings give."""
    return CoefficientBounds(config.alpha, config.beta, config.gamma, config.delta)


def algorithm_of(config: SearchConfig, space: FBNetSpace, *, start: int = 0) -> Algorithm:
    """The algorithm of a run's method.

    Args:
        config: names the method, its bounds and seed.
        space: of the architectures.
        start: how many proposals were made before, where an asynchronous run goes on.
    """
    seed = int(np.random.SeedSequence(config.seed, spawn_key=(2,)).generate_state(1)[0])
    bounds = bounds_of(config)
    algorithm: Algorithm
    size = generation_size(config)
    match config.method:
        case "dnas":
            coefficients: Evolution[Any] = Evolution(bounds, population=size, seed=seed + start)
            return coefficients
        case "architectures":
            architectures: Evolution[Any] = Evolution(
                genome_of(space), population=size, seed=seed + start, variation=categorical_variation()
            )
            return architectures
        case "random":
            algorithm = RandomCoefficients(bounds, seed=seed)
        case "grid":
            algorithm = CoefficientGrid(bounds, points=config.population * config.generations, seed=seed)
    algorithm.ask(start)
    return algorithm


def evaluations_of_generation(config: SearchConfig) -> int:
    """Architectures that the inner searches of a generation evaluate."""
    return config.population * (config.samples + 1)


def surrogate_generation_size(config: SearchConfig) -> int:
    """Architectures evaluated before the surrogate is fitted anew: few, as each fit makes the next choice better."""
    return 2 * config.population


def generation_size(config: SearchConfig) -> int:
    """Proposals of an algorithm in a generation; of architectures, as many as inner searches would evaluate."""
    return evaluations_of_generation(config) if config.method == "architectures" else config.population


def supernet_generations(config: SearchConfig) -> float:
    """Generations that are not searched on a surrogate; infinity if none is."""
    return config.supernet_generations if config.method == "dnas" and not config.independent else math.inf


def expected_trials(config: SearchConfig) -> int:
    """Trials of a whole search, if none of its generations falls short."""
    proposed = int(min(config.generations, supernet_generations(config)))
    return proposed * generation_size(config) + (config.generations - proposed) * surrogate_generation_size(config)


def trial_of(proposal: Proposal, *, number: int, generation: int) -> Trial:
    """The trial of a proposal."""
    if isinstance(proposal, Coefficients):
        return CoefficientTrial(number, generation, proposal)
    if isinstance(proposal, SurrogateProposal):
        return ArchitectureTrial(number, generation, proposal.indices, proposal.coefficients)
    return ArchitectureTrial(number, generation, proposal)


def proposal_of(trial: Trial) -> Proposal:
    """What a trial tries."""
    if isinstance(trial, CoefficientTrial):
        return trial.coefficients
    return trial.indices if trial.coefficients is None else SurrogateProposal(trial.indices, trial.coefficients)


def tell_algorithm(algorithm: Algorithm, trial: Trial, objectives: Objectives | None) -> None:
    """Tell an algorithm the objectives of a trial; what a surrogate proposed it did not ask for."""
    proposal = proposal_of(trial)
    if not isinstance(proposal, SurrogateProposal):
        algorithm.tell([(proposal, objectives)])


def kept_proposals(
    folder: RunFolder, config: SearchConfig, space: FBNetSpace, archive: Archive, table: CostTable, *, first: int
) -> list[SurrogateProposal]:
    """What the search on a surrogate proposes; it is kept, so that a resumed run goes on with the same.

    Args:
        folder: of the run.
        config: bounds and seed.
        space: of the architectures.
        archive: of the run.
        table: what the trials are searched with.
        first: number of the first trial that these proposals become.
    """
    path = folder.surrogate_proposals(first)
    if not path.exists():
        proposals = surrogate_proposals(config, space, archive, table, before=first)
        write_json(path, {"choices": [dataclasses.asdict(proposal) for proposal in proposals]})
    items = json.loads(path.read_text())["choices"]
    return [SurrogateProposal(tuple(item["indices"]), Coefficients(**item["coefficients"])) for item in items]


def surrogate_proposals(
    config: SearchConfig, space: FBNetSpace, archive: Archive, table: CostTable, *, before: int
) -> list[SurrogateProposal]:
    """The architectures most worth evaluating, by searching many coefficients on a surrogate of what was evaluated.

    Args:
        config: bounds and seed; its loss, theta steps, entropy weight and samples hold as on the supernet.
        space: of the architectures.
        archive: of the run.
        table: what a generation is searched with.
        before: only results of trials with lower numbers are looked at, so that a resumed run proposes the same.

    Returns:
        As many as `surrogate_generation_size` says, or fewer.
    """
    entries = [entry for entry in archive.entries if entry.trial_id < before]
    if len(entries) < 2:
        return []
    indices_NL = np.array([operator_indices(space, entry.architecture) for entry in entries])
    evaluated = EvaluatedArchitectures(indices_NL, np.array([entry.error for entry in entries]))
    surrogate = fit_surrogate(evaluated.indices_NL, evaluated.error_N, num_operators=len(space.operators))
    return propose(
        surrogate,
        CrossEntropyScale.of(evaluated.error_N),
        [
            _expected_cost(table.latency_ms, table.fixed_latency_ms),
            _expected_cost(table.energy_mj, table.fixed_energy_mj),
        ],
        evaluated,
        bounds_of(config),
        reference_M=np.array(archive.reference_point),
        num_operators=len(space.operators),
        count=surrogate_generation_size(config),
        settings=SurrogateAssistedSettings(
            samples=config.samples,
            search=SurrogateSearchSettings(
                steps=config.theta_steps, entropy_weight=config.entropy_weight, loss=config.loss
            ),
        ),
        rng=np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(4, before))),
    )


def _expected_cost(cost_LO: Floats, fixed: float) -> ExpectedCost:
    costs = torch.tensor(cost_LO, dtype=torch.float32)
    return lambda probs_TLO: (probs_TLO * costs).sum((-1, -2)) + fixed
