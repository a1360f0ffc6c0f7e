"""A pre-trained network that is small: what tests of fine-tuning take for one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from evaluation.pretrained.provenance import Pretrained
from search_space.graphs import Graph, GraphBuilder
from search_space.networks import Network
from search_space.onnx_files import to_onnx

SIZE = 8
ABOUT = Pretrained(source="a test", input_size=SIZE, mean=(0.5,) * 3, std=(0.25,) * 3)


@dataclass(frozen=True, kw_only=True, slots=True)
class TinyPretrained:
    """Implements `evaluation.pretrained.network.PretrainedNetwork`; its weights are random, but always the same."""

    id: str = "tiny-pretrained"
    about: Pretrained = ABOUT

    def graph(self, classes: int) -> Graph:
        """Two convolutions and a classifier."""
        builder = GraphBuilder((3, self.about.input_size, self.about.input_size))
        x = builder.conv("stem", Graph.INPUT, 8, kernel=3, stride=2, pads_end=True)
        x = builder.conv("last", x, 12, kernel=3)
        builder.classifier(x, classes)
        return builder.build()

    def module(self, classes: int) -> nn.Module:
        """With statistics that are not those of a new BatchNorm."""
        with torch.random.fork_rng():
            torch.manual_seed(1)
            network = Network(self.graph(classes))
            for module in network.modules():
                if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
                    nn.init.normal_(module.running_mean, std=0.3)
        return network

    def onnx(self, module: nn.Module) -> bytes:
        """See `PretrainedNetwork.onnx`."""
        weights = {name: value.detach().contiguous().numpy() for name, value in module.state_dict().items()}
        return to_onnx(self.graph(len(weights["classifier.bias"])), weights)
