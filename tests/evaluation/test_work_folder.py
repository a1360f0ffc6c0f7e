"""Folders of long work: where they may lie, what is written into them, and with what they are resumed."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from evaluation.work_folder import (
    check_out_and_resume,
    check_same_values,
    lock_folder,
    new_work_folder,
    with_absolute_paths,
)


def test_a_folder_is_named_after_the_work_and_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = new_work_folder(None, name="digits-tiny", what="a run")
    assert path.parent == Path("runs")
    assert path.name.startswith("digits-tiny-2")
    assert not path.exists()


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    assert new_work_folder(str(tmp_path), name="", what="a run") == tmp_path


def test_a_folder_of_work_that_was_killed_before_it_began_is_taken(tmp_path: Path) -> None:
    lock_folder(tmp_path).close()
    (tmp_path / "config.json.part").write_text("{")
    assert new_work_folder(str(tmp_path), name="", what="a run") == tmp_path


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(ValueError, match="must name a folder, but .*out' is a file"):
        new_work_folder(str(tmp_path / "out"), name="", what="a run")


@pytest.mark.parametrize(("file", "state"), [("config.json", "already holds a training"), ("notes", "is not empty")])
def test_what_is_there_stays(tmp_path: Path, file: str, state: str) -> None:
    (tmp_path / file).write_text("")
    with pytest.raises(ValueError, match=f"{state}; choose another, or go on with a training by --resume"):
        new_work_folder(str(tmp_path), name="", what="a training")


def test_a_folder_inside_a_file_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="must lie where files can be written"):
        new_work_folder(str(tmp_path / "file" / "out"), name="", what="a run")


def test_work_goes_on_in_its_own_folder() -> None:
    check_out_and_resume(None, "a")
    check_out_and_resume("a", "a")
    with pytest.raises(ValueError, match="got --out b and --resume a; omit `--out`"):
        check_out_and_resume("b", "a")


def test_the_first_value_that_differs_is_named() -> None:
    saved = {"quiet": False, "label_smoothing": 0.1, "seed": 0}
    check = partial(check_same_values, free={"quiet"}, rule="it was made with", remedy="start anew")
    check(saved | {"quiet": True}, saved)
    with pytest.raises(ValueError) as caught:
        check(saved | {"label_smoothing": 0.2, "seed": 1}, saved)
    rule = "it was made with label_smoothing=0.1 and got label_smoothing=0.2"
    assert str(caught.value) == f"{rule}; omit `--label-smoothing`, or start anew."


def test_a_folder_is_had_by_one_at_a_time(tmp_path: Path) -> None:
    with lock_folder(tmp_path / "run"), pytest.raises(ValueError, match="another works in '.*run': wait until it has"):
        lock_folder(tmp_path / "run")
    lock_folder(tmp_path / "run").close()


@dataclass(frozen=True)
class Paths:
    dataset: str = "photos"
    space: str = "fbnet-micro"
    device: tuple[str, ...] = ("host", "table.json")
    weights: str | None = None


def test_local_paths_become_absolute_and_other_names_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    make = partial(with_absolute_paths, files=("space", "device", "weights"), folders=("dataset",))
    assert make(Paths()) == Paths()
    for name in ("photos", "fbnet-micro", "host"):
        (tmp_path / name).mkdir()
    (tmp_path / "table.json").touch()
    absolute = Paths(dataset=str(tmp_path / "photos"), device=("host", str(tmp_path / "table.json")))
    assert make(Paths()) == absolute
    assert make(Paths(dataset="~/photos", device=("host", "~/table.json"))) == absolute
    assert make(absolute) == absolute
    assert make(Paths(dataset="")).dataset == ""
