"""A graph as an ONNX file, built directly: milliseconds where a trace of the PyTorch module takes seconds.

Start with `to_onnx`. Weights have the names of `search_space.networks.Network(graph).state_dict()`.
BatchNorm after a convolution is folded into it, as ONNX Runtime would do when it loads the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, checker, helper, numpy_helper

from search_space.folding import BATCH_NORM_EPSILON, Array, checked_weight, scale_and_shift
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
    Node,
    Relu,
    Relu6,
    Scale,
    Select,
    Shape,
    Shuffle,
    Zero,
)

INPUT_NAME = "images"
_OPSET = 17
_IR_VERSION = 8
"""The version that came with opset 17, which every ONNX Runtime from 1.12 on reads."""


def to_onnx(
    graph: Graph,
    weights: Mapping[str, Array],
    *,
    outputs: Sequence[tuple[str, str]] = (),
    input_name: str = INPUT_NAME,
) -> bytes:
    """A serialised ONNX model.

    Args:
        graph: the network, or a part of one such as a single block.
        weights: arrays named as in the PyTorch network's `state_dict()`; names that the graph does not need are
            ignored.
        outputs: names of outputs in the model, and the nodes that give them; by default the last node's alone.
        input_name: of its input.

    Returns:
        A model with one float32 input of shape (batch, channels, height, width), and by default one output:
        `logits` of shape (batch, classes) where the last node is a `Linear`, else `output` of shape
        (batch, channels, height, width). The batch size is free.

    Raises:
        ValueError: if the graph has no nodes, or an array is missing or has the wrong shape.
    """
    if not graph.nodes:
        raise ValueError("a graph must have at least one node to become an ONNX model, but got none.")
    nodes = {node.name: node for node in graph.nodes}
    outputs = outputs or ((default_output(graph.nodes[-1]), graph.nodes[-1].name),)
    writer = _Writer(graph, weight_shapes(graph), weights)
    writer.values |= {Graph.INPUT: input_name} | {node: name for name, node in outputs}
    for node in graph.nodes:
        writer.write(node)
    model = helper.make_model(
        helper.make_graph(
            writer.nodes,
            "network",
            [_value_info(input_name, graph.input_shape)],
            [_value_info(name, _output_shape(nodes[node])) for name, node in outputs],
            initializer=list(writer.initializers.values()),
        ),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="pi-pareto-nas",
    )
    checker.check_model(model)
    return _serialised(model)


def random_weights(graph: Graph, rng: np.random.Generator) -> dict[str, Array]:
    """Weights of the right shapes, for a graph whose cost matters and whose outputs do not.

    Activations keep about one size through any depth, so that neither denormal nor infinite numbers distort a time.
    """
    weights: dict[str, Array] = {}
    for name, shape in weight_shapes(graph).items():
        if len(shape) > 1:
            fan_in = int(np.prod(shape[1:]))
            array = rng.standard_normal(shape) * np.sqrt(2 / fan_in)
        elif name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1):
            array = np.ones(shape)
        else:
            array = np.zeros(shape)
        weights[name] = array.astype(np.float32)
    return weights


def weight_shapes(graph: Graph) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the arrays that `to_onnx` reads."""
    shapes: dict[str, tuple[int, ...]] = {}
    for node in graph.nodes:
        match node.operation:
            case Conv(
                in_channels=in_channels, out_channels=out_channels, kernel=kernel, groups=groups, batch_norm=batch_norm
            ):
                shapes[f"{node.name}.conv.weight"] = (out_channels, in_channels // groups, kernel, kernel)
                if batch_norm:
                    shapes |= _batch_norm_shapes(f"{node.name}.norm", out_channels)
            case BatchNorm(channels):
                shapes |= _batch_norm_shapes(node.name, channels)
            case Linear(in_features, out_features):
                shapes[f"{node.name}.weight"] = (out_features, in_features)
                shapes[f"{node.name}.bias"] = (out_features,)
    return shapes


def _batch_norm_shapes(prefix: str, channels: int) -> dict[str, tuple[int, ...]]:
    return {f"{prefix}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}


def default_output(node: Node) -> str:
    """Name of a model's only output, from the node that gives it."""
    return "logits" if isinstance(node.operation, Linear) else "output"


def _output_shape(node: Node) -> tuple[int, ...]:
    return (node.shape[0],) if isinstance(node.operation, Linear) else node.shape


def _value_info(name: str, shape: tuple[int, ...]) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])


def _serialised(model: ModelProto) -> bytes:
    data: bytes = model.SerializeToString()
    return data


