"""Jobs under Ray: actors that hold the supernet and the splits once. The only module that imports Ray."""

from __future__ import annotations

import logging
import math
import os
import time
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch

from devices.cost_table import CostTable
from dnas.memory import keep_freed_memory
from dnas.pretraining import PretrainRecord, PretrainSettings
from evaluation.splits import Splits
from evaluation.train_job import StepDone, TrainEvent, TrainFailure, TrainJob, train
from moo.jobs import Bench, Job, JobFailure, Outcome
from moo.workbench import Workbench, pretraining_epochs

os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
import ray

POLL_SECONDS = 0.2
STEP_SECONDS = 0.5
"""A training tells of its steps no more often."""


class RayBackend:
    """Runs jobs on the CPUs or GPUs of one machine or of a cluster; implements `moo.jobs.Backend`."""

    def __init__(
        self,
        bench: Bench,
        *,
        workers: int | None = None,
        address: str | None = None,
        dashboard: bool = True,
        workbench: Callable[[Bench, torch.device], Workbench] = Workbench,
    ) -> None:
        """Start Ray, or join a cluster.

        Args:
            bench: what every worker is set up with; it goes to the object store once.
            workers: jobs at the same time; by default one for each GPU, else one for each CPU core.
            address: of the cluster to join; by default Ray is started on this machine.
            dashboard: whether a started Ray has its dashboard.
            workbench: makes what does the jobs on a worker.

        Raises:
            ValueError: if no cluster answers at that address.
        """
        self._started = not ray.is_initialized()
        self.dashboard_url = _start(address, workers, dashboard) if self._started else None
        resources = ray.cluster_resources()
        cpus, gpus = (int(resources.get(name, 0)) for name in ("CPU", "GPU"))
        self.workers = workers if workers is not None else max(1, gpus or cpus)
        self._options = {"num_cpus": share(cpus, self.workers), "num_gpus": share(gpus, self.workers)}
        self._bench = ray.put(bench)
        self._workbench = workbench
        self._actors: list[Any] = []

    def pretrain(self, settings: PretrainSettings, state: bytes | None) -> Iterator[tuple[PretrainRecord, bytes]]:
        """See `moo.jobs.Backend.pretrain`; it has one GPU, or all cores of one machine."""
        gpus = 1 if self._options["num_gpus"] else 0
        task = _pretrain.options(num_cpus=1, num_gpus=gpus)
        for reference in task.remote(self._bench, settings, state):
            yield ray.get(reference)

    def run(
        self, jobs: Iterable[Job], costs: CostTable, supernet: bytes, on_start: Callable[[Job], None]
    ) -> Iterator[Outcome]:
        """See `moo.jobs.Backend.run`; a worker that dies fails its job and is replaced.

        A worker that has ended a job gets its next one before the outcome is yielded, so that it need not wait for
        what is done with that.
        """
        waiting = iter(jobs)
        shared = (ray.put(costs), ray.put(supernet))
        idle = deque(self._actors)
        running: dict[Any, tuple[Any, Job]] = {}

        def start_next() -> bool:
            job = next(waiting, None)
            if job is None:
                return False
            actor = idle.popleft() if idle else self._new_actor()
            running[actor.run.remote(job, *shared)] = (actor, job)
            on_start(job)
            return True

        while len(running) < self.workers and start_next():
            pass
        while running:
            ready, _ = ray.wait(list(running), num_returns=1, timeout=POLL_SECONDS)
            for reference in ready:
                actor, job = running.pop(reference)
                try:
                    outcome: Outcome = ray.get(reference)
                    idle.append(actor)
                except ray.exceptions.RayError:
                    outcome = JobFailure(job, f"The worker died.\n{traceback.format_exc()}")
                    self._actors.remove(actor)
                start_next()
                yield outcome

    def close(self) -> None:
        """Stop all workers, and Ray if it was started here."""
        for actor in self._actors:
            ray.kill(actor)
        self._actors.clear()
        if self._started:
            ray.shutdown()

    def _new_actor(self) -> Any:
        actor = _Worker.options(**self._options).remote(self._bench, self._workbench)
        self._actors.append(actor)
        return actor


