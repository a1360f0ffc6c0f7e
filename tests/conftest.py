"""What all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let `tests/fuzzing` try more than it does by default."""
    parser.addoption("--fuzz-inputs", type=int, default=1500, help="inputs that readers are given in tests/fuzzing")
    parser.addoption("--fuzz-seed", type=int, default=0, help="of the first of them")


@pytest.fixture(autouse=True)
def _profiles_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep profiles that tests make away from the user's, and from other tests."""
    monkeypatch.setenv("PI_PARETO_NAS_CACHE", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def _turns_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tests that measure on this machine wait for no other program."""
    monkeypatch.setattr("devices.agent.host_turns.NAME", str(tmp_path / "{}.lock"))
