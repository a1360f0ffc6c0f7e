"""Any image-classification data set as uint8 arrays: scikit-learn's digits, a local path, or a hub name.

A source is opened once, described, and its images are loaded at the size that a network takes: square, RGB. Start with
`open_source`. Shape suffixes: N images, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from evaluation.data.columns import (
    NO_LABEL,
    Labels,
    as_places,
    check_all_labelled,
    check_columns,
    chosen_column,
    image_columns,
    label_columns,
    read_labels,
    used_classes,
)
from evaluation.data.description import LOOKED_AT, ImageSource, look_at
from evaluation.data.images import ImageData, LabelledImages, Progress
from evaluation.data.layouts import FileSplit
from evaluation.data.pictures import BrokenPictureError, Entry, Picture, Pictures, read_picture, square
from evaluation.data.published import FilePictures, PublishedPictures, published_splits
from evaluation.data.roles import choose_test_split, choose_train_split, code_of
from evaluation.data.rules import LATEST_RULES, Resize, Rules
from search_space.boundary.text import one_line

DIGITS = "digits"
"""The data set that comes with scikit-learn."""
NAMED = 5
"""Broken pictures that a message names."""
_AT_ONCE = 500

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Part:
    """One published split: pictures and their labels."""

    name: str
    pictures: Pictures
    labels_N: npt.NDArray[np.int64]
    """Class indices in [0, number of classes)."""

    def __len__(self) -> int:
        return len(self.labels_N)


class DataSource:
    """A data set that was opened: its pictures are read when they are loaded.

    Args:
        name: as the user gave it.
        train: the published split that is trained on.
        test: the published test split, if there is one with labels.
        class_names: in the order of the labels' indices.
        left_out: published splits that are not used, each with the reason.
    """

    def __init__(
        self,
        name: str,
        train: Part,
        *,
        test: Part | None,
        class_names: tuple[str, ...],
        left_out: tuple[str, ...] = (),
    ) -> None:
        self.name, self.train, self.test = name, train, test
        self.class_names, self.left_out = class_names, left_out

    def describe(self) -> ImageSource:
        """What its images are like, from all labels and some 200 pictures; read once.

        Raises:
            ValueError: if none of these can be read.
        """
        return self._description

    @cached_property
    def _description(self) -> ImageSource:
        train = self.train
        rows = np.random.default_rng(0).permutation(len(train))[:LOOKED_AT]
        try:
            looks = look_at([train.pictures[int(row)] for row in np.sort(rows)])
        except BrokenPictureError as error:
            raise ValueError(f"a data set must hold images, but of {self.name!r} {error}.") from None
        return ImageSource(
            name=self.name,
            images=len(train),
            classes=self.class_names,
            images_of_class=tuple(np.bincount(train.labels_N, minlength=len(self.class_names)).tolist()),
            width=looks.width,
            height=looks.height,
            aspect=looks.aspect,
            portrait=looks.portrait,
            landscape=looks.landscape,
            detail=looks.detail,
            train_split=train.name,
            test_split=None if self.test is None else self.test.name,
            test_images=0 if self.test is None else len(self.test),
            left_out=self.left_out,
        )

    def samples(self, count: int) -> list[tuple[str, Image.Image]]:
        """Training pictures in RGB with the names of their classes: of as many classes as there are, always the same.

        Those that cannot be read are passed over.
        """
        labels_N = self.train.labels_N
        order = np.random.default_rng(1).permutation(len(labels_N))
        turn_N = np.empty(len(labels_N), np.int64)
        for place in range(len(self.class_names)):
            of_class = order[labels_N[order] == place]
            turn_N[of_class] = np.arange(len(of_class))
        found: list[tuple[str, Image.Image]] = []
        for row in np.lexsort((labels_N, turn_N)):
            if len(found) == count:
                break
            try:
                picture = read_picture(self.train.pictures[int(row)], rules=LATEST_RULES)
            except BrokenPictureError:
                continue
            found.append((self.class_names[labels_N[row]], picture.image))
        return found

    def load(
        self,
        size: int,
        *,
        resize: Resize | None = None,
        rules: Rules = LATEST_RULES,
        skip_broken: bool = False,
        on_progress: Progress = lambda done, total: None,
    ) -> ImageData:
        """Read all pictures.

        Args:
            size: height and width of the images in pixels.
            resize: how pictures are made square; by default as its description says.
            rules: version of the rules for pixels.
            skip_broken: whether pictures that cannot be read are left out.
            on_progress: called now and then with pictures read so far, and their total.

        Raises:
            ValueError: if pictures cannot be read; the first of them are named.
        """
        resize = resize or self.describe().resize
        parts = [part for part in (self.train, self.test) if part is not None]
        total = sum(map(len, parts))
        loaded: list[LabelledImages] = []
        broken: list[str] = []
        done, grey = 0, True
        sizes: list[tuple[int, int]] = []
        for part in parts:
            images_NCHW = np.empty((len(part), 3, size, size), np.uint8)
            kept: list[int] = []
            for row, found in enumerate(_read(part.pictures, size, resize, rules)):
                if isinstance(found, str):
                    broken.append(f"row {row}{_path_of(part.pictures[row])} of split `{part.name}`: {found}")
                else:
                    images_NCHW[len(kept)], picture = found
                    kept.append(row)
                    grey &= picture.grey
                    if part is self.train:
                        sizes.append((picture.width, picture.height))
                done += 1
                if done % _AT_ONCE == 0 or done == total:
                    on_progress(done, total)
            loaded.append(LabelledImages(images_NCHW[: len(kept)], part.labels_N[kept]))
        if broken and (not skip_broken or not len(loaded[0])):
            raise ValueError(_broken_text(broken, total, self.name))
        width, height = np.median(sizes, axis=0).astype(int).tolist()
        return ImageData(
            name=self.name,
            train=loaded[0],
            test=loaded[1] if len(loaded) > 1 and len(loaded[1]) else None,
            class_names=self.class_names,
            grey=grey,
            resize=resize,
            rules=rules,
            omitted=len(broken),
            width=width,
            height=height,
        )


def open_source(
    name_or_path: str,
    *,
    image_column: str | None = None,
    label_column: str | None = None,
    train_split: str | None = None,
    test_split: str | None = None,
) -> DataSource:
    """Find pictures, labels and classes of a data set; no picture is read yet.

    Args:
        name_or_path: `digits`, a local path (docs/data.md: pictures in one folder a class, with split folders above
            or with metadata files; a folder of parquet or arrow files; one made by `save_to_disk`; a parquet
            file), or a name on the Hugging Face hub.
        image_column: column of images, where a data set has several.
        label_column: column of labels, where a data set has several.
        train_split: the published split that is trained on, where names do not tell; `all` where no folder is a split.
        test_split: the published split that is tested on, where names do not tell; `none` to hold images out.

    Raises:
        ValueError: if nothing can be loaded from there, it is not clear which columns hold images and labels or which
            splits train and test, there are fewer than two classes, or a label is of no class.
    """
    if name_or_path == DIGITS:
        return _digits(train_split, test_split)
    published = published_splits(
        name_or_path, label_column=label_column, train_split=train_split, test_split=test_split
    )
    splits, where = published.splits, repr(name_or_path)
    sizes = {name: _split_size(split) for name, split in splits.items()}
    train = choose_train_split(sizes, asked=train_split, where=where)
    first = splits[train]
    if not isinstance(first, FileSplit):
        image_column = chosen_column("image", image_column, image_columns(first), first, where)
        label_column = chosen_column("label", label_column, label_columns(first), first, where)
    elif label_column is not None or image_column is not None:
        raise ValueError(
            f"`--{'image' if label_column is None else 'label'}-column` must go with a table, but {where} is a folder "
            "of pictures in class folders: omit it."
        )
    labels = {name: _labels(split, label_column) for name, split in splits.items()}
    labelled = [name for name, own in labels.items() if own.any]
    if train not in labelled:
        raise ValueError(
            f"images that are trained on must have labels, but those of {code_of(train)} of {where} have none."
        )
    test = choose_test_split(sizes, labelled, train=train, asked=test_split, where=where)
    class_names, unused = used_classes(labels[train], where)
    parts: dict[str, Part] = {}
    for name in (train,) if test is None else (train, test):
        split, place = splits[name], f"split {code_of(name)} of {where}"
        values = None if isinstance(split, FileSplit) else split[label_column][:]
        check_all_labelled(labels[name], values, place)
        parts[name] = Part(name, _pictures(split, image_column, place), as_places(labels[name], class_names, place))
    left_out = [
        f"{code_of(name)} ({size:,}{'' if name in labelled else ', without labels'})"
        for name, size in sizes.items()
        if name not in parts
    ]
    if unused:
        few = ", ".join(one_line(name, most=40) for name in unused[:3]) + (", ..." if len(unused) > 3 else "")
        left_out.append(f"{len(unused):,} class{'es' * (len(unused) != 1)} without training images ({few})")
    return DataSource(
        name_or_path,
        parts[train],
        test=None if test is None else parts[test],
        class_names=class_names,
        left_out=(*left_out, *published.notes),
    )


def _split_size(split: Any) -> int:
    return len(split.paths) if isinstance(split, FileSplit) else len(split)


def _labels(split: Any, column: str | None) -> Labels:
    if not isinstance(split, FileSplit):
        assert column is not None, "the column is chosen by now"
        return read_labels(split, column)
    if split.labels is None:
        return Labels(names=(), labels_N=np.full(len(split.paths), NO_LABEL))
    names, labels_N = np.unique(split.labels, return_inverse=True)
    return Labels(names=tuple(map(str, names)), labels_N=labels_N.astype(np.int64))


def _pictures(split: Any, column: str | None, where: str) -> Pictures:
    if isinstance(split, FileSplit):
        return FilePictures(split.paths)
    assert column is not None, "the column is chosen by now"
    check_columns(split, column, where)
    return PublishedPictures(split, column)


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
        name_or_path: as for `open_source`, and so are the columns.
        size: height and width of the images in pixels.
        resize: as for `DataSource.load`, and so are the last two.
        image_column: column of images, where a data set has several.
        label_column: column of labels, where a data set has several.
        train_split: as for `open_source`, and so is the next.
        test_split: as for `open_source`.
        skip_broken: whether pictures that cannot be read are left out.
        on_progress: called now and then while pictures are read.

    Raises:
        ValueError: as `open_source` and `DataSource.load`.
    """
    source = open_source(
        name_or_path,
        image_column=image_column,
        label_column=label_column,
        train_split=train_split,
        test_split=test_split,
    )
    return source.load(size, resize=resize, skip_broken=skip_broken, on_progress=on_progress)


