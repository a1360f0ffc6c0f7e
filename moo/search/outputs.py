"""What a run hands over: front.json, and a folder with files for each network of the front."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import safetensors.numpy

from evaluation.work_folder import write_atomically
from moo.config import SearchConfig
from moo.report.card import card_markdown, front_card
from moo.report.html import report_html
from moo.report.report import report_markdown
from moo.storage.archive import Archive, Entry
from moo.storage.run_folder import RunFolder
from moo.storage.store import read_store
from moo.trials import Arrays, DeliveryResult
from moo.visualization.gallery import write_plots
from search_space.onnx_files import to_onnx
from search_space.spaces import FBNetSpace


def front_json(archive: Archive) -> list[dict[str, Any]]:
    """The front as plain values, best accuracy first.

    `error` is that on the selection split which the front was made by: after training (`error_source` is `trained`) if
    all networks of the search's front were trained, else with inherited weights. After training it is that of the file
    in `precision`, which the costs are of, too.
    `test_error` is always that of inherited weights; `trained` has all that came of training.
    """
    items, retrained = [], archive.is_retrained
    for entry in archive.front():
        costs = archive.costs(entry)
        items.append(
            {
                "architecture": entry.architecture.to_json(),
                "error": archive.error(entry) if retrained else entry.error,
                "error_source": "trained" if retrained else "inherited",
                "inherited_error": entry.error,
                "precision": archive.precision,
                "latency_ms": costs.latency_ms,
                "energy_mj": costs.energy_mj,
                "latency_source": costs.latency_source,
                "energy_source": costs.energy_source,
                "coefficients": None if entry.coefficients is None else dataclasses.asdict(entry.coefficients),
                "test_error": entry.test_error,
                "trained": None if entry.trained is None else entry.trained.to_json(),
                "trial": entry.trial_id,
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
    *,
    dataset: str | None = None,
) -> None:
    """Write front.json and front/<architecture id>/ for every network of the front; other folders there go.

    Args:
        folder: of the run.
        archive: all evaluated architectures.
        space: that was searched.
        delivered: weights of networks, by architecture id.
        origin: what the run was made from, as in config.json.
        dataset: how the user named the data set, for the cards.
    """
    front = archive.front()
    kept = {entry.architecture.id for entry in front}
    if folder.networks.is_dir():
        for path in folder.networks.iterdir():
            if path.is_dir() and path.name not in kept:
                shutil.rmtree(path)
    for entry in front:
        result = delivered.get(entry.architecture.id)
        if result is not None and entry.trained is None:
            card = card_markdown(front_card(entry, archive, space), origin, dataset=dataset)
            _write_network(folder.networks / entry.architecture.id, entry, card, space, result.weights)
    write_atomically(folder.front, (json.dumps(front_json(archive), indent=1) + "\n").encode())


class RunInputs(Protocol):
    """What a run was made from: a `Preparation` or a `FinishedRun`."""

    @property
    def folder(self) -> RunFolder:
        """Of the run."""

    @property
    def config(self) -> SearchConfig:
        """Its settings."""

    @property
    def origin(self) -> dict[str, Any]:
        """As in config.json."""

    @property
    def space(self) -> FBNetSpace:
        """That was searched, with the classes of the data set."""


def write_pictures_and_report(run: RunInputs, archive: Archive) -> None:
    """Write plots/*.png, report.md and report.html of a run that has ended."""
    folder = run.folder
    store = read_store(folder.store)
    try:
        pictures = write_plots(folder.plots, archive, store, run.space)
        names = [str(path.relative_to(folder.path)) for path in pictures]
        report = report_markdown(archive, store, run.config, run.origin, run.space, names)
    finally:
        store.close()
    write_atomically(folder.report, report.encode())
    write_atomically(folder.report.with_suffix(".html"), report_html(report, folder.path).encode())


def _write_network(path: Path, entry: Entry, card: str, space: FBNetSpace, weights: Arrays) -> None:
    write_atomically(path / "architecture.json", (json.dumps(entry.architecture.to_json(), indent=1) + "\n").encode())
    write_atomically(path / "weights.safetensors", safetensors.numpy.save(weights))
    write_atomically(path / "model.onnx", onnx_model(space, entry, weights))
    write_atomically(path / "card.md", card.encode())
