"""Which split and class pictures of a folder belong to; files need not hold pictures for that."""

from pathlib import Path

import numpy as np
import pytest

from evaluation.data.folders.layouts import Layout, find_layout
from evaluation.data.folders.listing import read_folder
from tests.evaluation.image_files import one_line


def layout(root: Path, *files: str, train: str | None = None, test: str | None = None) -> Layout:
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return find_layout(read_folder(root), train_split=train, test_split=test)


def counts(found: Layout) -> dict[str, dict[str, int] | None]:
    return {
        name: None
        if split.labels is None
        else dict(zip(*map(np.ndarray.tolist, np.unique(split.labels, return_counts=True)), strict=True))
        for name, split in found.splits.items()
    }


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["cat/1.png", "dog/1.JPG", "dog/photo of a train.png"], {"train": {"cat": 1, "dog": 2}}),
        (["bus/1.png", "car/1.png", "train/1.png"], {"train": {"bus": 1, "car": 1, "train": 1}}),
        (["walk/s1/1.png", "walk/s2/1.png", "run/s1/1.png", "run/2.png"], {"train": {"walk": 2, "run": 2}}),
        (["train/a/1.png", "train/b/1.png", "test/a/1.png"], {"train": {"a": 1, "b": 1}, "test": {"a": 1}}),
        (["Training/a/1.png", "Testing/a/1.png"], {"Training": {"a": 1}, "Testing": {"a": 1}}),
        (["seg_train/seg_train/a/1.png", "seg_test/seg_test/a/1.png"], {"seg_train": {"a": 1}, "seg_test": {"a": 1}}),
        (["archive/set/train/a/1.png", "archive/set/val/a/1.png"], {"train": {"a": 1}, "val": {"a": 1}}),
        (["archive/a/1.png", "archive/b/1.png", "archive/.b/2.png", "__MACOSX/a/1.png"], {"train": {"a": 1, "b": 1}}),
        (["Train/a/1.png", "Train/b/1.png", "labels.txt"], {"Train": {"a": 1, "b": 1}}),
        (["train/a/1.png", "train/b/s/1.png", "test/1.png"], {"train": {"a": 1, "b": 1}, "test": None}),
        (["a/train/1.png", "a/test/1.png", "b/train/1.png"], {"train": {"a": 1, "b": 1}, "test": {"a": 1}}),
    ],
)  # fmt: skip
def test_layouts_that_tell_splits_and_classes(tmp_path: Path, files: list[str], expected: dict[str, object]) -> None:
    assert counts(layout(tmp_path, *files)) == expected


@pytest.mark.parametrize(
    ("files", "named"),
    [
        (["train/a/1.png", "test/a/1.png", "extra/a/1.png"], "`extra`, `test`, `train` are called as splits .* others"),
        (["bus/s/1.png", "car/s/1.png", "train/s/1.png"], "`bus`, `car`, `train` are called as splits are and as"),
        (["train/1.png", "test/1.png"], "`test`, `train` are called as splits are, but hold pictures themselves"),
        (["fold1/a/1.png", "fold2/a/1.png"], "`fold1`, `fold2` are called as numbered parts"),
    ],
)
def test_what_folders_are_is_asked_for_where_it_cannot_be_told(tmp_path: Path, files: list[str], named: str) -> None:
    with one_line(f"it must be clear which folders are splits and which are classes, but {named}.*--train-split all"):
        layout(tmp_path, *files)
    assert len(counts(layout(tmp_path, train="all"))["all"] or ()) == len(files)


@pytest.mark.parametrize("files", [["1.png", "2.png"], ["images/1.png"], ["train/1.png"]])
def test_pictures_without_classes_are_refused(tmp_path: Path, files: list[str]) -> None:
    if files == ["images/1.png"]:
        assert counts(layout(tmp_path, *files)) == {"train": {"images": 1}}
        return
    with one_line("pictures of a folder must lie in one folder a class, .*, or have labels in a metadata.csv"):
        layout(tmp_path, *files)


def test_folders_that_are_named_are_splits(tmp_path: Path) -> None:
    found = layout(tmp_path, "good/a/1.png", "extra/b/1.png", "flat/1.png", train="good", test="none")
    assert counts(found) == {"good": {"a": 1}, "extra": {"b": 1}, "flat": None}


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    (tmp_path / "mouse").mkdir()
    found = layout(
        tmp_path, "cat/1.png", "dog/1.png", "dog/notes.txt", "cover.jpg", "dog/Thumbs.db", ".DS_Store", "a.mp4"
    )
    assert found.notes == (
        "1 picture in no class folder",
        "1 empty folder (`mouse`)",
        "2 files that are no pictures (1 .mp4, 1 .txt)",
    )


def test_links_are_followed_but_not_back(tmp_path: Path) -> None:
    layout(tmp_path / "store", "cats/1.png", "dogs/1.png")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cat").symlink_to(tmp_path / "store" / "cats")
    (tmp_path / "data" / "dog").symlink_to(tmp_path / "store" / "dogs")
    assert counts(layout(tmp_path / "data")) == {"train": {"cat": 1, "dog": 1}}
    (tmp_path / "store" / "cats" / "back").symlink_to(tmp_path / "data")
    with one_line("links must not lead back, but .* leads to a folder that it lies in"):
        layout(tmp_path / "data")


def test_letters_with_accents_are_one_class_however_a_system_writes_them(tmp_path: Path) -> None:
    assert counts(layout(tmp_path, "train/\u00e9/1.png", "test/e\u0301/1.png", "train/b/1.png")) == {
        "train": {"\u00e9": 1, "b": 1},
        "test": {"\u00e9": 1},
    }
