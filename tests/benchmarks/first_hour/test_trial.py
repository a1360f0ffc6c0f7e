from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from benchmarks.first_hour.photos import write_photos
from benchmarks.first_hour.trial import Row, TrialConfig, lines, searched

ROW = Row(
    dataset="a/photos", space="fbnet-micro@96", pixels=96, images=165, minutes=11.5, network="abc",
    selection_error=0.4, test_error=0.25, test_low=0.15, test_high=0.4, test_images=45, guessing_error=0.85,
)  # fmt: skip


def test_points_are_accuracy_above_that_of_guessing() -> None:
    assert ROW.points == pytest.approx(60)
    worse = dataclasses.replace(ROW, test_error=0.9)
    assert worse.points == pytest.approx(-5)
    head, better_line, worse_line = lines([ROW, worse])
    assert "guessing" in head
    assert better_line.split()[-1] == "+60.0"
    assert worse_line.split()[-1] == "-5.0"


def test_bad_options_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one data set"):
        TrialConfig(datasets=(), out="runs")
    with pytest.raises(ValueError, match="--minutes > 0"):
        TrialConfig(datasets=("photos",), out="runs", minutes=0)


@pytest.mark.slow
@pytest.mark.thorough
def test_a_quick_trial_is_searched_once_and_then_read(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 84)
    config = TrialConfig(
        datasets=(str(tmp_path / "photos"),), out=str(tmp_path / "runs"), options="--space fbnet-micro --size 32"
    ).quickened()
    row = searched(config, 0)
    assert (row.space, row.pixels) == ("fbnet-micro", 32)
    assert row.test_low <= row.test_error <= row.test_high
    assert row.guessing_error == pytest.approx(6 / 7, abs=0.1)
    before = (tmp_path / "runs" / "0-photos" / "search.sqlite").stat().st_mtime_ns
    assert searched(config, 0) == row
    assert (tmp_path / "runs" / "0-photos" / "search.sqlite").stat().st_mtime_ns == before
