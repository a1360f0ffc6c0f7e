"""What the page tells of one network: layers and their costs, operating points, training, early exits, files, card.

Any network that was evaluated can be looked at, and baselines. Start at `routes`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from devices.configuration import RuntimeConfiguration
from devices.measurement import Measurement
from moo.analysis.adaptation import read_adaptive_results
from moo.analysis.errors import ToldError, on_selection_split, on_test_split, read_test_error
from moo.analysis.networks import file_costs
from moo.page.answers import NotThereError, answering, as_json
from moo.page.folders import Runs, run_named
from moo.page.network_files import card_html, read_file, there
from moo.page.opened import OpenedRun, looking_at, opened
from moo.page.settings import PageSettings
from moo.storage.adaptive_front import AdaptivePoint
from moo.storage.archive import Costs, Entry
from moo.storage.trained_network import TrainedNetwork
from moo.trials import ArchitectureTrial
from search_space.architectures import Architecture
from search_space.descriptions import ArchitectureDescription, describe_architecture
from search_space.operators import operator_named
from search_space.spaces import FBNetSpace

Json = dict[str, Any]


def network_json(run: OpenedRun, name: str) -> Json:
    """All that is told of a network.

    Args:
        run: that it belongs to.
        name: id of an evaluated architecture, or name of a baseline.

    Raises:
        NotThereError: if the run has no such network.
    """
    if name in run.archive:
        return _searched(run, run.archive[name])
    baseline = run.baseline(name)
    if baseline is None:
        raise NotThereError(f"the run has no network {name!r}")
    return _baseline(run, baseline)


def names_json(run: OpenedRun) -> list[Json]:
    """Networks to choose from, those of the front first: ids, and what they are."""
    on_front = dict.fromkeys(point.id for point in run.front)
    others = [entry.architecture.id for entry in run.archive.entries if entry.architecture.id not in on_front]
    found = [{"id": one, "kind": "on the front"} for one in on_front]
    found += [{"id": one, "kind": "evaluated"} for one in others]
    return found + [{"id": one.name, "kind": "baseline"} for one in run.baselines]


def drawn_json(run: OpenedRun, architecture: Architecture) -> Json:
    """What a drawing of a network shows: layers, stem and head, and costs by layer in each configuration."""
    space, described = run.origin.space, describe_architecture(run.origin.space, architecture)
    return {
        "id": architecture.id,
        "space": space.name,
        "energy": run.archive.energy.label,
        "macs": described.macs,
        "params": described.params,
        "stem": {"channels": space.stem_channels, "stride": space.stem_stride, "size": space.input_size},
        "head": {"channels": space.last_channels, "classes": space.classes},
        "layers": layers_json(space, described),
        "costs": {one.label: costs_by_layer(run, architecture, one) for one in run.archive.configurations},
    }


def costs_by_layer(run: OpenedRun, architecture: Architecture, configuration: RuntimeConfiguration) -> Json:
    """What the run's cost table predicts, by layer: `fixed` and all of `layers` come to `sum`.

    The table is as the networks that were measured have corrected it, with the energy that the run minimises.
    """
    tables = run.archive.tables
    assert tables is not None, "an opened run has tables"
    table = run.archive.energy.table(tables[configuration])
    indices = [table.operators.index(operator) for operator in architecture.operators]
    return {
        "latency_ms": _by_layer(table.latency_ms[range(len(indices)), indices].tolist(), table.fixed_latency_ms),
        "energy_mj": _by_layer(table.energy_mj[range(len(indices)), indices].tolist(), table.fixed_energy_mj),
        "corrected": tables[configuration] is not run.tables[configuration],
        "board": table.board,
    }


def layers_json(space: FBNetSpace, described: ArchitectureDescription) -> list[Json]:
    """The searchable layers of a network in order."""
    return [
        {
            "operator": one.operator,
            "kernel": operator.kernel,
            "expansion": operator.expansion,
            "groups": operator.groups,
            "in_channels": layer.in_channels,
            "out_channels": layer.out_channels,
            "stride": layer.stride,
            "size": layer.size,
            "out_size": -(-layer.size // layer.stride),
            "identity": operator.is_skip and layer.keeps_shape,
            "macs": one.macs,
            "params": one.params,
        }
        for one, layer in zip(described.layers, space.layers, strict=True)
        for operator in [operator_named(one.operator)]
    ]


def _by_layer(layers: Sequence[float], fixed: float) -> Json:
    return {"fixed": fixed, "layers": layers, "sum": fixed + sum(layers)}


def _searched(run: OpenedRun, entry: Entry) -> Json:
    identifier = entry.architecture.id
    return {
        **drawn_json(run, entry.architecture),
        "kind": "on the front" if any(point.id == identifier for point in run.front) else "evaluated",
        "points": list(_points(run, entry)),
        "trained": None if entry.trained is None else _training(run, entry.trained),
        "trial": _trial(run, entry),
        **_adaptive(run, identifier),
        "files": there(run.folder, identifier, baseline=False),
    }


def _baseline(run: OpenedRun, network: TrainedNetwork) -> Json:
    points = [
        {
            "configuration": _label_of(file.measurement, run),
            "weights": "trained",
            "selection": _error(on_selection_split(file.error, run.origin.dataset)),
            "test": _error(on_test_split(1 - file.top1, run.origin.dataset)),
            **(_costs(costs) if costs is not None else {}),
            "measurement": _conditions(file.measurement),
            "on_front": False,
        }
        for file in network.files
        for costs in [file_costs(network, file.precision, run.archive.energy)]
    ]
    return {
        "id": network.name,
        "kind": "baseline",
        "energy": run.archive.energy.label,
        "macs": network.macs,
        "params": network.params,
        "points": points,
        "trained": _training(run, network),
        "files": there(run.folder, network.name, baseline=True),
    }


def _label_of(measurement: Measurement | None, run: OpenedRun) -> str:
    return (run.archive.base if measurement is None else measurement.configuration).label


def _points(run: OpenedRun, entry: Entry) -> Iterator[Json]:
    """Its operating points with inherited weights, then those after training; also those whose error is not known."""
    archive = run.archive
    on_front = {(point.id, point.configuration, point.trained) for point in run.front}
    known = {point.configuration: point for point in archive.points([entry])}
    for configuration in archive.configurations:
        point = known.get(configuration)
        measurement = entry.measured_in(configuration)
        test = None if point is None else point.test_error
        yield {
            "configuration": configuration.label,
            "weights": "inherited",
            "selection": None if point is None else _error(on_selection_split(point.error, archive.data)),
            "test": None if test is None else _error(on_test_split(test, archive.data)),
            **_costs(archive.searched_costs(entry, configuration)),
            "measurement": _conditions(measurement),
            "on_front": (entry.architecture.id, configuration, False) in on_front,
        }
    for point in archive.trained_points() if entry.trained is not None else ():
        if point.id != entry.architecture.id:
            continue
        test = read_test_error(point)
        yield {
            "configuration": point.configuration.label,
            "weights": "trained",
            "selection": _error(on_selection_split(point.error, archive.data)),
            "test": None if test is None else _error(on_test_split(test, archive.data)),
            **_costs(point.costs),
            "measurement": _conditions(point.measurement),
            "on_front": (point.id, point.configuration, True) in on_front,
        }


def _error(told: ToldError) -> Json:
    interval = told.interval
    return {
        "error": told.error,
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
        "images": told.images,
    }


def _costs(costs: Costs) -> Json:
    return {
        "latency_ms": costs.latency_ms,
        "latency_source": costs.latency_source,
        "energy_mj": costs.energy_mj,
        "energy_source": costs.energy_source,
        "energy_error": costs.energy_error,
    }


def _conditions(measurement: Measurement | None) -> Json | None:
    """How a measurement came about."""
    if measurement is None:
        return None
    m = measurement
    return {
        "board": m.board,
        "os": m.os,
        "runtime": m.runtime,
        "date": m.date,
        "runs": m.runs,
        "median_ms": m.median_ms,
        "iqr_ms": m.iqr_ms,
        "reliable": m.reliable,
        "throttled": m.throttled,
        "before": asdict(m.before),
        "after": asdict(m.after),
        "meter": m.meter,
        "idle_w": m.idle_w,
        "energy_interval_mj": m.energy_interval_mj,
        "energy_note": m.energy_note,
    }


def _training(run: OpenedRun, network: TrainedNetwork) -> Json:
    data = run.origin.dataset
    return {
        "epochs": network.epochs,
        "seconds": network.seconds,
        "fine_tuned": network.fine_tuned,
        "selection": _error(on_selection_split(network.error, data)),
        "test": _error(on_test_split(1 - network.top1, data)),
        "top3": network.top3,
        "files": [
            {
                "precision": file.precision,
                "selection": _error(on_selection_split(file.error, data)),
                "test": _error(on_test_split(1 - file.top1, data)),
                "logits_difference": file.logits_difference,
            }
            for file in network.files
        ],
    }


def _trial(run: OpenedRun, entry: Entry) -> Json:
    stored = run.trials.get(entry.trial_id)
    on_surrogate = stored is not None and isinstance(stored.trial, ArchitectureTrial)
    where = "on the supernet"
    if on_surrogate:
        where = "on the surrogate" if entry.coefficients is not None else "proposed as an architecture"
    return {
        "id": entry.trial_id,
        "generation": None if stored is None else stored.trial.generation + 1,
        "where": where,
        "mode": entry.position == 0 and not on_surrogate,
        "coefficients": None if entry.coefficients is None else asdict(entry.coefficients),
        "configuration": None if entry.configuration is None else entry.configuration.label,
    }


def _adaptive(run: OpenedRun, identifier: str) -> Json:
    """Its operating points with early exits; why they cannot be told where their file is damaged."""
    try:
        results = read_adaptive_results(run.folder)
    except ValueError as error:
        return {"adaptive": [], "adaptive_problem": str(error)}
    points = () if results is None else results.front
    return {"adaptive": [_policy(point, run) for point in points if point.id == identifier and point.exits]}


def _policy(point: AdaptivePoint, run: OpenedRun) -> Json:
    told = on_selection_split(point.error, run.origin.dataset)
    test = None if point.test_error is None else on_test_split(point.test_error, run.origin.dataset)
    ways = zip(point.exit_shares, point.path_latency_ms, point.path_energy_mj, strict=True)
    return {
        "configuration": point.configuration.label,
        "selection": _error(told),
        "test": None if test is None else _error(test),
        "static_error": point.static_error,
        "latency_ms": point.latency_ms,
        "worst_latency_ms": point.worst_latency_ms,
        "energy_mj": point.energy_mj,
        "latency_source": point.latency_source,
        "energy_source": point.energy_source,
        "exits": [
            {"layer": one.layer + 1, "head": one.head, "threshold": threshold}
            for one, threshold in zip(point.exits, point.thresholds, strict=True)
        ],
        "ways": [{"share": share, "latency_ms": ms, "energy_mj": mj} for share, ms, mj in ways],
        "streamed": None if point.streamed is None else asdict(point.streamed),
    }


def routes(settings: PageSettings) -> list[Route]:
    """Of networks, their files and cards."""
    runs = Runs(settings.runs)

    def run_of(request: Request) -> OpenedRun:
        return opened(run_named(runs, request))

    def network_of(request: Request) -> tuple[OpenedRun, str, bool]:
        run, name = run_of(request), str(request.path_params["network"])
        if name not in run.archive and run.baseline(name) is None:
            raise NotThereError(f"the run has no network {name!r}")
        return run, name, name not in run.archive

    def network(request: Request) -> Mapping[str, Any]:
        run, name, _ = network_of(request)
        return network_json(run, name)

    def card(request: Request) -> Mapping[str, Any]:
        run, name, baseline = network_of(request)
        return {"html": card_html(run.folder, name, str(request.query_params.get("of", "card.md")), baseline=baseline)}

    async def file(request: Request) -> Response:
        def read() -> Response:
            run, name, baseline = network_of(request)
            wanted = str(request.path_params["file"])
            content = read_file(run.folder, name, wanted, baseline=baseline)
            sent = f"{name}-{wanted.replace('/', '-')}" if name.isalnum() else wanted.replace("/", "-")
            headers = {"content-disposition": f'attachment; filename="{sent}"'}
            return Response(content, media_type="application/octet-stream", headers=headers)

        try:
            return await run_in_threadpool(read)
        except NotThereError as error:
            return as_json({"error": str(error)}, status=404)
        except ValueError as error:
            return as_json({"error": str(error)}, status=422)

    place = "/api/runs/{run:path}/-/networks"
    return [
        Route(f"{place}/{{network}}/files/{{file:path}}", file),
        Route(f"{place}/{{network}}/card", answering(card)),
        Route(f"{place}/{{network}}", answering(network)),
        Route(place, answering(looking_at(runs, lambda run: {"networks": names_json(run)}))),
    ]
