"""What every place where trials run promises; a new one is a line in `BACKENDS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import ray

from devices.cost_tables.cost_table import CostTable
from dnas.losses import Coefficients
from dnas.pretraining import PretrainSettings
from moo.execution.backend import Backend, InProcessBackend
from moo.execution.pretraining import pretrained_weights, untrained_weights
from moo.execution.ray_backend import RayBackend
from moo.trials import (
    ArchitectureTrial,
    CoefficientTrial,
    DeliveryJob,
    DeliveryResult,
    Job,
    TrialFailure,
    TrialResult,
    WorkerSetup,
)

BACKENDS: dict[str, Callable[[WorkerSetup], Backend]] = {
    "in process": InProcessBackend,
    "ray": lambda setup: RayBackend(setup, workers=1, dashboard=False),
}
TRIALS = [CoefficientTrial(number, 0, Coefficients(1.0 + number, 1.0, 0.1, 1.0)) for number in range(2)]
BROKEN = ArchitectureTrial(7, 0, (99, 99, 99))
JOBS: list[Job] = [TRIALS[0], BROKEN, ArchitectureTrial(8, 0, (0, 1, 2)), DeliveryJob((0, 1, 2)), TRIALS[1]]


@pytest.fixture(scope="module", params=["in process", pytest.param("ray", marks=pytest.mark.slow)])
def make(request: pytest.FixtureRequest) -> Iterator[Callable[[WorkerSetup], Backend]]:
    """Makes one of the backends; Ray is started once."""
    yield BACKENDS[request.param]
    ray.shutdown()


@pytest.fixture
def backend(make: Callable[[WorkerSetup], Backend], setup: WorkerSetup) -> Iterator[Backend]:
    """A backend that is closed in the end."""
    made = make(setup)
    yield made
    made.close()


def test_every_job_has_its_outcome_and_one_that_raises_leaves_the_others_alone(
    backend: Backend, setup: WorkerSetup, table: CostTable
) -> None:
    started: list[Job] = []
    outcomes = list(backend.run(JOBS, table, untrained_weights(setup), started.append))
    assert started == JOBS
    assert [item.trial for item in outcomes if isinstance(item, TrialFailure)] == [BROKEN]
    assert sorted(item.trial.id for item in outcomes if isinstance(item, TrialResult)) == [0, 1, 8]
    assert [item.job for item in outcomes if isinstance(item, DeliveryResult)] == [DeliveryJob((0, 1, 2))]
    assert all(item.traceback for item in outcomes if isinstance(item, TrialFailure))


def test_jobs_may_depend_on_the_outcomes_before(backend: Backend, setup: WorkerSetup, table: CostTable) -> None:
    ended: list[int] = []

    def jobs() -> Iterator[Job]:
        for trial in (ArchitectureTrial(number, 0, (0, 0, number)) for number in range(3)):
            assert len(ended) >= trial.id - 1
            yield trial

    for outcome in backend.run(jobs(), table, untrained_weights(setup), lambda job: None):
        assert isinstance(outcome, TrialResult)
        ended.append(outcome.trial.id)
    assert sorted(ended) == [0, 1, 2]


def test_pretraining_goes_on_from_a_saved_state(backend: Backend) -> None:
    settings = PretrainSettings(epochs=2, batch_size=32)
    whole = list(backend.pretrain(settings, None))
    assert [record.epoch for record, _ in whole] == [1, 2]
    rest = list(backend.pretrain(settings, whole[0][1]))
    assert [record.epoch for record, _ in rest] == [2]
    assert len(pretrained_weights(rest[-1][1])) == len(pretrained_weights(whole[-1][1]))


def test_closing_twice_does_no_harm(make: Callable[[WorkerSetup], Backend], setup: WorkerSetup) -> None:
    made = make(setup)
    made.close()
    made.close()
