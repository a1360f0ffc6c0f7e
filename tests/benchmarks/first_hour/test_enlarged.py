from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.first_hour.enlarged import EnlargedConfig, write_enlarged
from evaluation.data.loading import load_images


def test_an_enlarged_data_set_shows_what_the_data_set_did(tmp_path: Path) -> None:
    count = write_enlarged(
        EnlargedConfig(dataset="digits", out=str(tmp_path / "e"), native=8, width=96, height=64, images=40)
    )
    assert count == 40
    for path in (tmp_path / "e").rglob("*.jpg"):
        with Image.open(path) as image:
            assert image.size == (96, 64)
    original = load_images("digits", size=8)
    path = next((tmp_path / "e" / "train").rglob("*.jpg"))
    with Image.open(path) as image:
        small = np.asarray(image.resize((8, 8), Image.Resampling.BOX), float)
    pixels = original.train.pixels[int(path.stem)].transpose(1, 2, 0)
    assert np.abs(small - pixels).mean() < 20
    assert str(original.train.labels_N[int(path.stem)]) == path.parent.name


def test_a_folder_that_holds_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="empty folder"):
        write_enlarged(EnlargedConfig(dataset="digits", out=str(tmp_path)))


def test_sizes_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="--width >= 1"):
        EnlargedConfig(dataset="digits", out="e", width=0)
