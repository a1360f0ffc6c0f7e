import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks.built_in_boards.power_models import (
    COLUMNS,
    PowerModelsConfig,
    compare,
    errors_of,
    grouped,
    main,
    read_runs,
)
from devices.energy.power_model import RASPBERRY_PI_4

MODELLED_W = 2.69


def write_runs(path: Path, net_w: list[float], *, columns: tuple[str, ...] = COLUMNS, **fields: str) -> Path:
    """A file of runs of 10 ms with these powers above an idle power of 3 W, alternately in fp32 and int8."""
    with path.open("w") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        for index, power_w in enumerate(net_w):
            writer.writerow(
                {
                    "system": "rpi4",
                    "model": f"network{index}",
                    "valid": "True",
                    "precision": ("fp32", "int8")[index % 2],
                    "mean_ms": "10",
                    "avg_power_w": str(3 + power_w),
                    "pre_window_min_w": "2.9",
                    "post_window_min_w": "3.1",
                    **fields,
                }
            )
    return path


def test_errors_by_hand(tmp_path: Path) -> None:
    runs = read_runs(write_runs(tmp_path / "runs.csv", [MODELLED_W, 2 * MODELLED_W, 4 * MODELLED_W]), "rpi4")
    compared = compare(runs)
    assert [run.error for run in compared] == pytest.approx([0, -0.5, -0.75])
    # Scales of the other two: the roots of 8, 4 and 2.
    assert [run.scaled_error for run in compared] == pytest.approx([8**0.5 - 1, 0, 2**0.5 / 4 - 1])
    assert [run.published_mj for run in compared] == pytest.approx([26.9, 53.8, 107.6])
    assert [run.modelled_mj for run in compared] == pytest.approx([26.9] * 3)
    errors = errors_of(runs)
    assert (errors.runs, errors.scale, errors.largest) == (3, pytest.approx(2), pytest.approx(0.75))
    assert errors.mean == pytest.approx(1.25 / 3)
    gross = [(MODELLED_W + RASPBERRY_PI_4.idle_w) / (3 + factor * MODELLED_W) - 1 for factor in (1, 2, 4)]
    assert errors.gross == pytest.approx(np.abs(gross).mean())


def test_one_factor_mends_a_model_that_is_off_by_a_factor(tmp_path: Path) -> None:
    errors = errors_of(read_runs(write_runs(tmp_path / "runs.csv", [1.7 * MODELLED_W] * 5), "rpi4"))
    assert (errors.scale, errors.mean_scaled) == (pytest.approx(1.7), pytest.approx(0))


def test_groups_are_all_each_system_and_each_precision_of_two_runs_or_more(tmp_path: Path) -> None:
    groups = grouped(read_runs(write_runs(tmp_path / "runs.csv", [2.0, 3.0, 2.0]), "rpi4"))
    assert {name: len(runs) for name, runs in groups.items()} == {"all": 3, "rpi4": 3, "rpi4 fp32": 2}
    assert next(iter(groups)) == "all"


@pytest.mark.parametrize(
    ("fields", "columns", "message"),
    [
        ({"valid": "False"}, COLUMNS, "has 0: give another `--system`"),
        ({"avg_power_w": ""}, COLUMNS, "has 0"),
        ({"system": "xavier"}, COLUMNS, "begin with 'rpi4'"),
        ({}, COLUMNS[:-1], "lacks post_window_min_w"),
    ],
)
def test_files_without_runs_are_refused(
    fields: dict[str, str], columns: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    path = write_runs(tmp_path / "runs.csv", [2.0, 2.0], columns=columns, **fields)
    with pytest.raises(ValueError, match=message):
        read_runs(path, "rpi4")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.csv cannot be read"):
        read_runs(tmp_path / "none.csv", "rpi4")


def test_quick_is_ten_runs_and_two_are_the_least() -> None:
    assert PowerModelsConfig(csv="x").quickened().runs == 10
    with pytest.raises(ValueError, match="--runs >= 2"):
        PowerModelsConfig(csv="x", runs=1)


@pytest.mark.parametrize("as_json", [False, True])
def test_the_script_prints_runs_and_groups(
    as_json: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_runs(tmp_path / "runs.csv", [2.0, 3.0, 2.5])
    monkeypatch.setattr("sys.argv", ["power_models.py", "--csv", str(path), *(["--json"] if as_json else [])])
    main()
    printed = capsys.readouterr().out
    if as_json:
        content = json.loads(printed)
        assert len(content["runs"]) == 3
        assert content["groups"]["all"]["runs"] == 3
    else:
        assert "network2" in printed
        assert "power above idle" in printed


def test_claims_hold_on_the_published_runs() -> None:
    folder = os.environ.get("PI_PARETO_NAS_REFERENCE")
    if not folder:
        pytest.skip("needs published measurements: set PI_PARETO_NAS_REFERENCE to their folder")
    groups = grouped(read_runs(Path(folder) / "mlperf_pi4.csv", "rpi4"))
    lite = "rpi4coral-fan.on-tflite-v2.4.1-ruy"
    assert len(groups["all"]) == 104
    for name, error, scaled in (
        ("all", 0.152, 0.142),
        (lite, 0.151, 0.084),
        (f"{lite} fp32", 0.096, 0.061),
        (f"{lite} int8", 0.215, 0.031),
    ):
        errors = errors_of(groups[name])
        assert errors.mean == pytest.approx(error, abs=0.001)
        assert errors.mean_scaled == pytest.approx(scaled, abs=0.001)
