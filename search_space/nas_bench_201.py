"""The cell space of NAS-Bench-201: six edges, five operators, 15,625 architectures.

It serves the tabular benchmark; the networks are the published ones, so that counts can be checked.
Source: Dong and Yang, "NAS-Bench-201" (ICLR 2020), https://arxiv.org/abs/2001.00326.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from search_space.boundary.text import shown
from search_space.graphs import (
    Add,
    AveragePool,
    BatchNorm,
    Graph,
    GraphBuilder,
    Relu,
    Shape,
    Zero,
)

NAS_BENCH_201_OPERATORS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
_CELL = re.compile(r"\|(\w+)~0\|\+\|(\w+)~0\|(\w+)~1\|\+\|(\w+)~0\|(\w+)~1\|(\w+)~2\|")
EDGES: tuple[tuple[int, int], ...] = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""(from, to) of each edge, in the order of the published strings."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NasBench201Space:
    """Three stages of equal cells with 16, 32 and 64 channels and residual blocks between them."""

    classes: int = 10
    input_size: int = 32
    channels: int = 16
    cells_per_stage: int = 5
    name: str = "nas-bench-201"
    operators: tuple[str, ...] = NAS_BENCH_201_OPERATORS

    def __post_init__(self) -> None:
        for name in ("classes", "input_size", "channels", "cells_per_stage"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 1, but got {getattr(self, name)}.")
        if self.input_size % 4:
            raise ValueError(f"`input_size` must be a multiple of 4 (it is halved twice), but got {self.input_size}.")

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The five operators."""
        return NAS_BENCH_201_OPERATORS

    @property
    def num_layers(self) -> int:
        """Number of edges in a cell."""
        return len(EDGES)

    @property
    def input_shape(self) -> Shape:
        """Channels, height and width of the input."""
        return (3, self.input_size, self.input_size)

    def with_classes(self, classes: int) -> NasBench201Space:
        """The same space for another number of classes."""
        return replace(self, classes=classes)

    def graph(self, operators: tuple[str, ...]) -> Graph:
        """The network with these operators, one an edge, the same in every cell."""
        builder = GraphBuilder(self.input_shape)
        x = builder.conv("stem", Graph.INPUT, self.channels, kernel=3, relu=False)
        for stage in range(3):
            if stage:
                x = _reduction(builder, x, f"reduction{stage}_")
            for cell in range(self.cells_per_stage):
                x = _cell(builder, x, operators, prefix=f"stage{stage}_cell{cell}_")
        x = builder.add("last_norm", BatchNorm(builder.shape_of(x)[0]), x)
        x = builder.add("last_relu", Relu(), x)
        builder.classifier(x, self.classes)
        return builder.build()


def parse_cell(text: str) -> tuple[str, ...]:
    """Operators of the six edges from a published string such as `|none~0|+|none~0|none~1|+|...|`.

    Raises:
        ValueError: if the string is not of that form.
    """
    match = _CELL.fullmatch(text)
    operators = match.groups() if match else ()
    if not operators or not set(operators) <= set(NAS_BENCH_201_OPERATORS):
        raise ValueError(
            f"a NAS-Bench-201 string must have the form '|op~0|+|op~0|op~1|+|...|', but got {shown(text)}."
        )
    return operators


def edge_prefix(edge: tuple[int, int]) -> str:
    """What follows the cell in the names of an edge's nodes, as in `stage0_cell0_edge01_conv`."""
    return f"edge{edge[0]}{edge[1]}_"


def _cell(builder: GraphBuilder, source: str, operators: tuple[str, ...], *, prefix: str) -> str:
    nodes = [source]
    for target in range(1, 4):
        parts = [
            _edge(builder, nodes[start], operator, prefix + edge_prefix((start, end)))
            for (start, end), operator in zip(EDGES, operators, strict=True)
            if end == target
        ]
        nodes.append(builder.add(f"{prefix}node{target}", Add(), *parts) if len(parts) > 1 else parts[0])
    return nodes[-1]


def _edge(builder: GraphBuilder, source: str, operator: str, prefix: str) -> str:
    channels = builder.shape_of(source)[0]
    if operator == "skip_connect":
        return source
    if operator == "none":
        return builder.add(f"{prefix}none", Zero(), source)
    if operator == "avg_pool_3x3":
        return builder.add(f"{prefix}pool", AveragePool(3, padding=1), source)
    kernel = 3 if operator == "nor_conv_3x3" else 1
    return _relu_conv(builder, source, channels, f"{prefix}conv", kernel=kernel)


def _relu_conv(builder: GraphBuilder, source: str, channels: int, name: str, *, kernel: int, stride: int = 1) -> str:
    x = builder.add(f"{name}_relu", Relu(), source)
    return builder.conv(name, x, channels, kernel=kernel, stride=stride, relu=False)


def _reduction(builder: GraphBuilder, source: str, prefix: str) -> str:
    channels = 2 * builder.shape_of(source)[0]
    x = _relu_conv(builder, source, channels, f"{prefix}conv_a", kernel=3, stride=2)
    x = _relu_conv(builder, x, channels, f"{prefix}conv_b", kernel=3)
    shortcut = builder.add(f"{prefix}pool", AveragePool(2, stride=2), source)
    shortcut = builder.conv(f"{prefix}shortcut", shortcut, channels, batch_norm=False, relu=False)
    return builder.add(f"{prefix}add", Add(), x, shortcut)
