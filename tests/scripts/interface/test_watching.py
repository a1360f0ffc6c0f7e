"""Small programs in place of the scripts: what becomes of them, and of what they started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.resuming.processes import MARK, marked
from scripts.interface.endings import same_command
from tests.processes import assert_gone

ROOT = Path(__file__).parents[3]
PATIENCE = 30.0
PREAMBLE = """
import os, signal, subprocess, sys, time
from scripts.interface.command_line import run_watched
from scripts.interface.endings import goes_on_with
from moo.execution.machinery import MachineryError
# Whoever started the tests may have it ignored, as `nohup` does.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
def ready():
    print("ready", flush=True)
def helper():
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
"""


class Program:
    """A program that `run_watched` runs."""

    def __init__(self, body: str) -> None:
        self.mark = uuid.uuid4().hex
        lines = "\n    ".join(body.strip().splitlines())
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"{PREAMBLE}\ndef main():\n    {lines}\nrun_watched(main)"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, MARK: self.mark},
        )

    def until_ready(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def send(self, number: int) -> None:
        self._process.send_signal(number)

    def end(self) -> tuple[int, str]:
        """Exit code, and what it said on stderr; nothing that it started may be left."""
        code = self._process.wait(PATIENCE)
        assert_gone(self.mark, within_seconds=PATIENCE)
        assert self._process.stderr is not None
        assert self._process.stdout is not None
        with self._process.stdout, self._process.stderr as stderr:
            return code, stderr.read()

    def kill(self) -> None:
        self._process.kill()
        for number in marked(self.mark):
            os.kill(number, signal.SIGKILL)


@pytest.fixture
def program(request: pytest.FixtureRequest) -> Iterator[type[Program]]:
    programs: list[Program] = []

    class Kept(Program):
        def __init__(self, body: str) -> None:
            super().__init__(body)
            programs.append(self)

    yield Kept
    for one in programs:
        one.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_signal_ends_it_with_one_line_and_its_code(program: type[Program], number: int) -> None:
    running = program("goes_on_with('again --resume here')\nhelper()\nready()\ntime.sleep(600)")
    running.until_ready()
    running.send(number)
    assert running.end() == (
        128 + number,
        "Stopped; nothing that had ended is lost. Go on with: again --resume here\n",
    )


def test_stopped_before_anything_was_written_it_says_so(program: type[Program]) -> None:
    running = program("ready()\ntime.sleep(600)")
    running.until_ready()
    running.send(signal.SIGTERM)
    assert running.end() == (143, "Stopped. Nothing was written.\n")


def test_a_second_signal_ends_it_at_once_and_the_same_one_twice_is_one(program: type[Program]) -> None:
    tidying = "print('tidies up', flush=True)\n    time.sleep(600)"
    body = f"helper()\ntry:\n    ready()\n    time.sleep(600)\nfinally:\n    {tidying}"
    running = program(body)
    running.until_ready()
    running.send(signal.SIGTERM)
    running.send(signal.SIGTERM)
    assert running._process.stdout.readline() == "tidies up\n"
    assert running._process.poll() is None
    time.sleep(1.1)
    running.send(signal.SIGINT)
    assert running.end()[0] == 130


def test_a_library_that_answers_a_signal_in_its_own_way_changes_neither_line_nor_code(program: type[Program]) -> None:
    """As Ray does while it starts."""
    body = """
goes_on_with('again')
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))
ready()
time.sleep(600)"""
    running = program(body)
    running.until_ready()
    running.send(signal.SIGTERM)
    assert running.end() == (143, "Stopped; nothing that had ended is lost. Go on with: again\n")


def test_what_does_not_answer_a_signal_is_killed_and_the_line_is_said(program: type[Program]) -> None:
    """As a library that computes for minutes, or swallows all exceptions."""
    body = """
goes_on_with('again')
for one in (signal.SIGINT, signal.SIGTERM):
    signal.signal(one, lambda number, frame: None)
ready()
while True:
    time.sleep(1)"""
    running = program(body)
    running.until_ready()
    running.send(signal.SIGTERM)
    assert running.end() == (143, "Stopped; nothing that had ended is lost. Go on with: again\n")


@pytest.mark.parametrize(
    ("death", "what"),
    [
        ("os._exit(1)", "a library ended the program with status 1, as Ray does where it died itself"),
        ("os.kill(os.getpid(), 9)", "the program was killed (SIGKILL), as when memory runs out"),
        ("os.abort()", "the program was killed (SIGABRT)"),
    ],
)
def test_killed_without_a_word_it_still_says_how_to_go_on(program: type[Program], death: str, what: str) -> None:
    running = program(f"goes_on_with('again')\nhelper()\n{death}")
    assert running.end() == (1, f"error: {what}; nothing that had ended is lost. Go on with: again\n")


def test_death_of_machinery_is_one_line_and_a_mistake_of_ours_keeps_its_traceback(program: type[Program]) -> None:
    assert program("goes_on_with('again')\nraise MachineryError('Ray died.')").end() == (
        1,
        "error: Ray died. Go on with: again\n",
    )
    code, said = program("goes_on_with('again')\nraise KeyError('ours')").end()
    assert code == 1
    assert "Traceback" in said
    assert said.endswith("KeyError: 'ours'\nGo on with: again\n")


def test_want_of_memory_is_one_line_with_the_command(program: type[Program]) -> None:
    assert program("goes_on_with('again')\nbytearray(2**60)").end() == (
        1,
        "error: there must be memory for this, but none is left; free some, and try again. Go on with: again\n",
    )


def test_a_full_disk_is_one_line_with_the_command(program: type[Program]) -> None:
    assert program("goes_on_with('again')\nraise OSError(28, 'No space left on device', 'run/x')").end() == (
        1,
        "error: there must be space on the disk, but none is left for run/x; make some, and go on: what had ended is "
        "kept. Go on with: again\n",
    )


@pytest.mark.parametrize(("ending", "code"), [("return 0", 0), ("return 3", 3), ("sys.exit(2)", 2), ("pass", 0)])
def test_codes_of_its_own_are_passed_on(program: type[Program], ending: str, code: int) -> None:
    assert program(ending).end() == (code, "")


def test_killed_itself_nothing_of_it_goes_on(program: type[Program]) -> None:
    running = program("ready()\ntime.sleep(600)")
    running.until_ready()
    running.send(signal.SIGKILL)
    assert running.end() == (-9, "")


def test_what_a_shell_had_started_before_stays(program: type[Program]) -> None:
    """`exec` in a shell leaves its children to the program."""
    code = f"{PREAMBLE}\nrun_watched(lambda: 0)"
    process = subprocess.run(
        ["bash", "-c", f'sleep 600 >/dev/null 2>&1 & echo $!; exec "{sys.executable}" -c "$CODE"'],
        env={**os.environ, "CODE": code},
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    os.kill(int(process.stdout), signal.SIGKILL)


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["scripts/train_front.py", "a run", "--fresh"], "python scripts/train_front.py 'a run'"),
        (["/usr/bin/train-front", "run"], "train-front run"),
    ],
)
def test_the_same_command_is_named_as_it_was_given(argv: list[str], text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    assert same_command(omitted="--fresh") == text