def describe_images(
    name_or_path: str, *, image_column: str | None = None, label_column: str | None = None
) -> ImageSource:
    """What the images of a data set are like, where nothing else is wanted of it.

    Args:
        name_or_path: as for `open_source`, and so are the columns.
        image_column: column of images, where a data set has several.
        label_column: column of labels, where a data set has several.

    Raises:
        ValueError: as `open_source` and `DataSource.describe`.
    """
    return open_source(name_or_path, image_column=image_column, label_column=label_column).describe()


def _digits(train_split: str | None, test_split: str | None) -> DataSource:
    choose_train_split({"train": 1797}, asked=train_split, where="digits")
    choose_test_split({"train": 1797}, ["train"], train="train", asked=test_split, where="digits")
    from sklearn.datasets import load_digits

    digits = load_digits()
    pictures = [Image.fromarray(np.uint8(np.round(image * (255 / 16)))) for image in digits.images]
    train = Part("train", pictures, digits.target.astype(np.int64))
    return DataSource(DIGITS, train, test=None, class_names=tuple("0123456789"))


def _read(pictures: Pictures, size: int, resize: Resize, rules: Rules) -> Iterator[tuple[Pixels, Picture] | str]:
    """Pixels (3, H, W) of each picture, and the picture; or why it cannot be read."""

    def read(entry: Entry) -> tuple[Pixels, Picture] | str:
        try:
            # At twice the size, a fraction of JPEG's resolution changes pixels by less than the file's own noise.
            picture = read_picture(entry, rules=rules, least_side=2 * size)
        except BrokenPictureError as error:
            return str(error)
        return np.asarray(square(picture.image, size, resize), np.uint8).transpose(2, 0, 1), picture

    with ThreadPoolExecutor() as pool:
        for entries in _chunks(pictures, _AT_ONCE):
            yield from pool.map(read, entries)


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
