from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.outer_loop.efficiency import prepared, settings_of
from benchmarks.outer_loop.stand_ins import StandIn
from moo.trials import ArchitectureTrial, TrialResult


def test_a_single_evaluation_takes_its_part_of_the_time_of_a_trial_of_coefficients(tmp_path: Path) -> None:
    settings = settings_of(population=4, generations=2, surrogate=True, asynchronous=False, seed=0)
    preparation = prepared(settings, tmp_path / "run")
    stand_in = StandIn(preparation.setup, 0.05, "even", tmp_path / "journal")
    trial = ArchitectureTrial(id=7, generation=1, indices=(0,) * preparation.space.num_layers)
    assert preparation.cost_tables is not None
    result = stand_in.work(trial, preparation.cost_tables)
    assert isinstance(result, TrialResult)
    assert [item.indices for item in result.architectures] == [trial.indices]
    (worked,) = stand_in.worked()
    assert (worked.id, worked.seconds) == (7, pytest.approx(0.05 / (1 + preparation.config.samples)))
