"""What the page tells of one network: layers and their costs, operating points, training, early exits, files, card.

Any network that was evaluated can be looked at, and baselines. Start at `routes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from devices.configuration import RuntimeConfiguration
from moo.formatting import short
from moo.page.answers import NotThereError, answering, as_json
from moo.page.cells import table_json
from moo.page.folders import Runs, run_named
from moo.page.network_drawing import LEGEND, drawing_json
from moo.page.network_facts import baseline_facts, searched_facts
from moo.page.network_files import card_html, read_file, there
from moo.page.opened import OpenedRun, looking_at, opened
from moo.page.settings import PageSettings
from moo.storage.archive import Entry
from moo.storage.trained_network import TrainedNetwork
from search_space.architectures import Architecture
from search_space.boundary.text import shown
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


def layers_view(run: OpenedRun, names: Sequence[str], label: str) -> Json:
    """Networks drawn one below the other, with a table of their layers; of two, the layers that differ are marked.

    Args:
        run: that they belong to.
        names: ids of one or two evaluated architectures.
        label: of the configuration whose costs are told.

    Raises:
        NotThereError: if the run has no such architecture.
        ValueError: if it has no such configuration.
    """
    labels = [one.label for one in run.archive.configurations]
    if label not in labels:
        raise ValueError(f"`configuration` must be one of {', '.join(labels)}, but got {shown(label)}.")
    unknown = [name for name in names if name not in run.archive]
    if unknown:
        raise NotThereError(f"the run has no architecture {unknown[0]!r}")
    architectures = [run.archive[name].architecture for name in names]
    drawn = [drawn_json(run, architecture) for architecture in architectures]
    all_operators = zip(*(one.operators for one in architectures), strict=True)
    differing = [place for place, operators in enumerate(all_operators) if len(set(operators)) > 1]
    return {
        "differing": _differing(differing, len(drawn[0]["layers"])) if len(drawn) > 1 else "",
        "networks": [
            {"id": one["id"], "image": drawing_json(one, label, differing), "sums": _sums(one, label)} for one in drawn
        ],
        "table": _layer_table(drawn, label, differing),
        "legend": LEGEND,
    }


def _differing(places: Sequence[int], layers: int) -> str:
    if not places:
        return "All layers are the same."
    numbers = ", ".join(str(place + 1) for place in places)
    return f"≠ and a thick frame: {len(places)} of {layers} layers differ ({numbers})."


def _sums(network: Json, label: str) -> str:
    costs = network["costs"][label]
    latency, energy = (
        f"layers {short(own['sum'] - own['fixed'])} + fixed {short(own['fixed'])} = {short(own['sum'])} {unit}"
        for own, unit in ((costs["latency_ms"], "ms"), (costs["energy_mj"], "mJ"))
    )
    table = "the cost table as boards corrected it" if costs["corrected"] else "the cost table"
    return f"Predicted by {table}: latency {latency}; {network['energy']} {energy} (modelled)."


def _layer_table(networks: Sequence[Json], label: str, differing: Sequence[int]) -> Json:
    heads = ["layer", "channels", "resolution", "stride"]
    heads += ["operator", "latency (ms, modelled)", "energy (mJ, modelled)", "parameters"] * len(networks)
    rows = []
    for place, layer in enumerate(networks[0]["layers"]):
        row = [f"{place + 1}{' ≠' if place in differing else ''}", f"{layer['in_channels']} → {layer['out_channels']}"]
        row += [f"{layer['size']} → {layer['out_size']} px", f"{layer['stride']}"]
        for network in networks:
            own, costs = network["layers"][place], network["costs"][label]
            figures = [short(costs[name]["layers"][place]) for name in ("latency_ms", "energy_mj")]
            row += [own["operator"], *figures, f"{own['params']:,}"]
        rows.append(row)
    return table_json("Layers as a table", heads, rows)


def _searched(run: OpenedRun, entry: Entry) -> Json:
    identifier = entry.architecture.id
    described = describe_architecture(run.origin.space, entry.architecture)
    kind = "On the front" if any(point.id == identifier for point in run.front) else "Evaluated"
    return {
        "id": identifier,
        "summary": _summary(kind, described.params, described.macs),
        "configurations": [one.label for one in run.archive.configurations],
        "files": there(run.folder, identifier, baseline=False),
        **searched_facts(run, entry),
    }


def _baseline(run: OpenedRun, network: TrainedNetwork) -> Json:
    return {
        "id": network.name,
        "summary": _summary("Baseline", network.params, network.macs),
        "configurations": [],
        "files": there(run.folder, network.name, baseline=True),
        **baseline_facts(run, network),
    }


def _summary(kind: str, params: int, macs: int) -> str:
    return f"{kind}; {params:,} parameters, {macs:,} multiply-accumulates."


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

    def layers(request: Request) -> Mapping[str, Any]:
        beside = request.query_params.get("beside")
        names = [str(request.path_params["network"]), *([beside] if beside else [])]
        return layers_view(run_of(request), names, request.query_params.get("configuration", ""))

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
        Route(f"{place}/{{network}}/layers", answering(layers)),
        Route(f"{place}/{{network}}", answering(network)),
        Route(place, answering(looking_at(runs, lambda run: {"networks": names_json(run)}))),
    ]
