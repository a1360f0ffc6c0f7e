"""Jobs under Ray: actors that hold the supernet and the splits once."""

from __future__ import annotations

import logging
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import ray
import torch

from devices.cost_tables.family import CostTables
from dnas.pretraining import PretrainRecord, PretrainSettings
from evaluation.accelerators import compute_deterministically
from evaluation.training.allocator import keep_freed_memory
from moo.execution.evaluator import Evaluator
from moo.execution.groups import Group, most_together, outcomes_of
from moo.execution.machinery import MachineryError, Patience, is_want
from moo.execution.news import Tell, Watch, unwatched
from moo.execution.nodes import nodes_up
from moo.execution.pretraining import pretraining_epochs
from moo.execution.ray_images import OfferedImages, offered_images
from moo.execution.ray_pool import ActorPool, PoolRun, Work, note_crashes
from moo.execution.ray_ranks import RankedPretraining
from moo.execution.ray_session import (
    POLL_SECONDS,
    RayDiedError,
    RaySession,
    cores_of_node,
    join_ray,
    pretraining_device,
    worker_device,
)
from moo.execution.running_searches import RunningSearches, new_collector
from moo.execution.titles import run_title
from moo.trials import Job, Outcome, WorkerSetup
from moo.workers import Demand, resources
from search_space.boundary.text import last_line

_LOG = logging.getLogger(__name__)
ID_SHOWN = 6
"""Characters of a node's id: one machine may be several nodes."""
RESTARTS = 3
"""Deaths of Ray in a row, with nothing done in between, that jobs outlive."""


