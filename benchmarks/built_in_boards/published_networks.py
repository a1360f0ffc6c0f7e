"""Graphs of networks whose latencies others published, for what each consists of: `published_graph`.

They have the published convolutions. Max pooling is average pooling here, and swish or no activation is ReLU: beside
convolutions their price does not matter.
"""

from __future__ import annotations

from functools import cache
from math import ceil

from search_space.graphs import Add, AveragePool, Concat, GlobalAveragePool, Graph, GraphBuilder
from search_space.reference_networks import mobilenet_v2

CLASSES = 1000
_Stage = tuple[int, int, int, int, int]
"""Expansion, channels, blocks, stride of the first, kernel."""

_MNASNET: tuple[_Stage, ...] = (
    (1, 16, 1, 1, 3),
    (3, 24, 3, 2, 3),
    (3, 40, 3, 2, 5),
    (6, 80, 3, 2, 5),
    (6, 96, 2, 1, 3),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
"""MnasNet-B1. Source: Tan et al., "MnasNet" (CVPR 2019), and torchvision."""
_EFFICIENTNET_LITE: tuple[_Stage, ...] = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
"""EfficientNet-B0 without squeeze and excitation. Source: the authors' code, `lite/efficientnet_lite_builder.py`."""
_LITE_SCALES = ((1.0, 1.0, 224), (1.0, 1.1, 240), (1.1, 1.2, 260), (1.2, 1.4, 280), (1.4, 1.8, 300))
"""Width, depth and input size of EfficientNet-Lite0 to 4."""
_MOBILENET_V1 = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
"""Channels and stride of each block. Source: Howard et al., "MobileNets" (2017), Table 1."""


@cache
def published_graph(name: str) -> Graph:
    """A network by its name in the tables of ncnn or MLPerf.

    Raises:
        KeyError: if it is not among them.
    """
    if name.startswith("mobilenet-v1-"):
        width, size = name.removeprefix("mobilenet-v1-").split("-")
        return mobilenet_v1(float(width), int(size))
    if name.startswith("efficientnet-lite"):
        return efficientnet_lite(int(name[-1]))
    return {
        "mobilenet": lambda: mobilenet_v1(1.0, 224),
        "mobilenet_v2": lambda: mobilenet_v2(1.0, 224, CLASSES),
        "mnasnet": lambda: _inverted_residuals(_MNASNET, 224),
        "resnet18": lambda: resnet((2, 2, 2, 2), bottleneck=False),
        "resnet50": lambda: resnet((3, 4, 6, 3), bottleneck=True),
        "squeezenet": squeezenet,
        "vgg16": vgg16_without_classifier,
    }[name]()


def mobilenet_v1(width: float, size: int) -> Graph:
    """MobileNet V1 of a width multiplier for images of a size."""
    builder = GraphBuilder((3, size, size))
    channels = int(32 * width)
    x = builder.conv("stem", Graph.INPUT, channels, kernel=3, stride=2)
    for index, (wide, stride) in enumerate(_MOBILENET_V1):
        x = builder.conv(f"depthwise{index}", x, channels, kernel=3, stride=stride, groups=channels)
        channels = int(wide * width)
        x = builder.conv(f"pointwise{index}", x, channels)
    builder.classifier(x, CLASSES)
    return builder.build()


def efficientnet_lite(number: int) -> Graph:
    """EfficientNet-Lite0 to 4; first and last stage are never deeper, stem and last convolution never wider."""
    width, depth, size = _LITE_SCALES[number]
    last = len(_EFFICIENTNET_LITE) - 1
    stages = [
        (expansion, _rounded(channels * width), blocks if index in (0, last) else ceil(blocks * depth), stride, kernel)
        for index, (expansion, channels, blocks, stride, kernel) in enumerate(_EFFICIENTNET_LITE)
    ]
    return _inverted_residuals(tuple(stages), size)


def resnet(blocks: tuple[int, ...], *, bottleneck: bool) -> Graph:
    """ResNet-18 or -50. Source: He et al., "Deep Residual Learning" (CVPR 2016), Table 1; strides of torchvision."""
    builder = GraphBuilder((3, 224, 224))
    x = builder.conv("stem", Graph.INPUT, 64, kernel=7, stride=2)
    x, channels = builder.add("pooled", AveragePool(2, stride=2), x), 64
    for stage, (count, width) in enumerate(zip(blocks, (64, 128, 256, 512), strict=True)):
        for block in range(count):
            source, name, stride = x, f"stage{stage}_{block}", 2 if stage and not block else 1
            if bottleneck:
                x = builder.conv(f"{name}_narrow", x, width)
                x = builder.conv(f"{name}_middle", x, width, kernel=3, stride=stride)
                x = builder.conv(f"{name}_wide", x, 4 * width, relu=False)
            else:
                x = builder.conv(f"{name}_first", x, width, kernel=3, stride=stride)
                x = builder.conv(f"{name}_second", x, width, kernel=3, relu=False)
            if (out_channels := builder.shape_of(x)[0]) != channels or stride > 1:
                source = builder.conv(f"{name}_shortcut", source, out_channels, stride=stride, relu=False)
            x, channels = builder.add(f"{name}_add", Add(), x, source), out_channels
    builder.classifier(x, CLASSES)
    return builder.build()


def squeezenet() -> Graph:
    """SqueezeNet 1.1. Source: Iandola et al., "SqueezeNet" (2016), and the authors' model of version 1.1."""
    builder = GraphBuilder((3, 227, 227))
    x = builder.conv("stem", Graph.INPUT, 64, kernel=3, stride=2, batch_norm=False)
    x = builder.add("pooled0", AveragePool(2, stride=2), x)
    for index, (narrow, wide) in enumerate([(16, 64)] * 2 + [(32, 128)] * 2 + [(48, 192)] * 2 + [(64, 256)] * 2):
        if index in (2, 4):
            x = builder.add(f"pooled{index}", AveragePool(2, stride=2), x)
        squeezed = builder.conv(f"squeeze{index}", x, narrow, batch_norm=False)
        halves = [builder.conv(f"expand{index}_{k}", squeezed, wide, kernel=k, batch_norm=False) for k in (1, 3)]
        x = builder.add(f"concat{index}", Concat(), *halves)
    x = builder.conv("last", x, CLASSES, batch_norm=False)
    builder.add("pool", GlobalAveragePool(), x)
    return builder.build()


def vgg16_without_classifier() -> Graph:
    """The convolutions of VGG-16. Source: Simonyan and Zisserman (ICLR 2015), Table 1, column D."""
    builder = GraphBuilder((3, 224, 224))
    x = Graph.INPUT
    for stage, (count, channels) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))):
        for index in range(count):
            x = builder.conv(f"conv{stage}_{index}", x, channels, kernel=3, batch_norm=False)
        x = builder.add(f"pooled{stage}", AveragePool(2, stride=2), x)
    return builder.build()


def _inverted_residuals(stages: tuple[_Stage, ...], size: int) -> Graph:
    builder = GraphBuilder((3, size, size))
    x, channels = builder.conv("stem", Graph.INPUT, 32, kernel=3, stride=2), 32
    for stage, (expansion, out_channels, blocks, first_stride, kernel) in enumerate(stages):
        for block in range(blocks):
            source, name, hidden = x, f"stage{stage}_{block}", channels * expansion
            stride = 1 if block else first_stride
            if expansion > 1:
                x = builder.conv(f"{name}_expand", x, hidden)
            x = builder.conv(f"{name}_depthwise", x, hidden, kernel=kernel, stride=stride, groups=hidden)
            x = builder.conv(f"{name}_project", x, out_channels, relu=False)
            if stride == 1 and channels == out_channels:
                x = builder.add(f"{name}_add", Add(), x, source)
            channels = out_channels
    x = builder.conv("last", x, 1280)
    builder.classifier(x, CLASSES)
    return builder.build()


def _rounded(channels: float) -> int:
    """The multiple of 8 nearest to a number of channels, not more than a tenth below it."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8
