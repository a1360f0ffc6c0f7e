import io
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet  # type: ignore[import-untyped]
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from evaluation.image_data import LabelledImages, load_images

Pixels = npt.NDArray[np.uint8]
Cell = dict[str, bytes | str | None] | None
CLASSES = datasets.ClassLabel(names=["cat", "dog"])
LABELS = [0, 0, 0, 1, 1]


def pixels(count: int = 5, *, size: int = 4, seed: int = 0) -> Pixels:
    """Random images (N, H, W, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


TRAIN, TEST = pixels(seed=1), pixels(seed=2)


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def images(pixels_NHWC: Pixels = TRAIN) -> list[Image.Image]:
    return [Image.fromarray(pixels_HWC) for pixels_HWC in pixels_NHWC]


def data_set(
    labels: list[Any], *, pixels_NHWC: Pixels = TRAIN, label: Any = CLASSES, names: tuple[str, ...] = ("image", "label")
) -> datasets.Dataset:
    features = datasets.Features({names[0]: datasets.Image(), names[1]: label})
    return datasets.Dataset.from_dict({names[0]: images(pixels_NHWC), names[1]: labels}, features=features)


def write_raw(path: Path, cells: list[Cell], labels: Sequence[str] = ("a", "b")) -> None:
    """A parquet file written by another program: a struct of bytes and path, and a text."""
    image = pa.array(cells, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    path.parent.mkdir(exist_ok=True)
    pa.parquet.write_table(pa.table({"picture": image, "kind": pa.array(labels)}), path)


def raw(image: Image.Image | bytes) -> Cell:
    return {"bytes": image if isinstance(image, bytes) else png(image), "path": None}


def parquet_folder(folder: Path, **options: Any) -> None:
    folder.mkdir()
    for split, pixels_NHWC in (("train", TRAIN), ("test", TEST)):
        part = data_set(LABELS, pixels_NHWC=pixels_NHWC, **options)
        part.to_parquet(folder / f"{split}-00000-of-00001.parquet")


def other_column_names(folder: Path) -> None:
    parquet_folder(folder, names=("bild", "klasse"))


def saved_to_disk(folder: Path) -> None:
    both = {"train": data_set(LABELS), "test": data_set(LABELS, pixels_NHWC=TEST)}
    datasets.DatasetDict(both).save_to_disk(folder)


def raw_structs(folder: Path) -> None:
    for split, pixels_NHWC in (("train", TRAIN), ("test", TEST)):
        write_raw(
            folder / f"{split}.parquet",
            [raw(image) for image in images(pixels_NHWC)],
            [CLASSES.names[i] for i in LABELS],
        )


def image_folder(folder: Path) -> None:
    for split, pixels_NHWC in (("train", TRAIN), ("test", TEST)):
        one_folder_a_class(folder / split, pixels_NHWC)


def one_folder_a_class(folder: Path, pixels_NHWC: Pixels = TRAIN) -> None:
    for number, (image, label) in enumerate(zip(images(pixels_NHWC), LABELS, strict=True)):
        path = folder / CLASSES.names[label] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)


def saved_alone(folder: Path) -> None:
    data_set(LABELS).save_to_disk(folder)


def check(part: LabelledImages | None, pixels_NHWC: Pixels, labels: list[Any] = LABELS) -> None:
    assert part is not None
    assert part.images_NCHW.dtype == np.uint8
    assert part.labels_N.dtype == np.int64
    np.testing.assert_array_equal(part.images_NCHW, pixels_NHWC.transpose(0, 3, 1, 2))
    assert part.labels_N.tolist() == labels


@pytest.mark.parametrize(
    "write", [parquet_folder, other_column_names, saved_to_disk, raw_structs, image_folder], ids=lambda f: f.__name__
)
def test_every_form_of_two_splits_gives_the_same_arrays(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path / "data")
    data = load_images(str(tmp_path / "data"), size=4)
    check(data.train, TRAIN)
    check(data.test, TEST)
    assert data.class_names == ("cat", "dog")
    assert data.name == str(tmp_path / "data")
    assert not data.grey


@pytest.mark.parametrize("write", [saved_alone, one_folder_a_class], ids=lambda f: f.__name__)
def test_every_form_of_one_split_gives_the_same_arrays(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path / "data")
    data = load_images(str(tmp_path / "data"), size=4)
    check(data.train, TRAIN)
    assert data.test is None
    assert data.class_names == ("cat", "dog")


def test_a_single_parquet_file_is_the_training_split(tmp_path: Path) -> None:
    path = tmp_path / "some.parquet"
    data_set(LABELS).to_parquet(path)
    data = load_images(str(path), size=4)
    check(data.train, TRAIN)
    assert data.test is None


def test_a_path_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data_set(LABELS).to_parquet(tmp_path / "some.parquet")
    monkeypatch.chdir(tmp_path)
    check(load_images("some.parquet", size=4).train, TRAIN)


@pytest.mark.parametrize("name", ["validation", "valid", "val"])
def test_a_validation_split_serves_as_test_split(tmp_path: Path, name: str) -> None:
    both = {"train": data_set(LABELS), name: data_set(LABELS, pixels_NHWC=TEST)}
    datasets.DatasetDict(both).save_to_disk(tmp_path / "data")
    check(load_images(str(tmp_path / "data"), size=4).test, TEST)


def test_a_lone_test_split_is_trained_on(tmp_path: Path) -> None:
    datasets.DatasetDict({"test": data_set(LABELS)}).save_to_disk(tmp_path / "data")
    data = load_images(str(tmp_path / "data"), size=4)
    check(data.train, TRAIN)
    assert data.test is None


@pytest.mark.parametrize("form", ["torch", "numpy", "pandas"])
def test_a_saved_output_format_makes_no_difference(tmp_path: Path, form: str) -> None:
    label = datasets.Value("int64")
    data_set([3, 3, 3, 10, 10], label=label).with_format(form).save_to_disk(tmp_path / "data")
    check(load_images(str(tmp_path / "data"), size=4).train, TRAIN)


def test_digits() -> None:
    data, digits = load_images("digits", size=8), load_digits()
    expected = np.round(digits.images * 255 / 16)
    for channel in range(3):
        np.testing.assert_array_equal(data.train.images_NCHW[:, channel], expected)
    np.testing.assert_array_equal(data.train.labels_N, digits.target)
    assert (data.test, data.class_names, data.grey) == (None, tuple("0123456789"), True)
    assert load_images("digits", size=12).train.images_NCHW.shape == (1797, 3, 12, 12)


GREY = np.arange(16, dtype=np.uint8).reshape(4, 4) * 16
ALPHA = Image.fromarray(GREY.T.copy())


def with_alpha(image: Image.Image) -> Image.Image:
    image.putalpha(ALPHA)
    return image


def palette(**transparency: bytes) -> Image.Image:
    image = Image.fromarray(GREY).convert("P", palette=Image.Palette.ADAPTIVE)
    image.info.update(transparency)
    return image


@pytest.mark.parametrize(
    ("image", "grey"),
    [
        (Image.fromarray(GREY), True),
        (Image.fromarray(GREY.astype(np.uint16) << 8), True),
        (Image.fromarray(GREY.astype(np.uint16)), True),
        (with_alpha(Image.fromarray(GREY)), True),
        (with_alpha(Image.fromarray(GREY).convert("RGB")), False),
        (palette(), False),
        (palette(transparency=bytes(range(16))), False),
    ],
    ids=["L", "I;16", "I;16 with 8-bit levels", "LA", "RGBA", "P", "P with transparency"],
)
@pytest.mark.filterwarnings("error")
def test_images_of_every_mode_become_rgb(tmp_path: Path, image: Image.Image, *, grey: bool) -> None:
    write_raw(tmp_path / "data" / "train.parquet", [raw(image)] * 2)
    data = load_images(str(tmp_path / "data"), size=4)
    for channel in range(3):
        np.testing.assert_array_equal(data.train.images_NCHW[0, channel], GREY)
    assert data.grey is grey


def test_black_and_white_images(tmp_path: Path) -> None:
    write_raw(tmp_path / "data" / "train.parquet", [raw(Image.fromarray(GREY > 100))] * 2)
    data = load_images(str(tmp_path / "data"), size=4)
    np.testing.assert_array_equal(data.train.images_NCHW[1, 2], np.where(GREY > 100, 255, 0))
    assert data.grey


def test_one_colour_image_makes_a_data_set_coloured(tmp_path: Path) -> None:
    write_raw(tmp_path / "data" / "train.parquet", [raw(Image.fromarray(GREY)), raw(images()[0])])
    assert not load_images(str(tmp_path / "data"), size=4).grey


@pytest.mark.parametrize("wide", [True, False])
def test_the_central_square_is_taken(tmp_path: Path, *, wide: bool) -> None:
    bands = np.zeros((4, 12, 3), np.uint8)
    for band in range(3):
        bands[:, 4 * band : 4 * band + 4, band] = 255
    bands[:, 4:8] = pixels(1)[0]
    image = Image.fromarray(bands if wide else bands.transpose(1, 0, 2).copy())
    write_raw(tmp_path / "data" / "train.parquet", [raw(image)] * 2)
    central = pixels(1)[0] if wide else pixels(1)[0].transpose(1, 0, 2)
    np.testing.assert_array_equal(
        load_images(str(tmp_path / "data"), size=4).train.images_NCHW[0], central.transpose(2, 0, 1)
    )


def test_images_are_resized_as_pillow_does(tmp_path: Path) -> None:
    sizes = (pixels(1, size=9)[0], pixels(1, size=3)[0])
    write_raw(tmp_path / "data" / "train.parquet", [raw(Image.fromarray(image)) for image in sizes])
    train = load_images(str(tmp_path / "data"), size=6).train
    for got, image in zip(train.images_NCHW, sizes, strict=True):
        expected = np.asarray(Image.fromarray(image).resize((6, 6), Image.Resampling.BICUBIC))
        np.testing.assert_array_equal(got, expected.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("labels", "label", "names"),
    [
        (["x", "x", "x", "y", "y"], datasets.Value("string"), ("x", "y")),
        (["x", "x", "x", "y", "y"], datasets.Value("large_string"), ("x", "y")),
        ([2, 2, 2, 10, 10], datasets.Value("int64"), ("2", "10")),
        ([2, 2, 2, 10, 10], datasets.Value("uint8"), ("2", "10")),
    ],
)
def test_labels_without_class_names_are_numbered_in_order(
    tmp_path: Path, labels: list[Any], label: Any, names: tuple[str, ...]
) -> None:
    data_set(labels, label=label).save_to_disk(tmp_path / "data")
    data = load_images(str(tmp_path / "data"), size=4)
    assert data.class_names == names
    check(data.train, TRAIN)


def test_classes_of_the_test_split_are_those_of_the_same_name(tmp_path: Path) -> None:
    swapped = datasets.ClassLabel(names=["dog", "cat"])
    both = {
        "train": data_set(LABELS),
        "test": data_set([1, 1, 1, 0, 0], pixels_NHWC=TEST, label=swapped),
    }
    datasets.DatasetDict(both).save_to_disk(tmp_path / "data")
    check(load_images(str(tmp_path / "data"), size=4).test, TEST)


@pytest.mark.parametrize(
    ("label", "known", "unknown"),
    [
        (CLASSES, LABELS, [-1] * 5),
        (CLASSES, LABELS, [None] * 5),
        (datasets.Value("int64"), LABELS, [-1] * 5),
        (datasets.Value("string"), list("aaabb"), [None] * 5),
    ],
)
def test_a_test_split_without_labels_is_ignored(
    tmp_path: Path, label: Any, known: list[Any], unknown: list[Any]
) -> None:
    both = {"train": data_set(known, label=label), "test": data_set(unknown, label=label)}
    datasets.DatasetDict(both).save_to_disk(tmp_path / "data")
    calls = []
    data = load_images(str(tmp_path / "data"), size=4, on_progress=lambda done, total: calls.append((done, total)))
    assert data.test is None
    check(data.train, TRAIN)
    assert calls[-1] == (5, 5)


def test_progress_ends_with_all_images(tmp_path: Path) -> None:
    parquet_folder(tmp_path / "data")
    calls = []
    load_images(str(tmp_path / "data"), size=4, on_progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (10, 10)


@pytest.mark.parametrize(
    ("labels", "label", "split", "rule"),
    [
        ([0, 0, 1, -1, 1], CLASSES, "train", "row 3 of split `train` of .* has -1"),
        ([0, 0, 1, None, 1], CLASSES, "train", "row 3 of split `train` of .* has None"),
        ([0, 0, 1, -1, 1], datasets.Value("int32"), "train", "row 3 of split `train` of .* has -1"),
        (["a", "b", None, "a", "b"], datasets.Value("string"), "train", "row 2 of split `train` of .* has None"),
        ([0, 0, 1, -1, 1], CLASSES, "test", "row 3 of split `test` of .* has -1"),
        (["a", "b", "a", "zebra", "b"], datasets.Value("string"), "test", "row 3 of split `test` of .* has 'zebra'"),
        (["zebra"] * 5, datasets.Value("string"), "test", "row 0 of split `test` of .* has 'zebra'"),
    ],
)
def test_labels_of_no_class_are_named(tmp_path: Path, labels: list[Any], label: Any, split: str, rule: str) -> None:
    known = list("aaabb") if label.dtype == "string" else LABELS
    parts = {"train": data_set(known, label=label)} | {split: data_set(labels, label=label)}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "data")
    with one_line(f"every label must be one of the 2 classes .*{rule}"):
        load_images(str(tmp_path / "data"), size=4)


def one_line(rule: str) -> AbstractContextManager[object]:
    """Expects one `ValueError` of a single line."""
    return pytest.raises(ValueError, match=rf"\A(?-s:{rule}.*)\Z")


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
        "from evaluation.image_data import load_images\n"
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


def columns(tmp_path: Path, **values: list[Any]) -> str:
    features = {
        "image": datasets.Image(),
        "photo": datasets.Image(),
        "label": CLASSES,
        "fine": datasets.ClassLabel(names=list("abcde")),
        "number": datasets.Value("int64"),
        "text": datasets.Value("string"),
        "score": datasets.Value("float32"),
    }
    chosen = datasets.Features({name: features[name] for name in values})
    datasets.Dataset.from_dict(values, features=chosen).save_to_disk(tmp_path / "data")
    return str(tmp_path / "data")


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


def test_columns_can_be_chosen(tmp_path: Path) -> None:
    other = [0, 1, 2, 3, 4]
    place = columns(tmp_path, image=images(), photo=images()[::-1], label=LABELS, fine=other)
    data = load_images(place, size=4, image_column="photo", label_column="fine")
    assert data.class_names == ("a", "b", "c", "d", "e")
    check(load_images(place, size=4, image_column="image", label_column="label").train, TRAIN)
    with one_line("`--label-column` must name a column of labels, but .* has none named 'fin'"):
        load_images(place, size=4, image_column="image", label_column="fin")


def test_a_column_of_class_labels_goes_before_other_numbers(tmp_path: Path) -> None:
    check(load_images(columns(tmp_path, image=images(), label=LABELS, number=[9] * 5), size=4).train, TRAIN)


@pytest.mark.parametrize("column", ["image", "label"])
def test_a_test_split_must_have_the_same_columns(tmp_path: Path, column: str) -> None:
    test = data_set(LABELS).remove_columns(column)
    datasets.DatasetDict({"train": data_set(LABELS), "test": test}).save_to_disk(tmp_path / "data")
    with one_line(f"split `test` of .* must have the .* column '{column}', but has "):
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
    with one_line(f"every image must be readable, but row 2{named} of split `{split}` of '.*data' is corrupt: "):
        load_images(str(tmp_path / "data"), size=4)


def test_a_corrupt_image_far_down_is_named(tmp_path: Path) -> None:
    cells = [raw(Image.new("RGB", (1, 1)))] * 2100
    cells[2050] = raw(b"no image")
    write_raw(tmp_path / "data" / "train.parquet", cells, ["a", "b"] * 1050)
    with one_line("every image must be readable, but row 2050 of split `train`"):
        load_images(str(tmp_path / "data"), size=1)


def test_a_corrupt_file_of_an_image_folder_is_named(tmp_path: Path) -> None:
    one_folder_a_class(tmp_path / "data")
    (tmp_path / "data" / "dog" / "3.png").write_bytes(b"no image")
    with one_line(r"every image must be readable, but row 3 \(.*dog/3.png\) of split `train`"):
        load_images(str(tmp_path / "data"), size=4)


CIFAR10 = os.environ.get("PI_PARETO_NAS_CIFAR10")


@pytest.mark.slow
@pytest.mark.skipif(not CIFAR10, reason="needs CIFAR-10: set PI_PARETO_NAS_CIFAR10 to its folder of parquet files")
def test_cifar10() -> None:
    """Published figures: 5,000 training images a class; mean and standard deviation of each channel (roughly: JPEG)."""
    data = load_images(str(Path(str(CIFAR10))), size=32)
    assert data.class_names[0] == "airplane"
    assert np.bincount(data.train.labels_N).tolist() == [5000] * 10
    assert data.test is not None
    channels = [data.train.images_NCHW[:, channel] for channel in range(3)]
    np.testing.assert_allclose([levels.mean() / 255 for levels in channels], (0.4914, 0.4822, 0.4465), atol=0.003)
    np.testing.assert_allclose([levels.std() / 255 for levels in channels], (0.2470, 0.2435, 0.2616), atol=0.003)
    assert not data.grey
