"""Non-dominated sets and hypervolume. Everything is minimised: error, latency in ms, energy in mJ.

Shape suffixes: N points, M objectives.
"""

from __future__ import annotations

from collections.abc import Iterable

import moocore
import numpy as np
import numpy.typing as npt
from pymoo.indicators.hv import HV

Floats = npt.NDArray[np.float64]


def non_dominated(points_NM: Floats) -> list[int]:
    """Indices of the points that no other dominates, in their order; of equal points the first."""
    if not len(points_NM):
        return []
    # Equal ones are told apart afterwards, as few are left.
    kept = np.flatnonzero(moocore.is_nondominated(points_NM, keep_weakly=True))
    _, first = np.unique(points_NM[kept], axis=0, return_index=True)
    return [int(index) for index in kept[np.sort(first)]]


def hypervolume(points_NM: Floats, reference_M: Floats) -> float:
    """Share of the box from the origin to the reference point that the points dominate, in [0, 1].

    Args:
        points_NM: objectives, shape (N, M); points beyond the reference point do not count.
        reference_M: the reference point, all positive, shape (M,).
    """
    if not len(points_NM):
        return 0.0
    scaled = points_NM / reference_M
    scaled = scaled[(scaled < 1).all(-1)]
    return float(HV(ref_point=np.ones(len(reference_M)))(scaled)) if len(scaled) else 0.0


def growing_hypervolume(point_NKM: Iterable[Floats], reference_M: Floats) -> list[float]:
    """Hypervolume after each of N architectures, in the order given.

    Args:
        point_NKM: objectives of each, in one or several runtime configurations (K, M).
        reference_M: see `hypervolume`.
    """
    front_PM, volume = np.empty((0, len(reference_M))), 0.0
    volumes = []
    for point_KM in point_NKM:
        new_KM = point_KM[[not (front_PM <= point_M).all(1).any() for point_M in point_KM]]
        # Most of many change nothing.
        if len(new_KM):
            front_PM = np.concatenate([front_PM, new_KM])
            front_PM = front_PM[non_dominated(front_PM)]
            volume = hypervolume(front_PM, reference_M)
        volumes.append(volume)
    return volumes


def epsilon_front(points_NM: Floats, size: int) -> list[int]:
    """Indices of at most `size` points that stand for a front, in their order.

    Points within a box of an even grid over the range of the front, of which the one nearest to the box's best corner
    stands for the others; the grid is as fine as `size` allows. The best point in each objective is always among them,
    where `size` allows it.

    Source: Laumanns et al., "Combining convergence and diversity in evolutionary multiobjective optimization" (2002),
    the epsilon-approximate Pareto set. Departure: costs are compared by their logarithms, and epsilon follows from the
    number of points.

    Args:
        points_NM: a non-dominated set, shape (N, M): error, then costs above 0.
        size: at least 1.

    Raises:
        ValueError: if `size` is below 1.
    """
    if size < 1:
        raise ValueError(f"`size >= 1` must hold for a front, but got {size}.")
    if len(points_NM) <= size:
        return list(range(len(points_NM)))
    scaled_NM = np.column_stack([points_NM[:, :1], np.log(np.maximum(points_NM[:, 1:], 1e-12))])
    low_M, range_M = scaled_NM.min(0), np.ptp(scaled_NM, axis=0)
    unit_NM = (scaled_NM - low_M) / np.where(range_M > 0, range_M, 1.0)
    best = list(dict.fromkeys(int(np.lexsort((unit_NM.sum(1), column))[0]) for column in unit_NM.T))[:size]
    coarse, fine = 1.0, 0.0
    chosen = best
    for _ in range(24):
        epsilon = (coarse + fine) / 2
        found = sorted({*best, *_one_a_box(unit_NM, epsilon)})
        if len(found) > size:
            fine = epsilon
        else:
            chosen, coarse = found, epsilon
    return sorted(chosen)


def _one_a_box(unit_NM: Floats, epsilon: float) -> list[int]:
    boxes_NM = np.floor(unit_NM / epsilon)
    away_N = np.linalg.norm(unit_NM - boxes_NM * epsilon, axis=1)
    order = np.lexsort((away_N, *boxes_NM.T))
    begins = np.append(True, (np.diff(boxes_NM[order], axis=0) != 0).any(1))
    return [int(place) for place in order[begins]]
