"""All that a run evaluated, as the Front page and explore.html show it: plain values, a row a point. See `explored`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from devices.configuration import BY_NAME, RuntimeConfiguration
from devices.measurement import Source
from evaluation.errors import ERROR_NAMES, GUESSES
from moo.analysis.adaptation import ENERGY_LABELS
from moo.analysis.adaptive_selection import AdaptiveCandidate, read_adaptive_candidates
from moo.analysis.errors import error_kind, on_selection_split, told_error
from moo.analysis.networks import file_costs
from moo.analysis.representatives import representatives
from moo.analysis.selection import PointKey, three_choices
from moo.formatting import cost, cost_label, error_text, percent_within
from moo.storage.archive import Archive, Entry, OperatingPoint
from moo.storage.run_folder import RunFolder
from moo.storage.search_state import unfinished_note
from moo.storage.trained_network import TrainedNetwork
from search_space.boundary.text import one_line

Row = dict[str, Any]
INHERITED, TRAINED, EXITS, WORST, BASELINE = "inherited", "trained", "exits", "worst", "baseline"
_TITLES = {
    INHERITED: "inherited weights",
    TRAINED: "trained networks",
    EXITS: "early exits, expected latency",
    WORST: "early exits, worst-case latency",
}
NAMES = {runtime: name for name, runtime in BY_NAME.items()}
"""Of runtimes, as options name them."""
FILTERS = ("runtime", "threads", "frequency_mhz", "precision")
"""Columns by which points are chosen from, as the options of select_network.py do."""
_LATENCIES = {EXITS: "expected latency", WORST: "worst-case latency"}


def explored(archive: Archive, folder: RunFolder, baselines: Sequence[TrainedNetwork]) -> dict[str, Any]:
    """What a run has found so far.

    `kinds` are the fronts that there are to choose from: of networks with `inherited` weights, of `trained` ones, and
    with early `exits`, by the latency to expect or that of the `worst` case; `told` is the one that front.json has.
    Each has the `choices` of select_network.py, as places in `rows`.
    Points beside a front stand in the configuration of their trial, and in those that a board measured.

    Args:
        archive: of the run.
        folder: of the run, for networks with early exits.
        baselines: trained ones.
    """
    # Which command goes on, the page of a running search says.
    note = unfinished_note(folder).removesuffix(" It goes on with:")
    try:
        exits = _adaptive(folder)
    except ValueError as error:
        # The rest can be shown all the same.
        exits, note = [], f"{note} {one_line(error)}".strip()
    rows = [*_evaluated(archive, INHERITED), *_evaluated(archive, TRAINED), *_baselines(archive, baselines), *exits]
    kind, data = error_kind(archive.data), archive.data
    name, guess = ERROR_NAMES[kind], GUESSES[kind]
    rows = [row | _texts(row, name, guess) for row in rows]
    present = {row["kind"] for row in rows}
    return {
        "run": folder.path.name,
        "note": note,
        "kinds": [_kind(one, rows, archive) for one in _TITLES if one in present],
        "told": TRAINED if archive.is_retrained else INHERITED,
        "error": name,
        "guess": guess,
        "guessing": None if data is None else data.guessing_error,
        "networks": len(archive),
        "heads": ["configuration", name, "on the test split", "latency", "energy", "parameters", "exits", "place"],
        "columns": list(rows[0]) if rows else [],
        "rows": [list(row.values()) for row in rows],
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class _ShownPoint:
    """A row as `moo.analysis.selection` chooses among points."""

    place: int
    """Of the row."""
    key: PointKey
    same_as: PointKey | None
    configuration: RuntimeConfiguration
    error: float
    latency_ms: float
    energy_mj: float
    beats_guessing: bool | None


def _choices(kind: str, rows: Sequence[Row]) -> dict[str, list[tuple[str, int]]]:
    """The points to choose from among a front, by what is asked for of `FILTERS`, as `/2//int8`."""
    front = [
        _ShownPoint(
            place=place,
            key=(
                row["id"],
                row["configuration"] if row["number"] is None else f"{row['configuration']} {row['number']}",
            ),
            same_as=row["same_as"],
            configuration=RuntimeConfiguration.parse(row["configuration"]),
            error=row["error"],
            latency_ms=row["latency_ms"],
            energy_mj=row["energy_mj"],
            beats_guessing=row["beats_guessing"],
        )
        for place, row in enumerate(rows)
        if row["front"] and row["kind"] == kind
    ]
    found = {}
    values = [tuple(json.dumps(rows[point.place][name]).strip('"') for name in FILTERS) for point in front]
    for asked in product(*({"", *column} for column in zip(*values, strict=True))):
        points = [
            point
            for point, own in zip(front, values, strict=True)
            if all(want in ("", value) for want, value in zip(asked, own, strict=True))
        ]
        if points:
            found["/".join(asked)] = [(name, point.place) for name, point in three_choices(points)]
    return found


def _kind(kind: str, rows: Sequence[Row], archive: Archive) -> Row:
    """A front to choose from, with what the axes of its costs are called."""
    own = [row for row in rows if row["kind"] == kind]
    latency = _LATENCIES.get(kind, "latency")
    energy = ENERGY_LABELS[own[0]["energy_kind"]] if kind in _LATENCIES else archive.energy.label
    errors = [row["energy_error"] for row in own]
    return {
        "kind": kind,
        "title": _TITLES[kind],
        "latency_name": latency,
        "latency_ms": cost_label(latency, "ms", {row["latency_source"] for row in own}),
        "energy_mj": cost_label(energy, "mJ", {row["energy_source"] for row in own}, errors),
        "choices": _choices(kind, rows),
    }


def _texts(row: Row, error: str, guess: str) -> Row:
    """What the table has of a point, and what is told of it where the pointer is."""
    on_selection = percent_within(row["error"], row["error_low"], row["error_high"])
    test = row["test_error"]
    on_test = "" if test is None else percent_within(test, row["test_error_low"], row["test_error_high"])
    place = "front" if row["front"] else "baseline" if row["kind"] == BASELINE else "dominated"
    same_as = row["same_as"]
    cells = [
        row["configuration"],
        f"{on_selection} selection, {row['weights']}",
        f"{on_test} test" if on_test else "",
        cost(row["latency_ms"], "ms", row["latency_source"]),
        cost(row["energy_mj"], "mJ", row["energy_source"]) + error_text([row["energy_error"]]),
        "" if row["params"] is None else f"{row['params']:,}",
        row["exits"] or "",
        f"front, like {same_as[0]}" if same_as else place,
    ]
    about = [
        f"{'baseline' if row['kind'] == BASELINE else 'network'} {row['id']}",
        cells[0],
        f"{error} {cells[1]}",
        f"{error} {cells[2]}" if on_test else "",
        f"{_LATENCIES.get(row['kind'], 'latency')} {cells[3]}",
        f"energy {cells[4]}",
        f"{cells[5]} parameters" if cells[5] else "",
        f"exits {cells[6]}" if cells[6] else "",
        f"not significantly below {same_as[0]}, which costs less" if same_as else "",
        f"not better than {guess}" if row["beats_guessing"] is False else "",
    ]
    return {"cells": cells, "about": "\n".join(filter(None, about))}


def _evaluated(archive: Archive, kind: str) -> Iterable[Row]:
    """Points of evaluated networks with inherited weights or after training, the front first, in its order."""
    retrained = archive.is_retrained
    if kind == TRAINED:
        front, points = archive.front() if retrained else (), archive.trained_points()
    else:
        front = archive.inherited_front()
        points = tuple(point for entry in archive.entries for point in _points(archive, entry))
    found = representatives(front, archive.data)
    stands_for = {_key(other): _key(one.point) for one in found for other in one.others}
    on_front = {_key(point) for point in front}
    for point in front:
        yield _row(point, archive, kind, front=True, same_as=stands_for.get(_key(point)))
    for point in points:
        if _key(point) not in on_front:
            yield _row(point, archive, kind, front=False, same_as=None)


def _points(archive: Archive, entry: Entry) -> Iterable[OperatingPoint]:
    """A network with inherited weights in its trial's configuration, and in those that were measured."""
    wanted = {entry.configuration or archive.base} | {one.configuration for one in entry.measurements}
    if all(archive.searched_error(entry, one) is None for one in wanted):
        wanted.add(archive.base)
    for configuration in archive.configurations:
        error = archive.searched_error(entry, configuration)
        if configuration in wanted and error is not None:
            yield OperatingPoint(
                entry=entry,
                configuration=configuration,
                error=error,
                costs=archive.searched_costs(entry, configuration),
                measurement=entry.measured_in(configuration),
            )