@dataclass
class _Writer:
    """Collects ONNX nodes and initialisers, node by node of the graph."""

    graph: Graph
    shapes: Mapping[str, tuple[int, ...]]
    weights: Mapping[str, Array]
    nodes: list[Any] = field(default_factory=list)
    initializers: dict[str, Any] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=lambda: {Graph.INPUT: INPUT_NAME})
    """ONNX value that holds each graph node's output, where the names differ."""

    def write(self, node: Node) -> None:
        """Append the ONNX form of one node."""
        sources = [self.values.get(name, f"{name}.out") for name in node.inputs]
        output = self.values.get(node.name, f"{node.name}.out")
        source = sources[0]
        match node.operation:
            case Conv():
                self._conv(node, node.operation, source, output)
            case BatchNorm():
                names = [f"{node.name}.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
                stored = [self._store(name, self._weight(name)) for name in names]
                self._emit("BatchNormalization", [source, *stored], output, epsilon=BATCH_NORM_EPSILON)
            case Relu():
                self._emit("Relu", [source], output)
            case Relu6():
                bounds = [self._store(name, np.array(value, np.float32)) for name, value in (("low", 0), ("high", 6))]
                self._emit("Clip", [source, *bounds], output)
            case HardSwish():
                self._emit("HardSwish", [source], output)
            case HardSigmoid():
                self._emit("HardSigmoid", [source], output, alpha=1 / 6, beta=0.5)
            case Shuffle(groups):
                self._shuffle(node.name, node.shape, groups, source, output)
            case Add():
                self._emit("Add" if len(sources) == 2 else "Sum", sources, output)
            case Scale():
                shape = self._store(f"{node.name}.shape", np.array([-1, node.shape[0], 1, 1], np.int64))
                self._emit("Reshape", [sources[1], shape], f"{node.name}.factors")
                self._emit("Mul", [source, f"{node.name}.factors"], output)
            case Select(channels):
                indices = self._store(f"{node.name}.indices", np.array(channels, np.int64))
                self._emit("Gather", [source, indices], output, axis=1)
            case Concat():
                self._emit("Concat", sources, output, axis=1)
            case AveragePool(kernel, stride, padding):
                self._emit(
                    "AveragePool",
                    [source],
                    output,
                    kernel_shape=[kernel, kernel],
                    strides=[stride, stride],
                    pads=[padding] * 4,
                    count_include_pad=0,
                )
            case GlobalAveragePool():
                self._emit("GlobalAveragePool", [source], output)
            case Linear():
                self._linear(node.name, source, output)
            case Zero():
                zero = self._store("zero", np.zeros((), np.float32))
                self._emit("Mul", [source, zero], output)

    def _conv(self, node: Node, operation: Conv, source: str, output: str) -> None:
        name = node.name
        _, height, width = self.graph.shape_of(node.inputs[0])
        (top, bottom), (left, right) = operation.padding(height), operation.padding(width)
        kernel, bias = self._weight(f"{name}.conv.weight"), None
        if operation.batch_norm:
            kernel, bias = self._folded(name, kernel)
        inputs = [source, self._store(f"{name}.conv.weight", kernel)]
        if bias is not None:
            inputs.append(self._store(f"{name}.conv.bias", bias))
        result = f"{name}.before_relu" if operation.relu else output
        self._emit(
            "Conv",
            inputs,
            result,
            kernel_shape=[operation.kernel] * 2,
            strides=[operation.stride] * 2,
            pads=[top, left, bottom, right],
            group=operation.groups,
        )
        if operation.relu:
            self._emit("Relu", [result], output)

    def _folded(self, name: str, kernel: Array) -> tuple[Array, Array]:
        """Kernel and bias of the convolution followed by its BatchNorm."""
        scale, shift = scale_and_shift(self.weights, f"{name}.norm", len(kernel))
        return kernel * scale[:, None, None, None], shift

    def _shuffle(self, name: str, shape: Shape, groups: int, source: str, output: str) -> None:
        channels, height, width = shape
        split = np.array([-1, groups, channels // groups, height * width], np.int64)
        merged = np.array([-1, channels, height, width], np.int64)
        self._emit("Reshape", [source, self._store(f"{name}.split", split)], f"{name}.groups")
        self._emit("Transpose", [f"{name}.groups"], f"{name}.transposed", perm=[0, 2, 1, 3])
        self._emit("Reshape", [f"{name}.transposed", self._store(f"{name}.merged", merged)], output)

    def _linear(self, name: str, source: str, output: str) -> None:
        self._emit("Flatten", [source], f"{name}.flat", axis=1)
        stored = [self._store(f"{name}.{part}", self._weight(f"{name}.{part}")) for part in ("weight", "bias")]
        self._emit("Gemm", [f"{name}.flat", *stored], output, transB=1)

    def _weight(self, name: str) -> Array:
        return checked_weight(self.weights, name, self.shapes[name])

    def _store(self, name: str, array: Array) -> str:
        if array.dtype != np.int64:
            array = array.astype(np.float32)
        self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def _emit(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"{output}/{kind}", **attributes))
