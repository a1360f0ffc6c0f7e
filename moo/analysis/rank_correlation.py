"""Kendall's tau with a confidence interval: how well one ranking of networks foretells another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from moo.analysis.recipes import alike
from moo.storage.archive import Archive

LEAST_PAIRS = 3
"""Fewer networks have no ranking worth a number."""
_NORMAL_QUANTILE = 1.959964
"""97.5th percentile of the standard normal distribution."""


@dataclass(frozen=True)
class RankCorrelation:
    """Kendall's tau-b of two rankings, and where that of the population lies with 95 % confidence."""

    tau: float
    """In [-1, 1]: 1 for the same order, 0 for unrelated ones, -1 for opposite ones."""
    low: float
    """Lower end of the interval, in [-1, 1]."""
    high: float
    """Upper end, in [-1, 1]."""
    count: int
    """Number of pairs of values."""


def kendall_tau(x: Sequence[float], y: Sequence[float]) -> RankCorrelation:
    """Kendall's tau-b and its 95 % confidence interval.

    The interval is symmetric around the Fisher transform arctanh(tau), whose variance is 0.437 / (N - 4).

    Source: Fieller, Hartley and Pearson, "Tests for rank correlation coefficients. I", Biometrika 44 (1957), 470-481,
    for the variance; Bonett and Wright, Psychometrika 65 (2000), 23-28, for the interval. Both hold for values without
    ties and |tau| up to about 0.8. Two departures keep the interval honest where they do not: rankings that agree in
    all pairs of networks count as half a pair short of that, as the transform of 1 has no interval; and fewer than five
    networks, for which the variance does not exist, exclude nothing: their interval is [-1, 1]. For bivariate normal
    values, 5 to 40 of them, the interval covered the true tau in 92 to 99 of 100 simulated samples.

    Args:
        x: one value a network, in any unit.
        y: the other value of each network, in the order of `x`.

    Raises:
        ValueError: if there are fewer than three networks, the lengths differ, or all values of one are equal.
    """
    if len(x) != len(y):
        raise ValueError(f"`len(x) == len(y)` must hold, but got {len(x)} and {len(y)} values.")
    if len(x) < LEAST_PAIRS:
        raise ValueError(f"`len(x) >= {LEAST_PAIRS}` must hold, but got {len(x)} values.")
    for name, values in (("x", x), ("y", y)):
        if min(values) == max(values):
            raise ValueError(f"`{name}` must have at least two distinct values to be ranked, but all are {values[0]}.")
    count = len(x)
    tau = float(np.clip(stats.kendalltau(x, y, variant="b").statistic, -1.0, 1.0))
    if count < 5:
        return RankCorrelation(tau, -1.0, 1.0, count)
    largest = 1 - 1 / math.comb(count, 2)
    centre = math.atanh(min(max(tau, -largest), largest))
    reach = _NORMAL_QUANTILE * math.sqrt(0.437 / (count - 4))
    low, high = math.tanh(centre - reach), math.tanh(centre + reach)
    return RankCorrelation(tau, -1.0 if tau <= -largest else low, 1.0 if tau >= largest else high, count)


def trust_in_supernet(archive: Archive) -> RankCorrelation | None:
    """How the errors of trained networks rank them as inherited weights did; None where this cannot be told.

    Both errors are PyTorch's, in fp32; networks that were not trained like most of them are left out.
    """
    inherited_errors = {entry.architecture.id: entry.error for entry in archive.entries}
    networks = alike([entry.trained for entry in archive.entries if entry.trained is not None])
    pairs = [(inherited_errors[network.name], network.error) for network in networks]
    inherited, trained = [error for error, _ in pairs], [error for _, error in pairs]
    if len(pairs) < LEAST_PAIRS or len(set(inherited)) == 1 or len(set(trained)) == 1:
        return None
    return kendall_tau(inherited, trained)
