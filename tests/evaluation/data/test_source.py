"""Data sets of every form as arrays: pixels, labels, class names and splits."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from evaluation.data.loading import load, load_images
from evaluation.data.source import describe_images, open_source
from tests.evaluation.image_files import (
    CLASSES,
    LABELS,
    TEST,
    TRAIN,
    check,
    columns,
    data_set,
    images,
    one_folder_a_class,
    one_line,
    parquet_folder,
    pixels,
    raw,
    write_raw,
)


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


def saved_alone(folder: Path) -> None:
    data_set(LABELS).save_to_disk(folder)


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
        np.testing.assert_array_equal(data.train.pixels[:, channel], expected)
    np.testing.assert_array_equal(data.train.labels_N, digits.target)
    assert (data.test, data.class_names, data.grey) == (None, tuple("0123456789"), True)
    assert load_images("digits", size=12).train.pixels.shape == (1797, 3, 12, 12)


GREY = np.arange(16, dtype=np.uint8).reshape(4, 4) * 16

ALPHA = Image.fromarray(GREY.T.copy())


def with_alpha(image: Image.Image) -> Image.Image:
    image.putalpha(ALPHA)
    return image


def palette(**transparency: bytes) -> Image.Image:
    image = Image.fromarray(GREY).convert("P", palette=Image.Palette.ADAPTIVE)
    image.info.update(transparency)
    return image


ON_WHITE = np.uint8(np.round((GREY * (GREY.T / 255.0)) + 255 - GREY.T))
"""What is transparent by `ALPHA`, on a white ground."""


@pytest.mark.parametrize(
    ("image", "grey"),
    [
        (Image.fromarray(GREY), True),
        (palette(), False),
    ],
    ids=["L", "P"],
)
@pytest.mark.filterwarnings("error")
def test_images_of_every_mode_become_rgb(tmp_path: Path, image: Image.Image, *, grey: bool) -> None:
    write_raw(tmp_path / "data" / "train.parquet", [raw(image)] * 2)
    data = load_images(str(tmp_path / "data"), size=4)
    for channel in range(3):
        np.testing.assert_array_equal(data.train.pixels[0, channel], GREY)
    assert data.grey is grey


@pytest.mark.parametrize(
    ("image", "grey"),
    [(with_alpha(Image.fromarray(GREY)), True), (with_alpha(Image.fromarray(GREY).convert("RGB")), False)],
    ids=["LA", "RGBA"],
)
def test_transparent_images_lie_on_white(tmp_path: Path, image: Image.Image, *, grey: bool) -> None:
    write_raw(tmp_path / "data" / "train.parquet", [raw(image)] * 2)
    data = load_images(str(tmp_path / "data"), size=4)
    for channel in range(3):
        np.testing.assert_allclose(data.train.pixels[0, channel].astype(int), ON_WHITE.astype(int), atol=1)
    assert data.grey is grey
    old = load(open_source(str(tmp_path / "data")), 4, rules=1)
    np.testing.assert_array_equal(old.train.pixels[0, 0], GREY)


def test_black_and_white_images(tmp_path: Path) -> None:
    write_raw(tmp_path / "data" / "train.parquet", [raw(Image.fromarray(GREY > 100))] * 2)
    data = load_images(str(tmp_path / "data"), size=4)
    np.testing.assert_array_equal(data.train.pixels[1, 2], np.where(GREY > 100, 255, 0))
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
        load_images(str(tmp_path / "data"), size=4, resize="crop").train.pixels[0], central.transpose(2, 0, 1)
    )


def test_images_are_resized_as_pillow_does(tmp_path: Path) -> None:
    sizes = (pixels(1, size=9)[0], pixels(1, size=3)[0])
    write_raw(tmp_path / "data" / "train.parquet", [raw(Image.fromarray(image)) for image in sizes])
    train = load_images(str(tmp_path / "data"), size=6).train
    for got, image in zip(train.pixels, sizes, strict=True):
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


def test_broken_images_can_be_left_out(tmp_path: Path) -> None:
    cells = [raw(image) for image in images()]
    broken = [*cells[:1], raw(b"no image"), *cells[2:], None]
    write_raw(tmp_path / "data" / "train.parquet", broken, list("aabbab"))
    write_raw(tmp_path / "data" / "test.parquet", [raw(b"no image"), *cells], list("aababa"))
    calls: list[tuple[int, int]] = []
    data = load_images(
        str(tmp_path / "data"), size=4, skip_broken=True, on_progress=lambda *counts: calls.append(counts)
    )
    check(data.train, np.delete(TRAIN, 1, axis=0), [0, 1, 1, 0])
    check(data.test, TRAIN, [0, 1, 0, 1, 0])
    assert data.omitted == 3
    assert calls[-1] == (12, 12)


def test_a_test_split_of_broken_images_alone_is_none(tmp_path: Path) -> None:
    write_raw(tmp_path / "data" / "train.parquet", [raw(image) for image in images()], list("aabab"))
    write_raw(tmp_path / "data" / "test.parquet", [None] * 2)
    assert load_images(str(tmp_path / "data"), size=4, skip_broken=True).test is None


def test_a_source_says_which_splits_it_uses(tmp_path: Path) -> None:
    parts = {
        "train": data_set(LABELS),
        "test": data_set([-1] * 5),
        "extra": data_set(LABELS[:2], pixels_NHWC=TRAIN[:2]),
    }
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "data")
    facts = open_source(str(tmp_path / "data")).describe()
    assert (facts.train_split, facts.test_split, facts.test_images) == ("train", None, 0)
    assert facts.left_out == ("`test` (5, without labels)", "`extra` (2)")
    assert (facts.images, facts.classes, facts.images_of_class) == (5, ("cat", "dog"), (3, 2))


def test_images_of_a_source_are_read_as_its_description_says(tmp_path: Path) -> None:
    wide = [raw(Image.fromarray(np.concatenate([one, one[:, :2]], axis=1))) for one in TRAIN]
    write_raw(tmp_path / "data" / "train.parquet", wide, list("aabab"))
    source = open_source(str(tmp_path / "data"))
    assert source.describe().resize == "stretch"
    assert load(source, 4).resize == "stretch"
    check(
        load(source, 4, resize="crop").train,
        np.concatenate([TRAIN[:, :, 1:], TRAIN[:, :, :1]], axis=2),
        [0, 0, 1, 0, 1],
    )


def test_a_source_is_described_once(tmp_path: Path) -> None:
    parquet_folder(tmp_path / "data")
    source = open_source(str(tmp_path / "data"))
    assert source.describe() is source.describe()
    assert source.describe() == describe_images(str(tmp_path / "data"))


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


CIFAR10 = os.environ.get("PI_PARETO_NAS_CIFAR10")


@pytest.mark.slow
@pytest.mark.skipif(not CIFAR10, reason="needs CIFAR-10: set PI_PARETO_NAS_CIFAR10 to its folder of parquet files")
def test_cifar10() -> None:
    """Published figures: 5,000 training images a class; mean and standard deviation of each channel (roughly: JPEG)."""
    data = load_images(str(Path(str(CIFAR10))), size=32)
    assert data.class_names[0] == "airplane"
    assert np.bincount(data.train.labels_N).tolist() == [5000] * 10
    assert data.test is not None
    channels = [data.train.pixels[:, channel] for channel in range(3)]
    np.testing.assert_allclose([levels.mean() / 255 for levels in channels], (0.4914, 0.4822, 0.4465), atol=0.003)
    np.testing.assert_allclose([levels.std() / 255 for levels in channels], (0.2470, 0.2435, 0.2616), atol=0.003)
    assert not data.grey
