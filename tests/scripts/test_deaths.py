"""The real command, and what dies under it: a signal, the raylet, the GCS, a worker. Each time nothing is lost."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.resuming.processes import MARK, marked
from moo.storage.run_folder import RunFolder
from moo.storage.store import read_store
from tests.processes import assert_gone

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PATIENCE = 240.0
SPACE = """\
name: small
input_size: 8
stem: {channels: 8, stride: 1}
stages: [{channels: 8, layers: 2, stride: 1}]
last_channels: 8
operators: [k3_e1, k5_e3, skip]
"""
OPTIONS = [
    "--space", "small.yaml", "--no-measure", "--configurations", "base", "--population", "4", "--generations", "1",
    "--samples", "1", "--theta-steps", "5", "--pretrain-epochs", "12", "--workers", "1", "--no-dashboard",
    "--out", "run",
]  # fmt: skip
PRETRAINING, SEARCHING, DELIVERING = "pre-training 2/", "search 0/4", "delivering"
RESUME = "Go on with: python scripts/pareto_search.py --resume run"


class Search:
    """A search as a user starts it."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.mark = uuid.uuid4().hex
        self.folder = folder
        self._out, self._err = folder / "out.txt", folder / "err.txt"
        with self._out.open("w") as out, self._err.open("w") as err:
            self._process = subprocess.Popen(
                [sys.executable, str(ROOT / "scripts" / "pareto_search.py"), *options],
                cwd=folder,
                stdout=out,
                stderr=err,
                env={**os.environ, MARK: self.mark, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"},
            )

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while text not in self._out.read_text():
            assert self._process.poll() is None, self._err.read_text()
            assert time.monotonic() < deadline, self._out.read_text()
            time.sleep(0.02)

    def kill(self, part: str) -> None:
        """Kill those of its processes whose command line begins or goes on with a text."""
        found = [number for number, line in marked(self.mark).items() if part in line]
        assert found, marked(self.mark)
        for number in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)

    def send(self, number: int) -> None:
        self._process.send_signal(number)

    def end(self) -> tuple[int, str]:
        """Exit code, and what it said on stderr; none of its processes may be left."""
        code = self._process.wait(PATIENCE)
        assert_gone(self.mark, within_seconds=PATIENCE)
        return code, self._err.read_text()

    def trials(self) -> list[str | None]:
        """The traceback of each trial, or None of one that did well."""
        with contextlib.closing(read_store(RunFolder(self.folder / "run").store)) as store:
            return [item.traceback for item in store.trials().values()]


Start = Callable[..., Search]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    (tmp_path / "small.yaml").write_text(SPACE)
    searches: list[Search] = []

    def begin(*options: str) -> Search:
        searches.append(Search(tmp_path, *options))
        return searches[-1]

    yield begin
    for search in searches:
        for number in marked(search.mark):
            os.kill(number, signal.SIGKILL)


@pytest.mark.parametrize(
    ("stage", "part"),
    [
        pytest.param(PRETRAINING, "/raylet/raylet ", marks=pytest.mark.thorough),
        pytest.param(PRETRAINING, "gcs_server", marks=pytest.mark.thorough),
        pytest.param(PRETRAINING, "ray::pre-training", marks=pytest.mark.thorough),
        (SEARCHING, "/raylet/raylet "),
        pytest.param(SEARCHING, "ray::trial ", marks=pytest.mark.thorough),
        pytest.param(DELIVERING, "/raylet/raylet ", marks=pytest.mark.thorough),
    ],
)
def test_what_dies_under_a_search_costs_no_trial(start: Start, stage: str, part: str) -> None:
    """It goes on by itself, or where Ray took it along, as it may, it says in one line how."""
    search = start(*OPTIONS)
    search.wait_for(stage)
    if part == "ray::trial ":
        search.wait_for("trial ")
    search.kill(part)
    code, said = search.end()
    assert len(said.splitlines()) <= 3, "Ray's own words must not bury the line"
    assert "Traceback" not in said
    if code:
        assert code == 1
        assert said.strip().endswith(RESUME)
        code, said = start("--resume", "run").end()
        assert (code, said) == (0, "")
    assert search.trials() == [None] * 4


@pytest.mark.parametrize(
    ("stage", "number"),
    [
        (PRETRAINING, signal.SIGTERM),
        pytest.param(SEARCHING, signal.SIGHUP, marks=pytest.mark.thorough),
        pytest.param(DELIVERING, signal.SIGTERM, marks=pytest.mark.thorough),
    ],
)
def test_a_signal_ends_a_search_at_any_stage_with_one_line(start: Start, stage: str, number: int) -> None:
    search = start(*OPTIONS)
    search.wait_for(stage)
    search.send(number)
    code, said = search.end()
    assert code == 128 + number
    line, *others = said.splitlines()
    assert line == f"Stopped; nothing that had ended is lost. {RESUME}"
    assert all(other.startswith("Report so far: run/report.html") for other in others)


@pytest.mark.thorough
def test_killed_outright_no_process_of_a_search_stays(start: Start) -> None:
    search = start(*OPTIONS)
    search.wait_for(SEARCHING)
    search.send(signal.SIGKILL)
    assert search.end() == (-9, "")
    code, said = start("--resume", "run").end()
    assert (code, said) == (0, "")
    assert search.trials() == [None] * 4
