from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.first_hour.photos import KINDS, SIZE, PhotosConfig, photo, write_photos


def test_photos_lie_in_one_folder_a_kind_in_equal_shares(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 16)
    counts = {path.name: len(list(path.glob("*.jpg"))) for path in (tmp_path / "photos").iterdir()}
    assert counts.keys() == KINDS.keys()
    assert sum(counts.values()) == 16
    assert set(counts.values()) == {2, 3}
    for path in (tmp_path / "photos").rglob("*.jpg"):
        with Image.open(path) as image:
            assert image.size == SIZE


def test_a_photo_depends_on_seed_and_number_alone() -> None:
    first, again, other = (np.asarray(photo("nut", np.random.default_rng([0, n]))) for n in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_parts_are_not_in_the_middle() -> None:
    """Against the same photo's ground alone: where it differs most is where the part is."""
    off = 0
    for number in range(10):
        pixels = np.asarray(photo("washer", np.random.default_rng(number)), np.float64).mean(-1)
        away = np.abs(pixels - np.median(pixels)) > 40
        rows, columns = np.nonzero(away)
        off += np.hypot(rows.mean() - SIZE[1] / 2, columns.mean() - SIZE[0] / 2) > 25 if len(rows) else 1
    assert off >= 7


def test_a_folder_that_holds_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="empty folder"):
        write_photos(tmp_path, 7)


@pytest.mark.parametrize(("images", "seed", "rule"), [(6, 0, "--images >= 7"), (7, -1, "--seed >= 0")])
def test_numbers_out_of_range_are_refused(images: int, seed: int, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        PhotosConfig(out="photos", images=images, seed=seed)
