"""Pictures upright, on one ground, square, and the same however they are decoded."""

import io
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from evaluation.data.pictures import PADDING, BrokenPictureError, read_picture, square, upright_size
from tests.evaluation.image_files import pixels, png, raw


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    """A smooth picture, as photos are."""
    coarse = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def jpeg(image: Image.Image, **options: Any) -> dict[str, Any]:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, **options)
    return {"bytes": buffer.getvalue(), "path": None}


def with_orientation(image: Image.Image, orientation: int) -> dict[str, Any]:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return jpeg(image, exif=exif)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_upright_as_pillow_turns_them(orientation: int) -> None:
    entry = with_orientation(photo(24, 16), orientation)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(entry["bytes"])))
    picture = read_picture(entry, rules=2)
    np.testing.assert_array_equal(np.asarray(picture.image), np.asarray(expected))
    assert not picture.grey
    assert upright_size(entry) == (picture.width, picture.height) == picture.image.size


def test_earlier_work_keeps_pixels_as_they_are_stored() -> None:
    entry = with_orientation(photo(24, 16), 6)
    assert read_picture(entry, rules=1).image.size == (24, 16)


@pytest.mark.parametrize("orientation", [0, 9, 60_000])
def test_an_orientation_that_does_not_exist_is_upright(orientation: int) -> None:
    entry = with_orientation(photo(24, 16), orientation)
    assert read_picture(entry, rules=2).image.size == (24, 16)


def exif_with(order: str, entries: bytes) -> bytes:
    head = {"<": b"II*\0", ">": b"MM\0*"}[order]
    return b"Exif\0\0" + head + struct.pack(f"{order}IH", 8, len(entries) // 12) + entries + bytes(4)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["H", "I"])
def test_numbers_of_either_length_and_order_are_read(order: str, kind: str) -> None:
    value = struct.pack(f"{order}{kind}", 6).ljust(4, b"\0")
    entries = struct.pack(f"{order}HHI", 0x0100, 3, 1) + b"\0" * 4
    entries += struct.pack(f"{order}HHI", 0x0112, {"H": 3, "I": 4}[kind], 1) + value
    assert read_picture(jpeg(photo(24, 16), exif=exif_with(order, entries)), rules=2).image.size == (16, 24)


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0",
        b"Exif\0\0nonsense",
        b"Exif\0\0MM\0*\xff\xff\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01",
        exif_with("<", struct.pack("<HHI", 0x0112, 3, 1)),
    ],
)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_is_harmless(exif: bytes) -> None:
    entry = jpeg(photo(24, 16), exif=exif)
    assert read_picture(entry, rules=2).image.size == upright_size(entry) == (24, 16)


def test_a_turned_tiff_is_turned_once() -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    image = photo(24, 16)
    image.save(buffer, "TIFF", exif=exif)
    entry = {"bytes": buffer.getvalue(), "path": None}
    assert upright_size(entry) == (16, 24)
    found = read_picture(entry, rules=2).image
    np.testing.assert_array_equal(np.asarray(found), np.asarray(image.transpose(Image.Transpose.ROTATE_270)))


def transparent(mode: str) -> Image.Image:
    """Half of it transparent, where its hidden colour is black; the rest is black."""
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 255))
    image.paste((0, 0, 0, 0), (2, 0, 4, 4))
    return image if mode == "RGBA" else image.convert(mode)


def black_is_transparent(mode: str) -> bytes:
    image = Image.new(mode, (4, 4))
    image.paste(200 if mode != "RGB" else (200, 200, 200), (0, 0, 2, 4))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=0 if mode != "RGB" else (0, 0, 0))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "drawn"),
    [
        (png(transparent("RGBA")), 0),
        (png(transparent("LA")), 0),
        (black_is_transparent("L"), 200),
        (black_is_transparent("RGB"), 200),
    ],
    ids=["RGBA", "LA", "L with a transparent level", "RGB with a transparent colour"],
)
def test_what_is_transparent_is_white(data: bytes, drawn: int) -> None:
    found = np.asarray(read_picture({"bytes": data, "path": None}, rules=2).image)
    assert (found[:, :2] == drawn).all()
    assert (found[:, 2:] == 255).all()


