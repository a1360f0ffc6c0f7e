"""Where trials run, and where networks are trained: the two interfaces, and trials in this process."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

import torch

from devices.cost_tables.family import CostTables
from dnas.pretraining import PretrainRecord, PretrainSettings
from evaluation.training.job import EpochDone, StepDone, TrainFailure, TrainingJob
from moo.execution.evaluator import Evaluator
from moo.execution.groups import groups_of, most_together, outcomes_of
from moo.execution.news import InnerSearchProgress, Watch, WorkerBusy, WorkerIdle, unwatched
from moo.execution.pretraining import pretraining_epochs
from moo.trials import Job, Outcome, WorkerSetup

OutcomeT = TypeVar("OutcomeT")
OWN_WORKER = "worker 1"
"""Name of this process, where it does the jobs."""


class Backend(Protocol):
    """Where jobs run: in this process, or under Ray."""

    watch: Watch
    """Is told what workers do; nobody, until it is set."""

    @property
    def dashboard_url(self) -> str | None:
        """Address of a dashboard, if there is one."""

    @property
    def workers(self) -> int:
        """Jobs at the same time."""

    @property
    def gpus(self) -> int:
        """GPUs that jobs run on; 0 where they run on CPU cores."""

    def pretrain(self, settings: PretrainSettings, state: bytes | None) -> Iterator[tuple[PretrainRecord, bytes]]:
        """Pre-train from a saved state or from scratch; yields a record and the saved state after each epoch.

        Whoever watches is told None a few times a second meanwhile, where another process trains.

        Raises:
            MachineryError: if what runs it died and cannot be had again.
        """

    def run(
        self, jobs: Iterable[Job], costs: CostTables, supernet: bytes, on_start: Callable[[Job], None]
    ) -> Iterator[Outcome]:
        """Run jobs; yields outcomes as they come, in any order.

        A job is taken from `jobs` when a worker is free for it, so these may depend on the outcomes before. Trials may
        be taken and searched in groups (`moo.execution.groups`).

        Raises:
            MachineryError: if what runs them died and cannot be had again.
        """

    def close(self) -> None:
        """Stop all workers."""


class Trainer(Protocol):
    """Where networks, or parts of them, are trained: in this process, or under Ray."""

    def train(
        self, jobs: Sequence[tuple[TrainingJob[OutcomeT], bytes | None]]
    ) -> Iterator[tuple[str, StepDone | EpochDone | OutcomeT | TrainFailure]]:
        """Do jobs from the start or from a saved state; yields a job's name and what happened, in any order.

        Raises:
            MachineryError: if what trains them died and cannot be had again.
        """

    def close(self) -> None:
        """Stop all workers."""


class InProcessBackend:
    """Runs jobs one after another in this process; implements `moo.execution.backend.Backend`."""

    def __init__(self, setup: WorkerSetup) -> None:
        self.dashboard_url: str | None = None
        self.workers = 1
        self.gpus = 0
        self.watch: Watch = unwatched
        self._bench = setup
        self._workbench = Evaluator(setup, tell=self._tell)
        self._untold: Exception | None = None

    def pretrain(self, settings: PretrainSettings, state: bytes | None) -> Iterator[tuple[PretrainRecord, bytes]]:
        """See `moo.execution.backend.Backend.pretrain`."""
        return pretraining_epochs(self._bench, settings, state, torch.device("cpu"))

    def run(
        self, jobs: Iterable[Job], costs: CostTables, supernet: bytes, on_start: Callable[[Job], None]
    ) -> Iterator[Outcome]:
        """See `moo.execution.backend.Backend.run`."""
        for group in groups_of(jobs, most_together(self._bench, on_gpu=False)):
            for job in group:
                on_start(job)
            self.watch(WorkerBusy.with_jobs(OWN_WORKER, platform.node(), group))
            outcomes = list(outcomes_of(self._workbench, group, costs, supernet))
            if self._untold is not None:
                untold, self._untold = self._untold, None
                raise untold
            self.watch(WorkerIdle(OWN_WORKER, platform.node()))
            yield from outcomes

    def _tell(self, progress: InnerSearchProgress) -> None:
        """What goes wrong where it is told of is no failure of the trial: it is raised after that."""
        try:
            self.watch(progress)
        except Exception as error:
            self._untold = self._untold or error

    def close(self) -> None:
        """Nothing to stop."""
