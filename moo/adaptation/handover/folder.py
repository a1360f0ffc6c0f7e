"""What is handed over of a network with early exits: front/<id>/adaptive/. Start with `write_adaptive`.

segment_1.onnx, segment_2.onnx, ... run one after the other (segment_1_int8.onnx, ... in int8; segment_1.tflite, ...
under LiteRT); adaptive.json says where images leave at each operating point, and holds the digest of each segment;
run.py, and run_litert.py beside it, are the modules beside this one as they stand, and run them without this project;
card.md is for people.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from devices.configuration import PRECISIONS, RUNTIMES, Precision, Runtime
from evaluation.data.pictures import PADDING
from evaluation.deployed_model import ModelNotes, deployed
from evaluation.early_exits.files import ExportedSegments
from moo.adaptation.handover import run
from moo.adaptation.handover.run import FORM, MOST_FILE_BYTES, files_of, segment_name
from moo.report.adaptive_card import adaptive_card
from moo.storage.adaptive_front import AGAIN, AdaptivePoint
from moo.storage.origin import SearchDataset
from search_space.architectures import Architecture
from search_space.boundary.reading import named, read_bytes
from search_space.boundary.records import record_from_json
from search_space.boundary.sealing import read_sealed_json, sealed
from search_space.boundary.text import one_line, reason_of
from search_space.boundary.writing import make_folder, write_atomically
from search_space.exits import Exit
from search_space.litert.conversion import litert_file
from search_space.spaces import FBNetSpace

DESCRIPTION, PROGRAM, LITERT_PROGRAM, CARD = "adaptive.json", "run.py", "run_litert.py", "card.md"
WHAT = "the description of a network with early exits"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class HandedOver:
    """A folder that was handed over, known to be whole."""

    architecture: Architecture
    space: FBNetSpace
    """With the classes of the data set."""
    classes: tuple[str, ...]
    """In the order of the scores."""
    exits: tuple[Exit, ...]
    points: tuple[AdaptivePoint, ...]
    """Operating points, best accuracy first, as `run.py` numbers them from 0."""
    models: Mapping[tuple[Runtime, Precision], tuple[bytes, ...]]
    """The segments for each runtime in each precision."""


def write_adaptive(
    folder: Path,
    points: Sequence[AdaptivePoint],
    exported: Sequence[ExportedSegments],
    data: SearchDataset,
    space: FBNetSpace,
    *,
    dataset: str | None = None,
) -> None:
    """Write a network's folder, in the place of what is there; a kill leaves the old one, none, or the new one.

    Args:
        folder: front/<id>/adaptive of a run.
        points: operating points of this network. Those without exits are left out: they are `model.onnx` beside.
        exported: its segments, in each precision that a point has.
        data: the images of the run.
        space: that was searched.
        dataset: how the user named the data set; None where that is not known.

    Raises:
        ValueError: if the points are not of one network with one choice of exits, segments of it are missing,
            or `ai-edge-litert` is, for points under LiteRT.
        OSError: if the folder cannot be written.
    """
    points = sorted(
        (point for point in points if point.exits), key=lambda point: (point.objectives, point.configuration.label)
    )
    _check_one_network(points, exported)
    under_litert = {point.configuration.precision for point in points if point.configuration.runtime == "litert"}
    kinds: dict[str, ExportedSegments] = {one.precision: one for one in exported}
    for one in exported:
        if one.precision in under_litert:
            kinds[files_of("litert", one.precision)] = replace(one, models=tuple(map(litert_file, one.models)))
    files = {
        segment_name(number, kind): model for kind, one in kinds.items() for number, model in enumerate(one.models, 1)
    }
    content = {
        "form": FORM,
        "architecture": points[0].architecture.to_json(),
        "space": asdict(space),
        "input": {
            "size": space.input_size,
            "mean": list(data.mean),
            "std": list(data.std),
            "resize": data.resize,
            "rules": data.rules,
            "padding": list(PADDING),
            "depth": data.depth,
        },
        "classes": [one_line(name) for name in data.classes],
        "exits": [one.to_json() for one in points[0].exits],
        "files": {kind: _files_json(kind, one) for kind, one in kinds.items()},
        "points": [point.to_json() for point in points],
    }
    files[PROGRAM] = Path(run.__file__).read_bytes()
    if under_litert:
        files[LITERT_PROGRAM] = Path(run.__file__).with_name(LITERT_PROGRAM).read_bytes()
    files[CARD] = adaptive_card(points, exported, data, space, dataset=dataset).encode()
    files[DESCRIPTION] = (json.dumps(sealed(content), indent=1) + "\n").encode()
    _replace_folder(folder, files)


def read_adaptive(folder: Path) -> HandedOver:
    """What was handed over.

    Raises:
        ValueError: if a file is missing or damaged, or they do not belong together, in one line.
    """
    path = folder / DESCRIPTION
    content = read_sealed_json(path, what=WHAT, remedy=AGAIN)
    try:
        if content["form"] != FORM:
            raise ValueError(f"its form must be {FORM}, but is {one_line(content['form'])}")
        architecture = record_from_json(Architecture, content["architecture"], where="architecture")
        space = record_from_json(FBNetSpace, content["space"], where="space")
        classes = tuple(str(name) for name in content["classes"])
        exits = tuple(Exit.from_json(one) for one in content["exits"])
        points = tuple(AdaptivePoint.from_json(one) for one in content["points"])
        kinds = {files_of(*kind): kind for kind in itertools.product(RUNTIMES, PRECISIONS)}
        digests = {
            kind: [str(file["sha256"]) for file in content["files"][kind]] for kind in kinds if kind in content["files"]
        }
        if len(classes) != space.classes:
            raise ValueError(f"it has {len(classes)} classes, but its network has {space.classes}")
        if not points or any((point.architecture, point.exits) != (architecture, exits) for point in points):
            raise ValueError("its points are not of its network")
        if any(len(digests[_kind(point)]) != len(exits) + 1 for point in points):
            raise ValueError("it does not name a file for each segment")
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else reason_of(error)
        raise ValueError(f"{WHAT} must be whole, but {named(path)} is not: {reason}. {AGAIN}") from None
    models = {
        kinds[kind]: tuple(
            _read_segment(folder / segment_name(number, kind), digest) for number, digest in enumerate(of_it, 1)
        )
        for kind, of_it in digests.items()
    }
    return HandedOver(
        architecture=architecture, space=space, classes=classes, exits=exits, points=points, models=models
    )


def _kind(point: AdaptivePoint) -> str:
    return files_of(point.configuration.runtime, point.configuration.precision)


def _read_segment(path: Path, digest: str) -> bytes:
    try:
        model = read_bytes(path, what="a segment of a network", most=MOST_FILE_BYTES)
    except ValueError as error:
        raise ValueError(f"{error} {AGAIN}") from None
    if hashlib.sha256(model).hexdigest() != digest:
        raise ValueError(
            f"a segment of a network must be the one that `{DESCRIPTION}` beside it was written with, but "
            f"{named(path)} is another one or damaged. {AGAIN}"
        )
    return model


def with_notes(
    exported: ExportedSegments, architecture: Architecture, data: SearchDataset, space: FBNetSpace
) -> ExportedSegments:
    """The segments as they are handed over: for one image at a time, with notes in their metadata."""
    notes = ModelNotes(
        network=architecture.id, space=space.name, precision=exported.precision, input_size=space.input_size, data=data
    )
    models = [deployed(model, replace(notes, segment=number)) for number, model in enumerate(exported.models, 1)]
    return replace(exported, models=tuple(models))


def _files_json(kind: str, exported: ExportedSegments) -> list[dict[str, Any]]:
    return [
        {
            "name": segment_name(number, kind),
            "sha256": hashlib.sha256(model).hexdigest(),
            "bytes": len(model),
            "params": params,
        }
        for number, (model, params) in enumerate(zip(exported.models, exported.params, strict=True), 1)
    ]


def _check_one_network(points: Sequence[AdaptivePoint], exported: Sequence[ExportedSegments]) -> None:
    if not points:
        raise ValueError("a network must have an operating point with early exits to be handed over, but has none.")
    networks = {(point.architecture, point.exits) for point in points}
    networks |= {(points[0].architecture, one.exits) for one in exported}
    if len(networks) > 1:
        raise ValueError(
            "what is handed over must be one network with one choice of exits, but got "
            + ", ".join(sorted({f"{architecture.id} with {len(exits)}" for architecture, exits in networks}))
            + " exits: choose one."
        )
    missing = {point.configuration.precision for point in points} - {one.precision for one in exported}
    if missing:
        raise ValueError(f"there must be segments in each precision of a point, but in {', '.join(missing)} are none.")


def _replace_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder beside its place, then change the two: whoever reads finds files that belong together, or none."""
    new, old = (folder.with_name(f".{folder.name}.{what}") for what in ("new", "old"))
    make_folder(folder.parent)
    for path in (new, old):
        _remove(path)
    for name, content in files.items():
        write_atomically(new / name, content)
    if folder.is_symlink() or folder.exists():
        os.rename(folder, old)
    os.rename(new, folder)
    _remove(old)


def _remove(path: Path) -> None:
    """Remove a folder with what is in it; a link is removed itself."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
