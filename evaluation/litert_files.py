"""LiteRT files beside the ONNX files of networks, compared with them. Start with `write_litert_files`.

Shape suffixes: N images, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from devices.configuration import LITERT_FILES, ONNX_FILES, PRECISIONS, Precision
from evaluation.accuracy import EVALUATION_BATCH
from evaluation.batches import ImageBatches
from evaluation.data.images import LabelledImages
from evaluation.export import session_of
from evaluation.splits import Splits
from search_space.boundary.reading import named, read_bytes
from search_space.boundary.writing import write_atomically
from search_space.litert.conversion import litert_file
from search_space.litert.flat_model import notes_in, schema

PLACES = ("front", "trained", "baselines")
"""Folders of a run whose folders are those of networks."""
COMPARED = 16
"""Random inputs whose logits are compared."""
TOLERANCE = 1e-4
"""Difference of a logit between both files in fp32 at most, relative to the largest magnitude; orders of summation in
float32 amount to about 1e-6."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class LiteRtFile:
    """A file that was written."""

    path: Path
    precision: Precision
    size: int
    """In bytes."""
    difference: float
    """Largest difference of an output from that of the ONNX file, relative to the largest magnitude, over 16 random
    inputs. In int8 steps of the grids and 8 bits of weights for 7 are part of it."""


def write_litert_files(folder: Path) -> Iterator[LiteRtFile]:
    """Write `model.tflite` beside each `model.onnx`, and `model_int8.tflite` beside each `model_int8.onnx`.

    Args:
        folder: of a network, or of a run, whose networks are then meant, and their trainings and baselines.

    Raises:
        ValueError: if there is no `model.onnx`; if one cannot be read or expressed; if its LiteRT file gives other
            numbers; or if `ai-edge-litert` is not installed.
    """
    schema()
    folders = [folder, *(path for place in PLACES for path in sorted((folder / place).glob("*")))]
    found = [path for path in folders if (path / ONNX_FILES["fp32"]).is_file()]
    if not found:
        raise ValueError(f"the folder of a network or of a run must have a model.onnx, but {named(folder)} has none.")
    for path in found:
        in_fp32 = read_bytes(path / ONNX_FILES["fp32"], what="an ONNX file")
        for precision in PRECISIONS:
            source = path / ONNX_FILES[precision]
            if source.is_file():
                yield _written(path / LITERT_FILES[precision], source, in_fp32, precision)


def _written(path: Path, source: Path, in_fp32: bytes, precision: Precision) -> LiteRtFile:
    onnx_file = read_bytes(source, what="an ONNX file")
    try:
        content = _of_the_same_error(path, in_fp32, None if precision == "fp32" else onnx_file)
        difference = compared(content, onnx_file)
    except ValueError as error:
        raise ValueError(f"{named(source)}: {error}") from None
    if precision == "fp32" and not difference <= TOLERANCE:
        raise ValueError(
            f"{named(source)}: outputs of a LiteRT file must be ONNX Runtime's within {TOLERANCE} of the largest, but "
            f"differ by {difference:.3g}; it was not written."
        )
    write_atomically(path, content)
    return LiteRtFile(path=path, precision=precision, size=len(content), difference=difference)


def _of_the_same_error(path: Path, in_fp32: bytes, quantized: bytes | None) -> bytes:
    """A LiteRT file; what lies there with an error of its own stays as it is, if it is the same otherwise."""
    with contextlib.suppress(ValueError, OSError):
        old = path.read_bytes()
        error = json.loads(notes_in(old)["error"]) if "error" in notes_in(old) else None
        if error is not None and litert_file(in_fp32, quantized=quantized, error=float(error)) == old:
            return old
    return litert_file(in_fp32, quantized=quantized)


def write_litert_file(folder: Path, precision: Precision, *, error: float | None = None) -> None:
    """Write the LiteRT file of a network beside its ONNX file; without one, remove what lies there.

    Args:
        folder: of the network.
        precision: of the file.
        error: of the LiteRT file on the images that the ONNX file names; None if it is not known.

    Raises:
        ValueError: if the ONNX file cannot be read or expressed, or `ai-edge-litert` is not installed.
    """
    path, source = folder / LITERT_FILES[precision], folder / ONNX_FILES[precision]
    if not source.is_file():
        path.unlink(missing_ok=True)
        return
    onnx_file, in_fp32 = (
        read_bytes(folder / ONNX_FILES[one], what="an ONNX file") for one in (precision, PRECISIONS[0])
    )
    content = litert_file(in_fp32, quantized=None if precision == "fp32" else onnx_file, error=error)
    write_atomically(path, content)


def compared(model: bytes, onnx_file: bytes) -> float:
    """Largest difference of an output of two files of a network, relative to the largest magnitude."""
    session = session_of(onnx_file, 1)
    (source,) = session.get_inputs()
    images_NCHW = np.random.default_rng(0).standard_normal((COMPARED, *source.shape[1:]), np.float32)
    expected = [session.run(None, {source.name: image_CHW[None]}) for image_CHW in images_NCHW]
    with_litert = LiteRtRunner(model)
    largest, difference = 0.0, 0.0
    for image_CHW, outputs in zip(images_NCHW, expected, strict=True):
        for one, other in zip(with_litert.run(image_CHW), outputs, strict=True):
            largest = max(largest, float(np.abs(other).max()))
            difference = max(difference, float(np.abs(one.reshape(other.shape) - other).max()))
    return difference / largest if largest else difference


class LiteRtRunner:
    """Runs a LiteRT file on this machine, one image at a time.

    Args:
        model: the file.
        threads: at least 1.

    Raises:
        ValueError: if `ai-edge-litert` is not installed.
    """

    def __init__(self, model: bytes, threads: int = 1) -> None:
        schema()
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter: Any = Interpreter(model_content=model, num_threads=threads)
        self._interpreter.allocate_tensors()
        self._batch = 1
        (self._input,) = (entry["index"] for entry in self._interpreter.get_input_details())
        self._outputs = [entry["index"] for entry in self._interpreter.get_output_details()]

    def run(self, image_CHW: Floats) -> list[Floats]:
        """Outputs for an image in the layout of ONNX, maps in that layout, too."""
        return self.run_batch(image_CHW[None])

    def run_batch(self, x_BCHW: Floats) -> list[Floats]:
        """The same for several, in one run."""
        x_BHWC = np.ascontiguousarray(x_BCHW.transpose(0, 2, 3, 1))
        if len(x_BHWC) != self._batch:
            self._interpreter.resize_tensor_input(self._input, x_BHWC.shape)
            self._interpreter.allocate_tensors()
            self._batch = len(x_BHWC)
        self._interpreter.set_tensor(self._input, x_BHWC)
        self._interpreter.invoke()
        arrays: list[Floats] = [self._interpreter.get_tensor(index) for index in self._outputs]
        return [array.transpose(0, 3, 1, 2) if array.ndim == 4 else array for array in arrays]


def litert_error(model: bytes, images: LabelledImages, splits: Splits, *, threads: int = 1) -> float:
    """Error of a LiteRT file, in [0, 1], by LiteRT on this machine.

    Args:
        model: the file.
        images: of a split.
        splits: says how images are prepared.
        threads: at least 1.
    """
    runner = LiteRtRunner(model, threads)
    batches = ImageBatches(images, splits)
    hits = [
        runner.run_batch(x_BCHW.numpy())[0].argmax(1) == labels_B.numpy()
        for x_BCHW, labels_B in batches.in_order(EVALUATION_BATCH)
    ]
    return 1 - batches.share_of(np.concatenate(hits))
