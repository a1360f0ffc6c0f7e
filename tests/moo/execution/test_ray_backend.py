"""Ray is started once for all tests of this module."""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest
import ray
import torch

from devices.cost_tables.family import CostTables
from dnas.inner_search import StepRecord
from dnas.losses import Coefficients
from dnas.pretraining import PretrainSettings
from moo import events
from moo.execution.evaluator import Evaluator
from moo.execution.machinery import MachineryError
from moo.execution.news import WorkerNews
from moo.execution.pretraining import pretrained_weights, untrained_weights
from moo.execution.ray_backend import start_ray_backend
from moo.search.loop import run_search
from moo.storage.archive import Archive
from moo.storage.store import open_store
from moo.trials import CoefficientTrial, Job, Outcome, TrialFailure, TrialResult, WorkerSetup
from search_space.boundary.text import last_line
from tests.moo.conftest import Prepare
from tests.processes import kill_ray_workers
from tests.tiers import THOROUGH

pytestmark = pytest.mark.slow

TRIALS = [CoefficientTrial(number, 0, Coefficients(0.1 * (number + 1), 1.0, 0.1, 1.0)) for number in range(4)]


def ignore(job: Job) -> None:
    """Stands for a listener."""


@pytest.fixture(scope="module", autouse=True)
def started_ray() -> Iterator[None]:
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    ray.init(address="local", num_cpus=2, num_gpus=0, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


class FaultyEvaluator(Evaluator):
    """Dies at one trial, raises at another."""

    def search(self, job: CoefficientTrial, costs: CostTables) -> TrialResult:
        if job.id == 1:
            os._exit(1)
        if job.id == 2:
            raise ArithmeticError("theta is not a number")
        return super().search(job, costs)


class DyingEvaluator(Evaluator):
    def search(self, job: CoefficientTrial, costs: CostTables) -> NoReturn:
        os._exit(1)


class MortallyTogetherEvaluator(Evaluator):
    """Dies where trials are searched together."""

    def search_thetas(self, jobs: Sequence[CoefficientTrial], tables: CostTables, supernet: bytes) -> NoReturn:
        os._exit(1)


class CrashingEvaluator(Evaluator):
    """Crashes at trial 0."""

    def run(self, job: Job, costs: CostTables, supernet: bytes) -> Outcome:
        assert isinstance(job, CoefficientTrial)
        if job.id == 0:
            os.kill(os.getpid(), signal.SIGSEGV)
        return ResultFrom(
            trial=job, architectures=(), chosen=0, theta=None, seconds=0.0, process=os.getpid(), device="cpu"
        )


class UnmakeableEvaluator(Evaluator):
    def __post_init__(self) -> None:
        raise MemoryError("the supernet does not fit")


@dataclass(frozen=True, kw_only=True)
class ResultFrom(TrialResult):
    """Says where its trial ran."""

    process: int
    device: str


class IdleEvaluator(Evaluator):
    """Evaluates nothing, and says which worker had a trial; dies at trial 3."""

    def __init__(self, setup: WorkerSetup, device: torch.device) -> None:
        self.device = device

    def run(self, job: Job, costs: CostTables, supernet: bytes) -> Outcome:
        assert isinstance(job, CoefficientTrial)
        if job.id == 3:
            os._exit(1)
        return ResultFrom(
            trial=job,
            architectures=(),
            chosen=0,
            theta=None,
            seconds=0.0,
            process=os.getpid(),
            device=str(self.device),
        )


class WantingEvaluator(IdleEvaluator):
    """Wants something at trial 0; each time leaves a file."""

    def __init__(self, setup: WorkerSetup, device: torch.device, *, folder: Path, error: Exception) -> None:
        super().__init__(setup, device)
        self._folder, self._error = folder, error

    def run(self, job: Job, costs: CostTables, supernet: bytes) -> Outcome:
        assert isinstance(job, CoefficientTrial)
        if job.id == 0:
            (self._folder / str(time.monotonic())).touch()
            raise self._error
        return super().run(job, costs, supernet)


class MeetingEvaluator(IdleEvaluator):
    """Ends no trial before all workers have one."""

    def __init__(self, setup: WorkerSetup, device: torch.device, *, folder: Path, workers: int) -> None:
        super().__init__(setup, device)
        self._folder, self._workers = folder, workers

    def run(self, job: Job, costs: CostTables, supernet: bytes) -> Outcome:
        (self._folder / str(os.getpid())).touch()
        while len(list(self._folder.iterdir())) < self._workers:
            time.sleep(0.01)
        return super().run(job, costs, supernet)


class MortalEvaluator(IdleEvaluator):
    """Dies, or cannot be set up, the first times; each time leaves a file."""

    def __init__(
        self, setup: WorkerSetup, device: torch.device, *, folder: Path, deaths: int, in_set_up: bool = False
    ) -> None:
        super().__init__(setup, device)
        self._folder, self._deaths = folder, deaths
        if in_set_up:
            self._maybe_die()

    def run(self, job: Job, costs: CostTables, supernet: bytes) -> Outcome:
        self._maybe_die()
        return super().run(job, costs, supernet)

    def _maybe_die(self) -> None:
        if len(list(self._folder.iterdir())) < self._deaths:
            (self._folder / str(os.getpid())).touch()
            os._exit(1)


class TellingEvaluator(IdleEvaluator):
    """Tells three steps; goes on when the last one has arrived, and dies after the second, the first time."""

    def __init__(self, setup: WorkerSetup, device: torch.device, *, folder: Path) -> None:
        super().__init__(setup, device)
        self._folder = folder

    def run(self, job: Job, costs: CostTables, supernet: bytes) -> Outcome:
        assert isinstance(job, CoefficientTrial)
        record, tried = StepRecord.of([float(os.getpid())] * 7), (self._folder / "tried").exists()
        for step in (1, 2, 3):
            assert self.tell is not None
            self.tell(events.InnerSearchProgress(trial=job, step=step, steps=3, records=(record,), ended=(0.0,)))
            while job.id == 0 and not (self._folder / f"{os.getpid()} {step}").exists():
                time.sleep(0.01)
            if step == 2 and not tried:
                (self._folder / "tried").touch()
                os._exit(1)
        return super().run(job, costs, supernet)


def results_of(outcomes: Iterable[Outcome]) -> list[ResultFrom]:
    """All of them, none of which may be a failure."""
    results = []
    for outcome in outcomes:
        assert isinstance(outcome, ResultFrom)
        results.append(outcome)
    return results


def ids_of(results: Iterable[TrialResult]) -> list[int]:
    return [result.trial.id for result in results]


def figures(archive: Archive) -> list[tuple[str, float, float, float, int]]:
    return [
        (entry.architecture.id, entry.error, entry.predicted_latency_ms, entry.predicted_energy_mj, entry.trial_id)
        for entry in archive.entries
    ]


@pytest.mark.parametrize("together", [None, pytest.param(3, marks=THOROUGH)])
def test_one_and_two_workers_give_the_identical_archive(prepare_tiny: Prepare, together: int | None) -> None:
    archives = []
    for workers in (1, 2):
        preparation = prepare_tiny(f"workers-{workers}", workers=workers, searches_per_worker=together)
        backend = start_ray_backend(preparation.setup, workers=workers)
        archives.append(run_search(preparation, backend, lambda event: None))
        backend.close()
    assert figures(archives[0]) == figures(archives[1])
    assert [entry.test_error for entry in archives[0].front()] == [entry.test_error for entry in archives[1].front()]
    assert len(archives[0]) >= 4


def test_a_trial_that_raises_fails_and_one_whose_workers_die_is_still_to_be_done(prepare_tiny: Prepare) -> None:
    preparation = prepare_tiny(pretrain_epochs=0)
    backend = start_ray_backend(preparation.setup, workers=1, evaluator=FaultyEvaluator)
    seen: list[events.Event] = []
    with pytest.raises(MachineryError, match=r"^trial 1 is still to be done: it was killed, .*fewer --workers\.$"):
        run_search(preparation, backend, seen.append)
    backend.close()
    failed = {event.trial.id: event.traceback for event in seen if isinstance(event, events.TrialFailed)}
    assert failed.keys() == {2}
    assert "Traceback" in failed[2]
    assert "ArithmeticError: theta is not a number" in failed[2]
    store = open_store(preparation.folder.store)
    stored = store.trials()
    assert [content["job"] for _, kind, content in store.events() if kind == "put off"] == ["trial 1"]
    store.close()
    assert {number: kept.traceback for number, kept in stored.items()} == {0: None, 2: failed[2], 3: None}


def test_trials_that_are_searched_together_and_lose_their_worker_are_tried_again_one_by_one(
    setup: WorkerSetup, tables: CostTables
) -> None:
    together = replace(setup, searches_per_worker=4)
    backend = start_ray_backend(together, workers=1, evaluator=MortallyTogetherEvaluator)
    seen: list[WorkerNews | None] = []
    backend.watch = seen.append
    outcomes = list(backend.run(TRIALS, tables, untrained_weights(setup), ignore))
    backend.close()
    assert all(isinstance(one, TrialResult) for one in outcomes)
    assert sorted(one.trial.id for one in outcomes if isinstance(one, TrialResult)) == [0, 1, 2, 3]
    titles = [one.job.partition(":")[0] for one in seen if isinstance(one, events.WorkerBusy)]
    assert titles == ["trials 0, 1, 2, 3, searched together", "trial 0", "trial 1", "trial 2", "trial 3"]


@pytest.mark.thorough
def test_if_every_worker_dies_the_run_ends_and_no_trial_is_stored(prepare_tiny: Prepare) -> None:
    preparation = prepare_tiny(pretrain_epochs=0)
    backend = start_ray_backend(preparation.setup, workers=1, evaluator=DyingEvaluator)
    with pytest.raises(MachineryError, match="trial 0 is still .*; trial 1 is still .*; trial 2 is still to be done"):
        run_search(preparation, backend, lambda event: None)
    backend.close()
    store = open_store(preparation.folder.store)
    assert store.trials() == {}
    store.close()


def test_a_worker_that_cannot_be_set_up_is_reported(setup: WorkerSetup, tables: CostTables) -> None:
    backend = start_ray_backend(setup, workers=1, evaluator=UnmakeableEvaluator)
    (outcome,) = backend.run(TRIALS[:1], tables, b"", ignore)
    backend.close()
    assert isinstance(outcome, TrialFailure)
    assert outcome.died
    assert last_line(outcome.traceback) == "MemoryError: the supernet does not fit"


@pytest.mark.parametrize(
    "error", [MemoryError("no more"), pytest.param(OSError(errno.ENOSPC, "No space left on device"), marks=THOROUGH)]
)
def test_a_trial_that_wants_memory_or_disk_is_tried_again_and_put_off(
    setup: WorkerSetup, tables: CostTables, tmp_path: Path, error: Exception
) -> None:
    backend = start_ray_backend(setup, workers=1, evaluator=partial(WantingEvaluator, folder=tmp_path, error=error))
    failure, other = backend.run(TRIALS[:2], tables, b"", ignore)
    backend.close()
    assert isinstance(failure, TrialFailure)
    assert (failure.trial, failure.died) == (TRIALS[0], True)
    assert type(error).__name__ in last_line(failure.traceback)
    assert len(list(tmp_path.iterdir())) == 3
    assert ids_of(results_of([other])) == [1]


@pytest.mark.thorough
def test_a_trial_that_crashes_every_worker_is_a_failure_of_its_own(setup: WorkerSetup, tables: CostTables) -> None:
    backend = start_ray_backend(setup, workers=1, evaluator=CrashingEvaluator)
    failure, other = backend.run(TRIALS[:2], tables, b"", ignore)
    backend.close()
    assert isinstance(failure, TrialFailure)
    assert (failure.trial, failure.died) == (TRIALS[0], False)
    assert "Segmentation fault" in failure.traceback
    assert "in run" in failure.traceback, "the place where it crashed"
    assert ids_of(results_of([other])) == [1]


def test_pretraining_whose_worker_is_killed_goes_on_from_its_last_epoch(setup: WorkerSetup) -> None:
    settings = PretrainSettings(epochs=3, batch_size=32)
    backend = start_ray_backend(setup, workers=1)
    watched: list[WorkerNews | None] = []
    backend.watch = watched.append
    undisturbed = list(backend.pretrain(settings, None))
    # Now and then, so that what happens to boards is told meanwhile.
    assert set(watched) == {None}
    epochs = []
    for epoch in backend.pretrain(settings, None):
        epochs.append(epoch)
        if len(epochs) == 1:
            kill_ray_workers("pre-training")
    backend.close()
    assert [record for record, _ in epochs] == [record for record, _ in undisturbed]
    assert pretrained_weights(epochs[-1][1]) == pretrained_weights(undisturbed[-1][1])


@pytest.mark.thorough
def test_more_workers_than_cores_share_them(setup: WorkerSetup, tables: CostTables, tmp_path: Path) -> None:
    """With a whole core each, the third worker would never start and no trial end."""
    backend = start_ray_backend(setup, workers=3, evaluator=partial(MeetingEvaluator, folder=tmp_path, workers=3))
    results = results_of(backend.run(TRIALS[:3], tables, b"", ignore))
    backend.close()
    assert sorted(ids_of(results)) == [0, 1, 2]
    assert len({result.process for result in results}) == 3
    assert {result.device for result in results} == {"cpu"}


def test_workers_are_kept_and_one_that_dies_is_replaced(setup: WorkerSetup, tables: CostTables) -> None:
    backend = start_ray_backend(setup, workers=1, evaluator=IdleEvaluator)
    started: list[Job] = []
    (first,) = results_of(backend.run(TRIALS[:1], tables, b"", started.append))
    *others, failure, last = backend.run([*TRIALS[1:], TRIALS[0]], tables, b"", started.append)
    backend.close()
    assert started == [TRIALS[0], *TRIALS[1:], TRIALS[0]]
    second, third, fifth = results_of([*others, last])
    assert first.process == second.process == third.process != fifth.process
    assert isinstance(failure, TrialFailure)
    assert (failure.trial, failure.died) == (TRIALS[3], True)
    assert failure.traceback.startswith("The worker died.")


@pytest.mark.parametrize("in_set_up", [False, pytest.param(True, marks=THOROUGH)])
def test_a_trial_whose_worker_died_is_tried_again(
    setup: WorkerSetup, tables: CostTables, tmp_path: Path, in_set_up: bool
) -> None:
    evaluator = partial(MortalEvaluator, folder=tmp_path, deaths=1, in_set_up=in_set_up)
    backend = start_ray_backend(setup, workers=1, evaluator=evaluator)
    started: list[Job] = []
    results = results_of(backend.run(TRIALS[:2], tables, b"", started.append))
    backend.close()
    assert ids_of(results) == [0, 1]
    assert started == TRIALS[:2]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.thorough
@pytest.mark.parametrize("in_set_up", [False, True])
def test_a_trial_that_three_workers_died_of_is_put_off(
    setup: WorkerSetup, tables: CostTables, tmp_path: Path, in_set_up: bool
) -> None:
    evaluator = partial(MortalEvaluator, folder=tmp_path, deaths=3, in_set_up=in_set_up)
    backend = start_ray_backend(setup, workers=1, evaluator=evaluator)
    failure, *others = backend.run(TRIALS[:2], tables, b"", ignore)
    backend.close()
    assert isinstance(failure, TrialFailure)
    assert (failure.trial, failure.died) == (TRIALS[0], True)
    assert failure.traceback.startswith("The worker died.")
    assert ids_of(results_of(others)) == [1]


@pytest.mark.thorough
def test_idle_workers_that_died_cost_no_trial(setup: WorkerSetup, tables: CostTables, tmp_path: Path) -> None:
    """As when a machine goes away between two generations."""
    evaluator = partial(MeetingEvaluator, folder=tmp_path, workers=2)
    backend = start_ray_backend(setup, workers=2, evaluator=evaluator)
    before = results_of(backend.run(TRIALS[:2], tables, b"", ignore))
    for result in before:
        os.kill(result.process, signal.SIGKILL)
    (after,) = results_of(backend.run([TRIALS[2]], tables, b"", ignore))
    backend.close()
    assert after.trial == TRIALS[2]
    assert after.process not in {result.process for result in before}


@pytest.mark.thorough
def test_a_run_that_is_abandoned_leaves_no_worker_busy(setup: WorkerSetup, tables: CostTables, tmp_path: Path) -> None:
    backend = start_ray_backend(setup, workers=2, evaluator=partial(MeetingEvaluator, folder=tmp_path, workers=2))
    outcomes = backend.run([*TRIALS[:3], TRIALS[0]], tables, b"", ignore)
    next(outcomes)
    assert isinstance(outcomes, Generator)
    outcomes.close()
    later = results_of(backend.run(TRIALS[:2], tables, b"", ignore))
    backend.close()
    assert sorted(ids_of(later)) == [0, 1]


@pytest.mark.thorough
def test_pretraining_after_a_run_gets_the_cores_of_the_workers(setup: WorkerSetup, tables: CostTables) -> None:
    """Workers that kept all cores would let it wait without end."""
    backend = start_ray_backend(setup, workers=2, evaluator=IdleEvaluator)
    before = results_of(backend.run(TRIALS[:2], tables, b"", ignore))
    ((record, _),) = backend.pretrain(PretrainSettings(epochs=1, batch_size=32), None)
    after = results_of(backend.run(TRIALS[:2], tables, b"", ignore))
    backend.close()
    assert record.epoch == 1
    assert sorted(ids_of(after)) == [0, 1]
    assert {result.process for result in before}.isdisjoint(result.process for result in after)


@pytest.mark.thorough
def test_pretraining_in_the_middle_of_a_run_is_refused(setup: WorkerSetup, tables: CostTables) -> None:
    backend = start_ray_backend(setup, workers=1, evaluator=IdleEvaluator)
    outcomes = backend.run(TRIALS[:2], tables, b"", ignore)
    next(outcomes)
    with pytest.raises(RuntimeError, match="`pretrain` must be called before `run` or after its last outcome, but"):
        next(backend.pretrain(PretrainSettings(epochs=1, batch_size=32), None))
    assert ids_of(results_of(outcomes)) == [1]
    assert next(backend.pretrain(PretrainSettings(epochs=1, batch_size=32), None))[0].epoch == 1
    backend.close()


def test_by_default_there_is_a_worker_for_each_core(setup: WorkerSetup) -> None:
    backend = start_ray_backend(setup)
    assert backend.workers == 2
    assert backend.dashboard_url is None
    backend.close()
    assert ray.is_initialized()


@pytest.mark.thorough
def test_steps_of_inner_searches_are_told_meanwhile_and_a_lost_collector_costs_no_trial(
    setup: WorkerSetup, tables: CostTables, tmp_path: Path
) -> None:
    backend = start_ray_backend(setup, workers=1, evaluator=partial(TellingEvaluator, folder=tmp_path))
    news: list[events.Event] = []

    def watch(event: WorkerNews | None) -> None:
        if isinstance(event, events.InnerSearchProgress):
            (tmp_path / f"{event.records[0].loss:.0f} {event.step}").touch()
        if event is not None:
            news.append(event)

    backend.watch = watch
    (result,) = results_of(backend.run(TRIALS[:1], tables, b"", ignore))
    told = [event.step if isinstance(event, events.InnerSearchProgress) else type(event).__name__ for event in news]
    begun = told.index("WorkerBusy")
    assert told[begun:] == ["WorkerBusy", 1, 2, "WorkerGone", "WorkerIdle", "WorkerBusy", 1, 2, 3, "WorkerIdle"]
    ray.kill(backend._pool.searches._collector)
    assert ids_of(results_of(backend.run(TRIALS[1:3], tables, b"", ignore))) == [1, 2]
    assert result.trial == TRIALS[0]
    backend.close()
