"""All policies of a grid of thresholds judged at once. Start with `threshold_grid` and `judge_grid`.

Each exit's confidences are put in bins by its thresholds. How many images leave where, and how many are then answered
wrongly, are cumulative sums over a histogram with an axis for each exit: O(N + Q^K) for all Q^K policies of a plan,
where one after the other would take O(N Q^K). Figures are exact, being whole numbers of images.
Array shapes: N images, E candidate exits, K exits of a plan, Q thresholds of an exit, A policies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluation.early_exits.outcomes import ExitOutcomes

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
DECIMALS = 6
"""Of thresholds."""
LEAST_GAP = 2e-6
"""Between the two observed confidences that a threshold separates, so that it stays half a unit of its last decimal
away from each when it is rounded."""


@dataclass(frozen=True, slots=True, eq=False)
class ThresholdGrid:
    """Thresholds that each exit may have."""

    thresholds: tuple[tuple[float, ...], ...]
    """Of each of E exits, ascending: first 0, last 1; exits whose confidences are alike may have fewer than others."""
    bins_EN: npt.NDArray[np.int16]
    """How many of its exit's thresholds a confidence exceeds."""

    def policies(self, plan: Sequence[int]) -> int:
        """How many there are for a plan."""
        return math.prod(len(self.thresholds[place]) for place in plan)


@dataclass(frozen=True, slots=True, eq=False)
class JudgedGrid:
    """What all policies of a plan come to; axis k of an array is the threshold of the plan's exit k."""

    wrong: Integers
    """Images that are answered wrongly, shape (Q,) * K."""
    leaving: tuple[Integers, ...]
    """Images that leave at exit k, which depends on thresholds up to its own: shape (Q,) * (k + 1). The last array is
    of images that pass all exits, shape (Q,) * K. K + 1 arrays."""
    images: int
    """N."""

    def expected(self, costs_X: Floats) -> Floats:
        """Mean cost of each policy, shape (Q,) * K.

        Args:
            costs_X: of each way through the network, K + 1 of them.
        """
        total: Floats = np.zeros(())
        for leaving, cost in zip(self.leaving[:-1], costs_X[:-1], strict=True):
            total = total[..., None] + leaving * (cost / self.images)
        last: Floats = self.leaving[-1] * (costs_X[-1] / self.images)
        return total + last

    def shares_of(self, places: Sequence[Integers]) -> Floats:
        """Share of images that take each way.

        Args:
            places: K arrays, each the place of an exit's threshold in A policies.
        """
        counts = [leaving[tuple(places[: leaving.ndim])] for leaving in self.leaving]
        return np.stack(counts, axis=-1) / self.images


def threshold_grid(outcomes: ExitOutcomes, levels: int) -> ThresholdGrid:
    """Thresholds at quantiles of each exit's confidences.

    Beside 0 and 1 there is one for each quantile between: it lies in the middle of the widest gap between neighbouring
    confidences nearer to this quantile than to the others, so that rounding on a board is least likely to cross it,
    with `DECIMALS` decimals. Quantiles without a gap of `LEAST_GAP` have none.

    Args:
        outcomes: of all candidate exits, on the images that thresholds are chosen on.
        levels: most thresholds of an exit, with 0 and 1.

    Raises:
        ValueError: if `levels` is below 2, or a confidence is not within [0, 1].
    """
    if levels < 2:
        raise ValueError(f"a grid must have at least the thresholds 0 and 1, but got {levels=}.")
    confidence_EN = outcomes.confidence_XN[:-1]
    if not ((confidence_EN >= 0) & (confidence_EN <= 1)).all():
        raise ValueError("confidences must be from 0 to 1, as the largest softmax is, but some are not.")
    thresholds = tuple(_thresholds(confidence_N, levels) for confidence_N in confidence_EN)
    bins = [
        np.searchsorted(np.array(own, np.float32), confidence_N, side="left")
        for own, confidence_N in zip(thresholds, confidence_EN, strict=True)
    ]
    return ThresholdGrid(thresholds, np.array(bins, np.int16).reshape(confidence_EN.shape))


def _thresholds(confidence_N: npt.NDArray[np.float32], levels: int) -> tuple[float, ...]:
    ascending = np.sort(confidence_N).astype(np.float64)
    gaps = np.diff(ascending)
    step = len(ascending) / (levels - 1)
    chosen = [0.0]
    for level in range(1, levels - 1):
        # Gap i has i + 1 confidences below it.
        first, end = (math.ceil((level + side) * step) - 1 for side in (-0.5, 0.5))
        near = gaps[first:end]
        if len(near) and near.max() >= LEAST_GAP:
            below = first + int(near.argmax())
            chosen.append(round(float(ascending[below] + ascending[below + 1]) / 2, DECIMALS))
    return (*chosen, 1.0)


