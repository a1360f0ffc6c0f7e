"""How many workers there are at the same time, and what of a machine each has. Start with `Demand`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MOST_PRECISE = 10_000
"""Ray counts CPUs and GPUs in steps of 0.0001."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Demand:
    """What is asked for of CPUs and GPUs."""

    workers: int | None = None
    """Jobs at the same time, at most; None for as many as GPUs have room for, else one for each CPU core."""
    gpus_per_worker: float | None = None
    """The share of a GPU that a worker needs, in [0, 1]; 0 keeps all of them to the CPU. None for a whole one, or with
    a number of workers, what there is."""

    @property
    def uses_gpus(self) -> bool:
        """Whether workers have GPUs where there are any."""
        return self.gpus_per_worker != 0

    def check(self, gpus: int) -> None:
        """Check that GPUs are there where a share of them is asked for.

        Args:
            gpus: that Ray counts.

        Raises:
            ValueError: if there is none.
        """
        if self.gpus_per_worker and not gpus:
            raise ValueError(
                f"`--gpus-per-worker {self.gpus_per_worker:g}` must go with GPUs, but Ray counts none here: "
                "`--gpus-per-worker 0` computes on CPU cores, and other Ray clusters need `ray start --num-gpus`."
            )

    def workers_on(self, *, cpus: int, gpus: int, jobs: int | None = None) -> int:
        """Workers at the same time, as many on each GPU where there are more of them than GPUs.

        Ray fills a GPU before it takes the next: with 5 workers on 4 GPUs, half a GPU each, one GPU would have none.

        Args:
            cpus: cores that there are.
            gpus: GPUs that there are.
            jobs: that there are to be done, if that is known.
        """
        gpus = gpus if self.uses_gpus else 0
        room = gpus if self.gpus_per_worker is None else gpus * self._on_each
        workers = self.workers or room or cpus
        if room and self.gpus_per_worker is not None:
            workers = min(workers, room)
        if jobs is not None:
            workers = min(workers, jobs)
        if gpus and workers > gpus:
            workers -= workers % gpus
        return max(1, workers)

    def said_of(self, workers: int, gpus: int) -> str | None:
        """One line where there are fewer workers than asked for; else None.

        Args:
            workers: that there are.
            gpus: that there are.
        """
        if self.workers is None or workers >= self.workers:
            return None
        share = "" if self.gpus_per_worker is None else f" and --gpus-per-worker {self.gpus_per_worker:g}"
        return (
            f"{workers} workers at the same time instead of {self.workers}, as many on each GPU: "
            f"there are {gpus}{share}."
        )

    @property
    def _on_each(self) -> int:
        """Workers on a GPU."""
        return int(1 / (self.gpus_per_worker or 1) + 1e-6)


def resources(
    demand: Demand, workers: int, *, cpus: int, gpus: int, machines: Sequence[tuple[int, int]] = ()
) -> dict[str, Any]:
    """CPU cores and GPUs of each worker, as options of Ray: so much that all can run at once.

    Args:
        demand: what is asked for.
        workers: at the same time.
        cpus: cores of all machines.
        gpus: GPUs of all machines.
        machines: cores and GPUs of each one, as far as they are known; those of one machine may be fewer for its GPUs.
    """
    if not (demand.uses_gpus and gpus):
        return {"num_cpus": share(cpus, workers) or 1, "num_gpus": 0.0}
    on_each = math.ceil(workers / gpus)
    shares = [share(cores, own * on_each) for cores, own in machines if cores and own]
    return {"num_cpus": min(shares, default=share(cpus, workers)) or 1, "num_gpus": share(gpus, workers)}


def share(available: int, workers: int) -> float:
    """CPUs or GPUs of each worker: one, or where there are fewer than workers, so much that all can run at once.

    More would leave a worker, and the job that it was given, waiting for ever.
    """
    if not available:
        return 0.0
    return math.floor(MOST_PRECISE / math.ceil(workers / available)) / MOST_PRECISE
