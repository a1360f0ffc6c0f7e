"""What a training was made from, as its config.json has it. Importing this is quick."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from evaluation.dataset_origin import DatasetOrigin
from search_space.architectures import Architecture
from search_space.boundary.records import record_from_json
from search_space.graphs import Shape


@dataclass(frozen=True, kw_only=True, slots=True)
class BaselineNetwork:
    """A published network that is no architecture of a space."""

    id: str
    """Its name."""
    input_size: int
    """Height and width of the images that its form is for, in pixels."""

    def to_json(self) -> dict[str, object]:
        """The form used in `architecture.json`."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainImages:
    """Number of images by what a training uses them for."""

    training: int
    selection: int
    test: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainDataset(DatasetOrigin):
    """The images of a training."""

    images: TrainImages


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainOrigin:
    """What a training was made from; a resumed one must be made from the same."""

    architecture: Architecture | BaselineNetwork
    input_shape: Shape
    """Channels, height and width."""
    macs: int
    """Multiply-accumulates for one image."""
    params: int
    """Trainable parameters."""
    dataset: TrainDataset

    def to_json(self) -> dict[str, Any]:
        """The form used in `config.json`."""
        return dataclasses.asdict(self) | {"architecture": self.architecture.to_json()}


def train_origin_from_json(content: object) -> TrainOrigin:
    """The origin that `TrainOrigin.to_json` gave.

    Raises:
        ValueError: naming the first value that is absent or wrong.
    """
    return record_from_json(TrainOrigin, content, where="origin")
