"""How many objectives a set of points really trades against each other. Start with `independent_objectives`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

SAME_ORDER = 0.995
"""Spearman's rho of latency and energy above which energy ranks points as latency does, noise of measurement aside."""
_PROPORTIONAL = 1e-6
"""Largest relative spread of the ratios of energy and latency that rounding explains."""


def independent_objectives(points: Sequence[tuple[float, float, float]]) -> int:
    """3 where energy is an objective of its own, 2 where it follows latency.

    Where both give the same order, a point that another dominates in error and latency is dominated in error and
    energy, too: leaving energy out leaves the same front, which is a curve.

    Args:
        points: error, latency in ms and energy in mJ of each; fewer than three show no order, and count as 2.
    """
    return 2 if (rho := latency_energy_correlation(points)) is None or rho > SAME_ORDER else 3


def latency_energy_correlation(points: Sequence[tuple[float, float, float]]) -> float | None:
    """Spearman's rho of latency and energy, 1 where they are proportional; None where there is no order.

    Args:
        points: as for `independent_objectives`.
    """
    if len(points) < 3:
        return None
    _, latencies, energies = np.array(points, np.float64).T
    if np.ptp(latencies) == 0 or np.ptp(energies) == 0:
        return None
    ratios = energies / latencies
    if np.ptp(ratios) <= _PROPORTIONAL * np.abs(ratios).max():
        return 1.0
    return float(stats.spearmanr(latencies, energies).statistic)


def why_two_objectives(points: Sequence[tuple[float, float, float]]) -> str:
    """Why there is no picture in three dimensions, as a sentence; empty where there are three objectives.

    Args:
        points: as for `independent_objectives`.
    """
    if independent_objectives(points) == 3:
        return ""
    rho = latency_energy_correlation(points)
    if rho is None:
        return "There is no picture in three dimensions: the front has too few different points."
    return (
        "There is no picture in three dimensions: energy follows latency on this front (Spearman's rho "
        f"{rho:.3f}), so it is a curve, which the projections show. Several threads, clocks or precisions make energy "
        "an objective of its own."
    )
