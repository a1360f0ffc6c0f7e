"""Many coefficient tuples on a surrogate of accuracy, and the choice of the architectures that are worth paying for.

Start at `steer`. NSGA-II evolves tuples; each has an inner search of its own, all of a generation in one batch, on the
surrogate's exact expectation instead of a supernet. Mode and samples of every theta are candidates. Those are chosen
whose evaluation is expected to add most hypervolume, given what the surrogate does not know.

Shape suffixes: C candidates, D directions, L layers, M objectives, N architectures, O operators, S samples, T tuples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dnas.losses import Coefficients
from moo.algorithms.acquisition import (
    AccuracyModel,
    AcquisitionSettings,
    Evaluated,
    ExpectedCost,
    Floats,
    Integers,
    most_promising,
)
from moo.algorithms.base import SurrogateProposal
from moo.algorithms.nsga2 import Evolution, Genome


@dataclass(frozen=True)
class SteeringSettings:
    """How much is searched on the surrogate, and how candidates are judged."""

    tuples: int = 64
    """Coefficient tuples in a generation."""
    generations: int = 3
    """Generations of NSGA-II."""
    steps: int = 50
    """Gradient steps on theta in each inner search."""
    lr: float = 0.3
    """Learning rate of Adam on theta."""
    initial_scale: float = 1.0
    """Standard deviation of the random initial theta."""
    entropy_weight: float = 0.05
    """Reward for the mean entropy of theta."""
    samples: int = 4
    """Architectures drawn from each theta, besides its mode."""
    acquisition: AcquisitionSettings = field(default_factory=AcquisitionSettings)
    """How candidates are judged."""

    def __post_init__(self) -> None:
        for name, least in (
            ("tuples", 4), ("generations", 1), ("steps", 1), ("samples", 0),
        ):  # fmt: skip
            if getattr(self, name) < least:
                raise ValueError(f"`{name} >= {least}` must hold for steering, but got {getattr(self, name)}.")
        if not self.lr > 0:
            raise ValueError(f"`lr > 0` must hold, but got {self.lr}.")
        for name in ("initial_scale", "entropy_weight"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"`{name} >= 0` must hold, but got {getattr(self, name)}.")


def steer(
    model: AccuracyModel,
    costs: Sequence[ExpectedCost],
    evaluated: Evaluated,
    genome: Genome[Coefficients],
    *,
    reference_M: Floats,
    num_operators: int,
    count: int,
    settings: SteeringSettings,
    rng: np.random.Generator,
) -> list[SurrogateProposal]:
    """Search tuples on the surrogate, and choose what to evaluate next.

    Args:
        model: fitted to what was evaluated.
        costs: one or two, as latency and energy.
        evaluated: these architectures are not chosen again.
        genome: bounds of the tuples.
        reference_M: reference point of the hypervolume: error, then each cost.
        num_operators: operators that a layer can have.
        count: architectures to choose.
        settings: how much is searched.
        rng: of everything random.

    Returns:
        At most `count` choices, the most promising first; fewer where tuples lead to no more that is new.
    """
    shape = (evaluated.indices_NL.shape[1], num_operators)
    evolution = Evolution(genome, population=settings.tuples, seed=int(rng.integers(2**31)))
    tuples: list[Coefficients] = []
    thetas = []
    for _ in range(settings.generations):
        asked = evolution.ask(settings.tuples)
        theta_TLO = search_thetas(model, costs, asked, shape, settings, rng)
        probs_TLO = torch.softmax(theta_TLO, -1)
        figures = [model.expected_score(probs_TLO), *(cost(probs_TLO) for cost in costs)]
        figures += [torch.zeros(len(asked))] * (3 - len(figures))
        outcomes = [(error, latency, energy) for error, latency, energy in torch.stack(figures, -1).tolist()]
        evolution.tell(list(zip(asked, outcomes, strict=True)))
        tuples += asked
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
    return [SurrogateProposal(tuple(candidates_CL[place].tolist()), tuples[owner_C[place]]) for place in chosen]


def search_thetas(
    model: AccuracyModel,
    costs: Sequence[ExpectedCost],
    tuples: Sequence[Coefficients],
    shape: tuple[int, int],
    settings: SteeringSettings,
    rng: np.random.Generator,
) -> Tensor:
    """Inner searches of all tuples at once.

    Each minimises `score + alpha (LAT / LAT_ref)^beta + gamma (ENER / ENER_ref)^delta` over its own theta, less the
    weighted entropy; references are costs of uniform theta.

    Args:
        model: gives the expected score.
        costs: one or two; without a second the energy term is left out.
        tuples: the coefficients.
        shape: layers and operators.
        settings: steps and so on.
        rng: of the initial theta.

    Returns:
        Final theta, shape (T, L, O).
    """
    theta_TLO = torch.from_numpy(rng.normal(0.0, settings.initial_scale, (len(tuples), *shape))).float()
    theta_TLO.requires_grad_()
    uniform_LO = torch.full(shape, 1 / shape[1])
    references = [float(cost(uniform_LO)) for cost in costs]
    weights = torch.tensor([[(c.alpha, c.beta), (c.gamma, c.delta)] for c in tuples])
    optimizer = torch.optim.Adam([theta_TLO], lr=settings.lr, betas=(0.9, 0.99))
    for _ in range(settings.steps):
        log_probs_TLO = torch.log_softmax(theta_TLO, -1)
        probs_TLO = log_probs_TLO.exp()
        loss_T = model.expected_score(probs_TLO)
        for place, (cost, reference) in enumerate(zip(costs, references, strict=True)):
            weight_T, exponent_T = weights[:, place].unbind(-1)
            loss_T = loss_T + weight_T * (cost(probs_TLO) / reference) ** exponent_T
        entropy_T = -(probs_TLO * log_probs_TLO).sum(-1).mean(-1)
        optimizer.zero_grad()
        torch.autograd.backward((loss_T - settings.entropy_weight * entropy_T).sum())
        optimizer.step()
    return theta_TLO.detach()


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
