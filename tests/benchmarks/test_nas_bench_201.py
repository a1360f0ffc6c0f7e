from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from benchmarks import nas_bench_201 as bench
from scripts.interface import command_line


def run(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    files: Path,
    *options: object,
) -> str:
    """What it prints; an option without a value has None in its place."""
    defaults: dict[object, object] = {
        "--accuracy": files / "accuracy.csv",
        "--accuracy-column": "test",
        "--cost": files / "cost.csv",
        "--cost-column": "pi_ms",
    }
    given = {**defaults, **dict(zip(options[::2], options[1::2], strict=True))}
    words = [str(word) for pair in given.items() for word in pair if word is not None]
    monkeypatch.setattr(sys, "argv", ["nas_bench_201.py", *words])
    bench.main()
    return capsys.readouterr().out


@pytest.mark.slow
def test_two_costs_exact_gradients_and_a_picture(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], files: Path, tmp_path: Path
) -> None:
    out = run(
        monkeypatch, capsys, files, "--cost2", files / "cost.csv", "--cost2-column", "pi_mj", "--evaluations",
        60, "--seeds", 2, "--out", tmp_path / "new", "--json", None, "--oracle-gradient", None, "--beside", None,
        "--exhaustive", None,
    )  # fmt: skip
    result = json.loads(out)
    means = {row["method"]: row["mean"] for row in result["rows"]}
    assert set(means) == {
        "surrogate-assisted", "one round behind", "bayesian", "bayesian, all cells judged",
        "NSGA-II on architectures", "random search",
        "EXACT GRADIENT (oracle)",
    }  # fmt: skip
    assert means["random search"] < means["one round behind"] < result["whole_table"]
    assert means["random search"] < means["surrogate-assisted"] < result["whole_table"]
    assert means["random search"] < means["EXACT GRADIENT (oracle)"] < result["whole_table"]
    assert all(
        row["sd"] >= 0 and row["interval"] >= 0 and row["seconds"] > 0 and row["evaluations"] == 60
        for row in result["rows"]
    )
    assert (tmp_path / "new" / "nas_bench_201.png").stat().st_size > 10_000


def test_quick_prints_a_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], files: Path) -> None:
    lines = run(monkeypatch, capsys, files, "--quick", None).splitlines()
    assert lines[0].endswith("over 1 seed(s)")
    assert [line.split()[0] for line in lines[2:]] == ["surrogate-assisted", "bayesian", "NSGA-II", "random"]


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (("--accuracy-column", "valid"), "must have the column `valid`, but .*accuracy.csv has index, arch_str, test"),
        (("--cost-column", "arch_str"), "must have the column `arch_str`, but .*cost.csv has index, pi_ms, pi_mj"),
        (("--cost", "missing.csv"), "a table must be a CSV file, but missing.csv cannot be read"),
        (("--evaluations", 1), "`--evaluations` must be numbers from 2 to 15625, but got 1"),
        (("--seeds", 0), "`--seeds >= 1` must hold, but got 0"),
        (("--cost2", "cost.csv"), "`--cost2` and `--cost2-column` must be given together"),
    ],
)
def test_wrong_options_are_told(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    files: Path,
    options: tuple[object, ...],
    rule: str,
) -> None:
    with pytest.raises(ValueError, match=rule):
        run(monkeypatch, capsys, files, *options)


def test_a_missing_file_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], files: Path
) -> None:
    def main() -> None:
        run(monkeypatch, capsys, files, "--cost", "missing.csv")

    with pytest.raises(SystemExit) as stop:
        command_line.run(main)
    assert stop.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_row_of_tpe_asks_for_optuna(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], files: Path
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"`--tpe` needs Optuna, .*pip install 'pi-pareto-nas\[rivals\]'"):
        run(monkeypatch, capsys, files, "--quick", None, "--tpe", None)


@pytest.mark.slow
def test_a_row_of_tpe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], files: Path) -> None:
    pytest.importorskip("optuna", reason="Optuna is not installed: run `pip install optuna`")
    out = run(monkeypatch, capsys, files, "--evaluations", 25, "--seeds", 1, "--tpe", None, "--json", None)
    (row,) = (row for row in json.loads(out)["rows"] if row["method"] == bench.TPE)
    assert 0 < row["mean"] < json.loads(out)["whole_table"]
