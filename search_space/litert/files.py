"""A graph as a LiteRT file, written directly: tens of milliseconds, and no converter in between.

Start with `to_litert`. Maps are NHWC. Shuffles and choices of channels move nothing: a value knows where its channels
lie in its tensor, and the weights that read it are in that order. Only what needs channels side by side moves them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from search_space.folding import Array, checked_weight, scale_and_shift
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
    Shuffle,
    Zero,
)
from search_space.litert.flat_model import FlatModel, schema
from search_space.litert.grids import Grid, Range, activation_grid, bias_grid, completed, sum_grid, weight_grid
from search_space.litert.layout import Value, as_stored, without_groups
from search_space.onnx_files import INPUT_NAME, default_output

_FUSED = {Relu: "RELU", Relu6: "RELU6"}


def to_litert(
    graph: Graph,
    weights: Mapping[str, Array],
    *,
    outputs: Sequence[tuple[str, str]] = (),
    input_name: str = INPUT_NAME,
    ranges: Mapping[str, Range] | None = None,
    notes: Mapping[str, str] | None = None,
) -> bytes:
    """A serialised LiteRT model, of the numbers that `search_space.onnx_files.to_onnx` gives.

    Args:
        graph: the network, or a part of one such as a single block.
        weights: arrays named as in the PyTorch network's `state_dict()`; names that the graph does not need are
            ignored. A convolution without BatchNorm may have a `conv.bias`.
        outputs: names of outputs in the model, and the nodes that give them; by default the last node's alone.
        input_name: of its input.
        ranges: least and greatest value of each activation, by name of its node, and of `Graph.INPUT`; then all
            operations compute in int8, weights per channel. None for float32.
        notes: entries of the file's metadata, values as texts.

    Returns:
        A model with one float32 input of shape (1, height, width, channels), and by default one output: `logits` of
        shape (1, classes) where the last node is a `Linear`, else `output` of shape (1, height, width, channels). An
        interpreter can resize the input to a larger batch.

    Raises:
        ValueError: if the graph has no nodes, an array or a range is missing, an array has the wrong shape, an
            operation cannot be expressed, or `ai-edge-litert` is not installed.
    """
    if not graph.nodes:
        raise ValueError("a graph must have at least one node to become a LiteRT model, but got none.")
    outputs = outputs or ((default_output(graph.nodes[-1]), graph.nodes[-1].name),)
    if ranges is not None:
        ranges = completed(graph, ranges)
    writer = _Writer(_needed(graph, [node for _, node in outputs]), weights, ranges, dict(outputs))
    source = writer.read_input(input_name)
    for node in writer.graph.nodes:
        writer.write(node)
    written = {name: writer.output(name, node) for name, node in outputs}
    return writer.model.to_bytes({input_name: source}, written, notes)


def _needed(graph: Graph, outputs: Sequence[str]) -> Graph:
    """The nodes that outputs depend on, and no zeros among what is summed."""
    zeros = {node.name for node in graph.nodes if isinstance(node.operation, Zero)}
    needed, nodes = {*outputs}, []
    for node in reversed(graph.nodes):
        if node.name in needed:
            if isinstance(node.operation, Add):
                summed = tuple(name for name in node.inputs if name not in zeros)
                node = replace(node, inputs=summed or node.inputs[:1])
            needed |= {*node.inputs}
            nodes.append(node)
    return replace(graph, nodes=tuple(reversed(nodes)))


@dataclass
class _Writer:
    """Writes node by node of the graph."""

    graph: Graph
    weights: Mapping[str, Array]
    ranges: Mapping[str, Range] | None
    outputs: Mapping[str, str]
    """Nodes by the names of the outputs that they give."""
    model: FlatModel = field(default_factory=FlatModel)
    values: dict[str, Value] = field(default_factory=dict)
    fused: dict[str, Node] = field(default_factory=dict)
    """The activation that the operation of a node ends with, by the node's name."""

    def __post_init__(self) -> None:
        readers = Counter(source for node in self.graph.nodes for source in node.inputs)
        readers.update(self.outputs.values())
        operations = {node.name: node.operation for node in self.graph.nodes}
        for node in self.graph.nodes:
            if isinstance(node.operation, Relu | Relu6):
                before = operations.get(node.inputs[0])
                can_end = isinstance(before, BatchNorm | Add | Linear) or (isinstance(before, Conv) and not before.relu)
                if can_end and readers[node.inputs[0]] == 1:
                    self.fused[node.inputs[0]] = node

    def read_input(self, name: str) -> int:
        """The model's input, taken to int8 where the network is; returns the tensor that a program fills."""
        channels, height, width = self.graph.input_shape
        shape = (1, height, width, channels)
        tensor = self.model.variable(name, shape)
        value = Value(tensor=tensor, shape=shape, positions=np.arange(channels), grid=None)
        grid = self._grid(Graph.INPUT)
        self.values[Graph.INPUT] = value if grid is None else self._requantized(f"{name}/int8", value, grid)
        return tensor

    def output(self, name: str, node: str) -> int:
        """The tensor of a node that a program reads: in float32, with its channels in order."""
        value = self._ordered(self.values[node], f"{node}/ordered")
        if value.grid is not None:
            tensor = self.model.variable(name, value.shape)
            return self.model.emit("DEQUANTIZE", [value.tensor], tensor, schema().DequantizeOptionsT())
        self.model.rename(value.tensor, name)
        return value.tensor

    def write(self, node: Node) -> None:
        """Append the LiteRT form of one node, with the activation that follows it where that can be a part of it."""
        if node.name not in self.values:
            after = self.fused.get(node.name)
            name = node.name if after is None else after.name
            activation = "NONE" if after is None else _FUSED[type(after.operation)]
            self.values[node.name] = self.values[name] = self._written(node, name, activation)

    def _written(self, node: Node, name: str, activation: str) -> Value:
        sources = [self.values[source] for source in node.inputs]
        source = sources[0]
        match node.operation:
            case Conv():
                return self._conv(node, name, source, node.operation, activation)
            case BatchNorm(channels):
                scale, shift = scale_and_shift(self.weights, node.name, channels)
                return self._batch_norm(name, source, scale, shift, activation)
            case Relu() | Relu6():
                return self._unary(_FUSED[type(node.operation)], name, source)
            case HardSwish():
                return self._unary("HARD_SWISH", name, source, schema().HardSwishOptionsT())
            case HardSigmoid():
                raised = self._with_number("ADD", f"{name}/raised", source, 3.0, activation_grid((0, 6)), "RELU6")
                return self._with_number("MUL", name, raised, 1 / 6, activation_grid((0, 1)))
            case Zero():
                return self._with_number("MUL", name, source, 0.0, activation_grid((0, 1)))
            case Shuffle(groups):
                order = np.arange(len(source.positions)).reshape(groups, -1).T.ravel()
                return replace(source, positions=source.positions[order])
            case Select(channels):
                return replace(source, positions=source.positions[list(channels)])
            case Add():
                return self._sum(name, sources, activation)
            case Scale():
                return self._scaled(name, *sources)
            case Concat():
                return self._concatenated(name, sources)
            case AveragePool():
                return self._average_pool(node, source, node.operation)
            case GlobalAveragePool():
                axes = self.model.constant(f"{name}/axes", np.array([1, 2], np.int32))
                value = self._like(name, replace(source, shape=(1, 1, 1, source.shape[-1])), self._grid(name))
                self.model.emit("MEAN", [source.tensor, axes], value.tensor, schema().ReducerOptionsT(keepDims=True))
                return value
            case Linear():
                return self._linear(node, name, source, node.operation, activation)

    def _grid(self, name: str) -> Grid | None:
        return None if self.ranges is None else activation_grid(self.ranges[name])

    def _new(self, name: str, shape: tuple[int, ...], grid: Grid | None) -> Value:
        tensor = self.model.variable(name, shape, grid)
        return Value(tensor=tensor, shape=shape, positions=np.arange(shape[-1]), grid=grid)

    def _like(self, name: str, source: Value, grid: Grid | None) -> Value:
        """A new value whose channels lie as those of another."""
        return replace(self._new(name, source.shape, grid), positions=source.positions)

    def _ordered(self, value: Value, name: str) -> Value:
        """The same value with its channels in order: transposed, or by products with 1, and with 0, which is exact."""
        if value.is_in_order:
            return value
        if value.rows:
            return self._transposed(name, value, value.rows)
        channels = len(value.positions)
        return self._mixed(name, value, np.eye(channels), np.zeros(channels), "NONE", grid=value.grid)

    def _transposed(self, name: str, source: Value, rows: int) -> Value:
        """A value in order whose channels lie in so many rows, and are read column by column."""
        value, model = self._new(name, source.shape, source.grid), self.model
        pixels, columns = math.prod(source.shape[:-1]), source.shape[-1] // rows
        split = model.variable(f"{name}/split", (1, pixels, rows, columns), source.grid)
        turned = model.variable(f"{name}/turned", (1, pixels, columns, rows), source.grid)
        self._reshape(source.tensor, split, (1, -1, rows, columns))
        order = model.constant(f"{name}/order", np.array([0, 1, 3, 2], np.int32))
        model.emit("TRANSPOSE", [split, order], turned, schema().TransposeOptionsT())
        self._reshape(turned, value.tensor, (-1, *source.shape[1:]))
        return value

    def _reshape(self, source: int, result: int, shape: tuple[int, ...]) -> None:
        sides = np.array(shape, np.int32)
        constant = self.model.constant(f"{self.model.name_of(result)}/shape", sides)
        self.model.emit("RESHAPE", [source, constant], result, schema().ReshapeOptionsT(newShape=sides))

    def _requantized(self, name: str, source: Value, grid: Grid) -> Value:
        value = self._like(name, source, grid)
        self.model.emit("QUANTIZE", [source.tensor], value.tensor, schema().QuantizeOptionsT())
        return value

    def _unary(self, kind: str, name: str, source: Value, options: Any = None) -> Value:
        value = self._like(name, source, self._grid(name))
        self.model.emit(kind, [source.tensor], value.tensor, options)
        return value

    def _with_number(
        self, kind: str, name: str, source: Value, number: float, grid: Grid, activation: str = "NONE"
    ) -> Value:
        """A value plus or times a number."""
        if source.grid is None:
            constant = self.model.constant(f"{name}/number", np.array([number], np.float32))
            value = self._like(name, source, None)
        else:
            integers, number_grid = weight_grid(np.array([number]), 0)
            constant = self.model.constant(f"{name}/number", integers, number_grid)
            value = self._like(name, source, grid)
        self.model.emit(kind, [source.tensor, constant], value.tensor, _arithmetic(kind, activation))
        return value

    def _sum(self, name: str, sources: list[Value], activation: str) -> Value:
        if any((source.positions != sources[0].positions).any() for source in sources):
            sources = [self._ordered(source, f"{name}/ordered{at}") for at, source in enumerate(sources)]
        total = sources[0]
        if len(sources) == 1:
            return self._unary(activation, name, total) if activation != "NONE" else total
        for at, source in enumerate(sources[1:], 2):
            if at == len(sources):
                value = self._like(name, total, self._grid(name))
                options = _arithmetic("ADD", activation)
            else:
                value = self._like(f"{name}/first{at}", total, sum_grid(total.grid, source.grid))
                options = _arithmetic("ADD", "NONE")
            self.model.emit("ADD", [total.tensor, source.tensor], value.tensor, options)
            total = value
        return total

    def _scaled(self, name: str, source: Value, factors: Value) -> Value:
        if (source.positions != factors.positions).any() or source.shape[-1] != factors.shape[-1]:
            source, factors = self._ordered(source, f"{name}/map"), self._ordered(factors, f"{name}/factors")
        value = self._like(name, source, self._grid(name))
        self.model.emit("MUL", [source.tensor, factors.tensor], value.tensor, _arithmetic("MUL", "NONE"))
        return value

    def _concatenated(self, name: str, sources: list[Value]) -> Value:
        grid = self._grid(name)
        if grid is not None:
            sources = [
                source if source.grid == grid else self._requantized(f"{name}/part{at}", source, grid)
                for at, source in enumerate(sources)
            ]
        starts = np.cumsum([0, *(source.shape[-1] for source in sources)])
        value = self._new(name, (*sources[0].shape[:-1], int(starts[-1])), grid)
        options = schema().ConcatenationOptionsT(axis=len(value.shape) - 1)
        self.model.emit("CONCATENATION", [source.tensor for source in sources], value.tensor, options)
        positions = [source.positions + start for source, start in zip(sources, starts, strict=False)]
        return replace(value, positions=np.concatenate(positions))

    def _average_pool(self, node: Node, source: Value, operation: AveragePool) -> Value:
        kernel, stride, padding = operation.kernel, operation.stride, operation.padding
        _, height, width = node.shape
        as_same = all(
            _same_padding(kernel, stride, side, out) == padding
            for side, out in zip(source.shape[1:3], (height, width), strict=True)
        )
        if padding and not as_same:
            raise ValueError(f"`{operation}` of {source.shape[1:3]} pixels cannot be expressed in LiteRT.")
        value = self._like(node.name, replace(source, shape=(1, height, width, source.shape[-1])), source.grid)
        options = schema().Pool2DOptionsT(
            padding=_padding("SAME" if padding else "VALID"),
            strideW=stride,
            strideH=stride,
            filterWidth=kernel,
            filterHeight=kernel,
        )
        self.model.emit("AVERAGE_POOL_2D", [source.tensor], value.tensor, options)
        return value

    def _batch_norm(self, name: str, source: Value, scale: Array, shift: Array, activation: str) -> Value:
        if not source.is_permuted:
            return self._mixed(name, source, np.diag(scale), shift, activation, grid=self._grid(name))
        value = self._like(name, source, self._grid(name))
        lies_at = np.argsort(source.positions)
        scale, shift = scale[lies_at], shift[lies_at]
        self._depthwise(source, value, scale[None, None, None], shift, _conv_options("DepthwiseConv2D", activation))
        return value

    def _mixed(
        self, name: str, source: Value, matrix_OC: Array, shift: Array, activation: str, *, grid: Grid | None
    ) -> Value:
        """A 1x1 convolution of all channels."""
        value = self._new(name, (*source.shape[:-1], len(matrix_OC)), grid)
        kernel_OHWI = as_stored(matrix_OC, source)[:, None, None]
        self._products("CONV_2D", source, value, kernel_OHWI, shift, _conv_options("Conv2D", activation))
        return value

    def _conv(self, node: Node, name: str, source: Value, operation: Conv, activation: str) -> Value:
        groups, side, channels = operation.groups, operation.kernel, operation.out_channels
        shape = (channels, operation.in_channels // groups, side, side)
        kernel_OIHW = checked_weight(self.weights, f"{node.name}.conv.weight", shape)
        shift = np.zeros(channels)
        if operation.batch_norm:
            scale, shift = scale_and_shift(self.weights, f"{node.name}.norm", channels)
            kernel_OIHW = kernel_OIHW * scale[:, None, None, None]
        elif f"{node.name}.conv.bias" in self.weights:
            shift = checked_weight(self.weights, f"{node.name}.conv.bias", (channels,))
        by_channel = operation.is_depthwise
        if by_channel:
            takes_any_order = source.is_permuted and channels == groups
        else:
            # A group takes channels that lie together. For two groups of 1x1 kernels zeros are as quick as moving them.
            takes_any_order = groups == 1 or (groups == 2 and side == 1)
        if not takes_any_order:
            source = self._ordered(source, f"{node.name}/ordered")
        padded, padding = self._padded(node, source, operation)
        _, height, width = node.shape
        value = self._new(name, (1, height, width, channels), self._grid(name))
        kind = "DepthwiseConv2D" if by_channel else "Conv2D"
        options = _conv_options(kind, "RELU" if operation.relu else activation, padding, operation.stride)
        if by_channel:
            options.depthMultiplier = channels // groups
            kernel_HWO = kernel_OIHW[:, 0].transpose(1, 2, 0)
            if channels == groups:
                value = replace(value, positions=source.positions)
                lies_at = np.argsort(source.positions)
                kernel_HWO, shift = kernel_HWO[..., lies_at], shift[lies_at]
            self._depthwise(padded, value, kernel_HWO[None], shift, options)
        else:
            if groups > 1 and not source.is_in_order:
                kernel_OIHW = without_groups(kernel_OIHW, groups)
            if len(source.positions) == kernel_OIHW.shape[1]:
                kernel_OIHW = as_stored(kernel_OIHW, source)
            self._products("CONV_2D", padded, value, kernel_OIHW.transpose(0, 2, 3, 1), shift, options)
        return value

    def _padded(self, node: Node, source: Value, operation: Conv) -> tuple[Value, str]:
        """The input of a convolution, padded where LiteRT's own padding is another; and that of the convolution."""
        side, stride = operation.kernel, operation.stride
        before, after = [], []
        for pixels, out in zip(source.shape[1:3], node.shape[1:], strict=True):
            first, _ = operation.padding(pixels)
            before.append(first)
            after.append(max((out - 1) * stride + side - pixels - first, 0))
        sides = zip(source.shape[1:3], node.shape[1:], before, strict=True)
        if all(_same_padding(side, stride, pixels, out) == first for pixels, out, first in sides):
            return source, "SAME"
        around = np.array([(0, 0), *zip(before, after, strict=True), (0, 0)], np.int32)
        constant = self.model.constant(f"{node.name}/padding", around)
        _, height, width, channels = source.shape
        shape = (1, height + before[0] + after[0], width + before[1] + after[1], channels)
        value = self._like(f"{node.name}/padded", replace(source, shape=shape), source.grid)
        self.model.emit("PAD", [source.tensor, constant], value.tensor, schema().PadOptionsT())
        return value, "VALID"

    def _linear(self, node: Node, name: str, source: Value, operation: Linear, activation: str) -> Value:
        outputs, inputs = operation.out_features, operation.in_features
        matrix_OC = checked_weight(self.weights, f"{node.name}.weight", (outputs, inputs))
        shift = checked_weight(self.weights, f"{node.name}.bias", (outputs,))
        flat = node.name in self.outputs.values()
        value = self._new(name, (1, outputs) if flat else (1, 1, 1, outputs), self._grid(name))
        options = schema().FullyConnectedOptionsT(keepNumDims=not flat, fusedActivationFunction=_activation(activation))
        self._products("FULLY_CONNECTED", source, value, as_stored(matrix_OC, source), shift, options)
        return value

    def _depthwise(self, source: Value, value: Value, kernel: Array, shift: Array, options: Any) -> None:
        self._products("DEPTHWISE_CONV_2D", source, value, kernel, shift, options, axis=3)

    def _products(
        self, kind: str, source: Value, value: Value, kernel: Array, shift: Array, options: Any, *, axis: int = 0
    ) -> None:
        """An operation with weights, which have an index of the output along an axis, and biases."""
        name = self.model.name_of(value.tensor)
        if source.grid is None:
            weights = self.model.constant(f"{name}/weights", kernel.astype(np.float32))
            biases = self.model.constant(f"{name}/biases", shift.astype(np.float32))
        else:
            integers, grid = weight_grid(kernel, axis)
            weights = self.model.constant(f"{name}/weights", integers, grid)
            biases = self.model.constant(f"{name}/biases", *bias_grid(shift, source.grid, grid))
        self.model.emit(kind, [source.tensor, weights, biases], value.tensor, options)


def _same_padding(kernel: int, stride: int, pixels: int, out: int) -> int:
    """Pixels before a side under LiteRT's `SAME`."""
    return max((out - 1) * stride + kernel - pixels, 0) // 2


def _activation(name: str) -> int:
    kind: int = getattr(schema().ActivationFunctionType, name)
    return kind


def _padding(name: str) -> int:
    kind: int = getattr(schema().Padding, name)
    return kind


def _arithmetic(kind: str, activation: str) -> Any:
    options = schema().AddOptionsT() if kind == "ADD" else schema().MulOptionsT()
    options.fusedActivationFunction = _activation(activation)
    return options


def _conv_options(kind: str, activation: str, padding: str = "VALID", stride: int = 1) -> Any:
    options = getattr(schema(), f"{kind}OptionsT")()
    options.padding, options.fusedActivationFunction = _padding(padding), _activation(activation)
    options.strideW = options.strideH = stride
    options.dilationWFactor = options.dilationHFactor = 1
    if kind == "DepthwiseConv2D":
        options.depthMultiplier = 1
    return options
