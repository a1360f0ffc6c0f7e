"""What a run hands over: front.json, and a folder with files for each network of the front."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.numpy

from devices.onnx_graphs import to_onnx
from evaluation.work_folder import write_atomically
from moo.archive import Archive, Entry
from moo.jobs import Arrays, DeliveryResult
from moo.plots import write_plots
from moo.preparation import Preparation
from moo.report import report_markdown
from moo.run_folder import RunFolder
from moo.store import Store
from search_space.counts import count
from search_space.spaces import FBNetSpace


def front_json(archive: Archive) -> list[dict[str, Any]]:
    """The front as plain values, best accuracy first.

    `error` is that on the selection split which the front was made by: after training (`error_source` is `trained`) if
    all networks of the search's front were trained, else with inherited weights.
    `test_error` is always that of inherited weights; `trained` has all that came of training.
    """
    items, retrained = [], archive.is_retrained
    for entry in archive.front():
        costs = archive.costs(entry)
        items.append(
            {
                "architecture": entry.architecture.to_json(),
                "error": entry.best_error if retrained else entry.error,
                "error_source": "trained" if retrained else "inherited",
                "inherited_error": entry.error,
                "latency_ms": costs.latency_ms,
                "energy_mj": costs.energy_mj,
                "latency_source": costs.latency_source,
                "energy_source": costs.energy_source,
                "coefficients": dataclasses.asdict(entry.coefficients),
                "test_error": entry.test_error,
                "trained": None if entry.trained is None else entry.trained.to_json(),
                "tuple": entry.tuple_id,
                "measurement": None if entry.measurement is None else entry.measurement.to_json(),
            }
        )
    return items


def onnx_model(space: FBNetSpace, entry: Entry, weights: Arrays) -> bytes:
    """The ONNX file of a network; input `images` is normalised as `card.md` says."""
    return to_onnx(space.graph(entry.architecture.operators), weights)


def write_front(
    folder: RunFolder,
    archive: Archive,
    space: FBNetSpace,
    delivered: Mapping[str, DeliveryResult],
    origin: Mapping[str, Any],
) -> None:
    """Write front.json and front/<architecture id>/ for every network of the front; other folders there go."""
    front = archive.front()
    kept = {entry.architecture.id for entry in front}
    if folder.networks.is_dir():
        for path in folder.networks.iterdir():
            if path.is_dir() and path.name not in kept:
                shutil.rmtree(path)
    for entry, item in zip(front, front_json(archive), strict=True):
        result = delivered.get(entry.architecture.id)
        if result is not None:
            _write_network(folder.networks / entry.architecture.id, entry, item, space, result.weights, origin)
    write_atomically(folder.front, (json.dumps(front_json(archive), indent=1) + "\n").encode())


def write_pictures_and_report(preparation: Preparation, archive: Archive) -> None:
    """Write plots/*.png and report.md of a run that has ended."""
    folder = preparation.folder
    store = Store(folder.store)
    try:
        pictures = write_plots(folder.plots, archive, store, preparation.space)
        names = [str(path.relative_to(folder.path)) for path in pictures]
        report = report_markdown(archive, store, preparation.config, preparation.origin, preparation.space, names)
        write_atomically(folder.report, report.encode())
    finally:
        store.close()


def _write_network(
    path: Path, entry: Entry, item: dict[str, Any], space: FBNetSpace, weights: Arrays, origin: Mapping[str, Any]
) -> None:
    write_atomically(path / "architecture.json", (json.dumps(entry.architecture.to_json(), indent=1) + "\n").encode())
    write_atomically(path / "weights.safetensors", safetensors.numpy.save(weights))
    write_atomically(path / "model.onnx", onnx_model(space, entry, weights))
    write_atomically(path / "card.md", _card(entry, item, space, origin).encode())


def _card(entry: Entry, item: dict[str, Any], space: FBNetSpace, origin: Mapping[str, Any]) -> str:
    counts = count(space.graph(entry.architecture.operators))
    data = origin["dataset"]
    measurement = entry.measurement
    measured_on = (
        "not measured"
        if measurement is None
        else f"{measurement.board}, {measurement.runtime}, {measurement.threads} thread(s), {measurement.runs} runs, "
        f"{measurement.date}"
    )
    test = "not read" if entry.test_error is None else f"{entry.test_error:.4f}"
    layers = "\n".join(f"{number}. `{name}`" for number, name in enumerate(entry.architecture.operators, start=1))
    return f"""# {entry.architecture.id}

An image classifier of the space `{space.name}`, found by a Pareto search, with weights inherited from the supernet
(not retrained).

| | |
|---|---|
| error, selection split | {entry.error:.4f} ({data["images"]["selection"]} images) |
| error, test split | {test} ({data["images"]["test"]} images) |
| latency | {item["latency_ms"]:.4f} ms ({item["latency_source"]}; 5th percentile of single inferences) |
| energy | {item["energy_mj"]:.4f} mJ above idle ({item["energy_source"]}) |
| conditions | {measured_on} |
| multiply-accumulates | {counts.macs:,} |
| parameters | {counts.params:,} |

Input `images`: float32, shape (batch, {", ".join(str(side) for side in space.input_shape)}), RGB, pixels in
[0, 1], then minus {_figures(data["mean"])} and divided by {_figures(data["std"])} for each channel.
Output `logits`: one score a class, in this order: {", ".join(data["classes"])}.

Layers:

{layers}
"""


def _figures(values: list[float]) -> str:
    return "(" + ", ".join(f"{value:.4f}" for value in values) + ")"
