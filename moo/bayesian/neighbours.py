"""Architectures near to given ones, for a local search. Shape suffixes: C candidates, L layers, N architectures."""

from __future__ import annotations

import numpy as np

from moo.bayesian.inputs import Integers


def one_change(indices_NL: Integers, operators: int, most: int, rng: np.random.Generator) -> Integers:
    """Architectures that differ from given ones in one layer, all different: all of them, or `most` at random."""
    count, layers = indices_NL.shape
    total = count * layers * (operators - 1)
    drawn = np.arange(total) if total <= most else rng.choice(total, most, replace=False)
    owner, layer, shift = np.unravel_index(drawn, (count, layers, operators - 1))
    changed_CL = indices_NL[owner]
    changed_CL[np.arange(len(drawn)), layer] = (changed_CL[np.arange(len(drawn)), layer] + 1 + shift) % operators
    return distinct(changed_CL)


def several_changes(
    indices_NL: Integers, operators: int, changes: int, count: int, rng: np.random.Generator
) -> Integers:
    """At most `count` architectures that differ from given ones in at most so many layers, all different."""
    found_CL = indices_NL[rng.integers(0, len(indices_NL), count)]
    for _ in range(changes):
        layer_C = rng.integers(0, indices_NL.shape[1], count)
        found_CL[np.arange(count), layer_C] = rng.integers(0, operators, count)
    return distinct(found_CL)


def crossed(indices_NL: Integers, count: int, rng: np.random.Generator) -> Integers:
    """At most `count` architectures that have each layer from one of two given ones, all different."""
    first_C, second_C = rng.integers(0, len(indices_NL), (2, count))
    from_first_CL = rng.random((count, indices_NL.shape[1])) < 0.5
    return distinct(np.where(from_first_CL, indices_NL[first_C], indices_NL[second_C]))


def distinct(indices_NL: Integers) -> Integers:
    """Each once, at its first place."""
    _, first = np.unique(indices_NL, axis=0, return_index=True)
    return indices_NL[np.sort(first)]
