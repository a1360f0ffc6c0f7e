"""Networks trained under Ray, a task each."""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import ray
import torch

from evaluation.splits import Splits
from evaluation.training.allocator import keep_freed_memory
from evaluation.training.job import StepDone, TrainEvent, TrainFailure, TrainJob, train
from moo.execution.ray_pool import POLL_SECONDS, RaySession, join_ray, share, worker_device

STEP_SECONDS = 0.5
"""A training tells of its steps no more often."""


class RayTrainer:
    """Trains networks on the CPUs or GPUs of a machine or a cluster; implements `moo.execution.backend.Trainer`."""

    def __init__(self, session: RaySession, splits: Any, *, workers: int, threads: int | None) -> None:
        """Use a Ray that runs; `start_ray_trainer` starts one.

        Args:
            session: of that Ray; it ends with `close`.
            splits: reference to the images that all networks are trained on, in the object store.
            workers: networks at the same time.
            threads: CPU threads of each; by default the cores of a machine are shared out.
        """
        self.dashboard_url = session.dashboard_url
        self.workers = workers
        self._session = session
        machines = session.cpus_by_machine
        on_each = -(-workers // len(machines))
        self.threads = threads or max(1, max(machines) // on_each)
        # As many cores as threads, so that trainings spread over machines; less where all could not run at once.
        fits = self.threads * on_each <= min(machines)
        self._options = {
            "num_cpus": self.threads if fits else share(session.cpus, workers),
            "num_gpus": share(session.gpus, workers),
        }
        self._splits = splits
        self._running: dict[Any, str] = {}

    def train(self, jobs: Sequence[tuple[TrainJob, bytes | None]]) -> Iterator[tuple[str, TrainEvent | TrainFailure]]:
        """See `moo.execution.backend.Trainer.train`; a worker that dies fails its training, which can be resumed."""
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
        self._session.close()


def start_ray_trainer(
    splits: Splits,
    *,
    networks: int,
    workers: int | None = None,
    threads: int | None = None,
    address: str | None = None,
    dashboard: bool = True,
) -> RayTrainer:
    """Start Ray, or join a cluster; the caller closes what is returned.

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
    session = join_ray(address, workers=workers, dashboard=dashboard)
    workers = max(1, min(networks, workers or session.gpus or session.cpus))
    return RayTrainer(session, ray.put(splits), workers=workers, threads=threads)


def _training_task(
    job: TrainJob, splits: Splits, state: bytes | None, threads: int
) -> Iterator[TrainEvent | TrainFailure]:
    keep_freed_memory()
    torch.set_num_threads(threads)
    told = 0.0
    try:
        for event in train(job, splits, state=state, device=worker_device()):
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
