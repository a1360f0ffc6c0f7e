"""Ray is started once for all tests of this module."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import ray
import torch

from devices.cost_tables.cost_table import CostTable
from dnas.losses import Coefficients
from dnas.pretraining import PretrainSettings
from evaluation.splits import Splits
from evaluation.training.config import TrainSettings
from evaluation.training.job import EpochDone, TrainFailure, TrainJob, TrainOutcome, train
from moo import events
from moo.execution.evaluator import Evaluator
from moo.execution.pretraining import pretrained_weights
from moo.execution.ray_backend import RayBackend
from moo.execution.ray_pool import share
from moo.execution.ray_trainer import RayTrainer
from moo.search.artifacts import SearchFailedError
from moo.search.loop import run_search
from moo.storage.store import open_store
from moo.trials import CoefficientTrial, TrialFailure, WorkerSetup
from search_space.spaces import FBNetSpace
from tests.moo.conftest import Prepare

pytestmark = pytest.mark.slow

JOBS = [CoefficientTrial(number, 0, Coefficients(0.1 * (number + 1), 1.0, 0.1, 1.0)) for number in range(4)]


@pytest.fixture(scope="module", autouse=True)
def started_ray() -> Iterator[Any]:
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    ray.init(address="local", num_cpus=2, num_gpus=0, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


class FaultyWorkbench(Evaluator):
    """Dies at one job, raises at another."""

    def __init__(self, setup: WorkerSetup, device: Any) -> None:
        super().__init__(setup, device)

    def search(self, job: Any, costs: Any) -> Any:
        if job.id == 1:
            os._exit(1)
        if job.id == 2:
            raise ArithmeticError("theta is not a number")
        return super().search(job, costs)


class DyingWorkbench(Evaluator):
    def search(self, job: Any, costs: Any) -> None:  # type: ignore[override]
        os._exit(1)


class UnmakeableWorkbench(Evaluator):
    def __post_init__(self) -> None:
        raise MemoryError("the supernet does not fit")


class NoWorkbench(Evaluator):
    """Says which worker did a job; dies at job 3."""

    def __init__(self, setup: WorkerSetup, device: Any) -> None:
        self.device = device

    def run(self, job: Any, costs: Any, supernet: Any) -> Any:
        if job.id == 3:
            os._exit(1)
        return job.id, os.getpid(), str(self.device)


class MeetingWorkbench(NoWorkbench):
    """Ends no job before as many workers as there are to be have one."""

    def __init__(self, setup: WorkerSetup, device: Any, *, folder: Any, workers: Any) -> None:
        super().__init__(setup, device)
        self._folder, self._workers = folder, workers

    def run(self, job: Any, costs: Any, supernet: Any) -> Any:
        (self._folder / str(os.getpid())).touch()
        while len(list(self._folder.iterdir())) < self._workers:
            time.sleep(0.01)
        return super().run(job, costs, supernet)


class MortalWorkbench(NoWorkbench):
    """Dies, or cannot be set up, the first times; each time leaves a file."""

    def __init__(self, setup: WorkerSetup, device: Any, *, folder: Any, deaths: Any, in_set_up: bool = False) -> None:
        super().__init__(setup, device)
        self._folder, self._deaths = folder, deaths
        if in_set_up:
            self._maybe_die()

    def run(self, job: Any, costs: Any, supernet: Any) -> Any:
        self._maybe_die()
        return super().run(job, costs, supernet)

    def _maybe_die(self) -> None:
        if len(list(self._folder.iterdir())) < self._deaths:
            (self._folder / str(os.getpid())).touch()
            os._exit(1)


def figures(archive: Any) -> Any:
    return [
        (entry.architecture.id, entry.error, entry.predicted_latency_ms, entry.predicted_energy_mj, entry.trial_id)
        for entry in archive.entries
    ]


def test_one_and_two_workers_give_the_identical_archive(prepare_tiny: Prepare) -> None:
    archives = []
    for workers in (1, 2):
        preparation = prepare_tiny(f"workers-{workers}", workers=workers)
        backend = RayBackend(preparation.setup, workers=workers)
        archives.append(run_search(preparation, backend, lambda event: None))
        backend.close()
    assert figures(archives[0]) == figures(archives[1])
    assert [entry.test_error for entry in archives[0].front()] == [entry.test_error for entry in archives[1].front()]
    assert len(archives[0]) >= 4


def test_a_worker_that_dies_and_a_job_that_raises_fail_their_trials_and_the_search_goes_on(
    prepare_tiny: Prepare,
) -> None:
    preparation = prepare_tiny(pretrain_epochs=0)
    backend = RayBackend(preparation.setup, workers=1, evaluator=FaultyWorkbench)
    seen: list[Any] = []
    run_search(preparation, backend, seen.append)
    backend.close()
    failed = {event.trial.id: event.traceback for event in seen if isinstance(event, events.TrialFailed)}
    assert failed.keys() == {1, 2}
    assert failed[1].startswith("The worker died.")
    assert "Traceback" in failed[2]
    assert "ArithmeticError: theta is not a number" in failed[2]
    store = open_store(preparation.folder.store)
    stored = store.trials()
    store.close()
    assert {number for number, kept in stored.items() if kept.objectives is None} == {1, 2}
    assert stored[1].traceback == failed[1]
    assert len(stored) == 8
    assert preparation.folder.front.is_file()


def test_if_every_worker_dies_the_run_ends_with_the_reason(prepare_tiny: Prepare) -> None:
    preparation = prepare_tiny(pretrain_epochs=0)
    backend = RayBackend(preparation.setup, workers=1, evaluator=DyingWorkbench)
    with pytest.raises(SearchFailedError, match="every trial of generation 1 failed; .*(died|dead|exit)"):
        run_search(preparation, backend, lambda event: None)
    backend.close()


def test_a_worker_that_cannot_be_set_up_is_reported(setup: WorkerSetup, table: CostTable) -> None:
    backend = RayBackend(setup, workers=1, evaluator=UnmakeableWorkbench)
    (outcome,) = backend.run(JOBS[:1], table, b"", lambda job: None)
    backend.close()
    assert isinstance(outcome, TrialFailure)
    assert "MemoryError: the supernet does not fit" in outcome.traceback


def test_more_workers_than_cores_share_them(setup: WorkerSetup, table: CostTable, tmp_path: Path) -> None:
    """With a whole core each, the third worker would never start and no job end."""
    backend = RayBackend(setup, workers=3, evaluator=partial(MeetingWorkbench, folder=tmp_path, workers=3))
    outcomes = list(backend.run(JOBS[:3], table, b"", lambda job: None))
    backend.close()
    assert sorted(number for number, _, _ in outcomes) == [0, 1, 2]  # type: ignore[misc]
    assert len({process for _, process, _ in outcomes}) == 3  # type: ignore[misc]
    assert {device for _, _, device in outcomes} == {"cpu"}  # type: ignore[misc]


@pytest.mark.parametrize("available", range(1, 9))
@pytest.mark.parametrize("workers", range(1, 33))
def test_the_shares_of_all_workers_fit_and_each_lies_on_one_device(available: Any, workers: Any) -> None:
    part = share(available, workers)
    assert 0 < part <= 1
    assert int(1 / part + 1e-9) * available >= workers
    assert share(0, workers) == 0


def test_workers_are_kept_and_one_that_dies_is_replaced(setup: WorkerSetup, table: CostTable) -> None:
    backend = RayBackend(setup, workers=1, evaluator=NoWorkbench)
    started: list[Any] = []
    ((_, first, _),) = backend.run(JOBS[:1], table, b"", started.append)  # type: ignore[misc]
    second, third, failure, fifth = backend.run([*JOBS[1:], JOBS[0]], table, b"", started.append)
    assert started == [JOBS[0], *JOBS[1:], JOBS[0]]
    assert first == second[1] == third[1] != fifth[1]  # type: ignore[index]
    assert isinstance(failure, TrialFailure)
    assert failure.trial == JOBS[3]
    assert failure.traceback.startswith("The worker died.")
    assert list(backend.run([], table, b"", started.append)) == []
    backend.close()
    backend.close()


@pytest.mark.parametrize("in_set_up", [False, True])
def test_a_job_whose_worker_died_is_tried_once_more(
    setup: WorkerSetup, table: CostTable, tmp_path: Path, in_set_up: bool
) -> None:
    evaluator = partial(MortalWorkbench, folder=tmp_path, deaths=1, in_set_up=in_set_up)
    backend = RayBackend(setup, workers=1, evaluator=evaluator)
    started: list[Any] = []
    outcomes = list(backend.run(JOBS[:2], table, b"", started.append))
    backend.close()
    assert [number for number, _, _ in outcomes] == [0, 1]  # type: ignore[misc]
    assert started == JOBS[:2]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("in_set_up", [False, True])
def test_a_job_that_two_workers_died_of_fails(
    setup: WorkerSetup, table: CostTable, tmp_path: Path, in_set_up: bool
) -> None:
    evaluator = partial(MortalWorkbench, folder=tmp_path, deaths=2, in_set_up=in_set_up)
    backend = RayBackend(setup, workers=1, evaluator=evaluator)
    failure, (number, _, _) = backend.run(JOBS[:2], table, b"", lambda job: None)  # type: ignore[misc]
    backend.close()
    assert isinstance(failure, TrialFailure)
    assert failure.trial == JOBS[0]
    assert failure.traceback.startswith("The worker died.")
    assert number == 1


def test_idle_workers_that_died_cost_no_job(setup: WorkerSetup, table: CostTable, tmp_path: Path) -> None:
    """As when a machine goes away between two generations."""
    evaluator = partial(MeetingWorkbench, folder=tmp_path, workers=2)
    backend = RayBackend(setup, workers=2, evaluator=evaluator)
    before = list(backend.run(JOBS[:2], table, b"", lambda job: None))
    for _, process, _ in before:  # type: ignore[misc]
        os.kill(process, signal.SIGKILL)
    ((number, process, _),) = backend.run([JOBS[2]], table, b"", lambda job: None)  # type: ignore[misc]
    backend.close()
    assert number == 2
    assert process not in {process for _, process, _ in before}  # type: ignore[misc]


def test_a_run_that_is_left_leaves_no_worker_at_work(setup: WorkerSetup, table: CostTable, tmp_path: Path) -> None:
    backend = RayBackend(setup, workers=2, evaluator=partial(MeetingWorkbench, folder=tmp_path, workers=2))
    outcomes = backend.run([*JOBS[:3], JOBS[0]], table, b"", lambda job: None)
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    later = list(backend.run(JOBS[:2], table, b"", lambda job: None))
    backend.close()
    assert sorted(number for number, _, _ in later) == [0, 1]  # type: ignore[misc]


def test_by_default_there_is_a_worker_for_each_core(setup: WorkerSetup) -> None:
    backend = RayBackend(setup)
    assert backend.workers == 2
    assert backend.dashboard_url is None
    backend.close()
    assert ray.is_initialized()


def test_pretraining_under_ray_streams_and_goes_on_from_a_saved_state(setup: WorkerSetup) -> None:
    backend = RayBackend(setup, workers=1)
    settings = PretrainSettings(epochs=2, batch_size=32)
    epochs = list(backend.pretrain(settings, None))
    assert [record.epoch for record, _ in epochs] == [1, 2]
    later = list(backend.pretrain(settings, epochs[0][1]))
    backend.close()
    assert [record for record, _ in later] == [epochs[1][0]]
    assert pretrained_weights(later[0][1]) == pretrained_weights(epochs[1][1])


def train_job(name: Any, space: FBNetSpace, **values: Any) -> Any:
    settings = TrainSettings(**{"epochs": 1, "batch_size": 64} | values)
    return TrainJob(name=name, graph=space.graph(("k3_e1", "k3_e1", "k3_e6")), settings=settings, flip=False, seed=0)


def test_networks_are_trained_on_workers_as_in_this_process(space: FBNetSpace, splits: Splits) -> None:
    jobs = [train_job("one", space), train_job("two", space, epochs=2)]
    trainer = RayTrainer(splits, networks=2, workers=2, threads=1)
    events = list(trainer.train([(job, None) for job in jobs]))
    trainer.close()
    outcomes = {name: event for name, event in events if isinstance(event, TrainOutcome)}
    torch.set_num_threads(1)
    for job in jobs:
        *_, expected = train(job, splits)
        outcome = outcomes[job.name]
        assert (outcome.top1, outcome.epochs, outcome.records) == (expected.top1, expected.epochs, expected.records)
        assert outcome.models == expected.models
        epochs = [event.record.epoch for name, event in events if name == job.name and isinstance(event, EpochDone)]
        assert epochs == list(range(1, len(outcome.records) + 1))


def test_a_training_goes_on_from_a_state(space: FBNetSpace, splits: Splits) -> None:
    job = train_job("one", space, epochs=2)
    state = next(event.state for event in train(job, splits) if isinstance(event, EpochDone))
    events = [event for _, event in RayTrainer(splits, networks=1, threads=1).train([(job, state)])]
    assert [event.record.epoch for event in events if isinstance(event, EpochDone)] == [2]
    *_, expected = train(job, splits)
    assert events[-1].records == expected.records


def test_a_training_that_fails_says_why_and_leaves_others_alone(space: FBNetSpace, splits: Splits) -> None:
    jobs = [(train_job("cut", space), b"no state"), (train_job("whole", space), None)]
    outcomes = dict(RayTrainer(splits, networks=2, threads=1).train(jobs))
    assert isinstance(outcomes["cut"], TrainFailure)
    assert outcomes["cut"].reason.startswith("a state of training must be whole")
    assert isinstance(outcomes["whole"], TrainOutcome)


def test_a_training_whose_worker_dies_is_a_failure(space: FBNetSpace, splits: Splits) -> None:
    class Deadly(TrainJob):
        """Kills the process that asks for its weights."""

        @property
        def weights(self) -> None:
            if ray.get_runtime_context().worker.mode == ray.WORKER_MODE:
                os._exit(1)

    job = train_job("dead", space)
    deadly = Deadly.__new__(Deadly)
    for name, value in ((field.name, getattr(job, field.name)) for field in fields(job)):
        if name != "weights":
            object.__setattr__(deadly, name, value)
    ((name, failure),) = RayTrainer(splits, networks=1, threads=1).train([(deadly, None)])
    assert name == "dead"
    assert failure.traceback.startswith("The worker died.")
