"""The images of a data set at the size that a network takes: square, RGB. Start with `load`.

Shape suffixes: N images, C channels, H height, W width.
"""

from __future__ import annotations

import dataclasses
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from evaluation.data.facts import DatasetFacts
from evaluation.data.image_file import FileDetails, ImageWriter, image_bytes
from evaluation.data.images import ImageData, Images, LabelledImages, Pixels, Progress
from evaluation.data.kept_images import KeptImages, MadeOf, stamp_of
from evaluation.data.pictures import BrokenPictureError, Depth, Entry, Picture, Pictures, read_picture, square
from evaluation.data.rules import LATEST_RULES, Resize, Rules
from evaluation.data.source import DataSource, Part, open_source
from search_space.boundary.machine import file_threads
from search_space.boundary.reading import local_path

NAMED = 5
"""Broken pictures that a message names."""
IN_MEMORY_BYTES = 2**25
"""Images of so many bytes in all are held as an array; more are kept in a file, which processes and runs share."""
_AT_ONCE = 256
"""Pictures that are read ahead."""
_TOLD = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class _Decoded:
    """What was seen of the pictures of a data set; as in `FileDetails`."""

    omitted: tuple[tuple[int, ...], ...]
    grey: bool
    width: int
    height: int
    scattered: bool
    facts: DatasetFacts


def load(
    source: DataSource,
    size: int,
    *,
    resize: Resize | None = None,
    rules: Rules = LATEST_RULES,
    skip_broken: bool = False,
    on_progress: Progress = lambda done, total: None,
) -> ImageData:
    """Read all pictures of a data set, or find them read by an earlier run.

    Few images are held in memory; others are in a file (`evaluation.data.kept_images`), which is made once.

    Args:
        source: the data set.
        size: height and width of the images in pixels.
        resize: how pictures are made square; by default as its description says.
        rules: version of the rules for pixels.
        skip_broken: whether pictures that cannot be read are left out.
        on_progress: called now and then with pictures read so far, and their total.

    Raises:
        ValueError: if pictures cannot be read, of which the first are named, or if there is no place for the file.
    """
    made_of = MadeOf(
        name=source.name,
        asked=source.asked,
        size=size,
        resize=resize or source.describe().resize,
        rules=rules,
        depth=source.depth if rules > 2 else None,
        skip_broken=skip_broken,
    )
    total = sum(map(len, _parts(source)))
    stamp = stamp_of(source) if image_bytes(total, size) > IN_MEMORY_BYTES else None
    if stamp is None:
        array_NCHW = np.empty((total, 3, size, size), np.uint8)
        places = iter(array_NCHW)

        def hold(pixels_CHW: Pixels) -> None:
            next(places)[:] = pixels_CHW

        decoded = _decode(source, made_of, hold, on_progress)
        return _image_data(source, made_of, array_NCHW, decoded)
    kept = KeptImages.of(made_of, stamp)

    def write(file: IO[bytes]) -> FileDetails:
        writer = ImageWriter(file, size)
        seen = _decode(source, made_of, writer.add, on_progress)
        return writer.finish(**{field.name: getattr(seen, field.name) for field in dataclasses.fields(seen)})

    def wait(written: int) -> None:
        on_progress(min(written // image_bytes(1, size), total), total)

    images = kept.find() or kept.make(write, image_bytes(total, size), on_waiting=wait)
    return _image_data(source, made_of, images, images.details)


def _parts(source: DataSource) -> list[Part]:
    return [part for part in (source.train, source.test) if part is not None]


def _decode(source: DataSource, made_of: MadeOf, take: Callable[[Pixels], None], on_progress: Progress) -> _Decoded:
    """Give the images of all pictures that can be read to `take`, in order.

    Raises:
        ValueError: as `load`.
    """
    parts, root = _parts(source), local_path(source.name)
    is_local, total = root.exists(), sum(map(len, parts))
    omitted: list[tuple[int, ...]] = []
    broken: list[str] = []
    done, grey, scattered = 0, True, False
    sizes: list[tuple[int, int]] = []
    for part in parts:
        rows: list[int] = []
        for row, (entry, found) in enumerate(_read(part.pictures, made_of)):
            scattered |= is_local and _lies_outside(entry, root)
            if isinstance(found, str):
                broken.append(f"row {row}{_path_of(entry)} of split `{part.name}`: {found}")
                rows.append(row)
            else:
                pixels_CHW, picture = found
                take(pixels_CHW)
                grey &= picture.grey
                if part is source.train:
                    sizes.append((picture.width, picture.height))
            done += 1
            if done % _TOLD == 0 or done == total:
                on_progress(done, total)
        omitted.append(tuple(rows))
    if broken and (not made_of.skip_broken or not sizes):
        raise ValueError(_broken_text(broken, total, source.name))
    width, height = np.median(sizes, axis=0).astype(int).tolist()
    return _Decoded(
        omitted=tuple(omitted), grey=grey, width=width, height=height, scattered=scattered, facts=source.facts
    )


def _image_data(source: DataSource, made_of: MadeOf, images: Images, decoded: _Decoded | FileDetails) -> ImageData:
    loaded: list[LabelledImages] = []
    start = 0
    for part, omitted in zip(_parts(source), decoded.omitted, strict=True):
        labels_N = np.delete(part.labels_N, omitted)
        loaded.append(LabelledImages(images, labels_N, np.arange(start, start + len(labels_N))))
        start += len(labels_N)
    return ImageData(
        name=source.name,
        train=loaded[0],
        test=loaded[1] if len(loaded) > 1 and len(loaded[1]) else None,
        class_names=source.class_names,
        grey=decoded.grey,
        resize=made_of.resize,
        rules=made_of.rules,
        omitted=sum(map(len, decoded.omitted)),
        width=decoded.width,
        height=decoded.height,
        depth=made_of.depth,
        facts=decoded.facts,
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


def _read(pictures: Pictures, made_of: MadeOf) -> Iterator[tuple[Entry, tuple[Pixels, Picture] | str]]:
    """Each picture, and its `image_of`; on all cores."""
    pool, ahead = ThreadPoolExecutor(file_threads()), deque[tuple[Entry, Future[tuple[Pixels, Picture] | str]]]()
    try:
        for entry in pictures:
            image = pool.submit(image_of, entry, made_of.size, made_of.resize, made_of.rules, made_of.depth)
            ahead.append((entry, image))
            if len(ahead) == _AT_ONCE:
                entry, image = ahead.popleft()
                yield entry, image.result()
        while ahead:
            entry, image = ahead.popleft()
            yield entry, image.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _lies_outside(entry: Entry, root: Path) -> bool:
    """Whether a picture is a file that is not in the folder of its data set."""
    if not entry or isinstance(entry, Image.Image) or entry.get("bytes") is not None or not entry.get("path"):
        return False
    return not os.path.abspath(entry["path"]).startswith(str(root.absolute()) + os.sep)


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
