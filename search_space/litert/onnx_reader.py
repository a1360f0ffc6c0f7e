"""An ONNX file of this project as a graph with its weights, and the ranges in an int8 file. Start with `network_in`.

Nodes of the graph have the names of the ONNX values that they give. What `search_space.onnx_files` writes is
understood, and all that has the same few operators.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from search_space.boundary.text import shown
from search_space.folding import Array
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
    Operation,
    Relu,
    Relu6,
    Scale,
    Select,
    Shuffle,
    Zero,
)
from search_space.litert.grids import Range

_PLAIN: dict[str, Operation] = {
    "Relu": Relu(),
    "HardSwish": HardSwish(),
    "HardSigmoid": HardSigmoid(),
    "Add": Add(),
    "Sum": Add(),
    "Concat": Concat(),
    "GlobalAveragePool": GlobalAveragePool(),
}
_ATTRIBUTES: dict[str, dict[str, Any]] = {
    "Conv": {"auto_pad": b"NOTSET", "dilations": [1, 1]},
    "HardSigmoid": {"alpha": 1 / 6, "beta": 0.5},
    "Concat": {"axis": 1},
    "Gather": {"axis": 1},
    "AveragePool": {"auto_pad": b"NOTSET", "ceil_mode": 0, "count_include_pad": 0},
    "Flatten": {"axis": 1},
    "Gemm": {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 1},
    "BatchNormalization": {"epsilon": 1e-5, "training_mode": 0},
    "Transpose": {"perm": [0, 2, 1, 3]},
}
"""Values that attributes must have."""
_DEFAULTS: dict[str, dict[str, Any]] = {
    "HardSigmoid": {"alpha": 0.2},
    "Gather": {"axis": 0},
    "Gemm": {"transB": 0},
    "Transpose": {"perm": []},
}
"""Values that attributes have where a file does not say, where those are others."""
_BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
_QUANTIZED = "_QuantizeLinear_Input"
"""What the quantiser adds to the name of an output that it quantises."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class OnnxNetwork:
    """What an ONNX file computes."""

    graph: Graph
    weights: dict[str, Array]
    """Named as in a PyTorch network's `state_dict()`, with `conv.bias` of a convolution whose BatchNorm was folded."""
    input_name: str
    outputs: tuple[tuple[str, str], ...]
    """Names of outputs, and the nodes that give them."""


def network_in(model: bytes) -> OnnxNetwork:
    """The network of an ONNX file in float32, or in int8; its weights are floats in both.

    Raises:
        ValueError: if it cannot be read, or has an operator that is not understood.
    """
    read = _read(model)
    if len(read.graph.input) != 1:
        raise ValueError(f"an ONNX file must have one input to become LiteRT, but this has {len(read.graph.input)}.")
    (source,) = read.graph.input
    sides = [side.dim_value for side in source.type.tensor_type.shape.dim[1:]]
    if len(sides) != 3 or not all(sides):
        raise ValueError(f"the input of an ONNX file must have the shape (N, C, H, W), but got {(None, *sides)}.")
    reader = _Reader(
        GraphBuilder((sides[0], sides[1], sides[2])),
        {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in read.graph.initializer},
    )
    reader.values[source.name] = Graph.INPUT
    for node in read.graph.node:
        try:
            reader.read(node)
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(
                f"a file must have the operators of this project's networks to become LiteRT, but {node.op_type} "
                f"{shown(node.output[0])} is none of them: {error}"
            ) from None
    return OnnxNetwork(
        graph=reader.builder.build(),
        weights=reader.weights,
        input_name=source.name,
        outputs=tuple((value.name, reader.values[value.name]) for value in read.graph.output),
    )


def ranges_in(model: bytes) -> dict[str, Range]:
    """Least and greatest value of activations on the grids of an int8 ONNX file, by name of value.

    The network's input is `Graph.INPUT`.

    Raises:
        ValueError: if the file cannot be read, or has no such grids.
    """
    read = _read(model).graph
    arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in read.initializer}
    inputs = {value.name for value in read.input}
    ranges = {}
    for node in read.node:
        if node.op_type == "QuantizeLinear" and {*node.input[1:3]} <= {*arrays} and node.input[0] not in arrays:
            scale, zero_point = (arrays[name] for name in node.input[1:3])
            limits = np.iinfo(zero_point.dtype)
            low, high = (float(scale) * (limit - int(zero_point)) for limit in (limits.min, limits.max))
            name = Graph.INPUT if node.input[0] in inputs else node.input[0].removesuffix(_QUANTIZED)
            ranges[name] = ranges[node.input[0]] = (low, high)
    if Graph.INPUT not in ranges:
        raise ValueError("an int8 ONNX file must have the ranges of its activations, but this one has none.")
    return ranges


def has_ranges(model: bytes) -> bool:
    """Whether an ONNX file is in int8."""
    return any(node.op_type == "QuantizeLinear" for node in _read(model).graph.node)


def notes_in(model: bytes) -> dict[str, str]:
    """Entries of an ONNX file's metadata, but for those of ONNX itself."""
    return {entry.key: entry.value for entry in _read(model).metadata_props if not entry.key.startswith("onnx.")}


def _read(model: bytes) -> Any:
    try:
        return onnx.load_from_string(model)
    except DecodeError as error:
        raise ValueError(f"a file must be ONNX to become LiteRT, but this cannot be read: {error}.") from error


