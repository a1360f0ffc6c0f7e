"""What a run was made from, as its config.json has it: resolved values, versions, fingerprints.

`moo.search.preparation` makes the record, `RunFolder` writes it and reads it back. Importing this is quick.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from devices.measurement import Board
from evaluation.dataset_origin import DatasetOrigin
from evaluation.errors import ErrorKind
from search_space.boundary.records import record_from_json
from search_space.spaces import FBNetSpace


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitSizes:
    """Number of images of each split."""

    weights: int
    theta: int
    selection: int
    test: int


@dataclass(frozen=True)
class CertainImages:
    """Images on which a plain error would be at least as uncertain as the run's own; `evaluation.errors` has why."""

    selection: int
    test: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchDataset(DatasetOrigin):
    """The images of a search."""

    images: SplitSizes
    guessing_error: float | None = None
    """Error on the selection split of always giving the best one answer; None in runs of earlier versions."""
    test_guessing_error: float | None = None
    """The same on the test split."""
    error: ErrorKind = "plain"
    """What is called an error: of images alike, or of classes alike."""
    certain: CertainImages | None = None
    """Images that intervals of errors are made with, where these are not those of the splits."""

    @property
    def reference_error(self) -> float:
        """Error of the reference point of hypervolume, above 0: a network that always gives one answer adds nothing.

        That of answering at random in runs of earlier versions, which are resumed with it, and where the selection
        split has one class alone.
        """
        return self.guessing_error or 1 - 1 / len(self.classes)


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainingOrigin:
    """How the supernet was trained: the fields of `dnas.pretraining.PretrainSettings`, which needs PyTorch."""

    epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    warmup_fraction: float
    label_smoothing: float
    passes: int = 1
    largest_share: float = 0.0
    paths_per_step: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipeOrigin:
    """What else of training follows from the images, where the user does not say so."""

    theta_batch: int
    """Images in a theta step."""
    augmentation: Literal["light", "strong"]
    balanced: bool
    """Whether batches draw all classes evenly."""
    warm_start: bool = False
    """Whether pre-training started from the supernet of a run on other images."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineOrigin:
    """The machine that a run was started on."""

    system: str
    """Operating system and its version, as Python gives them."""
    python: str
    """Version of Python."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOrigin:
    """What a run was made from; a resumed one must have the same space and images."""

    date: str | None = None
    """When, in UTC; None where it is not known."""
    space: FBNetSpace
    """That was searched, with the classes of the data set."""
    dataset: SearchDataset
    pretraining: PretrainingOrigin | None = None
    """None where it is not known."""
    recipe: RecipeOrigin | None = None
    """None in runs of earlier versions: light augmentation, and batches as images come."""
    board: Board | None = None
    """What measured; None if nothing did."""
    machine: MachineOrigin | None = None
    """None where it is not known."""
    packages: Mapping[str, str] = field(default_factory=dict)
    """Versions by package."""

    def to_json(self) -> dict[str, Any]:
        """The form used in `config.json`."""
        return dataclasses.asdict(self)


def origin_from_json(content: object) -> RunOrigin:
    """The origin that `RunOrigin.to_json` gave, in this version or an earlier one.

    Raises:
        ValueError: naming the first value that is absent or wrong; space and images must be there.
    """
    return record_from_json(RunOrigin, content, where="origin")
