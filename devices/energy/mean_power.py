"""Mean power from samples, with its standard error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

MIN_BATCHES, MAX_BATCHES, LEAST_BATCH = 4, 20, 5


@dataclass(frozen=True)
class MeanPower:
    """Time-weighted mean of power samples."""

    mean_w: float
    standard_error_w: float
    degrees_of_freedom: int
    """Of the standard error."""
    samples: int
    """Readings of the meter: see `readings_in`."""


def mean_power(times_s: npt.ArrayLike, powers_w: npt.ArrayLike, *, step_w: float = 0.0) -> MeanPower:
    """Mean of the power between the first and the last sample, by the trapezoidal rule.

    Neighbouring samples are correlated where the load changes slowly or a meter smooths, so the standard error comes
    from the means of batches of them (Schmeiser 1982, "Batch size effects in the analysis of simulation output",
    doi:10.1287/opre.30.3.556).

    Args:
        times_s: ascending, in s.
        powers_w: one for each time, in W.
        step_w: powers are told in whole steps of this. Where they vary by less than half of one, their mean may be off
            by half a step whatever their number, which the standard error then contains as that of an even spread.

    Raises:
        ValueError: if there are fewer than 8 samples, or their times do not ascend.
    """
    times, powers = np.asarray(times_s, dtype=float), np.asarray(powers_w, dtype=float)
    if times.shape != powers.shape or times.size < 2 * MIN_BATCHES:
        raise ValueError(
            f"at least {2 * MIN_BATCHES} samples must come with as many times, but got {times.size} times and "
            f"{powers.size} powers: take more."
        )
    gaps = np.diff(times)
    if not (gaps > 0).all():
        raise ValueError(f"the times of samples must ascend, but one step is {gaps.min()} s: sort them.")
    weights = np.zeros(times.size)
    weights[:-1] += gaps / 2
    weights[1:] += gaps / 2
    weights /= weights.sum()
    mean_w = float(weights @ powers)
    readings = readings_in(powers)
    batches = min(MAX_BATCHES, max(MIN_BATCHES, readings // LEAST_BATCH))
    errors = [float(part @ (power - mean_w)) for part, power in _batches(weights, powers, batches)]
    variance = batches / (batches - 1) * sum(error**2 for error in errors)
    if float(powers.std()) < step_w / 2:
        variance += step_w**2 / 12
    standard_error_w = math.sqrt(variance)
    return MeanPower(mean_w, standard_error_w, batches - 1, readings)


def readings_in(powers_w: npt.ArrayLike) -> int:
    """How often a meter has looked, as far as its samples show it.

    One that is asked more often than it looks repeats itself, so equal samples in a row are one reading. If all are
    equal, there is nothing to tell that from a steady load, and each counts.
    """
    powers = np.asarray(powers_w, dtype=float)
    changes = int(np.count_nonzero(np.diff(powers)))
    return changes + 1 if changes else int(powers.size)


def difference_w(first: MeanPower, second: MeanPower) -> tuple[float, float]:
    """`first` minus `second`, and half the width of its 95 % confidence interval, both in W.

    Source: Welch 1947, "The generalization of Student's problem", doi:10.1093/biomet/34.1-2.28.
    """
    parts = [(power.standard_error_w**2, power.degrees_of_freedom) for power in (first, second)]
    variance = sum(part for part, _ in parts)
    if variance == 0:
        return first.mean_w - second.mean_w, 0.0
    degrees = variance**2 / sum(part**2 / own for part, own in parts)
    return first.mean_w - second.mean_w, t_quantile(degrees) * math.sqrt(variance)


def t_quantile(degrees_of_freedom: float) -> float:
    """97.5 % quantile of Student's t distribution, within 0.3 % from 3 degrees of freedom on.

    Source: Abramowitz and Stegun, "Handbook of Mathematical Functions", equation 26.7.5.
    """
    z, n = 1.959963984540054, degrees_of_freedom
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / n ** (power + 1) for power, term in enumerate(terms))


def _batches(weights: Array, powers: Array, batches: int) -> list[tuple[Array, Array]]:
    return list(zip(np.array_split(weights, batches), np.array_split(powers, batches), strict=True))
