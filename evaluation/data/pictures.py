"""One picture as pixels: upright, RGB, square. Start with `read_picture`."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from evaluation.data.rules import Resize, Rules
from search_space.boundary.reading import read_bytes
from search_space.boundary.text import reason_of

Entry: TypeAlias = Mapping[str, Any] | Image.Image | None
"""A picture as a data set has it: bytes or a path, or decoded already."""

Depth: TypeAlias = tuple[float, float]
"""The levels that become black and white, of pictures of more than 8 bits a pixel."""
PADDING = (128, 128, 128)
"""Mid grey: normalised, it is near the zeros that convolutions pad with, so that no edge is seen where there is none.
Black would be the darkest thing in the picture."""
GROUND = (255, 255, 255, 255)
"""White, behind what is transparent: icons and cut-out products are mostly dark things made for paper."""

_ORIENTATION_TAG, _LONG = 0x0112, 4
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LYING = (5, 6, 7, 8)
FORMATS = (
    "JPEG", "PNG", "BMP", "DIB", "GIF", "WEBP", "TIFF", "PPM", "ICO", "TGA", "PCX", "JPEG2000", "AVIF",
)  # fmt: skip
"""Others hold programs (EPS is given to Ghostscript), or no pictures."""
MOST_PIXELS = 2**26
"""Of a picture as it is decoded: 67 million; a few bytes may claim to be of any size."""
MOST_FILE_BYTES = 2**28


class Pictures(Protocol):
    """The pictures of one published split."""

    def __len__(self) -> int:
        """Number of pictures."""

    def __iter__(self) -> Iterator[Entry]:
        """All, in order."""

    def __getitem__(self, row: int, /) -> Entry:
        """One of them."""


@dataclass(frozen=True)
class Picture:
    """A picture that was read."""

    image: Image.Image
    """In RGB."""
    grey: bool
    width: int
    """Of the whole picture upright, in pixels; `image` may be smaller. So is `height`."""
    height: int


class BrokenPictureError(ValueError):
    """A picture that cannot be read; the message is the reason."""


def read_picture(entry: Entry, *, rules: Rules, depth: Depth | None = None, least_side: int | None = None) -> Picture:
    """Read a picture.

    Args:
        entry: as the data set has it.
        rules: version of the rules for pixels.
        depth: scale of pictures of more than 8 bits a pixel, from version 3 on; without, these are refused.
        least_side: a JPEG file may be decoded at a half, a quarter or an eighth of its size, but so that no side is
            shorter than this, in pixels; by default at its own size.

    Raises:
        BrokenPictureError: if it cannot be read.
    """
    try:
        if isinstance(entry, Image.Image):
            return _picture(entry, entry.size, rules, depth)
        if not entry or (entry["bytes"] is None and entry["path"] is None):
            raise ValueError("it has neither bytes nor a path")
        with open_picture(entry) as image:
            whole = image.size
            if least_side is not None and rules > 1:
                image.draft(None, (least_side, least_side))
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"it has {whole[0]} x {whole[1]} pixels, and {MOST_PIXELS:,} are read at most")
            return _picture(image, whole, rules, depth)
    except Exception as error:
        # Decoders raise whatever comes of a broken file.
        raise BrokenPictureError(reason_of(error)) from None


def upright_size(entry: Entry) -> tuple[int, int]:
    """Width and height of a picture as it is looked at; only its header is read where that suffices.

    Raises:
        BrokenPictureError: if it cannot be read.
    """
    try:
        if isinstance(entry, Image.Image):
            return entry.size
        if not entry or (entry["bytes"] is None and entry["path"] is None):
            raise ValueError("it has neither bytes nor a path")
        with open_picture(entry) as image:
            width, height = image.size
            return (height, width) if _orientation(image) in _LYING else (width, height)
    except Exception as error:
        raise BrokenPictureError(reason_of(error)) from None


def is_deep(image: Image.Image) -> bool:
    """Whether a picture has more than 8 bits a pixel, as Pillow reads it."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def deep_pixels(entry: Entry) -> npt.NDArray[np.float64]:
    """Levels of a picture of more than 8 bits a pixel, as they are stored.

    Raises:
        BrokenPictureError: if it cannot be read.
    """
    try:
        if isinstance(entry, Image.Image):
            return np.asarray(entry, np.float64)
        assert entry, "a deep picture is there"
        with open_picture(entry) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"it has more than {MOST_PIXELS:,} pixels")
            return np.asarray(image, np.float64)
    except Exception as error:
        raise BrokenPictureError(reason_of(error)) from None


