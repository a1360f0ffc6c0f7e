"""Pictures as pixels: decoded in threads, cropped to a square, resized, RGB. Shape suffixes: H height, W width."""

from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps


def decoded(
    split: Any, column: str, size: int, split_name: str, where: str
) -> Iterator[tuple[npt.NDArray[np.uint8], bool]]:
    """Pixels (3, H, W) of each row, and whether the image is grey.

    Raises:
        ValueError: if an image cannot be read, naming row and split.
    """
    import datasets

    if isinstance(split.features[column], datasets.Image):
        split = split.cast_column(column, datasets.Image(decode=False))

    def decode(numbered: tuple[int, dict[str, Any] | None]) -> tuple[npt.NDArray[np.uint8], bool]:
        row, entry = numbered
        try:
            if not entry or (entry["bytes"] is None and entry["path"] is None):
                raise ValueError("it has neither bytes nor a path")
            data = entry["bytes"]
            with Image.open(io.BytesIO(data) if data is not None else entry["path"]) as image:
                return square_pixels(image, size)
        except (OSError, ValueError, TypeError, SyntaxError, Image.DecompressionBombError) as error:
            name = f" ({entry['path']})" if entry and entry.get("path") else ""
            reason = " ".join(str(error).split())
            raise ValueError(
                f"every image must be readable, but row {row}{name} of split `{split_name}` of {where} is corrupt: "
                f"{reason}. Repair or remove it."
            ) from None

    with ThreadPoolExecutor() as pool:
        row = 0
        for batch in split.select_columns([column]).iter(batch_size=1000):
            entries = batch[column]
            yield from pool.map(decode, enumerate(entries, start=row))
            row += len(entries)


def square_pixels(image: Image.Image, size: int) -> tuple[npt.NDArray[np.uint8], bool]:
    """RGB pixels (3, size, size) of the central square, and whether the image is grey."""
    grey = image.mode in ("1", "L", "LA", "I", "F") or image.mode.startswith("I;16")
    if image.mode.startswith("I"):
        wide = np.asarray(image, np.int64)
        image = Image.fromarray(np.uint8(wide >> 8 if wide.max(initial=0) > 255 else wide))
    if image.mode == "P":
        image = image.convert("RGBA")
    image = ImageOps.fit(image.convert("RGB"), (size, size), Image.Resampling.BICUBIC)
    return np.asarray(image, np.uint8).transpose(2, 0, 1), grey
