"""A tiny run whose networks are trained, and what adapts them in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import pytest

from devices.device import Device
from moo import events
from moo.adaptation.config import AdaptFrontConfig
from moo.adaptation.job import AdaptedRun, adapt, prepare_adaptation
from moo.deployment.config import TrainFrontConfig
from moo.deployment.finished_run import FinishedRun, record_of
from moo.deployment.plan import front_trainings
from moo.deployment.training import train_networks
from moo.execution.backend import InProcessBackend
from moo.search.loop import run_search
from moo.storage.run_folder import RunFolder
from moo.trials import WorkerSetup
from tests.moo.conftest import Prepare
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


@pytest.fixture
def finished(prepare_tiny: Prepare, setup: WorkerSetup) -> FinishedRun:
    """A finished search over configurations; nothing is measured, nothing trained."""
    preparation = prepare_tiny(threads=(1, 2), precision=("fp32", "int8"))
    run_search(preparation, InProcessBackend(setup), lambda event: None)
    p = preparation
    return FinishedRun(folder=p.folder, config=p.config, origin=p.origin, space=p.space, splits=p.splits)


@pytest.fixture
def trained_run(finished: FinishedRun) -> FinishedRun:
    """The same with its front trained for an epoch."""
    config = TrainFrontConfig(run=str(finished.folder.path), epochs=1, batch_size=64)
    with closing(record_of(finished)) as record:
        trainings = front_trainings(finished, record.archive, config)
        train_networks(finished, trainings, lambda: SerialTrainer(finished.splits), record, (), lambda event: None)
    return finished


@pytest.fixture
def adapted() -> Adapt:
    """Adapts a run in this process, with short trainings."""

    def call(
        run: FinishedRun,
        *,
        trainer: Any = None,
        devices: Sequence[Device] = (),
        told: list[events.Event] | None = None,
        **options: Any,
    ) -> AdaptedRun:
        config = AdaptFrontConfig(
            run=str(run.folder.path), **{"exit_epochs": 1.0, "joint_epochs": 1.0, "images": 0} | options
        )
        tell = (told if told is not None else []).append
        with closing(record_of(run)) as record:
            prepared = prepare_adaptation(config, run, record, tell)
            return adapt(prepared, lambda: trainer or SerialTrainer(run.splits), devices)

    return call


def at(run: FinishedRun, path: Path) -> FinishedRun:
    """The same run in a copy of its folder."""
    return FinishedRun(folder=RunFolder(path), config=run.config, origin=run.origin, space=run.space, splits=run.splits)


def trainings_begun(run: FinishedRun) -> Iterator[Path]:
    """Folders of exits that were begun."""
    return run.folder.path.glob("adaptations/*/exits/config.json")
