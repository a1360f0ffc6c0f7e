"""Published networks that a front is compared with, as this project's graphs. Start with `baseline_graph`.

They have the same counts, PyTorch module and ONNX file as the networks that are searched for, so that costs on a board
can be compared. They come without weights; `evaluation.pretrained` has some.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from search_space.graphs import (
    Activation,
    Add,
    AveragePool,
    BatchNorm,
    Concat,
    GlobalAveragePool,
    Graph,
    GraphBuilder,
    HardSigmoid,
    HardSwish,
    Linear,
    Relu,
    Relu6,
    Scale,
    Select,
    Shuffle,
)

MINIMUM_MAP = 4
"""Height and width, in pixels, that the MobileNets' last map keeps where the input is small."""

BASELINE_NAMES = ("mobilenet-v2-0.35", "mobilenet-v2-0.5", "mobilenet-v2-1.0", "mobilenet-v3-small", "condensenet-86")
"""Those that a front is compared with after training from random weights."""
REFERENCE_NAMES = (*BASELINE_NAMES, "mobilenet-v3-large", "efficientnet-lite0")
WIDTHS = (0.05, 2.0)
"""Least and most multiplier of a MobileNet's channels."""
WIDTH_NAMES = (
    "mobilenet-v2-WIDTH, mobilenet-v3-small-WIDTH and mobilenet-v3-large-WIDTH with a WIDTH from "
    f"{WIDTHS[0]:g} to {WIDTHS[1]:g} of at most three decimals"
)
"""MobileNets of other widths, in words."""
_WITH_WIDTH = re.compile(r"(mobilenet-v2|mobilenet-v3-small|mobilenet-v3-large)-([0-9](?:\.[0-9]{1,3})?)")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Block:
    """An inverted residual: 1x1 expansion (none where it changes nothing), depthwise, 1x1 projection."""

    channels: int
    hidden: int
    kernel: int
    stride: int
    activation: Activation
    squeeze: bool = False
    """Whether the channels are scaled by squeeze and excitation after the depthwise convolution."""
    pads_end: bool = False
    """As of `search_space.graphs.Conv`, for the depthwise convolution."""


_V2_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, blocks, stride of the first. Source: MobileNetV2, Table 2."""

_V3_SMALL_BLOCKS = (
    _Block(channels=16, hidden=16, kernel=3, stride=2, activation=Relu(), squeeze=True),
    _Block(channels=24, hidden=72, kernel=3, stride=2, activation=Relu()),
    _Block(channels=24, hidden=88, kernel=3, stride=1, activation=Relu()),
    _Block(channels=40, hidden=96, kernel=5, stride=2, activation=HardSwish(), squeeze=True),
    _Block(channels=40, hidden=240, kernel=5, stride=1, activation=HardSwish(), squeeze=True),
    _Block(channels=40, hidden=240, kernel=5, stride=1, activation=HardSwish(), squeeze=True),
    _Block(channels=48, hidden=120, kernel=5, stride=1, activation=HardSwish(), squeeze=True),
    _Block(channels=48, hidden=144, kernel=5, stride=1, activation=HardSwish(), squeeze=True),
    _Block(channels=96, hidden=288, kernel=5, stride=2, activation=HardSwish(), squeeze=True),
    _Block(channels=96, hidden=576, kernel=5, stride=1, activation=HardSwish(), squeeze=True),
    _Block(channels=96, hidden=576, kernel=5, stride=1, activation=HardSwish(), squeeze=True),
)
"""Source: MobileNetV3, Table 2."""

_V3_LARGE_BLOCKS = (
    _Block(channels=16, hidden=16, kernel=3, stride=1, activation=Relu()),
    _Block(channels=24, hidden=64, kernel=3, stride=2, activation=Relu()),
    _Block(channels=24, hidden=72, kernel=3, stride=1, activation=Relu()),
    _Block(channels=40, hidden=72, kernel=5, stride=2, activation=Relu(), squeeze=True),
    _Block(channels=40, hidden=120, kernel=5, stride=1, activation=Relu(), squeeze=True),
    _Block(channels=40, hidden=120, kernel=5, stride=1, activation=Relu(), squeeze=True),
    _Block(channels=80, hidden=240, kernel=3, stride=2, activation=HardSwish()),
    _Block(channels=80, hidden=200, kernel=3, stride=1, activation=HardSwish()),
    _Block(channels=80, hidden=184, kernel=3, stride=1, activation=HardSwish()),
    _Block(channels=80, hidden=184, kernel=3, stride=1, activation=HardSwish()),
    _Block(channels=112, hidden=480, kernel=3, stride=1, activation=HardSwish(), squeeze=True),
    _Block(channels=112, hidden=672, kernel=3, stride=1, activation=HardSwish(), squeeze=True),
    _Block(channels=160, hidden=672, kernel=5, stride=2, activation=HardSwish(), squeeze=True),
    _Block(channels=160, hidden=960, kernel=5, stride=1, activation=HardSwish(), squeeze=True),
    _Block(channels=160, hidden=960, kernel=5, stride=1, activation=HardSwish(), squeeze=True),
)
"""Source: MobileNetV3, Table 1."""

_LITE0_STAGES = (
    (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)  # fmt: skip
"""Expansion, channels, blocks, stride of the first, kernel. Source: EfficientNet, Table 1, and the authors' code."""


