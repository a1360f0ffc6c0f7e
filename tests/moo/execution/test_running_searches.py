from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import ray

from dnas.inner_search import StepRecord
from dnas.losses import Coefficients
from moo.execution.collector import LONGEST_MESSAGE, Collector
from moo.execution.news import InnerSearchProgress
from moo.execution.running_searches import RunningSearches
from moo.trials import ArchitectureTrial, CoefficientTrial, DeliveryJob

TRIAL, OTHER = (CoefficientTrial(number, 0, Coefficients(1.0, 1.0, 1.0, 1.0)) for number in range(2))


def progress(trial: CoefficientTrial, step: int, records: int = 1) -> InnerSearchProgress:
    record = StepRecord.of([0.1 * step] * 7)
    return InnerSearchProgress(
        trial=trial, step=step, steps=9, records=(record,) * records, ended=tuple(0.1 * one for one in range(records))
    )


class FakeRay:
    """Ray's calls of a collector in this process; `error` is what they end with."""

    exceptions = ray.exceptions

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.refuses: Exception | None = None
        self.is_slow = False
        self.collectors: list[Collector] = []

    def new_collector(self) -> Any:
        """An actor."""
        collector = Collector()
        self.collectors.append(collector)
        return SimpleNamespace(
            put=SimpleNamespace(remote=lambda message: self._call(collector.put, message)),
            fetch=SimpleNamespace(remote=lambda: self._call(collector.fetch)),
        )

    def _call(self, method: Any, *arguments: Any) -> Any:
        if self.refuses is not None:
            raise self.refuses
        return self.error or method(*arguments)

    def wait(self, references: list[Any], *, timeout: float) -> tuple[list[Any], list[Any]]:
        assert timeout == 0
        return ([], references) if self.is_slow else (references, [])

    def get(self, answer: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake = FakeRay()
    monkeypatch.setattr("moo.execution.running_searches.ray", fake)
    return fake


def steps(searches: RunningSearches) -> list[tuple[int, int]]:
    """All that comes when it is asked for twice: the first time fetches."""
    return [(one.trial.id, one.step) for _ in range(2) for one in searches.news()]


def test_what_workers_tell_comes_in_order(fake: FakeRay) -> None:
    searches = RunningSearches(fake.new_collector)
    tell, tell_other = searches.begin(TRIAL), searches.begin(OTHER)
    assert tell is not None
    assert tell_other is not None
    tell(progress(TRIAL, 1))
    tell_other(progress(OTHER, 5))
    tell(progress(TRIAL, 2))
    assert steps(searches) == [(0, 1), (1, 5), (0, 2)]
    assert steps(searches) == []
    assert len(fake.collectors) == 1


def test_only_inner_searches_have_something_to_tell_and_need_a_collector(fake: FakeRay) -> None:
    searches = RunningSearches(fake.new_collector)
    assert searches.begin(ArchitectureTrial(id=1, generation=0, indices=(0,))) is None
    assert searches.begin(DeliveryJob((0,))) is None
    assert RunningSearches().begin(TRIAL) is None
    assert steps(searches) == []
    assert fake.collectors == []


def test_searches_that_are_done_together_tell_by_one_and_end_together(fake: FakeRay) -> None:
    searches = RunningSearches(fake.new_collector)
    tell = searches.begin(TRIAL, OTHER)
    assert tell is not None
    for trial, step in ((TRIAL, 1), (OTHER, 1), (TRIAL, 2)):
        tell(progress(trial, step))
    assert steps(searches) == [(0, 1), (1, 1), (0, 2)]
    tell(progress(OTHER, 2))
    searches.end(TRIAL, OTHER)
    assert steps(searches) == []


def test_what_comes_late_is_dropped_of_trials_that_ended_and_of_tries_that_died(fake: FakeRay) -> None:
    searches = RunningSearches(fake.new_collector)
    first, ended = searches.begin(TRIAL), searches.begin(OTHER)
    assert first is not None
    assert ended is not None
    first(progress(TRIAL, 8))
    ended(progress(OTHER, 9))
    for job in (TRIAL, OTHER):
        searches.end(job)
    second = searches.begin(TRIAL)
    assert second is not None
    second(progress(TRIAL, 1))
    first(progress(TRIAL, 9))
    assert steps(searches) == [(0, 1)]


def test_a_collector_that_is_slow_lost_or_full_stops_nobody(fake: FakeRay) -> None:
    searches = RunningSearches(fake.new_collector)
    tell = searches.begin(TRIAL)
    assert tell is not None
    fake.is_slow = True
    tell(progress(TRIAL, 1))
    assert steps(searches) == []
    fake.is_slow = False
    assert steps(searches) == [(0, 1)]
    fake.error = ray.exceptions.ActorDiedError()
    tell(progress(TRIAL, 2))
    assert steps(searches) == steps(searches) == []
    fake.error, fake.refuses = None, ray.exceptions.PendingCallsLimitExceeded("full")
    tell(progress(TRIAL, 3))
    assert steps(searches) == []
    fake.refuses = None
    tell(progress(TRIAL, 4))
    assert steps(searches) == [(0, 4)]


def test_a_message_that_ray_would_put_into_its_object_store_is_not_sent(fake: FakeRay) -> None:
    searches = RunningSearches(fake.new_collector)
    tell = searches.begin(TRIAL)
    assert tell is not None
    fake.refuses = AssertionError("was sent")
    tell(progress(TRIAL, 9, records=LONGEST_MESSAGE))
    fake.refuses = None
    tell(progress(TRIAL, 9, records=200))
    assert steps(searches) == [(0, 9)]
