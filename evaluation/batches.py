"""Batches of images: one uint8 tensor, augmented a batch at a time. Start with `ImageBatches`.

Shape suffixes: N images, B batch, C channels, H height, W width.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from evaluation.data.images import LabelledImages
from evaluation.splits import Splits


@dataclass(frozen=True)
class Augmentation:
    """What is done at random to each training image."""

    crop_padding: int = 4
    """Pixels of zero padding on each side before a random crop back to the original size."""
    flip: bool = True
    """Whether half of the images are mirrored left to right."""

    def __post_init__(self) -> None:
        if not isinstance(self.crop_padding, int) or self.crop_padding < 0:
            raise ValueError(f"`crop_padding` must be a whole number of at least 0, but got {self.crop_padding}.")


class ImageBatches:
    """Labelled images as one uint8 tensor on one torch device; implements `dnas.batches.BatchSource`."""

    def __init__(
        self,
        images: LabelledImages,
        splits: Splits,
        *,
        augmentation: Augmentation | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.images_NCHW = _tensor(images.images_NCHW, device)
        self.labels_N = _tensor(images.labels_N, device)
        self.mean_C11 = torch.tensor(splits.mean_C, device=device)[:, None, None]
        self.std_C11 = torch.tensor(splits.std_C, device=device)[:, None, None]
        self.augmentation = augmentation
        self.network_size = splits.network_size

    def __len__(self) -> int:
        return len(self.labels_N)

    def batches(self, batch_size: int, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """One pass in random order, augmented where asked; the last batch may be smaller."""
        order = torch.from_numpy(rng.permutation(len(self)))
        for rows_B in torch.split(order, batch_size):
            rows_B = rows_B.to(self.labels_N.device)
            pixels_BCHW = self.images_NCHW[rows_B]
            if self.augmentation is not None:
                pixels_BCHW = _augment(pixels_BCHW, self.augmentation, rng)
            yield self._normalise(pixels_BCHW), self.labels_N[rows_B]

    def in_order(self, batch_size: int, limit: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """All images, or the first `limit`, in order and as they are."""
        stop = len(self) if limit is None else min(limit, len(self))
        for start in range(0, stop, batch_size):
            end = min(start + batch_size, stop)
            yield self._normalise(self.images_NCHW[start:end]), self.labels_N[start:end]

    def _normalise(self, pixels_BCHW: Tensor) -> Tensor:
        """Normalised floats in the channels-last layout, in which small convolutions are fastest."""
        x_BCHW = pixels_BCHW.float().div_(255)
        if self.network_size is not None and self.network_size != x_BCHW.shape[-1]:
            x_BCHW = torch.nn.functional.interpolate(x_BCHW, size=(self.network_size,) * 2, mode="bilinear")
        x_BCHW = (x_BCHW - self.mean_C11) / self.std_C11
        return x_BCHW.contiguous(memory_format=torch.channels_last)


def _augment(pixels_BCHW: Tensor, augmentation: Augmentation, rng: np.random.Generator) -> Tensor:
    """Random crops and mirrors of a whole batch at once, by index arithmetic."""
    batch, _, height, width = pixels_BCHW.shape
    padding, device = augmentation.crop_padding, pixels_BCHW.device
    padded = torch.nn.functional.pad(pixels_BCHW, (padding,) * 4)
    top_B, left_B = torch.from_numpy(rng.integers(0, 2 * padding + 1, size=(2, batch))).to(device)
    rows_BH = top_B[:, None] + torch.arange(height, device=device)
    columns_BW = left_B[:, None] + torch.arange(width, device=device)
    if augmentation.flip:
        mirrored_B = torch.from_numpy(rng.random(batch) < 0.5).to(device)
        columns_BW = torch.where(mirrored_B[:, None], columns_BW.flip(1), columns_BW)
    number_B = torch.arange(batch, device=device)
    cropped_BHWC = padded.permute(0, 2, 3, 1)[number_B[:, None, None], rows_BH[:, :, None], columns_BW[:, None, :]]
    return cropped_BHWC.permute(0, 3, 1, 2)


def _tensor(array: npt.NDArray[np.uint8] | npt.NDArray[np.int64], device: torch.device | None) -> Tensor:
    """A tensor over the array's own memory where it can be; arrays from an object store are read-only."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        tensor = torch.from_numpy(array)
    return tensor if device is None else tensor.to(device)
