from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from devices.cost_tables.family import CostTables
from dnas.losses import Coefficients
from moo import events
from moo.execution.backend import InProcessBackend
from moo.execution.evaluator import Evaluator
from moo.execution.news import InnerSearchProgress, WorkerNews
from moo.execution.pretraining import untrained_weights
from moo.trials import CoefficientTrial, Job, TrialFailure, TrialResult, WorkerSetup
from moo.visualization.tensorboard import TensorBoardWriter

TRIAL = CoefficientTrial(0, 0, Coefficients(0.1, 1.0, 0.1, 1.0))


def ignore(job: Job) -> None:
    """Stands for a listener."""


@pytest.fixture
def each_step_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dnas.inner_search.TOLD_APART_SECONDS", 0.0)


@pytest.fixture
def watched(setup: WorkerSetup, tables: CostTables) -> Callable[..., list[TrialResult | TrialFailure]]:
    def run(watch: Callable[[WorkerNews | None], None]) -> list[TrialResult | TrialFailure]:
        backend = InProcessBackend(setup)
        backend.watch = watch
        outcomes = list(backend.run([TRIAL], tables, untrained_weights(setup), ignore))
        return [one for one in outcomes if isinstance(one, TrialResult | TrialFailure)]

    return run


@pytest.mark.usefixtures("each_step_is_told")
def test_a_trial_tells_all_its_steps_while_its_worker_is_busy_and_its_result_is_the_same(
    watched: Callable[..., list[TrialResult]], setup: WorkerSetup, tables: CostTables
) -> None:
    news: list[WorkerNews | None] = []
    (result,) = watched(news.append)
    busy, *steps, idle = news
    assert isinstance(busy, events.WorkerBusy)
    assert isinstance(idle, events.WorkerIdle)
    told = [one for one in steps if isinstance(one, InnerSearchProgress)]
    assert len(told) == len(steps)
    assert result.theta is not None
    assert tuple(record for one in told for record in one.records) == result.theta.records
    assert tuple(at for one in told for at in one.ended) == result.theta.ended
    assert [(one.step, one.steps) for one in told] == [
        (step, setup.theta.steps) for step in range(1, setup.theta.steps + 1)
    ]
    alone = Evaluator(setup).run(TRIAL, tables, untrained_weights(setup))
    assert isinstance(alone, TrialResult)
    assert alone.theta is not None
    assert (result.architectures, result.theta.records) == (alone.architectures, alone.theta.records)


@pytest.mark.usefixtures("each_step_is_told")
def test_what_goes_wrong_where_it_is_told_of_is_no_failure_of_the_trial(
    watched: Callable[..., list[TrialResult]],
) -> None:
    def watch(news: WorkerNews | None) -> None:
        if isinstance(news, InnerSearchProgress):
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        watched(watch)


@pytest.mark.usefixtures("each_step_is_told")
def test_tensorboard_shows_a_trial_before_it_ends_and_nothing_of_it_twice(
    watched: Callable[..., list[TrialResult]], setup: WorkerSetup, tmp_path: Path
) -> None:
    writer = TensorBoardWriter(tmp_path)
    seen: list[int] = []

    def points() -> int:
        accumulator = EventAccumulator(str(tmp_path / "trial_0000"), size_guidance={"scalars": 0})
        return len(accumulator.Reload().Scalars("theta/loss"))

    def watch(news: WorkerNews | None) -> None:
        if news is not None:
            writer(news)
        if isinstance(news, InnerSearchProgress):
            seen.append(points())

    (result,) = watched(watch)
    assert seen == list(range(1, setup.theta.steps + 1))
    writer(events.TrialFinished(result, 1))
    writer.close()
    assert points() == setup.theta.steps
