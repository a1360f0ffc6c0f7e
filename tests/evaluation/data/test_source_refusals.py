"""Data sets that are refused, each in one line that names the place."""

import os
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

import datasets
import pytest
from PIL import Image

from evaluation.data.loading import load_images
from tests.evaluation.image_files import (
    CLASSES,
    LABELS,
    TRAIN,
    Cell,
    columns,
    data_set,
    images,
    one_folder_a_class,
    one_line,
    pixels,
    png,
    raw,
    write_raw,
)


@pytest.mark.parametrize(
    ("labels", "label", "split", "rule"),
    [
        ([0, 0, 1, -1, 1], CLASSES, "train", "row 3 of split `train` of .* has -1"),
        ([0, 0, 1, None, 1], CLASSES, "train", "row 3 of split `train` of .* has None"),
        ([0, 0, 1, -1, 1], datasets.Value("int32"), "train", "row 3 of split `train` of .* has -1"),
        (["a", "b", None, "a", "b"], datasets.Value("string"), "train", "row 2 of split `train` of .* has None"),
        ([0, 0, 1, -1, 1], CLASSES, "test", "row 3 of split `test` of .* has -1"),
    ],
)
def test_labels_of_no_class_are_named(tmp_path: Path, labels: list[Any], label: Any, split: str, rule: str) -> None:
    known = list("aaabb") if label.dtype == "string" else LABELS
    parts = {"train": data_set(known, label=label)} | {split: data_set(labels, label=label)}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "data")
    with one_line(f"every label must be one of the 2 classes .*{rule}"):
        load_images(str(tmp_path / "data"), size=4)


@pytest.mark.parametrize("name", ["", " ", "./nothing/here", "/nothing/here", "~nobody/x", "a/b/c", "folder/"])
def test_a_path_that_does_not_exist_is_refused(name: str) -> None:
    with one_line("a data set must be `digits`, a local path or a name on the Hugging Face hub, but the path"):
        load_images(name, size=4)


@pytest.mark.parametrize("name", ["nobody/nothing", "nothing", "nothing.parquet"])
def test_a_hub_that_cannot_be_reached_is_named(name: str) -> None:
    with one_line(f"a data set must be .* but '{name}' could not be loaded: "):
        load_images(name, size=4)


