"""What the inner loop needs from data: batches of images and labels. Shape suffixes: B batch, C channels, H, W."""

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
    """Pass after pass, whole batches only: BatchNorm takes its statistics from them.

    Args:
        source: at least `batch_size` images.
        batch_size: images a batch.
        rng: order of the images.

    Raises:
        ValueError: if there are fewer images than a batch has.
    """
    if len(source) < batch_size:
        raise ValueError(f"there must be at least {batch_size} images, a whole batch, but got {len(source)}.")
    while True:
        for batch in source.batches(batch_size, rng):
            if len(batch[1]) == batch_size:
                yield batch
