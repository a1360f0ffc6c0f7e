"""Whole searches that are compared: same images, space, cost table and workers, each in a folder of its own."""

from __future__ import annotations

import contextlib
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.options import BenchmarkConfig
from devices.cost_tables.family import CostTables
from moo import events
from moo.config import SearchConfig
from moo.execution.ray_backend import start_ray_backend
from moo.search.artifacts import run_cost_tables, supernet_weights
from moo.search.loop import find_front
from moo.search.preparation import Preparation, prepare
from moo.storage.archive import Archive
from moo.storage.run_folder import RunFolder


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchBenchmarkConfig(BenchmarkConfig):
    """What all searches of a comparison share."""

    dataset: str = "digits"
    """As in pareto_search.py."""
    space: str = "fbnet-micro"
    """Search space."""
    device: str = "pi4"
    """Cost table: a built-in board, or a table file."""
    pretrain_epochs: int | None = None
    """Passes of pre-training; by default as in pareto_search.py."""
    workers: int = 2
    """Inner searches or evaluations at the same time, one thread each."""
    out: str
    """Folder to write into, or to resume in."""

    @property
    def folder(self) -> Path:
        """Where everything is written."""
        return Path(self.out).expanduser()

    def search_config(self, name: str) -> SearchConfig:
        """Settings of a search in the sub-folder of this name; nothing is measured on a board."""
        return SearchConfig(
            dataset=self.dataset,
            space=self.space,
            device=(self.device,),
            measure=False,
            pretrain_epochs=self.pretrain_epochs,
            workers=self.workers,
            dashboard=False,
            out=str(self.folder / name),
        )


def loaded(settings: SearchConfig) -> Preparation:
    """Images, space and cost table, loaded once for all searches.

    Raises:
        ValueError: for every kind of bad input.
    """
    assert settings.out is not None
    folder = Path(settings.out)
    # `prepare` refuses a folder that is not empty, as it is when a benchmark resumes.
    preparation = prepare(
        replace(settings, out=str(folder.with_name("not made"))), on_loading=lambda _done, _total: None
    )
    return replace(preparation, config=settings, folder=RunFolder(folder))


def shared_start(base: Preparation) -> tuple[CostTables, bytes]:
    """The cost table, and the supernet, which is pre-trained once."""
    table = run_cost_tables(base, lambda _event: None)
    if base.folder.supernet.exists():
        return table, base.folder.supernet.read_bytes()
    with contextlib.closing(start_ray_backend(base.setup, workers=base.config.workers, dashboard=False)) as backend:
        return table, supernet_weights(base, backend, _print_event)


def _print_event(event: events.Event) -> None:
    sys.stderr.write(f"{event}\n")


def search_front(
    base: Preparation, settings: SearchConfig, *, listener: events.Listener, supernet: bytes | None = None
) -> Archive:
    """Search from the beginning, with new workers.

    Args:
        base: inputs that all searches share.
        settings: those of this search; what its folder holds is deleted.
        listener: gets all events.
        supernet: pre-trained weights; without, the search pre-trains its own.
    """
    assert settings.out is not None
    folder = RunFolder(Path(settings.out))
    shutil.rmtree(folder.path, ignore_errors=True)
    folder.path.mkdir(parents=True)
    if supernet is not None:
        folder.supernet.parent.mkdir(parents=True)
        folder.supernet.write_bytes(supernet)
    preparation = replace(base, config=settings, folder=folder)
    with contextlib.closing(start_ray_backend(preparation.setup, workers=settings.workers, dashboard=False)) as backend:
        return find_front(preparation, backend, listener)