def test_what_cannot_be_read_is_one_line_without_noise(tmp_path: Path) -> None:
    """In a process of its own, since libraries bind stderr when they are imported."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "strange").mkdir()
    (tmp_path / "broken").mkdir()
    names = ["empty", "bad", "strange", "broken", "notes.txt", "zero.parquet", "short.parquet"]
    for name in ("notes.txt", "short.parquet", "bad/train.parquet", "strange/a.bin", "broken/state.json"):
        (tmp_path / name).write_text("no parquet\n" * 20)
    (tmp_path / "zero.parquet").touch()
    script = (
        "import sys\n"
        "from evaluation.data.loading import load_images\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n"
        "        load_images(path, size=4)\n"
        "    except ValueError as error:\n"
        "        print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *(str(tmp_path / name) for name in names)],
        capture_output=True,
        text=True,
        env=os.environ | {"HF_DATASETS_CACHE": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"},
        check=True,
    )
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == len(names)
    for name, line in zip(names, lines, strict=True):
        assert line.startswith("a data set must be `digits`, a local path or a name on the Hugging Face hub, but ")
        assert f"'{tmp_path / name}' could not be loaded: " in line


@pytest.mark.slow
@pytest.mark.thorough
def test_tries_to_reach_the_hub_are_not_logged_beside_the_line(tmp_path: Path) -> None:
    """In a process of its own, in which nothing is imported yet; the hub tries again for half a minute."""
    script = "from evaluation.data.loading import load_images\nload_images('nobody', size=4)\n"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
        | {"HF_DATASETS_CACHE": str(tmp_path / "cache"), "HF_ENDPOINT": "http://127.0.0.1:9"},
        check=False,
    )
    assert "'nobody' could not be loaded: " in done.stderr.splitlines()[-1]
    assert "Retrying" not in done.stderr


def test_the_log_level_of_datasets_is_as_before(tmp_path: Path) -> None:
    before = datasets.logging.get_verbosity()
    (tmp_path / "notes.txt").write_text("no parquet")
    with one_line("a data set must be"):
        load_images(str(tmp_path / "notes.txt"), size=4)
    assert datasets.logging.get_verbosity() == before


@pytest.mark.parametrize("form", ["parquet", "disk"])
def test_an_empty_data_set_is_refused(tmp_path: Path, form: str) -> None:
    empty = data_set([], pixels_NHWC=TRAIN[:0])
    if form == "disk":
        empty.save_to_disk(tmp_path / "data")
    else:
        empty.to_parquet(tmp_path / "data")
    with one_line("a data set must .*'.*data'"):
        load_images(str(tmp_path / "data"), size=4)


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"label": LABELS}, "must have one column of images, but .* has 0; its columns are label"),
        ({"image": images(), "photo": images(), "label": LABELS}, "one column of images, but .* has 2; .* photo"),
        ({"image": images()}, "must have one column of class labels, but .* has 0; its columns are image"),
        ({"image": images(), "score": [0.5] * 5}, "column of class labels, but .* has 0; .* score"),
        ({"image": images(), "label": LABELS, "fine": LABELS}, r"column of class labels, but .* has 2; .* fine"),
        ({"image": images(), "number": LABELS, "text": list("aabbb")}, "class labels, but .* has 2; .*--label-column"),
    ],
)
def test_columns_must_be_clear(tmp_path: Path, values: dict[str, Any], rule: str) -> None:
    with one_line(f"a data set {rule}" if rule.startswith("must") else f"a data set must have .*{rule}"):
        load_images(columns(tmp_path, **values), size=4)


@pytest.mark.parametrize(
    ("names", "rule"),
    [
        (["a", "zebra"], "every class must have training images, but 'zebra' is in split `test` of .* alone"),
        (["B ", "a"], "a class must be written in one way in all splits, but split `test` .* 'B', .* 'b': rename one"),
    ],
)
def test_a_class_must_be_trained_on(tmp_path: Path, names: list[str], rule: str) -> None:
    text = datasets.Value("string")
    parts = {"train": data_set(list("aaabb"), label=text), "test": data_set([*names, *"aab"], label=text)}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "data")
    with one_line(rule):
        load_images(str(tmp_path / "data"), size=4)


def test_a_test_split_must_have_the_column_of_images(tmp_path: Path) -> None:
    test = data_set(LABELS).remove_columns("image")
    datasets.DatasetDict({"train": data_set(LABELS), "test": test}).save_to_disk(tmp_path / "data")
    with one_line("split `test` of .* must have the image column 'image', but has "):
        load_images(str(tmp_path / "data"), size=4)


@pytest.mark.parametrize(
    ("labels", "label"), [(["a"] * 5, datasets.Value("string")), ([0] * 5, datasets.ClassLabel(names=["cat"]))]
)
def test_a_single_class_is_refused(tmp_path: Path, labels: list[Any], label: Any) -> None:
    data_set(labels, label=label).save_to_disk(tmp_path / "data")
    with one_line("a data set must have two or more classes, but .* has 1"):
        load_images(str(tmp_path / "data"), size=4)


def huge_png() -> bytes:
    """A valid header of 60,000 x 60,000 pixels, and hardly any data."""

    def chunk(content: bytes) -> bytes:
        return struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))

    header = chunk(b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT" + zlib.compress(b"0"))


@pytest.mark.parametrize(
    "cell",
    [
        raw(b"no image"),
        raw(b""),
        raw(png(images(pixels(1, size=40))[0])[:-600]),
        raw(huge_png()),
        {"bytes": None, "path": None},
        {"bytes": None, "path": "no-such-file.png"},
        None,
    ],
    ids=["garbage", "nothing", "cut off", "huge", "neither bytes nor path", "no such file", "null"],
)
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_corrupt_image_is_named(tmp_path: Path, cell: Cell, split: str) -> None:
    good = [raw(image) for image in images()]
    for name in {"train", split}:
        cells = [*good[:2], cell, *good[3:]] if name == split else good
        write_raw(tmp_path / "data" / f"{name}.parquet", cells, list("aabba"))
    named = r" \(no-such-file.png\)" if cell and cell["path"] else ""
    total = 5 if split == "train" else 10
    with one_line(
        f"every image must be readable, but 1 of the {total} of '.*data' is corrupt: row 2{named} of split `{split}`: "
    ):
        load_images(str(tmp_path / "data"), size=4)


def test_a_corrupt_image_far_down_is_named(tmp_path: Path) -> None:
    cells = [raw(Image.new("RGB", (1, 1)))] * 2100
    cells[2050] = raw(b"no image")
    write_raw(tmp_path / "data" / "train.parquet", cells, ["a", "b"] * 1050)
    with one_line("every image must be readable, but 1 of the 2100 of .* is corrupt: row 2050 of split `train`: "):
        load_images(str(tmp_path / "data"), size=1)


def test_a_corrupt_file_of_an_image_folder_is_named(tmp_path: Path) -> None:
    one_folder_a_class(tmp_path / "data")
    (tmp_path / "data" / "dog" / "3.png").write_bytes(b"no image")
    with one_line(r"every image must be readable, but 1 of the 5 of .*: row 3 \(.*dog/3.png\) of split `train`: "):
        load_images(str(tmp_path / "data"), size=4)


def test_all_corrupt_images_are_named_at_once(tmp_path: Path) -> None:
    write_raw(tmp_path / "data" / "train.parquet", [raw(images()[0])] + [raw(b"no image")] * 7, list("abababab"))
    with one_line(
        "every image must be readable, but 7 of the 8 of '.*data' are corrupt: row 1 of .*; row 2 .*; row 5 of split "
        "`train`: [^;]*; and 2 more. Repair or remove them, or leave such images out by --skip-broken.$"
    ):
        load_images(str(tmp_path / "data"), size=4)


def test_corrupt_images_alone_are_refused_even_where_they_may_be_left_out(tmp_path: Path) -> None:
    write_raw(tmp_path / "data" / "train.parquet", [raw(b"no image")] * 2)
    with one_line("every image must be readable, but 2 of the 2 of"):
        load_images(str(tmp_path / "data"), size=4, resize="crop", skip_broken=True)
    with one_line(
        "a data set must hold images, but of '.*data' none of the 2 pictures that were looked at can be read"
    ):
        load_images(str(tmp_path / "data"), size=4, skip_broken=True)


def test_the_cause_behind_a_general_text_is_told_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with zipfile.ZipFile(tmp_path / "data" / "photos.zip", "w") as file:
        for number in range(20):
            file.writestr(f"{'cat' if number % 2 else 'dog'}/{number}.png", png(images()[0]))
    with pytest.raises(ValueError, match="could not be loaded: (?!An error occurred).*Unpack photos.zip"):
        load_images(str(tmp_path / "data"), size=4)


def test_a_single_file_must_be_parquet(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("image,label\nimages/0.png,cat\n")
    with one_line(".*labels.csv' could not be loaded: a single file must be a parquet file. Else give .*metadata.csv"):
        load_images(str(tmp_path / "labels.csv"), size=4)
