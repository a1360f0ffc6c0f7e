"""Columns of labels of every kind, and why some are none."""

from typing import Any

import datasets
import pytest

from evaluation.data.columns import NO_LABEL, chosen_column, label_columns, read_labels


def column(values: list[Any], feature: Any, name: str = "label") -> datasets.Dataset:
    features = datasets.Features({name: feature})
    return datasets.Dataset.from_dict({name: values}, features=features)


@pytest.mark.parametrize(
    ("values", "feature", "names", "labels"),
    [
        ([True, False, None], datasets.Value("bool"), ("False", "True"), [1, 0, NO_LABEL]),
        ([2.0, 10.0, float("nan")], datasets.Value("float64"), ("2", "10"), [0, 1, NO_LABEL]),
        ([" cat", "dog ", "cat", " "], datasets.Value("string"), ("cat", "dog"), [0, 1, 0, NO_LABEL]),
        ([[1], [0], []], datasets.Sequence(datasets.Value("int64")), ("0", "1"), [1, 0, NO_LABEL]),
        ([[1], [0]], datasets.Sequence(datasets.ClassLabel(names=["x", "y"])), ("x", "y"), [1, 0]),
        ([2, 0], datasets.ClassLabel(names=["x", "unused", "z"]), ("x", "unused", "z"), [2, 0]),
    ],
)
def test_labels_of_every_kind(values: list[Any], feature: Any, names: tuple[str, ...], labels: list[int]) -> None:
    split = column(values, feature)
    assert chosen_column("label", None, label_columns(split), split, "it") == "label"
    found = read_labels(split, "label")
    assert (found.names, found.labels_N.tolist()) == (names, labels)


@pytest.mark.parametrize(
    ("values", "feature", "reason"),
    [
        ([0.5, 1.0], datasets.Value("float32"), "holds fractions, as 0.5"),
        ([[0, 2], [1]], datasets.Sequence(datasets.Value("int64")), r"has several labels of one image, as \[0, 2\]"),
        ([{"x": 1}], {"x": datasets.Value("int64")}, "holds dict, which is no class"),
        ([b"x"], datasets.Value("binary"), "holds binary, which is no class"),
    ],
)
def test_a_column_that_holds_no_classes_is_refused_with_the_reason(
    values: list[Any], feature: Any, reason: str
) -> None:
    split = column(values, feature)
    with pytest.raises(ValueError, match=f"column of labels, but 'label' of it {reason}"):
        chosen_column("label", "label", label_columns(split), split, "it")
    with pytest.raises(ValueError, match=f"one column of class labels, but it has 0; .* 'label' {reason}"):
        chosen_column("label", None, label_columns(split), split, "it")
