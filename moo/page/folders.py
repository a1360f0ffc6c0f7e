"""The run folders below one folder, by name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from starlette.requests import Request

from moo.page.answers import NotThereError
from moo.storage.run_folder import RunFolder

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

    def is_there(self, name: str) -> bool:
        """Whether there is a run of that name; no link leads to it."""
        parts = name.split("/")
        if len(parts) > DEEPEST or "\0" in name or any(part in ("", ".", "..") for part in parts):
            return False
        places = [self.root.joinpath(*parts[: length + 1]) for length in range(len(parts))]
        try:
            return not any(map(os.path.islink, places)) and [*map(_is_run, places)] == [False] * (len(parts) - 1) + [
                True
            ]
        except OSError:
            return False

    def folder(self, name: str) -> RunFolder:
        """The run of that name.

        Raises:
            NotThereError: if there is none.
        """
        if not self.is_there(name):
            raise NotThereError(f"there is no run of the name {name!r}")
        return RunFolder(self.root / name)


def run_named(runs: Runs, request: Request) -> RunFolder:
    """The run that an address names as `run`.

    Raises:
        NotThereError: if there is none.
    """
    return runs.folder(str(request.path_params["run"]))


def _runs_below(folder: Path, name: str, depth: int) -> Iterator[str]:
    try:
        with os.scandir(folder) as found:
            folders = [entry.name for entry in found if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return
    if name and _is_run(folder):
        yield name
        return
    if depth:
        for inner in folders:
            yield from _runs_below(folder / inner, f"{name}/{inner}" if name else inner, depth - 1)


def _is_run(folder: Path) -> bool:
    return RunFolder(folder).config.is_file() and RunFolder(folder).store.is_file()
