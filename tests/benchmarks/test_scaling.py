from __future__ import annotations

import statistics
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import scaling as bench
from moo.trials import ArchitectureTrial


def test_efficiency_of_workers_that_are_never_idle_is_one() -> None:
    worked = [bench.Worked(number, 3.0 + 2.0 * (number // 4), 2.0) for number in range(12)]
    assert bench.efficiency(worked, workers=4, stage_seconds=6.0) == bench.Efficiency(1.0, 1.0)


def test_efficiency_counts_gaps_and_ends_for_one_figure_when_a_worker_finds_no_job() -> None:
    """Two workers: 0-2 and 3-5 on one, 0-8 on the other; from 5 on fewer jobs are left than workers."""
    worked = [bench.Worked(0, 0.0, 2.0), bench.Worked(1, 3.0, 2.0), bench.Worked(2, 0.0, 8.0)]
    found = bench.efficiency(worked, workers=2, stage_seconds=10.0)
    assert found.while_jobs_are_left == pytest.approx((2 + 2 + 5) / (2 * 5))
    assert found.whole_stage == pytest.approx(12 / (2 * 10))


@pytest.mark.parametrize("asynchronous", [False, True])
def test_all_jobs_of_a_search_are_done_once_and_take_the_time_that_they_are_to(asynchronous: bool) -> None:
    config = bench.ScalingConfig(seconds=0.02, jobs_per_worker=8)
    row = bench.measured_row(config, "simulated", 2, "even", asynchronous=asynchronous)
    assert row.jobs == 16
    assert row.mean_seconds == pytest.approx(0.02)
    assert 0 < row.efficiency.whole_stage < 1
    assert 0 < row.efficiency.while_jobs_are_left < 1


def test_a_single_evaluation_takes_its_part_of_the_time_of_a_tuple(tmp_path: Path) -> None:
    settings = bench.settings_of(population=4, generations=2, steered=True, asynchronous=False, seed=0)
    preparation = bench.prepared(settings, tmp_path / "run")
    stand_in = bench.StandIn(preparation.setup, 0.05, "even", tmp_path / "journal")
    job = ArchitectureTrial(7, 1, (0,) * preparation.space.num_layers)
    result = stand_in.work(job, preparation.cost_table)  # type: ignore[arg-type]
    assert [item.indices for item in result.architectures] == [job.indices]
    (worked,) = stand_in.worked()
    assert (worked.job, worked.seconds) == (7, pytest.approx(0.05 / (1 + preparation.config.samples)))


def test_uneven_durations_differ_and_have_the_stated_mean() -> None:
    settings = bench.settings_of(population=32, generations=2, steered=False, asynchronous=True, seed=0)
    found = bench.searched(settings, place="simulated", workers=8, seconds=0.002, durations="uneven")
    seconds = [job.seconds for job in found.worked]
    assert len(seconds) == len(set(seconds)) == 64
    assert statistics.mean(seconds) == pytest.approx(0.002, rel=0.2)
    assert statistics.stdev(seconds) == pytest.approx(0.001, rel=0.3)


def test_the_picture_shows_all_rows_of_simulated_workers() -> None:
    config = bench.ScalingConfig()
    row = bench.Row(
        "simulated", 1, "even", asynchronous=False, jobs=8, mean_seconds=2.0, stage_seconds=16.5, driver_cpu_ms=5.0,
        efficiency=bench.Efficiency(0.99, 0.97),
    )  # fmt: skip
    figure = bench.picture([row, replace(row, workers=4), replace(row, place="ray", workers=16)], config)
    (line, *_) = figure.axes[0].get_lines()
    assert list(line.get_xdata()) == [1, 4]  # type: ignore[arg-type]
    assert list(line.get_ydata()) == [99, 99]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--workers", "4", "0"], "`--workers >= 1` must hold, but got 0."),
        (["--ray", "-1"], "`--ray >= 1` must hold, but got -1."),
        (["--seconds", "0"], "`--seconds > 0` must hold, but got 0."),
        (
            ["--jobs-per-worker", "6"],
            "`--jobs-per-worker` must be a multiple of 4, as each generation has so many, but",
        ),
        (["--seed", "-1"], "`--seed >= 0` must hold, but got -1."),
        (["--out", __file__], "`--out` must be a folder, but"),
    ],
)
def test_wrong_options_are_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: Any, message: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["scaling.py", *options])
    with pytest.raises(SystemExit) as stop:
        bench.run(bench.main)
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")
