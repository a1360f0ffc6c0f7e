"""Counts against a second implementation: hooks on the layers of the PyTorch network while it runs."""

import numpy as np
import pytest
import torch
from torch import nn

from search_space.catalogue import any_space_named
from search_space.counts import count, node_macs, node_params
from search_space.graphs import Graph
from search_space.networks import Network
from search_space.operators import OPERATOR_NAMES
from search_space.spaces import FBNetSpace, SearchSpace, Stage, preset_names

# One layer that keeps the shape, one that halves it from an odd size, one that changes the channels only.
SMALL = FBNetSpace(
    name="small",
    input_size=13,
    classes=7,
    stem_channels=8,
    stem_stride=1,
    stages=(Stage(8, 1, 1), Stage(12, 1, 2), Stage(16, 1, 1)),
    last_channels=20,
)


def macs_by_hooks(network: nn.Module, input_shape: tuple[int, int, int]) -> int:
    """Multiply-accumulates for one image: size of each layer's output times the inputs that each value is made of."""
    macs = 0

    def add(module: nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal macs
        macs += output[0].numel() * module.weight[0].numel()  # type: ignore[index]

    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(add)
    with torch.no_grad():
        network.eval()(torch.zeros(1, *input_shape))
    return macs


def assert_network_agrees(graph: Graph) -> None:
    network = Network(graph)
    assert sum(parameter.numel() for parameter in network.parameters()) == count(graph).params
    assert macs_by_hooks(network, graph.input_shape) == count(graph).macs


@pytest.mark.parametrize("operator", OPERATOR_NAMES)
def test_counts_equal_the_network_for_every_operator(operator: str) -> None:
    assert_network_agrees(SMALL.graph((operator,) * 3))


def random_operators(space: SearchSpace, seed: int) -> tuple[str, ...]:
    rng = np.random.default_rng(seed)
    return tuple(space.operators[index] for index in rng.integers(len(space.operators), size=space.num_layers))


@pytest.mark.parametrize("name", preset_names())
def test_counts_equal_the_network_in_every_preset(name: str) -> None:
    space = any_space_named(name)
    assert_network_agrees(space.graph(random_operators(space, seed=1)))


def test_counts_are_sums_over_nodes() -> None:
    graph = SMALL.graph(("k3_e6", "skip", "k5_e1_g2"))
    assert count(graph).macs == sum(node_macs(node) for node in graph.nodes)
    assert count(graph).params == sum(node_params(node) for node in graph.nodes)


def test_one_block_by_hand() -> None:
    # k5_e1_g2 from 8 to 8 channels at 13 x 13: two grouped 1x1 and one 5x5 depthwise convolution, three BatchNorms.
    nodes = [node for node in SMALL.graph(("k5_e1_g2", "skip", "skip")).nodes if node.name.startswith("layer00_")]
    weights = 8 * 4 + 8 * 25 + 8 * 4
    assert sum(node_macs(node) for node in nodes) == 13 * 13 * weights
    assert sum(node_params(node) for node in nodes) == weights + 3 * 2 * 8


def test_an_identity_costs_nothing() -> None:
    graph = SMALL.graph(("skip", "skip", "skip"))
    assert not [node for node in graph.nodes if node.name.startswith("layer00_")]
