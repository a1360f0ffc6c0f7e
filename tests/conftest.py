"""What all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _profiles_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep profiles that tests make away from the user's, and from other tests."""
    monkeypatch.setenv("PI_PARETO_NAS_CACHE", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def _turns_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tests that measure on this machine wait for no other program."""
    monkeypatch.setattr("devices.agent.host_turns.NAME", str(tmp_path / "{}.lock"))
