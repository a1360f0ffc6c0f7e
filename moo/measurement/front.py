"""Measures the networks of a run's front, keeps the results, and corrects the cost table by them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np

from devices.configuration import RuntimeConfiguration
from devices.cost_tables.cost_table import CostTable
from devices.cost_tables.family import CostTables
from devices.measurement import model_key
from devices.profiling.calibration import calibrated
from moo import events
from moo.measurement.queue import Measured, Measurer, MeasurerReport, NotMeasured, Request, keep_board_event
from moo.storage.archive import Entry, OperatingPoint, objectives_of
from moo.storage.choices import PointToMeasure, measured_files, points_to_measure
from moo.storage.pareto import epsilon_front
from moo.storage.record import RunRecord
from search_space.architectures import operator_indices
from search_space.onnx_files import random_weights, to_onnx
from search_space.spaces import FBNetSpace

Corrections = dict[tuple[RuntimeConfiguration, tuple[tuple[tuple[int, ...], float, float], ...]], CostTable]
"""Tables by configuration and the networks that corrected them: indices, latency in ms, energy in mJ."""


def corrected_tables(
    tables: CostTables, entries: Iterable[Entry], space: FBNetSpace, known: Corrections | None = None
) -> CostTables:
    """A run's cost tables as the networks measured so far correct them, each by those measured in its configuration.

    Args:
        tables: the run's own, which know nothing of these networks.
        entries: of the archive; those that were measured count.
        space: that is searched.
        known: corrections made before, which are made once and kept here.
    """
    known = {} if known is None else known
    entries = [entry for entry in entries if entry.measurements]
    return tables.mapped(lambda table: _corrected(table, entries, space, known))


def _corrected(table: CostTable, entries: Sequence[Entry], space: FBNetSpace, known: Corrections) -> CostTable:
    measured = [
        (operator_indices(space, entry.architecture), measurement.latency_ms, measurement.energy_mj)
        for entry in entries
        if (measurement := entry.measured_in(table.configuration)) is not None and measurement.energy_mj > 0
    ]
    if not measured:
        return table
    key = (table.configuration, tuple(measured))
    if key not in known:
        for earlier in [key for key in known if key[0] == table.configuration]:
            del known[earlier]
        known[key] = calibrated(
            table,
            space,
            [indices for indices, _, _ in measured],
            [latency_ms for _, latency_ms, _ in measured],
            [energy_mj for _, _, energy_mj in measured],
        ).table
    return known[key]


class FrontMeasuring:
    """The boards of a run, and what they have measured of its archive."""

    def __init__(
        self,
        measurer: Measurer | None,
        record: RunRecord,
        space: FBNetSpace,
        tables: CostTables,
        tell: events.Listener,
        *,
        patience_seconds: float,
        most_between: int = 24,
    ) -> None:
        """Measure for a run whose archive predicts with `corrected_tables` already.

        Args:
            measurer: the boards; None if nothing is to be measured.
            record: of the run; gets measurements, and the corrected tables to predict with.
            space: the search space.
            tables: the run's own cost tables, which the measured networks correct.
            tell: is told of measurements.
            patience_seconds: how long to wait for boards at the end of a run while none answers.
            most_between: points of the front that are measured while the search goes on; at its end all are.
        """
        self._measurer = measurer
        self._record = record
        self._space = space
        self._tables = tables
        self._tell = tell
        self._patience_seconds = patience_seconds
        self._most_between = most_between
        self._corrections: Corrections = {}
        self._requested: set[PointToMeasure] = set()
        self._looked_at: tuple[OperatingPoint, ...] | None = None
        """The front whose points were requested last; an archive whose front stays gives the very same."""
        self._measured_at = points_to_measure(record.store)
        self._measured_files = measured_files(record.store)

    def front_changed(self) -> None:
        """New points are on the front: boards of their own measure them beside the search."""
        if self._measurer is not None and not self._measurer.shares_host:
            self._request(self._unmeasured_front())

    def between_generations(self, stage: str) -> None:
        """This machine measures now, as no inner search runs; boards of their own go on beside the search."""
        if self._measurer is not None and self._measurer.shares_host:
            self._request_front_at(stage)
            self.drain()
        else:
            self.front_changed()
            self.collect()

    def measure_files(self, points: Iterable[PointToMeasure], file_of: Callable[[PointToMeasure], bytes]) -> bool:
        """Measure the very ONNX files that are handed out, each in its point's configuration.

        Those that were measured before a run was interrupted are not measured again.

        Args:
            points: of the front.
            file_of: the file of a point.

        Returns:
            Whether anything was measured, or could not be.
        """
        if self._measurer is None:
            return False
        for point in points:
            known = self._measured_files.get(point)
            if known is None or known != model_key(file_of(point)):
                identifier, configuration = point
                self._measurer.request(Request(identifier, partial(file_of, point), configuration, is_file=True))
        return self.drain()

    def points_at(self, stage: str, points: Callable[[], Sequence[PointToMeasure]]) -> Sequence[PointToMeasure]:
        """The points that a stage of the run measures: those noted in the store, where it was interrupted in it.

        Args:
            stage: of the run.
            points: chooses them, where nothing is noted.
        """
        if stage not in self._measured_at:
            self._measured_at[stage] = list(points())
            self._record.add_points_to_measure(stage, self._measured_at[stage])
        return self._measured_at[stage]

    def drain(self) -> bool:
        """Measure all that is queued; returns whether anything was measured, or could not be."""
        if self._measurer is None:
            return False
        total, done = self._measurer.waiting, 0
        if total:
            self._tell(events.StageProgress("measuring", 0, total))
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

    def tell_of_boards(self) -> None:
        """Keep and tell at once what happened to the boards themselves; what they measured waits for `collect`."""
        for event in () if self._measurer is None else self._measurer.board_events():
            self._keep(event)

    def _request_front_at(self, stage: str) -> None:
        """Queue the front, noted in the store: a run that is killed meanwhile goes on with the very same points."""
        self._request(self.points_at(stage, self._unmeasured_front))

    def _unmeasured_front(self) -> list[PointToMeasure]:
        """Points of the front that were neither measured nor requested, of the few that stand for it."""
        front = self._record.archive.inherited_front()
        if front is self._looked_at:
            return []
        self._looked_at = front
        few = (front[place] for place in epsilon_front(objectives_of(front), self._most_between))
        points = ((point.id, point.configuration) for point in few if point.measurement is None)
        return [point for point in points if point not in self._requested]

    def _request(self, points: Iterable[PointToMeasure]) -> None:
        if self._measurer is None:
            return
        requested = len(self._requested)
        for identifier, configuration in points:
            entry = self._record.archive[identifier]
            if entry.measured_in(configuration) is None and (identifier, configuration) not in self._requested:
                self._requested.add((identifier, configuration))
                self._measurer.request(Request(identifier, partial(self._unweighted_model, entry), configuration))
        if len(self._requested) > requested:
            self._tell(events.NetworksQueued(self._measurer.waiting))

    def _unweighted_model(self, entry: Entry) -> bytes:
        graph = self._space.graph(entry.architecture.operators)
        return to_onnx(graph, random_weights(graph, np.random.default_rng(0)))

    def _keep(self, report: MeasurerReport) -> None:
        match report:
            case Measured(network, measurement, file):
                self._record.add_measurement(network, measurement, file=file)
                if file is not None:
                    self._measured_files[network, measurement.configuration] = file
                waiting = 0 if self._measurer is None else self._measurer.waiting
                self._tell(events.NetworkMeasured(network, measurement, waiting))
            case NotMeasured(network, reason, configuration):
                self._record.add_event(
                    "measuring failed", architecture=network, configuration=configuration.label, reason=reason
                )
                waiting = 0 if self._measurer is None else self._measurer.waiting
                self._tell(events.MeasuringFailed(network, reason, waiting))
            case events.BoardUnreachable() | events.BoardBack() | events.BoardConditions():
                keep_board_event(self._record, report)
                self._tell(report)

    def _correct(self) -> None:
        entries = self._record.archive.entries
        self._record.use_tables(corrected_tables(self._tables, entries, self._space, self._corrections))
