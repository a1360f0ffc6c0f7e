"""Columns of images and labels, found by feature type, whatever their names."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from search_space.boundary.text import one_line, shown

NO_LABEL = -1
"""Place of the class of an image without one."""
_USUAL = ("label", "labels", "class", "target")


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
    """Columns of class labels; without any those of whole numbers or text; without these all others that may be some.

    Others are truth values, whole numbers that are written as fractions, and lists of one such value. One that is
    called as labels are is told beside whole numbers and text.
    """
    import datasets

    columns = [name for name, feature in split.features.items() if isinstance(feature, datasets.ClassLabel)]
    if columns:
        return columns
    plain = [name for name, feature in split.features.items() if _is_plain(feature)]
    others = [name for name in split.features if name not in plain and _unusable(split, name) is None]
    if plain:
        return plain + [name for name in others if name.casefold() in _USUAL]
    return others


def chosen_column(kind: str, asked: str | None, candidates: list[str], split: Any, where: str) -> str:
    """The column that was asked for, or the only candidate.

    Raises:
        ValueError: if there is none, or several and none was asked for; or the one asked for cannot be used, with why.
    """
    if asked is not None and asked in split.features:
        reason = _unusable(split, asked) if kind == "label" else None if asked in candidates else "holds no images"
        if reason is None:
            return asked
        raise ValueError(f"`--{kind}-column` must name a column of {kind}s, but {shown(asked)} of {where} {reason}.")
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
        else _why_none(split)
        if kind == "label"
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


def _why_none(split: Any) -> str:
    """Why the column that looks most like one of labels is none."""
    reasons = {name: _unusable(split, name) for name in split.features if name not in image_columns(split)}
    for name in sorted(reasons, key=lambda name: name.casefold() not in _USUAL):
        return f"{shown(name)} {reasons[name]}."
    return "Is it one to classify?"


def _is_plain(feature: Any) -> bool:
    import datasets

    return isinstance(feature, datasets.Value) and (
        feature.dtype.startswith(("int", "uint")) or "string" in feature.dtype
    )


def _element(feature: Any) -> Any:
    """What a list is of; None for what is no list."""
    if isinstance(feature, list):
        return feature[0] if feature else None
    return getattr(feature, "feature", None)


def _unusable(split: Any, column: str) -> str | None:
    """Why a column cannot be one of labels, as the end of a sentence; None where it can."""
    import datasets

    feature = split.features[column]
    if isinstance(feature, datasets.ClassLabel) or _is_plain(feature):
        return None
    element = _element(feature)
    if element is not None and not isinstance(element, Mapping) and not isinstance(element, datasets.Image):
        several = next((value for value in split[column][:] if value is not None and len(value) > 1), None)
        if several is not None:
            return f"has several labels of one image, as {shown(several, most=40)}, and each must be of one class"
        feature = element
    if isinstance(feature, datasets.ClassLabel) or _is_plain(feature):
        return None
    dtype = feature.dtype if isinstance(feature, datasets.Value) else ""
    if dtype == "bool":
        return None
    if dtype.startswith(("float", "decimal")):
        values = [_alone(value) for value in split[column][:]]
        fraction = next((value for value in values if not _is_missing(value) and value % 1 != 0), None)
        return None if fraction is None else f"holds fractions, as {shown(fraction, most=40)}, and no classes"
    if isinstance(feature, datasets.Image):
        return "holds images"
    return f"holds {dtype or type(feature).__name__}, which is no class: give whole numbers, or text"


def _alone(value: Any) -> Any:
    """The only value of a list; None for an empty one."""
    if isinstance(value, list):
        return value[0] if value else None
    return value


def _is_missing(value: Any) -> bool:
    """Whether a label stands for none, as -1 does on the Hugging Face hub."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, int | float) and not value >= 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Labels:
    """The labels of a split."""

    names: tuple[str, ...]
    """Of the classes, in their order; some may have no image."""
    labels_N: npt.NDArray[np.int64]
    """Places in `names`; `NO_LABEL` for an image without a label."""

    @property
    def any(self) -> bool:
        """Whether any image has a label."""
        return bool((self.labels_N != NO_LABEL).any())


