from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from moo.config import SearchConfig
from moo.page.searches.processes import Process
from moo.page.searches.states import EVENTS, state_of
from moo.storage.run_folder import RunFolder
from moo.storage.search_state import SearchState, write_state
from tests.moo.conftest import ORIGIN

HERE = Process(1, 0)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    folder.write_config(SearchConfig(space="tiny"), ORIGIN)
    folder.store.touch()
    return folder


def tell(folder: RunFolder, kind: str, **figures: Any) -> None:
    with (folder.path / EVENTS).open("a") as file:
        file.write(json.dumps({"at": 1.0, "kind": kind} | figures) + "\n")


def test_states_follow_the_lock_the_state_and_the_last_event(folder: RunFolder) -> None:
    write_state(folder, SearchState(ended=False, reached="after generation 1 of 8"))
    assert state_of(folder, HERE).state == "running"
    assert state_of(folder, None, HERE).state == "starting"
    assert state_of(folder, None).detail == "after generation 1 of 8"
    tell(folder, "trial_started")
    killed = state_of(folder, None)
    assert (killed.state, "killed" in killed.detail) == ("interrupted", True)
    tell(folder, "command_ended", ending="stopped", reason="SIGTERM")
    assert state_of(folder, None).detail == "after generation 1 of 8; stopped by SIGTERM"
    tell(folder, "command_ended", ending="failed", reason="SearchFailedError: <b>all</b>\nof them")
    failed = state_of(folder, None)
    assert (failed.state, failed.detail) == ("failed", "SearchFailedError: <b>all</b> of them")
    write_state(folder, SearchState(ended=True))
    assert state_of(folder, None).state == "ended"
    assert "all" in state_of(folder, None).detail
    tell(folder, "command_ended", ending="finished", reason=None)
    assert state_of(folder, None).detail == ""


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_a_damaged_run_says_so(folder: RunFolder, content: str) -> None:
    folder.config.write_text(content)
    state = state_of(folder, None)
    assert state.state == "unreadable"
    assert "config.json" in state.detail


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe", b"[1]\n", b'{"kind": 1}\n', b"{" * 40_000])
def test_damaged_events_do_no_harm(folder: RunFolder, content: bytes) -> None:
    (folder.path / EVENTS).write_bytes(content)
    assert state_of(folder, None).state == "interrupted"
