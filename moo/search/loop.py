"""The whole job: cost table, pre-training, NSGA-II over coefficients, measuring, the front. Start with `run_search`.

The order of things, and what is in the store when, is such that a run killed at any instant can be resumed.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import numpy as np

from evaluation.work_folder import lock_folder, write_atomically
from moo import events
from moo.algorithms.base import Proposal
from moo.config import SearchConfig
from moo.execution.backend import Backend
from moo.measurement.front import FrontMeasuring
from moo.measurement.queue import Measurer
from moo.search.artifacts import SearchFailedError, generation_cost_table, run_cost_table, started, supernet_weights
from moo.search.clock import Clock
from moo.search.outputs import onnx_model, write_front
from moo.search.preparation import Preparation
from moo.search.proposals import (
    expected_jobs,
    generation_size,
    job_of,
    proposal_of,
    proposer_of,
    read_choices,
    steered,
    supernet_generations,
    tell,
    write_choices,
)
from moo.storage.archive import Archive, Entry, reference_point_of
from moo.storage.pareto import hypervolume
from moo.storage.store import Store, entries_of
from moo.trials import (
    ArchitectureJob,
    DeliveryJob,
    DeliveryResult,
    Job,
    JobFailure,
    Objectives,
    SearchJob,
    SearchResult,
    TupleJob,
)
from search_space.architectures import operator_indices

Learn = Callable[[SearchJob, Objectives | None], None]


def run_search(preparation: Preparation, backend: Backend, listener: events.Listener) -> Archive:
    """Run or resume a search to its end, and write everything but pictures and report.

    Args:
        preparation: checked inputs.
        backend: where inner searches run.
        listener: is told of everything that happens.

    Returns:
        The archive; its front is measured, if anything is.

    Raises:
        SearchFailedError: if the board failed while it was profiled, or every tuple of a generation failed.
    """
    search = _Search(preparation, backend, listener)
    try:
        search.find()
        return search.hand_over()
    finally:
        search.close()


def find_front(preparation: Preparation, backend: Backend, listener: events.Listener) -> Archive:
    """The same without measuring the final front and handing it out: for comparing searches."""
    search = _Search(preparation, backend, listener)
    try:
        return search.find()
    finally:
        search.close()


class _Search:
    def __init__(self, preparation: Preparation, backend: Backend, listener: events.Listener) -> None:
        self._preparation = preparation
        self._config: SearchConfig = preparation.config
        self._space = preparation.space
        self._folder = preparation.folder
        self._backend = backend
        self._tell = listener
        self._start = time.monotonic()
        self._lock = lock_folder(self._folder.path)
        if not preparation.resumed:
            self._folder.write_config(self._config, preparation.origin)
        self._store = Store(self._folder.store)
        devices = preparation.boards.devices
        self._measurer = Measurer(devices, names=self._config.boards) if devices else None
        self._delivered: dict[str, DeliveryResult] = {}
        self._front: tuple[Entry, ...] = ()

    def find(self) -> Archive:
        self._store.add_event("resumed" if self._preparation.resumed else "started")
        self._tell(started(self._preparation, self._backend.dashboard_url))
        self._costs = run_cost_table(self._preparation, self._tell)
        reference_point = reference_point_of(self._costs, len(self._preparation.splits.class_names))
        self._archive = Archive(reference_point, precision=self._config.precision)
        self._store.fill(self._archive, self._space)
        self._measuring = FrontMeasuring(
            self._measurer,
            self._archive,
            self._store,
            self._space,
            self._costs,
            self._tell,
            patience_seconds=self._config.board_patience,
        )
        self._supernet = supernet_weights(self._preparation, self._backend, self._tell)
        self._search()
        return self._archive

    def hand_over(self) -> Archive:
        self._measure_final_front()
        origin = self._preparation.origin
        write_front(self._folder, self._archive, self._space, self._delivered, origin, dataset=self._config.dataset)
        seconds = time.monotonic() - self._start
        self._store.add_event("finished", seconds=seconds)
        self._tell(events.RunFinished(str(self._folder.path), seconds))
        return self._archive

    def close(self) -> None:
        if self._measurer is not None:
            self._measurer.close()
        self._store.close()
        self._lock.close()

    def _search(self) -> None:
        """All generations, or without them, until enough was tried or the time is over."""
        seconds = None if self._config.minutes is None else 60 * self._config.minutes
        self._store.add_event("searching")
        self._clock = Clock(seconds, used=self._store.seconds_searched())
        try:
            if self._config.asynchronous:
                self._search_asynchronously()
            else:
                self._search_in_generations()
        finally:
            self._store.add_event("searched", seconds=self._clock.seconds)

    def _search_in_generations(self) -> None:
        """Jobs that are in the store already are not done again."""
        config, size, first = self._config, generation_size(self._config), 0
        proposer = proposer_of(config, self._space)
        for generation in itertools.count() if config.minutes else range(config.generations):
            if generation:
                self._costs = generation_cost_table(self._folder, generation, self._measuring.table)
            is_steered = generation >= supernet_generations(config)
            proposals = self._steered(first) if is_steered else proposer.ask(size)
            if not proposals:
                self._store.add_event("converged", generation=generation)
                return
            jobs = [
                job_of(proposal, number=number, generation=generation)
                for number, proposal in enumerate(proposals, start=first)
            ]
            first += len(jobs)
            stored = self._store.tuples()
            if any(job.id in stored and stored[job.id].job != job for job in jobs):
                raise SearchFailedError(
                    f"generation {generation + 1} in {self._folder.store} is not the one that these settings give; "
                    "was it made with another version of pymoo?"
                )
            waiting: list[Job] = [job for job in jobs if job.id not in stored]
            self._tell(events.GenerationStarted(generation + 1, len(jobs), len(jobs) - len(waiting)))
            self._front_changed()
            self._run(itertools.takewhile(lambda _: not self._clock.is_over, waiting))
            stored = self._store.tuples()
            outcomes = [(proposal_of(job), stored[job.id].objectives) for job in jobs if job.id in stored]
            if outcomes and all(objectives is None for _, objectives in outcomes):
                raise self._all_failed(generation, f"every tuple of generation {generation + 1}")
            if len(outcomes) == len(jobs) and not is_steered:
                proposer.tell(outcomes)
            self._measuring.between_generations(f"generation {generation + 1}")
            self._front_changed()
            if self._clock.is_over:
                return

    def _search_asynchronously(self) -> None:
        """A free worker gets a new job at once; this machine's own board measures when all are done."""
        config = self._config
        total = None if config.minutes else expected_jobs(config)
        stored = self._store.tuples_as_they_ended()
        start = 1 + max((item.job.id for item in stored), default=-1)
        proposer = proposer_of(config, self._space, start=start)
        for item in stored:
            tell(proposer, item.job, item.objectives)
        failures = 0
        chosen: deque[Proposal] = deque()

        def proposed(number: int) -> Proposal | None:
            if number < supernet_generations(config) * generation_size(config) or len(self._archive) < 2:
                return next(iter(proposer.ask(1)), None)
            if not chosen:
                chosen.extend(self._steered(number))
            return chosen.popleft() if chosen else None

        def jobs() -> Iterator[Job]:
            for number in itertools.count(start):
                if self._clock.is_over or len(stored) + number - start == total or failures >= config.population:
                    return
                proposal = proposed(number)
                if proposal is None:
                    self._store.add_event("converged", job=number)
                    return
                yield job_of(proposal, number=number, generation=0)

        def learn(job: SearchJob, objectives: Objectives | None) -> None:
            nonlocal failures
            failures = 0 if objectives is not None else failures + 1
            tell(proposer, job, objectives)

        self._tell(events.GenerationStarted(1, total or 0, len(stored)))
        self._front_changed()
        self._run(jobs(), learn)
        if failures >= config.population:
            raise self._all_failed(0, f"{failures} tuples one after another")
        self._measuring.between_generations("asynchronous")
        self._front_changed()

    def _steered(self, first: int) -> list[Proposal]:
        """What the search on a surrogate proposes; it is kept, so that a resumed run goes on with the same."""
        path = self._folder.steered(first)
        if path.exists():
            return list(read_choices(path))
        choices = steered(self._config, self._space, self._archive, self._costs, before=first)
        write_choices(path, choices)
        return list(choices)

    def _all_failed(self, generation: int, which: str) -> SearchFailedError:
        failed = [
            item for item in self._store.tuples().values() if item.job.generation == generation and item.traceback
        ]
        reason = (failed[-1].traceback or "").strip().splitlines()[-1:]
        self._store.forget_failures(generation)
        return SearchFailedError(f"{which} failed; the last one with: {''.join(reason)}")

    def _run(self, jobs: Iterable[Job], learn: Learn = lambda job, objectives: None, *, supernet: bytes = b"") -> None:
        """Run jobs, and keep what comes of them.

        Args:
            jobs: taken one by one as workers are free.
            learn: is told of each search job's objectives, or None if it failed.
            supernet: weights to use instead of the run's own.
        """

        def on_start(job: Job) -> None:
            if not isinstance(job, DeliveryJob):
                self._tell(events.JobStarted(job))

        for outcome in self._backend.run(jobs, self._costs, supernet or self._supernet, on_start):
            match outcome:
                case SearchResult(job=job):
                    chosen = outcome.architectures[outcome.chosen]
                    learn(job, (chosen.error, chosen.latency_ms, chosen.energy_mj))
                    self._keep(outcome)
                case DeliveryResult():
                    self._keep_delivery(outcome)
                case JobFailure(job=DeliveryJob()):
                    raise SearchFailedError(f"a network of the front could not be handed out.\n{outcome.traceback}")
                case JobFailure(job=TupleJob() | ArchitectureJob() as job):
                    learn(job, None)
                    self._store.add_failure(job, outcome.traceback)
                    self._tell(events.JobFailed(job, outcome.traceback))
            if self._measuring.collect():
                self._front_changed()

    def _keep(self, result: SearchResult) -> None:
        if result.supernet is not None:
            write_atomically(self._folder.supernet_of(result.job.id), result.supernet)
        self._store.add_result(result, self._space)
        entries = entries_of(result, self._space)
        new = sum(self._archive.add(entry) for entry in entries)
        self._tell(events.JobDone(result, new))
        self._front_changed(entries)
        self._measuring.front_changed()

    def _keep_delivery(self, result: DeliveryResult) -> None:
        entry = next(
            entry
            for entry in self._archive.entries
            if operator_indices(self._space, entry.architecture) == result.job.indices
        )
        identifier = entry.architecture.id
        self._delivered[identifier] = result
        self._store.set_test_error(identifier, result.test_error)
        self._archive.set_test_error(identifier, result.test_error)

    def _measure_final_front(self) -> None:
        """Until nothing changes: measure the front, hand out its networks, and measure the very files handed out."""
        for number in itertools.count(1):
            requested = self._measuring.request_front_at(f"end {number}")
            if self._measuring.drain() or requested:
                continue
            entries = [
                entry for entry in self._archive.inherited_front() if entry.architecture.id not in self._delivered
            ]
            if not entries:
                return
            self._tell(events.StageProgress("delivering", 0, len(entries)))
            self._deliver(entries)
            self._tell(events.StageProgress("delivering", len(entries), len(entries)))
            self._measuring.measure_files(
                (
                    entry.architecture.id,
                    partial(onnx_model, self._space, entry, self._delivered[entry.architecture.id].weights),
                )
                for entry in entries
            )
            self._front_changed()

    def _deliver(self, entries: Sequence[Entry]) -> None:
        """Have networks handed out, each with the weights that it was evaluated with."""
        jobs = [DeliveryJob(operator_indices(self._space, entry.architecture)) for entry in entries]
        if not self._config.independent:
            self._run(jobs)
            return
        for entry, job in zip(entries, jobs, strict=True):
            self._run([job], supernet=self._folder.supernet_of(entry.tuple_id).read_bytes())

    def _front_changed(self, added: Sequence[Entry] | None = None) -> None:
        """Tell of the front; of `added` alone, where nothing else came or changed since it was last told of."""
        archive = self._archive
        among = None
        if added is not None and not self._config.independent:
            among = {entry.architecture.id for entry in (*self._front, *added)}
        self._front = archive.inherited_front(among)
        costs = tuple(archive.costs(entry) for entry in self._front)
        points = [(entry.error, c.latency_ms, c.energy_mj) for entry, c in zip(self._front, costs, strict=True)]
        volume = hypervolume(np.array(points).reshape(-1, 3), np.array(archive.reference_point))
        self._tell(events.FrontChanged(self._front, costs, volume, len(archive), self._store.num_tuples()))
