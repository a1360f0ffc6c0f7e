"""NSGA-II over coefficients on a surrogate of accuracy, beside a local search over architectures.

Start at `propose`. All inner searches of a generation run in one batch on the surrogate's exact expectation
(`dnas.surrogate_search`) instead of a supernet. Mode and samples of every theta are candidates, and so is what a local
search over architectures finds (`moo.bayesian`). Those are chosen whose evaluation is expected to add most hypervolume,
from each of the two sources as many as it has seats.

Shape suffixes: C candidates, L layers, M objectives, N architectures, O operators, T inner searches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from devices.configuration import RuntimeConfiguration
from dnas.losses import Coefficients
from dnas.surrogate_search import (
    CrossEntropyScale,
    ExpectedCost,
    ScoreModel,
    SurrogateSearchSettings,
    chosen_costs,
    search_thetas,
)
from moo.algorithms.base import ConfiguredProposal, SurrogateProposal
from moo.algorithms.genomes import Genome
from moo.algorithms.nsga2 import Evolution, configured_variation
from moo.bayesian.inputs import Integers
from moo.bayesian.search import Candidates, LocalSearch
from moo.trials import Objectives

CandidateSource = Literal["coefficients", "neighbours"]
"""Inner searches for coefficients on the surrogate, or the local search over architectures."""


FoundCandidates = tuple[Integers, Callable[[int], "SurrogateProposal | ConfiguredProposal"]]
"""Architectures (C, L), all different, and from the place of one what it is to be proposed as."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SurrogateAssistedSettings:
    """How many coefficients are searched on the surrogate."""

    population: int = 64
    """Coefficients in a generation."""
    generations: int = 3
    """Generations of NSGA-II."""
    samples: int = 4
    """Architectures drawn from each theta, besides its mode."""
    search: SurrogateSearchSettings = field(default_factory=SurrogateSearchSettings)
    """How each theta is searched."""

    def __post_init__(self) -> None:
        for name, least in (("population", 4), ("generations", 1), ("samples", 0)):
            if getattr(self, name) < least:
                raise ValueError(
                    f"`{name} >= {least}` must hold for a search on a surrogate, but got {getattr(self, name)}."
                )


@dataclass(frozen=True)
class CostLimit:
    """A limit on a cost."""

    costs: Sequence[ExpectedCost]
    """In each runtime configuration."""
    highest: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CoefficientSearch:
    """What coefficients are searched with on the surrogate."""

    model: ScoreModel
    """Fitted to what was evaluated."""
    scale: CrossEntropyScale
    """Of its scores."""
    costs: Sequence[Sequence[ExpectedCost]]
    """For each runtime configuration one or two, as latency and energy."""
    genome: Genome[Any]
    """Bounds of the coefficients, with a gene for the configuration where there are several."""
    shape: tuple[int, int]
    """Layers and operators."""
    limits: Sequence[CostLimit] = ()
    """What coefficients lead to should keep these."""
    settings: SurrogateAssistedSettings = field(default_factory=SurrogateAssistedSettings)

    def candidates(self, configurations: Sequence[RuntimeConfiguration], rng: np.random.Generator) -> FoundCandidates:
        """Search many coefficients.

        Args:
            configurations: those of the costs, where there are several.
            rng: of everything random.

        Returns:
            Architectures (C, L), all different, and from the place of one what it is to be proposed as.
        """
        searches = _Searches(
            self.genome, configurations, self.settings, seed=int(rng.integers(2**31)), constrained=len(self.limits) > 0
        )
        thetas = []
        for _ in range(self.settings.generations):
            asked, choice_T = searches.ask()
            own = [chosen_costs(kind, choice_T) for kind in zip(*self.costs, strict=True)]
            coefficients = searches.coefficients(asked)
            theta_TLO = search_thetas(
                self.model, self.scale, own, coefficients, self.shape, self.settings.search, rng
            )  # fmt: skip
            probs_TLO = torch.softmax(theta_TLO, -1)
            figures = [self.model.expected_score(probs_TLO), *(cost(probs_TLO) for cost in own)]
            figures += [torch.zeros(len(asked))] * (3 - len(figures))
            outcomes = [(error, latency, energy) for error, latency, energy in torch.stack(figures, -1).tolist()]
            searches.tell(asked, outcomes, _violations(self.limits, probs_TLO, choice_T))
            thetas.append(theta_TLO)
        candidates_CL, owner_C = candidates_of(torch.cat(thetas), self.settings.samples, rng)

        def proposal(place: int) -> SurrogateProposal | ConfiguredProposal:
            return searches.proposal(int(owner_C[place]), tuple(candidates_CL[place].tolist()))

        return candidates_CL, proposal


