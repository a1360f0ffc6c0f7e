"""Runs trials of a search, keeps their results and tells of them; what generational and asynchronous searches share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from devices.cost_tables.cost_table import CostTable
from evaluation.work_folder import write_atomically
from moo import events
from moo.execution.backend import Backend
from moo.measurement.front import FrontMeasuring
from moo.search.artifacts import SearchFailedError
from moo.storage.archive import Entry
from moo.storage.pareto import hypervolume
from moo.storage.record import RunRecord
from moo.trials import (
    DeliveryFailure,
    DeliveryJob,
    DeliveryResult,
    Job,
    Objectives,
    Trial,
    TrialFailure,
    TrialResult,
)
from search_space.spaces import FBNetSpace

Learn = Callable[[Trial, Objectives | None], None]
"""Is told of the objectives of each trial, or None if it failed."""


class TrialRunner:
    """A backend whose results are kept, told of, and measured where they are on the front."""

    def __init__(
        self,
        backend: Backend,
        record: RunRecord,
        measuring: FrontMeasuring,
        space: FBNetSpace,
        supernet: bytes,
        tell: events.Listener,
        *,
        independent: bool,
    ) -> None:
        """Run trials of one search.

        Args:
            backend: where they run.
            record: of the run.
            measuring: its boards.
            space: that is searched.
            supernet: weights of the run's supernet, as safetensors.
            tell: is told of all that happens.
            independent: whether each trial trains a supernet of its own.
        """
        self._backend = backend
        self._record = record
        self._measuring = measuring
        self._space = space
        self._supernet = supernet
        self._tell = tell
        self._independent = independent
        self._front: tuple[Entry, ...] = ()

    def run(self, trials: Iterable[Trial], costs: CostTable, learn: Learn = lambda trial, objectives: None) -> None:
        """Run trials, and keep their results.

        Args:
            trials: taken one by one as workers are free.
            costs: what they are searched with.
            learn: is told of each before it is kept.
        """
        for outcome in self._outcomes(trials, costs, self._supernet):
            match outcome:
                case TrialResult():
                    learn(outcome.trial, outcome.objectives)
                    self._keep(outcome)
                case TrialFailure(trial, traceback):
                    learn(trial, None)
                    self._record.add_failure(trial, traceback)
                    self._tell(events.TrialFailed(trial, traceback))
            if self._measuring.collect():
                self.front_changed()

    def deliver(
        self, jobs: Iterable[DeliveryJob], costs: CostTable, supernet: bytes | None = None
    ) -> Iterator[DeliveryResult]:
        """Have networks handed out, with weights of the run's supernet unless others are given.

        Raises:
            SearchFailedError: if one cannot be handed out.
        """
        for outcome in self._outcomes(jobs, costs, self._supernet if supernet is None else supernet):
            match outcome:
                case DeliveryResult():
                    yield outcome
                case DeliveryFailure(_, traceback):
                    raise SearchFailedError(f"a network of the front could not be handed out.\n{traceback}")
            if self._measuring.collect():
                self.front_changed()

    def check_not_all_failed(self, generation: int, *, which: str, failed: bool) -> None:
        """End a search of which a whole generation failed; a resumed run tries its trials again.

        Raises:
            SearchFailedError: with the reason of the last failure, if `failed`.
        """
        if not failed:
            return
        trials = self._record.store.trials().values()
        reasons = [item.traceback for item in trials if item.trial.generation == generation and item.traceback]
        reason = reasons[-1].strip().splitlines()[-1:] if reasons else []
        self._record.forget_failures(generation)
        raise SearchFailedError(f"{which} failed; the last one with: {''.join(reason)}")

    def front_changed(self, added: Sequence[Entry] | None = None) -> None:
        """Tell of the front; of `added` alone, where nothing else came or changed since it was last told of."""
        archive = self._record.archive
        among = None
        if added is not None and not self._independent:
            among = {entry.architecture.id for entry in (*self._front, *added)}
        self._front = archive.inherited_front(among)
        costs = tuple(archive.costs(entry) for entry in self._front)
        points = [(entry.error, c.latency_ms, c.energy_mj) for entry, c in zip(self._front, costs, strict=True)]
        self._tell(
            events.FrontChanged(
                front=self._front,
                costs=costs,
                hypervolume=hypervolume(np.array(points).reshape(-1, 3), np.array(archive.reference_point)),
                evaluations=len(archive),
                trials=self._record.store.num_trials(),
            )
        )

    def _outcomes(
        self, jobs: Iterable[Job], costs: CostTable, supernet: bytes
    ) -> Iterator[TrialResult | TrialFailure | DeliveryResult | DeliveryFailure]:
        def on_start(job: Job) -> None:
            if not isinstance(job, DeliveryJob):
                self._tell(events.TrialStarted(job))

        return self._backend.run(jobs, costs, supernet, on_start)

    def _keep(self, result: TrialResult) -> None:
        if result.supernet is not None:
            write_atomically(self._record.folder.supernet_of(result.trial.id), result.supernet)
        entries, new = self._record.add_result(result, self._space)
        self._tell(events.TrialFinished(result, new))
        self.front_changed(entries)
        self._measuring.front_changed()
