"""Runs trials of a search, keeps their results and tells of them; what generational and asynchronous searches share."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import numpy as np

from devices.cost_tables.family import CostTables
from moo import events
from moo.analysis.errors import error_kind
from moo.execution.backend import Backend
from moo.execution.machinery import MachineryError
from moo.execution.news import WorkerNews
from moo.measurement.front import FrontMeasuring
from moo.search.artifacts import SearchFailedError
from moo.storage.archive import Entry, OperatingPoint, objectives_of
from moo.storage.pareto import hypervolume
from moo.storage.record import RunRecord
from moo.trials import (
    ArchitectureTrial,
    CoefficientTrial,
    DeliveryFailure,
    DeliveryJob,
    DeliveryResult,
    Failure,
    Indices,
    Job,
    Objectives,
    Outcome,
    QuantizationFailure,
    QuantizationJob,
    QuantizationResult,
    Trial,
    TrialFailure,
    TrialResult,
    named,
)
from search_space.architectures import architecture_from_indices, operator_indices
from search_space.boundary.sealing import sealed_tensors
from search_space.boundary.text import last_line
from search_space.boundary.writing import write_atomically
from search_space.spaces import FBNetSpace

MOST_LOST = 3
"""Jobs whose workers died time and again, after which a search does not go on to its next ones."""
Learn = Callable[[Trial, Objectives | None, float], None]
"""Is told of the objectives of each trial, or None if it failed, and by how much it exceeds the limits of the run."""


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
        backend.watch = self._watched
        self._record = record
        self._measuring = measuring
        self._space = space
        self._supernet = supernet
        self._tell = tell
        self._independent = independent
        self._not_quantized: set[str] = set()
        self._front: tuple[OperatingPoint, ...] | None = None
        """That was told of last, and whose hypervolume is the next."""
        self._hypervolume = 0.0

    def _watched(self, news: WorkerNews | None) -> None:
        """Tell what workers do, and now and then, while they are at it, what happens to the boards."""
        if news is not None:
            self._tell(news)
        self._measuring.tell_of_boards()

    def run(
        self, trials: Iterable[Trial], costs: CostTables, learn: Learn = lambda trial, objectives, violation: None
    ) -> None:
        """Run trials, and keep their results.

        Args:
            trials: taken one by one as workers are free.
            costs: what they are searched with, with energy above idle.
            learn: is told of each once it is kept.

        Raises:
            MachineryError: if what runs them died; what has no result is still to be done.
        """
        for outcome in self._outcomes(trials, costs, self._supernet):
            match outcome:
                case TrialResult():
                    chosen = outcome.architectures[outcome.chosen]
                    limits = self._record.archive.limits
                    violation = limits.violation(chosen.latency_ms, chosen.energy_mj, chosen.params)
                    self._keep(outcome)
                    learn(outcome.trial, outcome.objectives, violation)
                case TrialFailure(trial, traceback):
                    self._record.add_failure(trial, traceback)
                    self._tell(events.TrialFailed(trial, traceback))
                    learn(trial, None, 0.0)
            if self._measuring.collect():
                self.front_changed()

    def deliver(
        self, entries: Sequence[Entry], costs: CostTables, *, in_int8: Collection[str]
    ) -> Iterator[tuple[Entry, DeliveryResult]]:
        """Have networks handed out, each with the weights that it was evaluated with.

        Args:
            entries: of the archive.
            costs: as for `run`.
            in_int8: ids of those whose int8 file is handed out, too.

        Raises:
            SearchFailedError: if one cannot be handed out.
        """
        by_indices = self._by_indices(entries)
        for group, supernet in self._by_supernet(by_indices):
            jobs = [DeliveryJob(indices, by_indices[indices].architecture.id in in_int8) for indices in group]
            for outcome in self._outcomes(jobs, costs, supernet):
                match outcome:
                    case DeliveryResult():
                        yield by_indices[outcome.job.indices], outcome
                    case DeliveryFailure(_, traceback):
                        raise SearchFailedError(f"a network of the front could not be handed out.\n{traceback}")
                if self._measuring.collect():
                    self.front_changed()

    def evaluate_some_in_int8(self, costs: CostTables, *, stage: str, most: int) -> None:
        """Evaluate some networks in int8 that would be on the front if it cost them no accuracy.

        Which is noted in the store: a run that is killed meanwhile goes on with the very same networks.

        Args:
            costs: as for `run`.
            stage: of the run.
            most: how many at most; the rest follows at the end.
        """
        if self._evaluate_chosen_in_int8(costs, stage=stage, most=most):
            self.front_changed()

    def evaluate_in_int8(self, costs: CostTables, *, stage: str) -> bool:
        """The same for all of them, until there are no more.

        Args:
            costs: as for `run`.
            stage: of the run.

        Returns:
            Whether there were any.
        """
        for number in itertools.count(1):
            if not self._evaluate_chosen_in_int8(costs, stage=f"{stage}, {number}", most=None):
                break
        if number > 1:
            self.front_changed()
        return number > 1

    def _evaluate_chosen_in_int8(self, costs: CostTables, *, stage: str, most: int | None) -> bool:
        """Evaluate the networks that are chosen now, or were at this stage before; returns whether there are any."""
        archive = self._record.archive
        if all(configuration.precision != "int8" for configuration in archive.configurations):
            return False
        chosen = self._record.store.networks_in_int8(stage)
        if chosen is None:
            wanted = [entry.architecture.id for entry in archive.unquantized()]
            chosen = [identifier for identifier in wanted if identifier not in self._not_quantized][:most]
            self._record.add_networks_in_int8(stage, chosen)
        waiting = [archive[identifier] for identifier in chosen if archive[identifier].quantized_error is None]
        if waiting:
            self._quantize(waiting, costs)
        return bool(chosen)

    def _quantize(self, entries: Sequence[Entry], costs: CostTables) -> None:
        by_indices = self._by_indices(entries)
        done = 0
        for group, supernet in self._by_supernet(by_indices):
            for outcome in self._outcomes([QuantizationJob(indices) for indices in group], costs, supernet):
                done += 1
                match outcome:
                    case QuantizationResult(job, error):
                        identifier = by_indices[job.indices].architecture.id
                        self._record.set_quantized_error(identifier, error)
                    case QuantizationFailure(job, traceback):
                        identifier = by_indices[job.indices].architecture.id
                        self._not_quantized.add(identifier)
                        self._record.add_event("quantisation failed", architecture=identifier, traceback=traceback)
                self._tell(events.StageProgress("evaluating in int8", done, len(entries)))

    def _by_indices(self, entries: Sequence[Entry]) -> dict[Indices, Entry]:
        return {operator_indices(self._space, entry.architecture): entry for entry in entries}

    def _by_supernet(self, by_indices: dict[Indices, Entry]) -> Iterator[tuple[list[Indices], bytes]]:
        """Architectures with the supernet that each was evaluated with."""
        if not self._independent:
            yield list(by_indices), self._supernet
            return
        for indices, entry in by_indices.items():
            weights = self._record.folder.read_supernet(entry.trial_id)
            self._record.check_used(self._record.folder.supernet_of(entry.trial_id))
            yield [indices], weights

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

    def front_changed(self) -> None:
        """Tell of the front."""
        archive = self._record.archive
        front = archive.inherited_front()
        if front is not self._front:
            self._front = front
            self._hypervolume = hypervolume(objectives_of(front), np.array(archive.reference_point))
        self._tell(
            events.FrontChanged(
                front=front,
                hypervolume=self._hypervolume,
                evaluations=len(archive),
                trials=self._record.store.num_trials(),
                error=error_kind(archive.data),
            )
        )

    def _outcomes(self, jobs: Iterable[Job], costs: CostTables, supernet: bytes) -> Iterator[Outcome]:
        def on_start(job: Job) -> None:
            if isinstance(job, CoefficientTrial | ArchitectureTrial):
                proposed = self._id_of(job.indices) if isinstance(job, ArchitectureTrial) else None
                self._tell(events.TrialStarted(job, proposed))

        lost: list[str] = []
        energy = self._record.archive.energy
        for outcome in self._backend.run(jobs, costs.mapped(energy.table), supernet, on_start):
            if not (isinstance(outcome, Failure) and outcome.died):
                yield outcome
                continue
            name = named(outcome.trial) if isinstance(outcome, TrialFailure) else "a network of the front"
            self._record.add_event("put off", job=name, traceback=outcome.traceback)
            lost.append(f"{name} is still to be done: {last_line(outcome.traceback).rstrip('.')}")
            if len(lost) == MOST_LOST:
                break
        if lost:
            raise MachineryError(f"{'; '.join(lost)}. Have more memory or disk free, or fewer --workers.")

    def _keep(self, result: TrialResult) -> None:
        if result.supernet is not None:
            write_atomically(self._record.folder.supernet_of(result.trial.id), sealed_tensors(result.supernet))
        new = self._record.add_result(result, self._space)
        if result.supernet is not None:
            self._record.check_used(self._record.folder.supernet_of(result.trial.id))
        chosen = self._id_of(result.architectures[result.chosen].indices)
        self._tell(events.TrialFinished(result, new, chosen))
        self.front_changed()
        self._measuring.front_changed()

    def _id_of(self, indices: Indices) -> str:
        return architecture_from_indices(self._space, indices).id
