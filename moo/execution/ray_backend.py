"""Jobs under Ray: actors that hold the supernet and the splits once. The only module that imports Ray."""

from __future__ import annotations

import logging
import math
import os
import time
import traceback
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch

from devices.cost_tables.cost_table import CostTable
from dnas.pretraining import PretrainRecord, PretrainSettings
from evaluation.splits import Splits
from evaluation.training.allocator import keep_freed_memory
from evaluation.training.job import StepDone, TrainEvent, TrainFailure, TrainJob, train
from moo.execution.evaluator import Workbench, pretraining_epochs
from moo.trials import Bench, Job, JobFailure, Outcome

os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
import ray

POLL_SECONDS = 0.2
STEP_SECONDS = 0.5
"""A training tells of its steps no more often."""
TRIES = 2
"""A job is given up when so many workers have died of it: a second one shows that it was not the machine."""


class RayBackend:
    """Runs jobs on the CPUs or GPUs of one machine or of a cluster; implements `moo.trials.Backend`."""

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
        self._crew = _Crew(lambda: _Worker.options(**self._options).remote(self._bench, workbench), self.workers)

    def pretrain(self, settings: PretrainSettings, state: bytes | None) -> Iterator[tuple[PretrainRecord, bytes]]:
        """See `moo.trials.Backend.pretrain`; it has one GPU, or all cores of one machine."""
        gpus = 1 if self._options["num_gpus"] else 0
        task = _pretrain.options(num_cpus=1, num_gpus=gpus)
        for reference in task.remote(self._bench, settings, state):
            yield ray.get(reference)

    def run(
        self, jobs: Iterable[Job], costs: CostTable, supernet: bytes, on_start: Callable[[Job], None]
    ) -> Iterator[Outcome]:
        """See `moo.trials.Backend.run`; a worker that dies is replaced, and its job tried once more.

        Jobs are given only to workers that are up. So none waits for a worker that has no place any more, since its
        machine is gone; what it would have done is done by those that are left. All workers that have ended a job get
        their next one before any outcome is yielded, so that they need not wait for what is done with that.
        """
        yield from _Shift(self._crew, jobs, (ray.put(costs), ray.put(supernet)), on_start).outcomes()

    def close(self) -> None:
        """Stop all workers, and Ray if it was started here."""
        self._crew.close()
        if self._started:
            ray.shutdown()


class _Crew:
    """Actors, kept from one run of jobs to the next."""

    def __init__(self, new_actor: Callable[[], Any], size: int) -> None:
        self.size = size
        self.idle: deque[Any] = deque()
        self.starting: dict[Any, tuple[Any, bool]] = {}
        """Actors that have not answered yet, and whether they are new, by what is there when they do."""
        self._new_actor = new_actor
        self._actors: list[Any] = []

    def start(self) -> None:
        """Start one more actor."""
        actor = self._new_actor()
        self._actors.append(actor)
        self.starting[actor.__ray_ready__.remote()] = (actor, True)

    def check_idle(self) -> None:
        """Give idle actors no job before they answer: where one died, its machine may be gone, and they with it."""
        while self.idle:
            actor = self.idle.popleft()
            self.starting[actor.__ray_ready__.remote()] = (actor, False)

    def dismiss(self, actor: Any) -> None:
        """Stop it, even if it cannot be reached: it must not go on with a job that another one does."""
        self._actors.remove(actor)
        ray.kill(actor)

    def close(self) -> None:
        """Stop all actors."""
        for actor in list(self._actors):
            self.dismiss(actor)
        self.idle.clear()
        self.starting.clear()


class _Shift:
    """One run of jobs: those that were taken, and who does them."""

    def __init__(
        self, crew: _Crew, jobs: Iterable[Job], inputs: tuple[Any, Any], on_start: Callable[[Job], None]
    ) -> None:
        self._crew = crew
        self._jobs = iter(jobs)
        self._inputs = inputs
        self._on_start = on_start
        self._taken: deque[Job] = deque()
        self._running: dict[Any, tuple[Any, Job]] = {}
        self._deaths: Counter[Job] = Counter()

    def outcomes(self) -> Iterator[Outcome]:
        """All of them, as they come; actors that are still at work when nobody wants more are stopped."""
        try:
            self._employ()
            while self._running or self._taken:
                references = [*self._running, *self._crew.starting]
                ray.wait(references, num_returns=1, timeout=POLL_SECONDS)
                ready, _ = ray.wait(references, num_returns=len(references), timeout=0)
                outcomes = [outcome for reference in ready for outcome in self._collect(reference)]
                self._employ()
                yield from outcomes
        finally:
            for actor, _ in self._running.values():
                self._crew.dismiss(actor)

    def _take(self) -> bool:
        job = next(self._jobs, None)
        if job is None:
            return False
        self._on_start(job)
        self._taken.append(job)
        return True

    def _employ(self) -> None:
        """Give jobs to idle actors, and start as many more as there are jobs for."""
        crew = self._crew
        while crew.idle and (self._taken or self._take()):
            actor, job = crew.idle.popleft(), self._taken.popleft()
            self._running[actor.run.remote(job, *self._inputs)] = (actor, job)
        while len(self._running) + len(crew.starting) < crew.size:
            if len(crew.starting) >= len(self._taken) and not self._take():
                return
            crew.start()

    def _collect(self, reference: Any) -> list[Outcome]:
        """Let an actor be idle; returns the outcome, unless it only came up, or died and its job waits again."""
        job: Job | None = None
        if reference in self._running:
            (actor, job), is_new = self._running.pop(reference), False
        else:
            actor, is_new = self._crew.starting.pop(reference)
        try:
            outcome = ray.get(reference)
        except ray.exceptions.RayError:
            self._crew.dismiss(actor)
            self._crew.check_idle()
            if is_new and self._taken:
                job = self._taken.popleft()
            if job is None:
                return []
            self._deaths[job] += 1
            if self._deaths[job] == TRIES:
                return [JobFailure(job, f"The worker died.\n{traceback.format_exc()}")]
            self._taken.appendleft(job)
            return []
        self._crew.idle.append(actor)
        return [] if job is None else [outcome]


class RayTrainer:
    """Trains networks on the CPUs or GPUs of a machine or a cluster; implements `moo.deployment.training.Trainer`."""

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
        """See `moo.deployment.training.Trainer.train`; a worker that dies fails its training, which can be resumed."""
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
