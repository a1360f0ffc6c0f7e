"""Pictures of more than 8 bits a pixel: one scale for all of a data set, found over its training split.

X-rays, thermal and depth cameras use 10 or 12 of 16 bits, or fractions; a scale of each picture's own would take from
them what tells one from another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from evaluation.data.pictures import BrokenPictureError, Depth, Entry, Pictures, deep_pixels, is_deep, open_picture
from search_space.boundary.machine import file_threads

_SHALLOW = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".webp"})
"""Endings of formats that Pillow reads with 8 bits alone."""
_SHALLOW_BYTES = (b"\xff\xd8\xff", b"GIF8", b"BM", b"RIFF")
_KEPT = 2**22
"""Pixels in all that tell how levels are spread."""
_TAIL = 0.001
"""Share of pixels at either end that may be outliers: dead and hot ones."""
_FAR = 2.0
"""Times wider than the range of the others, from which on outliers do not set the scale."""
_AT_ONCE = 500


def any_deep(entries: Sequence[Entry]) -> bool:
    """Whether any of some pictures has more than 8 bits a pixel; only headers are read."""
    with ThreadPoolExecutor(file_threads()) as pool:
        return any(pool.map(_is_deep, entries))


def find_depth(pictures: Pictures) -> Depth | None:
    """The levels that become black and white: the range over all deep pictures, but for few pixels far from all others.

    None where no picture is deep, or all of their pixels are alike. Broken ones are passed over.
    """
    each = max(64, _KEPT // max(len(pictures), 1))
    low, high = np.inf, -np.inf
    kept: list[npt.NDArray[np.float64]] = []
    with ThreadPoolExecutor(file_threads()) as pool:
        for entries in _chunks(pictures):
            for levels in pool.map(lambda entry: _levels(entry, each), entries):
                if levels is not None:
                    low, high = min(low, levels[0]), max(high, levels[1])
                    kept.append(levels[2])
    if not kept or not low < high:
        return None
    few, most = np.quantile(np.concatenate(kept), (_TAIL, 1 - _TAIL))
    if high - low > _FAR * (most - few) > 0:
        return float(few), float(most)
    return float(low), float(high)


def _is_deep(entry: Entry) -> bool:
    if isinstance(entry, Image.Image):
        return is_deep(entry)
    if not entry:
        return False
    data, path = entry["bytes"], entry["path"]
    if data is not None and data.startswith(_SHALLOW_BYTES):
        return False
    if data is None and path is not None and Path(path).suffix.lower() in _SHALLOW:
        return False
    try:
        with open_picture(entry) as image:
            return is_deep(image)
    except Exception:
        # Decoders raise whatever comes of a broken file, which is told when it is loaded.
        return False


def _levels(entry: Entry, each: int) -> tuple[float, float, npt.NDArray[np.float64]] | None:
    """Least and greatest level of a deep picture, and some of its levels."""
    if not _is_deep(entry):
        return None
    try:
        levels = deep_pixels(entry).ravel()
    except BrokenPictureError:
        return None
    levels = levels[np.isfinite(levels)]
    if not len(levels):
        return None
    # No divisor of usual widths, so that not one column is taken.
    step = max(1, len(levels) // each) | 1
    return float(levels.min()), float(levels.max()), levels[::step]


def _chunks(pictures: Iterable[Entry]) -> Iterator[Sequence[Entry]]:
    iterator = iter(pictures)
    while chunk := list(islice(iterator, _AT_ONCE)):
        yield chunk
