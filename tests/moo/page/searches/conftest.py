"""A program that searches as the page sees it: it makes a run folder, holds its lock and tells of events."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from moo.config import SearchConfig
from moo.page.searches.starting import Launches
from moo.page.settings import PageSettings
from moo.storage.run_folder import RunFolder
from scripts.interface.search_program import search_program
from tests.moo.conftest import ORIGIN

PATIENCE_SECONDS = 20.0
FAKE = Path(__file__).with_name("fake_search.py")


def write_begun_run(path: Path) -> None:
    """Write the folder of a run that has begun."""
    folder = RunFolder(path)
    folder.write_config(SearchConfig(device=("pi4",), space="tiny"), ORIGIN)
    folder.store.touch()


def fake_program(template: Path) -> tuple[str, ...]:
    """Words that call the fake program, which copies a run that has begun."""
    return (sys.executable, str(FAKE), str(template))


@contextmanager
def killed_in_the_end(settings: PageSettings) -> Iterator[None]:
    """What was started from a page and still runs in the end is killed."""
    try:
        yield
    finally:
        launches = Launches(settings)
        for path in (settings.runs / ".page").glob("*.json"):
            process = launches.begun(path.stem)
            if process is not None:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that has begun, which the fake program copies."""
    path = tmp_path_factory.mktemp("template")
    write_begun_run(path)
    return path


@pytest.fixture
def settings(tmp_path: Path, template: Path) -> PageSettings:
    """Of a page whose searches are those of the fake program."""
    (tmp_path / "runs").mkdir()
    program = replace(search_program(), command=fake_program(template))
    return PageSettings(runs=tmp_path / "runs", datasets=("digits", "photos"), program=program)


@pytest.fixture
def launches(settings: PageSettings) -> Iterator[Launches]:
    """Starts the fake program."""
    with killed_in_the_end(settings):
        yield Launches(settings)


def until(condition: Callable[[], object]) -> None:
    """Wait for something that comes soon."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
