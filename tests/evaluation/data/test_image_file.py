"""A file of images: whole or none, mapped, and small to send."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from evaluation.data.facts import DatasetFacts
from evaluation.data.image_file import IMAGES_FOLDER, FileDetails, ImageFile, ImageWriter, read_details
from evaluation.data.images import Pixels

FACTS = DatasetFacts(train_split="train", test_split=None, images_of_class=(20, 30), test_images_of_class=())


def write(path: Path, images: Pixels) -> FileDetails:
    with path.open("w+b") as file:
        writer = ImageWriter(file, images.shape[-1])
        for image_CHW in images:
            writer.add(image_CHW)
        return writer.finish(omitted=((), (3,)), grey=False, width=40, height=30, scattered=False, facts=FACTS)


@pytest.fixture
def images() -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (50, 3, 9, 9), dtype=np.uint8)


@pytest.fixture
def file(tmp_path: Path, images: Pixels) -> ImageFile:
    path = tmp_path / "a.images"
    return ImageFile(path, write(path, images))


def test_images_come_back_as_they_were(file: ImageFile, images: Pixels) -> None:
    assert read_details(file.path) == file.details
    np.testing.assert_array_equal(file.mapped, images)
    file.read_ahead(np.array([49, 0, 7]))
    with pytest.raises(ValueError, match="read-only"):
        file.mapped[0] = 0


def test_what_is_sent_has_no_pixels(file: ImageFile, tmp_path: Path, images: Pixels) -> None:
    assert file.mapped.shape == images.shape
    content = pickle.dumps(file)
    np.testing.assert_array_equal(pickle.loads(content).mapped, images)
    path = tmp_path / "b.images"
    larger = pickle.dumps(ImageFile(path, write(path, np.zeros((5000, 3, 20, 20), np.uint8))))
    assert abs(len(larger) - len(content)) < 16


@pytest.mark.parametrize("cut", [1, 60, 10_000, 12_200])
def test_a_file_that_ends_too_early_is_none(file: ImageFile, cut: int) -> None:
    os.truncate(file.path, file.path.stat().st_size - cut)
    assert read_details(file.path) is None
    with pytest.raises(FileNotFoundError, match="not whole"):
        _ = file.mapped


@pytest.mark.parametrize("place", [0, 12_149, -1, -20, -45, -100])
def test_a_file_that_was_changed_is_none(file: ImageFile, place: int) -> None:
    content = bytearray(file.path.read_bytes())
    content[place] ^= 1
    file.path.write_bytes(content)
    os.utime(file.path, (0, 0))
    assert read_details(file.path) is None


def test_a_copy_is_read_once_and_then_believed(file: ImageFile) -> None:
    os.utime(file.path, (0, 0))
    assert read_details(file.path) == file.details
    assert file.path.stat().st_mtime == file.details.written


def test_what_is_no_such_file_is_none(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("PNASIMG1" * 20)
    (tmp_path / "link").symlink_to(tmp_path / "text")
    os.mkfifo(tmp_path / "pipe")
    for name in ("text", "link", "pipe", "absent", "."):
        assert read_details(tmp_path / name) is None


def test_on_another_machine_it_is_looked_for_in_its_own_folder(
    file: ImageFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(IMAGES_FOLDER, str(tmp_path / "own"))
    (tmp_path / "own").mkdir()
    elsewhere = ImageFile(Path("/nowhere/a.images"), file.details)
    assert not elsewhere.is_here
    file.path.rename(tmp_path / "own" / "a.images")
    assert elsewhere.is_here
    assert elsewhere.mapped.shape == file.shape
