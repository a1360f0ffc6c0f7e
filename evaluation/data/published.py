"""The published splits of a data set: a folder of pictures or tables, a saved data set, or a name on a hub."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.data.columns import label_columns
from evaluation.data.facts import DIGITS
from evaluation.data.folders.layouts import FileSplit, find_layout
from evaluation.data.folders.listing import read_folder
from evaluation.data.folders.roles import UnclearError, code_of
from evaluation.data.folders.tables import describes_splits, metadata_splits, table_splits
from evaluation.data.pictures import Entry
from search_space.boundary.reading import local_path
from search_space.boundary.text import one_line, reason_of, shown

_PARQUET = b"PAR1"
_HUB_NAME = re.compile(r"(?:[A-Za-z0-9][\w.-]{0,95}/)?[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
"""`name` or `owner/name`, each of at most 96 characters."""
_PACKED = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """The published splits of a data set."""

    splits: Mapping[str, Any]
    """By name, each a Hugging Face data set, or a `FileSplit` of a folder of pictures."""
    notes: tuple[str, ...] = ()
    """What was left out."""


def published_splits(
    name_or_path: str,
    *,
    label_column: str | None = None,
    train_split: str | None = None,
    test_split: str | None = None,
) -> Published:
    """The published splits, and what was left out.

    Args:
        name_or_path: as for `evaluation.data.source.open_source`.
        label_column: what the user named, and so are the splits.
        train_split: what the user named.
        test_split: what the user named.

    Raises:
        ValueError: if nothing can be loaded from there, it is empty, or it cannot be told what its folders are.
    """
    path = local_path(name_or_path)
    rule = "a data set must be `digits`, a local path or a name on the Hugging Face hub"
    if not name_or_path.strip() or (not os.path.exists(path) and _HUB_NAME.fullmatch(name_or_path) is None):
        raise ValueError(f"{rule}, but the path {shown(name_or_path)} does not exist.")
    try:
        if path.is_dir() and not any((path / name).is_file() for name in ("dataset_dict.json", "state.json")):
            with quiet("datasets"):
                found = _of_folder(path, label_column, train_split, test_split)
        else:
            found = Published(splits=_of_library(name_or_path, path))
    except UnclearError as error:
        raise ValueError(f"in {shown(name_or_path)}, {one_line(error, most=800)}.") from None
    except Exception as error:
        raise ValueError(f"{rule}, but {shown(name_or_path)} could not be loaded: {_reason(error, path)}.") from None
    if not found.splits or not any(map(_size, found.splits.values())):
        raise ValueError(f"a data set must hold images, but {shown(name_or_path)} is empty.")
    empty = [f"{code_of(name)} (empty)" for name, split in found.splits.items() if not _size(split)]
    splits = {name: split for name, split in found.splits.items() if _size(split)}
    return Published(splits=splits, notes=(*empty, *found.notes))


def hub_notice(name_or_path: str) -> str | None:
    """What to say before the hub is asked, which takes minutes for many images and half a minute for a wrong name.

    Returns:
        None where nothing is asked: for `digits`, a local path, and what cannot be a name.
    """
    if name_or_path == DIGITS or _HUB_NAME.fullmatch(name_or_path) is None or os.path.exists(local_path(name_or_path)):
        return None
    return f"There is no file or folder {shown(name_or_path)} here: asking the Hugging Face hub for that data set."


def _size(split: Any) -> int:
    return len(split.paths) if isinstance(split, FileSplit) else len(split)


def _of_folder(path: Path, label_column: str | None, train_split: str | None, test_split: str | None) -> Published:
    folder = read_folder(path)
    images, tables = folder.all_images, folder.all_tables
    if not images and tables and not describes_splits(folder):
        return Published(splits=_plain(table_splits(folder)))
    if not images:
        packed = [name for one in folder.walk() for name in one.others if name.lower().endswith(_PACKED)]
        if packed and all(name.lower().endswith(_PACKED) or name.startswith("README") for name in folder.others):
            raise ValueError(f"a folder must hold pictures or parquet files, but holds {code_of(packed[0])} alone")
        return Published(splits=_of_library(str(path), path))
    if tables:
        raise UnclearError(
            f"a folder must hold pictures or tables, but this has {len(images):,} pictures and {len(tables):,} parquet "
            f"or arrow files, as {code_of(str(tables[0].relative_to(path)))}: move one kind away"
        )
    if folder.all_metadata:
        splits, notes = metadata_splits(folder)
        if label_column is not None or any(map(label_columns, splits.values())):
            return Published(splits=_plain(splits), notes=notes)
    layout = find_layout(folder, train_split=train_split, test_split=test_split)
    return Published(splits=layout.splits, notes=layout.notes)


def _of_library(name_or_path: str, path: Path) -> Mapping[str, Any]:
    """What Hugging Face `datasets` loads."""
    import datasets

    datasets.disable_progress_bars()
    # Not before the import, which sets the levels of loggers.
    with quiet("datasets", "huggingface_hub"):
        if path.is_dir() and any((path / name).is_file() for name in ("dataset_dict.json", "state.json")):
            loaded = datasets.load_from_disk(str(path))
        elif path.is_dir():
            loaded = datasets.load_dataset(str(path))
        elif path.exists():
            _check_parquet(path)
            loaded = datasets.load_dataset("parquet", data_files=str(path))
        else:
            loaded = datasets.load_dataset(name_or_path)
    return _plain(dict(loaded) if isinstance(loaded, datasets.DatasetDict) else {"train": loaded})


def _plain(splits: Mapping[str, Any]) -> Mapping[str, Any]:
    """Splits whose values come as Python's."""
    return {name: split.with_format(None) for name, split in splits.items()}


