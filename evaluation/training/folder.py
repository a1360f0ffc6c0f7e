"""Paths of the folder of a training; making one, and reading what is in one. Importing this is quick."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from devices.configuration import Precision
from evaluation.training.config import TrainConfig, config_from_json
from evaluation.training.origin import TrainOrigin, train_origin_from_json
from evaluation.work_folder import new_work_folder, read_part
from search_space.architectures import Architecture
from search_space.boundary.reading import read_bytes
from search_space.boundary.records import record_from_json
from search_space.boundary.sealing import (
    MOST_STATE_BYTES,
    digest_of,
    read_sealed_json,
    read_sealed_state,
    read_tensors,
    write_sealed_json,
)
from search_space.boundary.text import reason_of

Part = TypeVar("Part")


@dataclass(frozen=True)
class TrainFolder:
    """Where the files of a training are."""

    path: Path

    @property
    def config(self) -> Path:
        """Settings, and what the training was made from."""
        return self.path / "config.json"

    @property
    def checkpoint(self) -> Path:
        """State after the last finished epoch."""
        return self.path / "checkpoint.pt"

    @property
    def curves(self) -> Path:
        """Picture of loss and accuracy."""
        return self.path / "curves.png"

    @property
    def architecture(self) -> Path:
        """The architecture as JSON."""
        return self.path / "architecture.json"

    @property
    def weights(self) -> Path:
        """The averaged weights, of which `onnx` is made."""
        return self.path / "weights.safetensors"

    @property
    def onnx(self) -> Path:
        """The network to deploy; `result` states how its input is normalised."""
        return self.path / "model.onnx"

    @property
    def onnx_int8(self) -> Path:
        """The same in int8."""
        return self.path / "model_int8.onnx"

    @property
    def card(self) -> Path:
        """What deploying the network takes, where it was trained for a run."""
        return self.path / "card.md"

    def model(self, precision: Precision) -> Path:
        """The ONNX file of a precision."""
        return self.onnx if precision == "fp32" else self.onnx_int8

    @property
    def result(self) -> Path:
        """Results of the training."""
        return self.path / "result.json"

    def write_config(self, config: TrainConfig, origin: TrainOrigin) -> None:
        """Write the settings and what the training was made from."""
        write_sealed_json(self.config, {"settings": config.to_json(), "origin": origin.to_json()})

    def read_config(self) -> tuple[TrainConfig, TrainOrigin]:
        """Settings and origin of the training.

        Raises:
            ValueError: if the folder holds no training, or its settings or origin cannot be read.
        """
        return self.read_settings(), self._read("origin", train_origin_from_json)

    def read_settings(self) -> TrainConfig:
        """Settings of the training.

        Raises:
            ValueError: if the folder holds no training, or its settings cannot be read.
        """
        return self._read("settings", config_from_json)

    def _read(self, part: str, parse: Callable[[Any], Part]) -> Part:
        return read_part(self.config, part, parse, rule="`--resume` must name the folder of a training")


@dataclass(frozen=True, kw_only=True, slots=True)
class FileCheck:
    """An ONNX file of a trained network, checked against PyTorch."""

    precision: Precision
    name: str
    """Of the file in the training's folder."""
    logits_difference: float
    """Largest absolute difference between its logits and PyTorch's, over images of the selection split."""
    top1: float
    """Accuracy of the file on the test split, in [0, 1]."""
    error: float
    """Error of the file on the selection split, in [0, 1]."""
    digest: str | None = None
    """Of its bytes; None in trainings of earlier versions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainResult:
    """Results of a training."""

    epochs: float
    """Passes over the training images."""
    top1: float
    """Share of test images whose label has the highest score."""
    top3: float
    """Share of test images whose label is among the three highest scores."""
    selection_accuracy: float
    """Accuracy on the selection split after the last epoch."""
    macs: int
    """Multiply-accumulates for one image."""
    params: int
    """Trainable parameters."""
    seconds: float
    """Duration of the training."""
    files: tuple[FileCheck, ...]
    head_only: bool = False
    """Whether nothing but the last layer of a pre-trained network was trained."""


def new_folder(config: TrainConfig, architecture: Architecture) -> TrainFolder:
    """The folder for a new training; it is not made yet.

    Raises:
        ValueError: if it is there already and not empty, or cannot be made.
    """
    name = f"{Path(config.dataset).stem}-{architecture.space}-{architecture.id}"
    return TrainFolder(new_work_folder(config.out, name=name, what="a training"))


def read_result(folder: TrainFolder) -> TrainResult | None:
    """The result of a training that has ended.

    Raises:
        ValueError: if there is one that cannot be read.
    """
    if not folder.result.exists():
        return None
    remedy = "Remove it, and the same command makes it anew from its checkpoint."
    content = read_sealed_json(folder.result, what="the result of a training", remedy=remedy)
    try:
        # Earlier versions wrote no `head_only`.
        values = {"head_only": False} | {
            item.name: content[item.name]
            for item in dataclasses.fields(TrainResult)
            if item.name in content or item.default is dataclasses.MISSING
        }
        return record_from_json(TrainResult, values, where="result")
    except (KeyError, TypeError, ValueError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else reason_of(error)
        raise ValueError(
            f"{str(folder.result)!r} must be the result of a training, but is not: {reason}. {remedy}"
        ) from None


def read_checkpoint(folder: TrainFolder) -> bytes | None:
    """State of a training after its last finished epoch; None if none has ended.

    Raises:
        ValueError: if it is damaged.
    """
    if not folder.checkpoint.exists():
        return None
    remedy = "Restore it from a copy, or remove it to train from the start."
    return read_sealed_state(folder.checkpoint, what="the checkpoint of a training", remedy=remedy)


def read_files(folder: TrainFolder, result: TrainResult) -> dict[str, bytes]:
    """What a training that has ended hands on, by name: its ONNX files and weights, known to be whole.

    Raises:
        ValueError: if one of them is missing or damaged.
    """
    models = {file.name: read_model(folder, file) for file in result.files}
    return models | {folder.weights.name: read_tensors(folder.weights, what=_FILE, remedy=_again(folder))}


def read_model(folder: TrainFolder, file: FileCheck) -> bytes:
    """An ONNX file of a trained network, as the training has written it.

    Raises:
        ValueError: if it is missing or damaged.
    """
    path = folder.path / file.name
    try:
        content = read_bytes(path, what=_FILE, most=MOST_STATE_BYTES)
    except ValueError as error:
        raise ValueError(f"{error} {_again(folder)}") from None
    if file.digest is not None and file.digest != digest_of(content):
        raise ValueError(
            f"{_FILE} must be whole, but {str(path)!r} is not: its contents do not match their digest in "
            f"{folder.result.name}. {_again(folder)}"
        )
    return content


_FILE = "a file of a trained network"


def _again(folder: TrainFolder) -> str:
    return f"Remove {str(folder.result)!r}, and the same command makes both anew from the checkpoint."
