"""The whole job: cost table, pre-training, trials, measuring, the front. Start with `run_search`.

The order of things, and what is in the store when, is such that a run killed at any instant can be resumed.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, replace

from evaluation.work_folder import lock_folder
from moo import events
from moo.config import lasting_settings
from moo.execution.backend import Backend
from moo.formatting import many
from moo.measurement.front import FrontMeasuring, corrected_tables
from moo.measurement.queue import Measurer, start_measurer
from moo.search.artifacts import draw_samples, run_cost_tables, started, supernet_weights
from moo.search.asynchronous import search_asynchronously
from moo.search.clock import Clock
from moo.search.estimate import TimeLeft, plan_of
from moo.search.generational import search_in_generations
from moo.search.outputs import network_files, write_front, write_front_json
from moo.search.preparation import Preparation, archive_for
from moo.search.proposals import settled_for
from moo.search.surrogates.source import proposal_source
from moo.search.transfer import take_over
from moo.search.trial_runner import TrialRunner
from moo.storage.archive import Archive
from moo.storage.choices import PointToMeasure
from moo.storage.record import RunRecord, begin_record, open_record
from moo.storage.search_state import SearchState, write_state
from moo.storage.store import ESTIMATE
from moo.trials import DeliveryResult
from search_space.boundary.sealing import sealed_tensors
from search_space.boundary.writing import write_atomically

KEPT_ESTIMATES_APART = 5.0
"""Seconds from one estimate in the store to the next, at least."""


def run_search(preparation: Preparation, backend: Backend, listener: events.Listener) -> Archive:
    """Run or resume a search to its end, and write everything but pictures and report.

    The front so far is in front.json after each generation, and when the search is interrupted or fails.

    Args:
        preparation: checked inputs.
        backend: where trials run.
        listener: is told of everything that happens.

    Returns:
        The archive; its front is measured, if anything is.

    Raises:
        SearchFailedError: if the board failed while it was profiled, or every trial of a generation failed.
    """
    with _opened(preparation, backend, listener) as search:
        try:
            search.find()
            return search.hand_over()
        except BaseException:
            search.keep_front()
            raise


def find_front(preparation: Preparation, backend: Backend, listener: events.Listener) -> Archive:
    """The same without measuring the final front and handing it out: for comparing searches."""
    with _opened(preparation, backend, listener) as search:
        return search.find()


@contextmanager
def _opened(preparation: Preparation, backend: Backend, listener: events.Listener) -> Iterator[_Search]:
    """A search in its locked folder, with its record and its boards."""
    folder, config = preparation.folder, preparation.config
    with closing(lock_folder(folder.path)), ExitStack() as stack:
        # First the store: where there is a config.json, a run has begun, and a store that is missing was lost.
        record = stack.enter_context(closing((open_record if preparation.resumed else begin_record)(folder)))
        if not preparation.resumed:
            # Settings that are left open follow from where the run begins, and stay so wherever it is resumed.
            config = settled_for(config, gpus=backend.gpus)
            preparation = replace(preparation, config=config)
            folder.write_config(config, preparation.origin)
        elif preparation.length_changed:
            folder.write_config(config, folder.read_config()[1])
        first = preparation.setup.warm_start
        if first is not None and not folder.warm_start.exists():
            write_atomically(folder.warm_start, sealed_tensors(first))
        devices = preparation.boards.devices
        measurer = None
        if devices:
            measurer = stack.enter_context(closing(start_measurer(devices, names=config.boards)))
        yield _Search(preparation, backend, listener, record, measurer)


class _Search:
    def __init__(
        self,
        preparation: Preparation,
        backend: Backend,
        listener: events.Listener,
        record: RunRecord,
        measurer: Measurer | None,
    ) -> None:
        self._preparation = preparation
        self._config = preparation.search_config
        self._space = preparation.space
        self._folder = preparation.folder
        self._backend = backend
        self._record = record
        self._measurer = measurer
        self._start = time.monotonic()
        plan = plan_of(preparation, workers=backend.workers, searched_seconds=record.store.seconds_searched())
        self._tell = TimeLeft(plan, listener, self._keep_estimate, start=self._start)
        self._estimate_kept = -math.inf
        self._delivered: dict[str, DeliveryResult] = {}
        self._generation: int | None = None
        self._ended = False

    def find(self) -> Archive:
        record, config, space = self._record, self._config, self._space
        begun = record.store.num_trials() > 0
        inputs = {"images": self._preparation.dataset.fingerprint, "space": space.name}
        record.check_made_with(lasting_settings(self._preparation.config) | inputs)
        self._check_used()
        record.add_event("resumed" if self._preparation.resumed else "started")
        self._tell(started(self._preparation, self._backend.dashboard_url))
        draw_samples(self._preparation)
        self._costs = run_cost_tables(self._preparation, self._tell, begun=begun)
        archive = record.load_archive(archive_for(config, self._costs, self._preparation.dataset), space)
        record.use_tables(corrected_tables(self._costs, archive.entries, space))
        if config.from_run is not None:
            take_over(config, record, space, self._costs, activations=self._preparation.setup.activations)
        self._measuring = FrontMeasuring(
            self._measurer,
            record,
            space,
            self._costs,
            self._tell,
            patience_seconds=config.board_patience,
        )
        # Pre-training may take hours, in which a board may be unplugged.
        self._backend.watch = lambda news: self._measuring.tell_of_boards()
        supernet = supernet_weights(self._preparation, self._backend, self._tell, begun=begun)
        self._check_used()
        self._runner = TrialRunner(
            self._backend, record, self._measuring, space, supernet, self._tell, independent=config.independent
        )
        self._search()
        return archive

    def _check_used(self) -> None:
        """Check that what all trials start from, as far as it is there, is the run's own."""
        for path in (self._folder.cost_table, self._folder.supernet):
            if path.exists():
                self._record.check_used(path)

    def _keep_estimate(self, estimate: events.TimeEstimated) -> None:
        """Now and then: how good estimates were can be told from a run that has ended."""
        if estimate.elapsed_seconds - self._estimate_kept >= KEPT_ESTIMATES_APART:
            self._estimate_kept = estimate.elapsed_seconds
            self._record.add_event(ESTIMATE, **asdict(estimate))

    def keep_front(self) -> None:
        """Write the front so far, if anything was found, and that the search has not ended."""
        record = self._record
        if self._ended or not record.has_archive or not record.archive.front():
            return
        # First the state: a front without one would be taken for that of an earlier version, which wrote it at its end.
        write_state(self._folder, SearchState(ended=False, reached=self._reached()))
        write_front_json(self._folder, record.archive, front_size=self._config.front_size)

    def _reached(self) -> str:
        trials = many(self._record.store.num_trials(), "trial", "trials")
        if self._generation is None:
            return f"after {trials}"
        of = "" if self._config.minutes else f" of {self._config.generations}"
        return f"after generation {self._generation}{of} ({trials})"

    def _generation_ended(self, number: int | None) -> None:
        """A generation, or as many trials without one, have ended."""
        self._generation = number
        self.keep_front()
        self._tell(events.FrontWritten(self._reached()))

    def hand_over(self) -> Archive:
        archive, data = self._record.archive, self._preparation.dataset
        self._measure_final_front()
        write_front(
            self._folder,
            archive,
            self._space,
            self._delivered,
            data,
            dataset=self._config.dataset,
            front_size=self._config.front_size,
        )
        write_state(self._folder, SearchState(ended=True))
        self._ended = True
        seconds = time.monotonic() - self._start
        self._record.add_event("finished", seconds=seconds)
        self._tell(events.RunFinished(str(self._folder.path), seconds))
        return archive

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
                proposal_source(config, self._space, record),
                clock,
                self._tell,
                self._generation_ended,
                costs=self._costs,
            )
        finally:
            record.add_event("searched", seconds=clock.seconds)

    def _measure_final_front(self) -> None:
        """Until nothing changes: hand out the networks of the front, and measure each point's very file.

        What each round is for is noted first, so that an interrupted run goes through the very same ones.
        """
        archive, measured = self._record.archive, set[PointToMeasure]()

        def new_on_front() -> list[PointToMeasure]:
            front = [(point.id, point.configuration) for point in archive.inherited_front()]
            return [point for point in front if point not in measured]

        trials = self._record.store.num_trials()
        for number in itertools.count(1):
            stage = f"end after {many(trials, 'trial', 'trials')}, {number}"
            evaluated = self._runner.evaluate_in_int8(self._costs, stage=stage)
            points = self._measuring.points_at(stage, new_on_front)
            if not (points or evaluated or new_on_front()):
                return
            self._deliver(points)
            measured |= set(points)
            if self._measuring.measure_files(points, self._file_of):
                self._runner.front_changed()

    def _is_missing(self, identifier: str, in_int8: Collection[str]) -> bool:
        """Whether a network's files, or the one in int8 that the front asks for, were not handed out yet."""
        known = self._delivered.get(identifier)
        return known is None or (known.quantized is None and identifier in in_int8)

    def _file_of(self, point: PointToMeasure) -> bytes:
        identifier, configuration = point
        data = self._preparation.dataset
        files = network_files(self._record.archive[identifier], self._space, self._delivered[identifier], data)
        return files.get(configuration.precision, files["fp32"])

    def _deliver(self, points: Sequence[PointToMeasure]) -> None:
        """Have the networks of points handed out that were not yet."""
        in_int8 = {identifier for identifier, configuration in points if configuration.precision == "int8"}
        missing = [name for name in dict.fromkeys(name for name, _ in points) if self._is_missing(name, in_int8)]
        entries = [self._record.archive[identifier] for identifier in missing]
        if not entries:
            return
        self._tell(events.StageProgress("delivering", 0, len(entries)))
        for entry, result in self._runner.deliver(entries, self._costs, in_int8=in_int8):
            identifier = entry.architecture.id
            self._delivered[identifier] = result
            self._record.set_test_error(identifier, result.test_error, quantized=result.quantized_test_error)
        self._tell(events.StageProgress("delivering", len(entries), len(entries)))
