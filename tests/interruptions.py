"""What a kill leaves behind: copies of a folder before each write into it."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

WRITING = ((os, "replace"), (os, "rename"), (os, "unlink"), (shutil, "rmtree"))
"""Functions that change a folder; stores do so when a transaction ends."""


@contextmanager
def before_each_write(act: Callable[[], None]) -> Iterator[None]:
    """Call a function before each write: before a file gets its name or goes, and before a transaction ends."""

    class Connection(sqlite3.Connection):
        def __exit__(self, *error: Any) -> Any:
            act()
            return super().__exit__(*error)

    connect = sqlite3.connect

    def connected(*arguments: Any, **options: Any) -> Any:
        return connect(*arguments, **options, factory=Connection)

    with pytest.MonkeyPatch.context() as patch:
        for module, name in WRITING:
            patch.setattr(module, name, _after(act, getattr(module, name)))
        patch.setattr(sqlite3, "connect", connected)
        yield


def _after(act: Callable[[], None], function: Any) -> Any:
    def acting(*arguments: Any, **options: Any) -> Any:
        act()
        return function(*arguments, **options)

    return acting


class Copies:
    """Copies a folder before each write, as a kill at that instant would leave it."""

    def __init__(self, folder: Path, into: Path) -> None:
        self.folder = folder
        self.into = into
        self.paths: list[Path] = []

    @contextmanager
    def kept(self) -> Iterator[None]:
        """While this lasts, copies are made."""
        with before_each_write(self._copy):
            yield

    def _copy(self) -> None:
        if self.folder.is_dir():
            path = self.into / f"{len(self.paths):04d}"
            shutil.copytree(self.folder, path)
            self.paths.append(path)
