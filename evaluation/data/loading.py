"""The images of a data set at the size that a network takes: square, RGB. Start with `load`.

Shape suffixes: N images, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
import numpy.typing as npt
from PIL import Image

from evaluation.data.images import ImageData, LabelledImages, Progress
from evaluation.data.pictures import BrokenPictureError, Depth, Entry, Picture, Pictures, read_picture, square
from evaluation.data.rules import LATEST_RULES, Resize, Rules
from evaluation.data.source import DataSource, open_source
from search_space.boundary.machine import file_threads

NAMED = 5
"""Broken pictures that a message names."""
_AT_ONCE = 500

Pixels = npt.NDArray[np.uint8]


def load(
    source: DataSource,
    size: int,
    *,
    resize: Resize | None = None,
    rules: Rules = LATEST_RULES,
    skip_broken: bool = False,
    on_progress: Progress = lambda done, total: None,
) -> ImageData:
    """Read all pictures of a data set.

    Args:
        source: the data set.
        size: height and width of the images in pixels.
        resize: how pictures are made square; by default as its description says.
        rules: version of the rules for pixels.
        skip_broken: whether pictures that cannot be read are left out.
        on_progress: called now and then with pictures read so far, and their total.

    Raises:
        ValueError: if pictures cannot be read; the first of them are named.
    """
    resize = resize or source.describe().resize
    depth = source.depth if rules > 2 else None
    parts = [part for part in (source.train, source.test) if part is not None]
    total = sum(map(len, parts))
    loaded: list[LabelledImages] = []
    broken: list[str] = []
    done, grey = 0, True
    sizes: list[tuple[int, int]] = []
    for part in parts:
        images_NCHW = np.empty((len(part), 3, size, size), np.uint8)
        kept: list[int] = []
        for row, found in enumerate(_read(part.pictures, size, resize, rules, depth)):
            if isinstance(found, str):
                broken.append(f"row {row}{_path_of(part.pictures[row])} of split `{part.name}`: {found}")
            else:
                images_NCHW[len(kept)], picture = found
                kept.append(row)
                grey &= picture.grey
                if part is source.train:
                    sizes.append((picture.width, picture.height))
            done += 1
            if done % _AT_ONCE == 0 or done == total:
                on_progress(done, total)
        loaded.append(LabelledImages(images_NCHW[: len(kept)], part.labels_N[kept]))
    if broken and (not skip_broken or not len(loaded[0])):
        raise ValueError(_broken_text(broken, total, source.name))
    width, height = np.median(sizes, axis=0).astype(int).tolist()
    return ImageData(
        name=source.name,
        train=loaded[0],
        test=loaded[1] if len(loaded) > 1 and len(loaded[1]) else None,
        class_names=source.class_names,
        grey=grey,
        resize=resize,
        rules=rules,
        omitted=len(broken),
        width=width,
        height=height,
        depth=depth,
        facts=source.facts,
    )


def load_images(
    name_or_path: str,
    *,
    size: int,
    resize: Resize | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    train_split: str | None = None,
    test_split: str | None = None,
    skip_broken: bool = False,
    on_progress: Progress = lambda done, total: None,
) -> ImageData:
    """Open a data set and load its images, where nothing else is wanted of it.

    Args:
        name_or_path: as for `open_source`, and so are columns and splits.
        size: height and width of the images in pixels.
        resize: as for `load`, and so are the last two.
        image_column: column of images, where a data set has several.
        label_column: column of labels, where a data set has several.
        train_split: published split to train on, where names do not tell.
        test_split: published split to test on, where names do not tell, or `none`.
        skip_broken: whether pictures that cannot be read are left out.
        on_progress: called now and then while pictures are read.

    Raises:
        ValueError: as `open_source` and `load`.
    """
    source = open_source(
        name_or_path,
        image_column=image_column,
        label_column=label_column,
        train_split=train_split,
        test_split=test_split,
    )
    return load(source, size, resize=resize, skip_broken=skip_broken, on_progress=on_progress)


def image_of(
    entry: Entry, size: int, resize: Resize, rules: Rules, depth: Depth | None = None
) -> tuple[Pixels, Picture] | str:
    """Pixels (3, H, W) of a picture, and the picture; or why it cannot be read."""
    try:
        # At twice the size, a fraction of JPEG's resolution changes pixels by less than the file's own noise.
        picture = read_picture(entry, rules=rules, depth=depth, least_side=2 * size)
    except BrokenPictureError as error:
        return str(error)
    return np.asarray(square(picture.image, size, resize), np.uint8).transpose(2, 0, 1), picture


def _read(
    pictures: Pictures, size: int, resize: Resize, rules: Rules, depth: Depth | None
) -> Iterator[tuple[Pixels, Picture] | str]:
    """`image_of` each picture."""
    with ThreadPoolExecutor(file_threads()) as pool:
        for entries in _chunks(pictures, _AT_ONCE):
            yield from pool.map(lambda entry: image_of(entry, size, resize, rules, depth), entries)


def _chunks(pictures: Iterable[Entry], count: int) -> Iterator[Sequence[Entry]]:
    iterator = iter(pictures)
    while chunk := list(islice(iterator, count)):
        yield chunk


def _path_of(entry: Entry) -> str:
    return f" ({entry['path']})" if entry and not isinstance(entry, Image.Image) and entry.get("path") else ""


def _broken_text(broken: Sequence[str], total: int, name: str) -> str:
    count = f"1 of the {total} of {name!r} is" if len(broken) == 1 else f"{len(broken)} of the {total} of {name!r} are"
    several = "" if len(broken) <= NAMED else f"; and {len(broken) - NAMED} more"
    remedy = "Repair or remove it" if len(broken) == 1 else "Repair or remove them"
    return (
        f"every image must be readable, but {count} corrupt: {'; '.join(broken[:NAMED])}{several}. {remedy}, or leave "
        "such images out by --skip-broken."
    )
