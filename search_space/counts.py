"""Exact multiply-accumulates and parameters of a graph."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from search_space.graphs import BatchNorm, Conv, Graph, Linear, Node


@dataclass(frozen=True)
class Counts:
    """Costs of one network that need no board to measure."""

    macs: int
    """Multiply-accumulates of convolutions and linear layers for one image (FBNet's "FLOPs")."""
    params: int
    """Convolution weights, BatchNorm scale and shift, linear weights and biases."""


def count(graph: Graph) -> Counts:
    """MACs and parameters of a graph; pooling, sums, scaling and activations count as nothing."""
    return Counts(
        macs=sum(node_macs(node) for node in graph.nodes),
        params=sum(node_params(node) for node in graph.nodes),
    )


def node_macs(node: Node) -> int:
    """Multiply-accumulates of one node for one image."""
    match node.operation:
        case Conv(in_channels=in_channels, out_channels=out_channels, kernel=kernel, groups=groups):
            _, height, width = node.shape
            return height * width * out_channels * (in_channels // groups) * kernel**2
        case Linear(in_features, out_features):
            return in_features * out_features
    return 0


def node_params(node: Node) -> int:
    """Trainable parameters of one node."""
    match node.operation:
        case Conv(
            in_channels=in_channels, out_channels=out_channels, kernel=kernel, groups=groups, batch_norm=batch_norm
        ):
            return out_channels * (in_channels // groups) * kernel**2 + 2 * out_channels * batch_norm
        case BatchNorm(channels):
            return 2 * channels
        case Linear(in_features, out_features):
            return (in_features + 1) * out_features
    return 0


def node_activations(graph: Graph, node: Node) -> int:
    """Numbers that one node of a graph reads and writes, without its parameters."""
    return prod(node.shape) + sum(prod(graph.shape_of(name)) for name in node.inputs)
