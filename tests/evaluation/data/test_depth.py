"""Pictures of more than 8 bits a pixel: one scale for all of a data set."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.data.depth import any_deep, find_depth
from evaluation.data.loading import load
from evaluation.data.pictures import BrokenPictureError, read_picture
from evaluation.data.source import open_source
from tests.evaluation.image_files import one_line

RNG = np.random.default_rng(0)


def deep(low: float, high: float, kind: type[np.generic] = np.uint16) -> Image.Image:
    """A picture whose levels rise evenly from one to another."""
    return Image.fromarray(np.linspace(low, high, 64).reshape(8, 8).astype(kind))


def grey(image: Image.Image, depth: tuple[float, float] | None) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.asarray(read_picture(image, rules=3, depth=depth).image)[..., 0]


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_one_scale_keeps_the_order_of_pictures(kind: type[np.generic]) -> None:
    cold, warm = deep(150, 250, kind), deep(250, 350, kind)
    depth = find_depth([cold, warm])
    assert depth == (150, 350)
    dark, bright = grey(cold, depth), grey(warm, depth)
    assert (dark.min(), bright.max()) == (0, 255)
    assert dark.max() <= bright.min()
    assert len(np.unique(dark)) > 50


def test_levels_below_zero_and_what_is_no_number_have_their_place() -> None:
    levels = np.asarray(deep(-1, 1, np.float32)).copy()
    levels[0, 0], levels[7, 7] = np.nan, np.inf
    image = Image.fromarray(levels)
    depth = find_depth([image, deep(-1, 1, np.float32)])
    assert depth == (-1, 1)
    assert (grey(image, depth)[0, 0], grey(image, depth)[7, 7]) == (0, 255)


def test_a_hot_pixel_does_not_set_the_scale() -> None:
    levels = RNG.integers(900, 1100, (64, 64)).astype(np.uint16)
    levels[3, 3] = 65535
    depth = find_depth([Image.fromarray(levels)])
    assert depth is not None
    assert 899 <= depth[0] <= 902
    assert 1097 <= depth[1] <= 1101


def test_levels_beyond_the_scale_are_cut_off() -> None:
    assert grey(deep(0, 4000), (1000.0, 2000.0)).min() == 0
    assert grey(deep(0, 4000), (1000.0, 2000.0)).max() == 255


def test_pictures_of_8_bits_have_no_scale() -> None:
    shallow = Image.new("RGB", (4, 4), "red")
    assert not any_deep([shallow, None])
    assert find_depth([shallow]) is None
    assert any_deep([shallow, deep(0, 9)])


def test_a_deep_picture_among_others_is_refused() -> None:
    with pytest.raises(BrokenPictureError, match="more than 8 bits a pixel, where the training pictures"):
        read_picture(deep(0, 9), rules=3)
    assert read_picture(deep(0, 9), rules=2).image.size == (8, 8)


def test_the_scale_is_that_of_the_training_split_and_is_kept(tmp_path: Path) -> None:
    for split, low in (("train", 1000), ("test", 500)):
        for name in ("a", "b"):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(2):
                deep(low, 2000).save(tmp_path / split / name / f"{number}.{'png' if number else 'tiff'}")
    source = open_source(str(tmp_path))
    assert source.depth == (1000, 2000)
    data = load(source, 8)
    assert (data.depth, data.rules, data.grey) == ((1000, 2000), 3, True)
    assert data.test is not None
    assert (data.train.pixels[0].min(), data.train.pixels[0].max()) == (0, 255)
    assert (data.test.pixels[0] == 0).mean() > 0.3
    assert load(source, 8, rules=2).depth is None


def test_deep_pictures_that_nobody_looked_at_are_told(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(2):
            Image.new("L", (8, 8), number).save(tmp_path / name / f"{number}.png")
    source = open_source(str(tmp_path))
    assert source.depth is None
    deep(0, 4000).save(tmp_path / "a" / "0.png")
    with one_line("every image must be readable, but 1 of the 4 .*more than 8 bits a pixel"):
        load(source, 8)
