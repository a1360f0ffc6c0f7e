"""Images and labels as arrays. Shape suffixes: N images, C channels, H height, W width."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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
