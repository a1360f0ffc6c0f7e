"""A network with early exits: as one graph, and as segments that run one after the other. Start with `segments_of`.

Each node has the name that it has in the network or in its head, so that one set of weights fits all of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from search_space.exits import Exit, add_exit, check_exits, layer_outputs
from search_space.graphs import Graph, GraphBuilder
from search_space.spaces import FBNetSpace

MAPS_NAME, PREVIOUS_NAME, LOGITS_NAME = "maps", "previous_maps", "logits"
"""ONNX names of what a segment gives to the next one, of the same as that one's input, and of scores."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """A part of a network that runs as a whole: what lies between two exits, with the head at its end."""

    graph: Graph
    """Its input are images or the maps of the segment before."""
    maps: str | None
    """Node whose output the next segment reads; None of the last segment."""
    logits: str
    """Node with the scores of its exit, or of the network."""

    @property
    def outputs(self) -> tuple[tuple[str, str], ...]:
        """ONNX names of its outputs, and their nodes: first what the next segment reads, then the scores."""
        maps = () if self.maps is None else ((MAPS_NAME, self.maps),)
        return (*maps, (LOGITS_NAME, self.logits))


@dataclass(frozen=True, kw_only=True, slots=True)
class BranchedGraph:
    """A network and the heads of its exits in one graph."""

    graph: Graph
    logits: tuple[str, ...]
    """Nodes with the scores of each exit, and last those of the network."""


def branched_graph(space: FBNetSpace, operators: tuple[str, ...], exits: Sequence[Exit]) -> BranchedGraph:
    """A network with heads at exits; several may be at one layer."""
    network = space.graph(operators)
    ends = layer_outputs(network, space.num_layers)
    builder = GraphBuilder(network.input_shape)
    logits = []
    for node in network.nodes:
        builder.add(node.name, node.operation, *node.inputs)
    for one in exits:
        logits.append(add_exit(builder, ends[one.layer], one, space.classes))
    return BranchedGraph(graph=builder.build(), logits=(*logits, network.nodes[-1].name))


def segments_of(space: FBNetSpace, operators: tuple[str, ...], exits: Sequence[Exit]) -> tuple[Segment, ...]:
    """A network cut at its exits, one segment more than there are exits.

    Raises:
        ValueError: if the exits cannot be passed one after the other, or nothing lies between two of them.
    """
    check_exits(exits, space.num_layers)
    network = space.graph(operators)
    ends = layer_outputs(network, space.num_layers)
    names = [node.name for node in network.nodes]
    cuts = [names.index(ends[one.layer]) + 1 for one in exits]
    if len(set(cuts)) < len(cuts):
        raise ValueError(
            f"a layer that computes something must lie between two exits, but got "
            f"{', '.join(one.label for one in exits)} of {', '.join(operators)}."
        )
    segments = []
    for number, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(names)], strict=True)):
        source = names[start - 1] if number else Graph.INPUT
        builder = GraphBuilder(network.shape_of(source))
        for node in network.nodes[start:end]:
            inputs = [Graph.INPUT if name == source else name for name in node.inputs]
            builder.add(node.name, node.operation, *inputs)
        if number < len(exits):
            logits = add_exit(builder, names[end - 1], exits[number], space.classes)
            segments.append(Segment(graph=builder.build(), maps=names[end - 1], logits=logits))
        else:
            segments.append(Segment(graph=builder.build(), maps=None, logits=names[-1]))
    return tuple(segments)
