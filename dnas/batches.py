"""What the inner loop needs of data: batches of images and labels. Shape suffixes: B batch, C channels, H, W."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from torch import Tensor

Batch = tuple[Tensor, Tensor]
"""Normalised images (B, C, H, W) and class indices (B,)."""


class BatchSource(Protocol):
    """A set of labelled images that can be read in shuffled, augmented batches."""

    def __len__(self) -> int:
        """Number of images."""

    def batches(self, batch_size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """One pass over the images in random order."""


def endless_batches(source: BatchSource, batch_size: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Pass after pass, for as long as asked."""
    while True:
        yield from source.batches(batch_size, rng)