def test_a_transparent_palette_is_white() -> None:
    image = Image.new("P", (4, 4))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.paste(1, (0, 0, 2, 4))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=0)
    found = np.asarray(read_picture({"bytes": buffer.getvalue(), "path": None}, rules=2).image)
    assert (found[:, :2] == (40, 50, 60)).all()
    assert (found[:, 2:] == 255).all()


@pytest.mark.parametrize("side", [96, 224])
def test_a_jpeg_at_a_fraction_of_its_size_gives_nearly_the_same(side: int) -> None:
    entry = jpeg(photo(640, 480))
    whole, part = read_picture(entry, rules=2).image, read_picture(entry, rules=2, least_side=2 * side).image
    assert whole.size == (640, 480)
    assert read_picture(entry, rules=2, least_side=2 * side).width == 640
    assert part.size == ((320, 240) if side == 96 else (640, 480))
    first, second = (np.asarray(square(image, side, "crop"), np.int64) for image in (whole, part))
    assert np.abs(first - second).mean() < 1
    assert read_picture(entry, rules=1, least_side=2 * side).image.size == (640, 480)


def test_the_central_square_is_cropped() -> None:
    image = Image.fromarray(pixels(1, size=12)[0][:8])
    np.testing.assert_array_equal(np.asarray(square(image, 8, "crop")), np.asarray(image)[:, 2:10])


def test_a_whole_picture_is_stretched_as_pillow_does() -> None:
    image = photo(40, 30)
    expected = image.resize((20, 20), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(np.asarray(square(image, 20, "stretch")), np.asarray(expected))


@pytest.mark.parametrize(("width", "height"), [(40, 20), (20, 40)])
def test_a_whole_picture_lies_between_grey_bars(width: int, height: int) -> None:
    found = np.asarray(square(photo(width, height), 40, "pad"))
    bars = (
        np.concatenate([found[:10], found[30:]]) if width > height else np.concatenate([found[:, :10], found[:, 30:]])
    )
    assert (bars == PADDING).all()
    inner = found[10:30] if width > height else found[:, 10:30]
    np.testing.assert_array_equal(inner, np.asarray(photo(width, height)))


@pytest.mark.parametrize(
    "entry", [None, raw(b"no image"), {"bytes": None, "path": None}, {"bytes": None, "path": "no-such-file.png"}]
)
def test_what_cannot_be_read_is_said(entry: Any) -> None:
    for read in (lambda: read_picture(entry, rules=2), lambda: upright_size(entry)):
        with pytest.raises(BrokenPictureError, match=r"\A.+\Z"):
            read()


def test_a_picture_of_more_pixels_than_machines_have_is_refused_unread() -> None:
    buffer = io.BytesIO()
    Image.new("1", (20_000, 8_000)).save(buffer, "PNG")
    assert len(buffer.getvalue()) < 100_000
    with pytest.raises(BrokenPictureError, match=r"it has 20000 x 8000 pixels, and 67,108,864 are read at most"):
        read_picture({"bytes": buffer.getvalue(), "path": None}, rules=2)


def test_formats_that_hold_programs_are_not_read() -> None:
    buffer = io.BytesIO()
    photo(16, 16).save(buffer, "EPS")
    for read in (upright_size, lambda entry: read_picture(entry, rules=2)):
        with pytest.raises(BrokenPictureError, match="cannot identify image file"):
            read({"bytes": buffer.getvalue(), "path": None})


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", "/dev/zero", tmp_path):
        with pytest.raises(BrokenPictureError, match="a picture must be a file"):
            read_picture({"bytes": None, "path": str(path)}, rules=2)
