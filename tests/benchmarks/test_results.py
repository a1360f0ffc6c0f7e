from __future__ import annotations

import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from benchmarks.results import Column, TextTable, print_results, write_results


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
