"""LiteRT files as they run, for tests."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
import pytest

from search_space.folding import Array
from search_space.graphs import Graph
from search_space.litert.files import to_litert
from search_space.onnx_files import to_onnx, weight_shapes

pytest.importorskip("ai_edge_litert", reason="`ai-edge-litert` is not installed: run `pip install ai-edge-litert`")


def interpreter(model: bytes, *, batch: int = 1, delegates: bool = True) -> Any:
    """An interpreter that is ready to run, on one thread; without delegates it runs the plain kernels."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kind = OpResolverType.AUTO if delegates else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    made = Interpreter(model_content=model, num_threads=1, experimental_op_resolver_type=kind)
    (entry,) = made.get_input_details()
    if batch > 1:
        made.resize_tensor_input(entry["index"], (batch, *entry["shape"][1:]))
    made.allocate_tensors()
    return made


def litert_outputs(model: bytes, x_NCHW: Array, *, delegates: bool = True) -> list[Array]:
    """Outputs for a batch of images, in the layout of ONNX."""
    made = interpreter(model, batch=len(x_NCHW), delegates=delegates)
    made.set_tensor(made.get_input_details()[0]["index"], np.ascontiguousarray(x_NCHW.transpose(0, 2, 3, 1)))
    made.invoke()
    arrays = [made.get_tensor(entry["index"]) for entry in made.get_output_details()]
    return [array.transpose(0, 3, 1, 2) if array.ndim == 4 else array for array in arrays]


def onnx_outputs(model: bytes, x_NCHW: Array) -> list[Array]:
    """Outputs for a batch of images."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return [np.asarray(array) for array in session.run(None, {session.get_inputs()[0].name: x_NCHW})]


def operators_in(model: bytes) -> list[str]:
    """Names of the operators of a file, in order."""
    return [entry["op_name"] for entry in interpreter(model, delegates=False)._get_ops_details()]


def trained_like(graph: Graph, *, seed: int = 0) -> dict[str, Array]:
    """Weights whose BatchNorms are not at their initial values."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in weight_shapes(graph).items():
        if len(shape) > 1:
            array = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        elif name.endswith("running_var"):
            array = rng.uniform(0.5, 2.0, shape)
        elif name.endswith("weight"):
            array = rng.uniform(0.5, 1.5, shape)
        else:
            array = 0.3 * rng.standard_normal(shape)
        weights[name] = array.astype(np.float32)
    return weights


def assert_same_outputs(
    graph: Graph, *, outputs: Sequence[tuple[str, str]] = (), delegates: bool = True, batch: int = 1
) -> bytes:
    """Check that LiteRT gives what ONNX Runtime gives, to 1e-5 of the largest value; returns the LiteRT file."""
    weights = trained_like(graph)
    model = to_litert(graph, weights, outputs=outputs)
    x_NCHW = np.random.default_rng(1).standard_normal((batch, *graph.input_shape), dtype=np.float32)
    expected = onnx_outputs(to_onnx(graph, weights, outputs=outputs), x_NCHW)
    got = litert_outputs(model, x_NCHW, delegates=delegates)
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        assert one.reshape(other.shape).shape == other.shape
        assert np.abs(one.reshape(other.shape) - other).max() <= 1e-5 * np.abs(other).max()
    return model
