"""Ray is started once for the slow tests of this module; `test_backend_protocol` compares ranks with one process."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator

import pytest
import ray
import torch

from devices.cost_tables.family import CostTables
from dnas.pretraining import PretrainSettings
from moo.execution.pretraining import pretrained_weights, pretraining_epochs
from moo.execution.ray_backend import start_ray_backend
from moo.execution.ray_ranks import ranks_for
from moo.trials import ArchitectureTrial, TrialResult, WorkerSetup
from tests.processes import descendants, kill_ray_workers
from tests.tiers import THOROUGH

SETTINGS = PretrainSettings(epochs=3, batch_size=32, paths_per_step=2)


@pytest.fixture(scope="module")
def started_ray() -> Iterator[None]:
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    ray.init(address="local", num_cpus=2, num_gpus=0, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.parametrize(
    ("paths", "workers", "ranks"), [(1, 8, 1), (4, 1, 1), (4, 2, 2), (3, 2, 2), (8, 8, 8), (9, 8, 5), (8, 5, 4)]
)
def test_there_are_no_more_ranks_than_it_takes(paths: int, workers: int, ranks: int) -> None:
    settings = PretrainSettings(epochs=1, paths_per_step=paths)
    assert ranks_for(settings, workers=workers) == ranks


@pytest.mark.slow
@pytest.mark.parametrize("part", [pytest.param(1, marks=THOROUGH), 2])
def test_pretraining_of_which_a_rank_is_killed_goes_on_from_its_last_epoch(
    started_ray: None, setup: WorkerSetup, part: int
) -> None:
    torch.set_num_threads(1)
    undisturbed = list(pretraining_epochs(setup, SETTINGS, None, torch.device("cpu")))
    backend = start_ray_backend(setup, workers=2)
    epochs = []
    for epoch in backend.pretrain(SETTINGS, None):
        epochs.append(epoch)
        if len(epochs) == 1:
            kill_ray_workers(f"pre-training, part {part}")
    backend.close()
    assert [record for record, _ in epochs] == [record for record, _ in undisturbed]
    assert pretrained_weights(epochs[-1][1]) == pretrained_weights(undisturbed[-1][1])


@pytest.mark.slow
def test_pretraining_that_is_abandoned_leaves_its_cores_to_what_comes_next(
    started_ray: None, setup: WorkerSetup, tables: CostTables
) -> None:
    backend = start_ray_backend(setup, workers=2)
    epochs = backend.pretrain(SETTINGS, None)
    _, state = next(epochs)
    assert isinstance(epochs, Generator)
    epochs.close()
    trial = ArchitectureTrial(id=0, generation=0, indices=(0, 0, 0))
    (outcome,) = backend.run([trial], tables, pretrained_weights(state), lambda job: None)
    backend.close()
    assert isinstance(outcome, TrialResult)
    assert not [line for line in descendants(os.getpid()).values() if line.startswith("ray::pre-training")]
