"""Any image-classification data set as uint8 arrays: scikit-learn's digits, a local path, or a hub name.

Image and label columns are found by feature type, whatever their names. Images are cropped to a square, resized,
and held as RGB. Start with `load_images`. Shape suffixes: N images, C channels, H height, W width.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

Progress = Callable[[int, int], None]
"""Called with the number of images decoded so far, and their total."""


@dataclass(frozen=True)
class LabelledImages:
    """Images and labels of one published split."""

    images_NCHW: npt.NDArray[np.uint8]
    """RGB, shape (N, 3, H, W), 0-255."""
    labels_N: npt.NDArray[np.int64]
    """Class indices in [0, number of classes)."""

    def __len__(self) -> int:
        return len(self.labels_N)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageData:
    """A data set as it was published."""

    name: str
    train: LabelledImages
    test: LabelledImages | None
    """The published test split, if there is one with labels."""
    class_names: tuple[str, ...]
    grey: bool
    """Whether all images are grey."""


def load_images(
    name_or_path: str,
    *,
    size: int,
    image_column: str | None = None,
    label_column: str | None = None,
    on_progress: Progress = lambda done, total: None,
) -> ImageData:
    """Load a data set and resize its images.

    Args:
        name_or_path: `digits`, a local path (what Hugging Face `datasets` reads: a folder of parquet files, of images
            in one folder a class, or one made by `save_to_disk`; a parquet file), or a name on the Hugging Face hub.
        size: height and width to resize to.
        image_column: column of images, where a data set has several.
        label_column: column of labels, where a data set has several.
        on_progress: called now and then while images are decoded.

    Raises:
        ValueError: if nothing can be loaded from there, it is not clear which columns hold images and labels, there are
            fewer than two classes, a label is of no class, or an image is corrupt; row and split are named.
    """
    if name_or_path == "digits":
        return _load_digits(size)
    splits = _load_splits(name_or_path)
    train_name = "train" if "train" in splits else next(iter(splits))
    test_name = next((name for name in ("test", "validation", "valid", "val") if name in splits), None)
    if test_name == train_name:
        test_name = None
    train = splits[train_name]
    where = repr(name_or_path)
    image_column = _chosen("image", image_column, _image_columns(train), train, where)
    label_column = _chosen("label", label_column, _label_columns(train), train, where)
    class_names = _class_names(train, label_column, where)
    labels: dict[str, npt.NDArray[np.int64]] = {}
    for name in (train_name, test_name):
        if name is None:
            continue
        _check_columns(splits[name], image_column, label_column, f"split `{name}` of {where}")
        if name == train_name or not _is_unlabelled(splits[name], label_column):
            labels[name] = _labels(splits[name], label_column, class_names, f"split `{name}` of {where}")
    total = sum(len(labels_N) for labels_N in labels.values())
    parts: dict[str, LabelledImages] = {}
    done, grey = 0, True
    for name, labels_N in labels.items():
        images_NCHW = np.empty((len(labels_N), 3, size, size), np.uint8)
        for row, (pixels_CHW, is_grey) in enumerate(_decoded(splits[name], image_column, size, name, where)):
            images_NCHW[row] = pixels_CHW
            grey &= is_grey
            done += 1
            if done % 500 == 0 or done == total:
                on_progress(done, total)
        parts[name] = LabelledImages(images_NCHW, labels_N)
    return ImageData(
        name=name_or_path, train=parts[train_name], test=parts.get(test_name or ""), class_names=class_names, grey=grey
    )


def _load_digits(size: int) -> ImageData:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.stack(
        [_pixels(Image.fromarray(np.uint8(np.round(image * (255 / 16)))), size)[0] for image in digits.images]
    )
    labels = digits.target.astype(np.int64)
    return ImageData(
        name="digits", train=LabelledImages(images, labels), test=None, class_names=tuple("0123456789"), grey=True
    )


def _load_splits(name_or_path: str) -> dict[str, Any]:
    """The published splits, each a Hugging Face data set."""
    import datasets

    datasets.disable_progress_bars()
    path = Path(name_or_path).expanduser()
    rule = "a data set must be `digits`, a local path or a name on the Hugging Face hub"
    if not name_or_path.strip() or (not path.exists() and _looks_like_path(name_or_path)):
        raise ValueError(f"{rule}, but the path {name_or_path!r} does not exist.")
    try:
        with _quiet("datasets", "huggingface_hub"):
            if path.is_dir() and any((path / name).is_file() for name in ("dataset_dict.json", "state.json")):
                loaded = datasets.load_from_disk(str(path))
            elif path.is_dir():
                loaded = datasets.load_dataset(str(path))
            elif path.exists():
                loaded = datasets.load_dataset("parquet", data_files=str(path))
            else:
                loaded = datasets.load_dataset(name_or_path)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"{rule}, but {name_or_path!r} could not be loaded: {reason}") from None
    splits = dict(loaded) if isinstance(loaded, datasets.DatasetDict) else {"train": loaded}
    if not splits or not all(len(split) for split in splits.values()):
        raise ValueError(f"a data set must hold images, but {name_or_path!r} is empty.")
    return {name: split.with_format(None) for name, split in splits.items()}


@contextmanager
def _quiet(*loggers: str) -> Iterator[None]:
    """No log lines of libraries that also raise what they log."""
    levels = {logger: logger.level for logger in map(logging.getLogger, loggers)}
    try:
        for logger in levels:
            logger.setLevel(logging.CRITICAL)
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


def _looks_like_path(text: str) -> bool:
    return (
        text.startswith(("/", ".", "~")) or (text.count("/") != 1 and "/" in text) or "\\" in text or text.endswith("/")
    )


def _image_columns(split: Any) -> list[str]:
    """Columns that hold images by their feature type."""
    import datasets

    columns = [name for name, feature in split.features.items() if isinstance(feature, datasets.Image)]
    return columns or [
        name
        for name, feature in split.features.items()
        if isinstance(feature, dict) and {"bytes", "path"} <= feature.keys()
    ]


def _label_columns(split: Any) -> list[str]:
    """Columns of class labels, or without any those of whole numbers or text."""
    import datasets

    columns = [name for name, feature in split.features.items() if isinstance(feature, datasets.ClassLabel)]
    return columns or [
        name
        for name, feature in split.features.items()
        if isinstance(feature, datasets.Value)
        and (feature.dtype.startswith(("int", "uint")) or "string" in feature.dtype)
    ]


def _chosen(kind: str, asked: str | None, candidates: list[str], split: Any, where: str) -> str:
    """The column that was asked for, or the only candidate."""
    if asked is not None and asked in candidates:
        return asked
    if asked is None and len(candidates) == 1:
        return candidates[0]
    if asked is not None:
        raise ValueError(
            f"`--{kind}-column` must name a column of {kind}s, but {where} has none named {asked!r}; "
            f"its columns are {_columns(split)}."
        )
    remedy = f"Choose one of {', '.join(candidates)} by --{kind}-column." if candidates else "Is it one to classify?"
    what = "class labels" if kind == "label" else "images"
    raise ValueError(
        f"a data set must have one column of {what}, but {where} has {len(candidates)}; "
        f"its columns are {_columns(split)}. {remedy}"
    )


def _columns(split: Any) -> str:
    return ", ".join(
        f"{name} ({getattr(feature, 'dtype', type(feature).__name__)})" for name, feature in split.features.items()
    )


def _class_names(split: Any, column: str, where: str) -> tuple[str, ...]:
    import datasets

    feature = split.features[column]
    if isinstance(feature, datasets.ClassLabel):
        names = tuple(str(name) for name in feature.names)
    else:
        names = tuple(str(value) for value in sorted(value for value in split.unique(column) if not _is_missing(value)))
    if len(names) < 2:
        raise ValueError(f"a data set must have two or more classes, but {where} has {len(names)}.")
    return names


def _is_missing(value: str | int | None) -> bool:
    """Whether a label stands for none, as -1 does on the Hugging Face hub."""
    return value is None or (isinstance(value, int) and value < 0)


def _is_unlabelled(split: Any, column: str) -> bool:
    return all(_is_missing(value) for value in split.unique(column))


def _check_columns(split: Any, image_column: str, label_column: str, where: str) -> None:
    for kind, column in (("image", image_column), ("label", label_column)):
        if column not in split.features:
            raise ValueError(f"{where} must have the {kind} column {column!r}, but has {_columns(split)}.")


def _labels(split: Any, column: str, class_names: tuple[str, ...], where: str) -> npt.NDArray[np.int64]:
    """Indices into `class_names`, which are found by name: splits may number their classes differently."""
    import datasets

    feature = split.features[column]
    index_of: dict[Any, int] = {name: index for index, name in enumerate(class_names)}
    if isinstance(feature, datasets.ClassLabel):
        index_of = {value: index_of[name] for value, name in enumerate(feature.names) if name in index_of}
    else:
        index_of = {value: index_of[str(value)] for value in split.unique(column) if str(value) in index_of}
    labels_N = np.empty(len(split), np.int64)
    for row, value in enumerate(split[column][:]):
        if _is_missing(value) or value not in index_of:
            few = ", ".join(class_names[:5]) + (", ..." if len(class_names) > 5 else "")
            raise ValueError(
                f"every label must be one of the {len(class_names)} classes ({few}), "
                f"but row {row} of {where} has {value!r}."
            )
        labels_N[row] = index_of[value]
    return labels_N


def _decoded(
    split: Any, column: str, size: int, split_name: str, where: str
) -> Iterator[tuple[npt.NDArray[np.uint8], bool]]:
    """Pixels (3, H, W) of each row, and whether the image is grey."""
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
                return _pixels(image, size)
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


def _pixels(image: Image.Image, size: int) -> tuple[npt.NDArray[np.uint8], bool]:
    """RGB pixels (3, size, size) of the central square, and whether the image is grey."""
    grey = image.mode in ("1", "L", "LA", "I", "F") or image.mode.startswith("I;16")
    if image.mode.startswith("I"):
        wide = np.asarray(image, np.int64)
        image = Image.fromarray(np.uint8(wide >> 8 if wide.max(initial=0) > 255 else wide))
    if image.mode == "P":
        image = image.convert("RGBA")
    image = ImageOps.fit(image.convert("RGB"), (size, size), Image.Resampling.BICUBIC)
    return np.asarray(image, np.uint8).transpose(2, 0, 1), grey
