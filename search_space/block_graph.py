"""A candidate block of a layer as a graph of its own, and what each block counts.

Shape suffixes: L layers, O operators.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from search_space.counts import count
from search_space.graphs import Graph, GraphBuilder
from search_space.operators import Operator
from search_space.spaces import FBNetSpace, Layer, add_block


def block_graph(layer: Layer, operator: Operator) -> Graph:
    """One candidate block as a graph; without nodes where it is the identity."""
    builder = GraphBuilder(layer.input_shape)
    add_block(builder, Graph.INPUT, layer, operator, prefix="")
    return builder.build()


def count_tables(space: FBNetSpace) -> list[tuple[npt.NDArray[np.float64], float]]:
    """Multiply-accumulates, then trainable parameters: of each operator at each layer (L, O), and of stem and head."""
    first = count(space.graph(tuple(space.operators[:1]) * space.num_layers))
    blocks = [[count(block_graph(layer, operator)) for operator in space.candidates] for layer in space.layers]
    tables = []
    for name in ("macs", "params"):
        count_LO = np.array([[getattr(block, name) for block in layer] for layer in blocks], np.float64)
        tables.append((count_LO, float(getattr(first, name) - count_LO[:, 0].sum())))
    return tables
