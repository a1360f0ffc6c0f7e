from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from moo.config import SearchConfig
from moo.page.answers import NotThereError
from moo.page.searches.form import read_form
from moo.page.searches.processes import LockHolders, Process, process_of
from moo.page.searches.starting import Launches
from moo.page.settings import PageSettings
from moo.storage.run_folder import RunFolder
from tests.moo.conftest import ORIGIN
from tests.moo.page.searches.conftest import FAKE, until


def start(launches: Launches, settings: PageSettings, **values: object) -> str:
    return launches.start(read_form({"settings": values}, settings))


def test_a_search_is_started_stopped_and_gone_on_with(launches: Launches, settings: PageSettings) -> None:
    name = launches.start(read_form({"name": "first", "settings": {"population": "4"}}, settings))
    assert name == "first"
    until(lambda: launches.state(name).state == "running")
    process = launches.state(name).process
    assert process is not None
    assert "--population" in process.words
    with pytest.raises(ValueError, match="must not be going on"):
        launches.resume(name)
    with pytest.raises(ValueError, match="new name"):
        launches.start(read_form({"name": "first"}, settings))
    launches.stop(name)
    until(lambda: not process.is_alive)
    state = launches.state(name)
    assert (state.state, state.detail) == ("interrupted", "before its first front; stopped by SIGINT")
    with pytest.raises(ValueError, match="must be going on"):
        launches.stop(name)
    launches.resume(name)
    until(lambda: launches.state(name).state == "running")
    # Another page, started later, knows it as well.
    Launches(settings).stop(name)
    until(lambda: launches.state(name).state == "interrupted")


def test_one_that_fails_before_its_folder_is_there_says_why(launches: Launches, settings: PageSettings) -> None:
    name = start(launches, settings, seed="7")
    until(lambda: launches.state(name).state == "failed")
    assert launches.state(name).detail == "error: `--dataset` must be there, but it is not: look for it."
    assert launches.without_folder() == [name]


def test_one_that_dies_without_a_word_was_interrupted(launches: Launches, settings: PageSettings) -> None:
    name = start(launches, settings, seed="8")
    until(lambda: launches.state(name).state == "interrupted")
    assert "killed" in launches.state(name).detail


def test_one_of_a_terminal_is_found_by_its_lock_and_stopped(settings: PageSettings, template: Path) -> None:
    launches, folder = Launches(settings), settings.runs / "from" / "terminal"
    folder.parent.mkdir()
    with subprocess.Popen([sys.executable, str(FAKE), str(template), "--out", str(folder)]) as child:
        until(lambda: (folder / "events.jsonl").exists())
        assert LockHolders().of(folder) == process_of(child.pid)
        assert launches.state("from/terminal").state == "running"
        launches.stop("from/terminal")
        assert child.wait() == 0
    assert launches.state("from/terminal").state == "interrupted"


def test_a_later_process_of_the_same_number_is_never_signalled() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as child:
        process = process_of(child.pid)
        assert process is not None
        assert not Process(process.pid, process.start - 1).interrupt()
        assert child.poll() is None
        assert process.interrupt()
        child.wait()
    assert not process.interrupt()
    assert not process.is_alive


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/../b", "a\0b", "/etc", "-", "x" * 5000])
def test_nothing_outside_the_runs_can_be_named(launches: Launches, name: str) -> None:
    for act in (launches.state, launches.stop, launches.resume, launches.path_of):
        with pytest.raises(NotThereError):
            act(name)


def test_links_are_not_followed(launches: Launches, settings: PageSettings, template: Path) -> None:
    (settings.runs / "link").symlink_to(template)
    (settings.runs / "folder").symlink_to(template.parent)
    for name in ("link", f"folder/{template.name}"):
        with pytest.raises(NotThereError):
            launches.state(name)


@pytest.mark.parametrize("config", [SearchConfig(device=("ssh://me@elsewhere",)), SearchConfig(address="elsewhere:1")])
def test_a_run_on_other_machines_than_the_servers_is_not_resumed(
    launches: Launches, settings: PageSettings, config: SearchConfig
) -> None:
    folder = RunFolder(settings.runs / "other")
    folder.write_config(config, ORIGIN)
    folder.store.touch()
    assert launches.state("other").state == "interrupted"
    with pytest.raises(ValueError, match="elsewhere"):
        launches.resume("other")
    assert not (settings.runs / ".page").exists()
