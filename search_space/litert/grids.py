"""The int8 grids of activations and weights: a number is `scale * (integer - zero_point)`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from search_space.folding import Array
from search_space.graphs import (
    Add,
    AveragePool,
    Concat,
    GlobalAveragePool,
    Graph,
    HardSigmoid,
    HardSwish,
    Node,
    Relu,
    Relu6,
    Scale,
    Select,
    Shuffle,
    Zero,
)

Range = tuple[float, float]
"""Least and greatest value of an activation."""
LEAST_SCALE = 1e-12


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Grid:
    """Where the int8 numbers of a tensor lie."""

    scale: float | Array
    """Of all numbers, or one for each index along an axis. Above 0."""
    zero_point: int = 0
    """The integer that stands for 0."""
    axis: int = 0
    """That the scales are of, where there are several."""

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Grid)
            and np.array_equal(self.scale, other.scale)
            and (self.zero_point, self.axis) == (other.zero_point, other.axis)
        )

    __hash__ = None  # type: ignore[assignment]


def activation_grid(limits: Range) -> Grid:
    """The grid of activations of a range; it is widened so that 0 lies on the grid."""
    low, high = min(limits[0], 0.0), max(limits[1], 0.0)
    scale = max((high - low) / 255, LEAST_SCALE)
    return Grid(scale=scale, zero_point=int(np.clip(round(-128 - low / scale), -128, 127)))


def sum_grid(one: Grid | None, other: Grid | None) -> Grid | None:
    """A grid for sums of activations of two grids."""
    if one is None or other is None:
        return None
    return activation_grid((_limits(one)[0] + _limits(other)[0], _limits(one)[1] + _limits(other)[1]))


def _limits(grid: Grid) -> Range:
    return float(grid.scale * (-128 - grid.zero_point)), float(grid.scale * (127 - grid.zero_point))


def weight_grid(array: Array, axis: int) -> tuple[Array, Grid]:
    """Weights in int8, symmetric about 0, with a scale for each index along an axis.

    Returns:
        The integers, in [-127, 127], and their grid.
    """
    others = tuple(other for other in range(array.ndim) if other != axis)
    largest = np.abs(array).max(axis=others)
    scale = np.where(largest > 0, largest / 127, 1.0)
    sides = [1] * array.ndim
    sides[axis] = -1
    integers = np.clip(np.rint(array / scale.reshape(sides)), -127, 127).astype(np.int8)
    return integers, Grid(scale=scale, axis=axis)


def bias_grid(bias: Array, source: Grid, weights: Grid) -> tuple[Array, Grid]:
    """Biases in int32, with the scale of the products that they are added to."""
    scale = np.asarray(source.scale * weights.scale, np.float64)
    limits = np.iinfo(np.int32)
    return np.clip(np.rint(bias / scale), limits.min, limits.max).astype(np.int32), Grid(scale=scale)


def completed(graph: Graph, ranges: Mapping[str, Range]) -> dict[str, Range]:
    """Ranges of all activations, where those of some are known: the others follow from the ranges of their inputs.

    Args:
        graph: the network.
        ranges: by name of a node, and `Graph.INPUT`; at least of that, and of all that have weights or add.

    Raises:
        ValueError: if the range of a node is missing that does not follow from others.
    """
    known = dict(ranges)
    readers = Counter(source for node in graph.nodes for source in node.inputs)
    for node in graph.nodes:
        # Quantisers make one operation of a sum of products and the activation after it, and know its range alone.
        if isinstance(node.operation, Relu | Relu6) and node.name in known and readers[node.inputs[0]] == 1:
            known.setdefault(node.inputs[0], known[node.name])
        if isinstance(node.operation, Zero):
            known[node.name] = (0.0, 0.0)
    for node in (Node(Graph.INPUT, Zero(), (), graph.input_shape), *graph.nodes):
        if node.name not in known:
            found = _following(node, [known[name] for name in node.inputs])
            if found is None:
                raise ValueError(
                    f"`ranges` must hold the least and greatest value of {node.name!r}, but it is missing."
                )
            known[node.name] = found
    return known


def _following(node: Node, inputs: list[Range]) -> Range | None:
    if not inputs:
        return None
    low, high = inputs[0]
    match node.operation:
        case Relu():
            return max(low, 0.0), max(high, 0.0)
        case Relu6():
            return min(max(low, 0.0), 6.0), min(max(high, 0.0), 6.0)
        case HardSwish():
            return min(0.0, max(low, -0.375)), max(0.0, high)
        case HardSigmoid():
            return 0.0, 1.0
        case Scale():
            products = [one * other for one in inputs[0] for other in inputs[1]]
            return min(products), max(products)
        case Concat():
            return min(low for low, _ in inputs), max(high for _, high in inputs)
        case Add():
            return sum(low for low, _ in inputs), sum(high for _, high in inputs)
        case Shuffle() | Select() | AveragePool() | GlobalAveragePool():
            return low, high
        case _:
            return None
