"""Architectures that the theta of a trial gives: the most probable ones, or drawn. Start with `drawn_architectures`.

Theta holds a distribution for each layer, independent of the others', so an architecture's probability is the product
of its operators'. Shape suffixes: L layers, O operators.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dnas.inner_search import ThetaResult
from moo.storage.store import StoreReader
from moo.trials import CoefficientTrial

MOST = 1000
"""Architectures that are given at once."""
DRAWS_EACH = 200
"""Draws for each architecture asked for, after which theta is taken to give no more."""

Indices = tuple[int, ...]
Probs = npt.NDArray[np.float64]


@dataclass(frozen=True)
class DrawnArchitecture:
    """An architecture, and how probable theta makes it."""

    indices: Indices
    probability: float


def theta_probs(store: StoreReader, trial_id: int) -> Probs:
    """The distribution of a trial, shape (L, O).

    Raises:
        ValueError: if there is no such trial, or it has no theta.
    """
    trials = store.trials()
    searched = [
        number
        for number, stored in trials.items()
        if isinstance(stored.trial, CoefficientTrial) and stored.objectives is not None
    ]
    there = _ranges(searched) or "none"
    if trial_id not in trials:
        raise ValueError(f"`--trial` must be one of the run's trials with a theta, {there}, but got {trial_id}.")
    if trial_id not in searched:
        failed = trials[trial_id].objectives is None
        reason = "it failed" if failed else "its architecture was proposed without a search of theta on the supernet"
        raise ValueError(f"`--trial` must have a theta, as {there} have, but trial {trial_id} has none: {reason}.")
    result: ThetaResult = store.theta(trial_id)
    theta_LO = result.theta_LO.astype(np.float64)
    exponentials = np.exp(theta_LO - theta_LO.max(axis=1, keepdims=True))
    probs: Probs = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probs


def drawn_architectures(probs_LO: Probs, count: int, *, seed: int | None = None) -> tuple[DrawnArchitecture, ...]:
    """Architectures without repetition.

    Args:
        probs_LO: the distribution of each layer.
        count: how many, from 1 to `MOST`.
        seed: draw them by the distribution, in the order in which they came; None: the most probable ones, in order.

    Raises:
        ValueError: if the number is out of bounds, or theta does not give so many.
    """
    if not 1 <= count <= MOST:
        raise ValueError(f"`1 <= --count <= {MOST}` must hold, but got {count}.")
    indices = _most_probable(probs_LO, count) if seed is None else _random(probs_LO, count, np.random.default_rng(seed))
    if len(indices) < count:
        how = "" if seed is None else f" in {DRAWS_EACH * count:,} draws"
        raise ValueError(
            f"`--count` must be at most what theta gives, {len(indices)} architectures{how}, but got {count}."
        )
    layers = np.arange(len(probs_LO))
    return tuple(DrawnArchitecture(one, float(np.prod(probs_LO[layers, list(one)]))) for one in indices)


def _most_probable(probs_LO: Probs, count: int) -> list[Indices]:
    """Layer by layer: the most probable beginnings of some length begin the most probable ones of any other."""
    best: list[tuple[float, Indices]] = [(0.0, ())]
    for probs_O in probs_LO:
        longer = [
            (surprise - float(np.log(prob)), (*indices, operator))
            for surprise, indices in best
            for operator, prob in enumerate(probs_O)
            if prob > 0
        ]
        best = sorted(longer)[:count]
    return [indices for _, indices in best]


def _random(probs_LO: Probs, count: int, rng: np.random.Generator) -> list[Indices]:
    found: dict[Indices, None] = {}
    bounds_LO = probs_LO.cumsum(axis=1)
    for _ in range(DRAWS_EACH * count):
        draws_L = rng.random(len(probs_LO)) * bounds_LO[:, -1]
        found[tuple(int(index) for index in (draws_L[:, None] >= bounds_LO).sum(axis=1))] = None
        if len(found) == count:
            break
    return list(found)


def _ranges(numbers: list[int]) -> str:
    """`0 to 4, 6`."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(f"{part[0]} to {part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)
