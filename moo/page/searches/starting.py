"""Searches as programs of their own: started, gone on with, stopped. None of them depends on the page.

What starts is words, never a shell; it has its own session and files, so that it lives when the page is killed, and it
is known by its number and its start in `RUNS/.page/`, so that the page finds it again. Start with `Launches`.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from moo.page.answers import NotThereError
from moo.page.folders import Runs
from moo.page.searches.form import SearchForm, choices_of, options_from_the_page, words_of
from moo.page.searches.processes import LockHolders, Process, process_of
from moo.page.searches.states import EVENTS, RunState, state_of, tail_of
from moo.page.settings import PageSettings, SearchProgram
from search_space.boundary.reading import read_json
from search_space.boundary.text import command_line, one_line
from search_space.boundary.writing import make_folder, write_json

PLACE = ".page"
"""Folder beside the runs, of what was started from the page."""
SHOWN_SECONDS = 86400
"""How long a start that came to nothing is told of."""
MOST_LOG_BYTES = 2**16
_NO_NAME = re.compile(r"[^A-Za-z0-9._-]+")


class Launches:
    """What was started from the page, now or before it was last started itself."""

    def __init__(self, settings: PageSettings) -> None:
        self._settings = settings
        self._runs = Runs(settings.runs)
        self._place = settings.runs / PLACE
        self._lock = threading.Lock()

    def command_of(self, form: SearchForm) -> tuple[str, str]:
        """Name of the run that a form would make, and the command line that one would type for it."""
        name = form.name or self._new_name(form)
        return name, command_line([*self._program.shown, *self._words(form, name)])

    def start(self, form: SearchForm) -> str:
        """Start a search; returns the name of its run.

        Raises:
            ValueError: if there is something of that name already, or nothing can be started.
        """
        with self._lock:
            name = form.name or self._new_name(form)
            if (self._settings.runs / name).exists() or self.begun(name) is not None:
                raise ValueError(f"`--out` must be a new name, but there is {name!r} already.")
            self._launch(name, self._words(form, name))
        return name

    def resume(self, name: str) -> None:
        """Go on with a run.

        Raises:
            NotThereError: if there is none of that name.
            ValueError: if it goes on already, or cannot be resumed from the page.
        """
        folder = self._runs.folder(name)
        with self._lock:
            if self.state(name).goes_on:
                raise ValueError("a run must not be going on to be resumed, but this one is.")
            config = folder.read_settings()
            device = options_from_the_page(self._settings).get("device")
            allowed = () if device is None else choices_of(device, self._settings)
            elsewhere = [board for board in config.boards if board not in allowed]
            if elsewhere or config.address is not None:
                what = elsewhere[0] if elsewhere else config.address
                raise ValueError(
                    f"only runs on this server's boards can be resumed from the page, but this one uses "
                    f"{one_line(what)}: resume it in a terminal, or start pareto_page.py with it among its --boards."
                )
            self._launch(name, ["--resume", str(folder.path), "--quiet"])

    def stop(self, name: str) -> None:
        """Ask the program that works on a run to stop, wherever it was started.

        Raises:
            NotThereError: if there is no such run.
            ValueError: if none works on it, or it is another user's.
        """
        process = self.state(name).process
        if process is None or not process.head.interrupt():
            raise ValueError("a run must be going on to be stopped, but this one is not.")

    def state(self, name: str, holders: LockHolders | None = None) -> RunState:
        """The state of a run, or of one that was started and is not there yet.

        Raises:
            NotThereError: if there is none.
        """
        begun, path = self.begun(name), self._settings.runs / name
        try:
            folder = self._runs.folder(name)
        except NotThereError:
            record = self._record(name)
            if record is None:
                raise
            if begun is not None:
                return RunState("starting", "getting ready", begun)
            return RunState("failed", self._last_word(name) or "it ended before its folder was there")
        state = state_of(folder, (holders or LockHolders()).of(path), begun)
        word = "" if state.goes_on else self._last_word(name)
        if word.startswith("error: ") and _written(self._log(name)) > _written(path / EVENTS):
            return RunState("failed" if state.state != "ended" else "ended", word.removeprefix("error: "))
        return state

    def begun(self, name: str) -> Process | None:
        """The process that was started for a run, if it still is there."""
        record = self._record(name)
        process = None if record is None else Process(int(record["pid"]), int(record["start"]))
        path = str(self._settings.runs / name)
        return process if process is not None and process.is_alive and path in process.words else None

    def without_folder(self) -> list[str]:
        """Names of runs that were started lately and are not there: not yet, or never."""
        with suppress(OSError):
            found = [path for path in self._place.iterdir() if path.suffix == ".json"]
            names = [unquote(path.stem) for path in found if time.time() - _written(path) < SHOWN_SECONDS]
            return sorted(name for name in names if not self._runs.is_there(name))
        return []

    def path_of(self, name: str) -> Path:
        """The folder of a run that is there, or was started.

        Raises:
            NotThereError: if there is none.
        """
        return self._runs.root / name if self._record(name) is not None else self._runs.folder(name).path

    def log(self, name: str) -> str:
        """The end of what a program that was started from the page said."""
        return tail_of(self._log(name), MOST_LOG_BYTES).decode(errors="replace")

    @property
    def _program(self) -> SearchProgram:
        if self._settings.program is None:
            raise ValueError("this page shows runs, but cannot start any.")
        return self._settings.program

    def _words(self, form: SearchForm, name: str) -> list[str]:
        options = options_from_the_page(self._settings).values()
        return [*words_of(form.config, options, form.defaults), "--out", str(self._settings.runs / name), "--quiet"]

    def _new_name(self, form: SearchForm) -> str:
        parts = (Path(form.config.dataset).stem, form.config.space, datetime.now().strftime("%Y%m%d-%H%M%S"))
        name = _NO_NAME.sub("-", "-".join(part for part in parts if part)).strip("-.")[-60:].lstrip("-._")
        numbered = (name, *(f"{name}-{number}" for number in range(2, 100)))
        return next(one for one in numbered if not (self._runs.root / one).exists() and self._record(one) is None)

    def _launch(self, name: str, words: Sequence[str]) -> None:
        command = [*self._program.command, *words]
        make_folder(self._place)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        log = os.open(self._log(name), flags, 0o600)
        try:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        except OSError as error:
            raise ValueError(f"the program that searches must be there, but it is not: {error.strerror}.") from None
        finally:
            os.close(log)
        process = process_of(child.pid)
        # It is waited for, so that nothing of it is left when it ends; when the page ends first, the system does.
        threading.Thread(target=child.wait, daemon=True).start()
        if process is not None:
            write_json(self._file(name), asdict(process) | {"at": time.time(), "command": command_line(command)})

    def _file(self, name: str) -> Path:
        return self._place / f"{quote(name, safe='')}.json"

    def _log(self, name: str) -> Path:
        return self._place / f"{quote(name, safe='')}.log"

    def _record(self, name: str) -> dict[str, Any] | None:
        with suppress(ValueError, OSError):
            content = read_json(self._file(name), what="a start")
            if isinstance(content, dict) and all(isinstance(content.get(key), int) for key in ("pid", "start")):
                return content
        return None

    def _last_word(self, name: str) -> str:
        """The last line that the program said; of several, one that names an error."""
        lines = [line for line in self.log(name).splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("error: ")]
        return one_line((errors or lines or [""])[-1], most=1000)


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
