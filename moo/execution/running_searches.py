"""How far inner searches under Ray are, by what workers tell of them: nothing waits for that, and nothing fails by it.

Start with `RunningSearches`, the side of the process that runs the jobs; `Telling` is that of a worker.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import ray

from moo.execution.collector import LONGEST_MESSAGE, Collector
from moo.execution.news import InnerSearchProgress
from moo.trials import CoefficientTrial, Job

MOST_PENDING = 8
"""Messages of a worker on their way to the collector; more are dropped."""
RESTARTS = 3
"""Of a collector that died; then there is none."""


@dataclass(frozen=True)
class Telling:
    """Tells the collector how far a job is; what it does not take is lost."""

    collector: Any
    turn: int
    """Number of this try of the job."""

    def __call__(self, progress: InnerSearchProgress) -> None:
        """Hand it on, without waiting."""
        message = pickle.dumps((self.turn, progress))
        if len(message) > LONGEST_MESSAGE:
            return
        try:
            self.collector.put.remote(message)
        except Exception:
            # Too many on their way, or no collector any more: no reason for a job to fail.
            return


class RunningSearches:
    """Jobs that are being done, and what their workers tell.

    What comes late, of a try that has ended or whose worker died, is dropped: all that is told of a job comes before
    its end, and of its last try alone.
    """

    def __init__(self, new_collector: Callable[[], Any] | None = None) -> None:
        """Start no collector yet: only inner searches need one.

        Args:
            new_collector: starts one; without it nothing is told.
        """
        self._new_collector = new_collector
        self._collector: Any = None
        self._fetching: Any = None
        self._turn = 0
        self._turns: dict[Job, int] = {}

    def begin(self, *jobs: Job) -> Telling | None:
        """Give a try of a job, or of several together, what it tells by; None where there is nothing to tell."""
        trials = [job for job in jobs if isinstance(job, CoefficientTrial)]
        if self._new_collector is None or not trials:
            return None
        if self._collector is None:
            self._collector = self._new_collector()
        self._turn += 1
        self._turns.update(dict.fromkeys(trials, self._turn))
        return Telling(self._collector, self._turn)

    def end(self, *jobs: Job) -> None:
        """A try of jobs has ended, whichever way."""
        for job in jobs:
            self._turns.pop(job, None)

    def news(self) -> Iterator[InnerSearchProgress]:
        """What has come of the tries that go on; asks for more, and waits for nothing."""
        messages: list[bytes] = []
        try:
            if self._fetching is not None and ray.wait([self._fetching], timeout=0)[0]:
                fetched, self._fetching = self._fetching, None
                messages = ray.get(fetched)
            if self._fetching is None and self._turns:
                self._fetching = self._collector.fetch.remote()
        except ray.exceptions.RayError:
            # The collector died; one that is there again answers the next time.
            self._fetching = None
        for message in messages:
            turn, progress = pickle.loads(message)
            if self._turns.get(progress.trial) == turn:
                yield progress

    def close(self) -> None:
        """Stop the collector, if there is one."""
        if self._collector is not None:
            ray.kill(self._collector)
        self.forget()

    def forget(self) -> None:
        """Know of no collector any more: it died with Ray."""
        self._collector = self._fetching = None
        self._turns.clear()


new_collector: Any = ray.remote(num_cpus=0, max_restarts=RESTARTS, max_pending_calls=MOST_PENDING)(Collector)
"""An actor; a call of it beyond `MOST_PENDING` of one process fails at once."""
