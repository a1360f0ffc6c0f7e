"""ONNX files of this project as LiteRT files. Start with `litert_file`."""

from __future__ import annotations

import json

from search_space.litert.files import to_litert
from search_space.litert.onnx_reader import has_ranges, network_in, notes_in, ranges_in

LAYOUT = "layout"
"""The entry of metadata that says in which order the sides of the input come."""
_OF_ITS_FILE = ("error", "error_of")
"""Entries that hold of the very file in which they are."""


def litert_file(model: bytes, *, quantized: bytes | None = None, error: float | None = None) -> bytes:
    """The same network as a LiteRT file, with the notes of the ONNX file in its metadata.

    Args:
        model: an ONNX file as `search_space.onnx_files.to_onnx` writes them.
        quantized: the same network in int8 (`devices.quantization.quantized`), by default `model` if that is. Then the
            LiteRT file computes in int8,
            with weights per channel, on the grids of this file's activations: what calibrated the one has calibrated
            the other. Else it computes in float32.
        error: of the LiteRT file, in [0, 1], on the images that the ONNX file's `error_of` names; None if not known.

    Returns:
        A file whose input has the shape (1, height, width, channels), and otherwise what `to_litert` describes. An int8
        file says no error but its own: its weights have 8 bits, those of the ONNX file 7, so they may differ a little.

    Raises:
        ValueError: if a file cannot be read or expressed, or `ai-edge-litert` is not installed.
    """
    network = network_in(model)
    if quantized is None and has_ranges(model):
        quantized = model
    notes = notes_in(model if quantized is None else quantized) | {LAYOUT: json.dumps("NHWC")}
    if error is not None and "error_of" in notes:
        notes |= {"error": json.dumps(round(error, 6))}
    elif quantized is not None:
        notes = {name: text for name, text in notes.items() if name not in _OF_ITS_FILE}
    return to_litert(
        network.graph,
        network.weights,
        outputs=network.outputs,
        input_name=network.input_name,
        ranges=None if quantized is None else ranges_in(quantized),
        notes=notes,
    )
