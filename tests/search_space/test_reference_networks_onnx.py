"""Published networks and their operations as ONNX files, against PyTorch."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from search_space.graphs import (
    Concat,
    GlobalAveragePool,
    Graph,
    GraphBuilder,
    HardSigmoid,
    HardSwish,
    Linear,
    Operation,
    Relu6,
    Scale,
    Select,
)
from search_space.networks import Network
from search_space.onnx_files import random_weights, to_onnx
from search_space.reference_networks import BASELINE_NAMES, baseline_graph


def outputs(model: bytes, x: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"images": x})[0])


def assert_same_outputs(graph: Graph) -> None:
    torch.manual_seed(0)
    network = Network(graph).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    x = 3 * np.random.default_rng(0).standard_normal((2, *graph.input_shape)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(x)).numpy()
    got = outputs(to_onnx(graph, {name: value.numpy() for name, value in network.state_dict().items()}), x)
    assert got.shape == expected.shape
    assert np.ptp(expected) > 1e-3
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4 * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize("name", BASELINE_NAMES)
def test_every_baseline_equals_pytorch(name: str) -> None:
    assert_same_outputs(baseline_graph(name, input_size=32, classes=10))


@pytest.mark.parametrize("name", BASELINE_NAMES)
def test_random_weights_give_finite_outputs(name: str) -> None:
    graph = baseline_graph(name, input_size=32, classes=10)
    model = to_onnx(graph, random_weights(graph, np.random.default_rng(0)))
    magnitude = np.abs(
        outputs(model, np.random.default_rng(1).standard_normal((1, 3, 32, 32)).astype(np.float32))
    ).max()
    assert 1e-6 < magnitude < 1e6


@pytest.mark.parametrize("operation", [Relu6(), HardSwish(), HardSigmoid(), Select((5, 0, 0, 3)), Concat()], ids=str)
def test_every_operation_equals_pytorch(operation: Operation) -> None:
    builder = GraphBuilder((6, 8, 8))
    inputs = [Graph.INPUT, builder.conv("conv", Graph.INPUT, 3)] if operation == Concat() else [Graph.INPUT]
    builder.add("last", operation, *inputs)
    assert_same_outputs(builder.build())


@pytest.mark.parametrize("linear", [False, True])
def test_a_scale_takes_factors_with_and_without_height_and_width(*, linear: bool) -> None:
    builder = GraphBuilder((6, 5, 7))
    factors = builder.add("factors", GlobalAveragePool(), Graph.INPUT)
    if linear:
        factors = builder.add("linear", Linear(6, 6), factors)
    builder.add("last", Scale(), Graph.INPUT, factors)
    assert_same_outputs(builder.build())
