"""ONNX Runtime is the oracle: both files are written from one graph and must give the same outputs."""

import sys

import numpy as np
import pytest

from search_space.graphs import (
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
    Operation,
    Relu,
    Relu6,
    Scale,
    Select,
    Shape,
    Shuffle,
    Zero,
)
from search_space.litert.files import to_litert
from search_space.litert.flat_model import notes_in, schema
from search_space.nas_bench_201 import NasBench201Space
from search_space.operators import OPERATORS, Operator
from search_space.published import PUBLISHED
from search_space.reference_networks import REFERENCE_NAMES, baseline_graph
from search_space.spaces import Layer, add_block, space_named
from tests.search_space.litert.interpreters import (
    assert_same_outputs,
    interpreter,
    litert_outputs,
    operators_in,
    trained_like,
)

LAYERS = (Layer(8, 8, 1, 7), Layer(8, 12, 1, 6), Layer(8, 12, 2, 8), Layer(8, 8, 2, 7))


@pytest.mark.parametrize("name", PUBLISHED)
def test_named_architectures_equal_onnx(name: str) -> None:
    model = assert_same_outputs(space_named("fbnet-cifar", published=name).graph(PUBLISHED[name].operators))
    assert "TRANSPOSE" not in operators_in(model)


@pytest.mark.parametrize("name", REFERENCE_NAMES)
def test_baselines_equal_onnx(name: str) -> None:
    graph = baseline_graph(name, input_size=32, classes=10)
    moves = operators_in(assert_same_outputs(graph)).count("TRANSPOSE")
    # Each dense layer of CondenseNet reads its groups side by side, and shuffles what they give.
    moved = [node for node in graph.nodes if isinstance(node.operation, Shuffle | Select) and node.name != "select"]
    assert moves == len(moved)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("space", ["fbnet-cifar", "fbnet-micro"])
def test_random_networks_equal_onnx(space: str, seed: int) -> None:
    one = space_named(space)
    operators = tuple(np.random.default_rng(seed).choice(one.operators, one.num_layers))
    assert "TRANSPOSE" not in operators_in(assert_same_outputs(one.graph(operators)))


def test_a_nas_bench_201_network_equals_onnx() -> None:
    space = NasBench201Space(cells_per_stage=1)
    operators = ("nor_conv_3x3", "skip_connect", "none", "avg_pool_3x3", "nor_conv_1x1", "skip_connect")
    assert_same_outputs(space.graph(operators))


@pytest.mark.parametrize("layer", LAYERS, ids=str)
@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.name)
def test_every_operator_equals_onnx(layer: Layer, operator: Operator) -> None:
    builder = GraphBuilder(layer.input_shape)
    add_block(builder, Graph.INPUT, layer, operator, prefix="block_")
    if builder.nodes:
        assert_same_outputs(builder.build())


@pytest.mark.parametrize(
    "operation",
    [
        Add(),
        AveragePool(2, stride=2),
        AveragePool(3, padding=1),
        BatchNorm(6),
        GlobalAveragePool(),
        HardSigmoid(),
        HardSwish(),
        Relu(),
        Relu6(),
        Select((5, 0, 0, 3)),
        Shuffle(2),
        Shuffle(3),
        Zero(),
    ],
    ids=str,
)
def test_every_other_operation_equals_onnx(operation: Operation) -> None:
    builder = GraphBuilder((6, 8, 8))
    builder.add("only", operation, Graph.INPUT)
    assert_same_outputs(builder.build())


@pytest.mark.parametrize("shape", [(6, 8, 8), (6, 7, 8), (6, 9, 5)])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("pads_end", [False, True])
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_strides_equal_onnx(*, shape: Shape, kernel: int, pads_end: bool, groups: int) -> None:
    builder = GraphBuilder(shape)
    builder.conv("only", Graph.INPUT, 12, kernel=kernel, stride=2, groups=groups, pads_end=pads_end)
    assert_same_outputs(builder.build())


@pytest.mark.parametrize("operation", [Shuffle(2), Shuffle(4), Select((7, 1, 2, 3, 4, 5, 6, 0)), Select((1, 1, 2, 6))])
def test_what_follows_channels_that_were_moved_reads_them_there(operation: Operation) -> None:
    builder = GraphBuilder((8, 6, 6))
    moved = builder.add("moved", operation, Graph.INPUT)
    channels = builder.shape_of(moved)[0]
    for name, groups, kernel in (("whole", 1, 3), ("two", 2, 1), ("two3", 2, 3), ("four", 4, 1), ("each", channels, 3)):
        builder.conv(name, moved, 2 * channels if name == "two" else channels, groups=groups, kernel=kernel)
    norm = builder.add("norm", BatchNorm(channels), moved)
    both = builder.add("both", Concat(), moved, norm)
    pooled = builder.add("pooled", GlobalAveragePool(), both)
    builder.add("sum", Add(), moved, norm, "four")
    factors = builder.add("factors", GlobalAveragePool(), moved)
    builder.add("scaled", Scale(), norm, factors)
    builder.add("scaled_otherwise", Scale(), "four", factors)
    builder.add("scores", Linear(2 * channels, 3), pooled)
    names = ["whole", "two", "two3", "four", "each", "both", "sum", "scaled", "scaled_otherwise", "scores"]
    assert_same_outputs(builder.build(), outputs=[(f"{name}_out", name) for name in names])


