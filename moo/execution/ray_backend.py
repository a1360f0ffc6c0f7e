"""Jobs under Ray: actors that hold the supernet and the splits once."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import ray
import torch

from devices.cost_tables.family import CostTables
from dnas.pretraining import PretrainRecord, PretrainSettings
from evaluation.training.allocator import keep_freed_memory
from moo.execution.evaluator import Evaluator
from moo.execution.pretraining import pretraining_epochs
from moo.execution.ray_pool import ActorPool, PoolRun, RaySession, join_ray, share, worker_device
from moo.trials import Job, Outcome, WorkerSetup, failure_of


class RayBackend:
    """Runs jobs on the CPUs or GPUs of one machine or of a cluster; implements `moo.execution.backend.Backend`."""

    def __init__(
        self,
        session: RaySession,
        setup: Any,
        *,
        workers: int,
        evaluator: Callable[[WorkerSetup, torch.device], Evaluator],
    ) -> None:
        """Use a Ray that runs; `start_ray_backend` starts one.

        Args:
            session: of that Ray; it ends with `close`.
            setup: reference to what every worker is set up with, in the object store.
            workers: jobs at the same time.
            evaluator: makes what does the jobs on a worker.
        """
        self.dashboard_url = session.dashboard_url
        self.workers = workers
        self._session = session
        self._options = {"num_cpus": share(session.cpus, workers), "num_gpus": share(session.gpus, workers)}
        self._setup = setup
        self._pool = ActorPool(lambda: _Worker.options(**self._options).remote(setup, evaluator), workers)

    def pretrain(self, settings: PretrainSettings, state: bytes | None) -> Iterator[tuple[PretrainRecord, bytes]]:
        """See `moo.execution.backend.Backend.pretrain`; it has one GPU, or all cores of one machine.

        Workers of earlier jobs are stopped, as the cores or GPUs that they hold may be all there are; the next jobs
        start new ones.

        Raises:
            RuntimeError: if jobs are still being run, whose workers cannot be stopped.
        """
        if self._pool.is_in_use:
            raise RuntimeError(
                "`pretrain` must be called before `run` or after its last outcome, but jobs are still being run: "
                "take all outcomes of `run` first, or close it."
            )
        self._pool.close()
        gpus = 1 if self._options["num_gpus"] else 0
        task = _pretrain.options(num_cpus=1, num_gpus=gpus)
        for reference in task.remote(self._setup, settings, state):
            yield ray.get(reference)

    def run(
        self, jobs: Iterable[Job], costs: CostTables, supernet: bytes, on_start: Callable[[Job], None]
    ) -> Iterator[Outcome]:
        """See `moo.execution.backend.Backend.run`; a worker that dies is replaced, and its job tried once more.

        Jobs are given only to workers that are up. So none waits for a worker that has no place any more, since its
        machine is gone; what it would have done is done by those that are left. All workers that have ended a job get
        their next one before any outcome is yielded, so that they need not wait for what is done with that.
        """
        yield from PoolRun(self._pool, jobs, (ray.put(costs), ray.put(supernet)), on_start).outcomes()

    def close(self) -> None:
        """Stop all workers, and Ray if it was started here."""
        self._pool.close()
        self._session.close()


def start_ray_backend(
    setup: WorkerSetup,
    *,
    workers: int | None = None,
    address: str | None = None,
    dashboard: bool = True,
    evaluator: Callable[[WorkerSetup, torch.device], Evaluator] = Evaluator,
) -> RayBackend:
    """Start Ray, or join a cluster; the caller closes what is returned.

    Args:
        setup: what every worker is set up with; it goes to the object store once.
        workers: jobs at the same time; by default one for each GPU, else one for each CPU core.
        address: of the cluster to join; by default Ray is started on this machine.
        dashboard: whether a started Ray has its dashboard.
        evaluator: makes what does the jobs on a worker.

    Raises:
        ValueError: if no cluster answers at that address.
    """
    session = join_ray(address, workers=workers, dashboard=dashboard)
    if workers is None:
        workers = max(1, session.gpus or session.cpus)
    return RayBackend(session, ray.put(setup), workers=workers, evaluator=evaluator)


class _WorkerActor:
    """One actor."""

    def __init__(self, setup: WorkerSetup, evaluator: Callable[[WorkerSetup, torch.device], Evaluator]) -> None:
        keep_freed_memory()
        self._workbench = evaluator(setup, worker_device())

    def run(self, job: Job, costs: CostTables, supernet: bytes) -> Outcome:
        """Do one job; whatever it raises comes back as a failure."""
        try:
            return self._workbench.run(job, costs, supernet)
        except Exception:
            return failure_of(job, traceback.format_exc())


def _pretraining_task(
    setup: WorkerSetup, settings: PretrainSettings, state: bytes | None
) -> Iterator[tuple[PretrainRecord, bytes]]:
    keep_freed_memory()
    torch.set_num_threads(os.cpu_count() or 1)
    yield from pretraining_epochs(setup, settings, state, worker_device())


_Worker: Any = ray.remote(_WorkerActor)
_pretrain: Any = ray.remote(num_returns="streaming")(_pretraining_task)
