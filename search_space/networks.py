"""A graph as a PyTorch module: the stand-alone network that is evaluated, trained and exported.

Parameter names follow the graph: `<node>.conv.weight`, `<node>.norm.weight`, `classifier.weight`.
Shape suffixes: B batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from search_space.graphs import (
    Add,
    AveragePool,
    BatchNorm,
    Concat,
    Conv,
    GlobalAveragePool,
    Graph,
    HardSigmoid,
    HardSwish,
    Linear,
    Operation,
    Relu,
    Relu6,
    Scale,
    Select,
    Shuffle,
    Zero,
)


class Network(nn.Module):
    """The network that a graph describes."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        for node in graph.nodes:
            self.add_module(node.name, _module(node.operation))
        self._last_use = _last_uses(graph)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Logits of shape (B, K) for images of shape (B, C, H, W)."""
        (logits_BK,) = self.outputs(x_BCHW, (self.graph.nodes[-1].name,))
        return logits_BK

    def outputs(self, x_BCHW: Tensor, names: Sequence[str]) -> tuple[Tensor, ...]:
        """Outputs of nodes by name, as of the heads of early exits, for images of shape (B, C, H, W)."""
        values = {Graph.INPUT: x_BCHW}
        for index, node in enumerate(self.graph.nodes):
            inputs = [values[name] for name in node.inputs]
            values[node.name] = cast(Tensor, self.get_submodule(node.name)(*inputs))
            for name in self._last_use[index]:
                if name not in names:
                    del values[name]
        return tuple(values[name] for name in names)


def network_with(graph: Graph, weights: Mapping[str, Tensor]) -> Network:
    """The network with these very tensors as its weights: none is copied, or filled with first values.

    What a change of it in place would change are the given tensors.

    Args:
        graph: the network.
        weights: by name, on one device; BatchNorm statistics that are not among them have memory, but no values.
    """
    network = structure_of(graph)
    network.load_state_dict(dict(weights), strict=False, assign=True)
    device = next(iter(weights.values())).device
    for prefix, module in network.named_modules():
        for name, buffer in module.named_buffers(recurse=False):
            has_values = f"{prefix}.{name}" in weights or isinstance(module, _Select)
            setattr(module, name, buffer.to(device) if has_values else torch.empty_like(buffer, device=device))
    return network


def structure_of(graph: Graph) -> Network:
    """The network with weights that have shapes alone, on the device `meta`."""
    with _Unfilled(), torch.device("meta"):
        return Network(graph)


class _Unfilled(TorchFunctionMode):
    """Leaves new weights without values."""

    FILLING = frozenset({
        torch.Tensor.normal_, torch.Tensor.uniform_, torch.Tensor.fill_, torch.Tensor.zero_,
        nn.init.normal_, nn.init.uniform_, nn.init.constant_, nn.init.kaiming_uniform_,
    })  # fmt: skip

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do it, unless it fills a weight."""
        kwargs = kwargs or {}
        if func in self.FILLING:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


class ConvBlock(nn.Module):
    """Convolution, then BatchNorm and ReLU where the operation has them."""

    def __init__(self, operation: Conv) -> None:
        super().__init__()
        self.pixel_stride = operation.stride if operation.kernel == 1 else 1
        self.conv = nn.Conv2d(
            operation.in_channels,
            operation.out_channels,
            operation.kernel,
            stride=operation.stride // self.pixel_stride,
            padding=0 if operation.pads_end else operation.kernel // 2,
            groups=operation.groups,
            bias=False,
        )
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        self.norm = nn.BatchNorm2d(operation.out_channels) if operation.batch_norm else nn.Identity()
        self.relu = operation.relu
        self.padding = operation.padding if operation.pads_end else None

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Activations of shape (B, C, H, W)."""
        x_BCHW = every_pixel(x_BCHW, self.pixel_stride)
        if self.padding is not None:
            (top, bottom), (left, right) = self.padding(x_BCHW.shape[2]), self.padding(x_BCHW.shape[3])
            x_BCHW = nn.functional.pad(x_BCHW, (left, right, top, bottom))
        x_BCHW = self.norm(self.conv(x_BCHW))
        return torch.relu_(x_BCHW) if self.relu else x_BCHW


def every_pixel(x_BCHW: Tensor, stride: int) -> Tensor:
    """The pixels that a strided 1x1 convolution reads.

    Taking them first and then convolving without stride gives the same output. In PyTorch 2.13 on a CPU the gradient of
    a strided 1x1 convolution of fewer than 8 channels-last channels writes past its memory.
    """
    return x_BCHW if stride == 1 else x_BCHW[:, :, ::stride, ::stride]


class _Shuffle(nn.Module):
    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return nn.functional.channel_shuffle(x_BCHW, self.groups)


class _Add(nn.Module):
    def forward(self, *inputs: Tensor) -> Tensor:
        total = inputs[0]
        for value in inputs[1:]:
            total = total + value
        return total


class _Scale(nn.Module):
    def forward(self, x_BCHW: Tensor, factors: Tensor) -> Tensor:
        return x_BCHW * factors.reshape(*factors.shape[:2], 1, 1)


class _Select(nn.Module):
    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("indices", torch.tensor(channels, device="cpu"), persistent=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW.index_select(1, cast(Tensor, self.indices))


class _Concat(nn.Module):
    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.cat(inputs, 1)


class _Zero(nn.Module):
    def forward(self, x_BCHW: Tensor) -> Tensor:
        return torch.zeros_like(x_BCHW)


class _PooledLinear(nn.Linear):
    def forward(self, x_BC11: Tensor) -> Tensor:
        return super().forward(x_BC11.flatten(1))


def _module(operation: Operation) -> nn.Module:
    match operation:
        case Conv():
            return ConvBlock(operation)
        case BatchNorm(channels):
            return nn.BatchNorm2d(channels)
        case Relu():
            return nn.ReLU()
        case Relu6():
            return nn.ReLU6()
        case HardSwish():
            return nn.Hardswish()
        case HardSigmoid():
            return nn.Hardsigmoid()
        case Shuffle(groups):
            return _Shuffle(groups)
        case Add():
            return _Add()
        case Scale():
            return _Scale()
        case Select(channels):
            return _Select(channels)
        case Concat():
            return _Concat()
        case AveragePool(kernel, stride, padding):
            return nn.AvgPool2d(kernel, stride, padding, count_include_pad=False)
        case GlobalAveragePool():
            return nn.AdaptiveAvgPool2d(1)
        case Linear(in_features, out_features):
            return _PooledLinear(in_features, out_features)
        case Zero():
            return _Zero()


def _last_uses(graph: Graph) -> dict[int, list[str]]:
    """For each node's index, the values that no later node needs."""
    last: dict[str, int] = {}
    for index, node in enumerate(graph.nodes):
        for name in node.inputs:
            last[name] = index
    uses: dict[int, list[str]] = {index: [] for index in range(len(graph.nodes))}
    for name, index in last.items():
        uses[index].append(name)
    return uses
