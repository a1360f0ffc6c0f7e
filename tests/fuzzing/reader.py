"""What a reader is, and what they share."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from devices.errors import MeasurementError
from devices.measurement import Measurement
from evaluation.data.pictures import BrokenPictureError

DOCUMENTED = (ValueError, MeasurementError, BrokenPictureError)
"""Errors that readers raise for what is wrong."""

MEASUREMENT = Measurement(
    latency_ms=1.0,
    median_ms=1.1,
    iqr_ms=0.1,
    runs=50,
    energy_mj=2.0,
    latency_source="measured",
    energy_source="modelled",
    board="host (a processor)",
    os="Linux",
    runtime="onnxruntime 1.20",
    threads=1,
    date="2026-01-01",
    reliable=True,
)


@dataclass(frozen=True)
class Reader:
    """A reader, as the product uses it."""

    name: str
    samples: Sequence[bytes]
    read: Callable[[Path, bytes], object]
    """Reads bytes, for which it may use a folder of its own."""


def of_json(*contents: object) -> list[bytes]:
    """Samples that are JSON."""
    return [json.dumps(content).encode() for content in contents]


def of_file(name: str, read: Callable[[Path], object]) -> Callable[[Path, bytes], object]:
    """A reader of a file, from one of its path."""

    def from_file(folder: Path, content: bytes) -> object:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return read(path)

    return from_file
