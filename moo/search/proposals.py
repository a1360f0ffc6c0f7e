"""What a search tries next: the project's own method and its rivals, under one interface. Start with `algorithm_of`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from devices.configuration import BASE, RuntimeConfiguration
from devices.cost_tables.family import CostTables
from dnas.losses import Coefficients
from moo.algorithms.base import Algorithm, ConfiguredProposal, PlainProposal, Proposal, SurrogateProposal
from moo.algorithms.genomes import CoefficientBounds, ConfiguredGenome, Genome, genome_of
from moo.algorithms.nsga2 import Evolution, FixedProposal, categorical_variation, configured_variation
from moo.algorithms.random_and_grid import AssignedConfigurations, CoefficientGrid, RandomCoefficients
from moo.algorithms.spread import SpreadArchitectures
from moo.config import Method, SearchConfig
from moo.storage.archive import Archive
from moo.storage.run_folder import RESTORE, RunFolder, check_not_lost
from moo.storage.store import StoredTrial
from moo.trials import ArchitectureTrial, CoefficientTrial, Indices, Objectives, Trial
from search_space.boundary.sealing import read_sealed_json, write_sealed_json
from search_space.boundary.text import reason_of
from search_space.spaces import FBNetSpace

Floats = npt.NDArray[np.float64]
SurrogateChoice = SurrogateProposal | ConfiguredProposal
LEAST_FIRST = 4
"""Architectures that a surrogate begins with, where a generation is small."""


class ProposalSource(Protocol):
    """What generations on a surrogate evaluate."""

    def ask(self, first: int, costs: CostTables, *, more: bool, pending: Sequence[Indices] = ()) -> Sequence[Proposal]:
        """The proposals of a generation.

        Args:
            first: number of the first trial that they become.
            costs: to search with, with energy above idle.
            more: whether another generation may be asked for after this one.
            pending: architectures that are evaluated already, of which nothing is known yet.
        """

    def settle(self) -> None:
        """Wait until nothing goes on beside evaluations: this machine may measure then."""


def bounds_of(config: SearchConfig) -> CoefficientBounds:
    """The bounds that a run's settings give."""
    return CoefficientBounds(config.alpha, config.beta, config.gamma, config.delta)


def algorithm_of(
    config: SearchConfig,
    space: FBNetSpace,
    configurations: Sequence[RuntimeConfiguration] = (BASE,),
    *,
    start: int = 0,
) -> Algorithm:
    """The algorithm of a run's method.

    Args:
        config: names the method, its bounds and seed.
        space: of the architectures.
        configurations: of the run; where there are several, the configuration is one more gene.
        start: how many proposals were made before, where an asynchronous run goes on.
    """
    seed = int(np.random.SeedSequence(config.seed, spawn_key=(2,)).generate_state(1)[0])
    bounds, several = bounds_of(config), len(configurations) > 1
    algorithm: Algorithm
    size, constrained = generation_size(config), not config.limits.is_empty
    match config.method:
        case "dnas":
            genome = coefficient_genome(config, configurations)
            if not len(genome.lower):
                fixed: FixedProposal[Any] = FixedProposal(genome)
                fixed.ask(start)
                return fixed
            coefficients: Evolution[Any] = Evolution(
                genome,
                population=size,
                seed=seed + start,
                variation=configured_variation() if several else None,
                constrained=constrained,
            )
            return coefficients
        case "architectures":
            own = genome_of(space)
            architectures: Evolution[Any] = Evolution(
                ConfiguredGenome(own, tuple(configurations), real=False) if several else own,
                population=size,
                seed=seed + start,
                variation=categorical_variation(),
                constrained=constrained,
            )
            return architectures
        case "bayesian":
            algorithm = SpreadArchitectures(space, size, seed=seed)
        case "random":
            algorithm = RandomCoefficients(bounds, seed=seed)
        case "grid":
            algorithm = CoefficientGrid(bounds, points=config.population * config.generations, seed=seed)
    if several:
        algorithm = AssignedConfigurations(algorithm, configurations, seed=seed)
    algorithm.ask(start)
    return algorithm


def coefficient_genome(config: SearchConfig, configurations: Sequence[RuntimeConfiguration]) -> Genome[Any]:
    """The genome of coefficients, with a gene for the configuration where there are several."""
    bounds = bounds_of(config)
    return ConfiguredGenome(bounds, tuple(configurations)) if len(configurations) > 1 else bounds


def evaluations_of_generation(config: SearchConfig) -> int:
    """Architectures that the inner searches of a generation evaluate."""
    return config.population * (config.samples + 1)


def surrogate_generation_size(config: SearchConfig) -> int:
    """Architectures evaluated before the surrogate is fitted anew: few, as each fit makes the next choice better."""
    return 2 * config.population if config.proposals is None else config.proposals


def settled_for(config: SearchConfig, *, gpus: int) -> SearchConfig:
    """Settings of a new run, of which those that are left open follow from GPUs; without any they stay open.

    Args:
        config: of the run.
        gpus: that workers have at its start. Later numbers change nothing, so that a resumed run finds the same.
    """
    if not gpus or supernet_generations(config) == math.inf:
        return config
    size = max(surrogate_generation_size(config), gpus) if config.proposals is None else config.proposals
    beside = True if config.propose_beside is None else config.propose_beside
    return dataclasses.replace(config, proposals=size, propose_beside=beside)


