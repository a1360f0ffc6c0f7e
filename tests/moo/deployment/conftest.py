"""A finished search of a tiny space; tests get copies of its folder."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from devices.cost_tables.cost_table import CostTable
from evaluation.splits import Splits
from moo.deployment.finished_run import FinishedRun, record_of
from moo.execution.backend import InProcessBackend
from moo.search.loop import run_search
from moo.storage.record import RunRecord
from moo.storage.run_folder import RunFolder
from moo.trials import WorkerSetup
from tests.moo.conftest import prepared_in


@pytest.fixture(scope="session")
def searched_once(
    tmp_path_factory: pytest.TempPathFactory, splits: Splits, table: CostTable, setup: WorkerSetup
) -> FinishedRun:
    """A finished search, nothing measured."""
    p = prepared_in(tmp_path_factory.mktemp("searched") / "run", splits, table)
    run_search(p, InProcessBackend(setup), lambda event: None)
    return FinishedRun(folder=p.folder, config=p.config, origin=p.origin, space=p.space, splits=p.splits)


@pytest.fixture
def run(searched_once: FinishedRun, tmp_path: Path) -> FinishedRun:
    """The same in a folder of the test's own."""
    shutil.copytree(searched_once.folder.path, tmp_path / "run")
    return dataclasses.replace(searched_once, folder=RunFolder(tmp_path / "run"))


@pytest.fixture
def record(run: FinishedRun) -> Iterator[RunRecord]:
    """Its record, open."""
    opened = record_of(run)
    yield opened
    opened.close()
