"""Leaving a network where an exit is confident enough, judged on cached outcomes. Start with `judged`.

A policy has a threshold for each exit: an image leaves at the first whose largest softmax exceeds it. 0 is always
exceeded, 1 never. The oracle, which stops at the first exit that is right, cannot be deployed, as it knows the labels;
it is a bound, and the figures of HADAS (Bouzidi et al., DATE 2023) rest on it.
Array shapes: N images, E exits, X = E + 1 ways through the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluation.early_exits.outcomes import ExitOutcomes

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Judged:
    """What a way of leaving comes to."""

    error: float
    """In [0, 1]."""
    cross_entropy: float
    """Mean, in nats."""
    shares_X: Floats
    """Share of images that leave at each exit, and last of those that pass all; in all 1."""


def check_thresholds(thresholds: Sequence[float], exits: int) -> None:
    """Check that there is a threshold in [0, 1] for each exit.

    Raises:
        ValueError: else.
    """
    if len(thresholds) != exits:
        raise ValueError(f"there must be one threshold for each of {exits} exits, but got {len(thresholds)}.")
    for value in thresholds:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise ValueError(
                f"a threshold must be from 0 (always leave) to 1 (never leave), as confidences are, but got {value!r}."
            )


def ways_taken(confidence_XN: npt.NDArray[np.float32], thresholds_E: Sequence[float]) -> npt.NDArray[np.intp]:
    """The way that each image takes, shape (N,): the exit where it leaves, or E where it passes all.

    Args:
        confidence_XN: of each exit; rows beyond the thresholds are not looked at.
        thresholds_E: of each exit.
    """
    thresholds_E1 = np.asarray(thresholds_E, np.float32)[:, None]
    leaves_EN = confidence_XN[: len(thresholds_E)] > thresholds_E1
    passes_all_1N = np.ones((1, confidence_XN.shape[1]), bool)
    ways_N: npt.NDArray[np.intp] = np.concatenate([leaves_EN, passes_all_1N]).argmax(0)
    return ways_N


def judged(outcomes: ExitOutcomes, thresholds_E: Sequence[float]) -> Judged:
    """What leaving by thresholds comes to.

    Args:
        outcomes: of the exits that the network has.
        thresholds_E: of each, in [0, 1].

    Raises:
        ValueError: if a threshold is missing or out of range.
    """
    check_thresholds(thresholds_E, len(outcomes.exits))
    return _of_ways(outcomes, ways_taken(outcomes.confidence_XN, thresholds_E))


def oracle(outcomes: ExitOutcomes) -> Judged:
    """What stopping at the first exit that is right would come to; images that none is right about pass all."""
    last = len(outcomes.exits)
    right_XN = outcomes.correct_XN.copy()
    right_XN[last] = True
    return _of_ways(outcomes, right_XN.argmax(0))


def _of_ways(outcomes: ExitOutcomes, ways_N: npt.NDArray[np.intp]) -> Judged:
    images = np.arange(outcomes.images)
    return Judged(
        error=1 - float(outcomes.correct_XN[ways_N, images].mean()),
        cross_entropy=float(outcomes.cross_entropy_XN[ways_N, images].mean()),
        shares_X=np.bincount(ways_N, minlength=len(outcomes.exits) + 1) / outcomes.images,
    )
