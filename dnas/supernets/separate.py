"""Separate weights for each candidate, all paths mixed: the supernet of FBNet as published.

It is the reference that the shared superkernel is compared with.
Shape suffixes: B batch, C channels, H height, W width, L layers, O operators.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from dnas.supernets.supernet import Supernet
from search_space.graphs import Graph, GraphBuilder, Shape
from search_space.networks import Network
from search_space.operators import Operator
from search_space.spaces import FBNetSpace, Layer, add_block, add_head, add_stem, layer_prefix


class SeparateSupernet(Supernet):
    """Supernet in which every candidate of every layer has weights of its own.

    Source: FBNet, section 3.2, Eq. 3: the output of a layer is the weighted sum of its candidates' outputs.
    """

    def __init__(self, space: FBNetSpace) -> None:
        super().__init__(space)
        self.stem = _part(space.input_shape, lambda builder: add_stem(builder, space))
        self.choices = nn.ModuleList(
            nn.ModuleList(_candidate(layer, operator, number) for operator in space.candidates)
            for number, layer in enumerate(space.layers)
        )
        last = space.layers[-1]
        size = -(-last.size // last.stride)
        self.head = _part((last.out_channels, size, size), lambda builder: add_head(builder, Graph.INPUT, space))

    def forward_path(self, x_BCHW: Tensor, indices: tuple[int, ...]) -> Tensor:
        """See `Supernet.forward_path`."""
        x_BCHW = self.stem(x_BCHW)
        for number, index in enumerate(indices):
            x_BCHW = self._candidate(number, index)(x_BCHW)
        return torch.as_tensor(self.head(x_BCHW))

    def forward_mixture(self, x_BCHW: Tensor, probs_LO: Tensor) -> Tensor:
        """See `Supernet.forward_mixture`; costs the sum of all candidates."""
        x_BCHW = self.stem(x_BCHW)
        for number, probs_O in enumerate(probs_LO):
            outputs = [prob * self._candidate(number, index)(x_BCHW) for index, prob in enumerate(probs_O)]
            x_BCHW = torch.stack(outputs).sum(0)
        return torch.as_tensor(self.head(x_BCHW))

    def sub_network_state(self, indices: tuple[int, ...]) -> dict[str, Tensor]:
        """See `Supernet.sub_network_state`."""
        parts: list[nn.Module] = [self.stem, self.head]
        parts += [self._candidate(number, index) for number, index in enumerate(indices)]
        return {name: value.detach() for part in parts for name, value in part.named_parameters()}

    def _candidate(self, layer: int, index: int) -> nn.Module:
        choices = self.choices[layer]
        assert isinstance(choices, nn.ModuleList)
        return choices[index]


def _part(input_shape: Shape, add: Callable[[GraphBuilder], str]) -> Network:
    builder = GraphBuilder(input_shape)
    add(builder)
    return _batch_statistics(Network(builder.build()))


def _candidate(layer: Layer, operator: Operator, number: int) -> nn.Module:
    builder = GraphBuilder(layer.input_shape)
    if add_block(builder, Graph.INPUT, layer, operator, prefix=layer_prefix(number)) == Graph.INPUT:
        return nn.Identity()
    return _batch_statistics(Network(builder.build()))


def _batch_statistics(network: Network) -> Network:
    """BatchNorm with the batch's own statistics, as in the shared form."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats = False
            module.running_mean = module.running_var = module.num_batches_tracked = None
    return network