def generation_size(config: SearchConfig) -> int:
    """Proposals of an algorithm in a generation.

    Of architectures, as many as inner searches would evaluate, and half as many where a surrogate goes on from them.
    """
    match config.method:
        case "architectures":
            return evaluations_of_generation(config)
        case "bayesian":
            return max(LEAST_FIRST, evaluations_of_generation(config) // 2)
    return config.population


def supernet_generations(config: SearchConfig) -> float:
    """Generations that are not searched on a surrogate; infinity if none is.

    A surrogate is one of the error of networks as they are, which is not what adaptive trials are judged by.
    """
    if config.method not in ("dnas", "bayesian") or config.independent or config.adaptive:
        return math.inf
    if config.method == "bayesian":
        return 1
    return config.supernet_generations if config.from_run is None else 0


def expected_trials(config: SearchConfig) -> int:
    """Trials of a whole search, if none of its generations falls short."""
    proposed = int(min(config.generations, supernet_generations(config)))
    return proposed * generation_size(config) + (config.generations - proposed) * surrogate_generation_size(config)


def trial_of(proposal: Proposal, *, number: int, generation: int) -> Trial:
    """The trial of a proposal."""
    configuration = None
    if isinstance(proposal, ConfiguredProposal):
        configuration, proposal = proposal.configuration, proposal.proposal
    if isinstance(proposal, Coefficients):
        return CoefficientTrial(number, generation, proposal, configuration)
    if isinstance(proposal, SurrogateProposal):
        return ArchitectureTrial(
            id=number,
            generation=generation,
            indices=proposal.indices,
            coefficients=proposal.coefficients,
            configuration=configuration,
        )
    return ArchitectureTrial(
        id=number, generation=generation, indices=proposal, coefficients=None, configuration=configuration
    )


def proposal_of(trial: Trial) -> Proposal:
    """What a trial tries."""
    plain: PlainProposal
    if isinstance(trial, CoefficientTrial):
        plain = trial.coefficients
    else:
        plain = trial.indices if trial.coefficients is None else SurrogateProposal(trial.indices, trial.coefficients)
    return plain if trial.configuration is None else ConfiguredProposal(plain, trial.configuration)


def tell_algorithm(
    algorithm: Algorithm, method: Method, trial: Trial, objectives: Objectives | None, violation: float = 0.0
) -> None:
    """Tell the algorithm of a method the objectives of a trial; what a surrogate proposed it did not ask for."""
    if isinstance(trial, CoefficientTrial) or method == "architectures":
        algorithm.tell([(proposal_of(trial), objectives)], [violation])


def violation_of(stored: StoredTrial, archive: Archive, tables: CostTables) -> float:
    """By how much a trial exceeds the limits of its run, each as a share of itself; 0 where it failed.

    Args:
        stored: the trial.
        archive: of the run.
        tables: what it was searched with, with energy above idle.
    """
    if stored.architecture_id is None or archive.limits.is_empty:
        return 0.0
    configuration, entry = stored.trial.configuration, archive[stored.architecture_id]
    table = archive.energy.table(tables.base if configuration is None else tables[configuration])
    indices = [table.operators.index(name) for name in entry.architecture.operators]
    return archive.limits.violation(table.latency_of(indices), table.energy_of(indices), entry.params or 0)


def kept_proposals(
    folder: RunFolder, propose: Callable[[], Sequence[SurrogateChoice]], *, first: int, begun: bool = False
) -> list[Proposal]:
    """What the search on a surrogate proposes; it is kept, so that a resumed run goes on with the same.

    Args:
        folder: of the run.
        propose: is asked where nothing is kept yet.
        first: number of the first trial that these proposals become.
        begun: whether that has ended.

    Raises:
        ValueError: if what was kept is damaged, or lost though its first trial has ended.
    """
    path = folder.surrogate_proposals(first)
    check_not_lost(path, what="the choices of a search on a surrogate", begun=begun)
    if not path.exists():
        write_sealed_json(path, {"choices": [_proposal_to_json(proposal) for proposal in propose()]})
    content = read_sealed_json(path, what="the choices of a search on a surrogate", remedy=RESTORE)
    try:
        return [_proposal_from_json(item) for item in content["choices"]]
    except (LookupError, TypeError, ValueError) as error:
        raise ValueError(
            f"the choices of a search on a surrogate must be of their form, but {str(path)!r} is not: "
            f"{reason_of(error)}. {RESTORE}"
        ) from None


def _proposal_to_json(proposal: SurrogateChoice) -> dict[str, Any]:
    if isinstance(proposal, SurrogateProposal):
        return dataclasses.asdict(proposal)
    plain = proposal.proposal
    assert isinstance(plain, SurrogateProposal), "a search on a surrogate proposes nothing else"
    return dataclasses.asdict(plain) | {"configuration": proposal.configuration.label}


def _proposal_from_json(item: dict[str, Any]) -> Proposal:
    given = item["coefficients"]
    proposal = SurrogateProposal(tuple(item["indices"]), None if given is None else Coefficients(**given))
    label = item.get("configuration")
    return proposal if label is None else ConfiguredProposal(proposal, RuntimeConfiguration.parse(label))


def indices_of(proposal: Proposal) -> Indices:
    """The architecture that a search on a surrogate proposes."""
    plain = proposal.proposal if isinstance(proposal, ConfiguredProposal) else proposal
    assert isinstance(plain, SurrogateProposal), "a search on a surrogate proposes nothing else"
    return plain.indices
