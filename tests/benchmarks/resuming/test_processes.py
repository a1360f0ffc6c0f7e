"""All that a command starts is known and can be killed, whoever its parent is by then."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.resuming.chains import stage_of
from benchmarks.resuming.processes import Running, started

PARENT = """\
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "agent.py"])
print("pre-training 1/2", flush=True)
print("search 0/8 generation 1", flush=True)
time.sleep(60)
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    running = started(["-c", PARENT], folder=tmp_path, log=tmp_path / "log", environment={})
    end = time.monotonic() + 30
    while "search" not in running.text() and time.monotonic() < end:
        time.sleep(0.05)
    yield running
    running.process.kill()
    running.process.wait()
    running.left_over(0.0)


def test_the_stage_is_what_was_printed_last(running: Running) -> None:
    assert stage_of(running) == "generation 1"


def test_a_child_outlives_its_script_and_is_found(running: Running) -> None:
    assert running.kill("script")
    assert running.wait(30.0) == -signal.SIGKILL
    (line,) = running.others().values()
    assert "agent.py" in line
    assert list(running.left_over(0.0).values()) == [line]
    time.sleep(0.2)
    assert running.others() == {}


def test_a_part_is_killed_and_the_script_goes_on(running: Running) -> None:
    assert running.kill("agent")
    assert running.left_over(5.0) == {}
    assert not running.has_ended()
    assert not running.kill("raylet")


def test_a_group_is_killed_with_all_its_children(running: Running) -> None:
    running.kill("group")
    assert running.wait(30.0) == -signal.SIGKILL
    assert running.left_over(5.0) == {}
