"""Columns of images and labels, found by feature type, whatever their names."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from search_space.boundary.text import one_line, shown


def image_columns(split: Any) -> list[str]:
    """Columns that hold images by their feature type."""
    import datasets

    columns = [name for name, feature in split.features.items() if isinstance(feature, datasets.Image)]
    return columns or [
        name
        for name, feature in split.features.items()
        if isinstance(feature, dict) and {"bytes", "path"} <= feature.keys()
    ]


def label_columns(split: Any) -> list[str]:
    """Columns of class labels, or without any those of whole numbers or text."""
    import datasets

    columns = [name for name, feature in split.features.items() if isinstance(feature, datasets.ClassLabel)]
    return columns or [
        name
        for name, feature in split.features.items()
        if isinstance(feature, datasets.Value)
        and (feature.dtype.startswith(("int", "uint")) or "string" in feature.dtype)
    ]


def chosen_column(kind: str, asked: str | None, candidates: list[str], split: Any, where: str) -> str:
    """The column that was asked for, or the only candidate.

    Raises:
        ValueError: if there is none, or several and none was asked for.
    """
    if asked is not None and asked in candidates:
        return asked
    if asked is None and len(candidates) == 1:
        return candidates[0]
    if asked is not None:
        raise ValueError(
            f"`--{kind}-column` must name a column of {kind}s, but {where} has none named {shown(asked)}; "
            f"its columns are {_columns(split)}."
        )
    remedy = (
        f"Choose one of {one_line(', '.join(candidates))} by --{kind}-column."
        if candidates
        else "Is it one to classify?"
    )
    what = "class labels" if kind == "label" else "images"
    raise ValueError(
        f"a data set must have one column of {what}, but {where} has {len(candidates)}; "
        f"its columns are {_columns(split)}. {remedy}"
    )


def _columns(split: Any) -> str:
    names = (f"{name} ({getattr(one, 'dtype', type(one).__name__)})" for name, one in split.features.items())
    return one_line(", ".join(names), most=600)


def find_class_names(split: Any, column: str, where: str) -> tuple[str, ...]:
    """Names of the classes, in the order of their indices.

    Raises:
        ValueError: if there are fewer than two.
    """
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


def is_unlabelled(split: Any, column: str) -> bool:
    """Whether no image has a label."""
    return all(_is_missing(value) for value in split.unique(column))


def check_columns(split: Any, image_column: str, label_column: str, where: str) -> None:
    """Check that a split has both columns.

    Raises:
        ValueError: if it lacks one.
    """
    for kind, column in (("image", image_column), ("label", label_column)):
        if column not in split.features:
            raise ValueError(f"{where} must have the {kind} column {shown(column)}, but has {_columns(split)}.")


def labels_of(split: Any, column: str, class_names: tuple[str, ...], where: str) -> npt.NDArray[np.int64]:
    """Indices into `class_names`, which are found by name: splits may number their classes differently.

    Raises:
        ValueError: if a label is of no class, naming its row.
    """
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
            few = one_line(", ".join(class_names[:5])) + (", ..." if len(class_names) > 5 else "")
            raise ValueError(
                f"every label must be one of the {len(class_names)} classes ({few}), "
                f"but row {row} of {where} has {shown(value)}."
            )
        labels_N[row] = index_of[value]
    return labels_N
