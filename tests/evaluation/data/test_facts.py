"""What is told of a data set: splits, images of each class, what was left out, what is strange."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.data.facts import DatasetFacts, numbers_text, used_text
from evaluation.data.source import open_source
from tests.evaluation.image_files import images, pixels, raw, write_raw

FACTS = DatasetFacts(
    train_split="Training",
    test_split="val",
    images_of_class=(30, 2),
    test_images_of_class=(5, 0),
    left_out=("`extra` (3)",),
)


def test_what_is_used_and_what_is_not_is_one_line() -> None:
    assert used_text(FACTS, test_images=0, omitted=1) == (
        "trained on `Training` (32), tested on `val` (5); left out: `extra` (3), 1 that cannot be read"
    )
    assert numbers_text(FACTS, ("ok", "dent")) == (
        "ok 30, dent 2; tested on ok 5, dent 0; fewer than 3, so not in every split: dent"
    )


def test_many_classes_are_short() -> None:
    many = DatasetFacts(
        train_split="train", test_split=None, images_of_class=(*range(5, 1004), 2), test_images_of_class=()
    )
    text = numbers_text(many, [f"class {number}" for number in range(1000)])
    assert text == "2 (class 999) to 1,003 (class 998); fewer than 4, so not in every split: class 999"


def files(folder: Path, **contents: Image.Image) -> str:
    for name, image in contents.items():
        split, kind, number = name.split("_")
        (folder / split / kind).mkdir(parents=True, exist_ok=True)
        image.save(folder / split / kind / f"{number}.png")
    return str(folder)


def test_pictures_that_come_again_are_counted(tmp_path: Path) -> None:
    one, two, three, four = images(pixels(4))
    place = files(
        tmp_path, train_a_1=one, train_a_2=two, train_b_1=one, train_b_2=three, train_b_3=three, test_a_1=two,
        test_b_1=four,
    )  # fmt: skip
    assert open_source(place).facts.warnings == (
        "1 picture is both trained and tested on, byte by byte",
        "1 training picture in several classes at once, byte by byte",
        "2 training pictures more than once, byte by byte",
    )


def test_pictures_of_a_table_that_come_again_are_counted(tmp_path: Path) -> None:
    write_raw(tmp_path / "data" / "train.parquet", [raw(image) for image in images(pixels(3))], list("aab"))
    write_raw(tmp_path / "data" / "test.parquet", [raw(images(pixels(3))[1]), None], list("ab"))
    assert open_source(str(tmp_path / "data")).facts.warnings == (
        "1 picture is both trained and tested on, byte by byte",
    )


@pytest.mark.parametrize(
    ("levels", "said"),
    [((7, 7), "all of 4 pictures that were looked at are the same"), ((2, 5), "differ by 3 of 256 levels")],
)
def test_pictures_that_show_nothing_are_told(tmp_path: Path, levels: tuple[int, int], said: str) -> None:
    names = ("train_a_1", "train_a_2", "train_b_1", "train_b_2")
    place = files(tmp_path, **{name: Image.new("L", (9, 9), levels[number % 2]) for number, name in enumerate(names)})
    assert said in open_source(place).facts.warnings[0]


def test_the_first_frame_is_taken_and_that_is_told(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((8, 8), level, np.uint8)) for level in (0, 255)]
    for kind, order in (("a", 1), ("b", -1)):
        (tmp_path / kind).mkdir()
        first, *others = frames[::order]
        first.save(tmp_path / kind / "1.gif", save_all=True, append_images=others)
    assert open_source(str(tmp_path)).facts.warnings == (
        "2 of 2 pictures have several frames or pages, of which the first is taken",
    )
