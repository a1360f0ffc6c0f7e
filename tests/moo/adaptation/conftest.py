"""A tiny run whose networks are trained, and what adapts them in this process."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

from devices.configuration import configurations_of
from devices.device import Device
from evaluation.splits import Splits
from moo import events
from moo.adaptation.config import AdaptFrontConfig
from moo.adaptation.job import AdaptedRun, adapt, prepare_adaptation
from moo.config import SearchConfig
from moo.deployment.config import TrainFrontConfig
from moo.deployment.finished_run import FinishedRun, record_of
from moo.deployment.outputs import write_retrained
from moo.deployment.plan import front_trainings
from moo.deployment.training import train_networks
from moo.execution.backend import InProcessBackend
from moo.measurement.boards import Boards
from moo.search.loop import run_search
from moo.search.preparation import Preparation
from moo.storage.run_folder import RunFolder
from moo.trials import WorkerSetup
from tests.moo.conftest import TABLE, TINY, family_of
from tests.moo.deployment.test_training import SerialTrainer


class Adapt(Protocol):
    """Adapts a run in this process."""

    def __call__(
        self,
        run: FinishedRun,
        *,
        trainer: Any = None,
        devices: Sequence[Device] = (),
        told: list[events.Event] | None = None,
        **options: Any,
    ) -> AdaptedRun: ...


CONFIGURATIONS = configurations_of((1, 2), (None,), ("fp32", "int8"))


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory: pytest.TempPathFactory, splits: Splits, setup: WorkerSetup) -> FinishedRun:
    """A finished search over configurations; nothing is measured, nothing trained. Tests get copies."""
    config = SearchConfig(
        dataset="stripes", space="tiny", population=4, generations=2, samples=2, theta_steps=2, theta_batch=16,
        pretrain_batch=32, pretrain_epochs=2, measure=False, supernet_generations=99, threads=(1, 2),
        precision=("fp32", "int8"),
    )  # fmt: skip
    tables = family_of(TABLE, CONFIGURATIONS)
    preparation = Preparation(
        config=config,
        folder=RunFolder(tmp_path_factory.mktemp("finished") / "run"),
        resumed=False,
        space=TINY,
        splits=splits,
        boards=Boards(),
        cost_tables=tables,
        configurations=tables.configurations,
    )
    run_search(preparation, InProcessBackend(setup), lambda event: None)
    p = preparation
    return FinishedRun(folder=p.folder, config=p.config, origin=p.origin, space=p.space, splits=p.splits)


@pytest.fixture(scope="session")
def trained_once(finished_once: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """The same with its front trained for an epoch."""
    run = at(finished_once, tmp_path_factory.mktemp("trained") / "run")
    shutil.copytree(finished_once.folder.path, run.folder.path)
    config = TrainFrontConfig(run=str(run.folder.path), epochs=1, batch_size=64)
    with closing(record_of(run)) as record:
        trainings = front_trainings(run, record.archive, config)
        train_networks(run, trainings, lambda: SerialTrainer(run.splits), record, (), lambda event: None)
        write_retrained(run, record.archive, record.store, {})
    return run


@pytest.fixture
def finished(finished_once: FinishedRun, tmp_path: Path) -> FinishedRun:
    """A finished run that is not trained."""
    return copied(finished_once, tmp_path / "run")


@pytest.fixture
def trained_run(trained_once: FinishedRun, tmp_path: Path) -> FinishedRun:
    """A finished run whose front is trained."""
    return copied(trained_once, tmp_path / "run")


@dataclass(frozen=True)
class Adapted:
    """A run with exits, and what the command came to."""

    run: FinishedRun
    result: AdaptedRun


@pytest.fixture(scope="session")
def adapted_once(trained_once: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> Adapted:
    """The same with exits, with default options. Tests that change nothing read it as it is."""
    run = copied(trained_once, tmp_path_factory.mktemp("adapted") / "run")
    return Adapted(run, adapted_by(run))


@pytest.fixture
def adapted_run(adapted_once: Adapted, tmp_path: Path) -> FinishedRun:
    """A finished run whose front is trained and has exits, with default options."""
    return copied(adapted_once.run, tmp_path / "run")


@pytest.fixture
def adapted() -> Adapt:
    """Adapts a run in this process, with short trainings."""
    return adapted_by


def adapted_by(
    run: FinishedRun,
    *,
    trainer: Any = None,
    devices: Sequence[Device] = (),
    told: list[events.Event] | None = None,
    **options: Any,
) -> AdaptedRun:
    """Adapt a run in this process, with short trainings."""
    config = AdaptFrontConfig(
        run=str(run.folder.path), **{"exit_epochs": 1.0, "joint_epochs": 1.0, "images": 0} | options
    )
    tell = (told if told is not None else []).append
    with closing(record_of(run)) as record:
        prepared = prepare_adaptation(config, run, record, tell)
        return adapt(prepared, lambda: trainer or SerialTrainer(run.splits), devices)


def at(run: FinishedRun, path: Path) -> FinishedRun:
    """The same run in a copy of its folder."""
    return FinishedRun(folder=RunFolder(path), config=run.config, origin=run.origin, space=run.space, splits=run.splits)


def copied(run: FinishedRun, path: Path) -> FinishedRun:
    """A copy of a run."""
    shutil.copytree(run.folder.path, path)
    return at(run, path)
