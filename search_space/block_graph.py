"""A candidate block of a layer as a graph of its own."""

from __future__ import annotations

from search_space.graphs import Graph, GraphBuilder
from search_space.operators import Operator
from search_space.spaces import Layer, add_block


def block_graph(layer: Layer, operator: Operator) -> Graph:
    """One candidate block as a graph; without nodes where it is the identity."""
    builder = GraphBuilder(layer.input_shape)
    add_block(builder, Graph.INPUT, layer, operator, prefix="")
    return builder.build()