def mobilenet_name(name: str) -> str | None:
    """The one name of a MobileNet, as `mobilenet-v2-0.5` of `mobilenet-v2-0.50`; None of anything else."""
    found = _family_and_width(name)
    if found is None:
        return None
    family, width = found
    if width != 1:
        return f"{family}-{width:g}"
    return f"{family}-1.0" if family == "mobilenet-v2" else family


def _family_and_width(name: str) -> tuple[str, float] | None:
    """Of a MobileNet: its name without a width, and the multiplier."""
    if name in ("mobilenet-v3-small", "mobilenet-v3-large"):
        return name, 1.0
    found = _WITH_WIDTH.fullmatch(name)
    if found is None or not WIDTHS[0] <= float(found[2]) <= WIDTHS[1]:
        return None
    return found[1], float(found[2])


def baseline_graph(name: str, *, input_size: int, classes: int) -> Graph:
    """The graph of a published network.

    Args:
        name: one of `REFERENCE_NAMES`, or of `WIDTH_NAMES`.
        input_size: height and width of the RGB input in pixels, at least 4. All but CondenseNet have their published
            form, with strides of 32 in all, from 97 on (224 is ImageNet's). For smaller inputs the first strides become
            1, one after the other, until the last map has at least 4 x 4 pixels: at 32 that is the stem and the first
            stage with a stride, as is usual on CIFAR. CondenseNet-86 has its CIFAR form at any size.
        classes: number of outputs, at least 1.

    Raises:
        ValueError: if there is no such network, or a number is too small.
    """
    if input_size < MINIMUM_MAP:
        raise ValueError(f"`input_size >= {MINIMUM_MAP}` must hold, but got {input_size}.")
    if classes < 1:
        raise ValueError(f"`classes >= 1` must hold, but got {classes}.")
    if (scaled := _family_and_width(name)) is not None:
        family, width = scaled
        if family == "mobilenet-v2":
            return mobilenet_v2(width, input_size, classes)
        if family == "mobilenet-v3-small":
            return mobilenet_v3(_V3_SMALL_BLOCKS, 1024, width, input_size, classes)
        return mobilenet_v3(_V3_LARGE_BLOCKS, 1280, width, input_size, classes)
    if name == "efficientnet-lite0":
        return efficientnet_lite0(input_size, classes)
    if name == "condensenet-86":
        return condensenet((14, 14, 14), (8, 16, 32), input_size, classes)
    raise ValueError(
        f"a baseline must be one of {', '.join(REFERENCE_NAMES)}, or one of {WIDTH_NAMES}, but got {name!r}."
    )


def mobilenet_v2(width: float, input_size: int, classes: int) -> Graph:
    """MobileNetV2 of a width multiplier.

    Source: Sandler et al., "MobileNetV2" (CVPR 2018), https://arxiv.org/abs/1801.04381. Dropout is omitted. Channels
    are rounded, and the last convolution is never narrower than 1280, as in the authors' code.
    """
    blocks = []
    channels = stem = _rounded(32 * width)
    for expansion, wide_channels, count, stride in _V2_STAGES:
        for index in range(count):
            hidden, channels = channels * expansion, _rounded(wide_channels * width)
            blocks.append(
                _Block(
                    channels=channels, hidden=hidden, kernel=3, stride=stride if index == 0 else 1, activation=Relu6()
                )
            )
    builder = GraphBuilder((3, input_size, input_size))
    x = _inverted_residuals(builder, stem, Relu6(), tuple(blocks))
    x = _conv(builder, "last", x, _rounded(1280 * max(1.0, width)), Relu6())
    builder.classifier(x, classes)
    return builder.build()


