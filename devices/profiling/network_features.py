"""What tells the networks of a space apart before any is measured. Start with `kinds_of_work`.

Shape suffixes: N networks, L layers, O operators, J features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from devices.cost_tables.cost_table import CostTable, check_fits
from search_space.block_graph import block_graph
from search_space.counts import node_activations, node_macs, node_params
from search_space.graphs import Add, Conv, Shuffle
from search_space.operators import Operator
from search_space.spaces import FBNetSpace, Layer

Array = npt.NDArray[np.float64]
Networks = Sequence[Sequence[int]] | npt.NDArray[np.intp]


def kinds_of_work(source: CostTable, space: FBNetSpace) -> Array:
    """What each entry of a table does: up to eight kinds of work, as fractions of what the average network does.

    Multiply-accumulates of dense and of depthwise convolutions, parameters, activations read and written, convolutions,
    channel shuffles, additions, latency on the source board; without those that are the same for all operators. What
    convolutions of two groups compute is in neither kind: their shuffles and the source's latencies stand for it.

    Args:
        source: table of a board.
        space: the space of the table.

    Returns:
        Shape (L, O, kinds); means over operators, summed over layers, are 1.

    Raises:
        ValueError: if the table is for another space.
    """
    check_fits(source, space)
    counts_LOK = np.array([[_counts(layer, operator) for operator in space.candidates] for layer in space.layers])
    work_LOK = np.concatenate([counts_LOK, source.latency_ms[:, :, None]], axis=2)
    work_LOK = work_LOK[:, :, np.ptp(work_LOK, axis=1).any(axis=0)]
    parts_LOK: Array = work_LOK / work_LOK.mean(axis=1).sum(axis=0)
    return parts_LOK


@dataclass(frozen=True, eq=False)
class NetworkFeatures:
    """What the networks of a space are described by, besides an intercept: kinds of work first, then ties."""

    work_LOJ: Array
    """Of each entry; the average network has 1 of each kind of work."""
    average_J: Array
    """Of the average network, which has all operators of a layer equally."""
    kinds: int
    """Number of kinds of work."""

    @classmethod
    def of(cls, source: CostTable, space: FBNetSpace) -> NetworkFeatures:
        """Features of all networks of a space; arguments and errors as for `kinds_of_work`.

        A tie is what operators of one layer shape, or of one layer shape and expansion, have in common.
        """
        work_LOK = kinds_of_work(source, space)
        ties_LOT = _ties(space) * work_LOK.mean(axis=2)[:, :, None]
        ties_LOT = ties_LOT[:, :, np.ptp(ties_LOT, axis=1).any(axis=0)]
        work_LOJ = np.concatenate([work_LOK, ties_LOT], axis=2)
        return cls(work_LOJ, work_LOJ.mean(axis=1).sum(axis=0), work_LOK.shape[2])

    def rows(self, networks: Networks) -> Array:
        """An intercept, and what each network has beyond the average one.

        Args:
            networks: operator indices, shape (N, L).

        Returns:
            Shape (N, 1 + J).

        Raises:
            ValueError: if a network does not fit the space.
        """
        layers, operators, _ = self.work_LOJ.shape
        indices_NL = np.asarray(networks)
        if indices_NL.ndim != 2 or not len(indices_NL) or indices_NL.shape[1] != layers:
            raise ValueError(f"networks must have shape (number, {layers}), but got {indices_NL.shape}.")
        if indices_NL.dtype.kind not in "iu" or indices_NL.min() < 0 or indices_NL.max() >= operators:
            raise ValueError(f"networks must be made of whole numbers in [0, {operators - 1}], one a layer.")
        sums_NJ = self.work_LOJ[np.arange(layers), indices_NL].sum(axis=1)
        return np.concatenate([np.ones((len(sums_NJ), 1)), sums_NJ - self.average_J], axis=1)


def _counts(layer: Layer, operator: Operator) -> tuple[float, ...]:
    """Counts of one block: what it computes, what it moves, and how many kernels it starts."""
    graph = block_graph(layer, operator)
    dense_macs = depthwise_macs = params = activations = convs = shuffles = adds = 0
    for node in graph.nodes:
        operation = node.operation
        if isinstance(operation, Conv) and operation.is_depthwise:
            depthwise_macs += node_macs(node)
        elif isinstance(operation, Conv) and operation.groups == 1:
            dense_macs += node_macs(node)
        params += node_params(node)
        activations += node_activations(graph, node)
        convs += isinstance(operation, Conv)
        shuffles += isinstance(operation, Shuffle)
        adds += isinstance(operation, Add)
    return dense_macs, depthwise_macs, params, activations, convs, shuffles, adds


def _ties(space: FBNetSpace) -> Array:
    """Which entries have a layer shape, or a layer shape and an expansion, in common: 0 or 1, shape (L, O, ties)."""
    keys = [
        [(layer, None) for operator in space.candidates]
        + [(layer, operator.expansion) for operator in space.candidates]
        for layer in space.layers
    ]
    number = {key: index for index, key in enumerate(dict.fromkeys(key for row in keys for key in row))}
    operators = len(space.operators)
    one_hot = np.eye(len(number))[[[number[key] for key in row] for row in keys]]
    ties_LOT: Array = one_hot[:, :operators] + one_hot[:, operators:]
    return ties_LOT
