"""What a pre-trained network is, whoever has trained it; and one that is a graph of this project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from evaluation.pretrained.provenance import Pretrained
from search_space.counts import Counts, count
from search_space.folding import Array
from search_space.graphs import Graph
from search_space.networks import Network
from search_space.onnx_files import to_onnx
from search_space.reference_networks import baseline_graph


class PretrainedNetwork(Protocol):
    """A network with pre-trained weights, for any number of classes."""

    @property
    def id(self) -> str:
        """Its name among baselines; also that of a folder."""

    @property
    def about(self) -> Pretrained:
        """Where its weights are from, and which images it takes."""

    def module(self, classes: int) -> nn.Module:
        """The network, with random weights in its last layer, which is linear."""

    def graph(self, classes: int) -> Graph | None:
        """The same as a graph, where it is one."""

    def onnx(self, module: nn.Module) -> bytes:
        """The ONNX file of a module that `module` gave, on the CPU; names and shapes as of `to_onnx`."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GraphNetwork:
    """A published network as a graph of this project; implements `PretrainedNetwork`."""

    id: str
    architecture: str
    """One of `search_space.reference_networks.REFERENCE_NAMES`."""
    about: Pretrained
    weights: Mapping[str, Array]
    """Of all but the classifier."""

    def graph(self, classes: int) -> Graph:
        """See `PretrainedNetwork.graph`."""
        return baseline_graph(self.architecture, input_size=self.about.input_size, classes=classes)

    def module(self, classes: int) -> nn.Module:
        """See `PretrainedNetwork.module`."""
        network = Network(self.graph(classes))
        network.load_state_dict({name: torch.tensor(array) for name, array in self.weights.items()}, strict=False)
        return network

    def onnx(self, module: nn.Module) -> bytes:
        """See `PretrainedNetwork.onnx`."""
        weights = {name: value.detach().contiguous().numpy() for name, value in module.state_dict().items()}
        return to_onnx(self.graph(len(weights["classifier.bias"])), weights)


def last_linear(module: nn.Module) -> nn.Linear:
    """The layer that gives the scores: the last linear one.

    Raises:
        ValueError: if there is none.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    if not layers:
        raise ValueError("a pre-trained network must end in a linear layer, but this one has none.")
    return layers[-1]


def counts_of(network: PretrainedNetwork, classes: int) -> Counts:
    """Multiply-accumulates and parameters of a network with its classifier for so many classes."""
    graph = network.graph(classes)
    if graph is not None:
        return count(graph)
    module, macs = network.module(classes).eval(), 0

    def add(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal macs
        weight = layer.weight
        assert isinstance(weight, torch.Tensor)
        macs += output[0].numel() * weight[0].numel()

    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.register_forward_hook(add)
    size = network.about.input_size
    with torch.no_grad():
        module(torch.zeros(1, 3, size, size))
    return Counts(macs=macs, params=sum(parameter.numel() for parameter in module.parameters()))
