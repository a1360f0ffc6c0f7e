"""Any image-classification data set: scikit-learn's digits, a local path, or a hub name.

A source is opened once and described; `evaluation.data.loading` loads its images. Start with `open_source`. Shape
suffix: N images.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from PIL import Image

from evaluation.data.columns import (
    check_columns,
    chosen_column,
    find_class_names,
    image_columns,
    is_unlabelled,
    label_columns,
    labels_of,
)
from evaluation.data.description import LOOKED_AT, ImageSource, look_at
from evaluation.data.pictures import BrokenPictureError, Pictures, read_picture
from evaluation.data.published import PublishedPictures, fingerprint_of, published_splits
from evaluation.data.rules import LATEST_RULES

DIGITS = "digits"
"""The data set that comes with scikit-learn."""


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
        columns: of images and of labels, as the user gave them.
        fingerprint: of a data set of the hub; None for others.
    """

    def __init__(
        self,
        name: str,
        train: Part,
        *,
        test: Part | None,
        class_names: tuple[str, ...],
        left_out: tuple[str, ...] = (),
        columns: tuple[str | None, str | None] = (None, None),
        fingerprint: str | None = None,
    ) -> None:
        self.name, self.train, self.test = name, train, test
        self.class_names, self.left_out = class_names, left_out
        self.columns, self.fingerprint = columns, fingerprint

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


def open_source(name_or_path: str, *, image_column: str | None = None, label_column: str | None = None) -> DataSource:
    """Find pictures, labels and classes of a data set; no picture is read yet.

    Args:
        name_or_path: `digits`, a local path (what Hugging Face `datasets` reads: a folder of parquet files, of images
            in one folder a class, or one made by `save_to_disk`; a parquet file), or a name on the Hugging Face hub.
        image_column: column of images, where a data set has several.
        label_column: column of labels, where a data set has several.

    Raises:
        ValueError: if nothing can be loaded from there, it is not clear which columns hold images and labels, there are
            fewer than two classes, or a label is of no class; row and split are named.
    """
    if name_or_path == DIGITS:
        return _digits()
    splits = published_splits(name_or_path)
    train_name = "train" if "train" in splits else next(iter(splits))
    test_name = next((name for name in ("test", "validation", "valid", "val") if name in splits), None)
    if test_name == train_name:
        test_name = None
    train = splits[train_name]
    where, columns = repr(name_or_path), (image_column, label_column)
    image_column = chosen_column("image", image_column, image_columns(train), train, where)
    label_column = chosen_column("label", label_column, label_columns(train), train, where)
    class_names = find_class_names(train, label_column, where)
    parts: dict[str, Part] = {}
    left_out = [f"`{name}` ({len(split):,})" for name, split in splits.items() if name not in (train_name, test_name)]
    for name in (train_name, test_name):
        if name is None:
            continue
        split, place = splits[name], f"split `{name}` of {where}"
        check_columns(split, image_column, label_column, place)
        if name == train_name or not is_unlabelled(split, label_column):
            labels_N = labels_of(split, label_column, class_names, place)
            parts[name] = Part(name, PublishedPictures(split, image_column), labels_N)
        else:
            left_out.append(f"`{name}` ({len(split):,}, without labels)")
    return DataSource(
        name_or_path,
        parts[train_name],
        test=None if test_name is None else parts.get(test_name),
        class_names=class_names,
        left_out=tuple(left_out),
        columns=columns,
        fingerprint=fingerprint_of([splits[name] for name in (train_name, test_name) if name is not None]),
    )


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


def _digits() -> DataSource:
    from sklearn.datasets import load_digits

    digits = load_digits()
    pictures = [Image.fromarray(np.uint8(np.round(image * (255 / 16)))) for image in digits.images]
    train = Part("train", pictures, digits.target.astype(np.int64))
    return DataSource(DIGITS, train, test=None, class_names=tuple("0123456789"))
