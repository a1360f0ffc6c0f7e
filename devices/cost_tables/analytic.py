"""A cost table from nominal figures: of no board, always the same, always labelled `modelled`."""

from __future__ import annotations

import numpy as np

from devices.configuration import BASE
from devices.cost_tables.cost_table import CostTable
from devices.energy.power_model import HOST_POWER_MODEL
from search_space.block_graph import block_graph
from search_space.counts import node_activations, node_macs, node_params
from search_space.graphs import Conv, Graph, GraphBuilder, Node
from search_space.spaces import FBNetSpace, add_head, add_stem

DENSE_MACS_PER_MS = 10e6
DEPTHWISE_MACS_PER_MS = 2e6
BYTES_PER_MS = 4e6
MS_PER_KERNEL = 0.003
BYTES_PER_NUMBER = 4


def analytic_cost_table(space: FBNetSpace) -> CostTable:
    """A table from a roofline model with nominal figures of one small processor core.

    An operation takes the longer of its arithmetic (10 GMAC/s; 2 GMAC/s where each group has a single channel) and
    its traffic (inputs, output and weights as float32 at 4 GB/s), plus 3 us. The figures are round numbers of
    the right order of magnitude, measured nowhere: they rank operators sensibly and predict no board. Energy is
    that of the nominal power model with one thread, so it is proportional to latency.
    """
    latency_ms = np.array(
        [[_graph_ms(block_graph(layer, operator)) for operator in space.candidates] for layer in space.layers]
    )
    fixed_ms = _graph_ms(_stem_graph(space)) + _graph_ms(_head_graph(space))
    return CostTable(
        space=space.name,
        operators=space.operators,
        latency_ms=latency_ms,
        energy_mj=HOST_POWER_MODEL.energy_mj(1.0, BASE) * latency_ms,
        fixed_latency_ms=fixed_ms,
        fixed_energy_mj=HOST_POWER_MODEL.energy_mj(fixed_ms, BASE),
        latency_source="modelled",
        energy_source="modelled",
        idle_w=HOST_POWER_MODEL.idle_w,
        energy_error=HOST_POWER_MODEL.relative_error,
        board="nominal",
        runtime="none",
        threads=1,
        clock_mhz=None,
        date=None,
        method="roofline model with nominal figures of no particular board",
    )


def _graph_ms(graph: Graph) -> float:
    return sum(_node_ms(graph, node) for node in graph.nodes)


def _node_ms(graph: Graph, node: Node) -> float:
    depthwise = isinstance(node.operation, Conv) and node.operation.is_depthwise
    arithmetic_ms = node_macs(node) / (DEPTHWISE_MACS_PER_MS if depthwise else DENSE_MACS_PER_MS)
    numbers = node_params(node) + node_activations(graph, node)
    return max(arithmetic_ms, BYTES_PER_NUMBER * numbers / BYTES_PER_MS) + MS_PER_KERNEL


def _stem_graph(space: FBNetSpace) -> Graph:
    builder = GraphBuilder(space.input_shape)
    add_stem(builder, space)
    return builder.build()


def _head_graph(space: FBNetSpace) -> Graph:
    last = space.layers[-1]
    size = -(-last.size // last.stride)
    builder = GraphBuilder((last.out_channels, size, size))
    add_head(builder, Graph.INPUT, space)
    return builder.build()
