"""What all tests share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

TOGETHER = ("tests/moo/adaptation/", "tests/moo/deployment/", "tests/moo/page/")
"""Folders whose modules share a run that is made once."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let `tests/fuzzing` try more than it does by default."""
    parser.addoption("--fuzz-inputs", type=int, default=1500, help="inputs that readers are given in tests/fuzzing")
    parser.addoption("--fuzz-seed", type=int, default=0, help="of the first of them")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give all tests of a module to one worker, so that what these share is made once, not by each worker."""
    if config.getoption("dist") != "load":
        return None
    from xdist.scheduler import LoadFileScheduling

    scheduling: Any = LoadFileScheduling(config, log)
    module_of = scheduling._split_scope

    def together(test: str) -> Any:
        return next((folder for folder in TOGETHER if test.startswith(folder)), module_of(test))

    scheduling._split_scope = together
    return scheduling


@pytest.fixture(autouse=True)
def _profiles_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep profiles that tests make away from the user's, and from other tests."""
    monkeypatch.setenv("PI_PARETO_NAS_CACHE", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def _turns_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tests that measure on this machine wait for no other program."""
    monkeypatch.setattr("devices.agent.host_turns.NAME", str(tmp_path / "{}.lock"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is thorough is slow, too, wherever it stands."""
    for item in items:
        if item.get_closest_marker("thorough") is not None:
            item.add_marker("slow")
