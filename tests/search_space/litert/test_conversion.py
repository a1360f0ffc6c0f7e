"""The ONNX file is the oracle: what became of it must give the same outputs."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from devices.quantization import quantized
from search_space.graphs import Add, Graph, GraphBuilder, Relu
from search_space.litert.conversion import litert_file
from search_space.litert.files import to_litert
from search_space.litert.flat_model import notes_in
from search_space.litert.onnx_reader import network_in, ranges_in
from search_space.nas_bench_201 import NasBench201Space
from search_space.onnx_files import to_onnx
from search_space.reference_networks import REFERENCE_NAMES, baseline_graph
from search_space.spaces import space_named
from tests.search_space.litert.interpreters import interpreter, litert_outputs, onnx_outputs, operators_in, trained_like

MICRO = space_named("fbnet-micro").graph(
    ("k3_e1_g2", "k5_e6", "skip", "k3_e3", "k5_e1_g2", "skip", "k5_e3", "k3_e6"),
)
CELL = NasBench201Space(cells_per_stage=1).graph(
    ("nor_conv_3x3", "skip_connect", "none", "avg_pool_3x3", "nor_conv_1x1", "skip_connect")
)
GRAPHS = {
    "micro": MICRO,
    "cell": CELL,
    **{name: baseline_graph(name, input_size=32, classes=10) for name in REFERENCE_NAMES},
}


def images_of(graph: Graph, number: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((number, *graph.input_shape), np.float32)


@pytest.mark.parametrize("name", GRAPHS)
def test_onnx_files_become_litert_files(name: str) -> None:
    graph = GRAPHS[name]
    model = to_onnx(graph, trained_like(graph))
    x_NCHW = images_of(graph, 1)
    (expected,), (got,) = onnx_outputs(model, x_NCHW), litert_outputs(litert_file(model), x_NCHW)
    assert np.abs(got - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("name", "activations"),
    [("micro", "int8"), ("micro", "uint8"), ("cell", "int8"), ("mobilenet-v3-small", "uint8")],
)
def test_int8_files_compute_on_the_same_grids(name: str, activations: str) -> None:
    graph = GRAPHS[name]
    model = to_onnx(graph, trained_like(graph))
    x_NCHW = images_of(graph, 8)
    in_int8 = quantized(model, x_NCHW, activations=activations)  # type: ignore[arg-type]
    (expected,), (of_onnx,) = onnx_outputs(model, x_NCHW), onnx_outputs(in_int8, x_NCHW)
    made = litert_file(model, quantized=in_int8)
    (got,) = litert_outputs(made, x_NCHW)
    assert np.corrcoef(got.ravel(), expected.ravel())[0, 1] > 0.99
    # Weights have a bit more.
    assert np.abs(got - expected).mean() < 1.1 * np.abs(of_onnx - expected).mean()
    details = interpreter(made, delegates=False).get_tensor_details()
    assert {entry["name"] for entry in details if entry["dtype"] is np.float32} == {"images", "logits"}
    grids = {entry["name"]: entry["quantization"] for entry in details if entry["dtype"] is np.int8}
    low, high = ranges_in(in_int8)[Graph.INPUT]
    assert grids["images/int8"][0] == pytest.approx((high - low) / 255, rel=1e-6)
    assert len(made) < 0.6 * len(litert_file(model))


def test_weights_are_quantised_by_channel() -> None:
    model = to_onnx(MICRO, trained_like(MICRO))
    made = interpreter(litert_file(model, quantized=quantized(model)), delegates=False)
    scales = {
        entry["name"]: entry["quantization_parameters"]["scales"]
        for entry in made.get_tensor_details()
        if entry["name"].endswith("/weights")
    }
    assert len(scales) > 15
    assert all(len(np.unique(values)) > 3 for values in scales.values())


def test_notes_are_taken_over_and_say_the_layout() -> None:
    model = onnx.load_from_string(to_onnx(MICRO, trained_like(MICRO)))
    notes = {"classes": '["a", "b"]', "error": "0.25", "error_of": '"test split"', "layout": '"NCHW"'}
    helper.set_model_props(model, notes)
    in_fp32 = model.SerializeToString()
    expected = {**notes, "layout": json.dumps("NHWC")}
    assert notes_in(litert_file(in_fp32)) == expected
    # The error of another file is not that of this one.
    found = notes_in(litert_file(in_fp32, quantized=quantized(in_fp32)))
    assert found == {name: expected[name] for name in ("classes", "layout")}


def test_several_inputs_of_a_sum_need_no_range_between_them() -> None:
    builder = GraphBuilder((4, 6, 6))
    parts = [builder.conv(f"conv{at}", Graph.INPUT, 4, relu=False) for at in range(3)]
    builder.add("relu", Relu(), builder.add("sum", Add(), *parts))
    graph = builder.build()
    weights = trained_like(graph)
    x_NCHW = images_of(graph, 1)
    (expected,) = onnx_outputs(to_onnx(graph, weights), x_NCHW)
    limits = {"input": (-4.0, 4.0), **dict.fromkeys(parts, (-9.0, 9.0)), "relu": (0.0, float(expected.max()))}
    (got,) = litert_outputs(to_litert(graph, weights, ranges=limits), x_NCHW)
    assert np.corrcoef(got.ravel(), expected.ravel())[0, 1] > 0.99
    del limits["conv1"]
    with pytest.raises(ValueError, match="`ranges` must hold the least and greatest value of 'conv1', but"):
        to_litert(graph, weights, ranges=limits)


def test_files_of_other_networks_are_refused() -> None:
    with pytest.raises(ValueError, match="must be ONNX to become LiteRT, but this cannot be read"):
        litert_file(b"no model")
    model = to_onnx(MICRO, trained_like(MICRO))
    with pytest.raises(ValueError, match="must have the ranges of its activations, but this one has none"):
        litert_file(model, quantized=model)
    node = helper.make_node("Sigmoid", ["images"], ["output"])
    sides = ["batch", 3, 4, 4]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, sides) for name in ("images", "output")]
    other = helper.make_model(helper.make_graph([node], "other", ends[:1], ends[1:]))
    with pytest.raises(ValueError, match="but Sigmoid 'output' is none of them"):
        network_in(other.SerializeToString())
    node = helper.make_node("HardSigmoid", ["images"], ["output"])
    other = helper.make_model(helper.make_graph([node], "other", ends[:1], ends[1:]))
    with pytest.raises(ValueError, match=r"HardSigmoid 'output' is none of them: its alpha must be 0.16.*, but is 0.2"):
        network_in(other.SerializeToString())


@pytest.mark.parametrize("name", ["micro", "cell", "mobilenet-v2-0.35", "mobilenet-v3-small"])
def test_an_int8_file_alone_is_enough(name: str) -> None:
    graph = GRAPHS[name]
    model = to_onnx(graph, trained_like(graph))
    x_NCHW = images_of(graph, 4)
    in_int8 = quantized(model, x_NCHW)
    (expected,), (got,) = onnx_outputs(in_int8, x_NCHW), litert_outputs(litert_file(in_int8), x_NCHW)
    assert np.corrcoef(got.ravel(), expected.ravel())[0, 1] > 0.99
    with_more_bits = litert_file(model, quantized=in_int8)
    assert sorted(operators_in(litert_file(in_int8))) == sorted(operators_in(with_more_bits))
