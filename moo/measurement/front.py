"""Measures the networks of a run's front, keeps what came of it, and corrects the cost table by it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np

from devices.cost_tables.cost_table import CostTable
from devices.profiling.calibration import calibrated
from moo import events
from moo.measurement.queue import BoardState, Measured, Measurer, Report, Request
from moo.storage.archive import Archive, Entry
from moo.storage.store import Store
from search_space.architectures import operator_indices
from search_space.onnx_files import random_weights, to_onnx
from search_space.spaces import FBNetSpace


class FrontMeasuring:
    """The boards of a run, and what they have measured of its archive."""

    def __init__(
        self,
        measurer: Measurer | None,
        archive: Archive,
        store: Store,
        space: FBNetSpace,
        table: CostTable,
        tell: events.Listener,
        *,
        patience_seconds: float,
    ) -> None:
        """Take up what the store has.

        Args:
            measurer: the boards; None if nothing is to be measured.
            archive: of the run; gets measurements, and the corrected table to predict with.
            store: of the run.
            space: the search space.
            table: the run's own cost table, which the measured networks correct.
            tell: is told of measurements.
            patience_seconds: how long to wait for boards at the end of a run while none answers.
        """
        self._measurer = measurer
        self._archive = archive
        self._store = store
        self._space = space
        self._table = table
        self._tell = tell
        self._patience_seconds = patience_seconds
        self._requested: set[str] = set()
        self._measured_at = store.networks_to_measure()
        self._correct()

    @property
    def table(self) -> CostTable:
        """The run's cost table, corrected by all networks measured so far."""
        return self._archive.table or self._table

    def front_changed(self) -> None:
        """New networks are on the front: boards of their own measure them beside the search."""
        if self._measurer is not None and not self._measurer.shares_host:
            self._request(self._unmeasured_front())

    def between_generations(self, stage: str) -> None:
        """This machine measures now, as no inner search runs; boards of their own go on beside the search."""
        if self._measurer is not None and self._measurer.shares_host:
            self.request_front_at(stage)
            self.drain()
        else:
            self.front_changed()
            self.collect()

    def request_front_at(self, stage: str) -> bool:
        """Queue the front, noted in the store: a run that is killed meanwhile goes on with the very same networks.

        Returns:
            Whether there were any.
        """
        if self._measurer is None:
            return False
        if stage not in self._measured_at:
            self._measured_at[stage] = self._unmeasured_front()
            self._store.add_networks_to_measure(stage, self._measured_at[stage])
        self._request(self._measured_at[stage])
        return len(self._measured_at[stage]) > 0

    def measure_files(self, files: Iterable[tuple[str, Callable[[], bytes]]]) -> None:
        """Measure the very ONNX files that are handed out: architecture ids, and what makes the files."""
        if self._measurer is None:
            return
        for identifier, model in files:
            self._measurer.request(Request(identifier, model))
        self.drain()

    def drain(self) -> bool:
        """Measure all that is queued; returns whether anything came of it."""
        if self._measurer is None:
            return False
        total, done = self._measurer.waiting, 0
        for report in self._measurer.drain(self._patience_seconds):
            if isinstance(report, Measured):
                done += 1
                self._tell(events.StageProgress("measuring", done, max(total, done), report.architecture_id))
            self._keep(report)
        if done:
            self._correct()
        return done > 0

    def collect(self) -> bool:
        """Keep what boards of their own have measured meanwhile; returns whether there was anything."""
        if self._measurer is None:
            return False
        done = 0
        for report in self._measurer.collect():
            done += isinstance(report, Measured)
            self._keep(report)
        if done:
            self._correct()
        return done > 0

    def _unmeasured_front(self) -> list[str]:
        """Networks of the front that were neither measured nor requested."""
        front = (entry for entry in self._archive.inherited_front() if entry.measurement is None)
        return [entry.architecture.id for entry in front if entry.architecture.id not in self._requested]

    def _request(self, identifiers: list[str]) -> None:
        if self._measurer is None:
            return
        for identifier in identifiers:
            entry = self._archive[identifier]
            if entry.measurement is None and identifier not in self._requested:
                self._requested.add(identifier)
                self._measurer.request(Request(identifier, partial(self._unweighted_model, entry)))

    def _unweighted_model(self, entry: Entry) -> bytes:
        graph = self._space.graph(entry.architecture.operators)
        return to_onnx(graph, random_weights(graph, np.random.default_rng(0)))

    def _keep(self, report: Report) -> None:
        if isinstance(report, BoardState):
            kind = "board unreachable" if report.unreachable else "board back"
            self._store.add_event(kind, board=report.device, reason=report.unreachable)
            self._tell(events.BoardChanged(report.device, report.unreachable))
            return
        identifier = report.architecture_id
        if report.measurement is None:
            self._store.add_event("measuring failed", architecture=identifier, reason=report.reason)
            self._tell(events.MeasuringFailed(identifier, report.reason))
            return
        self._store.add_measurement(identifier, report.measurement)
        self._archive.set_measurement(identifier, report.measurement)
        waiting = 0 if self._measurer is None else self._measurer.waiting
        self._tell(events.NetworkMeasured(identifier, report.measurement, waiting))

    def _correct(self) -> None:
        """Let the networks measured so far correct the table that the archive predicts with."""
        measured = [
            (operator_indices(self._space, entry.architecture), entry.measurement)
            for entry in self._archive.entries
            if entry.measurement is not None and entry.measurement.energy_mj > 0
        ]
        if not measured:
            self._archive.use_table(self._table)
            return
        networks = [indices for indices, _ in measured]
        latency_ms = [measurement.latency_ms for _, measurement in measured]
        energy_mj = [measurement.energy_mj for _, measurement in measured]
        self._archive.use_table(calibrated(self._table, self._space, networks, latency_ms, energy_mj).table)
