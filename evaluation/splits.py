"""Four disjoint seeded splits, and batches of them: one uint8 tensor, augmented a batch at a time.

Weights are trained on the first, theta on the second, networks selected on the third; the test split is read once,
for the final report. Start with `load_splits`. Shape suffixes: N images, B batch, C channels, H height, W width.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from evaluation.data.images import ImageData, LabelledImages, Progress
from evaluation.data.source import load_images

HELD_OUT_FRACTION = 0.15
HELD_OUT_MOST = 5000


@dataclass(frozen=True, kw_only=True, slots=True)
class Splits:
    """Four disjoint sets of images, with the figures that normalise them."""

    weights: LabelledImages
    """Trains the supernet's weights."""
    theta: LabelledImages
    """Trains the architecture parameters."""
    selection: LabelledImages
    """Gives the accuracy that the search and the front use."""
    test: LabelledImages
    """Read once, for the final report."""
    class_names: tuple[str, ...]
    mean_C: tuple[float, ...]
    """Mean of each channel over the weights split, of pixels in [0, 1]."""
    std_C: tuple[float, ...]
    """Standard deviation of each channel over the weights split."""
    grey: bool
    fingerprint: str
    """Hash of all images and labels in the order of the splits."""


def load_splits(
    name_or_path: str,
    *,
    size: int,
    seed: int,
    image_column: str | None = None,
    label_column: str | None = None,
    on_progress: Progress = lambda done, total: None,
) -> Splits:
    """Load a data set and split it.

    Args:
        name_or_path: as for `load_images`, and so are the columns and `on_progress`.
        size: height and width of the images in pixels.
        seed: of the permutation.
        image_column: column of images, where a data set has several.
        label_column: column of labels, where a data set has several.
        on_progress: called now and then while images are decoded.

    Raises:
        ValueError: if the data set cannot be read, or has too few images for four splits.
    """
    data = load_images(
        name_or_path, size=size, image_column=image_column, label_column=label_column, on_progress=on_progress
    )
    return split_data(data, seed)


def split_data(data: ImageData, seed: int) -> Splits:
    """Split a data set by a seeded permutation.

    Theta and selection each take 15 % of the published training images, at most 5,000; so does the test split where
    none is published. The weights split is the rest.

    Raises:
        ValueError: if there are too few images for four splits.
    """
    count = len(data.train)
    held_out = min(int(HELD_OUT_FRACTION * count), HELD_OUT_MOST)
    parts = 2 if data.test is not None else 3
    if held_out < 2 or count - parts * held_out < 2 * len(data.class_names):
        raise ValueError(
            f"a data set must have enough training images for four splits (at least 20 and some of each of its "
            f"{len(data.class_names)} classes), but {data.name!r} has {count}."
        )
    order = np.random.default_rng(np.random.SeedSequence([seed, 0xDA7A])).permutation(count)
    pieces = [_take(data.train, np.sort(piece)) for piece in _cut(order, held_out, parts)]
    test = data.test if data.test is not None else pieces[3]
    weights, theta, selection = pieces[:3]
    mean_C, std_C = _statistics(weights.images_NCHW)
    fingerprint = _fingerprint((weights, theta, selection, test))
    return Splits(
        weights=weights,
        theta=theta,
        selection=selection,
        test=test,
        class_names=data.class_names,
        mean_C=mean_C,
        std_C=std_C,
        grey=data.grey,
        fingerprint=fingerprint,
    )


def _cut(order: npt.NDArray[np.int64], held_out: int, parts: int) -> list[npt.NDArray[np.int64]]:
    start = len(order) - parts * held_out
    return [order[:start], *(order[start + k * held_out : start + (k + 1) * held_out] for k in range(parts))]


def _take(images: LabelledImages, rows: npt.NDArray[np.int64]) -> LabelledImages:
    return LabelledImages(images.images_NCHW[rows], images.labels_N[rows])


def _statistics(images_NCHW: npt.NDArray[np.uint8]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    levels = np.arange(256) / 255
    means, deviations = [], []
    for channel in range(images_NCHW.shape[1]):
        share = np.bincount(images_NCHW[:, channel].ravel(), minlength=256) / images_NCHW[:, channel].size
        mean = float(share @ levels)
        means.append(mean)
        deviations.append(max(float(np.sqrt(share @ (levels - mean) ** 2)), 1e-3))
    return tuple(means), tuple(deviations)


def _fingerprint(parts: tuple[LabelledImages, ...]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(str(part.images_NCHW.shape).encode())
        digest.update(np.ascontiguousarray(part.images_NCHW).data)
        digest.update(np.ascontiguousarray(part.labels_N).data)
    return digest.hexdigest()[:16]


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
        x_BCHW = (pixels_BCHW.float().div_(255) - self.mean_C11) / self.std_C11
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
