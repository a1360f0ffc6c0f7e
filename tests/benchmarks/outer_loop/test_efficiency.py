from __future__ import annotations

import statistics

import pytest

from benchmarks.outer_loop.efficiency import Efficiency, efficiency, searched, settings_of
from benchmarks.outer_loop.stand_ins import Worked


def test_efficiency_of_workers_that_are_never_idle_is_one() -> None:
    worked = [Worked(number, 3.0 + 2.0 * (number // 4), 2.0) for number in range(12)]
    assert efficiency(worked, workers=4, stage_seconds=6.0) == Efficiency(1.0, 1.0)


def test_efficiency_counts_gaps_and_ends_for_one_figure_when_a_worker_finds_no_trial() -> None:
    """Two workers: 0-2 and 3-5 on one, 0-8 on the other; from 5 on fewer trials are left than workers."""
    worked = [Worked(0, 0.0, 2.0), Worked(1, 3.0, 2.0), Worked(2, 0.0, 8.0)]
    found = efficiency(worked, workers=2, stage_seconds=10.0)
    assert found.while_trials_are_left == pytest.approx((2 + 2 + 5) / (2 * 5))
    assert found.whole_stage == pytest.approx(12 / (2 * 10))


def test_uneven_durations_differ_and_have_the_stated_mean() -> None:
    settings = settings_of(population=32, generations=2, surrogate=False, asynchronous=True, seed=0)
    found = searched(settings, place="simulated", workers=8, seconds=0.002, durations="uneven")
    seconds = [trial.seconds for trial in found.worked]
    assert len(seconds) == len(set(seconds)) == 64
    assert statistics.mean(seconds) == pytest.approx(0.002, rel=0.2)
    assert statistics.stdev(seconds) == pytest.approx(0.001, rel=0.3)
