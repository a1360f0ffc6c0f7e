"""The run folders below one folder, by name, and what a list of runs tells of each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from moo.page.answers import NotThereError, answering
from moo.page.settings import PageSettings
from moo.storage.run_folder import RunFolder
from moo.storage.search_state import read_state
from search_space.boundary.text import one_line

DEEPEST = 3
"""Folders below that of the runs in which a run is looked for."""
MOST_RUNS = 2000


class Runs:
    """Run folders by name: nothing else of a disk can be asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> list[str]:
        """Paths of run folders below the root, as names; links are not followed."""
        return sorted(_runs_below(self.root, "", DEEPEST))[:MOST_RUNS]

    def folder(self, name: str) -> RunFolder:
        """The run of that name.

        Raises:
            NotThereError: if there is none.
        """
        if name not in self.names():
            raise NotThereError(f"there is no run of the name {name!r}")
        return RunFolder(self.root / name)


def run_named(runs: Runs, request: Request) -> RunFolder:
    """The run that an address names as `run`.

    Raises:
        NotThereError: if there is none.
    """
    return runs.folder(str(request.path_params["run"]))


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSummary:
    """A run in a list of runs."""

    name: str
    state: str
    """`searched`, `not ended` or `unreadable`."""
    detail: str
    """How far it came, or what is wrong with it."""
    dataset: str = ""
    space: str = ""
    boards: tuple[str, ...] = ()


def summary(name: str, folder: RunFolder) -> RunSummary:
    """What a list of runs tells of one; a damaged one says so."""
    try:
        config, state = folder.read_settings(), read_state(folder)
    except (ValueError, OSError) as error:
        return RunSummary(name=name, state="unreadable", detail=one_line(error))
    return RunSummary(
        name=name,
        state="searched" if state.ended else "not ended",
        detail=state.reached,
        dataset=one_line(config.dataset),
        space=one_line(config.space or ""),
        boards=tuple(map(one_line, config.boards)),
    )


def routes(settings: PageSettings) -> list[Route]:
    """Of the list of runs."""
    runs = Runs(settings.runs)

    def listed(request: Request) -> Any:
        return {"runs": [asdict(summary(name, RunFolder(runs.root / name))) for name in runs.names()]}

    return [Route("/api/runs", answering(listed))]


def _runs_below(folder: Path, name: str, depth: int) -> Iterator[str]:
    try:
        with os.scandir(folder) as found:
            folders = [entry.name for entry in found if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return
    if name and (folder / RunFolder(folder).config.name).is_file() and RunFolder(folder).store.is_file():
        yield name
        return
    if depth:
        for inner in folders:
            yield from _runs_below(folder / inner, f"{name}/{inner}" if name else inner, depth - 1)
