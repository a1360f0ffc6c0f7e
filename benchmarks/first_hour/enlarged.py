"""Writes a data set as JPEG files in one folder a class, enlarged: photos that show no more than the data set did.

    python benchmarks/first_hour/enlarged.py cifar10 enlarged --images 20000

Splits keep their names: `enlarged/train/<class>/<row>.jpg`. Start with `write_enlarged`.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import tyro
from PIL import Image

from evaluation.data.images import LabelledImages
from evaluation.data.loading import load_images
from scripts.interface.command_line import parse, run

QUALITY = 90


@dataclass(frozen=True, kw_only=True, slots=True)
class EnlargedConfig:
    """Write a data set as JPEG files in one folder a class, enlarged."""

    dataset: Annotated[str, tyro.conf.Positional]
    """As in a search: a local path, or a name on the Hugging Face hub."""
    out: Annotated[str, tyro.conf.Positional]
    """Folder to make."""
    native: int = 32
    """Height and width in pixels that the images are read at."""
    width: int = 640
    """Of the files, in pixels."""
    height: int = 480
    """Of the files, in pixels; images are stretched where it is not the width."""
    images: int | None = None
    """So many of each split at most, spread evenly; by default all."""

    def __post_init__(self) -> None:
        for name in ("native", "width", "height", "images"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"`--{name} >= 1` must hold, but got {value}.")


def write_enlarged(config: EnlargedConfig) -> int:
    """Write the files; returns how many.

    Raises:
        ValueError: if the data set cannot be read, or the folder holds something.
    """
    folder = Path(config.out).expanduser()
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"files must go into an empty folder, but {str(folder)!r} holds some; name another one.")
    data = load_images(config.dataset, size=config.native)
    number = 0
    with ProcessPoolExecutor() as pool:
        for split, part in (("train", data.train), ("test", data.test)):
            if part is None:
                continue
            rows = _rows(part, config.images)
            jobs = []
            for row in rows:
                path = folder / split / data.class_names[int(part.labels_N[row])] / f"{row:06d}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                jobs.append((part.gather(np.array([row]))[0], path, config.width, config.height))
            number += sum(pool.map(_write, jobs, chunksize=200))
    return number


def _rows(part: LabelledImages, most: int | None) -> list[int]:
    count = len(part) if most is None else min(most, len(part))
    return [int(row) for row in np.linspace(0, len(part) - 1, count).round()]


def _write(job: tuple[npt.NDArray[np.uint8], Path, int, int]) -> int:
    pixels_CHW, path, width, height = job
    image = Image.fromarray(np.ascontiguousarray(pixels_CHW.transpose(1, 2, 0)))
    image.resize((width, height), Image.Resampling.BICUBIC).save(path, quality=QUALITY)
    return 1


def main() -> None:
    """Parse the options, write, say how many."""
    config = parse(EnlargedConfig)
    print(f"{write_enlarged(config)} files in {config.out}")


if __name__ == "__main__":
    run(main)
