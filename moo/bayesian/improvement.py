"""The hypervolume that evaluating an architecture is expected to add: exact, as its costs are known and its error is
log-normal. Start at `Frame`.

What a point of error e and costs c adds is the integral, over errors t from e to the reference, of the area beyond c
that no known point of error t or less dominates. The area changes only at the errors of known points, so that the
expectation is a sum over them of areas and expected lengths.

Shape suffixes: C candidates, J costs, K configurations, P points, T thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from moo.bayesian.inputs import Floats


@dataclass(frozen=True, eq=False)
class Frame:
    """Known points, and the reference point that bounds the volume; objectives are error, then one or two costs."""

    error_P: Floats
    cost_PKJ: Floats
    """In each runtime configuration: an architecture is a point in each, all with one error."""
    reference_error: float
    reference_J: Floats

    def with_point(self, error: float, cost_KJ: Floats) -> Frame:
        """The same, with one more known."""
        return Frame(
            np.append(self.error_P, error),
            np.concatenate([self.cost_PKJ, cost_KJ[None]]),
            self.reference_error,
            self.reference_J,
        )

    def expected_improvement(self, mean_C: Floats, deviation_C: Floats, cost_CKJ: Floats, *, offset: float) -> Floats:
        """Expected hypervolume that each candidate adds, shape (C,).

        Source: Emmerich et al., "Hypervolume-based expected improvement" (CEC 2011), here with one uncertain objective.

        Args:
            mean_C: of log(error + offset), which is normal.
            deviation_C: its standard deviation.
            cost_CKJ: costs in each configuration.
            offset: of errors.
        """
        threshold_T, area_CT = self._areas(cost_CKJ)
        level_T = np.append(threshold_T, self.reference_error) + offset
        sigma_C1 = deviation_C.clip(1e-9)[:, None]
        standard_CT = (np.log(level_T) - mean_C[:, None]) / sigma_C1
        # E[(level - exp(normal))+], as the price of a put option.
        depth_CT = level_T * ndtr(standard_CT)
        depth_CT -= np.exp(mean_C[:, None] + sigma_C1**2 / 2) * ndtr(standard_CT - sigma_C1)
        gain_C: Floats = (area_CT * np.diff(depth_CT, axis=1, prepend=0.0)).sum(1)
        return gain_C

    def _areas(self, cost_CKJ: Floats) -> tuple[Floats, Floats]:
        """Errors at which the area changes, rising (T - 1,), and the areas below the first, between them and above."""
        cost_QJ = self.cost_PKJ.reshape(-1, self.cost_PKJ.shape[-1])
        error_Q = np.repeat(self.error_P, self.cost_PKJ.shape[1])
        inside_Q = (error_Q < self.reference_error) & (cost_QJ < self.reference_J).all(1)
        cost_QJ, error_Q = cost_QJ[inside_Q], error_Q[inside_Q]
        areas_of = _lengths if cost_QJ.shape[1] == 1 else _areas
        return areas_of(error_Q, cost_QJ, cost_CKJ, self.reference_J)


def _lengths(error_Q: Floats, cost_Q1: Floats, cost_CK1: Floats, reference_1: Floats) -> tuple[Floats, Floats]:
    order_Q = np.lexsort((cost_Q1[:, 0], error_Q))
    error_Q, lowest_Q = error_Q[order_Q], np.minimum.accumulate(cost_Q1[order_Q, 0])
    steps_Q = np.diff(lowest_Q, prepend=np.inf) < 0
    covered_T = np.append(reference_1, lowest_Q[steps_Q])
    return error_Q[steps_Q], (covered_T - cost_CK1.min((1, 2))[:, None]).clip(0)


def _areas(error_Q: Floats, cost_Q2: Floats, cost_CK2: Floats, reference_2: Floats) -> tuple[Floats, Floats]:
    boxes = _Boxes.of(cost_CK2.clip(max=reference_2), reference_2)
    stairs_S2 = np.array([[-np.inf, reference_2[1]]])
    thresholds, areas = [], [boxes.area_below(stairs_S2, reference_2)]
    for place in np.lexsort((cost_Q2[:, 1], cost_Q2[:, 0], error_Q)):
        x, y = cost_Q2[place]
        if stairs_S2[np.searchsorted(stairs_S2[:, 0], x, side="right") - 1, 1] <= y:
            # What is as good and errs no more is known: nothing changes.
            continue
        kept_S = (stairs_S2[:, 0] < x) | (stairs_S2[:, 1] < y)
        at = int((stairs_S2[:, 0] < x).sum())
        stairs_S2 = np.concatenate([stairs_S2[:at], [[x, y]], stairs_S2[at:][kept_S[at:]]])
        thresholds.append(error_Q[place])
        areas.append(boxes.area_below(stairs_S2, reference_2))
    return np.array(thresholds), np.column_stack(areas)


@dataclass(frozen=True, eq=False)
class _Boxes:
    """What lies beyond the points of each candidate: strips side by side along the first cost."""

    low_CK: Floats
    high_CK: Floats
    bottom_CK: Floats

    @staticmethod
    def of(cost_CK2: Floats, reference_2: Floats) -> _Boxes:
        order_CK = np.argsort(cost_CK2[..., 0], axis=1, kind="stable")
        sorted_CK2 = np.take_along_axis(cost_CK2, order_CK[..., None], 1)
        low_CK = sorted_CK2[..., 0]
        high_CK = np.concatenate([low_CK[:, 1:], np.full((len(low_CK), 1), reference_2[0])], 1)
        return _Boxes(low_CK, high_CK, np.minimum.accumulate(sorted_CK2[..., 1], 1))

    def area_below(self, stairs_S2: Floats, reference_2: Floats) -> Floats:
        """Of each candidate's boxes, what lies below stairs, (C,).

        Args:
            stairs_S2: from each first cost to the next one's, where the height ends; the first begins before all.
            reference_2: where the last one ends.
        """
        begin_S, top_S = stairs_S2.T
        end_S = np.append(begin_S[1:], reference_2[0])
        width_CKS = np.minimum(end_S, self.high_CK[..., None]) - np.maximum(begin_S, self.low_CK[..., None])
        height_CKS = top_S - self.bottom_CK[..., None]
        area_C: Floats = (width_CKS.clip(0) * height_CKS.clip(0)).sum((1, 2))
        return area_C
