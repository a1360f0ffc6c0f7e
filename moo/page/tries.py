"""Coefficients that are tried by hand: each search on a supernet is a program of its own, which only reads the run.

What it is asked, what it says and what it found lie in `RUNS/.page/tries/`, one file each. Start with `Tries`.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

from moo.formatting import percent
from moo.page.cells import code, network_link
from moo.page.dials import NAMES, DialSettings, costs_text, tuple_text
from moo.page.opened import OpenedRun
from moo.page.searches.processes import Process, process_of
from moo.page.settings import PageSettings
from search_space.boundary.reading import read_json
from search_space.boundary.text import one_line
from search_space.boundary.writing import make_folder, write_json

PLACE = Path(".page", "tries")
"""Beside the runs."""
MOST_SHOWN = 8
MOST_BYTES = 2**20
"""Of what a program says."""
Json = dict[str, Any]


class Tries:
    """What was tried by hand in runs."""

    def __init__(self, settings: PageSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()

    def start(self, run: OpenedRun, dials: DialSettings) -> Json:
        """Search coefficients on the supernet of a run.

        Raises:
            ValueError: if nothing can be started, or something is tried already.
        """
        if not self._settings.trying:
            raise ValueError("this page shows runs, but cannot start any search.")
        with self._lock:
            if any(one["state"] == "searching" for one in self.listed(run)):
                raise ValueError(
                    "one tuple of coefficients is tried after the other, but a search goes on: wait for it."
                )
            place = self._place(run)
            make_folder(place)
            file = place / f"{time.time_ns()}.json"
            words = [*self._settings.trying, str(run.folder.path), "--json"]
            words += ["--configuration", dials.configuration.label]
            words += ["--coefficients", *(repr(value) for value in asdict(dials.coefficients).values())]
            child = self._launched(words, file)
            process = process_of(child.pid)
            # It is waited for, so that nothing of it is left when it ends.
            threading.Thread(target=child.wait, daemon=True).start()
            asked = asdict(dials.coefficients) | {"configuration": dials.configuration.label}
            write_json(file, asked | (asdict(process) if process is not None else {"pid": 0, "start": 0}))
        return {}

    def listed(self, run: OpenedRun) -> list[Json]:
        """The last ones, the newest first: what was tried, its state, and the networks that it gave."""
        place = self._place(run)
        files = sorted(place.glob("*.json"), reverse=True) if place.is_dir() else []
        found = (_told(file, run) for file in files[:MOST_SHOWN])
        return [one | {"said": f"{tuple_text(one)}, {one['configuration']}: "} for one in found if one is not None]

    def _launched(self, words: list[str], file: Path) -> subprocess.Popen[bytes]:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        found = os.open(file.with_suffix(".found"), flags, 0o600)
        log = os.open(file.with_suffix(".log"), flags, 0o600)
        try:
            return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=found, stderr=log, start_new_session=True)
        except OSError as error:
            raise ValueError(f"the program that tries must be there, but it is not: {error.strerror}.") from None
        finally:
            os.close(found)
            os.close(log)

    def _place(self, run: OpenedRun) -> Path:
        name = run.folder.path.relative_to(self._settings.runs).as_posix()
        return self._settings.runs / PLACE / quote(name, safe="")


def _told(file: Path, run: OpenedRun) -> Json | None:
    """One that was tried; None where its record cannot be read."""
    try:
        asked = read_json(file, what="what was tried")
        process = Process(int(asked.pop("pid")), int(asked.pop("start")))
        asked = {name: float(asked[name]) for name in NAMES} | {"configuration": str(asked["configuration"])}
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
    if process.is_alive:
        return {**asked, "state": "searching"}
    with suppress(ValueError, LookupError, TypeError, OSError):
        content = json.loads(_text(file.with_suffix(".found")).strip().splitlines()[-1])
        networks = [
            [
                network_link(str(one["id"])) if one["id"] in run.archive else code(str(one["id"])),
                f": error {percent(one['error'])}, {costs_text(one)}",
            ]
            for one in content["networks"]
        ]
        return {**asked, "state": "found", "networks": networks}
    said = [line for line in _text(file.with_suffix(".log")).splitlines() if line.strip()]
    return {**asked, "state": "failed", "reason": one_line((said or ["it ended without a word"])[-1])}


def _text(path: Path) -> str:
    with suppress(OSError), path.open("rb") as file:
        return file.read(MOST_BYTES).decode(errors="replace")
    return ""
