"""What the images of a data set are like, from labels and a few pictures. Start with `look_at`.

From it follows how pictures are best made square, and what size in pixels holds what they show.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from PIL import Image

from evaluation.data.pictures import BrokenPictureError, Depth, Entry, has_frames, read_picture, square, upright_size
from evaluation.data.rules import LATEST_RULES, Resize, default_resize
from search_space.boundary.machine import file_threads

LOOKED_AT = 200
"""Pictures that are read for a description."""
SIDES = (16, 24, 32, 48, 64, 96, 128, 160)
"""Sides in pixels that are tried, in rising order; `REFERENCE_SIDE` stands for all that is longer."""
REFERENCE_SIDE = 224
UNEXPLAINED = 0.01
"""Share of a picture's variance that may be lost where a side still holds what it shows. CIFAR-10 enlarged to 640 x 480
loses 1.8 % at 24 pixels and 0.35 % at 32, its own size; sharp photos 4 % at 64 and 1.4 % at 128."""


FEW_LEVELS = 24
"""Of 256, within which pictures show hardly anything: those of 12 bits in files of 16 bits and three channels, say."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageSource:
    """What the images of a data set are like, as they are published."""

    name: str
    images: int
    """Training images; before any is held out."""
    classes: tuple[str, ...]
    """Names of the classes, in the order of the logits."""
    images_of_class: tuple[int, ...]
    """Training images of each class."""
    width: int
    """Median of the training images, in pixels, upright; so is `height`."""
    height: int
    aspect: float
    """Median of the longer side through the shorter one."""
    portrait: float
    """Share of pictures that are higher than wide."""
    landscape: float
    """Share of pictures that are wider than high."""
    detail: int
    """Shortest side in pixels that holds what the pictures show; never more than their own."""
    train_split: str
    """Published split that is trained on."""
    test_split: str | None
    """Published split that is tested on; None where a part of the training images is held out for that."""
    test_images: int
    """Of the published test split."""
    left_out: tuple[str, ...] = ()
    """Published splits that are not used, each with the reason."""
    warnings: tuple[str, ...] = ()
    """What the owner of the pictures should know."""

    @property
    def resize(self) -> Resize:
        """How pictures are made square by default."""
        return default_resize(aspect=self.aspect, portrait=self.portrait, landscape=self.landscape)

    @property
    def lost_by_crop(self) -> float:
        """Share of the median picture outside its central square."""
        return 1 - 1 / self.aspect


@dataclass(frozen=True, kw_only=True, slots=True)
class Looks:
    """The sizes of some pictures, and the side that holds what they show."""

    width: int
    height: int
    aspect: float
    portrait: float
    landscape: float
    detail: int
    warnings: tuple[str, ...] = ()
    """What the owner of the pictures should know."""


def look_at(entries: Sequence[Entry], *, resize: Resize | None = None, depth: Depth | None = None) -> Looks:
    """Sizes and detail of pictures; broken ones are passed over.

    Args:
        entries: the pictures.
        resize: how they are made square; by default as their sizes suggest.
        depth: scale of pictures of more than 8 bits a pixel.

    Raises:
        BrokenPictureError: if none can be read.
    """
    with ThreadPoolExecutor(file_threads()) as pool:
        sizes = [size for size in pool.map(_size, entries) if size is not None]
        if not sizes:
            raise BrokenPictureError(f"none of the {len(entries)} pictures that were looked at can be read")
        sizes_N2 = np.array(sizes)
        wide_N, high_N = sizes_N2.T
        aspect = float(np.median(sizes_N2.max(1) / sizes_N2.min(1)))
        portrait, landscape = float(np.mean(high_N > wide_N)), float(np.mean(wide_N > high_N))
        shorter = int(np.median(sizes_N2.min(1)))
        as_square = resize or default_resize(aspect=aspect, portrait=portrait, landscape=landscape)
        own = min(shorter, REFERENCE_SIDE)
        squares = pool.map(lambda entry: _grey_square(entry, own, as_square, depth), entries)
        shown = [one for one in squares if one is not None]
        for side in (side for side in SIDES if side < own):
            if np.mean(list(pool.map(partial(_unexplained, side=side), shown))) < UNEXPLAINED:
                detail = side
                break
        else:
            detail = own
        pool_frames = list(pool.map(_has_frames, entries))
    return Looks(
        width=int(np.median(wide_N)),
        height=int(np.median(high_N)),
        aspect=aspect,
        portrait=portrait,
        landscape=landscape,
        detail=detail,
        warnings=tuple(_warnings(shown, several=sum(pool_frames))),
    )


def _warnings(shown: Sequence[Image.Image], *, several: int) -> Iterator[str]:
    """What is strange about pictures as networks see them.

    Args:
        shown: in grey, all of one size.
        several: how many have more than one frame or page.
    """
    if len(shown) > 1 and len({image.tobytes() for image in shown}) == 1:
        yield f"all of {len(shown)} pictures that were looked at are the same"
    elif len(shown) > 1:
        lows, highs = zip(*(image.getextrema() for image in shown), strict=True)
        span = max(highs) - min(lows)
        if span < FEW_LEVELS:
            yield f"the pictures that were looked at differ by {span} of 256 levels of brightness alone"
    if several:
        noun = "picture has" if several == 1 else "pictures have"
        yield f"{several} of {len(shown)} {noun} several frames or pages, of which the first is taken"


def _size(entry: Entry) -> tuple[int, int] | None:
    try:
        return upright_size(entry)
    except BrokenPictureError:
        return None


def _has_frames(entry: Entry) -> bool:
    try:
        return has_frames(entry)
    except BrokenPictureError:
        return False


def _grey_square(entry: Entry, side: int, resize: Resize, depth: Depth | None) -> Image.Image | None:
    try:
        image = read_picture(entry, rules=LATEST_RULES, depth=depth, least_side=2 * side).image
    except BrokenPictureError:
        return None
    return square(image, side, resize).convert("L")


def _unexplained(image: Image.Image, *, side: int) -> float:
    """Share of a square picture's variance that is lost when it is shrunk to a side and enlarged again."""
    small = image.resize((side, side), Image.Resampling.BICUBIC).resize(image.size, Image.Resampling.BICUBIC)
    pixels_HW = _levels(image)
    variance = float(pixels_HW.var())
    return float(np.mean((pixels_HW - _levels(small)) ** 2)) / variance if variance else 0.0


def _levels(image: Image.Image) -> npt.NDArray[np.float32]:
    return np.asarray(image, np.float32)
