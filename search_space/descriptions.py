"""What a space or an architecture consists of, as plain data for a table or JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from search_space.architectures import Architecture, published_for
from search_space.counts import Counts, count
from search_space.graphs import Graph, Shape
from search_space.nas_bench_201 import EDGES, edge_prefix
from search_space.spaces import FBNetSpace, SearchSpace, layer_prefix


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerDescription:
    """Shape of one searchable layer; None for an edge of a cell, which recurs in several shapes."""

    name: str
    in_channels: int | None
    out_channels: int | None
    stride: int | None
    size: int | None
    """Height and width of the input."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerCounts(LayerDescription):
    """A searchable layer with its operator; an edge's counts are summed over all cells."""

    operator: str
    macs: int
    params: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SpaceDescription:
    """What can be chosen in a space."""

    space: str
    input_shape: Shape
    classes: int
    candidates: tuple[str, ...]
    num_architectures: int
    published: tuple[str, ...]
    """Names of the published architectures that can be built in it."""
    layers: tuple[LayerDescription, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchitectureDescription:
    """One network: the counts of `layers` and `fixed` add up to the total."""

    space: str
    id: str
    operators: tuple[str, ...]
    input_shape: Shape
    classes: int
    macs: int
    params: int
    fixed: Counts
    """Everything outside the searchable layers: stem, head, residual blocks between stages."""
    layers: tuple[LayerCounts, ...]


def describe_space(space: SearchSpace) -> SpaceDescription:
    """Layers, candidates and size of a space."""
    number: int = len(space.operators) ** space.num_layers
    return SpaceDescription(
        space=space.name,
        input_shape=space.input_shape,
        classes=_classes(space.graph((space.operators[-1],) * space.num_layers)),
        candidates=space.operators,
        num_architectures=number,
        published=published_for(space),
        layers=_layers(space),
    )


def describe_architecture(space: SearchSpace, architecture: Architecture) -> ArchitectureDescription:
    """Exact counts of a network, in total and of each searchable layer."""
    graph = space.graph(architecture.operators)
    total = count(graph)
    layers = tuple(
        _layer_counts(graph, layer, operator)
        for layer, operator in zip(_layers(space), architecture.operators, strict=True)
    )
    return ArchitectureDescription(
        space=space.name,
        id=architecture.id,
        operators=architecture.operators,
        input_shape=space.input_shape,
        classes=_classes(graph),
        macs=total.macs,
        params=total.params,
        fixed=Counts(
            macs=total.macs - sum(layer.macs for layer in layers),
            params=total.params - sum(layer.params for layer in layers),
        ),
        layers=layers,
    )


def _layers(space: SearchSpace) -> tuple[LayerDescription, ...]:
    if isinstance(space, FBNetSpace):
        return tuple(
            LayerDescription(
                name=layer_prefix(index).rstrip("_"),
                in_channels=layer.in_channels,
                out_channels=layer.out_channels,
                stride=layer.stride,
                size=layer.size,
            )
            for index, layer in enumerate(space.layers)
        )
    return tuple(
        LayerDescription(
            name=edge_prefix(edge).rstrip("_"), in_channels=None, out_channels=None, stride=None, size=None
        )
        for edge in EDGES
    )


def _layer_counts(graph: Graph, layer: LayerDescription, operator: str) -> LayerCounts:
    nodes = tuple(node for node in graph.nodes if f"{layer.name}_" in node.name)
    counts = count(Graph(graph.input_shape, nodes))
    return LayerCounts(**asdict(layer), operator=operator, macs=counts.macs, params=counts.params)


def _classes(graph: Graph) -> int:
    return graph.nodes[-1].shape[0]
