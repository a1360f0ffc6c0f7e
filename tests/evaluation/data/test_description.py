"""What is said of pictures: sizes upright, and the side that holds what they show."""

import numpy as np
import pytest
from PIL import Image

from benchmarks.first_hour.photos import KINDS, photo
from evaluation.data.description import SIDES, look_at
from evaluation.data.pictures import BrokenPictureError
from tests.evaluation.data.test_pictures import jpeg, with_orientation


def natural(side: int, seed: int) -> Image.Image:
    """Noise whose amplitude falls with its frequency, as that of photos does, sharp at its own size."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None])
    frequency[0, 0] = np.inf
    field = np.fft.ifft2(np.fft.fft2(rng.normal(size=(side, side))) / frequency**1.25).real
    return Image.fromarray(np.uint8(np.clip(128 + 45 * field / field.std(), 0, 255)))


@pytest.mark.parametrize("own", [24, 32, 64])
def test_enlarged_pictures_show_no_more_than_they_did(own: int) -> None:
    small = [natural(4 * own, seed).resize((own, own), Image.Resampling.BICUBIC) for seed in range(20)]
    enlarged = [jpeg(image.resize((640, 480), Image.Resampling.BICUBIC).convert("RGB")) for image in small]
    assert look_at(enlarged).detail == own


def test_sharp_pictures_are_not_called_small() -> None:
    assert look_at([natural(300, seed) for seed in range(20)]).detail >= 128
    rng = np.random.default_rng(0)
    assert look_at([jpeg(photo(kind, rng)) for kind in KINDS]).detail >= 128


@pytest.mark.parametrize("own", [8, 20, 32, 100])
def test_the_detail_is_never_more_than_the_pictures_own(own: int) -> None:
    rng = np.random.default_rng(0)
    noise = [Image.fromarray(rng.integers(0, 256, (own, own + 4), dtype=np.uint8)) for _ in range(5)]
    assert look_at(noise).detail == own


def test_plain_pictures_need_the_shortest_side() -> None:
    assert look_at([Image.new("RGB", (100, 100), "blue")]).detail == SIDES[0]


def test_sizes_are_those_of_upright_pictures() -> None:
    looks = look_at([with_orientation(Image.new("RGB", (40, 30)), orientation) for orientation in (6, 8, 5, 1)])
    assert (looks.width, looks.height, looks.aspect) == (30, 40, pytest.approx(4 / 3))
    assert (looks.portrait, looks.landscape) == (0.75, 0.25)


def test_broken_pictures_are_passed_over() -> None:
    assert look_at([None, Image.new("RGB", (40, 30)), {"bytes": b"no", "path": None}]).width == 40
    with pytest.raises(BrokenPictureError, match="none of the 1 pictures that were looked at can be read"):
        look_at([None])