def has_frames(entry: Entry) -> bool:
    """Whether a picture has several frames or pages, of which the first is taken.

    Raises:
        BrokenPictureError: if it cannot be read.
    """
    if not entry or isinstance(entry, Image.Image):
        return False
    try:
        with open_picture(entry) as image:
            # A second picture in a photo is a preview, or for other screens.
            return image.format in ("GIF", "TIFF", "WEBP", "PNG") and getattr(image, "n_frames", 1) > 1
    except Exception as error:
        raise BrokenPictureError(reason_of(error)) from None


def open_picture(entry: Mapping[str, Any]) -> Image.Image:
    """A picture of bytes or a path; its pixels are not read yet."""
    data = entry["bytes"]
    if data is None:
        data = read_bytes(Path(entry["path"]), what="a picture", most=MOST_FILE_BYTES)
    return Image.open(io.BytesIO(data), formats=_known_formats())


@cache
def _known_formats() -> tuple[str, ...]:
    """Those that this Pillow was built with."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def square(image: Image.Image, size: int, resize: Resize) -> Image.Image:
    """A picture in RGB as a square of `size` pixels."""
    sides = (size, size)
    if resize == "stretch":
        return image.resize(sides, Image.Resampling.BICUBIC)
    if resize == "pad":
        return ImageOps.pad(image, sides, Image.Resampling.BICUBIC, color=PADDING)
    return ImageOps.fit(image, sides, Image.Resampling.BICUBIC)


def _picture(image: Image.Image, whole: tuple[int, int], rules: Rules, depth: Depth | None) -> Picture:
    grey = image.mode in ("1", "L", "LA") or is_deep(image)
    if rules > 1:
        image.load()
        orientation = _orientation(image)
        turn = _UPRIGHT.get(orientation)
        whole = whole[::-1] if orientation in _LYING else whole
        transparent = "transparency" in image.info and image.mode != "P"
        image = image if turn is None else image.transpose(turn)
        if transparent and image.mode in ("L", "RGB"):
            image = image.convert("RGBA")
    if rules > 2 and is_deep(image):
        image = _scaled(image, depth)
    if image.mode.startswith("I"):
        wide = np.asarray(image, np.int64)
        image = Image.fromarray(np.uint8(wide >> 8 if wide.max(initial=0) > 255 else wide))
    if image.mode == "P":
        image = image.convert("RGBA")
    if rules > 1 and image.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, GROUND), image)
    return Picture(image.convert("RGB"), grey, *whole)


def _scaled(image: Image.Image, depth: Depth | None) -> Image.Image:
    """A picture of more than 8 bits a pixel with 8; levels beyond the scale are black or white, and NaN is black."""
    if depth is None:
        raise ValueError("it has more than 8 bits a pixel, where the training pictures that were looked at have 8")
    low, high = depth
    shares = np.nan_to_num((np.asarray(image, np.float64) - low) / (high - low), nan=0.0)
    return Image.fromarray(np.uint8(np.clip(shares, 0, 1) * 255 + 0.5))


def _orientation(image: Image.Image) -> int:
    """As EXIF has it, 1 to 8; 1 where that is absent or broken.

    Read here, since Pillow's reader raises all kinds of errors for what is broken. It turns TIFF files by itself.
    """
    exif = image.info.get("exif")
    data = exif.removeprefix(b"Exif\0\0") if isinstance(exif, bytes) else b""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, start)
        for place in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(f"{order}HH", data, place)
            if tag == _ORIENTATION_TAG:
                (value,) = struct.unpack_from(f"{order}{'I' if kind == _LONG else 'H'}", data, place + 8)
                return int(value) if value in _UPRIGHT else 1
    except struct.error:
        return 1
    return 1
