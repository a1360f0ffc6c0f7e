"""NSGA-II over coefficients on a surrogate of accuracy, and the choice of the architectures that are worth paying for.

Start at `propose`. All inner searches of a generation run in one batch on the surrogate's exact expectation
(`dnas.surrogate_search`) instead of a supernet. Mode and samples of every theta are candidates. Those are chosen whose
evaluation is expected to add most hypervolume, given what the surrogate does not know.

Shape suffixes: C candidates, L layers, M objectives, N architectures, O operators, T inner searches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dnas.losses import Coefficients
from dnas.surrogate_search import CrossEntropyScale, ExpectedCost, SurrogateSearchSettings, search_thetas
from moo.algorithms.acquisition import (
    AccuracyModel,
    AcquisitionSettings,
    EvaluatedArchitectures,
    Floats,
    Integers,
    most_promising,
)
from moo.algorithms.base import SurrogateProposal
from moo.algorithms.nsga2 import Evolution, Genome


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


def propose(
    model: AccuracyModel,
    scale: CrossEntropyScale,
    costs: Sequence[ExpectedCost],
    evaluated: EvaluatedArchitectures,
    genome: Genome[Coefficients],
    *,
    reference_M: Floats,
    num_operators: int,
    count: int,
    settings: SurrogateAssistedSettings,
    rng: np.random.Generator,
) -> list[SurrogateProposal]:
    """Search many coefficients on the surrogate, and choose what to evaluate next.

    Args:
        model: fitted to what was evaluated.
        scale: of its scores.
        costs: one or two, as latency and energy.
        evaluated: these architectures are not chosen again.
        genome: bounds of the coefficients.
        reference_M: reference point of the hypervolume: error, then each cost.
        num_operators: operators that a layer can have.
        count: architectures to choose.
        settings: how much is searched.
        rng: of everything random.

    Returns:
        At most `count` proposals, the most promising first; fewer where searches lead to no more that is new.
    """
    shape = (evaluated.indices_NL.shape[1], num_operators)
    evolution = Evolution(genome, population=settings.population, seed=int(rng.integers(2**31)))
    searched: list[Coefficients] = []
    thetas = []
    for _ in range(settings.generations):
        asked = evolution.ask(settings.population)
        theta_TLO = search_thetas(model, scale, costs, asked, shape, settings.search, rng)
        probs_TLO = torch.softmax(theta_TLO, -1)
        figures = [model.expected_score(probs_TLO), *(cost(probs_TLO) for cost in costs)]
        figures += [torch.zeros(len(asked))] * (3 - len(figures))
        outcomes = [(error, latency, energy) for error, latency, energy in torch.stack(figures, -1).tolist()]
        evolution.tell(list(zip(asked, outcomes, strict=True)))
        searched += asked
        thetas.append(theta_TLO)
    candidates_CL, owner_C = candidates_of(torch.cat(thetas), settings.samples, rng)
    new_C = _not_among(candidates_CL, evaluated.indices_NL)
    candidates_CL, owner_C = candidates_CL[new_C], owner_C[new_C]
    if not len(candidates_CL):
        return []
    chosen = most_promising(
        model, costs, evaluated, candidates_CL, reference_M=reference_M, num_operators=num_operators, count=count,
        settings=settings.acquisition, rng=rng,
    )  # fmt: skip
    return [SurrogateProposal(tuple(candidates_CL[place].tolist()), searched[owner_C[place]]) for place in chosen]


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
