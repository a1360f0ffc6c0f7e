"""Whichever file of a run is damaged, however: it is named in one line, or the result is as if it were whole."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.safety import damage
from benchmarks.safety.damage import DamageConfig, answer_of, damages, tried
from benchmarks.safety.small_runs import READERS, make_runs, resumed, selected, trained, trained_on

QUICK = (
    ("begun/config.json", resumed),
    ("begun/search.sqlite", resumed),
    ("begun/cost_table.json", resumed),
    ("begun/checkpoints/supernet.safetensors", resumed),
    ("begun/checkpoints/surrogate_*.json", resumed),
    ("pretraining/checkpoints/pretraining.pt", resumed),
    ("finished/front.json", selected),
    ("finished/state.json", selected),
    ("finished/trained/*/model.onnx", trained),
    ("training/result.json", trained_on),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small runs, whole."""
    path = tmp_path_factory.mktemp("damage")
    make_runs(path / "runs")
    shutil.move(path / "runs", path / "whole")
    return path


@pytest.mark.slow
@pytest.mark.thorough
def test_each_file_is_named_or_harmless(folder: Path) -> None:
    rows = [tried(folder, kind, reader, DamageConfig(bytes=2, cuts=1)) for kind, reader in QUICK]
    assert [wrong for row in rows for wrong in row.wrong] == []
    assert all(row.tried == row.named + row.harmless == 7 and row.named >= 3 for row in rows)


def test_a_store_that_is_gone_is_no_new_beginning(folder: Path) -> None:
    shutil.rmtree(folder / "runs", ignore_errors=True)
    shutil.copytree(folder / "whole", folder / "runs")
    (folder / "runs" / "begun" / "search.sqlite").unlink()
    with pytest.raises(ValueError, match="a run that has begun must have its store, but .*search.sqlite' is missing"):
        resumed(folder / "runs" / "begun")


def test_all_kinds_of_damage_are_done(tmp_path: Path) -> None:
    whole, seen = bytes(range(256)), []
    (tmp_path / "runs").mkdir()
    for name, damage_it in damages(np.random.default_rng(0), bytes=3, cuts=2):
        path = tmp_path / "runs" / name
        path.write_bytes(whole)
        damage_it(path)
        if path.is_symlink():
            seen.append("link")
        elif path.is_file():
            content = path.read_bytes()
            changed = sum(a != b for a, b in zip(content, whole, strict=False))
            seen.append(f"{changed} changed" if len(content) == len(whole) else "shorter")
        else:
            seen.append("folder" if path.is_dir() else "gone")
    assert seen == ["1 changed"] * 3 + ["shorter"] * 3 + ["gone", "folder", "link"]


def test_answers_are_told_apart() -> None:
    def raising(error: Exception) -> object:
        raise error

    path = Path("folder/state.json")
    assert answer_of(lambda: 1, path, 1) == ("harmless", "")
    assert answer_of(lambda: 2, path, 1) == ("silent", "")
    assert answer_of(lambda: raising(ValueError("state.json is cut")), path, 1) == ("named", "")
    assert answer_of(lambda: raising(ValueError("it is cut")), path, 1) == ("nameless", "it is cut")
    assert answer_of(lambda: raising(KeyError("state.json")), path, 1)[0] == "traceback"


@pytest.mark.slow
@pytest.mark.thorough
def test_the_script_finds_nothing_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["damage.py", "--quick", "--json", "--out", str(tmp_path)])
    assert damage.main() == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert len(rows) == sum(map(len, READERS.values()))
    assert json.loads((tmp_path / "results.json").read_text())["rows"] == rows
