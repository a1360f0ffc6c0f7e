from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.outer_loop import growth
from benchmarks.outer_loop.growth import STEPS, GrowthConfig, GrowthRow, measured
from benchmarks.outer_loop.synthetic_runs import IMAGES, write_run
from moo.search.preparation import archive_for
from moo.storage.run_folder import RunFolder
from moo.storage.store import read_store


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 120 architectures in 18 configurations."""
    folder = tmp_path_factory.mktemp("growth") / "120"
    write_run(folder, 120, space="fbnet-micro", configurations="default", seed=0)
    return folder


def test_a_run_is_made_up_as_a_search_writes_it(run: Path) -> None:
    config, origin = RunFolder(run).read_config()
    with closing(read_store(RunFolder(run).store)) as store:
        archive = store.fill(archive_for(config, growth._tables(run), origin.dataset), origin.space)
        trials = store.trials()
    assert len(archive) == 120
    assert len(archive.configurations) == 18
    assert {stored.trial.generation for stored in trials.values()} == set(range(6))
    assert len(archive.front()) > 20
    errors = {entry.error for entry in archive.entries}
    assert min(errors) < 0.15 < 0.3 < max(errors)
    assert all(round(error * IMAGES.selection) == pytest.approx(error * IMAGES.selection) for error in errors)


@pytest.mark.parametrize(
    "step",
    ["resuming", "result", "tensorboard", "generation", "choosing", pytest.param("proposing", marks=pytest.mark.slow)],
)
def test_each_step_is_done_and_timed(run: Path, step: str) -> None:
    row = measured(step, run, 120)
    assert row.cpu_seconds > 0
    assert row.process_cpu_seconds > row.cpu_seconds
    assert row.peak_mb > 10


@pytest.mark.slow
def test_pictures_and_report_are_those_of_the_run(run: Path) -> None:
    assert measured("report", run, 120).cpu_seconds > 0
    assert "Of 120 evaluated architectures" in RunFolder(run).report.read_text()


def test_an_exponent_is_that_of_the_number_of_architectures() -> None:
    row = GrowthRow(
        step="report", architectures=100, process_cpu_seconds=3.0, cpu_seconds=1.0, seconds=1.0, peak_mb=1.0
    )
    for step, exponent in (("report", 2.0), ("choosing", None)):
        later = GrowthRow(
            step=step, architectures=300, process_cpu_seconds=9.0, cpu_seconds=9.0, seconds=1.0, peak_mb=1.0
        )
        found = growth._with_exponent(later, [row]).exponent
        assert found == (None if exponent is None else pytest.approx(exponent))
    assert growth._with_exponent(row, []).exponent is None


def test_unknown_steps_are_refused() -> None:
    with pytest.raises(ValueError, match=f"`--steps` must be of {', '.join(STEPS)}, but got reports."):
        GrowthConfig(steps=("reports",))
