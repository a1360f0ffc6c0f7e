"""The one description of a network: operations in order, each with its inputs and output shape.

Counts, the PyTorch module and the ONNX file are all built from a `Graph`, so they cannot disagree.
Start with `GraphBuilder`. Shapes are (channels, height, width), without the batch.
"""

from __future__ import annotations

from dataclasses import dataclass, field

Shape = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Conv:
    """2-D convolution without bias, "same" padding, then BatchNorm and ReLU where asked."""

    in_channels: int
    out_channels: int
    kernel: int
    stride: int = 1
    groups: int = 1
    batch_norm: bool = True
    relu: bool = True
    pads_end: bool = False
    """Whether padding is TensorFlow's `SAME`: no more than is needed, its odd pixel at the end."""

    def padding(self, side: int) -> tuple[int, int]:
        """Pixels of padding before and after a side of the input, of so many pixels."""
        if not self.pads_end:
            return self.kernel // 2, self.kernel // 2
        total = max((-(-side // self.stride) - 1) * self.stride + self.kernel - side, 0)
        return total // 2, total - total // 2

    @property
    def is_depthwise(self) -> bool:
        """Whether each of several groups has a single input channel."""
        return self.groups == self.in_channels > 1


@dataclass(frozen=True)
class BatchNorm:
    """BatchNorm alone, as in pre-activation networks."""

    channels: int


@dataclass(frozen=True)
class Relu:
    """Rectified linear unit."""


@dataclass(frozen=True)
class Relu6:
    """min(max(x, 0), 6)."""


@dataclass(frozen=True)
class HardSwish:
    """x * min(max(x + 3, 0), 6) / 6."""


@dataclass(frozen=True)
class HardSigmoid:
    """min(max(x + 3, 0), 6) / 6."""


@dataclass(frozen=True)
class Shuffle:
    """Channel shuffle of ShuffleNet: channel (g, c) of (groups, channels / groups) goes to (c, g)."""

    groups: int


@dataclass(frozen=True)
class Add:
    """Sum of all inputs."""


@dataclass(frozen=True)
class Scale:
    """The first input, each channel times its value in the second, whose shape is (channels, 1, 1)."""


@dataclass(frozen=True)
class Select:
    """The channels of these indices, in this order; one may occur several times."""

    channels: tuple[int, ...]


@dataclass(frozen=True)
class Concat:
    """All inputs one after the other along the channels."""


@dataclass(frozen=True)
class AveragePool:
    """Average pooling that leaves padding out of the average."""

    kernel: int
    stride: int = 1
    padding: int = 0


@dataclass(frozen=True)
class GlobalAveragePool:
    """Mean over height and width; the output shape is (channels, 1, 1)."""


@dataclass(frozen=True)
class Linear:
    """Fully connected layer with bias, on a (channels, 1, 1) input."""

    in_features: int
    out_features: int


@dataclass(frozen=True)
class Zero:
    """Zeros in the shape of the input."""


Activation = Relu | Relu6 | HardSwish | HardSigmoid
Operation = (
    Conv
    | BatchNorm
    | Activation
    | Shuffle
    | Add
    | Scale
    | Select
    | Concat
    | AveragePool
    | GlobalAveragePool
    | Linear
    | Zero
)


@dataclass(frozen=True)
class Node:
    """One operation of a graph."""

    name: str
    operation: Operation
    inputs: tuple[str, ...]
    """Names of earlier nodes; `Graph.INPUT` is the network's input."""
    shape: Shape
    """Output shape."""


@dataclass(frozen=True)
class Graph:
    """A network as nodes in an order of execution; the last node is the output."""

    INPUT = "input"

    input_shape: Shape
    nodes: tuple[Node, ...]

    def shape_of(self, name: str) -> Shape:
        """Output shape of the node of that name, or the input shape."""
        if name == Graph.INPUT:
            return self.input_shape
        return next(node.shape for node in self.nodes if node.name == name)


@dataclass
class GraphBuilder:
    """Adds operations one by one and keeps track of shapes.

    Each method takes the name of its input, returns the name of its output, and raises `ValueError`
    where a shape does not fit.
    """

    input_shape: Shape
    nodes: list[Node] = field(default_factory=list)
    _shapes: dict[str, Shape] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._shapes[Graph.INPUT] = self.input_shape

    def shape_of(self, name: str) -> Shape:
        """Output shape of a node added earlier, or the input shape."""
        return self._shapes[name]

    def add(self, name: str, operation: Operation, *inputs: str) -> str:
        """Add any operation; the output shape follows from it."""
        if name in self._shapes:
            raise ValueError(f"node names must differ, but got {name!r} twice.")
        shape = _output_shape(operation, tuple(self._shapes[source] for source in inputs))
        self.nodes.append(Node(name, operation, inputs, shape))
        self._shapes[name] = shape
        return name

    def conv(
        self,
        name: str,
        source: str,
        channels: int,
        *,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        batch_norm: bool = True,
        relu: bool = True,
        pads_end: bool = False,
    ) -> str:
        """Add a convolution to `channels` output channels."""
        in_channels = self._shapes[source][0]
        return self.add(
            name,
            Conv(
                in_channels=in_channels,
                out_channels=channels,
                kernel=kernel,
                stride=stride,
                groups=groups,
                batch_norm=batch_norm,
                relu=relu,
                pads_end=pads_end,
            ),
            source,
        )

    def classifier(self, source: str, classes: int) -> str:
        """Add global average pooling and a linear layer."""
        pooled = self.add("pool", GlobalAveragePool(), source)
        return self.add("classifier", Linear(self._shapes[pooled][0], classes), pooled)

    def build(self) -> Graph:
        """The finished graph."""
        return Graph(self.input_shape, tuple(self.nodes))


def _output_shape(operation: Operation, shapes: tuple[Shape, ...]) -> Shape:
    if isinstance(operation, Concat):
        return _concatenated(shapes)
    if isinstance(operation, Scale):
        if len(shapes) != 2 or shapes[1] != (shapes[0][0], 1, 1):
            raise ValueError(f"`{operation}` needs two inputs, (C, H, W) and (C, 1, 1), but got {shapes}.")
        return shapes[0]
    if len(set(shapes)) != 1:
        raise ValueError(f"all inputs of an operation must have one shape, but got {shapes}.")
    channels, height, width = shapes[0]
    match operation:
        case Conv():
            if channels != operation.in_channels or channels % operation.groups:
                raise ValueError(f"`{operation}` cannot take {channels} channels.")
            if operation.out_channels % operation.groups or operation.kernel % 2 == 0:
                raise ValueError(f"channels must divide into groups and kernels be odd, but got `{operation}`.")
            stride = operation.stride
            return (operation.out_channels, -(-height // stride), -(-width // stride))
        case AveragePool(kernel, stride, padding):
            if min(height, width) + 2 * padding < kernel:
                raise ValueError(f"`{operation}` cannot take an input of shape {shapes[0]}.")
            return (
                channels,
                (height + 2 * padding - kernel) // stride + 1,
                (width + 2 * padding - kernel) // stride + 1,
            )
        case GlobalAveragePool():
            return (channels, 1, 1)
        case Linear():
            if shapes[0] != (operation.in_features, 1, 1):
                raise ValueError(f"`{operation}` cannot take an input of shape {shapes[0]}.")
            return (operation.out_features, 1, 1)
        case Select(chosen):
            if not chosen or not all(0 <= index < channels for index in chosen):
                raise ValueError(f"indices must lie in [0, {channels}), and be one or more, but got {chosen}.")
            return (len(chosen), height, width)
        case Shuffle(groups):
            if channels % groups:
                raise ValueError(f"`channels % groups == 0` must hold, but got {channels} and {groups}.")
            return shapes[0]
        case _:
            return shapes[0]


def _concatenated(shapes: tuple[Shape, ...]) -> Shape:
    if len({shape[1:] for shape in shapes}) != 1:
        raise ValueError(f"inputs that are concatenated must have one height and width, but got {shapes}.")
    return (sum(shape[0] for shape in shapes), *shapes[0][1:])
