"""Batches of images, gathered and augmented a batch at a time. Start with `ImageBatches`.

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
from evaluation.data.image_file import image_bytes
from evaluation.data.images import LabelledImages, Rows
from evaluation.errors import share_of
from evaluation.reading_ahead import ahead
from evaluation.splits import Splits

HELD_SHARE = 0.25
"""Of a GPU's free memory: several splits may be held, by several processes, and networks need the rest."""
_COPIED = 1024
"""Images that are copied to a GPU at a time, where it holds all."""
MOST_UNEVEN = 3.0
"""Images of the largest class, as a multiple of the smallest's, up to which batches are drawn without regard to it."""


class ImageBatches:
    """Labelled images in batches on one torch device; implements `dnas.batches.BatchSource`.

    A GPU holds all of them where they take at most `HELD_SHARE` of its free memory. Else, and on the CPU, each batch is
    gathered from memory, or from the mapped file, by a thread while the one before it is worked with.
    """

    def __init__(
        self,
        images: LabelledImages,
        splits: Splits,
        *,
        augmentation: Augmentation | None = None,
        balanced: bool = False,
        device: torch.device | None = None,
    ) -> None:
        """Read no image yet.

        Args:
            images: with their labels.
            splits: normalise them.
            augmentation: of `batches`.
            balanced: whether `batches` draw all classes evenly.
            device: where batches are wanted, and augmented.
        """
        self.images = images
        self.labels_N = _tensor(images.labels_N, device)
        self.mean_C11 = torch.tensor(splits.mean_C, device=device)[:, None, None]
        self.std_C11 = torch.tensor(splits.std_C, device=device)[:, None, None]
        self.augmentation = augmentation
        self._balanced_labels_N = images.labels_N if balanced else None
        self.network_size = splits.network_size
        self.error = splits.error
        self._held_NCHW: Tensor | None = None

    def share_of(self, chosen_N: npt.NDArray[np.bool_]) -> float:
        """The share of chosen ones, as the splits count them; see `evaluation.errors.share_of`."""
        return share_of(chosen_N, self.images.labels_N, self.error)

    def __len__(self) -> int:
        return len(self.labels_N)

    def batches(self, batch_size: int, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """One pass in random order, augmented where asked; the last batch may be smaller.

        Where classes are drawn evenly, a pass has as many images as there are, but some of them several times.
        """
        labels_N = self._balanced_labels_N
        order = rng.permutation(len(self)) if labels_N is None else balanced_order(labels_N, rng)
        for pixels_BCHW, labels_B in self._read(order, batch_size):
            if self.augmentation is not None:
                pixels_BCHW = augmented(pixels_BCHW, self.augmentation, rng)
            yield self._normalise(pixels_BCHW), labels_B

    def in_order(self, batch_size: int, limit: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """All images, or the first `limit`, in order and as they are."""
        for pixels_BCHW, labels_B in self._read(np.arange(len(self))[:limit], batch_size):
            yield self._normalise(pixels_BCHW), labels_B

    def _read(self, order_N: Rows, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Pixels and labels in an order, on the device: copied from there, or gathered in memory one batch ahead."""
        parts = np.split(order_N, range(batch_size, len(order_N), batch_size)) if len(order_N) else []
        device, held_NCHW = self.labels_N.device, self._held(len(order_N))
        if held_NCHW is None:
            for rows, pixels_BCHW in zip(parts, ahead(self._gathered, parts), strict=True):
                yield pixels_BCHW.to(device, non_blocking=True), self.labels_N[torch.from_numpy(rows).to(device)]
            return
        for rows in parts:
            rows_B = torch.from_numpy(rows).to(device)
            yield held_NCHW[rows_B], self.labels_N[rows_B]

    def _gathered(self, rows_B: Rows) -> Tensor:
        """Pixels in memory, from which a GPU copies them while it computes."""
        pinned = self.labels_N.device.type == "cuda"
        pixels_BCHW = torch.empty((len(rows_B), *self.images.images.shape[1:]), dtype=torch.uint8, pin_memory=pinned)
        self.images.gather(rows_B, out=pixels_BCHW.numpy())
        return pixels_BCHW

    def _held(self, wanted: int) -> Tensor | None:
        """All images on the GPU, from the first time on that many of them are wanted; None where they do not fit."""
        device, count = self.labels_N.device, len(self)
        if self._held_NCHW is None and device.type == "cuda" and 2 * wanted >= count:
            free, _ = torch.cuda.mem_get_info(device)
            if image_bytes(count, self.images.size) <= HELD_SHARE * free:
                held_NCHW = torch.empty((count, *self.images.images.shape[1:]), dtype=torch.uint8, device=device)
                for rows in np.split(np.arange(count), range(_COPIED, count, _COPIED)):
                    held_NCHW[rows[0] : rows[-1] + 1] = self._gathered(rows).to(device)
                self._held_NCHW = held_NCHW
        return self._held_NCHW

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


def _tensor(array: npt.NDArray[np.int64], device: torch.device | None) -> Tensor:
    """A tensor over the array's own memory where it can be; arrays from an object store are read-only."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        tensor = torch.from_numpy(array)
    return tensor if device is None else tensor.to(device)
