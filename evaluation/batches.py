"""Batches of images: one uint8 tensor, augmented a batch at a time. Start with `ImageBatches`.

Shape suffixes: N images, B batch, C channels, H height, W width.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from evaluation.augmentation import Augmentation, augmented
from evaluation.data.images import LabelledImages
from evaluation.splits import Splits

MOST_UNEVEN = 3.0
"""Images of the largest class, as a multiple of the smallest's, up to which batches are drawn without regard to it."""


class ImageBatches:
    """Labelled images as one uint8 tensor on one torch device; implements `dnas.batches.BatchSource`."""

    def __init__(
        self,
        images: LabelledImages,
        splits: Splits,
        *,
        augmentation: Augmentation | None = None,
        balanced: bool = False,
        device: torch.device | None = None,
    ) -> None:
        """Hold images.

        Args:
            images: with their labels.
            splits: normalise them.
            augmentation: of `batches`.
            balanced: whether `batches` draw all classes evenly.
            device: where the images are held, and augmented.
        """
        self.images_NCHW = _tensor(images.images_NCHW, device)
        self.labels_N = _tensor(images.labels_N, device)
        self.mean_C11 = torch.tensor(splits.mean_C, device=device)[:, None, None]
        self.std_C11 = torch.tensor(splits.std_C, device=device)[:, None, None]
        self.augmentation = augmentation
        self._balanced_labels_N = images.labels_N if balanced else None
        self.network_size = splits.network_size

    def __len__(self) -> int:
        return len(self.labels_N)

    def as_arrays(self) -> LabelledImages:
        """The images and labels, as they are held."""
        return LabelledImages(self.images_NCHW.cpu().numpy(), self.labels_N.cpu().numpy())

    def batches(self, batch_size: int, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """One pass in random order, augmented where asked; the last batch may be smaller.

        Where classes are drawn evenly, a pass has as many images as there are, but some of them several times.
        """
        labels_N = self._balanced_labels_N
        order = torch.from_numpy(rng.permutation(len(self)) if labels_N is None else balanced_order(labels_N, rng))
        for rows_B in torch.split(order, batch_size):
            rows_B = rows_B.to(self.labels_N.device)
            pixels_BCHW = self.images_NCHW[rows_B]
            if self.augmentation is not None:
                pixels_BCHW = augmented(pixels_BCHW, self.augmentation, rng)
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


def is_uneven(labels_N: npt.NDArray[np.int64]) -> bool:
    """Whether one class has more than `MOST_UNEVEN` times as many images as another that has any."""
    counts = np.bincount(labels_N)
    return bool(counts.max() > MOST_UNEVEN * counts[counts > 0].min())


def balanced_order(labels_N: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """As many rows as there are images, in which all classes take turns; rows of small classes come several times.

    Any stretch of them has each class as often as any other, but for one turn at its start and one at its end.

    Args:
        labels_N: class of each image.
        rng: order of the classes in each turn, and of each class's images.
    """
    count = len(labels_N)
    classes = np.unique(labels_N)
    turns = -(-count // len(classes))
    turn_TK = np.stack([rng.permutation(classes) for _ in range(turns)])
    order_TK = np.empty_like(turn_TK)
    for label in classes:
        rows = np.flatnonzero(labels_N == label)
        passes = [rng.permutation(rows) for _ in range(-(-turns // len(rows)))]
        order_TK[turn_TK == label] = np.concatenate(passes)[:turns]
    return order_TK.ravel()[:count]


def _tensor(array: npt.NDArray[np.uint8] | npt.NDArray[np.int64], device: torch.device | None) -> Tensor:
    """A tensor over the array's own memory where it can be; arrays from an object store are read-only."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        tensor = torch.from_numpy(array)
    return tensor if device is None else tensor.to(device)