def _dequantized(integers: Array, scale: Array, zero_point: Array, *, axis: int) -> Array:
    sides = [1] * integers.ndim
    if scale.size > 1:
        sides[axis] = -1
    floats = (integers.astype(np.float64) - zero_point.reshape(sides)) * scale.reshape(sides)
    return floats.astype(np.float32)


@dataclass
class _Reader:
    """Reads node by node; raises an error that says what a node has that is not understood."""

    builder: GraphBuilder
    arrays: dict[str, Array]
    weights: dict[str, Array] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    """Nodes of the graph by the names of ONNX values; one may have several, as flattening changes no channel."""
    splits: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Values that are split into groups: what they are of, and the groups."""

    def read(self, node: Any) -> None:
        kind, output = node.op_type, node.output[0]
        attributes = self._attributes(node)
        sources = [self.values[name] for name in node.input if name in self.values]
        arrays = [self.arrays[name] for name in node.input if name in self.arrays]
        match kind:
            case "DequantizeLinear" if node.input[0] in self.arrays:
                self.arrays[output] = _dequantized(*arrays, axis=attributes.get("axis", 1))
            case "QuantizeLinear" | "DequantizeLinear" if node.input[0] in self.splits:
                self.splits[output] = self.splits[node.input[0]]
            case "QuantizeLinear" | "DequantizeLinear" | "Flatten":
                self.values[output] = sources[0]
            case "Conv":
                self._conv(output, sources[0], attributes, *arrays)
            case "BatchNormalization":
                names = [f"{output}.{part}" for part in _BATCH_NORM]
                self.weights |= dict(zip(names, arrays, strict=True))
                self._add(output, BatchNorm(len(arrays[0])), sources)
            case "Gemm":
                outputs, inputs = arrays[0].shape
                self.weights |= {f"{output}.weight": arrays[0], f"{output}.bias": arrays[1]}
                self._add(output, Linear(inputs, outputs), sources)
            case "Clip":
                if np.ravel(arrays).tolist() != [0, 6]:
                    raise ValueError("its limits must be 0 and 6.")
                self._add(output, Relu6(), sources)
            case "Mul":
                if any(array.any() for array in arrays):
                    raise ValueError("it must scale channels.")
                self._add(output, Zero() if arrays else Scale(), sources)
            case "Gather":
                self._add(output, Select(tuple(int(index) for index in arrays[0])), sources)
            case "AveragePool":
                (side, _), (stride, _), (pad, *_) = (attributes[name] for name in ("kernel_shape", "strides", "pads"))
                if attributes != attributes | {"kernel_shape": [side] * 2, "strides": [stride] * 2, "pads": [pad] * 4}:
                    raise ValueError("its sides must be alike.")
                self._add(output, AveragePool(side, stride, pad), sources)
            case "Reshape":
                self._reshape(node.input[0], output, arrays[0])
            case "Transpose":
                self.splits[output] = self.splits[node.input[0]]
            case _:
                self._add(output, _PLAIN[kind], sources)

    def _add(self, output: str, operation: Operation, sources: list[str]) -> None:
        self.values[output] = self.builder.add(output, operation, *sources)

    def _attributes(self, node: Any) -> dict[str, Any]:
        attributes = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
        wanted = _ATTRIBUTES.get(node.op_type, {})
        for name, value in wanted.items():
            got = attributes.get(name, _DEFAULTS.get(node.op_type, {}).get(name, value))
            if not (got == value or (isinstance(value, float) and np.isclose(got, value, rtol=1e-6))):
                raise ValueError(f"its {name} must be {value}, but is {got}.")
        return attributes

    def _conv(
        self, output: str, source: str, attributes: dict[str, Any], kernel: Array, bias: Array | None = None
    ) -> None:
        channels, inputs, side, _ = kernel.shape
        stride, _ = attributes.get("strides", [1, 1])
        groups, pads = attributes.get("group", 1), attributes.get("pads", [0] * 4)
        _, height, width = self.builder.shape_of(source)
        operations = [
            Conv(
                in_channels=groups * inputs,
                out_channels=channels,
                kernel=side,
                stride=stride,
                groups=groups,
                batch_norm=False,
                relu=False,
                pads_end=pads_end,
            )
            for pads_end in (False, True)
        ]
        for operation in operations:
            (top, bottom), (left, right) = operation.padding(height), operation.padding(width)
            if [top, left, bottom, right] == list(pads) and kernel.shape[2:] == (side, side):
                break
        else:
            raise ValueError(f"its padding {list(pads)} must be one that keeps sides, or halves them.")
        self.weights[f"{output}.conv.weight"] = kernel
        if bias is not None:
            self.weights[f"{output}.conv.bias"] = bias
        self._add(output, operation, [source])

    def _reshape(self, source: str, output: str, shape: Array) -> None:
        if source in self.splits:
            of, groups = self.splits[source]
            self._add(output, Shuffle(groups), [of])
        elif tuple(shape[1:]) == self.builder.shape_of(self.values[source]):
            self.values[output] = self.values[source]
        elif len(shape) == 4:
            self.splits[output] = (self.values[source], int(shape[1]))
        else:
            raise ValueError("it must shuffle channels.")
