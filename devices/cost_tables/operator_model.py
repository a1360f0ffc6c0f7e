"""Latency of any graph from a few counts of it; the price of each count is fitted to published operators.

For shapes that nobody measured. Array shapes: N operators, F counts. Start with `fit_operator_model`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from search_space.counts import node_activations, node_macs, node_params
from search_space.graphs import Conv, Graph, Linear, Node, Shuffle

Array = npt.NDArray[np.float64]

COUNTS = (
    "operations",
    "dense MACs",
    "numbers out of dense operations",
    "weights of dense operations",
    "bytes of a dense convolution beyond the cache",
    "depthwise MACs",
    "depthwise weights",
    "numbers in and out of shuffles",
    "numbers in and out of other operations",
)
"""What a graph is described by: F counts, summed over its nodes. Dense means all but depthwise.

A linear layer is priced like a dense convolution, but for the cache: it reads each weight only once anyway.
"""
CACHE_BYTES = 512 * 1024
"""Half of the Cortex-A72's second-level cache on a Raspberry Pi 4 (1 MiB, shared by its four cores)."""
BYTES_PER_NUMBER = 4


@dataclass(frozen=True)
class OperatorLatency:
    """A published difference between two latencies."""

    operator: Graph
    reference: Graph
    """What was in the operator's place, such as `skip`; without nodes where that is the identity."""
    latency_ms: float
    """Latency of the operator beyond that of the reference; above 0."""


@dataclass(frozen=True, eq=False)
class OperatorModel:
    """A price for each of the `COUNTS`."""

    ms_per_count: Array
    """Shape (F,); never negative."""

    def latency_ms(self, graph: Graph) -> float:
        """Predicted latency of a graph in ms; 0 for one without nodes."""
        return float(graph_counts(graph) @ self.ms_per_count)


def fit_operator_model(operators: Sequence[OperatorLatency]) -> OperatorModel:
    """The non-negative prices with the smallest sum of squared relative errors.

    Args:
        operators: N published operators.
    """
    counts_NF = np.array([graph_counts(entry.operator) - graph_counts(entry.reference) for entry in operators])
    relative_NF = counts_NF / np.array([[entry.latency_ms] for entry in operators])
    scale_F = np.abs(relative_NF).max(axis=0)
    scale_F[scale_F == 0] = 1.0
    prices_F, _ = nnls(relative_NF / scale_F, np.ones(len(operators)))
    return OperatorModel(prices_F / scale_F)


def graph_counts(graph: Graph) -> Array:
    """The `COUNTS` of a graph, shape (F,)."""
    counts = np.zeros(len(COUNTS))
    for node in graph.nodes:
        counts += _node_counts(graph, node)
    return counts


def _node_counts(graph: Graph, node: Node) -> tuple[float, ...]:
    macs, weights = node_macs(node), node_params(node)
    numbers_out, numbers = prod(node.shape), node_activations(graph, node)
    match node.operation:
        case Conv() as conv if conv.is_depthwise:
            return (1, 0, 0, 0, 0, macs, weights, 0, 0)
        case Conv():
            excess = max(0, BYTES_PER_NUMBER * (numbers + weights) - CACHE_BYTES)
            return (1, macs, numbers_out, weights, excess, 0, 0, 0, 0)
        case Linear():
            return (1, macs, numbers_out, weights, 0, 0, 0, 0, 0)
        case Shuffle():
            return (1, 0, 0, 0, 0, 0, 0, numbers, 0)
        case _:
            return (1, 0, 0, 0, 0, 0, 0, 0, numbers)
