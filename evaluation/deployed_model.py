"""ONNX files as they are handed over: for one image at a time, and with what a program must know in their metadata.

Other programs' importers and converters stumble over a free batch size, and a file may be passed on without its card.
Start with `deployed`.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
from dataclasses import dataclass

import onnx

from devices.configuration import Precision
from evaluation.dataset_origin import DatasetOrigin
from search_space.boundary.text import one_line

PROJECT = "pi-pareto-nas"


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelNotes:
    """What a file says of itself: one entry of its metadata for each field that is known, values in JSON."""

    network: str
    """Architecture id, or the name of a published network."""
    space: str | None
    """Name of the search space; None of a network that is of none."""
    precision: Precision
    input_size: int
    """Height and width of the images in pixels."""
    data: DatasetOrigin
    """Gives classes in the order of the logits, mean and std of pixels in [0, 1], and how pictures became square."""
    error: float | None = None
    """In [0, 1]."""
    error_of: str | None = None
    """Which images the error is of, and whose weights: `test split, 45 images, trained`."""
    segment: int | None = None
    """Of a network with early exits, counted from 1; None of a whole network."""

    def to_metadata(self) -> dict[str, str]:
        """The entries, as texts."""
        values = {
            "project": _project(),
            "network": self.network,
            "space": self.space,
            "precision": self.precision,
            "segment": self.segment,
            "classes": [one_line(name) for name in self.data.classes],
            "input_size": self.input_size,
            "layout": "NCHW",
            "channels": "RGB",
            "scale": 255,
            "mean": [float(f"{value:.8g}") for value in self.data.mean],
            "std": [float(f"{value:.8g}") for value in self.data.std],
            "resize": self.data.resize,
            "rules": self.data.rules,
            "error": None if self.error is None else round(self.error, 6),
            "error_of": self.error_of,
        }
        return {name: json.dumps(value, ensure_ascii=False) for name, value in values.items() if value is not None}


def _project() -> str:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return f"{PROJECT} {importlib.metadata.version(PROJECT)}"
    # From a copy of the code that nobody has installed.
    return PROJECT


def deployed(model: bytes, notes: ModelNotes) -> bytes:
    """The same network for one image at a time, with notes in its `metadata_props`.

    Args:
        model: a serialised ONNX model whose inputs and outputs have the batch as their first side.
        notes: entries of its metadata; others that it has stay.
    """
    loaded = onnx.load_from_string(model)
    graph = loaded.graph
    ends = [*graph.input, *graph.output]
    batch = {value.type.tensor_type.shape.dim[0].dim_param for value in ends} - {""}
    for value in ends:
        for side in value.type.tensor_type.shape.dim:
            if side.dim_param in batch:
                side.dim_value = 1
    # Between them, sides may have got other names; they follow from the ends.
    del graph.value_info[:]
    loaded = onnx.shape_inference.infer_shapes(loaded, data_prop=True)
    entries = {entry.key: entry.value for entry in loaded.metadata_props} | notes.to_metadata()
    onnx.helper.set_model_props(loaded, entries)
    data: bytes = loaded.SerializeToString(deterministic=True)
    return data
