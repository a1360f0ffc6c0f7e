"""What a run hands over: front.json, and a folder with files for each network of the front."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import safetensors.numpy

from devices.configuration import LITERT_FILES, PRECISIONS, Precision
from devices.cost_tables.family import read_cost_tables
from evaluation.deployed_model import ModelNotes, deployed
from evaluation.litert_files import write_litert_file
from moo.analysis.adaptation import read_adaptive_results
from moo.analysis.errors import on_selection_split, told_error
from moo.analysis.networks import shown_points
from moo.analysis.representatives import representatives
from moo.config import SearchConfig
from moo.report.card import card_markdown, front_card
from moo.report.explore import write_explore
from moo.report.explored import explored
from moo.report.html import report_html
from moo.report.report import report_markdown
from moo.storage.adaptive_front import FOLDER
from moo.storage.archive import Archive, Entry, OperatingPoint, networks_of
from moo.storage.origin import RunOrigin, SearchDataset
from moo.storage.run_folder import RunFolder, model_file_name
from moo.storage.search_state import command_that_goes_on, unfinished_note
from moo.storage.store import StoreReader, read_store
from moo.trials import DeliveryResult
from moo.visualization.gallery import plots_there, write_plots
from search_space.boundary.sealing import sealed, sealed_tensors
from search_space.boundary.writing import write_atomically
from search_space.onnx_files import to_onnx
from search_space.spaces import FBNetSpace


def front_json(archive: Archive, *, front_size: int = 24) -> list[dict[str, Any]]:
    """All operating points of the front as plain values, best accuracy first.

    `error` is that on the selection split which the front was made by, in the precision of the configuration: after
    training (`error_source` is `trained`) if all networks of the search's front were trained, else with inherited
    weights. `error_kind` says what is called an error: `plain`, or `balanced`, where all classes count alike.
    `inherited_error` and `test_error` are always those of inherited weights, in fp32 and in the precision of
    the configuration; `trained` has all that came of training. `error_low` and `error_high` bound the 95 % interval of
    `error` on `images` of the selection split; `expected` is the error to expect, on the test split where that was
    read, with `beats_guessing`: whether its interval lies below the error of always giving one answer.

    `same_as` names the cheaper point that stands for one which cannot be told apart from it. `shown` says which points
    tables and pictures show.

    Args:
        archive: of a run.
        front_size: points that tables and pictures show at most.
    """
    found = representatives(archive.front(), archive.data)
    stands_for = {_key(other): one.point for one in found for other in one.others}
    shown = {_key(point) for point in shown_points([one.point for one in found], front_size)}
    return [
        _point_json(point, archive, stand_in=stands_for.get(_key(point)), shown=_key(point) in shown)
        for point in archive.front()
    ]


def _key(point: OperatingPoint) -> tuple[str, str]:
    return point.id, point.configuration.label


def _point_json(
    point: OperatingPoint, archive: Archive, *, stand_in: OperatingPoint | None, shown: bool
) -> dict[str, Any]:
    energy, told, expected = (
        archive.energy,
        on_selection_split(point.error, archive.data),
        told_error(point, archive.data),
    )
    interval, expected_interval = told.interval, expected.interval
    entry, costs, configuration = point.entry, point.costs, point.configuration
    content = {
        "architecture": entry.architecture.to_json(),
        "configuration": dataclasses.asdict(configuration) | {"label": configuration.label},
        "error": point.error,
        "error_kind": told.kind,
        "error_low": None if interval is None else interval.low,
        "error_high": None if interval is None else interval.high,
        "images": told.images,
        "expected": {
            "error": expected.error,
            "low": None if expected_interval is None else expected_interval.low,
            "high": None if expected_interval is None else expected_interval.high,
            "images": expected.images,
            "split": expected.split,
        },
        "beats_guessing": expected.beats_guessing,
        "error_source": "trained" if point.trained else "inherited",
        "inherited_error": entry.error,
        "precision": configuration.precision,
        "latency_ms": costs.latency_ms,
        "energy_mj": costs.energy_mj,
        "latency_source": costs.latency_source,
        "energy_source": costs.energy_source,
        "energy_kind": energy.kind,
        "net_energy_mj": costs.net_mj,
        "gross_energy_mj": costs.gross_mj,
        "energy_error": costs.energy_error,
        "params": entry.params,
        "coefficients": None if entry.coefficients is None else dataclasses.asdict(entry.coefficients),
        "test_error": point.test_error,
        "trained": None if entry.trained is None else entry.trained.to_json(),
        "trial": entry.trial_id,
        "measurement": None if point.measurement is None else point.measurement.to_json(),
        "same_as": None if stand_in is None else {"id": stand_in.id, "configuration": stand_in.configuration.label},
        "shown": shown,
    }
    return sealed(content)


def write_front(
    folder: RunFolder,
    archive: Archive,
    space: FBNetSpace,
    delivered: Mapping[str, DeliveryResult],
    data: SearchDataset,
    *,
    dataset: str | None = None,
    front_size: int = 24,
) -> None:
    """Write front.json and front/<architecture id>/ for every network of the front; other folders there go.

    Those of networks that front_adaptive.json has with early exits stay.

    Args:
        folder: of the run.
        archive: all evaluated architectures.
        space: that was searched.
        delivered: weights of networks, by architecture id.
        data: the images of the run, for the cards.
        dataset: how the user named the data set, for the cards.
        front_size: points that tables and pictures show at most.
    """
    front = archive.front()
    kept = {point.id for point in front}
    if folder.networks.is_dir():
        for path in folder.networks.iterdir():
            is_adaptive = folder.adaptive_front.exists() and (path / FOLDER).is_dir()
            if path.is_dir() and path.name not in kept and not is_adaptive:
                shutil.rmtree(path)
    for entry in networks_of(front):
        result = delivered.get(entry.architecture.id)
        if result is not None and entry.trained is None:
            card = card_markdown(front_card(entry, archive, space), data, dataset=dataset)
            models = network_files(entry, space, result, data)
            _write_network(folder.networks / entry.architecture.id, entry, card, models, result)
    write_litert_of_front(folder, archive)
    write_front_json(folder, archive, front_size=front_size)


def write_litert_of_front(folder: RunFolder, archive: Archive) -> None:
    """Write the LiteRT files of networks whose points on the front run under LiteRT, beside their ONNX files.

    Those that are there besides are written anew, as the ONNX files may be others now; where that cannot be, they go.

    Raises:
        ValueError: if one that is wanted cannot be written, as `ai-edge-litert` is not installed, say.
    """
    front = archive.front()
    for entry in networks_of(front):
        path = folder.networks / entry.architecture.id
        own = [point.configuration for point in front if point.id == entry.architecture.id]
        for precision in PRECISIONS:
            file = None if entry.trained is None else entry.trained.file(precision)
            top1 = None if file is None else file.litert_top1
            error = None if top1 is None else 1 - top1
            if any((one.runtime, one.precision) == ("litert", precision) for one in own):
                write_litert_file(path, precision, error=error)
            elif (path / LITERT_FILES[precision]).is_file():
                try:
                    write_litert_file(path, precision, error=error)
                except ValueError:
                    # Nobody asked for it, and what it was made of may be gone.
                    (path / LITERT_FILES[precision]).unlink()


def write_front_json(folder: RunFolder, archive: Archive, *, front_size: int = 24) -> None:
    """Write front.json alone, as while a search goes on.

    Args:
        folder: of the run.
        archive: all evaluated architectures.
        front_size: points that tables and pictures show at most.
    """
    items = front_json(archive, front_size=front_size)
    write_atomically(folder.front, (json.dumps(items, indent=1) + "\n").encode())


class RunInputs(Protocol):
    """What a run was made from: a `Preparation` or a `FinishedRun`."""

    @property
    def folder(self) -> RunFolder:
        """Of the run."""

    @property
    def config(self) -> SearchConfig:
        """Its settings."""

    @property
    def origin(self) -> RunOrigin:
        """As in config.json."""

    @property
    def space(self) -> FBNetSpace:
        """That was searched, with the classes of the data set."""


def write_pictures_and_report(run: RunInputs, archive: Archive) -> None:
    """Write plots/*.png, report.md and report.html of a run; of one that has not ended, the report says so."""
    with closing(read_store(run.folder.store)) as store:
        write_report(run, archive, store)


def write_report(run: RunInputs, archive: Archive, store: StoreReader, *, draw: bool = True) -> None:
    """The same, with pictures that are drawn, or those that are there.

    Args:
        run: what it was made from.
        archive: all evaluated architectures.
        store: of the run.
        draw: whether the pictures are drawn.
    """
    folder = run.folder
    adaptive, unreadable = None, ""
    try:
        adaptive = read_adaptive_results(folder)
    except ValueError as error:
        # A search of hours does not end for want of a section; the commands that need it refuse.
        unreadable = str(error)
    if draw:
        pictures = write_plots(
            folder.plots, archive, store, run.space, front_size=run.config.front_size, adaptive=adaptive
        )
    else:
        pictures = plots_there(folder.plots)
    names = [str(path.relative_to(folder.path)) for path in pictures]
    path, note = folder.source_cost_table, unfinished_note(folder)
    report = report_markdown(
        archive,
        store,
        run.config,
        run.origin,
        run.space,
        names,
        source_tables=read_cost_tables(path) if path.exists() else None,
        folder=folder,
        adaptive=adaptive,
        unreadable=unreadable,
        note=f"**{note}**\n\n```bash\n{command_that_goes_on(folder)}\n```" if note else "",
    )
    write_atomically(folder.report, report.encode())
    write_atomically(folder.report.with_suffix(".html"), report_html(report, folder.path).encode())
    write_explore(folder, explored(archive, folder, store.trained(baselines=True)))


def network_files(
    entry: Entry, space: FBNetSpace, result: DeliveryResult, data: SearchDataset
) -> dict[Precision, bytes]:
    """The ONNX files of a network with inherited weights: what is handed over, and measured; `card.md` says the input.

    Args:
        entry: of the archive.
        space: that was searched.
        result: weights, errors, and the int8 file if it is handed out.
        data: the images of the run.
    """
    notes = ModelNotes(
        network=entry.architecture.id,
        space=space.name,
        precision="fp32",
        input_size=space.input_size,
        data=data,
        error=result.test_error,
        error_of=f"test split, {data.images.test} images, inherited weights",
    )
    in_fp32 = to_onnx(space.graph(entry.architecture.operators), result.weights)
    files: dict[Precision, bytes] = {"fp32": deployed(in_fp32, notes)}
    if result.quantized is not None:
        in_int8 = dataclasses.replace(notes, precision="int8", error=result.quantized_test_error)
        files["int8"] = deployed(result.quantized, in_int8)
    return files


def _write_network(
    path: Path, entry: Entry, card: str, models: Mapping[Precision, bytes], result: DeliveryResult
) -> None:
    write_atomically(path / "architecture.json", (json.dumps(entry.architecture.to_json(), indent=1) + "\n").encode())
    write_atomically(path / "weights.safetensors", sealed_tensors(safetensors.numpy.save(result.weights)))
    for precision, model in models.items():
        write_atomically(path / model_file_name(precision), model)
    write_atomically(path / "card.md", card.encode())