class RayBackend:
    """Runs jobs on the CPUs or GPUs of one machine or of a cluster; implements `moo.execution.backend.Backend`.

    Where Ray dies that was started here, it is started again, and what had not ended is done anew.
    """

    def __init__(
        self,
        session: RaySession,
        setup: WorkerSetup,
        *,
        demand: Demand,
        evaluator: Callable[[WorkerSetup, torch.device], Evaluator],
    ) -> None:
        """Use a Ray that runs; `start_ray_backend` starts one.

        Args:
            session: of that Ray; it ends with `close`.
            setup: what every worker is set up with; it goes to the object store once.
            demand: jobs at the same time, which may change as nodes come and go, and what each has of a GPU.
            evaluator: makes what does the jobs on a worker.

        Raises:
            ValueError: if there are no GPUs though they are asked for.
        """
        self._demand = demand
        self._own_setup = setup
        self._evaluator = evaluator
        self._begun = 0
        self.watch: Watch = unwatched
        self.ended: Counter[str] = Counter()
        """Jobs that have ended on each node."""
        self._use(session)
        demand.check(self._nodes.gpus)
        if (line := demand.said_of(self.workers, self._nodes.gpus)) is not None:
            _LOG.warning("%s", line)

    def _use(self, session: RaySession) -> None:
        self._session = session
        self.dashboard_url = session.dashboard_url
        with session.checked():
            self._nodes = session.nodes()
            self._setup = ray.put(self._own_setup)
            self._images = offered_images(self._own_setup.splits, session)
        # Names of actors are unique within a namespace.
        self._namespace = f"{'run' if session.run is None else run_title(session.run)} {uuid.uuid4().hex[:8]}"
        searches = RunningSearches(lambda: new_collector.options(**self._nodes.placement).remote())
        self._pool = ActorPool(self._new_worker, lambda: self.workers, session.logs, self._nodes.look, searches)
        self._pool.ended = self.ended
        # Whoever watches then.
        self._pool.watch = lambda news: self.watch(news)

    @property
    def workers(self) -> int:
        """Jobs at the same time: as many as were asked for, else one for each GPU, else for each CPU core, by now."""
        return self._demand.workers_on(cpus=self._nodes.cpus, gpus=self._nodes.gpus)

    @property
    def gpus(self) -> int:
        """See `moo.execution.backend.Backend.gpus`."""
        return min(self._nodes.gpus, self.workers) if self._demand.uses_gpus else 0

    def _new_worker(self, words: Path) -> Any:
        nodes, workers = self._nodes, self.workers
        self._begun += 1
        place = {
            **resources(self._demand, workers, cpus=nodes.cpus, gpus=nodes.gpus, machines=nodes.machines),
            "name": f"worker {self._begun}",
            "namespace": self._namespace,
            **nodes.placement,
        }
        actor = _new_worker.options(**place).remote(self._setup, self._images, self._evaluator, words)
        self._pool.names[actor] = f"worker {self._begun}"
        return actor

    def pretrain(self, settings: PretrainSettings, state: bytes | None) -> Iterator[tuple[PretrainRecord, bytes]]:
        """See `moo.execution.backend.Backend.pretrain`; it has one GPU, or all cores of one machine.

        With several paths a step, as many workers share these, each with a GPU, or with its part of the cores.

        Workers of earlier jobs are stopped, as the cores or GPUs that they hold may be all there are; the next jobs
        start new ones. A worker that dies is replaced, and pre-training goes on from its last epoch.

        Raises:
            RuntimeError: if jobs are still being run, whose workers cannot be stopped.
            MachineryError: if its worker, or Ray, died several times in the same epoch.
        """
        if self._pool.is_in_use:
            raise RuntimeError(
                "`pretrain` must be called before `run` or after its last outcome, but jobs are still being run: "
                "take all outcomes of `run` first, or close it."
            )
        deaths = 0
        while True:
            try:
                for record, reached in self._epochs(settings, state):
                    deaths, state = 0, reached
                    yield record, reached
                return
            except RayDiedError as error:
                deaths += 1
                self._begin_anew(error, deaths)

    def _epochs(self, settings: PretrainSettings, state: bytes | None) -> Iterator[tuple[PretrainRecord, bytes]]:
        """The same until something dies.

        Raises:
            RayDiedError: if Ray or the worker died.
            MachineryError: if the worker wanted memory or the like, or had no place for a quarter of an hour.
        """
        with self._session.checked():
            self._pool.close()
            self._nodes.look()
        gpus = self._nodes.gpus if self._demand.uses_gpus else 0
        ranks = settings.ranks(min(self.workers, gpus or self._nodes.cpus))
        if ranks > 1:
            ranked = RankedPretraining(
                self._session, self._nodes, ranks, lambda news: self.watch(news), on_gpus=gpus > 0
            )
            yield from ranked.epochs(self._setup, self._images, settings, state)
            return
        with self._session.checked():
            gpus = min(1, gpus)
            place = {"num_cpus": 1, "num_gpus": gpus, "name": "pre-training", **self._nodes.placement}
            epochs = _pretrain.options(**place).remote(self._setup, self._images, settings, state)
        patience, has_begun = Patience(), False
        while True:
            with self._session.checked():
                ready, _ = ray.wait([epochs], num_returns=1, timeout=POLL_SECONDS, fetch_local=False)
                if not ready and not has_begun:
                    patience.check()
                try:
                    epoch = ray.get(next(epochs)) if ready else None
                except StopIteration:
                    return
                except ray.exceptions.RayTaskError as error:
                    if is_want(error):
                        raise MachineryError(f"pre-training could not go on: {last_line(str(error))}.") from None
                    raise
            if not ready:
                self.watch(None)
                continue
            has_begun = True
            if epoch is not None:
                yield epoch

    def _begin_anew(self, error: RayDiedError, deaths: int) -> None:
        """Use a new Ray, or the same one where it is well, with all that it lost put there again."""
        if deaths > RESTARTS:
            raise MachineryError(f"{error} It was tried {deaths} times.") from None
        if self._session.dead_part is None:
            self._pool.close()
        else:
            self._pool.forget()
        self._use(self._session.anew())

    def run(
        self, jobs: Iterable[Job], costs: CostTables, supernet: bytes, on_start: Callable[[Job], None]
    ) -> Iterator[Outcome]:
        """See `moo.execution.backend.Backend.run`; a worker that dies is replaced, and its job tried again.

        Jobs are given only to workers that are up. So none waits for a worker that has no place any more, since its
        machine is gone; what it would have done is done by those that are left. All workers that have ended a job get
        their next one before any outcome is yielded, so that they need not wait for what is done with that.

        Raises:
            MachineryError: if Ray died several times before any job ended.
        """
        most = most_together(self._own_setup, on_gpu=self._nodes.gpus > 0)
        work, deaths = Work(jobs, on_start, most=most), 0
        while True:
            try:
                with self._session.checked():
                    inputs = (ray.put(costs), ray.put(supernet))
                with closing(PoolRun(self._pool, work, self._session, inputs).outcomes()) as outcomes:
                    for outcome in outcomes:
                        deaths = 0
                        yield outcome
                return
            except RayDiedError as error:
                deaths += 1
                self._begin_anew(error, deaths)

    def close(self) -> None:
        """Stop all workers, and Ray if it was started here."""
        if len(self.ended) > 1:
            _LOG.info("jobs by node: %s", ", ".join(f"{name} {count}" for name, count in sorted(self.ended.items())))
        if self._session.dead_part is None:
            self._pool.close()
        self._session.close()


