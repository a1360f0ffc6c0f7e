"""All that a run evaluated, as the Front page and explore.html show it: plain values, a row a point. See `explored`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from devices.configuration import RuntimeConfiguration
from devices.measurement import Source
from evaluation.errors import ERROR_NAMES, GUESSES
from moo.analysis.adaptation import ENERGY_LABELS
from moo.analysis.adaptive_selection import AdaptiveCandidate, read_adaptive_candidates
from moo.analysis.errors import error_kind, on_selection_split, told_error
from moo.analysis.networks import file_costs
from moo.analysis.representatives import representatives
from moo.storage.archive import Archive, Entry, OperatingPoint
from moo.storage.run_folder import RunFolder
from moo.storage.search_state import unfinished_note
from moo.storage.trained_network import TrainedNetwork
from search_space.boundary.text import one_line

Row = dict[str, Any]
INHERITED, TRAINED, EXITS, BASELINE = "inherited", "trained", "exits", "baseline"


def explored(archive: Archive, folder: RunFolder, baselines: Sequence[TrainedNetwork]) -> dict[str, Any]:
    """What a run has found so far.

    `kinds` names the fronts that there are to choose from: of networks with `inherited` weights, of `trained` ones, and
    with early `exits`; `told` is the one that front.json has. Points beside a front stand in the configuration of their
    trial, and in those that a board measured.

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
    present = {row["kind"] for row in rows}
    return {
        "run": folder.path.name,
        "note": note,
        "kinds": [kind for kind in (INHERITED, TRAINED, EXITS) if kind in present],
        "told": TRAINED if archive.is_retrained else INHERITED,
        "error": ERROR_NAMES[kind],
        "guess": GUESSES[kind],
        "guessing": None if data is None else data.guessing_error,
        "energy": archive.energy.label,
        "exits_energy": ENERGY_LABELS[exits[0]["energy_kind"]] if exits else None,
        "networks": len(archive),
        "columns": list(rows[0]) if rows else [],
        "rows": [list(row.values()) for row in rows],
    }


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
    return [_exit_row(candidate) for candidate in read_adaptive_candidates(folder.path)]


def _exit_row(candidate: AdaptiveCandidate) -> Row:
    point = candidate.point
    leaving = ", ".join(
        f"after layer {exit.layer + 1}: {100 * share:.0f} %"
        for exit, share in zip(point.exits, point.exit_shares, strict=False)
    )
    return _columns(
        kind=EXITS,
        id=point.id,
        configuration=point.configuration,
        number=candidate.number,
        error=point.error,
        interval=None if point.error_low is None or point.error_high is None else (point.error_low, point.error_high),
        expected=None if point.test_error is None else (point.test_error, None, None),
        costs=(point.latency_ms, point.energy_mj),
        worst_latency_ms=point.worst_latency_ms,
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
    worst_latency_ms: float | None = None,
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
        "worst_latency_ms": worst_latency_ms,
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
