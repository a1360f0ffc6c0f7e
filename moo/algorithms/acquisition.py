"""Which candidates are worth paying for: those expected to add most hypervolume. Start at `most_promising`.

Shape suffixes: C candidates, D directions, K configurations, L layers, M objectives, N architectures, O operators,
S samples, T trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import norm, qmc

from dnas.surrogate_search import ExpectedCost, ScoreModel

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]


class AccuracyModel(ScoreModel, Protocol):
    """What the algorithm needs of a surrogate; `dnas.surrogate.Surrogate` is one."""

    def predict(self, indices_CL: Integers) -> tuple[Floats, Floats]:
        """Mean and standard deviation of errors."""

    def sample_errors(self, indices_CL: Integers, count: int, rng: np.random.Generator) -> Floats:
        """Joint samples of errors, shape (count, C)."""


@dataclass(frozen=True)
class AcquisitionSettings:
    """How candidates are judged."""

    shortlist: int = 150
    """Candidates that are judged jointly."""
    draws: int = 24
    """Joint samples of their errors."""
    directions: int = 256
    """Directions over which hypervolume is averaged."""

    def __post_init__(self) -> None:
        for name in ("shortlist", "draws", "directions"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name} >= 1` must hold for an acquisition, but got {getattr(self, name)}.")


@dataclass(frozen=True)
class EvaluatedArchitectures:
    """Architectures that were paid for."""

    indices_NL: Integers
    error_N: Floats

    def with_expected(self, model: AccuracyModel, pending_NL: Integers) -> EvaluatedArchitectures:
        """These, and others whose evaluation has not ended, with the errors that are expected of them.

        Source: Ginsbourger et al., "Kriging is well-suited to parallelize optimization" (2010), the "kriging believer",
        here with a model that is fitted to what is known alone.

        Args:
            model: fitted to what was evaluated.
            pending_NL: the others.
        """
        expected_N, _ = model.predict(pending_NL)
        return EvaluatedArchitectures(
            np.concatenate([self.indices_NL, pending_NL]), np.concatenate([self.error_N, expected_N])
        )


def most_promising(
    model: AccuracyModel,
    costs: Sequence[Sequence[ExpectedCost]],
    evaluated: EvaluatedArchitectures,
    candidates_CL: Integers,
    *,
    reference_M: Floats,
    num_operators: int,
    count: int,
    settings: AcquisitionSettings,
    rng: np.random.Generator,
) -> list[int]:
    """Places of the candidates whose evaluation is expected to add most hypervolume together, chosen one by one.

    An evaluated architecture is a point in each runtime configuration, all with one error, so what counts is the best
    of them in each direction.

    Hypervolume is an average over directions from the reference point of the best scalarised objective to the power of
    the number of objectives, which makes it quick to tell what each candidate adds to many samples of errors.

    Source: Zhang and Golovin, "Random Hypervolume Scalarizations" (ICML 2020), Lemma 5; greedy joint choice as in
    Daulton et al., "Differentiable Expected Hypervolume Improvement" (NeurIPS 2020), section 3.3.

    Args:
        model: fitted to what was evaluated.
        costs: for each runtime configuration one or two, as latency and energy.
        evaluated: what is known.
        candidates_CL: to choose from.
        reference_M: reference point of the hypervolume: error, then each cost. Its error gives way to the worst one
            evaluated as long as none is below it, so that what is better than all others adds most even there.
        num_operators: operators that a layer can have.
        count: candidates to choose.
        settings: how candidates are judged.
        rng: of everything random.
    """
    seen_KNM = np.stack([costs_of(own, evaluated.indices_NL, num_operators) for own in costs])
    cost_KCM = np.stack([costs_of(own, candidates_CL, num_operators) for own in costs])
    lowest_M = np.append(evaluated.error_N.min(), np.minimum(seen_KNM.min((0, 1)), cost_KCM.min((0, 1))))
    if lowest_M[0] >= reference_M[0]:
        reference_M = np.append(evaluated.error_N.max() + 1e-3, reference_M[1:])
    frame = _Frame(reference_M, lowest_M, _directions(settings.directions, len(reference_M), rng))
    best_D = frame.best_volumes(evaluated.error_N, seen_KNM).max(0)
    mean_C, std_C = model.predict(candidates_CL)
    gain_C = np.zeros(len(mean_C))
    for deviations in norm.ppf((np.arange(5) + 0.5) / 5):
        gain_C += (frame.best_volumes(mean_C + deviations * std_C, cost_KCM) - best_D).clip(0).mean(-1)
    short_C = np.argsort(-gain_C, kind="stable")[: settings.shortlist]
    error_SC = model.sample_errors(candidates_CL[short_C], settings.draws, rng)
    volume_SCD = np.stack([frame.best_volumes(error_C, cost_KCM[:, short_C]) for error_C in error_SC])
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

    def best_volumes(self, error_C: Floats, cost_KCM: Floats) -> npt.NDArray[np.float32]:
        """What the best of each candidate's K points dominates along each direction, shape (C, D)."""
        best_CD = self.volumes(error_C, cost_KCM[0])
        for cost_CM in cost_KCM[1:]:
            np.maximum(best_CD, self.volumes(error_C, cost_CM), out=best_CD)
        return best_CD

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