def mobilenet_v3(blocks: tuple[_Block, ...], head: int, width: float, input_size: int, classes: int) -> Graph:
    """MobileNetV3, Small or Large, of a width multiplier.

    Args:
        blocks: of one of the two, at width 1.
        head: channels of the linear layer after the last convolution, at width 1.
        width: multiplier of all channels.
        input_size: height and width of the input in pixels.
        classes: number of outputs.

    Source: Howard et al., "Searching for MobileNetV3" (ICCV 2019), Tables 1 and 2, https://arxiv.org/abs/1905.02244,
    with torchvision's reading of it (squeezed channels are a quarter of the expanded ones, rounded). Departures:
    dropout is omitted, BatchNorm has this project's epsilon, and squeeze and excitation is made of linear layers, which
    are the same as 1x1 convolutions there.
    """
    builder = GraphBuilder((3, input_size, input_size))
    blocks = tuple(
        replace(block, channels=_rounded(block.channels * width), hidden=_rounded(block.hidden * width))
        for block in blocks
    )
    # The last convolution has six times the channels before it.
    last, hidden = 6 * blocks[-1].channels, _rounded(head * width)
    x = _inverted_residuals(builder, _rounded(16 * width), HardSwish(), blocks)
    x = _conv(builder, "last", x, last, HardSwish())
    x = builder.add("pool", GlobalAveragePool(), x)
    x = builder.add("hidden", Linear(last, hidden), x)
    x = builder.add("hidden_activation", HardSwish(), x)
    builder.add("classifier", Linear(hidden, classes), x)
    return builder.build()


def efficientnet_lite0(input_size: int, classes: int) -> Graph:
    """EfficientNet-Lite0: EfficientNet-B0 without squeeze and excitation, and with ReLU6 for swish.

    Strided convolutions have TensorFlow's padding, which the published weights were trained with.

    Source: Tan & Le, "EfficientNet" (ICML 2019), Table 1, https://arxiv.org/abs/1905.11946, and
    https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite. Dropout is omitted.
    """
    blocks = []
    channels = stem = 32
    for expansion, wide_channels, count, stride, kernel in _LITE0_STAGES:
        for index in range(count):
            hidden, channels = channels * expansion, wide_channels
            first = stride if index == 0 else 1
            blocks.append(
                _Block(channels=channels, hidden=hidden, kernel=kernel, stride=first, activation=Relu6(), pads_end=True)
            )
    builder = GraphBuilder((3, input_size, input_size))
    x = _inverted_residuals(builder, stem, Relu6(), tuple(blocks), pads_end=True)
    x = _conv(builder, "last", x, 1280, Relu6())
    builder.classifier(x, classes)
    return builder.build()


def condensenet(stages: tuple[int, ...], growth: tuple[int, ...], input_size: int, classes: int) -> Graph:
    """CondenseNet for CIFAR as it runs after training: four groups, condensation factor 4, bottleneck 4.

    A learned group convolution is then a choice of channels, an ordinary group convolution and a shuffle. Which
    channels a group takes is learned; here group g takes channels g, g + 4, g + 8, ..., and the classifier, which
    keeps half of its inputs, every second one. Counts do not depend on the choice.

    Source: Huang et al., "CondenseNet" (CVPR 2018), https://arxiv.org/abs/1711.09224; counts as in the authors' code.

    Args:
        stages: dense layers of each stage; between stages the map is halved.
        growth: channels that each layer of a stage adds.
        input_size: height and width of the input in pixels.
        classes: number of outputs.
    """
    groups = 4
    builder = GraphBuilder((3, input_size, input_size))
    x = builder.conv("stem", Graph.INPUT, 2 * growth[0], kernel=3, batch_norm=False, relu=False)
    for stage, (layers, width) in enumerate(zip(stages, growth, strict=True)):
        if stage:
            x = builder.add(f"transition{stage}", AveragePool(2, stride=2), x)
        for layer in range(layers):
            x = _dense_layer(builder, x, width, groups, prefix=f"stage{stage}_layer{layer:02d}_")
    x = _normalised(builder, "last", x)
    pooled = builder.add("pool", GlobalAveragePool(), x)
    features = builder.shape_of(pooled)[0]
    kept = builder.add("select", Select(tuple(range(0, features, 2))), pooled)
    builder.add("classifier", Linear(builder.shape_of(kept)[0], classes), kept)
    return builder.build()