def start_ray_backend(
    setup: WorkerSetup,
    *,
    workers: int | None = None,
    gpus_per_worker: float | None = None,
    address: str | None = None,
    dashboard: bool = True,
    evaluator: Callable[[WorkerSetup, torch.device], Evaluator] = Evaluator,
    run: Path | None = None,
) -> RayBackend:
    """Start Ray, or join a cluster; the caller closes what is returned.

    Args:
        setup: what every worker is set up with; it goes to the object store once.
        workers: jobs at the same time; by default one for each GPU, else one for each CPU core, as nodes come and go.
            More workers than GPUs are as many on each.
        gpus_per_worker: share of a GPU that a worker needs, in [0, 1]: 0.25 has four on each, 0 none on any.
        address: of the cluster to join; by default Ray is started on this machine.
        dashboard: whether a started Ray has its dashboard.
        evaluator: makes what does the jobs on a worker.
        run: the run folder, after which Ray's dashboard names what is done.

    Raises:
        ValueError: if no cluster answers at that address, or there are no GPUs though a share of one is asked for.
    """
    demand = Demand(workers=workers, gpus_per_worker=gpus_per_worker)
    session = join_ray(address, workers=workers, dashboard=dashboard, run=run, apple_gpu=bool(gpus_per_worker))
    try:
        return RayBackend(session, setup, demand=demand, evaluator=evaluator)
    except BaseException:
        session.close()
        raise


class Worker:
    """One actor."""

    def __init__(
        self,
        setup: WorkerSetup,
        images: OfferedImages,
        evaluator: Callable[[WorkerSetup, torch.device], Evaluator],
        last_words: Path,
    ) -> None:
        self._last_words = note_crashes(last_words)
        keep_freed_memory()
        if setup.deterministic:
            compute_deterministically()
        images.have()
        self._workbench = evaluator(setup, worker_device())

    def where(self) -> str:
        """The name of its node and the beginning of its id, as the dashboard has it, once it is up."""
        return next((f"{node.name} {node.id[:ID_SHOWN]}" for node in nodes_up() if node.is_own), "")

    def run(self, group: Group, costs: CostTables, supernet: bytes, tell: Tell | None = None) -> list[Outcome]:
        """Do a job, or several together; whatever one raises comes back as its failure."""
        self._workbench.tell = tell
        return list(outcomes_of(self._workbench, group, costs, supernet))


def pretraining(
    setup: WorkerSetup, images: OfferedImages, settings: PretrainSettings, state: bytes | None
) -> Iterator[tuple[PretrainRecord, bytes] | None]:
    """Gives None when it has a place."""
    yield None
    keep_freed_memory()
    images.have()
    device = pretraining_device(deterministic=setup.deterministic, cores=cores_of_node())
    yield from pretraining_epochs(setup, settings, state, device)


_new_worker: Any = ray.remote(Worker)
_pretrain: Any = ray.remote(num_returns="streaming", max_retries=0)(pretraining)
