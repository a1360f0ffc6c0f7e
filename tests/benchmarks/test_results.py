from __future__ import annotations

import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from benchmarks.results import Column, TextTable, half_width, print_results, with_interval, write_results


def test_rows_stand_under_their_titles() -> None:
    table = TextTable(
        Column(title="side", width=6, left=True),
        Column(title="share", width=8, form=".1%"),
        Column(title="time", width=8, form=".2f", unit=" s"),
    )
    assert table.head == "side      share     time"
    assert table.row("one", 0.5, 2) == "one       50.0%   2.00 s"
    assert table.row("two", None, 1) == "two               1.00 s"


def test_results_are_printed_for_programs_or_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    print_results({"ratio": 2}, ["twice", "as fast"], as_json=False)
    assert capsys.readouterr().out == "twice\nas fast\n"
    print_results({"ratio": 2}, ["twice", "as fast"], as_json=True)
    assert json.loads(capsys.readouterr().out) == {"ratio": 2}


def test_results_and_pictures_lie_in_one_folder(tmp_path: Path) -> None:
    write_results(str(tmp_path / "new" / "folder"), {"ratio": 2}, {"ratio.png": Figure})
    assert json.loads((tmp_path / "new" / "folder" / "results.json").read_text()) == {"ratio": 2}
    assert (tmp_path / "new" / "folder" / "ratio.png").read_bytes().startswith(b"\x89PNG")


def test_without_a_folder_nothing_is_drawn() -> None:
    def draw() -> Figure:
        raise AssertionError

    write_results(None, {}, {"picture.png": draw})


def test_intervals_are_those_of_student() -> None:
    """Of 1, 2, 3: deviation 1, t of two degrees of freedom 4.303."""
    assert half_width([1.0, 2.0, 3.0]) == pytest.approx(4.303 / 3**0.5, rel=1e-3)
    assert half_width([1.0]) == 0


@pytest.mark.parametrize(
    ("mean", "half", "text"),
    [
        (0.982154, 0.00024, "0.9822 ± 0.0002"),
        (0.982154, 0.000051, "0.98215 ± 0.00005"),
        (0.982154, 0.0126, "0.982 ± 0.013"),
        (0.982154, 0.0, "0.9822"),
        (123.4, 30.0, "123 ± 30"),
    ],
)
def test_means_have_no_more_digits_than_they_carry(mean: float, half: float, text: str) -> None:
    assert with_interval(mean, half) == text
