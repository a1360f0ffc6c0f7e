"""What the inner loop needs from data: batches of images and labels, and what chance decides of them beforehand.

Random numbers are drawn on the host and copied to the device for many steps at once: a copy within a step would have
the host wait for the device at each. Shape suffixes: B batch, C channels, H, W.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Batch = tuple[Tensor, Tensor]
"""Normalised images (B, C, H, W) and class indices (B,)."""
DRAWN_STEPS = 1024
"""Steps whose random numbers are drawn at once, at most."""


@dataclass(frozen=True, eq=False)
class BatchDraw:
    """What chance decides of one batch."""

    rows_B: npt.NDArray[np.int64]
    """Which images it has."""
    changes: tuple[npt.NDArray[Any], ...] = ()
    """How each of them is augmented: arrays with an entry for each image."""

    def __len__(self) -> int:
        return len(self.rows_B)


class BatchSource(Protocol):
    """A set of labelled images that can be read in shuffled, augmented batches."""

    def __len__(self) -> int:
        """Number of images."""

    def draws(self, batch_size: int, rng: np.random.Generator) -> Iterator[BatchDraw]:
        """One pass over the images in random order; nothing is drawn for a batch before it is asked for."""

    def read(self, draws: Sequence[BatchDraw]) -> Iterator[Batch]:
        """The batches that were drawn."""


def endless_draws(source: BatchSource, batch_size: int, rng: np.random.Generator) -> Iterator[BatchDraw]:
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
        for draw in source.draws(batch_size, rng):
            if len(draw) == batch_size:
                yield draw


def joined_draws(draws: Sequence[BatchDraw]) -> BatchDraw:
    """Several batches as one, in their order."""
    changes = zip(*(draw.changes for draw in draws), strict=True)
    return BatchDraw(np.concatenate([draw.rows_B for draw in draws]), tuple(map(np.concatenate, changes)))


def on_device(arrays: Sequence[npt.NDArray[Any]], device: torch.device) -> tuple[Tensor, ...]:
    """Arrays of one type that differ in length at most, copied to a device at once."""
    joined = torch.from_numpy(np.concatenate(arrays)).to(device)
    return tuple(torch.split_with_sizes(joined, [len(array) for array in arrays]))
