"""The PyTorch network is the oracle: both are built from one graph and must give the same outputs."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from search_space.graphs import Add, AveragePool, BatchNorm, Graph, GraphBuilder, Operation, Relu, Shape, Shuffle, Zero
from search_space.nas_bench_201 import NasBench201Space
from search_space.networks import Network
from search_space.onnx_files import random_weights, to_onnx, weight_shapes
from search_space.operators import OPERATORS, Operator
from search_space.spaces import Layer, SearchSpace, add_block, space_named

LAYERS = (Layer(8, 8, 1, 7), Layer(8, 12, 1, 6), Layer(8, 12, 2, 8), Layer(8, 8, 2, 7))


def trained_like(graph: Graph) -> Network:
    """A network whose BatchNorms are not at their initial values."""
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
    return network


def run_onnx(model: bytes, x: np.ndarray) -> tuple[str, np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (output,) = session.get_outputs()
    return output.name, session.run(None, {"images": x})[0]


def assert_same_outputs(graph: Graph, *, name: str) -> None:
    network = trained_like(graph)
    weights = {key: value.numpy() for key, value in network.state_dict().items()}
    x = np.random.default_rng(0).standard_normal((3, *graph.input_shape)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(x)).numpy()
    got_name, got = run_onnx(to_onnx(graph, weights), x)
    assert got_name == name
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4 * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize("layer", LAYERS, ids=str)
@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.name)
def test_every_operator_equals_pytorch(layer: Layer, operator: Operator) -> None:
    builder = GraphBuilder(layer.input_shape)
    add_block(builder, Graph.INPUT, layer, operator, prefix="block_")
    graph = builder.build()
    if operator.is_skip and layer.keeps_shape:
        assert not graph.nodes
    else:
        assert_same_outputs(graph, name="output")


@pytest.mark.parametrize(
    "operation",
    [Relu(), BatchNorm(6), Shuffle(3), Zero(), AveragePool(3, padding=1), AveragePool(2, stride=2), Add()],
    ids=str,
)
def test_every_other_operation_equals_pytorch(operation: Operation) -> None:
    builder = GraphBuilder((6, 8, 8))
    builder.add("only", operation, Graph.INPUT)
    assert_same_outputs(builder.build(), name="output")


@pytest.mark.parametrize("shape", [(6, 8, 8), (6, 7, 8), (6, 9, 5)])
@pytest.mark.parametrize("kernel", [3, 5])
def test_padding_at_the_end_equals_pytorch(shape: Shape, kernel: int) -> None:
    builder = GraphBuilder(shape)
    builder.conv("only", Graph.INPUT, 6, kernel=kernel, stride=2, groups=6, pads_end=True)
    assert_same_outputs(builder.build(), name="output")


def test_sums_of_three_inputs_equal_pytorch() -> None:
    builder = GraphBuilder((4, 5, 5))
    parts = [builder.conv(f"conv{index}", Graph.INPUT, 4, kernel=3) for index in range(3)]
    builder.add("sum", Add(), *parts)
    assert_same_outputs(builder.build(), name="output")


def test_a_network_of_the_micro_space_equals_pytorch() -> None:
    space = space_named("fbnet-micro")
    operators = ("k3_e1_g2", "k5_e6", "skip", "k3_e3", "k5_e1_g2", "skip", "k5_e3", "k3_e6")
    assert_same_outputs(space.graph(operators), name="logits")


def test_a_nas_bench_201_network_equals_pytorch() -> None:
    space = NasBench201Space(cells_per_stage=1)
    operators = ("nor_conv_3x3", "skip_connect", "none", "avg_pool_3x3", "nor_conv_1x1", "skip_connect")
    assert_same_outputs(space.graph(operators), name="logits")


def test_the_file_can_be_read_by_old_runtimes() -> None:
    graph = space_named("fbnet-micro").graph(("k3_e1",) * 8)
    model = onnx.load_from_string(to_onnx(graph, random_weights(graph, np.random.default_rng(0))))
    assert model.ir_version == 8
    assert [entry.version for entry in model.opset_import] == [17]
    (entry,) = model.graph.input
    assert entry.name == "images"
    assert entry.type.tensor_type.shape.dim[0].dim_param == "batch"


@pytest.mark.parametrize("space", [space_named("fbnet-micro"), NasBench201Space(cells_per_stage=1)])
def test_weight_shapes_are_those_of_pytorch(space: SearchSpace) -> None:
    graph = space.graph((space.operators[1],) * space.num_layers)
    state = {name: tuple(value.shape) for name, value in Network(graph).state_dict().items()}
    expected = {name: shape for name, shape in state.items() if not name.endswith("num_batches_tracked")}
    assert weight_shapes(graph) == expected


def test_random_weights_keep_activations_in_range() -> None:
    graph = space_named("fbnet-imagenet").graph(("k3_e6",) * 22)
    model = to_onnx(graph, random_weights(graph, np.random.default_rng(0)))
    x = np.random.default_rng(1).standard_normal((1, 3, 224, 224)).astype(np.float32)
    magnitude = np.abs(run_onnx(model, x)[1]).max()
    assert 1e-3 < magnitude < 1e6


def test_random_weights_depend_on_the_generator_alone() -> None:
    graph = space_named("fbnet-micro").graph(("k3_e1",) * 8)
    one, two = (to_onnx(graph, random_weights(graph, np.random.default_rng(5))) for _ in range(2))
    assert one == two


def test_an_empty_graph_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one node"):
        to_onnx(GraphBuilder((3, 4, 4)).build(), {})


def test_a_missing_weight_is_named() -> None:
    builder = GraphBuilder((3, 4, 4))
    builder.conv("only", Graph.INPUT, 2)
    with pytest.raises(ValueError, match=r"'only.conv.weight' of shape \(2, 3, 1, 1\), but it is missing"):
        to_onnx(builder.build(), {})


def test_a_weight_of_the_wrong_shape_is_named() -> None:
    builder = GraphBuilder((3, 4, 4))
    builder.conv("only", Graph.INPUT, 2)
    graph = builder.build()
    weights = random_weights(graph, np.random.default_rng(0)) | {"only.norm.bias": np.zeros(3, np.float32)}
    with pytest.raises(ValueError, match=r"'only.norm.bias' must have shape \(2,\), but got \(3,\)"):
        to_onnx(graph, weights)
