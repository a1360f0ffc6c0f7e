"""What has to be known of all pixels of a data set's splits: found by one pass, and kept beside the file that has them.

Shape suffixes: N images, C channels, B block.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from evaluation.data.image_file import ImageFile
from evaluation.data.images import LabelledImages, Pixels
from evaluation.reading_ahead import ahead
from search_space.boundary.records import record_from_json
from search_space.boundary.sealing import read_sealed_json, write_sealed_json

_BLOCK_BYTES = 2**22
_LEAST_DEVIATION = 1e-3


@dataclass(frozen=True)
class PixelFigures:
    """Of the images of four splits."""

    mean: tuple[float, ...]
    """Of each channel over the first split, of pixels in [0, 1]; so is the standard deviation."""
    std: tuple[float, ...]
    fingerprint: str
    """Hash of all images and labels in the order of the splits."""


def figures_of(*splits: LabelledImages) -> PixelFigures:
    """The figures of splits; of images in a file, all of which are read, they are kept for the next time."""
    kept = _place_of(splits)
    if kept is not None:
        with contextlib.suppress(ValueError, TypeError):
            return record_from_json(PixelFigures, read_sealed_json(kept, what="figures", remedy=""), where="figures")
    digest, counts_CV = hashlib.sha256(), np.zeros((3, 256), np.int64)
    for place, split in enumerate(splits):
        shape = (len(split), *split.images.shape[1:])
        digest.update(str(shape).encode())
        for block_BCHW in _blocks(split):
            digest.update(block_BCHW.data)
            if place == 0:
                counts_CV += _counts(block_BCHW)
        digest.update(np.ascontiguousarray(split.labels_N).data)
    mean, std = _mean_and_deviation(counts_CV)
    figures = PixelFigures(mean, std, digest.hexdigest()[:16])
    if kept is not None:
        with contextlib.suppress(OSError):
            write_sealed_json(kept, asdict(figures))
    return figures


def _place_of(splits: Sequence[LabelledImages]) -> Path | None:
    """File of the figures of splits that are all rows of one file of images."""
    images = splits[0].images
    if not isinstance(images, ImageFile) or any(split.images is not images for split in splits):
        return None
    digest = hashlib.sha256(images.details.fingerprint.encode())
    for split in splits:
        digest.update(f"\0{len(split)}\0".encode())
        digest.update(split.in_images(np.arange(len(split))).data)
        digest.update(np.ascontiguousarray(split.labels_N).data)
    return images.path.with_name(f"{images.path.name}.{digest.hexdigest()[:16]}.json")


def _blocks(split: LabelledImages) -> Iterator[Pixels]:
    rows_N = np.arange(len(split))
    count = max(1, _BLOCK_BYTES // int(np.prod(split.images.shape[1:])))
    return ahead(split.gather, np.split(rows_N, range(count, len(rows_N), count)))


def _counts(block_BCHW: Pixels) -> npt.NDArray[np.int64]:
    """How often each channel has each value, shape (C, 256)."""
    # NumPy would make eight bytes of each.
    planes_CB = np.ascontiguousarray(block_BCHW.swapaxes(0, 1)).reshape(block_BCHW.shape[1], -1)
    return np.array([Image.fromarray(plane_B[None]).histogram() for plane_B in planes_CB], np.int64)


def _mean_and_deviation(counts_CV: npt.NDArray[np.int64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    levels = np.arange(256) / 255
    means, deviations = [], []
    for counts_V in counts_CV:
        share = counts_V / counts_V.sum()
        mean = float(share @ levels)
        means.append(mean)
        deviations.append(max(float(np.sqrt(share @ (levels - mean) ** 2)), _LEAST_DEVIATION))
    return tuple(means), tuple(deviations)