def propose(
    local: LocalSearch,
    seats: Mapping[CandidateSource, int],
    searched: FoundCandidates | None,
    *,
    configurations: Sequence[RuntimeConfiguration] = (),
) -> list[SurrogateProposal | ConfiguredProposal]:
    """Choose what to evaluate next.

    Args:
        local: of what was evaluated; judges all candidates.
        seats: how many architectures to choose of each source that there is; where one has fewer, the other has more.
        searched: what coefficients led to; None for none.
        configurations: where there are several.

    Returns:
        Proposals, the most promising first; fewer than there are seats where searches lead to no more that is new.
    """
    sources: dict[CandidateSource, Candidates] = {}
    if searched is not None:
        found_CL, proposal = searched
        proposals = {tuple(row): place for place, row in enumerate(found_CL.tolist())}
        sources["coefficients"] = local.judged(found_CL)
    if "neighbours" in seats:
        sources["neighbours"] = local.candidates(sources.get("coefficients"))
    chosen: list[SurrogateProposal | ConfiguredProposal] = []
    for source, place in local.chosen_together(sources, {name: seats.get(name, 0) for name in sources}):
        indices_L = sources[source].indices_CL[place]
        indices = tuple(indices_L.tolist())
        if source == "coefficients":
            chosen.append(proposal(proposals[indices]))
            continue
        plain = SurrogateProposal(indices, None)
        several = len(configurations) > 1
        chosen.append(ConfiguredProposal(plain, configurations[local.suits(indices_L)]) if several else plain)
    return chosen


class _Searches:
    """The inner searches so far: NSGA-II over their coefficients and, where there are several, configurations."""

    def __init__(
        self,
        genome: Genome[Any],
        configurations: Sequence[RuntimeConfiguration],
        settings: SurrogateAssistedSettings,
        *,
        seed: int,
        constrained: bool,
    ) -> None:
        self._genome = genome
        self._configurations = tuple(configurations)
        self._population = settings.population
        self._asked: list[Any] = []
        self.choices: list[int] = []
        """Index of the configuration of each search."""
        variation = configured_variation() if configurations else None
        self._evolution: Evolution[Any] | None = None
        if len(genome.lower):
            self._evolution = Evolution(
                genome, population=settings.population, seed=seed, variation=variation, constrained=constrained
            )

    def ask(self) -> tuple[list[Any], list[int]]:
        """What is searched next, and the index of each one's configuration."""
        if self._evolution is None:
            # Coefficients that are fixed are searched from as many random beginnings.
            asked = [self._genome.decode(())] * self._population
        else:
            asked = self._evolution.ask(self._population)
            known = [*self._asked, *asked]
            # So are fixed ones in each of several configurations, of which there are few.
            asked += [known[place % len(known)] for place in range(self._population - len(asked))]
        choices = [
            self._configurations.index(one.configuration) if isinstance(one, ConfiguredProposal) else 0 for one in asked
        ]
        self._asked += asked
        self.choices += choices
        return asked, choices

    def tell(self, asked: Sequence[Any], outcomes: Sequence[Objectives], violations: Sequence[float]) -> None:
        """What searches came to."""
        if self._evolution is not None:
            self._evolution.tell(list(zip(asked, outcomes, strict=True)), violations)

    @staticmethod
    def coefficients(asked: Sequence[Any]) -> list[Coefficients]:
        """Of searches, without their configurations."""
        plain: list[Coefficients] = [getattr(one, "proposal", one) for one in asked]
        return plain

    def proposal(self, owner: int, indices: tuple[int, ...]) -> SurrogateProposal | ConfiguredProposal:
        """An architecture that a search gave."""
        one = self._asked[owner]
        if isinstance(one, ConfiguredProposal):
            return ConfiguredProposal(SurrogateProposal(indices, self.coefficients([one])[0]), one.configuration)
        return SurrogateProposal(indices, one)


def _violations(limits: Sequence[CostLimit], probs_TLO: Tensor, choice_T: Sequence[int]) -> list[float]:
    """By how much each of T searches or architectures exceeds the limits, each as a share of itself."""
    total_T = torch.zeros(len(probs_TLO))
    for limit in limits:
        total_T = total_T + (chosen_costs(limit.costs, choice_T)(probs_TLO) / limit.highest - 1).clamp(min=0)
    violations: list[float] = total_T.tolist()
    return violations


def candidates_of(theta_TLO: Tensor, samples: int, rng: np.random.Generator) -> tuple[Integers, Integers]:
    """Modes of all thetas, then samples of each, all different.

    Returns:
        Architectures (C, L), and the first theta that gave each (C,).
    """
    theta = theta_TLO.double().numpy()
    noise = rng.gumbel(size=(samples, *theta.shape))
    drawn = np.concatenate([theta[None], theta + noise]).argmax(-1)
    owners = np.tile(np.arange(len(theta)), samples + 1)
    flat = drawn.reshape(-1, theta.shape[1])
    _, first = np.unique(flat, axis=0, return_index=True)
    first = np.sort(first)
    return flat[first], owners[first]