def judge_grid(outcomes: ExitOutcomes, grid: ThresholdGrid, plan: Sequence[int]) -> JudgedGrid:
    """What all policies of a plan come to.

    Args:
        outcomes: of all candidate exits.
        grid: of the same.
        plan: places of its exits among them, ascending; none is the network as it is.
    """
    shape: tuple[int, ...] = ()
    cells_N = np.zeros(outcomes.images, np.int64)
    passing: Integers = np.array(outcomes.images)
    right: Integers = np.zeros((), np.int64)
    leaving = []
    for place in plan:
        own = len(grid.thresholds[place])
        shape = (*shape, own)
        cells_N = cells_N * own + grid.bins_EN[place]
        arrived, passing = passing, _not_exceeding(cells_N, shape)
        leaving.append(arrived[..., None] - passing)
        right_passing = _not_exceeding(cells_N[outcomes.correct_XN[place]], shape)
        # The last threshold is 1, which nothing exceeds: there is all that arrives.
        right = right[..., None] + right_passing[..., -1:] - right_passing
    right = right + _not_exceeding(cells_N[outcomes.correct_XN[-1]], shape)
    return JudgedGrid(outcomes.images - right, (*leaving, passing), outcomes.images)


def mean_grid(values_XN: npt.NDArray[np.float32], grid: ThresholdGrid, plan: Sequence[int]) -> Floats:
    """Mean over all images of a value, as their cross-entropy, at the way that each takes; of all policies of a plan.

    Args:
        values_XN: of each candidate exit, and last of the network, for each image.
        grid: of the same exits.
        plan: places of its exits among them, ascending.

    Returns:
        Shape (Q,) * K; to rounding.
    """
    shape: tuple[int, ...] = ()
    cells_N = np.zeros(values_XN.shape[1], np.int64)
    total: Floats = np.zeros(())
    for place in plan:
        own = len(grid.thresholds[place])
        shape = (*shape, own)
        cells_N = cells_N * own + grid.bins_EN[place]
        passing = _sum_not_exceeding(cells_N, shape, values_XN[place])
        total = total[..., None] + passing[..., -1:] - passing
    mean: Floats = (total + _sum_not_exceeding(cells_N, shape, values_XN[-1])) / values_XN.shape[1]
    return mean


def _sum_not_exceeding(cells_N: Integers, shape: tuple[int, ...], values_N: npt.NDArray[np.float32]) -> Floats:
    """As `_not_exceeding`, of a value of each image in the place of their number."""
    sums: Floats = np.bincount(cells_N, weights=values_N, minlength=math.prod(shape)).astype(np.float64)
    sums = sums.reshape(shape)
    for axis in range(len(shape)):
        np.cumsum(sums, axis=axis, out=sums)
    return sums


def _not_exceeding(cells_A: Integers, shape: tuple[int, ...]) -> Integers:
    """How many of A images exceed none of the thresholds, for all combinations of these.

    Args:
        cells_A: of each image: the number of thresholds that its confidence exceeds, one axis an exit, as a flat index.
        shape: numbers of thresholds.
    """
    counts = np.bincount(cells_A, minlength=math.prod(shape)).reshape(shape)
    for axis in range(len(shape)):
        np.cumsum(counts, axis=axis, out=counts)
    return counts


def judge_policies(
    outcomes: ExitOutcomes, grid: ThresholdGrid, plan_AK: Integers, levels_AK: Integers
) -> tuple[Integers, Floats]:
    """What single policies of a grid come to, of any plans: images answered wrongly (A,), and shares (A, K + 1).

    Args:
        outcomes: of all candidate exits.
        grid: of the same.
        plan_AK: places of each policy's exits, in order; -1 where it has fewer than K.
        levels_AK: the place of each exit's threshold in the grid; of no account where there is no exit.
    """
    policies, slots = plan_AK.shape
    here_AN = np.ones((policies, outcomes.images), bool)
    right_A = np.zeros(policies, np.int64)
    counts_AX = np.zeros((policies, slots + 1), np.int64)
    for slot in range(slots):
        place_A = plan_AK[:, slot]
        leaves_AN = here_AN & (place_A >= 0)[:, None] & (grid.bins_EN[place_A] > levels_AK[:, slot, None])
        right_A += np.count_nonzero(leaves_AN & outcomes.correct_XN[place_A], axis=1)
        counts_AX[:, slot] = np.count_nonzero(leaves_AN, axis=1)
        here_AN &= ~leaves_AN
    right_A += np.count_nonzero(here_AN & outcomes.correct_XN[-1], axis=1)
    counts_AX[:, slots] = np.count_nonzero(here_AN, axis=1)
    return outcomes.images - right_A, counts_AX / outcomes.images
