"""Non-dominated sets and hypervolume. Everything is minimised: error, latency in ms, energy in mJ.

Shape suffixes: N points, M objectives.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pymoo.indicators.hv import HV
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

Floats = npt.NDArray[np.float64]


def non_dominated(points_NM: Floats) -> list[int]:
    """Indices of the points that no other dominates, in their order; of equal points the first."""
    if not len(points_NM):
        return []
    _, first = np.unique(points_NM, axis=0, return_index=True)
    first = np.sort(first)
    front = NonDominatedSorting().do(points_NM[first], only_non_dominated_front=True)
    return [int(index) for index in np.sort(first[front])]


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