class RayTrainer:
    """Trains networks on the CPUs or GPUs of one machine or of a cluster; implements `moo.retraining.Trainer`."""

    def __init__(
        self,
        splits: Splits,
        *,
        networks: int,
        workers: int | None = None,
        threads: int | None = None,
        address: str | None = None,
        dashboard: bool = True,
    ) -> None:
        """Start Ray, or join a cluster.

        Args:
            splits: images that all networks are trained on; they go to the object store once.
            networks: how many are to be trained.
            workers: networks at the same time; by default one for each GPU, else one for each CPU core.
            threads: CPU threads of each; by default the cores of a machine are shared out.
            address: of the cluster to join; by default Ray is started on this machine.
            dashboard: whether a started Ray has its dashboard.

        Raises:
            ValueError: if no cluster answers at that address.
        """
        self._started = not ray.is_initialized()
        self.dashboard_url = _start(address, workers, dashboard) if self._started else None
        resources = ray.cluster_resources()
        cpus, gpus = (int(resources.get(name, 0)) for name in ("CPU", "GPU"))
        self.workers = max(1, min(networks, workers or gpus or cpus))
        machines = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
        on_each = -(-self.workers // len(machines))
        self.threads = threads or max(1, max(machines) // on_each)
        # As many cores as threads, so that trainings spread over machines; less where all could not run at once.
        fits = self.threads * on_each <= min(machines)
        self._options = {
            "num_cpus": self.threads if fits else share(cpus, self.workers),
            "num_gpus": share(gpus, self.workers),
        }
        self._splits = ray.put(splits)
        self._running: dict[Any, str] = {}

    def train(self, jobs: Sequence[tuple[TrainJob, bytes | None]]) -> Iterator[tuple[str, TrainEvent | TrainFailure]]:
        """See `moo.retraining.Trainer.train`; a worker that dies fails its training, which can be resumed."""
        waiting, running = deque(jobs), self._running
        while waiting or running:
            while waiting and len(running) < self.workers:
                job, state = waiting.popleft()
                running[_train.options(**self._options).remote(job, self._splits, state, self.threads)] = job.name
            ready, _ = ray.wait(list(running), num_returns=1, timeout=POLL_SECONDS, fetch_local=False)
            for events in ready:
                try:
                    yield running[events], ray.get(next(events))
                except StopIteration:
                    del running[events]
                except ray.exceptions.RayError as error:
                    reason = (
                        f"its worker died ({type(error).__name__}); it goes on from its last epoch when tried again"
                    )
                    yield running.pop(events), TrainFailure(f"The worker died.\n{traceback.format_exc()}", reason)

    def close(self) -> None:
        """Stop what is still trained, and Ray if it was started here."""
        for events in self._running:
            ray.cancel(events, force=True)
        self._running.clear()
        if self._started:
            ray.shutdown()


def share(available: int, workers: int) -> float:
    """CPUs or GPUs of each worker: one, or where there are fewer than workers, so much that all can run at once.

    More would leave a worker, and the job that it was given, waiting for ever. Ray counts in steps of 0.0001.
    """
    if not available:
        return 0.0
    return math.floor(10_000 / math.ceil(workers / available)) / 10_000


def _start(address: str | None, workers: int | None, dashboard: bool) -> str | None:
    """Start or join Ray; returns the dashboard's address."""
    options: dict[str, Any] = {"address": address}
    if address is None:
        cpus = max(os.cpu_count() or 1, workers or 1)
        options |= {"num_cpus": cpus, "include_dashboard": dashboard, "address": "local"}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            context = ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        if address is None:
            raise
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"`--address` must be that of a running Ray cluster, but got {address!r}: {reason}") from None
    return f"http://{context.dashboard_url}" if context.dashboard_url else None


def _torch_device() -> torch.device:
    return torch.device("cuda" if ray.get_gpu_ids() and torch.cuda.is_available() else "cpu")


class _WorkerActor:
    """One actor."""

    def __init__(self, bench: Bench, workbench: Callable[[Bench, torch.device], Workbench]) -> None:
        keep_freed_memory()
        self._workbench = workbench(bench, _torch_device())

    def run(self, job: Job, costs: CostTable, supernet: bytes) -> Outcome:
        """Do one job; whatever it raises comes back as a failure."""
        try:
            return self._workbench.run(job, costs, supernet)
        except Exception:
            return JobFailure(job, traceback.format_exc())


def _pretraining_task(
    bench: Bench, settings: PretrainSettings, state: bytes | None
) -> Iterator[tuple[PretrainRecord, bytes]]:
    keep_freed_memory()
    torch.set_num_threads(os.cpu_count() or 1)
    yield from pretraining_epochs(bench, settings, state, _torch_device())


def _training_task(
    job: TrainJob, splits: Splits, state: bytes | None, threads: int
) -> Iterator[TrainEvent | TrainFailure]:
    keep_freed_memory()
    torch.set_num_threads(threads)
    told = 0.0
    try:
        for event in train(job, splits, state=state, device=_torch_device()):
            if isinstance(event, StepDone):
                if time.monotonic() < told + STEP_SECONDS:
                    continue
                told = time.monotonic()
            yield event
    except ValueError as error:
        yield TrainFailure(traceback.format_exc(), str(error))
    except Exception:
        yield TrainFailure(traceback.format_exc())


_train: Any = ray.remote(num_returns="streaming", max_retries=0)(_training_task)
_Worker: Any = ray.remote(_WorkerActor)
_pretrain: Any = ray.remote(num_returns="streaming")(_pretraining_task)
