"""Searches whose trials take a known time, and how busy their workers were."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.noise import random_images
from benchmarks.outer_loop.stand_ins import Durations, SimulatedWorkers, StandIn, Worked, started_ray
from devices.configuration import BASE
from devices.cost_tables.analytic import analytic_cost_table
from devices.cost_tables.family import CostTables
from evaluation.splits import split_data
from moo import events
from moo.config import SearchConfig
from moo.execution.backend import Backend
from moo.execution.pretraining import untrained_weights
from moo.measurement.boards import Boards
from moo.search.loop import find_front
from moo.search.preparation import Preparation
from moo.storage.run_folder import RunFolder
from moo.storage.store import open_store
from search_space.boundary.writing import write_atomically
from search_space.spaces import space_named

Place = Literal["simulated", "ray"]
IMAGES = 400


@dataclass(frozen=True)
class Efficiency:
    """How busy workers were, in [0, 1]."""

    while_trials_are_left: float
    whole_stage: float


def efficiency(worked: Sequence[Worked], *, workers: int, stage_seconds: float) -> Efficiency:
    """How busy workers were while trials were left, and in the whole search stage.

    Trials are left until fewer of them run than there are workers.

    Args:
        worked: all trials, at least as many as workers.
        workers: how many there were.
        stage_seconds: duration of the search stage.
    """
    first = min(trial.start for trial in worked)
    last = sorted(trial.start + trial.seconds for trial in worked)[-workers]
    inside = sum(max(0.0, min(trial.start + trial.seconds, last) - trial.start) for trial in worked)
    total = sum(trial.seconds for trial in worked)
    return Efficiency(inside / (workers * (last - first)), total / (workers * stage_seconds))


def prepared(config: SearchConfig, folder: Path) -> Preparation:
    """Inputs of a search on noise, with a modelled cost table."""
    space = space_named(config.space or "fbnet-micro", size=config.size)
    return Preparation(
        config=config,
        folder=RunFolder(folder),
        resumed=False,
        space=space,
        splits=split_data(random_images(space, IMAGES, config.seed), config.seed),
        boards=Boards(),
        cost_tables=CostTables([analytic_cost_table(space)]),
        configurations=(BASE,),
    )


@dataclass(frozen=True)
class Searched:
    """What is known of a search that has ended."""

    worked: tuple[Worked, ...]
    stage_seconds: float
    driver_cpu_seconds: float
    generation_starts: tuple[float, ...]
    """By the machine's monotonic clock, in seconds."""


def searched(settings: SearchConfig, *, place: Place, workers: int, seconds: float, durations: Durations) -> Searched:
    """Run a search with stand-ins."""
    starts: list[float] = []
    cpu_starts: list[float] = []

    def listen(event: events.Event) -> None:
        if isinstance(event, events.GenerationStarted):
            starts.append(time.monotonic())
            cpu_starts.append(time.thread_time())

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        preparation = prepared(settings, folder / "run")
        # Otherwise a task under Ray would make it, and wait forever for a core that no worker has.
        write_atomically(preparation.folder.supernet, untrained_weights(preparation.setup))
        stand_in = StandIn(preparation.setup, seconds, durations, folder / "journal")
        backend: Backend
        if place == "ray":
            backend = started_ray(stand_in, workers, CostTables([analytic_cost_table(preparation.space)]))
        else:
            backend = SimulatedWorkers(stand_in, workers)
        with closing(backend):
            find_front(preparation, backend, listen)
            cpu_seconds = time.thread_time() - cpu_starts[0]
        with closing(open_store(preparation.folder.store)) as store:
            stage_seconds = store.seconds_searched()
        return Searched(tuple(stand_in.worked()), stage_seconds, cpu_seconds, tuple(starts))


def settings_of(*, population: int, generations: int, surrogate: bool, asynchronous: bool, seed: int) -> SearchConfig:
    """Settings of a search without pre-training and board."""
    return SearchConfig(
        dataset="noise",
        population=population,
        generations=generations,
        supernet_generations=1 if surrogate else generations,
        asynchronous=asynchronous,
        seed=seed,
        pretrain_epochs=0,
        measure=False,
    )
