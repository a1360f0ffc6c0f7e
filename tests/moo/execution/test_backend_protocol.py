"""What every `Backend` keeps. A new implementation needs one line in `IMPLEMENTATIONS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import pytest
import ray
import torch

from devices.cost_tables.family import CostTables
from dnas.losses import Coefficients
from dnas.pretraining import PretrainSettings
from moo.execution.backend import Backend, InProcessBackend
from moo.execution.evaluator import Evaluator
from moo.execution.pretraining import pretrained_weights, pretraining_epochs, untrained_weights
from moo.execution.ray_backend import start_ray_backend
from moo.trials import (
    ArchitectureTrial,
    CoefficientTrial,
    DeliveryFailure,
    DeliveryJob,
    DeliveryResult,
    Job,
    Outcome,
    TrialFailure,
    TrialResult,
    WorkerSetup,
)

WORKERS = 2
TRIALS = [CoefficientTrial(number, 0, Coefficients(0.1 * (number + 1), 1.0, 0.1, 1.0)) for number in range(3)]
ARCHITECTURE = ArchitectureTrial(id=3, generation=1, indices=(0, 1, 2))
DELIVERY = DeliveryJob((2, 1, 0))
NO_ARCHITECTURE = (9, 9, 9)
"""Out of the space."""

Open = Callable[[WorkerSetup], Backend]


def under_ray(request: pytest.FixtureRequest) -> Open:
    """With cores for another backend beside the one that all tests share."""
    ray.init(address="local", num_cpus=2 * WORKERS, num_gpus=0, include_dashboard=False, log_to_driver=False)
    request.addfinalizer(ray.shutdown)
    return lambda setup: start_ray_backend(setup, workers=WORKERS)


IMPLEMENTATIONS = [
    pytest.param(lambda request: InProcessBackend, id="in process"),
    pytest.param(under_ray, id="ray", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module", params=IMPLEMENTATIONS)
def open_backend(request: pytest.FixtureRequest) -> Open:
    opened: Open = request.param(request)
    return opened


@pytest.fixture(scope="module")
def backend(open_backend: Open, setup: WorkerSetup) -> Iterator[Backend]:
    """One for all tests, as one serves all generations of a search."""
    backend = open_backend(setup)
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def supernet(setup: WorkerSetup) -> bytes:
    return untrained_weights(setup)


def job_of(outcome: Outcome) -> Job:
    return outcome.trial if isinstance(outcome, TrialResult | TrialFailure) else outcome.job


def ignore(job: Job) -> None:
    """Stands for a listener."""


def test_every_job_gives_the_result_that_an_evaluator_gives(
    backend: Backend, setup: WorkerSetup, tables: CostTables, supernet: bytes
) -> None:
    jobs: list[Job] = [*TRIALS, ARCHITECTURE, DELIVERY]
    outcomes = {job_of(outcome): outcome for outcome in backend.run(jobs, tables, supernet, ignore)}
    assert outcomes.keys() == set(jobs)
    evaluator = Evaluator(setup)
    for job, outcome in outcomes.items():
        expected = evaluator.run(job, tables, supernet)
        if isinstance(expected, DeliveryResult):
            assert isinstance(outcome, DeliveryResult)
            assert outcome.test_error == expected.test_error
            assert outcome.weights.keys() == expected.weights.keys()
            assert all((value == expected.weights[name]).all() for name, value in outcome.weights.items())
        else:
            assert isinstance(expected, TrialResult)
            assert isinstance(outcome, TrialResult)
            assert (outcome.architectures, outcome.chosen) == (expected.architectures, expected.chosen)


def test_jobs_that_raise_come_back_as_failures_and_the_others_go_on(
    backend: Backend, tables: CostTables, supernet: bytes
) -> None:
    broken_trial, broken_delivery = (
        ArchitectureTrial(id=7, generation=1, indices=NO_ARCHITECTURE),
        DeliveryJob(NO_ARCHITECTURE),
    )
    jobs: list[Job] = [TRIALS[0], broken_trial, broken_delivery, ARCHITECTURE, DELIVERY]
    outcomes = {job_of(outcome): outcome for outcome in backend.run(jobs, tables, supernet, ignore)}
    assert {job: type(outcome) for job, outcome in outcomes.items()} == {
        TRIALS[0]: TrialResult,
        broken_trial: TrialFailure,
        broken_delivery: DeliveryFailure,
        ARCHITECTURE: TrialResult,
        DELIVERY: DeliveryResult,
    }
    for job in (broken_trial, broken_delivery):
        failure = outcomes[job]
        assert isinstance(failure, TrialFailure | DeliveryFailure)
        assert failure.traceback.startswith("Traceback")
        assert "ValueError: indices must lie in [0, 2], but got (9, 9, 9)." in failure.traceback


def test_each_job_is_started_once_and_before_its_outcome(backend: Backend, tables: CostTables, supernet: bytes) -> None:
    jobs: list[Job] = [*TRIALS, ArchitectureTrial(id=7, generation=1, indices=NO_ARCHITECTURE), DELIVERY]
    started: list[Job] = []
    ended: list[Job] = []
    for outcome in backend.run(jobs, tables, supernet, started.append):
        ended.append(job_of(outcome))
        assert set(ended) <= set(started)
    assert started == jobs
    assert len(ended) == len(jobs)


def test_jobs_are_taken_as_workers_are_free_so_that_they_may_depend_on_earlier_outcomes(
    backend: Backend, tables: CostTables, supernet: bytes
) -> None:
    taken: list[Job] = []
    outcomes: list[Outcome] = []

    def until_five_have_ended() -> Iterator[Job]:
        for number in count():
            if len(outcomes) >= 5:
                return
            assert len(taken) - len(outcomes) < 2 * WORKERS, "jobs must wait for free workers"
            taken.append(ArchitectureTrial(id=number, generation=0, indices=(0, 0, number % 3)))
            yield taken[-1]

    for outcome in backend.run(until_five_have_ended(), tables, supernet, ignore):
        outcomes.append(outcome)
    assert {job_of(outcome) for outcome in outcomes} == set(taken)
    assert 5 <= len(outcomes) == len(taken)


def test_without_jobs_there_are_no_outcomes(backend: Backend, tables: CostTables, supernet: bytes) -> None:
    started: list[Job] = []
    assert list(backend.run([], tables, supernet, started.append)) == []
    assert started == []


def test_pretraining_yields_as_many_epochs_as_asked_and_goes_on_from_a_saved_state(backend: Backend) -> None:
    settings = PretrainSettings(epochs=2, batch_size=32)
    (first, first_state), (second, second_state) = backend.pretrain(settings, None)
    assert (first.epoch, second.epoch) == (1, 2)
    ((resumed, resumed_state),) = backend.pretrain(settings, first_state)
    assert resumed == second
    assert pretrained_weights(resumed_state) == pretrained_weights(second_state) != pretrained_weights(first_state)
    assert list(backend.pretrain(settings, second_state)) == []


def test_pretraining_with_several_paths_a_step_gives_what_one_process_gives(
    backend: Backend, setup: WorkerSetup
) -> None:
    """Whoever has which path; an epoch's last step has fewer of them."""
    settings = PretrainSettings(epochs=2, batch_size=32, paths_per_step=3)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    expected = list(pretraining_epochs(setup, settings, None, torch.device("cpu")))
    torch.set_num_threads(threads)
    found = list(backend.pretrain(settings, None))
    assert [record for record, _ in found] == [record for record, _ in expected]
    assert [pretrained_weights(state) for _, state in found] == [pretrained_weights(state) for _, state in expected]
    ((resumed, state),) = backend.pretrain(settings, found[0][1])
    assert (resumed, pretrained_weights(state)) == (expected[1][0], pretrained_weights(expected[1][1]))


def test_a_dashboard_has_an_address(backend: Backend) -> None:
    assert backend.dashboard_url is None or backend.dashboard_url.startswith("http")


def test_closing_before_any_use_and_twice_does_no_harm(open_backend: Open, setup: WorkerSetup) -> None:
    backend = open_backend(setup)
    backend.close()
    backend.close()


def test_closing_after_use_and_twice_does_no_harm(
    open_backend: Open, setup: WorkerSetup, tables: CostTables, supernet: bytes
) -> None:
    backend = open_backend(setup)
    (outcome,) = backend.run([ARCHITECTURE], tables, supernet, ignore)
    assert isinstance(outcome, TrialResult)
    backend.close()
    backend.close()
