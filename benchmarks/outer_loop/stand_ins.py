"""Workers that take a known time for each trial and do nothing else: threads of one process, or Ray actors."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from devices.cost_tables.cost_table import CostTable
from devices.cost_tables.family import CostTables
from dnas.inner_search import StepRecord, ThetaResult
from dnas.pretraining import PretrainRecord, PretrainSettings
from moo.execution.evaluator import Evaluator
from moo.execution.news import Watch, unwatched
from moo.execution.ray_backend import RayBackend, start_ray_backend
from moo.trials import (
    ArchitectureTrial,
    DeliveryJob,
    DeliveryResult,
    EvaluatedArchitecture,
    Indices,
    Job,
    Outcome,
    QuantizationJob,
    QuantizationResult,
    Trial,
    TrialResult,
    WorkerSetup,
)

SHAPE = 4.0
"""Of the gamma distribution of uneven durations, whose standard deviation is `mean / sqrt(SHAPE)`."""
Durations = Literal["even", "uneven"]


@dataclass(frozen=True)
class Worked:
    """One trial at its worker."""

    id: int
    """That of the trial."""
    start: float
    """By the machine's monotonic clock, in seconds."""
    seconds: float
    """How long it should take."""


@dataclass(frozen=True)
class StandIn:
    """Does a worker's jobs by sleeping."""

    setup: WorkerSetup
    mean_seconds: float
    durations: Durations
    journal: Path
    """Gets a line for each trial; lines of several processes do not mix, as each is one short write."""

    def work(self, job: Job, costs: CostTables) -> Outcome:
        """Sleep, and return a made-up outcome; the time to make it up is part of the sleep."""
        start = time.monotonic()
        if isinstance(job, DeliveryJob):
            return DeliveryResult(job=job, weights={}, test_error=0.5)
        if isinstance(job, QuantizationJob):
            return QuantizationResult(job, 0.5)
        mean = self.mean_seconds
        if isinstance(job, ArchitectureTrial):
            mean /= 1 + self.setup.samples
        rng = np.random.default_rng([self.setup.seed, job.id])
        seconds = mean if self.durations == "even" else rng.gamma(SHAPE, mean / SHAPE)
        result = self._result(job, costs, rng, seconds)
        time.sleep(max(0.0, start + seconds - time.monotonic()))
        with self.journal.open("a") as file:
            file.write(json.dumps(dataclasses.asdict(Worked(job.id, start, seconds))) + "\n")
        return result

    def worked(self) -> list[Worked]:
        """What was written down."""
        return [Worked(**json.loads(line)) for line in self.journal.read_text().splitlines()]

    def _result(self, trial: Trial, costs: CostTables, rng: np.random.Generator, seconds: float) -> TrialResult:
        """The architecture that was proposed; of coefficients, random ones and a usual course of theta."""
        if isinstance(trial, ArchitectureTrial):
            known = _evaluated(trial.indices, costs.base)
            return TrialResult(trial=trial, architectures=(known,), chosen=0, theta=None, seconds=seconds)
        space, steps = self.setup.space, self.setup.theta.steps
        layers, operators = space.num_layers, len(space.operators)
        drawn = {
            tuple(int(index) for index in rng.integers(operators, size=layers)) for _ in range(1 + self.setup.samples)
        }
        theta = ThetaResult(
            rng.random((layers, operators), np.float32),
            tuple(StepRecord.of(rng.random(7).tolist()) for _ in range(steps)),
            rng.random((steps, layers, operators), np.float32),
        )
        architectures = tuple(_evaluated(indices, costs.base) for indices in sorted(drawn))
        return TrialResult(trial=trial, architectures=architectures, chosen=0, theta=theta, seconds=seconds)


def _evaluated(indices: Indices, costs: CostTable) -> EvaluatedArchitecture:
    """The slower, the more accurate, by and large."""
    latency_ms, energy_mj = costs.latency_of(indices), costs.energy_of(indices)
    luck = np.random.default_rng(indices).normal(0.0, 0.02)
    error = float(np.clip(0.1 + 0.8 * math.exp(-3 * latency_ms / costs.slowest_ms()) + luck, 0.0, 1.0))
    return EvaluatedArchitecture(
        indices=indices, error=error, cross_entropy=3 * error, latency_ms=latency_ms, energy_mj=energy_mj, params=1
    )


class SimulatedWorkers:
    """Threads that sleep; implements `moo.execution.backend.Backend` in the order in which `RayBackend` does things."""

    def __init__(self, stand_in: StandIn, workers: int) -> None:
        self.dashboard_url: str | None = None
        self.watch: Watch = unwatched
        self._stand_in = stand_in
        self.workers = workers
        self.gpus = 0
        self._threads = ThreadPoolExecutor(workers)

    def pretrain(self, settings: PretrainSettings, state: bytes | None) -> Iterator[tuple[PretrainRecord, bytes]]:
        """Nothing is trained."""
        yield from ()

    def run(
        self, jobs: Iterable[Job], costs: CostTables, supernet: bytes, on_start: Callable[[Job], None]
    ) -> Iterator[Outcome]:
        """See `moo.execution.backend.Backend.run`; all free workers get a job before any outcome is yielded."""
        waiting = iter(jobs)
        running: set[Future[Outcome]] = set()

        def employ() -> None:
            for job in itertools.islice(waiting, self.workers - len(running)):
                on_start(job)
                running.add(self._threads.submit(self._stand_in.work, job, costs))

        employ()
        while running:
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            running -= ended
            employ()
            yield from [future.result() for future in ended]

    def close(self) -> None:
        """Stop all threads."""
        self._threads.shutdown()


class SleepingEvaluator(Evaluator):
    """What a Ray worker has instead of supernet and images; it writes a file to say that it has started."""

    def __init__(self, setup: WorkerSetup, device: torch.device, *, stand_in: StandIn) -> None:
        self._stand_in = stand_in
        stand_in.journal.with_suffix(f".{os.getpid()}").touch()

    def run(self, job: Job, costs: CostTables, supernet: bytes) -> Outcome:
        """See `StandIn.work`."""
        return self._stand_in.work(job, costs)


def started_ray(stand_in: StandIn, workers: int, costs: CostTables) -> RayBackend:
    """Ray workers that have all started: they get trivial jobs until each has."""
    evaluator = partial(SleepingEvaluator, stand_in=stand_in)
    backend = start_ray_backend(stand_in.setup, workers=workers, dashboard=False, evaluator=evaluator)
    trivial = DeliveryJob((0,) * stand_in.setup.space.num_layers)
    while len(list(stand_in.journal.parent.glob(f"{stand_in.journal.stem}.*"))) < workers:
        for _ in backend.run([trivial] * workers, costs, b"", lambda job: None):
            pass
        time.sleep(0.1)
    return backend