def _dense_layer(builder: GraphBuilder, source: str, growth: int, groups: int, *, prefix: str) -> str:
    channels = builder.shape_of(source)[0]
    chosen = tuple(index for group in range(groups) for index in range(group, channels, groups))
    x = builder.add(f"{prefix}select", Select(chosen), source)
    x = _normalised(builder, f"{prefix}first", x)
    x = builder.conv(f"{prefix}bottleneck", x, 4 * growth, groups=groups, batch_norm=False, relu=False)
    x = builder.add(f"{prefix}shuffle", Shuffle(groups), x)
    x = _normalised(builder, f"{prefix}second", x)
    x = builder.conv(f"{prefix}grow", x, growth, kernel=3, groups=groups, batch_norm=False, relu=False)
    return builder.add(f"{prefix}concat", Concat(), source, x)


def _normalised(builder: GraphBuilder, name: str, source: str) -> str:
    x = builder.add(f"{name}_norm", BatchNorm(builder.shape_of(source)[0]), source)
    return builder.add(f"{name}_relu", Relu(), x)


def _inverted_residuals(
    builder: GraphBuilder, stem: int, activation: Activation, blocks: tuple[_Block, ...], *, pads_end: bool = False
) -> str:
    """The stem, of stride 2 where the input is large, and the blocks."""
    strides = _strides((2, *(block.stride for block in blocks)), builder.input_shape[1])
    x = _conv(builder, "stem", Graph.INPUT, stem, activation, kernel=3, stride=strides[0], pads_end=pads_end)
    for index, (block, stride) in enumerate(zip(blocks, strides[1:], strict=True)):
        x = _inverted_residual(builder, x, block, stride, prefix=f"block{index:02d}_")
    return x


def _inverted_residual(builder: GraphBuilder, source: str, block: _Block, stride: int, *, prefix: str) -> str:
    x, channels = source, builder.shape_of(source)[0]
    if block.hidden != channels:
        x = _conv(builder, f"{prefix}expand", x, block.hidden, block.activation)
    x = _conv(
        builder,
        f"{prefix}depthwise",
        x,
        block.hidden,
        block.activation,
        kernel=block.kernel,
        stride=stride,
        groups=block.hidden,
        pads_end=block.pads_end,
    )
    if block.squeeze:
        x = _squeeze_and_excite(builder, x, prefix=prefix)
    x = builder.conv(f"{prefix}project", x, block.channels, relu=False)
    # Whether there is a residual is a matter of the published stride: a stride that became 1 adds none.
    if block.stride == 1 and block.channels == channels:
        x = builder.add(f"{prefix}add", Add(), x, source)
    return x


def _squeeze_and_excite(builder: GraphBuilder, source: str, *, prefix: str) -> str:
    channels = builder.shape_of(source)[0]
    squeezed = _rounded(channels // 4)
    x = builder.add(f"{prefix}pool", GlobalAveragePool(), source)
    x = builder.add(f"{prefix}squeeze", Linear(channels, squeezed), x)
    x = builder.add(f"{prefix}squeeze_relu", Relu(), x)
    x = builder.add(f"{prefix}excite", Linear(squeezed, channels), x)
    x = builder.add(f"{prefix}gate", HardSigmoid(), x)
    return builder.add(f"{prefix}scale", Scale(), source, x)


def _conv(
    builder: GraphBuilder,
    name: str,
    source: str,
    channels: int,
    activation: Activation,
    *,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    pads_end: bool = False,
) -> str:
    """A convolution with BatchNorm and an activation."""
    relu = activation == Relu()
    x = builder.conv(
        name, source, channels, kernel=kernel, stride=stride, groups=groups, relu=relu, pads_end=pads_end and stride > 1
    )
    return x if relu else builder.add(f"{name}_activation", activation, x)


def _strides(strides: tuple[int, ...], input_size: int) -> tuple[int, ...]:
    """The strides with the first ones changed to 1 until the last map has `MINIMUM_MAP` pixels a side."""
    kept = list(strides)
    for index in range(len(kept)):
        size = input_size
        for stride in kept:
            size = -(-size // stride)
        if size >= MINIMUM_MAP:
            break
        kept[index] = 1
    return tuple(kept)


def _rounded(channels: float) -> int:
    """The multiple of 8 nearest to a number of channels, at least 8, and not more than a tenth below it."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8
