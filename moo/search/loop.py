"""The whole job: cost table, pre-training, trials, measuring, the front. Start with `run_search`.

The order of things, and what is in the store when, is such that a run killed at any instant can be resumed.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from functools import partial

from devices.cost_tables.cost_table import CostTable
from evaluation.work_folder import lock_folder
from moo import events
from moo.algorithms.base import Proposal
from moo.execution.backend import Backend
from moo.measurement.front import FrontMeasuring, corrected_table
from moo.measurement.queue import Measurer
from moo.search.artifacts import run_cost_table, started, supernet_weights
from moo.search.asynchronous import search_asynchronously
from moo.search.clock import Clock
from moo.search.generational import search_in_generations
from moo.search.outputs import onnx_model, write_front
from moo.search.preparation import Preparation
from moo.search.proposals import kept_proposals
from moo.search.trial_runner import TrialRunner
from moo.storage.archive import Archive, Entry, reference_point_of
from moo.storage.record import open_record
from moo.trials import DeliveryJob, DeliveryResult
from search_space.architectures import operator_indices


def run_search(preparation: Preparation, backend: Backend, listener: events.Listener) -> Archive:
    """Run or resume a search to its end, and write everything but pictures and report.

    Args:
        preparation: checked inputs.
        backend: where trials run.
        listener: is told of everything that happens.

    Returns:
        The archive; its front is measured, if anything is.

    Raises:
        SearchFailedError: if the board failed while it was profiled, or every trial of a generation failed.
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
        self._config = preparation.config
        self._space = preparation.space
        self._folder = preparation.folder
        self._backend = backend
        self._tell = listener
        self._start = time.monotonic()
        self._lock = lock_folder(self._folder.path)
        if not preparation.resumed:
            self._folder.write_config(self._config, preparation.origin)
        self._record = open_record(self._folder)
        devices = preparation.boards.devices
        self._measurer = Measurer(devices, names=self._config.boards) if devices else None
        self._delivered: dict[str, DeliveryResult] = {}

    def find(self) -> Archive:
        record, config, space = self._record, self._config, self._space
        record.add_event("resumed" if self._preparation.resumed else "started")
        self._tell(started(self._preparation, self._backend.dashboard_url))
        self._costs = run_cost_table(self._preparation, self._tell)
        reference_point = reference_point_of(self._costs, len(self._preparation.splits.class_names))
        archive = record.load_archive(space, reference_point, precision=config.precision)
        record.use_table(corrected_table(self._costs, archive.entries, space))
        self._measuring = FrontMeasuring(
            self._measurer,
            record,
            space,
            self._costs,
            self._tell,
            configuration=config.configuration,
            patience_seconds=config.board_patience,
        )
        supernet = supernet_weights(self._preparation, self._backend, self._tell)
        self._runner = TrialRunner(
            self._backend, record, self._measuring, space, supernet, self._tell, independent=config.independent
        )
        self._search()
        return archive

    def hand_over(self) -> Archive:
        archive, origin = self._record.archive, self._preparation.origin
        self._measure_final_front()
        write_front(self._folder, archive, self._space, self._delivered, origin, dataset=self._config.dataset)
        seconds = time.monotonic() - self._start
        self._record.add_event("finished", seconds=seconds)
        self._tell(events.RunFinished(str(self._folder.path), seconds))
        return archive

    def close(self) -> None:
        if self._measurer is not None:
            self._measurer.close()
        self._record.close()
        self._lock.close()

    def _search(self) -> None:
        """All generations, or without them, until enough was tried or the time is over."""
        config, record = self._config, self._record
        seconds = None if config.minutes is None else 60 * config.minutes
        record.add_event("searching")
        clock = Clock(seconds, used=record.store.seconds_searched())
        search = search_asynchronously if config.asynchronous else search_in_generations
        try:
            search(
                config,
                self._space,
                record,
                self._runner,
                self._measuring,
                self._surrogate_proposals,
                clock,
                self._tell,
                costs=self._costs,
            )
        finally:
            record.add_event("searched", seconds=clock.seconds)

    def _surrogate_proposals(self, first: int, costs: CostTable) -> Sequence[Proposal]:
        return kept_proposals(self._folder, self._config, self._space, self._record.archive, costs, first=first)

    def _measure_final_front(self) -> None:
        """Until nothing changes: measure the front, hand out its networks, and measure the very files handed out."""
        for number in itertools.count(1):
            requested = self._measuring.request_front_at(f"end {number}")
            if self._measuring.drain() or requested:
                continue
            front = self._record.archive.inherited_front()
            entries = [entry for entry in front if entry.architecture.id not in self._delivered]
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
            self._runner.front_changed()

    def _deliver(self, entries: Sequence[Entry]) -> None:
        """Have networks handed out, each with the weights that it was evaluated with."""
        by_indices = {operator_indices(self._space, entry.architecture): entry for entry in entries}
        for result in self._deliveries(by_indices):
            identifier = by_indices[result.job.indices].architecture.id
            self._delivered[identifier] = result
            self._record.set_test_error(identifier, result.test_error)

    def _deliveries(self, by_indices: dict[tuple[int, ...], Entry]) -> Iterator[DeliveryResult]:
        if not self._config.independent:
            yield from self._runner.deliver([DeliveryJob(indices) for indices in by_indices], self._costs)
            return
        for indices, entry in by_indices.items():
            own = self._folder.supernet_of(entry.trial_id).read_bytes()
            yield from self._runner.deliver([DeliveryJob(indices)], self._costs, own)