def _row(point: OperatingPoint, archive: Archive, kind: str, *, front: bool, same_as: tuple[str, str] | None) -> Row:
    on_selection, told = on_selection_split(point.error, archive.data), told_error(point, archive.data)
    costs = point.costs
    return _columns(
        kind=kind,
        id=point.id,
        configuration=point.configuration,
        error=point.error,
        interval=None if on_selection.interval is None else (on_selection.interval.low, on_selection.interval.high),
        expected=None
        if told.split == "selection"
        else (told.error, *((None, None) if told.interval is None else (told.interval.low, told.interval.high))),
        costs=(costs.latency_ms, costs.energy_mj),
        sources=(costs.latency_source, costs.energy_source),
        energy_error=costs.energy_error,
        energy_kind=archive.energy.kind,
        params=point.entry.params,
        beats_guessing=told.beats_guessing,
        front=front,
        same_as=same_as,
    )


def _baselines(archive: Archive, baselines: Sequence[TrainedNetwork]) -> Iterable[Row]:
    """Those with costs, in the run's base configuration."""
    for network in baselines:
        file, costs = network.file(archive.base.precision), file_costs(network, archive.base.precision, archive.energy)
        if file is None or costs is None:
            continue
        interval = on_selection_split(file.error, archive.data).interval
        yield _columns(
            kind=BASELINE,
            id=network.name,
            configuration=archive.base,
            error=file.error,
            interval=None if interval is None else (interval.low, interval.high),
            costs=(costs.latency_ms, costs.energy_mj),
            sources=(costs.latency_source, costs.energy_source),
            energy_error=costs.energy_error,
            energy_kind=archive.energy.kind,
            params=network.params,
        )


