"""What the page tells of a run's boards: predictions beside measurements, conditions over time, failures; or its table.

Start at `board_json`.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from starlette.routing import Route

from devices.cost_tables.cost_table import CostTable
from devices.measurement import Measurement
from moo.page.answers import answering
from moo.page.folders import Runs
from moo.page.opened import OpenedRun, looking_at
from moo.page.settings import PageSettings
from moo.storage.event_file import EventReader, StoredEvent

Json = dict[str, Any]
MOST_FILES = 2
"""Event files whose lines are remembered."""
MOST_STATES = 2000
STATE = "board_conditions"
"""Kind of the events by which boards tell of themselves."""
FAILURES = ("measuring failed", "board unreachable", "board back")
"""Kinds of events that tell of boards."""


def board_json(run: OpenedRun, states: Sequence[StoredEvent] = ()) -> Json:
    """All that is told of the boards of a run.

    Args:
        run: whose boards they are.
        states: events of theirs, as `BoardStates` has them.
    """
    trained = [entry.trained for entry in run.archive.entries if entry.trained is not None]
    files = [
        (network.name, file.measurement)
        for network in (*trained, *run.baselines)
        for file in network.files
        if file.measurement is not None
    ]
    everything = sorted([*run.measurements, *files], key=lambda item: item[1].date)
    compared = predicted_and_measured(run)
    board = run.origin.board
    return {
        "board": None if board is None else asdict(board) | {"label": board.label, "notes": board.notes},
        "tables": [_table(table) for table in run.tables],
        "compared": compared,
        "errors": [_mean_errors(one.label, compared) for one in run.archive.configurations],
        "conditions": [_conditions(name, measurement) for name, measurement in everything],
        "states": [{"device": None, "throttled": None, **one.figures, "at": one.at} for one in _thinned(states)],
        "failures": [{"date": date, "kind": kind, **content} for date, kind, content in run.events if kind in FAILURES],
    }


class BoardStates:
    """What boards told of themselves between measurements, by the event files of runs; each line is read once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[Path, tuple[EventReader, list[StoredEvent]]] = OrderedDict()

    def of(self, path: Path) -> list[StoredEvent]:
        """All of an event file so far, oldest first."""
        with self._lock:
            reader, known = self._known.setdefault(path, (EventReader(path), []))
            self._known.move_to_end(path)
            while len(self._known) > MOST_FILES:
                self._known.popitem(last=False)
            place = -1
            while place != reader.place:
                place = reader.place
                found = reader.new()
                if reader.place < place:
                    # Another file took its place.
                    known.clear()
                known += [event for event in found if event.kind == STATE]
            return list(known)


def _thinned(states: Sequence[StoredEvent]) -> list[StoredEvent]:
    """At most so many as a chart can show, with all that tell of throttling."""
    step = -(-len(states) // MOST_STATES) or 1
    return [one for place, one in enumerate(states) if place % step == 0 or one.figures.get("throttled")]


def predicted_and_measured(run: OpenedRun) -> list[Json]:
    """Each operating point that boards measured, beside what the run's own cost table predicts of it.

    That table knows nothing of these networks: it is as it was before they corrected it. Energy is that above idle.
    """
    found = []
    for entry in run.archive.entries:
        for measurement in entry.measurements:
            if measurement.configuration not in run.tables:
                continue
            table = run.tables[measurement.configuration]
            indices = [table.operators.index(name) for name in entry.architecture.operators]
            found.append(
                {
                    "network": entry.architecture.id,
                    "configuration": measurement.configuration.label,
                    "predicted_ms": table.latency_of(indices),
                    "latency_ms": measurement.latency_ms,
                    "latency_source": measurement.latency_source,
                    "predicted_mj": table.energy_of(indices),
                    "energy_mj": measurement.energy_mj,
                    "energy_source": measurement.energy_source,
                    "reliable": measurement.reliable,
                }
            )
    return found


def _mean_errors(label: str, compared: Sequence[Mapping[str, Any]]) -> Json:
    """Mean of |predicted / measured - 1| of latency and energy in a configuration; None where there is nothing."""
    own = [item for item in compared if item["configuration"] == label]
    metered = [item for item in own if item["energy_source"] == "measured" and item["energy_mj"] > 0]
    return {
        "configuration": label,
        "networks": len(own),
        "latency": _mean(item["predicted_ms"] / item["latency_ms"] - 1 for item in own),
        "metered": len(metered),
        "energy": _mean(item["predicted_mj"] / item["energy_mj"] - 1 for item in metered),
    }


def _mean(deviations: Any) -> float | None:
    values = np.abs(np.array(list(deviations), np.float64))
    return float(values.mean()) if len(values) else None


def _table(table: CostTable) -> Json:
    error = table.error
    return {
        "configuration": table.configuration.label,
        "board": table.board,
        "runtime": table.runtime,
        "date": table.date,
        "method": table.method,
        "latency_source": table.latency_source,
        "energy_source": table.energy_source,
        "energy_error": table.energy_error,
        "idle_w": table.idle_w,
        "clock_mhz": table.clock_mhz,
        "error": None if error is None else asdict(error),
    }


def _conditions(name: str, measurement: Measurement) -> Json:
    m = measurement
    return {
        "network": name,
        "configuration": m.configuration.label,
        "board": m.board,
        "runtime": m.runtime,
        "os": m.os,
        "date": m.date,
        "latency_ms": m.latency_ms,
        "latency_source": m.latency_source,
        "before": asdict(m.before),
        "after": asdict(m.after),
        "throttled": m.throttled,
        "reliable": m.reliable,
        "idle_w": m.idle_w,
        "meter": m.meter,
        "energy_source": m.energy_source,
        "energy_note": m.energy_note,
    }


def routes(settings: PageSettings) -> list[Route]:
    """Of boards."""
    states = BoardStates()

    def board(run: OpenedRun) -> Json:
        return board_json(run, states.of(run.folder.events))

    return [Route("/api/runs/{run:path}/-/board", answering(looking_at(Runs(settings.runs), board)))]
