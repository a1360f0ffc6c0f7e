from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import ray

from dnas.losses import Coefficients
from moo.execution.groups import Group
from moo.execution.machinery import MachineryError
from moo.execution.ray_pool import ActorPool, PoolRun, Work
from moo.execution.ray_session import RayDiedError, RaySession, join_ray
from moo.execution.titles import title_of
from moo.trials import ArchitectureTrial, CoefficientTrial, Job, Outcome, TrialFailure, TrialResult


def test_without_a_home_to_write_to_ray_has_a_token_of_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(**options: object) -> None:
        raise RuntimeError(os.environ.get("RAY_AUTH_TOKEN", "none"))

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    for home, token in ((tmp_path, "none"), (tmp_path / "file" / "x", "[0-9a-f]{64}")):
        monkeypatch.setenv("RAY_AUTH_TOKEN", "")
        monkeypatch.delenv("RAY_AUTH_TOKEN")
        monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
        monkeypatch.setenv("HOME", str(home))
        with pytest.raises(MachineryError, match=f"on this machine: {token}\\."):
            join_ray(None, workers=1, dashboard=False)


@pytest.mark.parametrize("error", [RuntimeError("a\nb"), OSError(24, "Too many open files"), Exception("timed out")])
def test_a_ray_that_cannot_be_started_is_no_mistake_of_ours(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**options: object) -> None:
        raise error

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(MachineryError, match=r"Ray could not be started on this machine: .*\. Look at `ulimit -a`"):
        join_ray(None, workers=1, dashboard=False)


@pytest.mark.slow
def test_a_ray_that_was_started_here_ends_with_its_session_and_a_joined_one_goes_on() -> None:
    own = join_ray(None, workers=1, dashboard=False)
    joined = join_ray(None, workers=1, dashboard=False)
    assert (own.is_own, joined.is_own) == (True, False)
    assert own.dashboard_url is None
    joined.close()
    assert ray.is_initialized()
    own.close()
    own.close()
    assert not ray.is_initialized()


@dataclass
class Reference:
    """What a call of an actor is known by; `value` is there at once, None never."""

    value: Any

    __hash__ = object.__hash__


class Method:
    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def options(self, *, name: str) -> Method:
        assert name
        return self

    def remote(self, *arguments: Any) -> Reference:
        return Reference(self._call(*arguments))


class Actor:
    """Answers to a job what `answers` has next for it, else its result; an error is the answer to the whole group."""

    def __init__(self, answers: dict[Job, list[Any]], at_work: list[set[Job]], place: str) -> None:
        self._answers, self._at_work = answers, at_work
        self.where = Method(lambda: place)
        self.run = Method(self._run)

    def _run(self, group: Group, *inputs: Any) -> Any:
        self._at_work[-1].update(group)
        answers = [self._answer(job) for job in group]
        return next((one for one in answers if one is None or isinstance(one, Exception)), answers)

    def _answer(self, job: Job) -> Any:
        waiting = self._answers.get(job)
        return waiting.pop(0) if waiting else TrialResult(
            trial=job, architectures=(), chosen=0, theta=None, seconds=0.0  # type: ignore[arg-type]
        )  # fmt: skip


class FakeRay:
    """Ray's calls of a pool."""

    exceptions = ray.exceptions

    def __init__(self, at_work: list[set[Job]]) -> None:
        self._at_work = at_work

    def wait(self, references: list[Reference], *, num_returns: int, timeout: float) -> Any:
        del num_returns, timeout
        self._at_work.append(set())
        return [one for one in references if one.value is not None], []

    def get(self, reference: Reference) -> Any:
        if isinstance(reference.value, Exception):
            raise reference.value
        return reference.value

    def kill(self, actor: Actor) -> None:
        """Nothing to kill."""


class Session(RaySession):
    """Of a Ray that is as well as its field says."""

    part: str | None = None

    @property
    def dead_part(self) -> str | None:
        return Session.part


JOBS: list[Job] = [ArchitectureTrial(id=number, generation=0, indices=(number,)) for number in range(4)]


@pytest.fixture
def outcomes_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """Runs jobs on a fake Ray of two workers; gives the outcomes, and what was at work after each wait."""

    def run(
        answers: dict[Job, list[Any]], work: Work | None = None, places: Sequence[str] = ("a node",)
    ) -> tuple[list[Outcome], list[set[Job]]]:
        at_work: list[set[Job]] = [set()]
        where = itertools.cycle(places)
        monkeypatch.setattr("moo.execution.ray_pool.ray", FakeRay(at_work))
        pool = ActorPool(lambda words: Actor(answers, at_work, next(where)), lambda: 2, tmp_path)
        session = Session(is_own=True, dashboard_url=None)
        work = work or Work(JOBS, lambda job: None)
        return list(PoolRun(pool, work, session, (None, None)).outcomes()), at_work

    return run


def failures(outcomes: list[Outcome]) -> dict[int, bool]:
    return {one.trial.id: one.died for one in outcomes if isinstance(one, TrialFailure)}


@pytest.mark.parametrize(
    "error",
    [
        ray.exceptions.ActorDiedError(),
        ray.exceptions.ActorUnavailableError("gone", None),
        ray.exceptions.WorkerCrashedError(),
        ray.exceptions.NodeDiedError("gone"),
        ray.exceptions.OutOfMemoryError("too much"),
        TrialFailure(ArchitectureTrial(id=1, generation=0, indices=(1,)), "MemoryError", died=True),
    ],
)
def test_death_is_no_outcome_until_a_third_worker_had_the_machine_alone(
    outcomes_of: Callable[..., Any], error: Any
) -> None:
    for deaths in (1, 2):
        outcomes, _ = outcomes_of({JOBS[1]: [error] * deaths})
        assert failures(outcomes) == {}
        assert {one.trial for one in outcomes} == set(JOBS)
    outcomes, at_work = outcomes_of({JOBS[1]: [error] * 3})
    assert failures(outcomes) == {1: True}
    assert {one.trial for one in outcomes} == set(JOBS)
    assert [jobs for jobs in at_work if JOBS[1] in jobs][-1] == {JOBS[1]}, "nothing else begins beside the third try"


