"""NSGA-II over coefficients on a surrogate of accuracy, and the choice of the architectures that are worth paying for.

Start at `propose`. All inner searches of a generation run in one batch on the surrogate's exact expectation
(`dnas.surrogate_search`) instead of a supernet. Mode and samples of every theta are candidates. Those are chosen whose
evaluation is expected to add most hypervolume, given what the surrogate does not know.

Shape suffixes: C candidates, L layers, M objectives, N architectures, O operators, T inner searches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from devices.configuration import RuntimeConfiguration
from dnas.losses import Coefficients
from dnas.surrogate_search import (
    CrossEntropyScale,
    ExpectedCost,
    SurrogateSearchSettings,
    chosen_costs,
    search_thetas,
)
from moo.algorithms.acquisition import (
    AccuracyModel,
    AcquisitionSettings,
    EvaluatedArchitectures,
    Floats,
    Integers,
    most_promising,
)
from moo.algorithms.base import ConfiguredProposal, SurrogateProposal
from moo.algorithms.genomes import Genome
from moo.algorithms.nsga2 import Evolution, configured_variation
from moo.trials import Objectives


@dataclass(frozen=True, kw_only=True, slots=True)
class SurrogateAssistedSettings:
    """How much is searched on the surrogate, and how candidates are judged."""

    population: int = 64
    """Coefficients in a generation."""
    generations: int = 3
    """Generations of NSGA-II."""
    samples: int = 4
    """Architectures drawn from each theta, besides its mode."""
    search: SurrogateSearchSettings = field(default_factory=SurrogateSearchSettings)
    """How each theta is searched."""
    acquisition: AcquisitionSettings = field(default_factory=AcquisitionSettings)
    """How candidates are judged."""

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


def propose(
    model: AccuracyModel,
    scale: CrossEntropyScale,
    costs: Sequence[Sequence[ExpectedCost]],
    evaluated: EvaluatedArchitectures,
    genome: Genome[Any],
    *,
    configurations: Sequence[RuntimeConfiguration] = (),
    limits: Sequence[CostLimit] = (),
    reference_M: Floats,
    num_operators: int,
    count: int,
    settings: SurrogateAssistedSettings,
    rng: np.random.Generator,
) -> list[SurrogateProposal | ConfiguredProposal]:
    """Search many coefficients on the surrogate, and choose what to evaluate next.

    Args:
        model: fitted to what was evaluated.
        scale: of its scores.
        costs: for each runtime configuration one or two, as latency and energy.
        evaluated: these architectures are not chosen again.
        genome: bounds of the coefficients, with a gene for the configuration where there are several.
        configurations: those of the costs, where there are several.
        limits: what exceeds them is chosen only where nothing else is left.
        reference_M: reference point of the hypervolume: error, then each cost.
        num_operators: operators that a layer can have.
        count: architectures to choose.
        settings: how much is searched.
        rng: of everything random.

    Returns:
        At most `count` proposals, the most promising first; fewer where searches lead to no more that is new.
    """
    shape = (evaluated.indices_NL.shape[1], num_operators)
    search = _Searches(genome, configurations, settings, seed=int(rng.integers(2**31)), constrained=len(limits) > 0)
    thetas = []
    for _ in range(settings.generations):
        asked, choice_T = search.ask()
        own = [chosen_costs(kind, choice_T) for kind in zip(*costs, strict=True)]
        theta_TLO = search_thetas(model, scale, own, search.coefficients(asked), shape, settings.search, rng)
        probs_TLO = torch.softmax(theta_TLO, -1)
        figures = [model.expected_score(probs_TLO), *(cost(probs_TLO) for cost in own)]
        figures += [torch.zeros(len(asked))] * (3 - len(figures))
        outcomes = [(error, latency, energy) for error, latency, energy in torch.stack(figures, -1).tolist()]
        search.tell(asked, outcomes, _violations(limits, probs_TLO, choice_T))
        thetas.append(theta_TLO)
    candidates_CL, owner_C = candidates_of(torch.cat(thetas), settings.samples, rng)
    new_C = _not_among(candidates_CL, evaluated.indices_NL)
    candidates_CL, owner_C = candidates_CL[new_C], owner_C[new_C]
    if not len(candidates_CL):
        return []
    if limits:
        one_CLO = torch.nn.functional.one_hot(torch.from_numpy(candidates_CL), num_operators).float()
        violation_C = np.array(_violations(limits, one_CLO, [search.choices[place] for place in owner_C]))
        kept_C = violation_C <= max(0.0, violation_C.min())
        candidates_CL, owner_C = candidates_CL[kept_C], owner_C[kept_C]
    chosen = most_promising(
        model, costs, evaluated, candidates_CL, reference_M=reference_M, num_operators=num_operators, count=count,
        settings=settings.acquisition, rng=rng,
    )  # fmt: skip
    return [search.proposal(int(owner_C[place]), tuple(candidates_CL[place].tolist())) for place in chosen]


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


def _not_among(indices_CL: Integers, known_NL: Integers) -> npt.NDArray[np.bool_]:
    known = {tuple(row) for row in known_NL.tolist()}
    return np.array([tuple(row) not in known for row in indices_CL.tolist()], bool)
