"""Ray started once, and a pool of actors that outlives those that die."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import traceback
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch

from moo.trials import Job, Outcome, failure_of
from search_space.boundary.text import reason_of

POLL_SECONDS = 0.2
RAY_ENVIRONMENT = {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_USAGE_STATS_ENABLED": "0"}
"""Workers without a GPU still see those of the machine; nothing is reported to Ray's makers."""
TRIES = 2
"""A job is given up when so many workers have died of it: a second one shows that it was not the machine."""


class ActorPool:
    """Actors, kept from one run of jobs to the next."""

    def __init__(self, new_actor: Callable[[], Any], size: int) -> None:
        self.size = size
        self.idle: deque[Any] = deque()
        self.starting: dict[Any, tuple[Any, bool]] = {}
        """Actors that have not answered yet, and whether they are new, by what is there when they do."""
        self.is_in_use = False
        """Whether a run of jobs has begun and not ended."""
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


class PoolRun:
    """One run of jobs: those that were taken, and who does them."""

    def __init__(
        self, pool: ActorPool, jobs: Iterable[Job], inputs: tuple[Any, Any], on_start: Callable[[Job], None]
    ) -> None:
        self._pool = pool
        self._jobs = iter(jobs)
        self._inputs = inputs
        self._on_start = on_start
        self._taken: deque[Job] = deque()
        self._running: dict[Any, tuple[Any, Job]] = {}
        self._deaths: Counter[Job] = Counter()

    def outcomes(self) -> Iterator[Outcome]:
        """All of them, as they come; actors that are still at work when nobody wants more are stopped."""
        self._pool.is_in_use = True
        try:
            self._employ()
            while self._running or self._taken:
                references = [*self._running, *self._pool.starting]
                ray.wait(references, num_returns=1, timeout=POLL_SECONDS)
                ready, _ = ray.wait(references, num_returns=len(references), timeout=0)
                outcomes = [outcome for reference in ready for outcome in self._collect(reference)]
                self._employ()
                yield from outcomes
        finally:
            for actor, _ in self._running.values():
                self._pool.dismiss(actor)
            self._pool.is_in_use = False

    def _take(self) -> bool:
        job = next(self._jobs, None)
        if job is None:
            return False
        self._on_start(job)
        self._taken.append(job)
        return True

    def _employ(self) -> None:
        """Give jobs to idle actors, and start as many more as there are jobs for."""
        pool = self._pool
        while pool.idle and (self._taken or self._take()):
            actor, job = pool.idle.popleft(), self._taken.popleft()
            self._running[actor.run.remote(job, *self._inputs)] = (actor, job)
        while len(self._running) + len(pool.starting) < pool.size:
            if len(pool.starting) >= len(self._taken) and not self._take():
                return
            pool.start()

    def _collect(self, reference: Any) -> list[Outcome]:
        """Let an actor be idle; returns the outcome, unless it only came up, or died and its job waits again."""
        job: Job | None = None
        if reference in self._running:
            (actor, job), is_new = self._running.pop(reference), False
        else:
            actor, is_new = self._pool.starting.pop(reference)
        try:
            outcome = ray.get(reference)
        except ray.exceptions.RayError:
            self._pool.dismiss(actor)
            self._pool.check_idle()
            if is_new and self._taken:
                job = self._taken.popleft()
            if job is None:
                return []
            self._deaths[job] += 1
            if self._deaths[job] == TRIES:
                return [failure_of(job, f"The worker died.\n{traceback.format_exc()}")]
            self._taken.appendleft(job)
            return []
        self._pool.idle.append(actor)
        return [] if job is None else [outcome]


def share(available: int, workers: int) -> float:
    """CPUs or GPUs of each worker: one, or where there are fewer than workers, so much that all can run at once.

    More would leave a worker, and the job that it was given, waiting for ever. Ray counts in steps of 0.0001.
    """
    if not available:
        return 0.0
    return math.floor(10_000 / math.ceil(workers / available)) / 10_000


@dataclass(frozen=True)
class RaySession:
    """A Ray that was started here, or joined."""

    is_own: bool
    """Whether it was started here, and ends with `close`."""
    dashboard_url: str | None
    """Address of the dashboard of a Ray that was started here, if it has one."""

    @property
    def cpus(self) -> int:
        """CPU cores of the whole cluster."""
        return int(ray.cluster_resources().get("CPU", 0))

    @property
    def gpus(self) -> int:
        """GPUs of the whole cluster."""
        return int(ray.cluster_resources().get("GPU", 0))

    @property
    def cpus_by_machine(self) -> list[int]:
        """CPU cores of each machine that is up."""
        return [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]

    def close(self) -> None:
        """End Ray if it was started here."""
        if self.is_own:
            ray.shutdown()


def join_ray(address: str | None, *, workers: int | None, dashboard: bool) -> RaySession:
    """Join the Ray that this process has already, else the cluster at an address, else start Ray on this machine.

    Args:
        address: of a cluster; None starts Ray on this machine.
        workers: jobs at the same time; a started Ray counts as many cores, if there are fewer.
        dashboard: whether a started Ray has its dashboard.

    Raises:
        ValueError: if no cluster answers at that address.
    """
    if ray.is_initialized():
        return RaySession(is_own=False, dashboard_url=None)
    for name, value in RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
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
        reason = reason_of(error, most=200)
        raise ValueError(f"`--address` must be that of a running Ray cluster, but got {address!r}: {reason}") from None
    if address is None:
        _keep_token_private()
    return RaySession(is_own=True, dashboard_url=f"http://{context.dashboard_url}" if context.dashboard_url else None)


def _keep_token_private() -> None:
    """Let nobody else read the token that a started Ray asks for: who has it may run programs in its workers."""
    with contextlib.suppress(OSError):
        handle = os.open(Path.home() / ".ray" / "auth_token", os.O_RDONLY | os.O_NOFOLLOW)
        try:
            os.fchmod(handle, 0o600)
        finally:
            os.close(handle)


def worker_device() -> torch.device:
    """The GPU that Ray gave this worker, else the CPU."""
    return torch.device("cuda" if ray.get_gpu_ids() and torch.cuda.is_available() else "cpu")
