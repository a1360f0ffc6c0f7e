"""What the page's server takes of a core while a search goes on, beside which it runs.

    python benchmarks/page/at_rest.py [--seconds 60] [--runs 20]

The server is the real program, in a process of its own; its CPU time is the kernel's. The search is made up: this
process holds the lock of a run's folder, and writes events as a quick search does, two trials a second. Windows are
connections that ask for what the page in a browser asks for: *none*; *live*, the events of that run; *runs*, the list
of all runs each five seconds; *both*.

Goal: at most 1 % of a core.
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from http.cookiejar import CookieJar
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.options import BenchmarkConfig, check_at_least, check_positive, read_config
from benchmarks.outer_loop.synthetic_runs import write_run
from benchmarks.results import Column, TextTable, print_results
from evaluation.work_folder import lock_folder
from moo.storage.event_file import EventFile
from moo.storage.run_folder import RunFolder
from scripts.interface.command_line import run

if TYPE_CHECKING:
    from typing_extensions import Self

MOST_SHARE = 0.01
"""Of a core."""
AGAIN_SECONDS = 5.0
"""From one look of the list of runs to the next."""
TRIAL_SECONDS = 0.5
POINTS = 60
"""Of the front that is told of."""
_SCRIPT = Path(__file__).parents[2] / "scripts" / "pareto_page.py"
Ask = Callable[[str], object]


@dataclass(frozen=True, kw_only=True, slots=True)
class AtRestConfig(BenchmarkConfig):
    """Measure what the page's server takes of a core while a search goes on."""

    seconds: float = 60.0
    """How long each kind of windows is open."""
    runs: int = 20
    """Runs in the list."""
    quick: bool = False
    """Three seconds each, two runs."""

    def __post_init__(self) -> None:
        check_positive(self, "seconds")
        check_at_least(self, runs=1)

    def quickened(self) -> Self:
        """A check that it works."""
        return replace(self, seconds=3.0, runs=2)


@dataclass(frozen=True, kw_only=True, slots=True)
class AtRestRow:
    """What the server took with some windows open."""

    windows: str
    share: float
    """Of a core."""
    megabytes: float
    """Memory that it has."""


TABLE = TextTable(
    Column(title="windows", width=8, left=True),
    Column(title="of a core", width=10, form=".2%"),
    Column(title="memory", width=8, form=".0f", unit=" MB"),
)


def main() -> int:
    """Measure; the exit code is 1 where it takes more than it may."""
    config = read_config(AtRestConfig)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_run(folder / "run-0", 64, space="fbnet-micro", configurations="base", seed=0)
        for number in range(1, config.runs):
            subprocess.run(["cp", "-r", str(folder / "run-0"), str(folder / f"run-{number}")], check=True)
        with searching(RunFolder(folder / "run-0")), served(folder) as (pid, ask):
            rows = [measured(pid, windows, ask, seconds=config.seconds) for windows in ("none", "live", "runs", "both")]
    lines = [TABLE.head, *(TABLE.row(row.windows, row.share, row.megabytes) for row in rows)]
    print_results({"rows": [asdict(row) for row in rows]}, lines, as_json=config.json)
    return int(any(row.share > MOST_SHARE for row in rows))


def measured(pid: int, windows: str, ask: Ask, *, seconds: float) -> AtRestRow:
    """What the server takes with windows open.

    Args:
        pid: of the server.
        windows: `none`, `live`, `runs` or `both`.
        ask: opens an address of it.
        seconds: how long.
    """
    ending = threading.Event()
    shown = {"none": (), "live": (_follow,), "runs": (_list,), "both": (_follow, _list)}[windows]
    threads = [threading.Thread(target=window, args=(ask, ending), daemon=True) for window in shown]
    for thread in threads:
        thread.start()
    # What was told before, and what is kept from then on, is not of a server at rest.
    time.sleep(min(5.0, seconds))
    begin, used = time.monotonic(), _cpu_seconds(pid)
    time.sleep(seconds)
    share = (_cpu_seconds(pid) - used) / (time.monotonic() - begin)
    ending.set()
    for thread in threads:
        thread.join(2 * AGAIN_SECONDS)
    return AtRestRow(windows=windows, share=share, megabytes=_megabytes(pid))


def _follow(ask: Ask, ending: threading.Event) -> None:
    answer = ask("/api/runs/run-0/-/events")
    for _ in answer:  # type: ignore[attr-defined]
        if ending.is_set():
            break
    answer.close()  # type: ignore[attr-defined]


def _list(ask: Ask, ending: threading.Event) -> None:
    while not ending.is_set():
        ask("/api/runs").read()  # type: ignore[attr-defined]
        ending.wait(AGAIN_SECONDS)


@contextmanager
def served(folder: Path) -> Iterator[tuple[int, Ask]]:
    """The server of a folder of runs: its process, and what opens an address of it."""
    words = [sys.executable, str(_SCRIPT), "--runs", str(folder), "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            found = re.search(r"http\S+", server.stdout.readline())
            if found is None:
                raise RuntimeError("the page's server did not say where it listens")
            opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
            opener.open(found[0]).read()
            origin = found[0].partition("/?")[0]
            yield server.pid, lambda place: opener.open(origin + place)
        finally:
            server.terminate()


@contextmanager
def searching(folder: RunFolder) -> Iterator[None]:
    """A made-up search that works in a folder: it has the lock, and tells of events."""
    ending = threading.Event()

    def tell() -> None:
        file = EventFile(folder.events)
        for number in itertools.count():
            trial = {"trial": number, "generation": 1, "coefficients": [1.0, 1.0, 1.0, 1.0], "configuration": None}
            file.append(time.time(), "trial_started", trial)
            if ending.wait(TRIAL_SECONDS):
                return
            file.append(time.time(), "trial_finished", trial | {"error": 0.1, "latency_ms": 2.0, "energy_mj": 3.0})
            points = [f"{point:09d} 1t fp32" for point in range(POINTS)]
            file.append(time.time(), "front_changed", {"points": POINTS, "hypervolume": 0.5, "front": points})
            file.append(time.time(), "time_estimated", {"stage": "search", "seconds_left": 60.0})

    with lock_folder(folder.path):
        thread = threading.Thread(target=tell, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ending.set()
            thread.join()


def _cpu_seconds(pid: int) -> float:
    # The name, in parentheses, may hold any.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _megabytes(pid: int) -> float:
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    run(main)