def read_labels(split: Any, column: str) -> Labels:
    """The labels of a split; none where it lacks the column.

    Texts are compared without blanks around them, and with letters in one form.
    """
    import datasets

    feature = split.features.get(column)
    if feature is None:
        return Labels(names=(), labels_N=np.full(len(split), NO_LABEL))
    values = [_alone(value) for value in split[column][:]]
    element = _element(feature) or feature
    known = dict.fromkeys(value for value in values if not _is_missing(value))
    if isinstance(element, datasets.ClassLabel):
        ordered: list[Any] = list(range(len(element.names)))
        name_of = dict(enumerate(_distinct([str(name) for name in element.names])))
    else:
        name_of = {value: _name(value) for value in known}
        ordered = sorted(known)
    names = tuple(dict.fromkeys(name_of[value] for value in ordered))
    place_of = {name: place for place, name in enumerate(names)}
    places = {value: place_of[name] for value, name in name_of.items()}
    labels = (NO_LABEL if _is_missing(value) else places.get(value, NO_LABEL) for value in values)
    return Labels(names=names, labels_N=np.fromiter(labels, np.int64, len(values)))


def _name(value: Any) -> str:
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value.strip())
    return str(int(value)) if isinstance(value, float) else str(value)


def _distinct(names: Sequence[str]) -> list[str]:
    """Names without blanks around them, where they differ without these too."""
    plain = [_name(name) for name in names]
    return plain if len(set(plain)) == len(plain) else list(names)


def used_classes(labels: Labels, where: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the classes that have images, and of those that have none.

    Raises:
        ValueError: if fewer than two have any.
    """
    counts = np.bincount(labels.labels_N[labels.labels_N != NO_LABEL], minlength=len(labels.names))
    used = tuple(name for name, count in zip(labels.names, counts, strict=True) if count)
    if len(used) < 2:
        raise ValueError(f"a data set must have two or more classes, but {where} has {len(used)}.")
    return used, tuple(name for name, count in zip(labels.names, counts, strict=True) if not count)


def check_columns(split: Any, image_column: str, where: str) -> None:
    """Check that a split has the column of images.

    Raises:
        ValueError: if it lacks it.
    """
    if image_column not in split.features:
        raise ValueError(f"{where} must have the image column {shown(image_column)}, but has {_columns(split)}.")


def check_all_labelled(labels: Labels, values: Sequence[Any] | None, where: str) -> None:
    """Check that each image of a split has a label.

    Args:
        labels: of the split.
        values: as the data set has them, where it says more than that there is none.
        where: the split, for messages.

    Raises:
        ValueError: if one has none, naming its row.
    """
    rows = np.flatnonzero(labels.labels_N == NO_LABEL)
    if len(rows):
        few = one_line(", ".join(labels.names[:5])) + (", ..." if len(labels.names) > 5 else "")
        value = "none" if values is None else shown(values[int(rows[0])])
        raise ValueError(
            f"every label must be one of the {len(labels.names)} classes ({few}), but row {rows[0]} of {where} has "
            f"{value}."
        )


def as_places(labels: Labels, class_names: Sequence[str], where: str) -> npt.NDArray[np.int64]:
    """Labels as places in `class_names`, found by name: splits may number their classes differently.

    Raises:
        ValueError: if a label is of no class.
    """
    place_of = {name: place for place, name in enumerate(class_names)}
    unknown = [name for place, name in enumerate(labels.names) if name not in place_of and place in labels.labels_N]
    if unknown:
        alike = next(
            ((name, known) for name in unknown for known in class_names if _alike(name) == _alike(known)), None
        )
        if alike is not None:
            raise ValueError(
                f"a class must be written in one way in all splits, but {where} has {shown(alike[0])}, and the "
                f"training images {shown(alike[1])}: rename one."
            )
        few = one_line(", ".join(class_names[:5])) + (", ..." if len(class_names) > 5 else "")
        raise ValueError(
            f"every class must have training images, but {shown(unknown[0])} is in {where} alone, and not one of the "
            f"{len(class_names)} classes ({few}): add some, or remove it, or choose other splits by --train-split and "
            "--test-split."
        )
    places = np.array([place_of.get(name, NO_LABEL) for name in labels.names], np.int64)
    return places[labels.labels_N]


def _alike(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())
