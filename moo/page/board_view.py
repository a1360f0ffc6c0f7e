"""What the page tells of a run's boards: predictions beside measurements, conditions over time, failures; or its table.

Start at `board_json`.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from starlette.routing import Route

from devices.cost_tables.cost_table import CostTable
from devices.measurement import Board, Measurement
from moo.formatting import cost, error_text, many, percent, short
from moo.page.answers import answering
from moo.page.cells import NONE, Cell, hover, moment, network_link, table_json
from moo.page.folders import Runs
from moo.page.network_facts import before_and_after, state_of
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
COURSES = {"temperature_c": "temperature (°C)", "clock_mhz": "clock (MHz)"}
"""Figures of conditions that are shown over time, and their labels."""
FAILURE_HEADS = ("date (UTC)", "what", "network or board", "configuration", "reason")
ERROR_HEADS = ("configuration", "mean error of predicted latency", "of predicted energy, where a meter read it")
TABLE_HEADS = (
    "configuration", "board", "from", "latency", "energy", "idle power", "error over whole networks",
)  # fmt: skip
ROW_HEADS = (
    "date (UTC)", "network", "configuration", "latency", "temperature (°C)", "clock (MHz)", "idle power (W)", "state",
)  # fmt: skip


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
    board, tables = run.origin.board, list(run.tables)
    compared = predicted_and_measured(run)
    failed = [_failure(date, kind, content) for date, kind, content in run.events if kind in FAILURES]
    return {
        "board": None if board is None else _board(board, [measurement for _, measurement in everything]),
        "said": [_without_board(tables)] if board is None else list(board.notes),
        "compared": compared,
        "errors": _errors(run, compared) if compared else None,
        "courses": list(_courses(everything, _thinned(states))),
        "conditions": _conditions(everything) if everything or states else None,
        "failures": table_json("Failures", FAILURE_HEADS, failed) if failed else None,
        "tables": table_json("Cost tables", TABLE_HEADS, map(_table, tables)),
        "methods": [f"{table.configuration.label}: {table.method}" for table in tables],
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
            item = {
                "network": entry.architecture.id,
                "configuration": measurement.configuration.label,
                "predicted_ms": table.latency_of(indices),
                "latency_ms": measurement.latency_ms,
                "latency_source": measurement.latency_source,
                "predicted_mj": table.energy_of(indices),
                "energy_mj": measurement.energy_mj,
                "energy_source": measurement.energy_source,
            }
            found.append(item | _told(item, measurement))
    return found


def mean_errors(label: str, compared: Sequence[Mapping[str, Any]]) -> Json:
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


def _told(item: Mapping[str, Any], measurement: Measurement) -> Json:
    """What is said of a point in each of the two pictures."""
    name = f"{item['network']}, {item['configuration']}"
    spread = () if measurement.reliable else ("spread too wide",)
    return {
        f"told_{unit}": hover(
            name,
            f"predicted {cost(item[f'predicted_{unit}'], shown, 'modelled')}",
            cost(value, shown, source),
            *spread,
        )
        for unit, shown, value, source in (
            ("ms", "ms", measurement.latency_ms, measurement.latency_source),
            ("mj", "mJ", measurement.energy_mj, measurement.energy_source),
        )
    }


def _errors(run: OpenedRun, compared: Sequence[Mapping[str, Any]]) -> Json:
    def over(error: float | None, networks: int) -> str:
        return NONE if error is None else f"{percent(error)} over {many(networks, 'network', 'networks')}"

    errors = [mean_errors(one.label, compared) for one in run.archive.configurations]
    rows = [
        [one["configuration"], over(one["latency"], one["networks"]), over(one["energy"], one["metered"])]
        for one in errors
    ]
    return table_json("Mean errors", ERROR_HEADS, rows)


def _without_board(tables: Sequence[CostTable]) -> str:
    first = tables[0]
    named = f"{'cost tables' if len(tables) > 1 else 'a cost table'} of {first.board}"
    dated = f" from {moment(first.date)}" if first.date else ""
    return (
        f"No board took part in this run: its latencies and energies are modelled, by {named}{dated}: {first.method}."
    )


def _board(board: Board, measurements: Sequence[Measurement]) -> Json:
    def each(name: str) -> str:
        found = (getattr(measurement, name) for measurement in measurements)
        return ", ".join(dict.fromkeys(value for value in found if value is not None))

    idle = sorted(one.idle_w for one in measurements if one.idle_w is not None)
    span = " to ".join(dict.fromkeys(short(value) for value in (*idle[:1], *idle[-1:])))
    clocks, meters = ", ".join(map(str, board.frequencies_mhz)), each("meter")
    rows = [
        ["board", each("board") or board.label],
        ["system", each("os") or board.os],
        ["runtime", each("runtime") or board.runtime],
        ["cores", "not told" if board.cores is None else f"{board.cores}"],
        ["clocks that can be set", f"{clocks} MHz" if clocks else "none"],
        ["energy meter", meters or "none: energies are modelled"],
        ["idle power", f"{span} W{'' if meters else ' (modelled)'}" if span else "not known"],
    ]
    return table_json("Board", ["property", "value"], rows)


def _table(table: CostTable) -> list[Cell]:
    error, told = table.error, "not known"
    if error is not None:
        within = percent(error.within_10_percent)
        told = f"{percent(error.mean_relative)} over {error.networks}; {within} of them within 10 %"
    return [
        table.configuration.label,
        table.board,
        moment(table.date) if table.date else NONE,
        table.latency_source,
        table.energy_source + error_text([table.energy_error]),
        "not known" if table.idle_w is None else f"{short(table.idle_w)} W",
        told,
    ]


def _failure(date: str, kind: str, content: Mapping[str, Any]) -> list[Cell]:
    architecture = content.get("architecture")
    of = network_link(str(architecture)) if architecture else str(content.get("board") or "")
    return [moment(date), kind, of, str(content.get("configuration") or ""), str(content.get("reason") or "")]


def _conditions(measured: Sequence[tuple[str, Measurement]]) -> Json:
    """All measurements as a table, and how many of them the board was throttled in."""
    slow = sum(measurement.throttled for _, measurement in measured)
    number = f"{many(len(measured), 'measurement', 'measurements')}"
    told = f"× marks {slow} of {number} during which the board was throttled."
    rows = [_measurement_row(name, measurement) for name, measurement in measured]
    return {
        "told": told if slow else f"In none of {number} was throttling seen.",
        "title": f"All {number}",
        "table": table_json("Measurements", ROW_HEADS, rows),
    }


def _measurement_row(name: str, m: Measurement) -> list[Cell]:
    def both(figure: str) -> str:
        return " → ".join(NONE if value is None else short(value) for value in before_and_after(m, figure))

    latency = cost(m.latency_ms, "ms", m.latency_source)
    idle = NONE if m.idle_w is None else short(m.idle_w)
    figures = [latency, both("temperature_c"), both("clock_mhz"), idle, state_of(m)]
    return [moment(m.date), network_link(name), m.configuration.label, *figures]


def _courses(measured: Sequence[tuple[str, Measurement]], states: Sequence[StoredEvent]) -> Iterator[Json]:
    """Temperature and clock over time, where told: before and after measurements, and by devices at any time."""
    devices = dict.fromkeys(str(one.figures.get("device")) for one in states)
    for name, label in COURSES.items():
        series = [
            _course(title, [(m.date, before_and_after(m, name)[place], told, m.throttled) for told, m in measurements])
            for measurements in [[(f"{network}, {m.configuration.label}", m) for network, m in measured]]
            for place, title in enumerate(("before a measurement", "after it"))
        ]
        for device in devices:
            own = [one for one in states if str(one.figures.get("device")) == device]
            told = [(_date(one.at), one.figures.get(name), device, bool(one.figures.get("throttled"))) for one in own]
            series.append(_course(f"{device}, at any time", told))
        if any(value is not None for one in series for value in one["y"]):
            yield {"label": label, "series": series}


def _course(title: str, told: Sequence[tuple[str, Any, str, bool]]) -> Json:
    return {
        "title": hover(title),
        "x": [date for date, *_ in told],
        "y": [value for _, value, *_ in told],
        "told": [hover(of, *(["throttled"] if throttled else [])) for *_, of, throttled in told],
        "throttled": [throttled for *_, throttled in told],
    }


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, timezone.utc).isoformat()


def routes(settings: PageSettings) -> list[Route]:
    """Of boards."""
    states = BoardStates()

    def board(run: OpenedRun) -> Json:
        return board_json(run, states.of(run.folder.events))

    return [Route("/api/runs/{run:path}/-/board", answering(looking_at(Runs(settings.runs), board)))]
