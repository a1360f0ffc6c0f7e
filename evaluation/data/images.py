"""Images and labels. Shape suffixes: N images, C channels, H height, W width."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from evaluation.data.facts import DatasetFacts
from evaluation.data.image_file import ImageFile
from evaluation.data.rules import LATEST_RULES, Resize, Rules

Progress = Callable[[int, int], None]
"""Called with the number of images decoded so far, and their total."""
Pixels = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]
Images: TypeAlias = Pixels | ImageFile
"""RGB, shape (N, 3, H, W), 0-255: an array of few, or a file of any number."""


@dataclass(frozen=True)
class LabelledImages:
    """Images with labels, as rows of more images: their pixels are gathered when they are needed, a batch at a time."""

    images: Images
    """The images that these are rows of; all splits of a data set share them."""
    labels_N: npt.NDArray[np.int64]
    """Class indices in [0, number of classes)."""
    rows_N: Rows | None = None
    """Row of each image; None for all, in their order."""

    def __len__(self) -> int:
        return len(self.labels_N)

    @property
    def size(self) -> int:
        """Height and width in pixels."""
        return int(self.images.shape[-1])

    @property
    def pixels(self) -> Pixels:
        """All of them, as one array: for few."""
        return array_of(self.images) if self.rows_N is None else self.gather(np.arange(len(self)))

    def take(self, rows_N: Rows) -> LabelledImages:
        """Some of them, in another order; no pixel is read."""
        return LabelledImages(self.images, self.labels_N[rows_N], self.in_images(rows_N))

    def gather(self, rows_B: Rows, *, out: Pixels | None = None) -> Pixels:
        """The pixels of some of them, copied.

        Args:
            rows_B: which ones.
            out: takes the pixels; a new array by default.
        """
        rows_B = self.in_images(rows_B)
        if isinstance(self.images, ImageFile):
            self.images.read_ahead(rows_B)
        # Nothing is clipped; but else NumPy would copy into a buffer of its own first.
        return np.take(array_of(self.images), rows_B, axis=0, out=out, mode="clip")

    def in_images(self, rows_N: Rows) -> Rows:
        """The rows in `images` of some of them."""
        return rows_N if self.rows_N is None else self.rows_N[rows_N]


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


def array_of(images: Images) -> Pixels:
    """Images as an array, which is mapped, not read, where they are in a file."""
    return images.mapped if isinstance(images, ImageFile) else images


def joined(parts: Sequence[LabelledImages]) -> LabelledImages:
    """The images of several splits, one after the other; of one data set, no pixel is read."""
    labels_N = np.concatenate([part.labels_N for part in parts])
    images = parts[0].images
    if any(part.images is not images for part in parts):
        return LabelledImages(np.concatenate([part.pixels for part in parts]), labels_N)
    return LabelledImages(images, labels_N, np.concatenate([part.in_images(np.arange(len(part))) for part in parts]))