def _adaptive(folder: RunFolder) -> list[Row]:
    """Points of networks with early exits.

    Raises:
        ValueError: if they cannot be read.
    """
    if not folder.adaptive_front.exists():
        return []
    candidates = read_adaptive_candidates(folder.path)
    return [_exit_row(one, kind) for kind in (EXITS, WORST) for one in candidates]


def _exit_row(candidate: AdaptiveCandidate, kind: str) -> Row:
    point = candidate.point
    leaving = ", ".join(
        f"after layer {exit.layer + 1}: {100 * share:.0f} %"
        for exit, share in zip(point.exits, point.exit_shares, strict=False)
    )
    return _columns(
        kind=kind,
        id=point.id,
        configuration=point.configuration,
        number=candidate.number,
        error=point.error,
        interval=None if point.error_low is None or point.error_high is None else (point.error_low, point.error_high),
        expected=None if point.test_error is None else (point.test_error, None, None),
        costs=(point.worst_latency_ms if kind == WORST else point.latency_ms, point.energy_mj),
        sources=(point.latency_source, point.energy_source),
        energy_error=point.energy_error,
        energy_kind=point.energy_kind,
        params=sum(point.segment_params),
        beats_guessing=candidate.beats_guessing,
        front=True,
        exits=leaving or "none",
    )


def _columns(
    *,
    kind: str,
    id: str,
    configuration: RuntimeConfiguration,
    error: float,
    costs: tuple[float, float],
    sources: tuple[Source, Source],
    energy_kind: str,
    interval: tuple[float, float] | None = None,
    expected: tuple[float, float | None, float | None] | None = None,
    number: int | None = None,
    energy_error: float | None = None,
    params: int | None = None,
    beats_guessing: bool | None = None,
    front: bool = False,
    same_as: tuple[str, str] | None = None,
    exits: str | None = None,
) -> Row:
    """A row; all have the same keys. Errors are on the selection split, `expected` ones on the test split."""
    low, high = interval or (None, None)
    test, test_low, test_high = expected or (None, None, None)
    return {
        "kind": kind,
        "id": id,
        "configuration": configuration.label,
        "runtime": NAMES[configuration.runtime],
        "threads": configuration.threads,
        "frequency_mhz": configuration.frequency_mhz,
        "precision": configuration.precision,
        "number": number,
        "weights": INHERITED if kind == INHERITED else TRAINED,
        "error": error,
        "error_low": low,
        "error_high": high,
        "test_error": test,
        "test_error_low": test_low,
        "test_error_high": test_high,
        "beats_guessing": beats_guessing,
        "latency_ms": costs[0],
        "latency_source": sources[0],
        "energy_mj": costs[1],
        "energy_source": sources[1],
        "energy_error": energy_error if sources[1] == "modelled" else None,
        "energy_kind": energy_kind,
        "params": params,
        "front": front,
        "same_as": same_as,
        "exits": exits,
    }


def _key(point: OperatingPoint) -> tuple[str, str]:
    return point.id, point.configuration.label
