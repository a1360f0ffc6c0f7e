"""Ray is started once for the slow tests of this module; `test_backend_protocol` compares ranks with one process."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator
from typing import Any

import pytest
import ray
import torch

from devices.cost_tables.family import CostTables
from dnas.pretraining import PretrainSettings
from moo.execution import ray_ranks
from moo.execution.pretraining import pretrained_weights, pretraining_epochs
from moo.execution.ray_backend import start_ray_backend
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


@ray.remote
class Guest:
    """Has a core for itself."""

    def here(self) -> bool:
        return True


@pytest.mark.slow
@pytest.mark.thorough
def test_a_rank_without_a_place_is_done_without(
    started_ray: None, setup: WorkerSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_ranks, "GATHERING_SECONDS", 1.0)
    backend = start_ray_backend(setup, workers=2)
    guest: Any = Guest.options(num_cpus=1).remote()  # type: ignore[attr-defined]
    assert ray.get(guest.here.remote())
    (first, *_) = backend.pretrain(SETTINGS, None)
    ray.kill(guest)
    backend.close()
    torch.set_num_threads(1)
    (expected, *_) = pretraining_epochs(setup, SETTINGS, None, torch.device("cpu"))
    assert first[0].epoch == expected[0].epoch == 1
    assert first[0].loss == pytest.approx(expected[0].loss, rel=1e-4)


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
