"""Four disjoint seeded splits of a data set, each with each class's share.

Weights are trained on the first, theta on the second, networks selected on the third; the test split is read once,
for the final report. Start with `load_splits`. Shape suffixes: N images, C channels, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluation.data.facts import LEAST_OF_CLASS, DatasetFacts
from evaluation.data.images import ImageData, LabelledImages, Progress, Rows
from evaluation.data.loading import load_images
from evaluation.data.rules import LATEST_RULES, Resize, Rules
from evaluation.errors import ErrorKind
from evaluation.pixel_figures import figures_of

HELD_OUT_FRACTION = 0.15
HELD_OUT_MOST = 5000
LEAST_IMAGES = 20


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
    depth: tuple[float, float] | None = None
    """Levels that became black and white, of pictures of more than 8 bits a pixel; None where there are none."""
    facts: DatasetFacts | None = None
    """Which published splits there are, and how many images of each class."""
    error: ErrorKind = "plain"
    """What is called the error of a network."""


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
    """Split a data set by a seed, each class in the same shares.

    Theta and selection each take 15 % of the published training images, at most 5,000; so does the test split where
    none is published. The weights split is the rest. A class of few images has at least one in each split, and one of
    fewer images than splits is in the weights split first, then in those that judge. Images are in the order of the
    permutation: a folder lists one class after the other, and the first images of a split, which BatchNorm and int8 are
    calibrated with, must be of all of them. Images of the first version of the rules are split by one permutation of
    all, whatever their classes, and keep their own order.

    Raises:
        ValueError: if there are too few images for four splits, or a class is to be tested that has none.
    """
    count, classes = len(data.train), len(data.class_names)
    held_out = min(int(HELD_OUT_FRACTION * count), HELD_OUT_MOST)
    parts = 2 if data.test is not None else 3
    _check_numbers(data, held_out, parts)
    order = np.random.default_rng(np.random.SeedSequence([seed, 0xDA7A])).permutation(count)
    if data.rules == 1:
        rows = [np.sort(piece) for piece in _cut(order, held_out, parts)]
    else:
        rows = _cut_by_class(order, data.train.labels_N, _shares(data.train.labels_N, classes, held_out, parts))
    pieces = [data.train.take(piece) for piece in rows]
    test = data.test if data.test is not None else pieces[3]
    weights, theta, selection = pieces[:3]
    figures = figures_of(weights, theta, selection, test)
    return Splits(
        weights=weights,
        theta=theta,
        selection=selection,
        test=test,
        class_names=data.class_names,
        mean_C=figures.mean,
        std_C=figures.std,
        grey=data.grey,
        fingerprint=figures.fingerprint,
        resize=data.resize,
        rules=data.rules,
        omitted=data.omitted,
        width=data.width,
        height=data.height,
        depth=data.depth,
        facts=data.facts,
    )


def _check_numbers(data: ImageData, held_out: int, parts: int) -> None:
    count, classes = len(data.train), len(data.class_names)
    if data.rules == 1:
        enough = held_out >= 2 and count - parts * held_out >= 2 * classes
    else:
        enough = count >= max(LEAST_IMAGES, LEAST_OF_CLASS * classes)
    if not enough:
        raise ValueError(
            f"a data set must have enough training images for four splits, at least {LEAST_IMAGES} and "
            f"{LEAST_OF_CLASS} for each of its {classes} classes, but {data.name!r} has {count}."
        )
    if data.test is None or data.rules == 1:
        return
    absent = np.setdiff1d(data.test.labels_N, data.train.labels_N)
    if len(absent):
        raise ValueError(
            f"every class must have training images, but of {data.name!r} {data.class_names[absent[0]]!r} is in the "
            "test split alone: add some, or remove it."
        )


def _shares(labels_N: Rows, classes: int, held_out: int, parts: int) -> Rows:
    """Images of each class in each held-out split, shape (classes, parts), by the largest remainders."""
    of_class_K = np.bincount(labels_N, minlength=classes)
    # One is left for the weights split.
    most_K = np.maximum((of_class_K - 1) // parts, 0)
    quota_K = of_class_K * held_out / len(labels_N)
    share_K = np.minimum(np.maximum(quota_K.astype(np.int64), 1), most_K)
    for place in np.argsort(share_K - quota_K, kind="stable"):
        if share_K.sum() >= held_out:
            break
        share_K[place] += share_K[place] < most_K[place]
    share_KP = np.repeat(share_K[:, None], parts, axis=1)
    for place in np.flatnonzero((of_class_K <= parts) & (of_class_K > 1)):
        share_KP[place, parts - (of_class_K[place] - 1) :] = 1
    return share_KP


def _cut_by_class(order: Rows, labels_N: Rows, share_KP: Rows) -> list[Rows]:
    """Rows of the weights split, then of each held-out one, in the given order."""
    pieces: list[list[Rows]] = [[] for _ in range(1 + share_KP.shape[1])]
    for place, share_P in enumerate(share_KP):
        *held_out, rest = np.split(order[labels_N[order] == place], np.cumsum(share_P))
        for piece, rows in zip(pieces, [rest, *held_out], strict=True):
            piece.append(rows)
    place_N = np.argsort(order)
    merged = [np.concatenate(piece) for piece in pieces]
    return [piece[np.argsort(place_N[piece])] for piece in merged]


def _cut(order: Rows, held_out: int, parts: int) -> list[Rows]:
    start = len(order) - parts * held_out
    return [order[:start], *(order[start + k * held_out : start + (k + 1) * held_out] for k in range(parts))]