class PublishedPictures:
    """The pictures of a published split, in the order of its rows; implements `evaluation.data.pictures.Pictures`."""

    def __init__(self, split: Any, column: str) -> None:
        import datasets

        if isinstance(split.features[column], datasets.Image):
            split = split.cast_column(column, datasets.Image(decode=False))
        self._split, self._column = split.select_columns([column]), column

    @property
    def fingerprint(self) -> str:
        """What tells it from others, as `datasets` knows it."""
        return str(self._split._fingerprint)

    def __len__(self) -> int:
        return len(self._split)

    def __iter__(self) -> Iterator[Entry]:
        for batch in self._split.iter(batch_size=1000):
            yield from batch[self._column]

    def __getitem__(self, row: int, /) -> Entry:
        entry: Entry = self._split[row][self._column]
        return entry


def _check_parquet(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(len(_PARQUET))
    if start != _PARQUET:
        listed = " (of a list of files, as metadata.csv with a column `file_name`)" if path.suffix == ".csv" else ""
        raise ValueError(
            "a single file must be a parquet file. Else give a folder: of parquet files, of images in one folder a "
            f"class, or of images with their labels{listed}."
        )


def _reason(error: BaseException, path: Path) -> str:
    """Why a data set could not be loaded, in one line: the cause that `datasets` hides behind a general text."""
    cause = error
    while type(cause).__name__ == "DatasetGenerationError" and cause.__cause__ is not None:
        cause = cause.__cause__
    reason = reason_of(cause, most=600)
    packed = sorted(one.name for one in path.iterdir() if one.suffix in _PACKED) if path.is_dir() else []
    return f"{reason}. Unpack {one_line(packed[0])}, and remove it from the folder" if packed else reason


@contextmanager
def quiet(*loggers: str) -> Iterator[None]:
    """No log lines of libraries that also raise what they log."""
    levels = {logger: logger.level for logger in map(logging.getLogger, loggers)}
    try:
        for logger in levels:
            logger.setLevel(logging.CRITICAL)
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)
