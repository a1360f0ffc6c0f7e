"""Four disjoint seeded splits of a data set.

Weights are trained on the first, theta on the second, networks selected on the third; the test split is read once,
for the final report. Start with `load_splits`. Shape suffixes: N images, C channels, H height, W width.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluation.data.images import ImageData, LabelledImages, Progress
from evaluation.data.rules import LATEST_RULES, Resize, Rules
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
    network_size: int | None = None
    """Height and width that batches are enlarged to; None for that of the images."""
    resize: Resize = "crop"
    """How pictures were made square."""
    rules: Rules = LATEST_RULES
    """Version of the rules by which pictures became pixels and splits."""
    omitted: int = 0
    """Pictures that could not be read and were left out."""
    width: int | None = None
    """Median of the training pictures, in pixels; None where it is not known, and so is `height`."""
    height: int | None = None


def load_splits(
    name_or_path: str,
    *,
    size: int,
    seed: int,
    resize: Resize | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    skip_broken: bool = False,
    on_progress: Progress = lambda done, total: None,
) -> Splits:
    """Load a data set and split it.

    Args:
        name_or_path: as for `load_images`, and so are the columns and the options below.
        size: height and width of the images in pixels.
        seed: of the permutation.
        resize: how pictures are made square; by default as they suggest.
        image_column: column of images, where a data set has several.
        label_column: column of labels, where a data set has several.
        skip_broken: whether pictures that cannot be read are left out.
        on_progress: called now and then while images are decoded.

    Raises:
        ValueError: if the data set cannot be read, or has too few images for four splits.
    """
    data = load_images(
        name_or_path,
        size=size,
        resize=resize,
        image_column=image_column,
        label_column=label_column,
        skip_broken=skip_broken,
        on_progress=on_progress,
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
        resize=data.resize,
        rules=data.rules,
        omitted=data.omitted,
        width=data.width,
        height=data.height,
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
