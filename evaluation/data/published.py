"""The published splits of a data set: a local path that Hugging Face `datasets` reads, or a name on its hub."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evaluation.data.pictures import Entry
from search_space.boundary.reading import local_path
from search_space.boundary.text import reason_of, shown

_PARQUET = b"PAR1"
_PACKED = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")


def published_splits(name_or_path: str) -> dict[str, Any]:
    """The published splits by name, each a Hugging Face data set.

    Args:
        name_or_path: as for `evaluation.data.loading.load_images`.

    Raises:
        ValueError: if nothing can be loaded from there, or it is empty.
    """
    import datasets

    datasets.disable_progress_bars()
    path = local_path(name_or_path)
    rule = "a data set must be `digits`, a local path or a name on the Hugging Face hub"
    if not name_or_path.strip() or (not path.exists() and _looks_like_path(name_or_path)):
        raise ValueError(f"{rule}, but the path {shown(name_or_path)} does not exist.")
    try:
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
    except Exception as error:
        raise ValueError(f"{rule}, but {shown(name_or_path)} could not be loaded: {_reason(error, path)}") from None
    splits = dict(loaded) if isinstance(loaded, datasets.DatasetDict) else {"train": loaded}
    if not splits or not all(len(split) for split in splits.values()):
        raise ValueError(f"a data set must hold images, but {shown(name_or_path)} is empty.")
    return {name: split.with_format(None) for name, split in splits.items()}


def fingerprint_of(splits: Sequence[Any]) -> str:
    """What tells published splits from others, as `datasets` knows them."""
    return " ".join(split._fingerprint for split in splits)


class PublishedPictures:
    """The pictures of a published split, in the order of its rows; implements `evaluation.data.pictures.Pictures`."""

    def __init__(self, split: Any, column: str) -> None:
        import datasets

        if isinstance(split.features[column], datasets.Image):
            split = split.cast_column(column, datasets.Image(decode=False))
        self._split, self._column = split.select_columns([column]), column

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
    reason = reason_of(cause)
    packed = sorted(one.name for one in path.iterdir() if one.suffix in _PACKED) if path.is_dir() else []
    return f"{reason.rstrip('.')}. Unpack {packed[0]}, and remove it from the folder." if packed else reason


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


def _looks_like_path(text: str) -> bool:
    return (
        text.startswith(("/", ".", "~")) or (text.count("/") != 1 and "/" in text) or "\\" in text or text.endswith("/")
    )