def test_of_several_nodes_it_is_kept_which_did_what(
    outcomes_of: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        outcomes_of({})
        assert caplog.messages == []
        outcomes_of({}, places=("here", "there"))
    done = dict(message.split(" was done by ") for message in caplog.messages)
    assert set(done) == set(map(title_of, JOBS))
    assert set(done.values()) == {"here", "there"}


def test_a_failure_of_a_job_itself_is_its_outcome_at_once(outcomes_of: Callable[..., Any]) -> None:
    failure = TrialFailure(ArchitectureTrial(id=1, generation=0, indices=(1,)), "ValueError: no")
    outcomes, _ = outcomes_of({JOBS[1]: [failure]})
    assert failures(outcomes) == {1: False}
    assert len(outcomes) == len(JOBS)


@pytest.mark.parametrize(
    "error",
    [
        ray.exceptions.ObjectLostError("a" * 56, None, ""),
        ray.exceptions.OwnerDiedError("a" * 56, None, ""),
        ray.exceptions.RaySystemError("gone"),
    ],
)
def test_what_ray_lost_ends_the_run_of_the_pool_and_all_jobs_still_wait(
    outcomes_of: Callable[..., Any], error: Exception
) -> None:
    work = Work(JOBS, lambda job: None)
    with pytest.raises(RayDiedError, match="^Ray lost what was given to it"):
        outcomes_of({JOBS[0]: [error]}, work)
    outcomes, _ = outcomes_of({}, work)
    assert {one.trial for one in outcomes} == set(JOBS)


def test_where_ray_is_dead_no_job_is_blamed(outcomes_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    class Dying(ray.exceptions.ActorDiedError):  # type: ignore[misc]
        """That of a worker whose raylet is dead by now."""

    work = Work(JOBS, lambda job: None)
    monkeypatch.setattr(
        "moo.execution.ray_pool._reason", lambda error: pytest.fail("a worker of a dead Ray is no death of its own")
    )
    get = FakeRay.get

    def dies(self: FakeRay, reference: Reference) -> Any:
        if isinstance(reference.value, Dying):
            Session.part = "raylet"
        return get(self, reference)

    monkeypatch.setattr(FakeRay, "get", dies)
    try:
        with pytest.raises(RayDiedError, match=r"^Ray died \(its raylet\)\.$"):
            outcomes_of({JOBS[0]: [Dying()]}, work)
    finally:
        Session.part = None
    outcomes, _ = outcomes_of({}, work)
    assert {one.trial for one in outcomes} == set(JOBS)


def test_three_crashes_are_the_jobs_own_and_one_kill_among_them_is_not() -> None:
    crash, job = "Fatal Python error: Segmentation fault", JOBS[0]
    for words, died in (
        ((crash,) * 3, False),
        ((crash, crash, ""), True),
        (("", "", crash), True),
        (("", crash, crash), True),
        (("Bus error",) * 3, True),
    ):
        work = Work([], lambda job: None)
        assert work.death((job,), "killed", words[0]) == []
        assert work.death((job,), "killed", words[1]) == []
        (failure,) = work.death((job,), "killed", words[2])
        assert isinstance(failure, TrialFailure)
        assert failure.died is died


SEARCHES: list[Job] = [CoefficientTrial(number, 0, Coefficients(0.1, 1.0, 0.1, 1.0)) for number in range(6)]


def test_trials_are_searched_together_in_the_order_of_their_numbers(outcomes_of: Callable[..., Any]) -> None:
    started: list[Job] = []
    outcomes, at_work = outcomes_of({}, Work(SEARCHES, started.append, most=4))
    assert started == SEARCHES
    assert {one.trial for one in outcomes} == set(SEARCHES)
    assert [jobs for jobs in at_work if jobs] == [set(SEARCHES)], "both workers have one group each"


def test_trials_whose_worker_died_are_tried_again_one_by_one(outcomes_of: Callable[..., Any]) -> None:
    """The third death of one of them is its own; the others are done in their second try."""
    for deaths in (1, 2, 3):
        errors = [ray.exceptions.ActorDiedError() for _ in range(deaths)]
        outcomes, at_work = outcomes_of({SEARCHES[1]: errors}, Work(SEARCHES[:3], lambda job: None, most=4))
        assert failures(outcomes) == ({1: True} if deaths == 3 else {})
        assert {one.trial for one in outcomes} == set(SEARCHES[:3])
        assert len(outcomes) == 3
        groups = [jobs for jobs in at_work if jobs]
        assert groups[0] == set(SEARCHES[:3])
        assert sum(jobs >= {SEARCHES[0]} for jobs in groups) == 2


def test_one_of_a_group_that_wants_memory_waits_again_and_the_others_have_ended(
    outcomes_of: Callable[..., Any],
) -> None:
    want = TrialFailure(SEARCHES[1], "MemoryError", died=True)  # type: ignore[arg-type]
    outcomes, at_work = outcomes_of({SEARCHES[1]: [want]}, Work(SEARCHES[:2], lambda job: None, most=4))
    assert failures(outcomes) == {}
    assert [one.trial for one in outcomes] == [SEARCHES[0], SEARCHES[1]]
    assert [jobs for jobs in at_work if jobs] == [set(SEARCHES[:2]), {SEARCHES[1]}]
