"""What workers do while jobs run, and how far inner searches are, for `moo.events`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dnas.inner_search import StepRecord
from moo.execution.titles import title_of
from moo.trials import ArchitectureTrial, CoefficientTrial, Job, Trial


@dataclass(frozen=True)
class WorkerBusy:
    """A worker has begun a job."""

    worker: str
    """Its name: `worker 1`."""
    node: str
    """Where it runs."""
    job: str
    """What it does, for people to read."""
    trial: int | None
    """Id of the trial, where the job is one; of several that are searched together, of the first."""

    @classmethod
    def with_jobs(cls, worker: str, node: str, jobs: Sequence[Job]) -> WorkerBusy:
        """The news of a job, or of trials that are searched together."""
        trial = jobs[0].id if isinstance(jobs[0], CoefficientTrial | ArchitectureTrial) else None
        return cls(worker, node, title_of(*jobs), trial)


@dataclass(frozen=True)
class WorkerIdle:
    """A worker has ended its job, or has just come up."""

    worker: str
    node: str


@dataclass(frozen=True)
class WorkerGone:
    """A worker died; another one takes its place, and does its job again."""

    worker: str
    node: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class InnerSearchProgress:
    """The inner search of a trial has made more steps; some may be left out, and short searches tell nothing."""

    trial: Trial
    step: int
    """The last one that is done, from 1."""
    steps: int
    """Of the whole search."""
    records: tuple[StepRecord, ...]
    """Of the steps since the last time, `step` being the last."""
    ended: tuple[float, ...]
    """When each of these ended, in seconds since 1970 by the clock of its machine."""


WorkerNews = WorkerBusy | WorkerIdle | WorkerGone | InnerSearchProgress
Tell = Callable[[InnerSearchProgress], None]
"""Is told how far inner searches are, in the process that does them."""
Watch = Callable[[WorkerNews | None], None]
"""Is told what workers do, in the process that runs the jobs; None a few times a second where nothing has happened."""


def unwatched(news: WorkerNews | None) -> None:
    """Nobody is told."""
