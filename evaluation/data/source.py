"""Any image-classification data set: scikit-learn's digits, a local path, or a hub name.

A source is opened once and described; `evaluation.data.loading` loads its images. Start with `open_source`. Shape
suffix: N images.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

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
from evaluation.data.depth import any_deep, find_depth
from evaluation.data.description import LOOKED_AT, ImageSource, look_at
from evaluation.data.facts import DIGITS, DatasetFacts
from evaluation.data.folders.files import FilePictures
from evaluation.data.folders.layouts import FileSplit
from evaluation.data.folders.roles import choose_test_split, choose_train_split, code_of
from evaluation.data.folders.twins import twins_text
from evaluation.data.pictures import BrokenPictureError, Depth, Entry, Pictures, read_picture
from evaluation.data.published import PublishedPictures, published_splits
from evaluation.data.rules import LATEST_RULES
from search_space.boundary.text import one_line


@dataclass(frozen=True)
class Part:
    """One published split: pictures and their labels."""

    name: str
    pictures: Pictures
    labels_N: npt.NDArray[np.int64]
    """Class indices in [0, number of classes)."""

    def __len__(self) -> int:
        return len(self.labels_N)


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What of a data set a user asked for; as for `open_source`."""

    image_column: str | None = None
    label_column: str | None = None
    train_split: str | None = None
    test_split: str | None = None


ALL = Asked()


class DataSource:
    """A data set that was opened: its pictures are read when they are loaded.

    Args:
        name: as the user gave it.
        train: the published split that is trained on.
        test: the published test split, if there is one with labels.
        class_names: in the order of the labels' indices.
        left_out: published splits that are not used, each with the reason.
        asked: what of it the user asked for.
    """

    def __init__(
        self,
        name: str,
        train: Part,
        *,
        test: Part | None,
        class_names: tuple[str, ...],
        left_out: tuple[str, ...] = (),
        asked: Asked = ALL,
    ) -> None:
        self.name, self.train, self.test = name, train, test
        self.class_names, self.left_out = class_names, left_out
        self.asked = asked

    def describe(self) -> ImageSource:
        """What its images are like, from all labels and some 200 pictures; read once.

        Raises:
            ValueError: if none of these can be read.
        """
        return self._description

    @cached_property
    def _description(self) -> ImageSource:
        train = self.train
        try:
            looks = look_at(self._some, depth=self.depth)
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
            warnings=looks.warnings,
        )

    @cached_property
    def facts(self) -> DatasetFacts:
        """What is kept of it with all that is made from it; its pictures are looked at for that.

        Raises:
            ValueError: as `describe`.
        """
        train, test, count = self.train, self.test, len(self.class_names)
        twins = twins_text((train.pictures, train.labels_N), None if test is None else (test.pictures, test.labels_N))
        return DatasetFacts(
            train_split=train.name,
            test_split=None if test is None else test.name,
            images_of_class=tuple(np.bincount(train.labels_N, minlength=count).tolist()),
            test_images_of_class=() if test is None else tuple(np.bincount(test.labels_N, minlength=count).tolist()),
            left_out=self.left_out,
            warnings=(*self.describe().warnings, *twins),
        )

    @cached_property
    def depth(self) -> Depth | None:
        """Scale of pictures of more than 8 bits a pixel; None where there are none among some 200."""
        return find_depth(self.train.pictures) if any_deep(self._some) else None

    @property
    def _some(self) -> list[Entry]:
        """Some 200 training pictures, always the same."""
        rows = np.random.default_rng(0).permutation(len(self.train))[:LOOKED_AT]
        return [self.train.pictures[int(row)] for row in np.sort(rows)]

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
                picture = read_picture(self.train.pictures[int(row)], rules=LATEST_RULES, depth=self.depth)
            except BrokenPictureError:
                continue
            found.append((self.class_names[labels_N[row]], picture.image))
        return found


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
    asked = Asked(image_column=image_column, label_column=label_column, train_split=train_split, test_split=test_split)
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
    else:
        _check_no_columns(image_column, label_column, where)
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
        asked=asked,
    )


class NamesDataset(Protocol):
    """Settings that name a data set, and what is meant by it."""

    @property
    def dataset(self) -> str:
        """As for `open_source`."""

    @property
    def image_column(self) -> str | None:
        """Column of images."""

    @property
    def label_column(self) -> str | None:
        """Column of labels."""

    @property
    def train_split(self) -> str | None:
        """Published split to train on."""

    @property
    def test_split(self) -> str | None:
        """Published split to test on."""


def source_of(settings: NamesDataset) -> DataSource:
    """The data set that settings name, opened.

    Raises:
        ValueError: as `open_source`.
    """
    return open_source(
        settings.dataset,
        image_column=settings.image_column,
        label_column=settings.label_column,
        train_split=settings.train_split,
        test_split=settings.test_split,
    )


def _check_no_columns(image_column: str | None, label_column: str | None, where: str) -> None:
    for kind, asked in (("image", image_column), ("label", label_column)):
        # Hugging Face `datasets` calls them so.
        if asked not in (None, kind):
            raise ValueError(
                f"`--{kind}-column` must go with a table, but {where} holds pictures in class folders: omit it."
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
