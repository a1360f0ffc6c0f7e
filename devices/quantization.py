"""Static quantisation of an ONNX model to int8, on the training machine."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from devices.models import Model, files_of

CALIBRATION_SAMPLES = 8
"""Random inputs that calibrate where no images are given: the range of activations changes no kernel."""

Activations = Literal["int8", "uint8"]
X86 = frozenset({"x86_64", "amd64", "i386", "i686"})
QUANTIZED_NODES = frozenset({"QuantizeLinear", "DequantizeLinear"})

Images = npt.NDArray[np.float32]


def activations_for(machine: str | None) -> Activations:
    """The type of activations that a processor computes with quickest; weights are int8 for all.

    On x86 ONNX Runtime's kernels multiply uint8 by int8 (VNNI, and AVX2 before it): signed activations took 1.7 to 1.9
    times as long on an AMD EPYC with VNNI. Arm has quick kernels for two signed factors.

    Source: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html

    Args:
        machine: as `platform.machine()` names it on the board; None if it is not known.
    """
    return "uint8" if (machine or "").lower() in X86 else "int8"


def quantized(model: bytes, calibration: Images | None = None, *, activations: Activations = "int8") -> bytes:
    """A model whose convolutions and matrix products compute in int8, with a float input and output.

    Weights are quantised per channel, activations per tensor, in QDQ form, which ONNX Runtime fuses into its int8
    kernels. Operators without such kernels stay as they are. Weights have 7 bits: on x86 processors without VNNI the
    kernels add pairs of products in 16 bits, which 8-bit weights overflow. So the file computes the same everywhere.

    Source: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html

    Args:
        model: a serialised ONNX model with one input of shape (N, C, H, W).
        calibration: images of shape (S, C, H, W), preprocessed like the network's input; the ranges are those of their
            activations. None takes seeded normal numbers: right for latency, not for accuracy.
        activations: their type; see `activations_for`.

    Returns:
        A serialised ONNX model; the model itself if it is quantised already.

    Raises:
        ValueError: if the model cannot be read, or the images do not have the shape of its input.
    """
    try:
        loaded = onnx.load_from_string(model)
        if _has_quantized_nodes(loaded):
            return model
        graph = onnx.shape_inference.infer_shapes(loaded)
        (value,) = graph.graph.input
    except Exception as error:
        raise ValueError(f"a model to quantise must be ONNX with one input, but this is not: {error}.") from error
    shape = tuple(size.dim_value or 1 for size in value.type.tensor_type.shape.dim[1:])
    if calibration is None:
        calibration = np.random.default_rng(0).standard_normal((CALIBRATION_SAMPLES, *shape), dtype=np.float32)
    if calibration.shape[1:] != shape or not len(calibration):
        raise ValueError(f"images to calibrate with must have the shape (S, {shape}), but got {calibration.shape}.")
    # Normalisations are already folded into convolutions, which is what the quantiser would ask for.
    graph.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    with tempfile.TemporaryDirectory(prefix="pi-pareto-nas-int8-") as folder:
        path = Path(folder) / "int8.onnx"
        quantize_static(
            graph,
            str(path),
            _Reader(value.name, calibration),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QInt8 if activations == "int8" else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            reduce_range=True,
        )
        return path.read_bytes()


def is_quantized(model: Model) -> bool:
    """Whether a serialised ONNX model quantises or dequantises anything; what is not an ONNX model does not.

    Of several files one suffices: a segment that only pools has nothing to quantise.
    """
    return any(map(_is_quantized, files_of(model)))


def _is_quantized(file: bytes) -> bool:
    try:
        return _has_quantized_nodes(onnx.load_from_string(file))
    except DecodeError:
        return False


def _has_quantized_nodes(model: onnx.ModelProto) -> bool:
    return any(node.op_type in QUANTIZED_NODES for node in model.graph.node)


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Images one by one, as ONNX Runtime asks for them."""

    def __init__(self, name: str, images: Images) -> None:
        self._feeds: Iterator[dict[str, Images]] = ({name: image[None]} for image in images)

    def get_next(self) -> dict[str, Images] | None:
        """The next image, or None at the end."""
        return next(self._feeds, None)