@pytest.mark.parametrize("linear", [False, True])
def test_squeeze_and_excitation_equals_onnx(*, linear: bool) -> None:
    builder = GraphBuilder((6, 5, 7))
    factors = builder.add("factors", GlobalAveragePool(), Graph.INPUT)
    if linear:
        factors = builder.add("linear", Linear(6, 6), factors)
        factors = builder.add("relu", Relu(), factors)
    builder.add("last", Scale(), Graph.INPUT, factors)
    assert_same_outputs(builder.build())


def test_plain_kernels_and_larger_batches_give_the_same() -> None:
    space = space_named("fbnet-micro")
    graph = space.graph(("k3_e1_g2", "k5_e6", "skip", "k3_e3", "k5_e1_g2", "skip", "k5_e3", "k3_e6"))
    model = assert_same_outputs(graph, batch=3)
    assert_same_outputs(graph, delegates=False)
    # All operators run in one piece of XNNPACK.
    assert [entry["op_name"] for entry in interpreter(model)._get_ops_details()].count("DELEGATE") == 1


def test_programs_find_inputs_and_outputs_by_name() -> None:
    graph = space_named("fbnet-micro").graph(("k3_e1",) * 8)
    made = interpreter(to_litert(graph, trained_like(graph)))
    assert made.get_signature_list() == {"serving_default": {"inputs": ["images"], "outputs": ["logits"]}}
    (source,), (result,) = made.get_input_details(), made.get_output_details()
    channels, height, width = graph.input_shape
    assert (source["name"], *source["shape"]) == ("images", 1, height, width, channels)
    assert (result["name"], *result["shape"]) == ("logits", 1, 10)


def test_arrays_are_aligned_as_the_schema_asks_for() -> None:
    graph = space_named("fbnet-micro").graph(("k3_e1_g2",) * 8)
    model = to_litert(graph, trained_like(graph), notes={"note": "of odd length"})
    read = schema().Model.GetRootAs(model)
    start = np.frombuffer(model, np.uint8).ctypes.data
    arrays = [read.Buffers(at).DataAsNumpy() for at in range(1, read.BuffersLength())]
    assert len(arrays) > 40
    assert {(array.ctypes.data - start) % 16 for array in arrays} == {0}


def test_notes_are_in_the_file() -> None:
    builder = GraphBuilder((3, 4, 4))
    builder.conv("only", Graph.INPUT, 2)
    notes = {"classes": '["Käse", "Brot"]', "empty": ""}
    graph = builder.build()
    assert notes_in(to_litert(graph, trained_like(graph), notes=notes)) == notes


def test_the_file_depends_on_graph_and_weights_alone() -> None:
    graph = space_named("fbnet-micro").graph(("k3_e1_g2",) * 8)
    one, two = (to_litert(graph, trained_like(graph)) for _ in range(2))
    assert one == two
    assert litert_outputs(one, np.zeros((1, *graph.input_shape), np.float32))[0].shape == (1, 10)


def test_what_cannot_be_written_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one node"):
        to_litert(GraphBuilder((3, 4, 4)).build(), {})
    builder = GraphBuilder((3, 4, 4))
    builder.conv("only", Graph.INPUT, 2)
    with pytest.raises(ValueError, match=r"'only.conv.weight' of shape \(2, 3, 1, 1\), but it is missing"):
        to_litert(builder.build(), {})
    builder = GraphBuilder((3, 8, 8))
    builder.add("only", AveragePool(3, stride=2, padding=1), Graph.INPUT)
    with pytest.raises(ValueError, match=r"AveragePool.* cannot be expressed in LiteRT"):
        to_litert(builder.build(), {})


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    schema.cache_clear()
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    builder = GraphBuilder((3, 4, 4))
    builder.add("only", Relu(), Graph.INPUT)
    with pytest.raises(
        ValueError, match=r"`ai-edge-litert`, but it is not installed: run `pip install ai-edge-litert`"
    ):
        to_litert(builder.build(), {})
