"""Measures the networks of a run's front, keeps the results, and corrects the cost table by them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np

from devices.configuration import BASE, RuntimeConfiguration
from devices.cost_tables.cost_table import CostTable
from devices.profiling.calibration import calibrated
from moo import events
from moo.measurement.queue import Measured, Measurer, MeasurerReport, NotMeasured, Request, keep_board_event
from moo.storage.archive import Entry
from moo.storage.record import RunRecord
from search_space.architectures import operator_indices
from search_space.onnx_files import random_weights, to_onnx
from search_space.spaces import FBNetSpace


def corrected_table(table: CostTable, entries: Iterable[Entry], space: FBNetSpace) -> CostTable:
    """A run's cost table as the networks measured so far correct it.

    Args:
        table: the run's own, which knows nothing of these networks.
        entries: of the archive; those that were measured count.
        space: that is searched.
    """
    measured = [
        (operator_indices(space, entry.architecture), entry.measurement)
        for entry in entries
        if entry.measurement is not None and entry.measurement.energy_mj > 0
    ]
    if not measured:
        return table
    networks = [indices for indices, _ in measured]
    latency_ms = [measurement.latency_ms for _, measurement in measured]
    energy_mj = [measurement.energy_mj for _, measurement in measured]
    return calibrated(table, space, networks, latency_ms, energy_mj).table


class FrontMeasuring:
    """The boards of a run, and what they have measured of its archive."""

    def __init__(
        self,
        measurer: Measurer | None,
        record: RunRecord,
        space: FBNetSpace,
        table: CostTable,
        tell: events.Listener,
        *,
        patience_seconds: float,
        configuration: RuntimeConfiguration = BASE,
    ) -> None:
        """Measure for a run whose archive predicts with `corrected_table` already.

        Args:
            measurer: the boards; None if nothing is to be measured.
            record: of the run; gets measurements, and the corrected table to predict with.
            space: the search space.
            table: the run's own cost table, which the measured networks correct.
            tell: is told of measurements.
            configuration: how networks are run.
            patience_seconds: how long to wait for boards at the end of a run while none answers.
        """
        self._measurer = measurer
        self._record = record
        self._space = space
        self._table = table
        self._tell = tell
        self._patience_seconds = patience_seconds
        self._configuration = configuration
        self._requested: set[str] = set()
        self._measured_at = record.store.networks_to_measure()

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
            self._record.add_networks_to_measure(stage, self._measured_at[stage])
        self._request(self._measured_at[stage])
        return len(self._measured_at[stage]) > 0

    def measure_files(self, files: Iterable[tuple[str, Callable[[], bytes]]]) -> None:
        """Measure the very ONNX files that are handed out: architecture ids, and what makes the files."""
        if self._measurer is None:
            return
        for identifier, model in files:
            self._measurer.request(Request(identifier, model, self._configuration))
        self.drain()

    def drain(self) -> bool:
        """Measure all that is queued; returns whether anything was measured, or could not be."""
        if self._measurer is None:
            return False
        total, done = self._measurer.waiting, 0
        for report in self._measurer.drain(self._patience_seconds):
            if isinstance(report, Measured | NotMeasured):
                done += 1
                self._tell(events.StageProgress("measuring", done, max(total, done), report.network))
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
            done += isinstance(report, Measured | NotMeasured)
            self._keep(report)
        if done:
            self._correct()
        return done > 0

    def _unmeasured_front(self) -> list[str]:
        """Networks of the front that were neither measured nor requested."""
        front = (entry for entry in self._record.archive.inherited_front() if entry.measurement is None)
        return [entry.architecture.id for entry in front if entry.architecture.id not in self._requested]

    def _request(self, identifiers: list[str]) -> None:
        if self._measurer is None:
            return
        for identifier in identifiers:
            entry = self._record.archive[identifier]
            if entry.measurement is None and identifier not in self._requested:
                self._requested.add(identifier)
                self._measurer.request(Request(identifier, partial(self._unweighted_model, entry), self._configuration))

    def _unweighted_model(self, entry: Entry) -> bytes:
        graph = self._space.graph(entry.architecture.operators)
        return to_onnx(graph, random_weights(graph, np.random.default_rng(0)))

    def _keep(self, report: MeasurerReport) -> None:
        match report:
            case Measured(network, measurement):
                self._record.add_measurement(network, measurement)
                waiting = 0 if self._measurer is None else self._measurer.waiting
                self._tell(events.NetworkMeasured(network, measurement, waiting))
            case NotMeasured(network, reason):
                self._record.add_event("measuring failed", architecture=network, reason=reason)
                self._tell(events.MeasuringFailed(network, reason))
            case events.BoardUnreachable() | events.BoardBack():
                keep_board_event(self._record, report)
                self._tell(report)

    def _correct(self) -> None:
        self._record.use_table(corrected_table(self._table, self._record.archive.entries, self._space))
