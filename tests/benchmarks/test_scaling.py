from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import scaling as bench
from benchmarks.outer_loop.efficiency import Efficiency
from scripts.interface.command_line import run


@pytest.mark.parametrize("asynchronous", [False, True])
def test_all_trials_of_a_search_are_done_once_and_take_the_stated_time(asynchronous: bool) -> None:
    config = bench.ScalingConfig(seconds=0.02, trials_per_worker=8)
    row = bench.measured_row(config, "simulated", 2, "even", asynchronous=asynchronous)
    assert row.trials == 16
    assert row.mean_seconds == pytest.approx(0.02)
    assert 0 < row.efficiency.whole_stage < 1
    assert 0 < row.efficiency.while_trials_are_left < 1


def test_the_picture_shows_all_rows_of_simulated_workers() -> None:
    config = bench.ScalingConfig()
    row = bench.Row(
        place="simulated", workers=1, durations="even", asynchronous=False, trials=8, mean_seconds=2.0,
        stage_seconds=16.5, driver_cpu_ms=5.0, efficiency=Efficiency(0.99, 0.97),
    )  # fmt: skip
    figure = bench.picture([row, replace(row, workers=4), replace(row, place="ray", workers=16)], config)
    (line, *_) = figure.axes[0].get_lines()
    assert np.asarray(line.get_xdata()).tolist() == [1, 4]
    assert np.asarray(line.get_ydata()).tolist() == [99, 99]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--workers", "4", "0"], "`--workers >= 1` must hold, but got 0."),
        (["--ray", "-1"], "`--ray >= 1` must hold, but got -1."),
        (["--seconds", "0"], "`--seconds > 0` must hold, but got 0."),
        (
            ["--trials-per-worker", "6"],
            "`--trials-per-worker` must be a multiple of 4, the trials of a generation, but",
        ),
        (["--seed", "-1"], "`--seed >= 0` must hold, but got -1."),
        (["--out", __file__], "`--out` must be a folder, but"),
    ],
)
def test_wrong_options_are_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["scaling.py", *options])
    with pytest.raises(SystemExit) as stop:
        run(bench.main)
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")
