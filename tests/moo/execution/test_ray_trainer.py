"""Networks, exits and both together, trained under Ray, which is started once for all tests of this module."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np
import pytest
import ray
import torch

from evaluation.early_exits.joint import JointJob, JointOutcome
from evaluation.early_exits.settings import ExitTrainSettings
from evaluation.early_exits.training import ExitJob, ExitOutcome
from evaluation.splits import Splits
from evaluation.training.config import TrainSettings
from evaluation.training.job import EpochDone, StepDone, TrainFailure, TrainJob, TrainOutcome, new_training, train
from evaluation.training.loop import TrainRecord
from moo.execution.ray_trainer import start_ray_trainer
from search_space.exits import Exit
from search_space.spaces import FBNetSpace
from tests.processes import kill_ray_workers

pytestmark = pytest.mark.slow

OPERATORS = ("k3_e1", "k3_e1", "k3_e6")
EXITS = (Exit(0, "linear"), Exit(1, "conv"))
TOLD_SECONDS = 0.5
"""Within which what a worker yields has left it."""


@pytest.fixture(scope="module", autouse=True)
def started_ray() -> Iterator[None]:
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    ray.init(address="local", num_cpus=2, num_gpus=0, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def train_job(name: str, space: FBNetSpace, *, epochs: int = 1) -> TrainJob:
    settings = TrainSettings(epochs=epochs, batch_size=64)
    return TrainJob(name=name, graph=space.graph(("k3_e1", "k3_e1", "k3_e6")), settings=settings, flip=False, seed=0)


def test_networks_are_trained_on_workers_as_in_this_process(space: FBNetSpace, splits: Splits) -> None:
    jobs = [train_job("one", space), train_job("two", space, epochs=2)]
    trainer = start_ray_trainer(splits, networks=2, workers=2, threads=1)
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


@pytest.mark.thorough
def test_a_training_goes_on_from_a_state(space: FBNetSpace, splits: Splits) -> None:
    job = train_job("one", space, epochs=2)
    state = next(event.state for event in train(job, splits) if isinstance(event, EpochDone))
    events = [event for _, event in start_ray_trainer(splits, networks=1, threads=1).train([(job, state)])]
    assert [event.record.epoch for event in events if isinstance(event, EpochDone)] == [2]
    *_, expected = train(job, splits)
    assert events[-1].records == expected.records


def test_a_training_that_fails_says_why_and_leaves_others_alone(space: FBNetSpace, splits: Splits) -> None:
    jobs = [(train_job("cut", space), b"no state"), (train_job("whole", space), None)]
    outcomes = dict(start_ray_trainer(splits, networks=2, threads=1).train(jobs))
    assert isinstance(outcomes["cut"], TrainFailure)
    assert outcomes["cut"].reason.startswith("a state of training must be whole")
    assert isinstance(outcomes["whole"], TrainOutcome)


def test_a_training_whose_workers_die_is_still_to_be_done(space: FBNetSpace, splits: Splits) -> None:
    class Deadly(dict[str, Any]):
        """Kills the process that unpickles it."""

        def __reduce__(self) -> tuple[Callable[[int], NoReturn], tuple[int]]:
            return os._exit, (1,)

    job = replace(train_job("dead", space), weights=Deadly())
    ((name, failure),) = start_ray_trainer(splits, networks=1, threads=1).train([(job, None)])
    assert name == "dead"
    assert isinstance(failure, TrainFailure)
    assert failure.died
    assert failure.reason == "3 workers died of it; it goes on from its last epoch when tried again"
    assert failure.traceback.startswith("The worker died.")


def test_a_training_whose_worker_is_killed_goes_on_from_its_last_epoch(space: FBNetSpace, splits: Splits) -> None:
    job = train_job("one", space, epochs=3)
    trainer = start_ray_trainer(splits, networks=1, threads=1)
    seen = []
    for _, event in trainer.train([(job, None)]):
        seen.append(event)
        if isinstance(event, EpochDone) and event.record.epoch == 1:
            kill_ray_workers("train ")
    trainer.close()
    torch.set_num_threads(1)
    *_, expected = train(job, splits)
    assert [event.record.epoch for event in seen if isinstance(event, EpochDone)] == [1, 2, 3]
    assert seen[-1].records == expected.records


def exit_job(name: str, space: FBNetSpace, splits: Splits, *, epochs: int = 2) -> ExitJob:
    """Of a network that is hardly trained."""
    training = new_training(train_job(name, space), splits)
    list(training.epoch())
    return ExitJob(
        name=name,
        space=space,
        operators=OPERATORS,
        exits=EXITS,
        weights={name: value.numpy() for name, value in training.averaged.state_dict().items()},
        settings=ExitTrainSettings(epochs=epochs, batch_size=64),
        flip=False,
        seed=0,
    )


@pytest.mark.thorough
def test_exits_are_trained_on_workers_as_in_this_process_though_one_is_killed(
    space: FBNetSpace, splits: Splits
) -> None:
    torch.set_num_threads(1)
    job = exit_job("exits", space, splits)
    trainer = start_ray_trainer(splits, networks=1, threads=1)
    seen: list[StepDone | EpochDone | ExitOutcome | TrainFailure] = []
    for name, event in trainer.train([(job, None)]):
        assert name == "exits"
        seen.append(event)
        if isinstance(event, EpochDone) and event.record.epoch == 1:
            kill_ray_workers("train ")
    trainer.close()
    *_, expected = job.events(splits)
    outcome = seen[-1]
    assert isinstance(outcome, ExitOutcome)
    assert isinstance(expected, ExitOutcome)
    assert [event.record for event in seen if isinstance(event, EpochDone)] == list(expected.records)
    assert outcome.heads.keys() == expected.heads.keys()
    assert all(np.array_equal(value, outcome.heads[name]) for name, value in expected.heads.items())
    for precision, outcomes in expected.outcomes.items():
        assert np.array_equal(outcomes.confidence_XN, outcome.outcomes[precision].confidence_XN)


@pytest.mark.thorough
def test_trainings_of_several_kinds_run_beside_each_other(space: FBNetSpace, splits: Splits) -> None:
    frozen = exit_job("exits", space, splits, epochs=1)
    *_, trained = frozen.events(splits)
    assert isinstance(trained, ExitOutcome)
    values = {name: getattr(frozen, name) for name in ("space", "operators", "exits", "settings", "flip", "seed")}
    both = JointJob(name="both", weights=frozen.weights | trained.heads, **values)
    jobs: list[Any] = [(frozen, None), (both, None), (train_job("network", space), None)]
    trainer = start_ray_trainer(splits, networks=3, workers=2, threads=1)
    outcomes = dict(trainer.train(jobs))
    trainer.close()
    kinds = {name: type(outcome) for name, outcome in outcomes.items()}
    assert kinds == {"exits": ExitOutcome, "both": JointOutcome, "network": TrainOutcome}


@dataclass(frozen=True)
class CountingJob:
    """Counts to three, an epoch each; kills its worker after the epochs that it is told to."""

    name: str
    dies_after: tuple[int, ...]

    def events(
        self, splits: Splits, *, state: bytes | None = None, device: torch.device | None = None
    ) -> Iterator[EpochDone | str]:
        for epoch in range(int(state or b"0") + 1, 4):
            record = TrainRecord(epoch, 0.0, 0.0, 0.0)
            yield EpochDone(record=record, step=epoch, total_steps=3, epochs=3, state=str(epoch).encode())
            if epoch in self.dies_after and epoch == int(state or b"0") + 1:
                time.sleep(TOLD_SECONDS)
                os._exit(1)
        yield f"{len(splits.test)} images"


@pytest.mark.thorough
def test_any_job_that_says_how_it_is_run_goes_on_from_its_own_state(splits: Splits) -> None:
    """A worker that dies loses at most an epoch; one epoch after another that ends is no third try of the same."""
    trainer = start_ray_trainer(splits, networks=1, threads=1)
    events = [event for _, event in trainer.train([(CountingJob("count", (1, 2, 3)), None)])]
    trainer.close()
    told = [event.record.epoch for event in events if isinstance(event, EpochDone)]
    assert sorted(set(told)) == [1, 2, 3]
    assert events[-1] == f"{len(splits.test)} images"
