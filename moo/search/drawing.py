"""Pictures and report of a search that goes on, drawn in a process of their own. `FrontDrawing` starts it.

Drawing takes seconds of a core. So at most one drawing is under way and the latest state wins; the process gives way to
workers, rests for twenty times as long as it has drawn, and stands still while this machine measures.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from moo import events
from moo.config import SearchConfig
from moo.measurement.boards import read_run_tables
from moo.measurement.front import corrected_tables
from moo.search.outputs import write_report
from moo.search.preparation import archive_for
from moo.storage.origin import RunOrigin
from moo.storage.run_folder import RunFolder
from moo.storage.search_state import read_state
from moo.storage.store import read_store
from search_space.spaces import FBNetSpace

NICENESS = 10
RESTS = 20
"""How much longer the process rests than it has drawn: drawing takes a twentieth of one core at most."""


@dataclass(frozen=True)
class FolderRun:
    """What a run was made from, as its folder has it."""

    folder: RunFolder
    config: SearchConfig
    origin: RunOrigin

    @property
    def space(self) -> FBNetSpace:
        """That is searched."""
        return self.origin.space


def draw(folder: RunFolder, *, pictures: bool = True) -> None:
    """Write pictures and report of what a run has found so far, from its folder alone.

    Args:
        folder: of a run that has cost tables and evaluated something.
        pictures: whether they are drawn anew; without, the report has those that are there.
    """
    config, origin = folder.read_config()
    run = FolderRun(folder, config, origin)
    tables = read_run_tables(folder.cost_table, config.given_configurations)
    with closing(read_store(folder.store, as_of_now=True)) as store:
        archive = store.fill(archive_for(config, tables, origin.dataset), run.space)
        archive.use_tables(corrected_tables(tables, archive.entries, run.space))
        write_report(run, archive, store, draw=pictures)


def draw_unfinished(folder: RunFolder) -> bool:
    """Draw what a run that was stopped has found; returns whether there is anything."""
    if not folder.front.exists() or read_state(folder).ended:
        return False
    draw(folder)
    return True


class FrontDrawing:
    """Has pictures and report drawn whenever a front was written: a listener of `moo.events`."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._stands_still = False

    def __call__(self, event: events.Event) -> None:
        """Begin, stand still or go on."""
        match event:
            case events.FrontWritten():
                self._request()
            case events.StageProgress("measuring"):
                self._signal(signal.SIGSTOP, stands_still=True)
            case events.FrontChanged() | events.TrialStarted():
                self._signal(signal.SIGCONT, stands_still=False)

    def close(self) -> None:
        """End the process, whatever it does; pictures are whole, as they are replaced as a whole."""
        process, self._process, self._stands_still = self._process, None, False
        if process is not None:
            process.kill()
            process.communicate()

    def _request(self) -> None:
        if self._process is None or self._process.poll() is not None:
            self.close()
            # Not a fork, which threads of Ray would not survive.
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(self._folder.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                    "OMP_NUM_THREADS": "1",
                },
            )
        assert self._process.stdin is not None, "it was opened with a pipe"
        self._signal(signal.SIGCONT, stands_still=False)
        with suppress(BrokenPipeError):
            os.write(self._process.stdin.fileno(), b"\n")

    def _signal(self, number: signal.Signals, *, stands_still: bool) -> None:
        if self._process is not None and self._stands_still != stands_still:
            self._process.send_signal(number)
            self._stands_still = stands_still


def serve(folder: RunFolder, requests: int) -> None:
    """Draw on request until there is nobody to request any more.

    Args:
        folder: of the run.
        requests: file descriptor; each byte is a request, and its end is the end.
    """
    due, rested = False, 0.0
    while True:
        pause = max(0.0, rested - time.monotonic()) if due else None
        if select.select([requests], [], [], pause)[0]:
            if not os.read(requests, 4096):
                return
            due = True
            if time.monotonic() < rested:
                draw(folder, pictures=False)
                continue
        begin, now = time.process_time(), time.monotonic()
        draw(folder)
        due, rested = False, now + RESTS * (time.process_time() - begin)


if __name__ == "__main__":
    # Ctrl-C in the terminal is for the search alone. A session of its own would leave it standing still for ever where
    # the search is killed; a group whose parent dies is sent SIGHUP and SIGCONT.
    os.setpgid(0, 0)
    os.nice(NICENESS)
    serve(RunFolder(Path(sys.argv[1])), sys.stdin.fileno())
