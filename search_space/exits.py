"""Early exits of a network: where they may sit, what their heads are and count. Start with `candidate_exits`.

An exit sits at the end of a searchable layer. Shape suffixes: L layers.

Sources: Teerapittayanon et al., "BranchyNet" (ICPR 2016); Bouzidi et al., "HADAS" (DATE 2023), whose heads are not
bounded in size: on a map of 32 channels and 16 pixels one costs 12.6 million multiply-accumulates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import total_ordering
from typing import Any, Literal, get_args

from search_space.boundary.text import shown
from search_space.counts import count
from search_space.graphs import GlobalAveragePool, Graph, GraphBuilder, Linear, Shape
from search_space.operators import operator_named
from search_space.spaces import MOST_LAYERS, FBNetSpace, layer_prefix

HeadKind = Literal["linear", "conv"]
HEADS: tuple[HeadKind, ...] = get_args(HeadKind)
EARLIEST, LATEST, LEAST_APART = 0.2, 0.9, 0.1
"""Where exits may sit, and how far apart they are, as shares of the network's latency."""
MOST_OF_HEAD, MOST_OF_HEADS = 0.05, 0.10
"""Multiply-accumulates of one head, and of all that a network is deployed with, as shares of the network's."""


@total_ordering
@dataclass(frozen=True)
class Exit:
    """A place where inference may end; ordered by layer."""

    layer: int
    """At the end of this searchable layer, from 0."""
    head: HeadKind
    """What classifies there. `linear`: pooling and a linear layer; `conv`: before them a depthwise 3x3 convolution of
    stride 2 and a 1x1 convolution to twice the channels."""

    def __post_init__(self) -> None:
        if isinstance(self.layer, bool) or not isinstance(self.layer, int) or not 0 <= self.layer < MOST_LAYERS:
            raise ValueError(f"`layer` of an exit must be a whole number of at least 0, but got {shown(self.layer)}.")
        if self.head not in HEADS:
            raise ValueError(f"`head` of an exit must be one of {', '.join(HEADS)}, but got {shown(self.head)}.")

    def __lt__(self, other: Exit) -> bool:
        return (self.layer, HEADS.index(self.head)) < (other.layer, HEADS.index(other.head))

    @property
    def prefix(self) -> str:
        """What the names of its head's nodes start with."""
        return f"exit{self.layer:02d}_{self.head}_"

    @property
    def label(self) -> str:
        """Short text for people: `layer 3 conv`; layers count from 0, as everywhere."""
        return f"layer {self.layer} {self.head}"

    def to_json(self) -> dict[str, object]:
        """The form used in files."""
        return {"layer": self.layer, "head": self.head}

    @classmethod
    def from_json(cls, content: Any) -> Exit:
        """The exit that `to_json` gave.

        Raises:
            ValueError: if it is none.
        """
        if not isinstance(content, dict) or set(content) != {"layer", "head"}:
            raise ValueError(f"an exit must have `layer` and `head`, but got {shown(content)}.")
        return cls(content["layer"], content["head"])


def candidate_exits(
    space: FBNetSpace, operators: tuple[str, ...], latency_share_L: Sequence[float]
) -> tuple[Exit, ...]:
    """The exits that a network may get, in order: every head that is small enough, at every place that may have one.

    Args:
        space: of the network.
        operators: the network, one a layer.
        latency_share_L: share of the network's latency up to the end of each layer, ascending, in [0, 1].

    Raises:
        ValueError: if there is none, as the network is too short.
    """
    macs = count(space.graph(operators)).macs
    candidates = [
        found
        for layer in _places(space, operators, latency_share_L)
        for head in HEADS
        for found in [Exit(layer, head)]
        if count(head_graph(space, found)).macs <= MOST_OF_HEAD * macs
    ]
    if not candidates:
        raise ValueError(
            f"a network must have a layer that ends at {EARLIEST:.0%} to {LATEST:.0%} of its latency, and whose "
            f"exit costs at most {MOST_OF_HEAD:.0%} of its multiply-accumulates, to get an early exit, but "
            f"{', '.join(operators)} has none: choose a network of more layers."
        )
    return tuple(candidates)


def _places(space: FBNetSpace, operators: tuple[str, ...], latency_share_L: Sequence[float]) -> list[int]:
    """Layers at whose ends there may be exits, far enough apart, from the first on."""
    places: list[int] = []
    last = 0.0
    for index, (layer, name, share) in enumerate(zip(space.layers, operators, latency_share_L, strict=True)):
        is_identity = layer.keeps_shape and operator_named(name).is_skip
        if not is_identity and max(EARLIEST, last) <= share <= LATEST:
            places.append(index)
            last = share + LEAST_APART
    return places


def keeps_head_limit(space: FBNetSpace, operators: tuple[str, ...], exits: Sequence[Exit]) -> bool:
    """Whether the heads of a network's exits together are small enough to be deployed."""
    macs = sum(count(head_graph(space, one)).macs for one in exits)
    return macs <= MOST_OF_HEADS * count(space.graph(operators)).macs


def check_exits(exits: Sequence[Exit], num_layers: int) -> None:
    """Check that exits can be passed one after the other.

    Raises:
        ValueError: if they are not in order, two are at one layer, or one is beyond the last layer.
    """
    layers = [one.layer for one in exits]
    if layers != sorted(set(layers)) or (layers and layers[-1] >= num_layers):
        raise ValueError(
            f"exits must be at ascending layers, each at one of its own below {num_layers}, but got "
            f"{', '.join(one.label for one in exits)}."
        )


def head_graph(space: FBNetSpace, exit_: Exit) -> Graph:
    """The head of an exit as a graph of its own, whose input are the layer's maps; weights are named as in networks."""
    builder = GraphBuilder(output_shape(space, exit_.layer))
    add_exit(builder, Graph.INPUT, exit_, space.classes)
    return builder.build()


def output_shape(space: FBNetSpace, layer: int) -> Shape:
    """Shape of the maps at the end of a searchable layer."""
    shape = space.layers[layer]
    size = -(-shape.size // shape.stride)
    return (shape.out_channels, size, size)


def add_exit(builder: GraphBuilder, source: str, exit_: Exit, classes: int) -> str:
    """Add the head of an exit; returns the name of its logits."""
    x, prefix = source, exit_.prefix
    if exit_.head == "conv":
        channels = builder.shape_of(source)[0]
        x = builder.conv(f"{prefix}depthwise", x, channels, kernel=3, stride=2, groups=channels, relu=False)
        x = builder.conv(f"{prefix}expand", x, 2 * channels)
    x = builder.add(f"{prefix}pool", GlobalAveragePool(), x)
    return builder.add(f"{prefix}classifier", Linear(builder.shape_of(x)[0], classes), x)


def layer_outputs(graph: Graph, num_layers: int) -> tuple[str, ...]:
    """Name of the node whose output is that of each searchable layer; an identity's is that of the layer before."""
    names, last = [], "stem"
    for index in range(num_layers):
        own = [node.name for node in graph.nodes if node.name.startswith(layer_prefix(index))]
        last = own[-1] if own else last
        names.append(last)
    return tuple(names)
