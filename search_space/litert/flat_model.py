"""A LiteRT model as tensors and operations, and its bytes. Start with `FlatModel`.

The schema is that of the `ai-edge-litert` wheel, which is imported only where a file is written or read.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from search_space.folding import Array
from search_space.litert.grids import Grid

INSTALL = "pip install ai-edge-litert"
SIGNATURE = "serving_default"
"""Key of the one signature of a file, by which programs ask for inputs and outputs by name."""
_ALIGNMENT = 16
"""Bytes that arrays of a file are aligned to, as the schema asks for."""
_SCHEMA_VERSION = 3
_VERSIONS = {
    "ADD": (1, 2),
    "AVERAGE_POOL_2D": (1, 2),
    "CONCATENATION": (1, 2),
    "CONV_2D": (1, 3),
    "DEPTHWISE_CONV_2D": (1, 3),
    "DEQUANTIZE": (2, 2),
    "FULLY_CONNECTED": (5, 12),
    "HARD_SWISH": (1, 1),
    "MEAN": (1, 2),
    "MUL": (1, 2),
    "PAD": (1, 2),
    "QUANTIZE": (2, 2),
    "RELU": (1, 2),
    "RELU6": (1, 2),
    "RESHAPE": (1, 1),
    "TRANSPOSE": (1, 2),
}
"""Of each operator, in float32 and in int8: the least that does what is asked for here."""


@functools.cache
def schema() -> Any:
    """The schema of LiteRT files, as a module.

    Raises:
        ValueError: if `ai-edge-litert` is not installed.
    """
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        raise ValueError(
            f"LiteRT files need the package `ai-edge-litert`, but it is not installed: run `{INSTALL}`."
        ) from error
    return schema_py_generated


@dataclass
class FlatModel:
    """Collects tensors and operations; tensors are known by their number."""

    _tensors: list[Any] = field(default_factory=list)
    _operators: list[Any] = field(default_factory=list)
    _codes: dict[str, int] = field(default_factory=dict)
    _buffers: list[Array | None] = field(default_factory=lambda: [None])
    """The first one stands for no data."""
    _in_int8: bool = False

    def variable(self, name: str, shape: Sequence[int], grid: Grid | None = None) -> int:
        """A tensor that an operation writes: in float32, or in int8 on a grid.

        Args:
            name: of the tensor in the file.
            shape: with the batch.
            grid: of int8 numbers.
        """
        kind = schema().TensorType
        self._in_int8 = self._in_int8 or grid is not None
        return self._tensor(name, shape, kind.FLOAT32 if grid is None else kind.INT8, 0, grid)

    def constant(self, name: str, array: Array, grid: Grid | None = None) -> int:
        """A tensor whose values are in the file: float32, int8 or int32, as the array is.

        Args:
            name: of the tensor in the file.
            array: its values.
            grid: that int8 or int32 values lie on, where they stand for other numbers.
        """
        kinds = {"float32": schema().TensorType.FLOAT32, "int8": schema().TensorType.INT8}
        kind = kinds.get(array.dtype.name, schema().TensorType.INT32)
        self._buffers.append(np.ascontiguousarray(array))
        return self._tensor(name, array.shape, kind, len(self._buffers) - 1, grid)

    def _tensor(self, name: str, shape: Sequence[int], kind: int, buffer: int, grid: Grid | None) -> int:
        quantization = None
        if grid is not None:
            quantization = schema().QuantizationParametersT(
                scale=np.atleast_1d(grid.scale).astype(np.float32),
                zeroPoint=np.full(np.size(grid.scale), grid.zero_point, np.int64),
                quantizedDimension=grid.axis,
            )
        self._tensors.append(
            schema().TensorT(
                shape=np.array(shape, np.int32),
                type=kind,
                buffer=buffer,
                name=name,
                quantization=quantization,
                hasRank=True,
            )
        )
        return len(self._tensors) - 1

    def name_of(self, tensor: int) -> str:
        """The name of a tensor."""
        name: str = self._tensors[tensor].name
        return name

    def rename(self, tensor: int, name: str) -> None:
        """Give a tensor another name."""
        self._tensors[tensor].name = name

    def emit(self, kind: str, inputs: Sequence[int], output: int, options: Any = None) -> int:
        """Append an operation.

        Args:
            kind: name of the operator in the schema.
            inputs: tensors, in the operator's order.
            output: the tensor that it writes.
            options: of the operator, an object of the schema whose name ends in `OptionsT`.

        Returns:
            The output.
        """
        self._operators.append(
            schema().OperatorT(
                opcodeIndex=self._codes.setdefault(kind, len(self._codes)),
                inputs=np.array(inputs, np.int32),
                outputs=np.array([output], np.int32),
                builtinOptionsType=0 if options is None else _options_type(type(options).__name__),
                builtinOptions=options,
            )
        )
        return output

    def to_bytes(
        self, inputs: Mapping[str, int], outputs: Mapping[str, int], notes: Mapping[str, str] | None = None
    ) -> bytes:
        """The file.

        Args:
            inputs: tensors that are the model's inputs, by their names for programs.
            outputs: tensors that are its outputs.
            notes: entries of its metadata, values as texts.
        """
        import flatbuffers

        lite = schema()
        notes = notes or {}
        texts = [np.frombuffer(text.encode(), np.uint8) for text in notes.values()]
        buffers = [*self._buffers, *texts]
        model = lite.ModelT(
            version=_SCHEMA_VERSION,
            description="pi-pareto-nas",
            operatorCodes=[self._code(kind) for kind in self._codes],
            subgraphs=[
                lite.SubGraphT(
                    name="network",
                    tensors=self._tensors,
                    operators=self._operators,
                    inputs=np.array([*inputs.values()], np.int32),
                    outputs=np.array([*outputs.values()], np.int32),
                )
            ],
            buffers=[_buffer(array) for array in buffers],
            metadata=[lite.MetadataT(name=name, buffer=len(self._buffers) + at) for at, name in enumerate(notes)],
            signatureDefs=[
                lite.SignatureDefT(
                    signatureKey=SIGNATURE,
                    inputs=[lite.TensorMapT(name=name, tensorIndex=tensor) for name, tensor in inputs.items()],
                    outputs=[lite.TensorMapT(name=name, tensorIndex=tensor) for name, tensor in outputs.items()],
                )
            ],
        )
        # Room for all at once: else the builder doubles, and copies, again and again.
        size = sum(array.nbytes + 2 * _ALIGNMENT for array in buffers if array is not None)
        builder = flatbuffers.Builder(size + 512 * (len(self._tensors) + len(self._operators)) + 4096)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    def _code(self, kind: str) -> Any:
        code = getattr(schema().BuiltinOperator, kind)
        version = _VERSIONS[kind][self._in_int8]
        return schema().OperatorCodeT(deprecatedBuiltinCode=min(code, 127), builtinCode=code, version=version)


@functools.cache
def _options_type(name: str) -> int:
    kind: int = getattr(schema().BuiltinOptions, name.removesuffix("T"))
    return kind


def _buffer(array: Array | None) -> Any:
    """A buffer whose data is copied as it is, and aligned, which the schema's own class does not do."""
    lite = schema()
    buffer = lite.BufferT()
    if array is None:
        return buffer

    def pack(builder: Any) -> int:
        content = array.tobytes()
        builder.StartVector(1, len(content), _ALIGNMENT)
        builder.head -= len(content)
        builder.Bytes[builder.head : builder.head + len(content)] = content
        data = builder.EndVector()
        lite.BufferStart(builder)
        lite.BufferAddData(builder, data)
        packed: int = lite.BufferEnd(builder)
        return packed

    buffer.Pack = pack
    return buffer


def notes_in(model: bytes) -> dict[str, str]:
    """The entries of a file's metadata, as texts.

    Raises:
        ValueError: if `ai-edge-litert` is not installed.
    """
    read = schema().Model.GetRootAs(model)
    entries = [read.Metadata(index) for index in range(read.MetadataLength())]
    return {entry.Name().decode(): read.Buffers(entry.Buffer()).DataAsNumpy().tobytes().decode() for entry in entries}
