"""Runs as their folders have them, to be looked at; one that has not changed is opened once. Start at `opened`."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from starlette.requests import Request

from devices.cost_tables.family import CostTables
from devices.measurement import Measurement
from moo.config import SearchConfig
from moo.measurement.boards import read_run_tables
from moo.measurement.front import Corrections, corrected_tables
from moo.page.answers import NotThereError
from moo.page.folders import Runs, run_named
from moo.search.preparation import archive_for
from moo.storage.archive import Archive, OperatingPoint
from moo.storage.origin import RunOrigin
from moo.storage.run_folder import BESIDE_STORE, RunFolder
from moo.storage.store import StoredTrial, read_store
from moo.storage.trained_network import TrainedNetwork

MOST_OPEN = 3
"""Runs that are kept in memory."""
_OPENING = threading.Lock()
Stamp = tuple[int, int] | None
"""Time of change in ns and size of a file; None where there is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenedRun:
    """What a run has found so far; it is shared by those who look at it, and never written to."""

    folder: RunFolder
    config: SearchConfig
    origin: RunOrigin
    tables: CostTables
    """Its own cost tables, which know nothing of the networks that were measured."""
    archive: Archive
    """Predicts with the tables as measured networks corrected them."""
    front: tuple[OperatingPoint, ...]
    trials: Mapping[int, StoredTrial]
    events: Sequence[tuple[str, str, dict[str, object]]]
    measurements: Sequence[tuple[str, Measurement]]
    """All of them with the id of what was measured, oldest first."""
    baselines: Sequence[TrainedNetwork]

    def baseline(self, name: str) -> TrainedNetwork | None:
        """A baseline by name."""
        return next((one for one in self.baselines if one.name == name), None)


def stamps(paths: Sequence[Path]) -> tuple[Stamp, ...]:
    """What differs where one of some files does."""
    return tuple(map(_stamp, paths))


class NothingYetError(NotThereError):
    """A run has found nothing yet."""


def opened(folder: RunFolder) -> OpenedRun:
    """A run as its folder has it now; the very same object as long as nothing changes.

    Raises:
        NothingYetError: if it has no cost tables yet, so that nothing was evaluated either.
        ValueError: if a file of it is damaged.
    """
    if not folder.cost_table.exists():
        raise NothingYetError("Nothing was found yet: the run has not got its cost tables.")
    with _OPENING:
        return _opened(folder, stamps(_files(folder)))


def looking_at(runs: Runs, view: Callable[[OpenedRun], Any]) -> Callable[[Request], Any]:
    """What a page tells of the run that an address names; of one that has found nothing, only that, as `nothing`."""

    def look(request: Request) -> Any:
        try:
            return view(opened(run_named(runs, request)))
        except NothingYetError as error:
            return {"nothing": error.args[0]}

    return look


def _files(folder: RunFolder) -> list[Path]:
    stores = [folder.store.with_name(folder.store.name + suffix) for suffix in BESIDE_STORE if suffix != "-shm"]
    return [folder.config, folder.cost_table, *stores]


def _stamp(path: Path) -> Stamp:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=MOST_OPEN)
def _opened(folder: RunFolder, _stamps: tuple[Stamp, ...]) -> OpenedRun:
    config, origin = folder.read_config()
    tables = read_run_tables(folder.cost_table, config.given_configurations)
    with closing(read_store(folder.store, as_of_now=True)) as store:
        archive = store.fill(archive_for(config, tables, origin.dataset), origin.space)
        archive.use_tables(corrected_tables(tables, archive.entries, origin.space, _corrections(folder)))
        return OpenedRun(
            folder=folder,
            config=config,
            origin=origin,
            tables=tables,
            archive=archive,
            front=archive.front(),
            trials=store.trials(),
            events=store.events(),
            measurements=store.measurements(),
            baselines=store.trained(baselines=True),
        )


@lru_cache(maxsize=MOST_OPEN)
def _corrections(folder: RunFolder) -> Corrections:
    """Corrections of a run's tables that are known, so that each is made once."""
    return {}
