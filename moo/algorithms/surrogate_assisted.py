"""Many coefficient tuples on a surrogate of accuracy, and the choice of the architectures that are worth paying for.

Start at `steer`. NSGA-II evolves tuples; each has an inner search of its own, all of a generation in one batch, on the
surrogate's exact expectation instead of a supernet. Mode and samples of every theta are candidates. Those are chosen
whose evaluation is expected to add most hypervolume, given what the surrogate does not know.

Shape suffixes: C candidates, D directions, L layers, M objectives, N architectures, O operators, S samples, T tuples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import norm, qmc
from torch import Tensor

from dnas.losses import Coefficients
from moo.algorithms.nsga2 import Evolution, Genome

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]
ExpectedCost = Callable[[Tensor], Tensor]
"""Probabilities of operators (..., L, O) to the expected cost (...), positive and differentiable."""


class AccuracyModel(Protocol):
    """What steering needs of a surrogate; `dnas.surrogate.Surrogate` is one."""

    def expected_score(self, probs_TLO: Tensor) -> Tensor:
        """Expectation of a monotone transform of error with a deviation of about 1, shape (T,); differentiable."""

    def predict(self, indices_CL: Integers) -> tuple[Floats, Floats]:
        """Mean and standard deviation of errors."""

    def sample_errors(self, indices_CL: Integers, count: int, rng: np.random.Generator) -> Floats:
        """Joint samples of errors, shape (count, C)."""


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
    shortlist: int = 150
    """Candidates that are judged jointly."""
    draws: int = 24
    """Joint samples of their errors."""
    directions: int = 256
    """Directions over which hypervolume is averaged."""

    def __post_init__(self) -> None:
        for name, least in (
            ("tuples", 4), ("generations", 1), ("steps", 1), ("samples", 0), ("shortlist", 1), ("draws", 1),
            ("directions", 1),
        ):  # fmt: skip
            if getattr(self, name) < least:
                raise ValueError(f"`{name} >= {least}` must hold for steering, but got {getattr(self, name)}.")
        if not self.lr > 0:
            raise ValueError(f"`lr > 0` must hold, but got {self.lr}.")
        for name in ("initial_scale", "entropy_weight"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"`{name} >= 0` must hold, but got {getattr(self, name)}.")


@dataclass(frozen=True)
class Evaluated:
    """Architectures that were paid for."""

    indices_NL: Integers
    error_N: Floats


@dataclass(frozen=True)
class Choice:
    """An architecture worth paying for."""

    indices: tuple[int, ...]
    coefficients: Coefficients
    """The first tuple whose theta gave it."""


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
) -> list[Choice]:
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
        settings=settings, rng=rng,
    )  # fmt: skip
    return [Choice(tuple(candidates_CL[place].tolist()), tuples[owner_C[place]]) for place in chosen]


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


def most_promising(
    model: AccuracyModel,
    costs: Sequence[ExpectedCost],
    evaluated: Evaluated,
    candidates_CL: Integers,
    *,
    reference_M: Floats,
    num_operators: int,
    count: int,
    settings: SteeringSettings,
    rng: np.random.Generator,
) -> list[int]:
    """Places of the candidates whose evaluation is expected to add most hypervolume together, chosen one by one.

    Hypervolume is an average over directions from the reference point of the best scalarised objective to the power of
    the number of objectives, which makes it quick to tell what each candidate adds to many samples of errors.

    Source: Zhang and Golovin, "Random Hypervolume Scalarizations" (ICML 2020), Lemma 5; greedy joint choice as in
    Daulton et al., "Differentiable Expected Hypervolume Improvement" (NeurIPS 2020), section 3.3.
    """
    seen_NM = np.column_stack([evaluated.error_N, costs_of(costs, evaluated.indices_NL, num_operators)])
    cost_CM = costs_of(costs, candidates_CL, num_operators)
    lowest_M = np.append(seen_NM[:, 0].min(), np.minimum(seen_NM[:, 1:].min(0), cost_CM.min(0)))
    frame = _Frame(reference_M, lowest_M, _directions(settings.directions, len(reference_M), rng))
    best_D = frame.volumes(seen_NM[:, 0], seen_NM[:, 1:]).max(0)
    mean_C, std_C = model.predict(candidates_CL)
    gain_C = np.zeros(len(mean_C))
    for deviations in norm.ppf((np.arange(5) + 0.5) / 5):
        gain_C += (frame.volumes(mean_C + deviations * std_C, cost_CM) - best_D).clip(0).mean(-1)
    short_C = np.argsort(-gain_C, kind="stable")[: settings.shortlist]
    error_SC = model.sample_errors(candidates_CL[short_C], settings.draws, rng)
    volume_SCD = np.stack([frame.volumes(error_C, cost_CM[short_C]) for error_C in error_SC])
    best_SD = np.repeat(best_D[None], settings.draws, 0)
    chosen: list[int] = []
    for _ in range(min(count, len(short_C))):
        gain_C = (volume_SCD - best_SD[:, None]).clip(0).mean((0, 2))
        gain_C[chosen] = -1
        chosen.append(int(gain_C.argmax()))
        best_SD = np.maximum(best_SD, volume_SCD[:, chosen[-1]])
    return [int(short_C[place]) for place in chosen]


def costs_of(costs: Sequence[ExpectedCost], indices_NL: Integers, num_operators: int) -> Floats:
    """Costs of architectures, shape (N, number of costs)."""
    indices = torch.from_numpy(np.ascontiguousarray(indices_NL, np.int64))
    one_NLO = torch.nn.functional.one_hot(indices, num_operators).float()
    return np.column_stack([cost(one_NLO).double().numpy() for cost in costs])


@dataclass(frozen=True)
class _Frame:
    """Where hypervolume is measured."""

    reference_M: Floats
    lowest_M: Floats
    directions_DM: npt.NDArray[np.float32]

    def volumes(self, error_C: Floats, cost_CM: Floats) -> npt.NDArray[np.float32]:
        """What each point dominates along each direction, shape (C, D)."""
        objectives_CM = np.column_stack([error_C, cost_CM])
        gap_CM = ((self.reference_M - objectives_CM) / (self.reference_M - self.lowest_M)).clip(0).astype(np.float32)
        reach_CD = gap_CM[:, :1] / self.directions_DM[:, 0]
        for objective in range(1, gap_CM.shape[1]):
            np.minimum(reach_CD, gap_CM[:, objective, None] / self.directions_DM[:, objective], out=reach_CD)
        volume_CD: npt.NDArray[np.float32] = reach_CD ** gap_CM.shape[1]
        return volume_CD


def _directions(count: int, objectives: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Evenly spread directions into the positive orthant, shape (D, M)."""
    sobol = qmc.Sobol(objectives, seed=rng)
    even_DM = sobol.random_base2(max(1, int(np.ceil(np.log2(count)))))[:count]
    raw_DM = np.abs(norm.ppf(even_DM.clip(1e-6, 1 - 1e-6))) + 1e-6
    unit_DM: npt.NDArray[np.float32] = (raw_DM / np.linalg.norm(raw_DM, axis=1, keepdims=True)).astype(np.float32)
    return unit_DM


def _not_among(indices_CL: Integers, known_NL: Integers) -> npt.NDArray[np.bool_]:
    known = {tuple(row) for row in known_NL.tolist()}
    return np.array([tuple(row) not in known for row in indices_CL.tolist()], bool)
