"""Batches of images, gathered and augmented a batch at a time. Start with `ImageBatches`.

Shape suffixes: N images, B batch, C channels, H height, W width.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dnas.batches import Batch, BatchDraw, on_device
from evaluation.accelerators import KINDS, free_bytes
from evaluation.augmentation import Augmentation, augmented, drawn_changes
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
        self._pins = self.labels_N.device.type in KINDS

    def share_of(self, chosen_N: npt.NDArray[np.bool_]) -> float:
        """The share of chosen ones, as the splits count them; see `evaluation.errors.share_of`."""
        return share_of(chosen_N, self.images.labels_N, self.error)

    def __len__(self) -> int:
        return len(self.labels_N)

    @property
    def device(self) -> torch.device:
        """Where batches are."""
        return self.labels_N.device

    @property
    def network_shape(self) -> tuple[int, int, int]:
        """Of an image in a batch: channels, height, width."""
        _, channels, height, width = self.images.images.shape
        if self.network_size is None or self.network_size == width:
            return channels, height, width
        return channels, self.network_size, self.network_size

    def batches(self, batch_size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """One pass in random order, augmented where asked; the last batch may be smaller."""
        return self.read(list(self.draws(batch_size, rng)))

    def draws(self, batch_size: int, rng: np.random.Generator) -> Iterator[BatchDraw]:
        """See `BatchSource.draws`; the last batch may be smaller.

        Where classes are drawn evenly, a pass has as many images as there are, but some of them several times.
        """
        labels_N = self._balanced_labels_N
        order_N = rng.permutation(len(self)) if labels_N is None else balanced_order(labels_N, rng)
        for rows_B in _parts(order_N, batch_size):
            if self.augmentation is None:
                yield BatchDraw(rows_B)
            else:
                shape = len(rows_B), self.images.images.shape[1]
                yield BatchDraw(rows_B, drawn_changes(self.augmentation, shape, rng))

    def read(self, draws: Sequence[BatchDraw]) -> Iterator[Batch]:
        """See `BatchSource.read`."""
        device = self.labels_N.device
        kinds = [on_device(arrays, device) for arrays in zip(*(draw.changes for draw in draws), strict=True)]
        changes = zip(*kinds, strict=True)
        for pixels_BCHW, labels_B in self._read([draw.rows_B for draw in draws], wanted=len(self)):
            if self.augmentation is not None:
                pixels_BCHW = augmented(pixels_BCHW, self.augmentation, next(changes))
            yield self._normalise(pixels_BCHW), labels_B

    def in_order(self, batch_size: int, limit: int | None = None) -> Iterator[Batch]:
        """All images, or the first `limit`, in order and as they are."""
        order_N = np.arange(len(self))[:limit]
        for pixels_BCHW, labels_B in self._read(_parts(order_N, batch_size), wanted=len(order_N)):
            yield self._normalise(pixels_BCHW), labels_B

    def _read(self, parts: Sequence[Rows], *, wanted: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Pixels and labels of parts, on the device: copied from there, or gathered in memory one part ahead."""
        if not parts:
            return
        device, held_NCHW = self.labels_N.device, self._held(wanted)
        rows = on_device(parts, device)
        if held_NCHW is None:
            for rows_B, pixels_BCHW in zip(rows, ahead(self._gathered, parts), strict=True):
                yield pixels_BCHW.to(device, non_blocking=self._pins), self.labels_N[rows_B]
            return
        for rows_B in rows:
            yield held_NCHW[rows_B], self.labels_N[rows_B]

    def _gathered(self, rows_B: Rows) -> Tensor:
        """Pixels in memory, from which a GPU copies them while it computes."""
        shape = len(rows_B), *self.images.images.shape[1:]
        pixels_BCHW = torch.empty(shape, dtype=torch.uint8, pin_memory=self._pins)
        self.images.gather(rows_B, out=pixels_BCHW.numpy())
        return pixels_BCHW

    def _held(self, wanted: int) -> Tensor | None:
        """All images on the GPU, from the first time on that many of them are wanted; None where they do not fit."""
        device, count = self.labels_N.device, len(self)
        if self._held_NCHW is None and 2 * wanted >= count:
            needed = image_bytes(count, self.images.size)
            if needed < HELD_SHARE * free_bytes(device):
                held_NCHW = torch.empty((count, *self.images.images.shape[1:]), dtype=torch.uint8, device=device)
                for rows in np.split(np.arange(count), range(_COPIED, count, _COPIED)):
                    held_NCHW[rows[0] : rows[-1] + 1] = self._gathered(rows).to(device)
                self._held_NCHW = held_NCHW
        return self._held_NCHW

    def _normalise(self, pixels_BCHW: Tensor) -> Tensor:
        """Normalised floats in the channels-last layout, in which small convolutions are fastest."""
        x_BCHW = pixels_BCHW.float().div_(255)
        if x_BCHW.shape[1:] != self.network_shape:
            x_BCHW = torch.nn.functional.interpolate(x_BCHW, size=self.network_shape[1:], mode="bilinear")
        x_BCHW = (x_BCHW - self.mean_C11) / self.std_C11
        return x_BCHW.contiguous(memory_format=torch.channels_last)


def _parts(order_N: Rows, batch_size: int) -> list[Rows]:
    return np.split(order_N, range(batch_size, len(order_N), batch_size)) if len(order_N) else []


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
