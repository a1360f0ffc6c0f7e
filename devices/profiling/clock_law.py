"""Latency by clock, with one coefficient: what computes waits for the clock, what waits for memory does not.

t(f) = t(f0) (a f0 / f + 1 - a). Published measurements of nine convolutional networks come to a = 0.76 on a Raspberry
Pi 4 and 0.67 on a 3B+; pure 1 / f is a = 1. Start with `ClockLaw`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

USUAL_SPREAD = 0.1
"""Standard deviation of a between ways to run a network on one board, in threads and precision."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClockLaw:
    """The law of a board, in one number of threads and one precision."""

    share: float
    """a: the share of the latency at the top clock that grows as the clock falls; at least 0."""
    top_mhz: int
    """f0."""

    def __post_init__(self) -> None:
        if not (np.isfinite(self.share) and self.share >= 0):
            raise ValueError(f"`share >= 0` must hold for a clock law, but got {self.share}.")

    def factor(self, mhz: int) -> float:
        """What the latency at the top clock is multiplied by at another one."""
        return self.share * self.top_mhz / mhz + 1 - self.share

    def at_top(self, mhz: int) -> ClockLaw:
        """The same law, told from another clock."""
        return ClockLaw(share=self.share * self.top_mhz / mhz / self.factor(mhz), top_mhz=mhz)


def shares_of(top_ms_N: Array, low_ms_N: Array, *, top_mhz: int, low_mhz: int) -> Array:
    """The coefficient of each network that was measured at two clocks, shape (N,).

    Raises:
        ValueError: if there are no networks, the lengths differ, or the clocks are not in order.
    """
    if not len(top_ms_N) or len(top_ms_N) != len(low_ms_N):
        raise ValueError(
            f"each network must have a latency at both clocks, but got {len(top_ms_N)} at {top_mhz} MHz and "
            f"{len(low_ms_N)} at {low_mhz} MHz."
        )
    if not 0 < low_mhz < top_mhz:
        raise ValueError(f"the low clock must be below the top one, but got {low_mhz} and {top_mhz} MHz.")
    return (low_ms_N / top_ms_N - 1) / (top_mhz / low_mhz - 1)


def fitted_share(shares_N: Array, *, gain: float) -> float:
    """The coefficient with the smallest mean relative error of the networks' latencies.

    That is a weighted median, on which a single disturbed network has no hold.

    Args:
        shares_N: of each network, shape (N,).
        gain: f0 / f - 1 at the clock where they were measured.
    """
    order = np.argsort(shares_N)
    shares_N = shares_N[order]
    weights_N = gain / (1 + np.maximum(gain * shares_N, -0.5))
    passed_N = np.cumsum(weights_N) - weights_N.sum() / 2
    place = int(np.argmax(passed_N >= -1e-12))
    if abs(passed_N[place]) <= 1e-12 and place + 1 < len(shares_N):
        return max(float(shares_N[place : place + 2].mean()), 0.0)
    return max(float(shares_N[place]), 0.0)


def pooled_share(share: float, networks: int, *, towards: float, spread: float) -> float:
    """A coefficient from a few networks, drawn towards that of the base, which more networks stand for.

    Args:
        share: fitted to the few.
        networks: how many these are.
        towards: the base's coefficient.
        spread: standard deviation between networks of one configuration.
    """
    trust = USUAL_SPREAD**2 / (USUAL_SPREAD**2 + spread**2 / networks)
    return trust * share + (1 - trust) * towards
