"""What workers do while jobs run, for `moo.events`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from moo.execution.titles import title_of
from moo.trials import ArchitectureTrial, CoefficientTrial, Job


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
    """Id of the trial, where the job is one."""

    @classmethod
    def with_job(cls, worker: str, node: str, job: Job) -> WorkerBusy:
        """The news of a job."""
        trial = job.id if isinstance(job, CoefficientTrial | ArchitectureTrial) else None
        return cls(worker, node, title_of(job), trial)


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


WorkerNews = WorkerBusy | WorkerIdle | WorkerGone
Watch = Callable[[WorkerNews | None], None]
"""Is told what workers do, in the process that runs the jobs; None a few times a second where nothing has happened."""


def unwatched(news: WorkerNews | None) -> None:
    """Nobody is told."""
