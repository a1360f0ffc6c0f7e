"""Files of images: made once, found again, made anew where what they are made of was changed, and never half."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.data import kept_images, loading
from evaluation.data.image_file import IMAGES_FOLDER, ImageFile, ImageWriter, images_folder
from evaluation.data.images import ImageData, Pixels
from evaluation.data.kept_images import receive
from evaluation.data.source import DataSource, Part
from evaluation.splits import split_data


@pytest.fixture(autouse=True)
def _in_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "IN_MEMORY_BYTES", 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for number in range(24):
        path = tmp_path / "pictures" / "ab"[number % 2] / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).save(path)
    return tmp_path / "pictures"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Pictures that were decoded."""
    seen: list[object] = []
    image_of = loading.image_of

    def noted(entry: object, *args: object) -> object:
        seen.append(entry)
        return image_of(entry, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(loading, "image_of", noted)
    return seen


def files() -> list[str]:
    return sorted(path.name for path in images_folder().glob("*.images*") if path.suffix not in (".lock", ".json"))


def load(folder: Path, *, name: Path | None = None, skip_broken: bool = False) -> ImageData:
    """The images of a folder, read as `open_source` has them read, but sooner; or of files that another one lists."""
    paths = sorted(folder.rglob("*.png"))
    pictures = [{"bytes": None, "path": str(path)} for path in paths]
    labels_N = np.array([path.parent.name == "b" for path in paths], np.int64)
    source = DataSource(str(name or folder), Part("train", pictures, labels_N), test=None, class_names=("a", "b"))
    return loading.load(source, 6, resize="crop", skip_broken=skip_broken)


def pixels(data: ImageData) -> Pixels:
    return data.train.pixels


def test_images_of_a_file_are_those_in_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mapped = split_data(load(folder), 1)
    monkeypatch.setattr(loading, "IN_MEMORY_BYTES", 2**20)
    held = split_data(load(folder), 1)
    assert isinstance(mapped.weights.images, ImageFile)
    assert not isinstance(held.weights.images, ImageFile)
    assert (mapped.fingerprint, mapped.mean_C, mapped.std_C) == (held.fingerprint, held.mean_C, held.std_C)
    for name in ("weights", "theta", "selection", "test"):
        one, other = getattr(mapped, name), getattr(held, name)
        np.testing.assert_array_equal(one.pixels, other.pixels)
        np.testing.assert_array_equal(one.labels_N, other.labels_N)
    assert (mapped.grey, mapped.width, mapped.omitted) == (held.grey, held.width, held.omitted)


def test_later_runs_decode_nothing(folder: Path, decoded: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    first = split_data(load(folder), 0)
    assert len(decoded) == 24
    monkeypatch.setattr(ImageFile, "read_ahead", lambda *_: pytest.fail("pixels were read"))
    again = split_data(load(folder), 0)
    assert len(decoded) == 24
    assert (again.fingerprint, again.mean_C) == (first.fingerprint, first.mean_C)


def test_a_changed_folder_is_made_anew_and_its_old_file_removed(folder: Path, decoded: list[object]) -> None:
    before = load(folder)
    (name,) = files()
    picture = folder / "a" / "00.png"
    Image.new("RGB", (6, 6)).save(picture)
    after = load(folder)
    assert len(decoded) == 48
    assert not pixels(after)[0].any()
    assert len(files()) == 1
    assert name not in files()
    del before


def test_an_old_file_in_use_stays(folder: Path) -> None:
    before = load(folder)
    (name,) = files()
    assert pixels(before).any()
    picture = folder / "a" / "00.png"
    os.utime(picture, (1, 1))
    load(folder)
    assert name in files()
    assert len(files()) == 2


def test_files_that_nobody_used_for_long_are_removed(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "others")
    load(folder)
    (name,) = files()
    os.utime(images_folder() / f"{name}.lock", (0, 0))
    load(tmp_path / "others")
    assert len(files()) == 1
    assert name not in files()


@pytest.mark.parametrize("damage", ["truncated", "changed", "removed"])
def test_a_damaged_file_is_made_anew(folder: Path, damage: str) -> None:
    expected = pixels(load(folder)).copy()
    (name,) = files()
    path = images_folder() / name
    if damage == "truncated":
        os.truncate(path, 100)
    elif damage == "changed":
        path.write_bytes(b"\0" + path.read_bytes()[1:])
    else:
        path.unlink()
    np.testing.assert_array_equal(pixels(load(folder)), expected)


def test_what_an_interruption_leaves_is_not_believed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add, count = ImageWriter.add, iter(range(100))

    def interrupted(writer: ImageWriter, pixels_CHW: Pixels) -> None:
        if next(count) == 10:
            raise KeyboardInterrupt
        add(writer, pixels_CHW)

    with monkeypatch.context() as patch:
        patch.setattr(ImageWriter, "add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            load(folder)
    assert not files()
    # As a kill leaves it.
    (lock,) = images_folder().glob("*.lock")
    lock.with_suffix(".part").write_bytes(b"half")
    assert len(load(folder).train) == 24
    assert not list(images_folder().glob("*.part"))


def test_two_at_once_make_it_once(folder: Path, decoded: list[object]) -> None:
    found: list[ImageData] = []
    threads = [threading.Thread(target=lambda: found.append(load(folder))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(decoded) == 24
    np.testing.assert_array_equal(pixels(found[0]), pixels(found[1]))


def test_broken_pictures_leave_no_file_unless_they_are_skipped(folder: Path) -> None:
    (folder / "a" / "02.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="every image must be readable"):
        load(folder)
    assert not files()
    first, again = load(folder, skip_broken=True), load(folder, skip_broken=True)
    assert first.omitted == again.omitted == 1
    assert len(again.train) == 23
    np.testing.assert_array_equal(pixels(first), pixels(again))


def test_a_full_disk_is_said_before_anything_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_images, "LEAST_FREE_BYTES", 2**62)
    with pytest.raises(
        ValueError, match=r"images of 0.0 GB must fit into .* are free. Name another .*_IMAGES"
    ) as error:
        load(folder)
    assert "\n" not in str(error.value)
    assert not files()


def test_a_disk_that_fills_meanwhile_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(ImageWriter, "add", full)
    with pytest.raises(ValueError, match="No space left on device"):
        load(folder)
    assert not files()


def test_a_folder_that_takes_no_files_is_named(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(IMAGES_FOLDER, str(tmp_path / "file" / "images"))
    with pytest.raises(ValueError, match="Name another folder by `PI_PARETO_NAS_IMAGES`"):
        load(folder)


def test_pictures_outside_of_the_data_set_are_decoded_each_time(
    folder: Path, tmp_path: Path, decoded: list[object]
) -> None:
    (tmp_path / "listed").mkdir()
    for _ in range(2):
        assert len(load(folder, name=tmp_path / "listed").train) == 24
    assert len(decoded) == 48


def test_a_link_in_a_folder_that_leads_back_ends(folder: Path) -> None:
    (folder / "a" / "back").symlink_to(folder)
    assert kept_images._listing(folder) == kept_images._listing(folder)


def test_a_file_of_another_machine_is_received_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = load(folder).train.images
    assert isinstance(images, ImageFile)
    content, sent = images.path.read_bytes(), []

    def pieces() -> Iterator[bytes]:
        sent.append(True)
        yield content[:1000]
        yield content[1000:]

    monkeypatch.setenv(IMAGES_FOLDER, str(tmp_path / "own"))
    elsewhere = ImageFile(Path("/nowhere") / images.path.name, images.details)
    with pytest.raises(ValueError, match="must come as it was sent"):
        receive(elsewhere, lambda: iter([content[:-1]]))
    receive(elsewhere, pieces)
    receive(elsewhere, pieces)
    assert len(sent) == 1
    np.testing.assert_array_equal(elsewhere.mapped, images.mapped)
