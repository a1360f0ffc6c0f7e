"""Paths of the folder of a training; making one, and reading what is in one. Importing this is quick."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from evaluation.train_config import TrainConfig, config_from_json
from search_space.architectures import Architecture


@dataclass(frozen=True)
class TrainFolder:
    """Where everything of a training lies."""

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
        """The network to deploy; how its input is normalised is said in `result`."""
        return self.path / "model.onnx"

    @property
    def result(self) -> Path:
        """What the training came to."""
        return self.path / "result.json"

    def read_config(self) -> tuple[TrainConfig, dict[str, Any]]:
        """Settings and origin of the training.

        Raises:
            ValueError: if the folder holds no training, or its settings cannot be read.
        """
        rule = "`--resume` must name the folder of a training"
        if not self.config.is_file():
            raise ValueError(f"{rule}, but {str(self.path)!r} holds no config.json.")
        try:
            content = json.loads(self.config.read_text())
            return config_from_json(content["settings"]), dict(content["origin"])
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{rule}, but {str(self.config)!r} cannot be read: {error}") from None


@dataclass(frozen=True)
class TrainResult:
    """What a training came to."""

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
    """Time that the training took."""


def new_folder(config: TrainConfig, architecture: Architecture) -> TrainFolder:
    """The folder that a new training is to have; it is not made yet.

    Raises:
        ValueError: if it is there already and not empty, or cannot be made.
    """
    if config.out is None:
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        path = Path("runs") / f"{Path(config.dataset).stem}-{architecture.space}-{architecture.id}-{stamp}"
    else:
        path = Path(config.out).expanduser()
    if path.exists() and not path.is_dir():
        raise ValueError(f"`--out` must name a folder, but {str(path)!r} is a file.")
    if path.is_dir() and any(path.iterdir()):
        what = "already holds a training" if (path / "config.json").exists() else "is not empty"
        raise ValueError(
            f"`--out` must name a new folder, but {str(path)!r} {what}; choose another, or go on with a training by "
            "--resume."
        )
    parent = next(candidate for candidate in path.absolute().parents if candidate.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise ValueError(f"`--out` must lie in a folder that can be written to, but {str(parent)!r} cannot.")
    return TrainFolder(path)


def read_result(folder: TrainFolder) -> TrainResult | None:
    """The result of a training that has ended.

    Raises:
        ValueError: if there is one that cannot be read.
    """
    if not folder.result.exists():
        return None
    try:
        content = json.loads(folder.result.read_text())
        return TrainResult(**{item.name: content[item.name] for item in dataclasses.fields(TrainResult)})
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{str(folder.result)!r} must be the result of a training, but is not: {error!r}.") from None


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write plain values as a JSON file."""
    write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(content)
    os.replace(temporary, path)
