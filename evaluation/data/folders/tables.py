"""Tables of pictures and labels in files: folders of parquet and arrow files, and metadata files beside pictures.

Start with `table_splits` and `metadata_splits`; both give Hugging Face data sets by split.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evaluation.data.folders.listing import Folder
from evaluation.data.folders.roles import UnclearError, role_of
from search_space.boundary.reading import named
from search_space.boundary.text import one_line, shown

FILE_NAME = "file_name"
_SHARD = re.compile(r"(?i)[-_.](?:\d+[-_]of[-_]\d+|\d{3,})(?:[-_.][0-9a-f]{6,})?$")


def table_splits(folder: Folder) -> dict[str, Any]:
    """The splits of a folder of parquet or arrow files: by the names of the files, or else of the folders they lie in.

    Files are splits where one of them at least is called as a split is, as `train-00000-of-00002.parquet`; else
    folders are, by the same rule; else all files are one split.

    Raises:
        UnclearError: if files of both kinds are there.
    """
    import datasets

    datasets.disable_progress_bars()
    files = sorted(folder.all_tables, key=str)
    kinds = sorted({file.suffix.lower() for file in files})
    if len(kinds) > 1:
        raise UnclearError(f"tables must be of one kind, but it holds {' and '.join(kinds)} files: remove one of them")
    by_name = {file: _SHARD.sub("", file.stem) for file in files}
    by_folder = {file: file.parent.relative_to(folder.path).parts for file in files}
    if any(role_of(name) for name in by_name.values()):
        split_of = by_name
    elif any(role_of(part) for parts in by_folder.values() for part in parts):
        split_of = {
            file: next((part for part in parts if role_of(part)), parts[-1] if parts else by_name[file])
            for file, parts in by_folder.items()
        }
    else:
        split_of = dict.fromkeys(files, "train")
    grouped: dict[str, list[str]] = {}
    for file in files:
        grouped.setdefault(split_of[file], []).append(str(file))
    # Each alone, since `datasets` allows few characters in the name of a split.
    return {
        name: datasets.load_dataset(kinds[0].removeprefix("."), data_files=group, split="train")
        for name, group in grouped.items()
    }


def metadata_splits(root: Folder) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The splits of a folder whose pictures are listed in metadata files, and what was left out.

    A column `split` says which split a picture is of; else the folder at the top that it lies in, where all of these
    are called as splits are; else there is one split.

    Raises:
        UnclearError: if a file cannot be read, has no column `file_name`, or names a picture outside its folder.
    """
    rows: list[dict[str, Any]] = []
    for path in root.all_metadata:
        rows += _rows(path)
    if not rows:
        raise UnclearError("a metadata file must list pictures, but has no rows")
    tops = [Path(row["image"]).relative_to(root.path).parts for row in rows]
    if all("split" in row and isinstance(row["split"], str) and role_of(row["split"]) for row in rows):
        names = [str(row.pop("split")) for row in rows]
    elif all(len(parts) > 1 and role_of(parts[0]) for parts in tops):
        names = [parts[0] for parts in tops]
    else:
        names = ["train"] * len(rows)
    splits = {
        name: _data_set([row for row, own in zip(rows, names, strict=True) if own == name])
        for name in dict.fromkeys(names)
    }
    listed = {row["image"] for row in rows}
    unlisted = sum(str(image) not in listed for image in root.all_images)
    note = f"{unlisted:,} picture{'s' * (unlisted != 1)} that {'is' if unlisted == 1 else 'are'} in no metadata file"
    return splits, (note,) if unlisted else ()


def _rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a metadata file, each with the path of its picture as `image`."""
    frame = _frame(path)
    if FILE_NAME not in frame.columns:
        columns = one_line(", ".join(map(str, frame.columns)))
        raise UnclearError(f"{path.name} must have the column `{FILE_NAME}`, but has {columns}")
    rows: list[dict[str, Any]] = frame.to_dict("records")
    for row in rows:
        name = row.pop(FILE_NAME)
        if not isinstance(name, str) or not name or Path(name).is_absolute() or ".." in Path(name).parts:
            raise UnclearError(f"`{FILE_NAME}` must name a picture below {named(path.parent)}, but got {shown(name)}")
        row["image"] = str(path.parent / name)
    return rows


def _frame(path: Path) -> Any:
    import pandas  # type: ignore[import-untyped]

    try:
        if path.suffix.lower() == ".jsonl":
            return pandas.read_json(path, lines=True, dtype=False, convert_dates=False)
        if path.suffix.lower() == ".parquet":
            return pandas.read_parquet(path)
        # As they are written: `NA` and `None` may be classes, and 007 is not 7.
        texts = pandas.read_csv(path, dtype=str, keep_default_na=False, na_values=[""], encoding="utf-8-sig")
    except (ValueError, OSError, ImportError, pandas.errors.ParserError) as error:
        raise UnclearError(f"{path.name} cannot be read: {one_line(error)}") from None
    for column in texts.columns:
        if column != FILE_NAME:
            texts[column] = _as_numbers(list(texts[column]))
    return texts


def _as_numbers(values: Sequence[Any]) -> list[Any]:
    """Whole numbers, or fractions, where all values of a column are written as such; else texts; None where empty."""
    known = [value for value in values if isinstance(value, str)]
    for kind in (int, float):
        try:
            numbers = [kind(value) if isinstance(value, str) else None for value in values]
        except ValueError:
            continue
        if kind is float or all(str(int(value)) == value for value in known):
            return numbers
    return [value if isinstance(value, str) else None for value in values]


def _data_set(rows: Sequence[dict[str, Any]]) -> Any:
    import datasets

    columns = {name: [row.get(name) for row in rows] for name in dict.fromkeys(key for row in rows for key in row)}
    split = datasets.Dataset.from_dict(columns)
    return split.cast_column("image", datasets.Image(decode=False))


def describes_splits(folder: Folder) -> bool:
    """Whether a README of the hub says which files are which splits."""
    readme = folder.path / "README.md"
    if not readme.is_file():
        return False
    with readme.open("rb") as file:
        head = file.read(2**16).decode("utf-8", "replace")
    return head.startswith("---") and re.search(r"(?m)^\s*-?\s*(configs|data_files|data_dir):", head) is not None
