"""What the page tells of a network in words and tables: origin, training, operating points, measurements, exits.

Start at `searched_facts` and `baseline_facts`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from devices.measurement import Conditions, Measurement
from moo.analysis.adaptation import read_adaptive_results
from moo.analysis.errors import ToldError, on_selection_split, on_test_split, read_test_error
from moo.analysis.networks import file_costs
from moo.formatting import cost, error_text, percent, percent_within, short
from moo.page.cells import NONE, Cell, link, moment, table_json
from moo.page.opened import OpenedRun
from moo.storage.adaptive_front import AdaptivePoint
from moo.storage.archive import Costs, Entry
from moo.storage.trained_network import TrainedNetwork
from moo.trials import ArchitectureTrial

Json = dict[str, Any]
INTERVALS = "In parentheses stands the 95 % interval, which the number of images leaves open."
POINT_HEADS = ("configuration", "weights", "error, selection split", "error, test split", "latency")
CONDITION_HEADS = (
    "configuration", "date (UTC)", "median (IQR)", "runs", "temperature", "clock", "state", "idle power", "meter",
    "board",
)  # fmt: skip
EXIT_HEADS = (
    "configuration", "leaves at, by the largest softmax", "error, selection split", "error, test split",
    "expected latency", "longest way", "expected energy", "ways (as the expected latency)", "streamed on the board",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class PointFacts:
    """An operating point of a network."""

    configuration: str
    weights: str
    """`inherited` or `trained`."""
    selection: ToldError | None
    test: ToldError | None
    costs: Costs | None
    measurement: Measurement | None
    on_front: bool = False


def searched_facts(run: OpenedRun, entry: Entry) -> Json:
    """Paragraphs and tables of an evaluated architecture, and what is wrong with its file of early exits."""
    said = [_origin(run, entry)]
    if entry.trained is not None:
        said.append(_training(run, entry.trained))
    sections = _sections(run, entry.architecture.id, list(points_of(run, entry)))
    try:
        results = read_adaptive_results(run.folder)
    except ValueError as error:
        return {"said": said, "sections": sections, "problem": str(error)}
    found = () if results is None else results.front
    exits = [one for one in found if one.id == entry.architecture.id and one.exits]
    if exits:
        rows = [_policy(point, run) for point in exits]
        sections.append(
            {"title": "Early exits", **table_json(f"Early exits of {entry.architecture.id}", EXIT_HEADS, rows)}
        )
    return {"said": said, "sections": sections}


def baseline_facts(run: OpenedRun, network: TrainedNetwork) -> Json:
    """The same of a baseline."""
    data = run.origin.dataset
    points = [
        PointFacts(
            configuration=(run.archive.base if file.measurement is None else file.measurement.configuration).label,
            weights="trained",
            selection=on_selection_split(file.error, data),
            test=on_test_split(1 - file.top1, data),
            costs=file_costs(network, file.precision, run.archive.energy),
            measurement=file.measurement,
        )
        for file in network.files
    ]
    return {"said": [_training(run, network)], "sections": _sections(run, network.name, points)}


def points_of(run: OpenedRun, entry: Entry) -> Iterator[PointFacts]:
    """Its operating points with inherited weights, then those after training; also those whose error is not known."""
    archive = run.archive
    on_front = {(point.id, point.configuration, point.trained) for point in run.front}
    known = {point.configuration: point for point in archive.points([entry])}
    for configuration in archive.configurations:
        point = known.get(configuration)
        test = None if point is None else point.test_error
        yield PointFacts(
            configuration=configuration.label,
            weights="inherited",
            selection=None if point is None else on_selection_split(point.error, archive.data),
            test=None if test is None else on_test_split(test, archive.data),
            costs=archive.searched_costs(entry, configuration),
            measurement=entry.measured_in(configuration),
            on_front=(entry.architecture.id, configuration, False) in on_front,
        )
    for point in archive.trained_points() if entry.trained is not None else ():
        if point.id != entry.architecture.id:
            continue
        test = read_test_error(point)
        yield PointFacts(
            configuration=point.configuration.label,
            weights="trained",
            selection=on_selection_split(point.error, archive.data),
            test=None if test is None else on_test_split(test, archive.data),
            costs=point.costs,
            measurement=point.measurement,
            on_front=(point.id, point.configuration, True) in on_front,
        )


def state_of(measurement: Measurement) -> str:
    """Whether a measurement is as it should be."""
    told = (
        "throttled" if measurement.throttled else "",
        "" if measurement.reliable else "spread too wide",
        measurement.energy_note or "",
    )
    return "; ".join(filter(None, told)) or "good"


def before_and_after(measurement: Measurement, name: str) -> list[float | None]:
    """A figure of `Conditions` before and after a measurement."""
    return [_figure(measurement.before, name), _figure(measurement.after, name)]


def _figure(conditions: Conditions, name: str) -> float | None:
    value = getattr(conditions, name)
    return None if value is None else float(value)


def _sections(run: OpenedRun, name: str, points: Sequence[PointFacts]) -> list[Json]:
    heads = [*POINT_HEADS, run.archive.energy.label, "on the front"]
    operating = table_json(f"Operating points of {name}", heads, map(_point, points))
    sections = [{"title": "Operating points", "note": INTERVALS, **operating}]
    rows = [_conditions(point, point.measurement) for point in points if point.measurement is not None]
    if rows:
        sections.append({"title": "Measurements", **table_json(f"Measurements of {name}", CONDITION_HEADS, rows)})
    return sections


def _point(point: PointFacts) -> list[Cell]:
    costs = [NONE, NONE]
    if point.costs is not None:
        energy = cost(point.costs.energy_mj, "mJ", point.costs.energy_source) + error_text([point.costs.energy_error])
        costs = [cost(point.costs.latency_ms, "ms", point.costs.latency_source), energy]
    errors = [_error(point.selection), _error(point.test)]
    return [point.configuration, point.weights, *errors, *costs, "yes" if point.on_front else "no"]


def _error(told: ToldError | None) -> str:
    if told is None:
        return NONE
    interval = told.interval
    return percent(told.error) if interval is None else percent_within(told.error, interval.low, interval.high)


def _conditions(point: PointFacts, m: Measurement) -> list[Cell]:
    def both(name: str, unit: str) -> str:
        values = [short(value) for value in before_and_after(m, name) if value is not None]
        return f"{' → '.join(dict.fromkeys(values))} {unit}" if values else "not told"

    return [
        f"{point.configuration}, {point.weights}",
        moment(m.date),
        f"{short(m.median_ms)} ms ({short(m.iqr_ms)})",
        f"{m.runs}",
        both("temperature_c", "°C"),
        both("clock_mhz", "MHz"),
        state_of(m),
        "not known" if m.idle_w is None else f"{short(m.idle_w)} W",
        m.meter or "none",
        f"{m.board}; {m.runtime}; {m.os}",
    ]


def _training(run: OpenedRun, network: TrainedNetwork) -> list[Cell]:
    data = run.origin.dataset
    return [
        f"Trained for {short(network.epochs)} epochs from {'inherited weights' if network.fine_tuned else 'scratch'}: "
        f"error {_error(on_selection_split(network.error, data))} on the selection split, "
        f"{_error(on_test_split(1 - network.top1, data))} on the test split (PyTorch, fp32)."
    ]


def _origin(run: OpenedRun, entry: Entry) -> list[Cell]:
    """Which trial has found it, where, and with which coefficients."""
    stored = run.trials.get(entry.trial_id)
    on_surrogate = stored is not None and isinstance(stored.trial, ArchitectureTrial)
    where = "on the supernet"
    if on_surrogate:
        proposer = "NSGA-II" if run.config.method == "architectures" else "a local search"
        where = "on the surrogate" if entry.coefficients is not None else f"proposed by {proposer}"
    told = "" if stored is None or stored.trial.generation < 0 else f" of generation {stored.trial.generation + 1}"
    told += f", {where}{' (mode of theta)' if entry.position == 0 and not on_surrogate else ''}"
    if (c := entry.coefficients) is not None:
        told += f": alpha {short(c.alpha)}, beta {short(c.beta)}, gamma {short(c.gamma)}, delta {short(c.delta)}"
    told += "." if entry.configuration is None else f", for {entry.configuration.label}."
    return ["Found by ", link(f"trial {entry.trial_id}", f"coefficients/{entry.trial_id}"), told]


def _policy(point: AdaptivePoint, run: OpenedRun) -> list[Cell]:
    data, streamed = run.origin.dataset, point.streamed
    exits = zip(point.exits, point.thresholds, strict=True)
    ways = zip(point.exit_shares, point.path_latency_ms, strict=True)
    return [
        point.configuration.label,
        "; ".join(f"layer {one.layer + 1} ({one.head}) above {short(threshold)}" for one, threshold in exits),
        _error(on_selection_split(point.error, data)),
        _error(None if point.test_error is None else on_test_split(point.test_error, data)),
        cost(point.latency_ms, "ms", point.latency_source),
        cost(point.worst_latency_ms, "ms", point.latency_source),
        cost(point.energy_mj, "mJ", point.energy_source),
        "; ".join(f"{percent(share)} in {short(ms)} ms" for share, ms in ways),
        NONE
        if streamed is None
        else f"{short(streamed.mean_latency_ms)} ms, {percent(streamed.error)} of {streamed.images} images",
    ]
