"""What workers under Ray compute on, and how exactly. No GPU is needed: Ray only counts them."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
import ray
import torch

from devices.cost_tables.family import CostTables
from dnas.losses import Coefficients
from dnas.pretraining import PretrainSettings
from moo.execution import ray_session
from moo.execution.backend import Backend
from moo.execution.evaluator import Evaluator
from moo.execution.pretraining import pretrained_weights
from moo.execution.ray_backend import start_ray_backend
from moo.execution.ray_session import worker_device
from moo.execution.ray_start import own_ray_options
from moo.execution.ray_trainer import start_ray_trainer
from moo.trials import CoefficientTrial, TrialFailure, TrialResult, WorkerSetup
from search_space.boundary.text import last_line

GPUS = 4
TRIAL = CoefficientTrial(0, 0, Coefficients(0.1, 1.0, 0.1, 1.0))


def given(monkeypatch: pytest.MonkeyPatch, kind: str | None, numbers: list[int], share: float = 1.0) -> list[float]:
    """Have Ray give this process GPUs, and PyTorch see one; returns the shares that it keeps to."""
    kept: list[float] = []
    context = SimpleNamespace(get_assigned_resources=lambda: {"CPU": 1.0, "GPU": share})
    monkeypatch.setattr(ray, "get_gpu_ids", lambda: numbers)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: context)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: kind is not None)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: None if kind is None else torch.device(kind))
    monkeypatch.setattr(ray_session, "keep_to_share", lambda device, share: kept.append(share))
    return kept


@pytest.mark.parametrize("kind", ["cuda", "xpu", "mps"])
def test_a_worker_computes_on_the_gpu_that_ray_gave_it(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    kept = given(monkeypatch, kind, [2], share=0.25)
    assert worker_device() == torch.device(kind)
    assert kept == [0.25]


@pytest.mark.parametrize(("kind", "numbers"), [("cuda", []), (None, [0])])
def test_without_a_gpu_of_its_own_a_worker_computes_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch, kind: str | None, numbers: list[int]
) -> None:
    assert not given(monkeypatch, kind, numbers)
    assert worker_device() == torch.device("cpu")


@pytest.mark.parametrize(("kind", "asked", "counted"), [("mps", True, 1), ("mps", False, None), ("cuda", True, None)])
def test_a_started_ray_counts_apples_gpu_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, kind: str, asked: bool, counted: int | None
) -> None:
    """Ray finds the GPUs of others by itself."""
    started: list[dict[str, Any]] = []

    def init(**options: Any) -> SimpleNamespace:
        started.append(options | {"fallback": os.environ.get("PYTORCH_ENABLE_MPS_FALLBACK")})
        return SimpleNamespace(dashboard_url=None)

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device(kind))
    with monkeypatch.context() as environment:
        environment.setenv("PYTORCH_ENABLE_MPS_FALLBACK", "")
        environment.delenv("PYTORCH_ENABLE_MPS_FALLBACK")
        session = ray_session.join_ray(None, workers=1, dashboard=False, apple_gpu=asked)
    assert session.apple_gpu == asked
    assert started[0].get("num_gpus") == counted
    assert started[0]["fallback"] == ("1" if counted else None)
    assert "num_gpus" not in own_ray_options(workers=1, dashboard=False)


@pytest.fixture(scope="module")
def four_gpus() -> Iterator[None]:
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    ray.init(address="local", num_cpus=2, num_gpus=GPUS, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


class ReportingEvaluator(Evaluator):
    """Says what it has of a GPU, and how it computes."""

    def search(self, job: CoefficientTrial, costs: CostTables) -> NoReturn:
        share = ray.get_runtime_context().get_assigned_resources()["GPU"]
        raise ArithmeticError(f"{share} {torch.are_deterministic_algorithms_enabled()}")


@pytest.mark.slow
@pytest.mark.usefixtures("four_gpus")
def test_five_workers_on_four_gpus_become_four_with_one_each(
    setup: WorkerSetup, tables: CostTables, caplog: pytest.LogCaptureFixture
) -> None:
    setup = replace(setup, deterministic=True)
    with caplog.at_level(logging.WARNING):
        backend = start_ray_backend(setup, workers=5, evaluator=ReportingEvaluator)
    assert backend.workers == GPUS
    assert [record.getMessage() for record in caplog.records] == [
        "4 workers at the same time instead of 5, as many on each GPU: there are 4."
    ]
    (outcome,) = backend.run([TRIAL], tables, supernet_of(backend), lambda job: None)
    backend.close()
    assert isinstance(outcome, TrialFailure)
    assert last_line(outcome.traceback) == "ArithmeticError: 1.0 True"


def supernet_of(backend: Backend) -> bytes:
    """Pre-trained for an epoch."""
    *_, (_, state) = backend.pretrain(PretrainSettings(epochs=1, batch_size=32), None)
    return pretrained_weights(state)


@pytest.mark.slow
@pytest.mark.usefixtures("four_gpus")
def test_deterministic_gives_the_same_on_a_cpu(setup: WorkerSetup, tables: CostTables) -> None:
    found = []
    for deterministic in (True, False):
        backend = start_ray_backend(replace(setup, deterministic=deterministic), workers=1)
        weights = supernet_of(backend)
        (result,) = backend.run([TRIAL], tables, weights, lambda job: None)
        backend.close()
        assert isinstance(result, TrialResult)
        assert result.theta is not None
        found.append((weights, result.architectures, result.theta.theta_LO.tobytes(), result.theta.records))
    assert found[0] == found[1]


@pytest.mark.slow
@pytest.mark.usefixtures("four_gpus")
def test_trainings_share_gpus_likewise(setup: WorkerSetup) -> None:
    for networks, each, workers, share in ((5, 0.5, 4, 1.0), (8, 0.5, 8, 0.5), (9, 0.5, 8, 0.5), (3, 0.0, 2, 0.0)):
        trainer = start_ray_trainer(setup.splits, networks=networks, gpus_per_worker=each)
        assert (trainer.workers, trainer._options["num_gpus"]) == (workers, share)
        trainer.close()
