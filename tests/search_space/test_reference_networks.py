"""Counts against published figures, and against hooks on the layers of the PyTorch network while it runs."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from search_space.counts import count
from search_space.graphs import (
    Add,
    AveragePool,
    BatchNorm,
    Concat,
    Conv,
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
)
from search_space.networks import Network
from search_space.reference_networks import BASELINE_NAMES, REFERENCE_NAMES, baseline_graph, condensenet


def operations(graph: Graph, kind: type) -> list[object]:
    return [node.operation for node in graph.nodes if isinstance(node.operation, kind)]


# Sources: torchvision 0.29 (parameters, and multiply-accumulates of its convolution and linear layers by hooks), and
# for EfficientNet-Lite0 `efficientnet_lite_pytorch` 0.1.0 (likewise). The
# papers and Keras' documentation give 59, 97 and 300 million multiply-accumulates for MobileNetV2.
@pytest.mark.parametrize(
    ("name", "macs", "params"),
    [
        ("mobilenet-v2-0.35", 59_285_808, 1_677_128),
        ("mobilenet-v2-0.5", 97_131_840, 1_968_680),
        ("mobilenet-v2-1.0", 300_774_272, 3_504_872),
        ("mobilenet-v3-small", 56_510_400, 2_542_856),
        ("mobilenet-v3-large", 216_589_760, 5_483_032),
        ("efficientnet-lite0", 385_187_552, 4_652_008),
    ],
)
def test_counts_on_imagenet_are_the_published_ones(name: str, macs: int, params: int) -> None:
    counts = count(baseline_graph(name, input_size=224, classes=1000))
    assert (counts.macs, counts.params) == (macs, params)


# Source: the README of the authors' MobileNetV2, https://github.com/tensorflow/models, rounded to millions there.
@pytest.mark.parametrize(("name", "millions"), [("mobilenet-v2-0.75", 209), ("mobilenet-v2-1.4", 582)])
def test_a_mobilenet_may_have_any_width(name: str, millions: int) -> None:
    assert round(count(baseline_graph(name, input_size=224, classes=1000)).macs / 1e6) == millions


def test_widths_of_mobilenet_v3_scale_all_channels() -> None:
    assert baseline_graph("mobilenet-v3-small-1.0", input_size=32, classes=10) == baseline_graph(
        "mobilenet-v3-small", input_size=32, classes=10
    )
    half = baseline_graph("mobilenet-v3-small-0.5", input_size=224, classes=1000)
    linear = [node.operation for node in half.nodes if isinstance(node.operation, Linear)]
    assert linear[-2:] == [Linear(288, 512), Linear(512, 1000)]
    assert half.shape_of("stem")[0] == 8


# Source: the table of the authors' repository, https://github.com/ShichenLiu/CondenseNet.
@pytest.mark.parametrize(
    ("layers", "depth", "flops", "params"),
    [
        (8, 50, "28.6M", "0.22M"),
        (12, 74, "51.9M", "0.41M"),
        (14, 86, "65.8M", "0.52M"),
        (16, 98, "81.3M", "0.65M"),
        (18, 110, "98.2M", "0.79M"),
        (20, 122, "116.7M", "0.95M"),
    ],
)
def test_condensenet_has_the_published_counts_when_counted_as_its_authors_do(
    layers: int, depth: int, flops: str, params: str
) -> None:
    graph = condensenet((layers,) * 3, (8, 16, 32), 32, 10)
    assert len(operations(graph, Conv)) + len(operations(graph, Linear)) == depth
    # They count the classifier before half of its inputs are dropped, its bias, each value that a ReLU gives and each
    # value that a pooling layer reads.
    (classifier,) = (node.operation for node in graph.nodes if isinstance(node.operation, Linear))
    dropped = classifier.in_features * 10
    extra = 10
    for node in graph.nodes:
        if isinstance(node.operation, Relu):
            extra += math.prod(node.shape)
        elif isinstance(node.operation, (AveragePool, GlobalAveragePool)):
            extra += math.prod(graph.shape_of(node.inputs[0]))
    counts = count(graph)
    assert f"{(counts.macs + dropped + extra) / 1e6:.1f}M" == flops
    assert f"{(counts.params + dropped) / 1e6:.2f}M" == params


@pytest.mark.parametrize("name", REFERENCE_NAMES)
def test_counts_equal_the_network_at_32_pixels(name: str) -> None:
    graph = baseline_graph(name, input_size=32, classes=10)
    network = Network(graph).eval()
    macs = 0

    def add(module: nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal macs
        macs += output[0].numel() * module.weight[0].numel()  # type: ignore[index]

    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(add)
    with torch.no_grad():
        logits = network(torch.randn(2, 3, 32, 32))
    assert logits.shape == (2, 10)
    assert logits.isfinite().all()
    assert macs == count(graph).macs
    assert sum(parameter.numel() for parameter in network.parameters()) == count(graph).params


def test_parts_of_mobilenet_v2() -> None:
    graph = baseline_graph("mobilenet-v2-0.35", input_size=224, classes=1000)
    assert len(operations(graph, Add)) == 10
    assert len(operations(graph, Relu6)) == 1 + 17 + 16 + 1
    assert not operations(graph, Relu)


def test_parts_of_mobilenet_v3_small() -> None:
    graph = baseline_graph("mobilenet-v3-small", input_size=224, classes=1000)
    assert len(operations(graph, Add)) == 6
    assert len(operations(graph, Scale)) == len(operations(graph, HardSigmoid)) == 9
    assert len(operations(graph, HardSwish)) == 1 + 2 * 8 + 1 + 1


def test_a_residual_is_a_matter_of_the_published_stride() -> None:
    for name in BASELINE_NAMES:
        large, small = (operations(baseline_graph(name, input_size=size, classes=2), Add) for size in (224, 8))
        assert large == small


@pytest.mark.parametrize("name", BASELINE_NAMES[:4])
@pytest.mark.parametrize(
    ("input_size", "strided", "last"),
    [(4, 0, 4), (6, 0, 6), (7, 1, 4), (16, 2, 4), (32, 3, 4), (64, 4, 4), (96, 4, 6), (97, 5, 4), (224, 5, 7)],
)
def test_small_inputs_keep_a_map_of_four_pixels(name: str, input_size: int, strided: int, last: int) -> None:
    graph = baseline_graph(name, input_size=input_size, classes=10)
    assert graph.shape_of("last")[1:] == (last, last)
    strides = [node.operation.stride for node in graph.nodes if isinstance(node.operation, Conv)]
    assert strides.count(2) == strided
    assert strides[0] == (2 if input_size > 96 else 1)


def test_sizes_change_no_parameters() -> None:
    for name in BASELINE_NAMES:
        assert len({count(baseline_graph(name, input_size=size, classes=7)).params for size in (9, 32, 224)}) == 1


def test_each_group_of_condensenet_takes_every_fourth_channel() -> None:
    graph = baseline_graph("condensenet-86", input_size=32, classes=10)
    first, *_ = (node.operation for node in graph.nodes if isinstance(node.operation, Select))
    assert first.channels == (0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)
    assert [graph.shape_of(f"stage{stage}_layer13_concat") for stage in range(3)] == [
        (16 + 14 * 8, 32, 32),
        (16 + 14 * 8 + 14 * 16, 16, 16),
        (16 + 14 * 8 + 14 * 16 + 14 * 32, 8, 8),
    ]
    assert len(operations(graph, BatchNorm)) == 2 * 42 + 1


@pytest.mark.parametrize(
    ("name", "input_size", "classes", "message"),
    [
        ("mobilenet-v4", 32, 10, "a baseline must be one of mobilenet-v2-0.35, .* but got 'mobilenet-v4'"),
        ("mobilenet-v2", 32, 10, "a baseline must be one of"),
        ("mobilenet-v2-0.01", 32, 10, "a baseline must be one of"),
        ("mobilenet-v2-3", 32, 10, "a baseline must be one of"),
        ("mobilenet-v3-small-wide", 32, 10, "a baseline must be one of"),
        ("efficientnet-lite0-0.5", 32, 10, "a baseline must be one of"),
        ("condensenet-86", 3, 10, "`input_size >= 4` must hold, but got 3"),
        ("mobilenet-v3-small", 32, 0, "`classes >= 1` must hold, but got 0"),
    ],
)
def test_what_cannot_be_built_is_refused(name: str, input_size: int, classes: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        baseline_graph(name, input_size=input_size, classes=classes)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda b: b.add("a", Select((0, 6)), "input"), r"must lie in \[0, 6\)"),
        (lambda b: b.add("a", Select((-1,)), "input"), r"must lie in \[0, 6\)"),
        (lambda b: b.add("a", Select(()), "input"), "and be one or more"),
        (lambda b: b.add("a", Concat(), "input", b.conv("c", "input", 4, stride=2)), "one height and width"),
        (lambda b: b.add("a", Concat()), "one height and width"),
        (lambda b: b.add("a", Scale(), "input", "input"), "needs two inputs"),
        (lambda b: b.add("a", Scale(), "input"), "needs two inputs"),
        (lambda b: b.add("a", Scale()), "needs two inputs"),
    ],
)
def test_operations_that_do_not_fit_are_refused(build: Callable[[GraphBuilder], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(GraphBuilder((6, 8, 8)))


def test_operations_by_hand() -> None:
    builder = GraphBuilder((2, 1, 2))
    builder.add("swapped", Select((1, 0, 1)), Graph.INPUT)
    builder.add("both", Concat(), "swapped", Graph.INPUT)
    builder.add("means", GlobalAveragePool(), "both")
    builder.add("scaled", Scale(), "both", "means")
    graph = builder.build()
    assert [node.shape for node in graph.nodes] == [(3, 1, 2), (5, 1, 2), (5, 1, 1), (5, 1, 2)]
    x_BCHW = torch.tensor([[[[1.0, 3.0]], [[-2.0, 0.0]]]])
    expected = [2.0, -0.0, 2.0, 6.0, 2.0, -0.0, 2.0, 6.0, 2.0, -0.0]
    assert Network(graph)(x_BCHW).flatten().tolist() == expected


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (Relu6(), [0, 0, 0, 0, 1, 6, 6]),
        (HardSigmoid(), [0, 0, 1 / 3, 0.5, 2 / 3, 1, 1]),
        (HardSwish(), [0, 0, -1 / 3, 0, 2 / 3, 6, 7]),
    ],
)
def test_activations_by_hand(operation: Relu6 | HardSigmoid | HardSwish, expected: list[float]) -> None:
    builder = GraphBuilder((1, 1, 7))
    builder.add("only", operation, Graph.INPUT)
    x_BCHW = torch.tensor([-7.0, -3.0, -1.0, 0.0, 1.0, 6.0, 7.0]).reshape(1, 1, 1, 7)
    assert Network(builder.build())(x_BCHW).flatten().tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("kernel", "stride", "side"), [(3, 2, 8), (5, 2, 8), (3, 2, 7), (5, 2, 7), (3, 1, 8), (5, 3, 9)]
)
def test_padding_at_the_end_is_that_of_tensorflow(kernel: int, stride: int, side: int) -> None:
    # An output pixel reads `kernel` pixels from `stride * index - before` on; SAME gives ceil(side / stride) of them.
    conv = Conv(in_channels=1, out_channels=1, kernel=kernel, stride=stride, pads_end=True)
    before, after = conv.padding(side)
    assert after - before in (0, 1)
    outputs = math.ceil(side / stride)
    assert (outputs - 1) * stride + kernel == side + before + after
    builder = GraphBuilder((1, side, side))
    builder.conv("only", Graph.INPUT, 1, kernel=kernel, stride=stride, batch_norm=False, relu=False, pads_end=True)
    graph = builder.build()
    network = Network(graph)
    weight_HW = network.get_parameter("only.conv.weight").detach()[0, 0]
    x_BCHW = torch.randn(1, 1, side, side)
    expected = [
        [
            sum(
                float(weight_HW[i, j] * x_BCHW[0, 0, row, column])
                for i in range(kernel)
                for j in range(kernel)
                if 0 <= (row := top * stride - before + i) < side and 0 <= (column := left * stride - before + j) < side
            )
            for left in range(outputs)
        ]
        for top in range(outputs)
    ]
    assert network(x_BCHW)[0, 0].tolist() == [pytest.approx(line, abs=1e-5) for line in expected]
