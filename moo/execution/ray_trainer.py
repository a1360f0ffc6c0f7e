"""Whatever is trained, trained under Ray, a task for each network."""

from __future__ import annotations

import logging
import time
import traceback
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import ray
import torch

from evaluation.accelerators import compute_deterministically
from evaluation.splits import Splits
from evaluation.training.allocator import keep_freed_memory
from evaluation.training.job import EpochDone, StepDone, TrainFailure, TrainingJob
from moo.execution.machinery import MachineryError, Patience, is_want
from moo.execution.ray_images import OfferedImages, offered_images
from moo.execution.ray_session import (
    POLL_SECONDS,
    RayDiedError,
    RaySession,
    is_loss,
    join_ray,
    worker_device,
)
from moo.execution.titles import short
from moo.workers import Demand, resources

STEP_SECONDS = 0.5
"""A training tells of its steps no more often."""


TRIES = 3
"""A training is put off when so many workers have died of it in the same epoch."""

OutcomeT = TypeVar("OutcomeT")
_LOG = logging.getLogger(__name__)


class RayTrainer:
    """Trains networks on the CPUs or GPUs of a machine or a cluster; implements `moo.execution.backend.Trainer`.

    Where Ray dies that was started here, it is started again; trainings go on from their last epochs.
    """

    def __init__(
        self,
        session: RaySession,
        splits: Splits,
        *,
        networks: int,
        demand: Demand,
        threads: int | None,
        deterministic: bool,
    ) -> None:
        """Use a Ray that runs; `start_ray_trainer` starts one.

        Args:
            session: of that Ray; it ends with `close`.
            splits: the images that all networks are trained on; they go to the object store once.
            networks: how many are to be trained.
            demand: networks at the same time, which may change as nodes come and go, and what each has of a GPU.
            threads: CPU threads of each; by default the cores of a machine are shared out.
            deterministic: whether a GPU computes the same again, bit for bit.

        Raises:
            ValueError: if there are no GPUs though they are asked for.
        """
        self._networks = networks
        self._demand = demand
        self._deterministic = deterministic
        self._nodes = session.nodes()
        demand.check(self._nodes.gpus)
        workers = self.workers
        machines = [node.cpus for node in self._nodes.usable] or [self._nodes.cpus]
        on_each = -(-workers // len(machines))
        self.threads = threads or max(1, max(machines) // on_each)
        # As many cores as threads, so that trainings spread over machines; less where all could not run at once.
        fits = self.threads * on_each <= min(machines)
        nodes = self._nodes
        self._options = resources(demand, workers, cpus=nodes.cpus, gpus=nodes.gpus, machines=nodes.machines)
        if fits:
            self._options["num_cpus"] = self.threads
        if workers < networks and (line := demand.said_of(workers, nodes.gpus)) is not None:
            _LOG.warning("%s", line)
        self._splits = splits
        self._waiting: deque[tuple[TrainingJob[Any], bytes | None]] = deque()
        self._running: dict[Any, TrainingJob[Any]] = {}
        self._patience = Patience()
        self._begun: set[Any] = set()
        """Of what runs, what has a place."""
        self._states: dict[str, bytes | None] = {}
        self._deaths: Counter[str] = Counter()
        self._use(session)

    @property
    def workers(self) -> int:
        """Networks at the same time: as many as were asked for, else one for each GPU, else for each CPU core."""
        return self._demand.workers_on(cpus=self._nodes.cpus, gpus=self._nodes.gpus, jobs=self._networks)

    def _use(self, session: RaySession) -> None:
        self._session = session
        self.dashboard_url = session.dashboard_url
        with session.checked():
            self._reference = ray.put(self._splits)
            self._images = offered_images(self._splits, self._session)

    def train(
        self, jobs: Sequence[tuple[TrainingJob[OutcomeT], bytes | None]]
    ) -> Iterator[tuple[str, StepDone | EpochDone | OutcomeT | TrainFailure]]:
        """See `moo.execution.backend.Trainer.train`; a training whose worker dies goes on from its last epoch."""
        self._waiting.extend(jobs)
        deaths = 0
        self._patience.reset()
        while self._waiting or self._running:
            events: list[tuple[str, Any]] = []
            try:
                self._step(events)
            except RayDiedError as error:
                deaths += 1
                if deaths > TRIES:
                    raise MachineryError(f"{error} It was tried {deaths} times.") from None
                self._begin_anew()
            for name, event in events:
                if isinstance(event, EpochDone):
                    self._states[name] = event.state
                    self._deaths[name] = deaths = 0
                yield name, event

    def _step(self, events: list[tuple[str, Any]]) -> None:
        """Give trainings to free workers, wait a little, and add what happened."""
        with self._session.checked():
            self._nodes.look()
            while self._waiting and len(self._running) < self.workers:
                job, state = self._waiting[0]
                training = _train.options(
                    **self._options, name=short(f"train {job.name}"), **self._nodes.placement
                ).remote(job, self._reference, self._images, state, self.threads, deterministic=self._deterministic)
                self._waiting.popleft()
                self._running[training], self._states[job.name] = job, state
            ready, _ = ray.wait(list(self._running), num_returns=1, timeout=POLL_SECONDS, fetch_local=False)
            self._begun = {*self._begun, *ready} & self._running.keys()
            if self._begun:
                self._patience.reset()
            else:
                self._patience.check()
            for training in ready:
                job = self._running[training]
                try:
                    event = ray.get(next(training))
                except StopIteration:
                    del self._running[training]
                    continue
                except ray.exceptions.RayError as error:
                    self._session.check()
                    if is_loss(error):
                        raise
                    del self._running[training]
                    event = self._died(job, f"{traceback.format_exc()}")
                else:
                    if isinstance(event, TrainFailure) and event.died:
                        del self._running[training]
                        event = self._died(job, event.traceback)
                if event is not None:
                    events.append((job.name, event))

    def _died(self, job: TrainingJob[Any], reason: str) -> TrainFailure | None:
        """Have a training go on with another worker, or put it off."""
        self._deaths[job.name] += 1
        if self._deaths[job.name] < TRIES:
            self._waiting.appendleft((job, self._states[job.name]))
            return None
        told = f"{TRIES} workers died of it; it goes on from its last epoch when tried again"
        return TrainFailure(f"The worker died.\n{reason}", told, died=True)

    def _begin_anew(self) -> None:
        """Use a new Ray, or the same one where it is well, with what it lost put there again."""
        self._waiting.extendleft((job, self._states[job.name]) for job in reversed(self._running.values()))
        self._stop()
        session = self._session.anew()
        self._nodes = session.nodes()
        self._use(session)

    def _stop(self) -> None:
        """Stop what is trained, unless it died with Ray."""
        if self._session.dead_part is None:
            for training in self._running:
                ray.cancel(training, force=True)
        self._running.clear()

    def close(self) -> None:
        """Stop what is still trained, and Ray if it was started here."""
        self._stop()
        self._session.close()


def start_ray_trainer(
    splits: Splits,
    *,
    networks: int,
    workers: int | None = None,
    gpus_per_worker: float | None = None,
    threads: int | None = None,
    deterministic: bool = False,
    address: str | None = None,
    dashboard: bool = True,
    run: Path | None = None,
) -> RayTrainer:
    """Start Ray, or join a cluster; the caller closes what is returned.

    Args:
        splits: images that all networks are trained on; they go to the object store once.
        networks: how many are to be trained.
        workers: networks at the same time; by default one for each GPU, else one for each CPU core. More of them than
            GPUs are as many on each.
        gpus_per_worker: share of a GPU that a worker needs, in [0, 1]: 0.25 has four on each, 0 none on any.
        threads: CPU threads of each; by default the cores of a machine are shared out.
        deterministic: whether a GPU computes the same again, bit for bit.
        address: of the cluster to join; by default Ray is started on this machine.
        dashboard: whether a started Ray has its dashboard.
        run: the run folder, after which Ray's dashboard names what is done.

    Raises:
        ValueError: if no cluster answers at that address, or there are no GPUs though a share of one is asked for.
    """
    demand = Demand(workers=workers, gpus_per_worker=gpus_per_worker)
    session = join_ray(address, workers=workers, dashboard=dashboard, run=run, apple_gpu=bool(gpus_per_worker))
    try:
        return RayTrainer(
            session, splits, networks=networks, demand=demand, threads=threads, deterministic=deterministic
        )
    except BaseException:
        session.close()
        raise


def _training_task(
    job: TrainingJob[OutcomeT],
    splits: Splits,
    images: OfferedImages,
    state: bytes | None,
    threads: int,
    *,
    deterministic: bool,
) -> Iterator[StepDone | EpochDone | OutcomeT | TrainFailure | None]:
    """Gives None when it has a place."""
    yield None
    keep_freed_memory()
    if deterministic:
        compute_deterministically()
    torch.set_num_threads(threads)
    told = 0.0
    try:
        images.have()
        for event in job.events(splits, state=state, device=worker_device()):
            if isinstance(event, StepDone):
                if time.monotonic() < told + STEP_SECONDS:
                    continue
                told = time.monotonic()
            yield event
    except ValueError as error:
        yield TrainFailure(traceback.format_exc(), str(error))
    except Exception as error:
        yield TrainFailure(traceback.format_exc(), died=is_want(error))


_train: Any = ray.remote(num_returns="streaming", max_retries=0)(_training_task)
