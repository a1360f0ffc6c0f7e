"""Images and labels as arrays. Shape suffixes: N images, C channels, H height, W width."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluation.data.facts import DatasetFacts
from evaluation.data.rules import LATEST_RULES, Resize, Rules

Progress = Callable[[int, int], None]
"""Called with the number of images decoded so far, and their total."""


@dataclass(frozen=True)
class LabelledImages:
    """Images and labels of one published split."""

    images_NCHW: npt.NDArray[np.uint8]
    """RGB, shape (N, 3, H, W), 0-255."""
    labels_N: npt.NDArray[np.int64]
    """Class indices in [0, number of classes)."""

    def __len__(self) -> int:
        return len(self.labels_N)

    @property
    def guessing_error(self) -> float:
        """Error of always answering the commonest class."""
        return 1 - float(np.bincount(self.labels_N).max(initial=0)) / max(len(self), 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageData:
    """A data set as it was published."""

    name: str
    train: LabelledImages
    test: LabelledImages | None
    """The published test split, if there is one with labels."""
    class_names: tuple[str, ...]
    grey: bool
    """Whether all images are grey."""
    resize: Resize = "crop"
    """How pictures were made square."""
    rules: Rules = LATEST_RULES
    """Version of the rules by which pictures became pixels, and become splits."""
    omitted: int = 0
    """Pictures of both splits that could not be read and were left out."""
    width: int | None = None
    """Median of the training pictures, in pixels; None where it is not known, and so is `height`."""
    height: int | None = None
    depth: tuple[float, float] | None = None
    """Levels that became black and white, of pictures of more than 8 bits a pixel; None where there are none."""
    facts: DatasetFacts | None = None
    """Which splits there are, and how many images of each class."""
