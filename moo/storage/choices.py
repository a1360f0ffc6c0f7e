"""What a run has chosen, and noted in its store before it acted on it: a resumed run keeps to the very same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from devices.configuration import RuntimeConfiguration
from moo.storage.database import reading
from moo.storage.run_folder import RESTORE, RunFolder
from moo.storage.store import StoreReader
from search_space.boundary.sealing import seal_of

MEASURING = "measuring"
"""Kind of the event that says which points were chosen for that."""
PointToMeasure = tuple[str, RuntimeConfiguration]
"""An architecture's id, and how it is run."""
USED = "used"
"""Kind of the event that has the seal of a file which results were made with."""
MADE_WITH = "made with"
"""Kind of the event that has the settings and images which a run was made with."""


@reading
def points_to_measure(store: StoreReader) -> dict[str, list[PointToMeasure]]:
    """The points that were chosen at each stage; those of earlier versions are chosen anew."""
    chosen: dict[str, list[PointToMeasure]] = {}
    for _, kind, content in store.events():
        match kind, content:
            case "measuring", {"stage": str(stage), "networks": list(networks), "configurations": list(labels)}:
                chosen[stage] = [
                    (str(identifier), RuntimeConfiguration.parse(str(label)))
                    for identifier, label in zip(networks, labels, strict=True)
                ]
    return chosen


@reading
def measured_files(store: StoreReader) -> dict[PointToMeasure, str]:
    """The points whose very file was measured, with the `model_key` of the latest."""
    return {
        (identifier, RuntimeConfiguration.parse(label)): file
        for _, kind, content in store.events()
        for identifier, label, file in _measured_file(kind, content)
    }


def _measured_file(kind: str, content: dict[str, object]) -> list[tuple[str, str, str]]:
    match kind, content:
        case "file measured", {"architecture": str(identifier), "configuration": str(label), "file": str(file)}:
            return [(identifier, label, file)]
    return []


@reading
def seals_of_used_files(store: StoreReader) -> dict[str, str]:
    """Seals of the files that results were made with, by their place in the run's folder."""
    return {str(content["file"]): str(content["seal"]) for _, kind, content in store.events() if kind == USED}


def check_source_supernet(store: StoreReader, folder: RunFolder) -> None:
    """Check that the supernet of a run is the one that its results were made with.

    Raises:
        ValueError: if it is another one.
    """
    seal = seal_of(folder.supernet, what="the supernet of a run")
    if seal is not None:
        check_seal(seals_of_used_files(store), folder.supernet, str(folder.supernet.relative_to(folder.path)), seal)


def check_seal(noted: Mapping[str, str], path: Path, name: str, seal: str) -> None:
    """Check that a file is the one whose seal was noted, if one was.

    Raises:
        ValueError: if it is another one.
    """
    if noted.get(name, seal) != seal:
        raise ValueError(
            f"the files of a run must belong together, but {str(path)!r} is not the one that the store of the run has "
            f"results of: one of the two is another run's. {RESTORE}"
        )


@reading
def made_with(store: StoreReader) -> dict[str, object] | None:
    """Settings and images that the run was made with; None for one of an earlier version."""
    return next((content for _, kind, content in store.events() if kind == MADE_WITH), None)


@reading
def source_front(store: StoreReader) -> tuple[list[str], dict[str, float]] | None:
    """What is known of the run that this one started from; None if it started from none.

    Returns:
        Ids of the networks of its front, and the errors in int8 of all networks that it evaluated in it, by id.
    """
    for _, kind, content in store.events():
        match kind, content:
            case "taken over", {"front": list(front), "in_int8": dict(errors)}:
                return [str(identifier) for identifier in front], {str(k): float(v) for k, v in errors.items()}
    return None
