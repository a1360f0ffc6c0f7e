"""All runs with what a list tells of each, and a few of them compared.

What is read is kept until a file of the run changes, so that asking again costs next to nothing. Start with
`summary_of`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from starlette.requests import Request
from starlette.routing import Route

from evaluation.errors import ErrorKind
from moo.analysis.selection import FrontPoint, read_front
from moo.config import SearchConfig, option_of
from moo.measurement.boards import read_run_tables
from moo.page.answers import answering
from moo.page.folders import Runs
from moo.page.searches.processes import LockHolders
from moo.page.searches.starting import Launches
from moo.page.searches.states import State
from moo.page.settings import PageSettings
from moo.storage.archive import reference_point_of
from moo.storage.pareto import hypervolume
from moo.storage.run_folder import RunFolder
from moo.storage.store import read_store
from moo.trials import Objectives
from search_space.boundary.text import one_line

COMPARED = (2, 4)
"""Fewest and most runs that are compared."""
SAME = 1e-9
"""Relative difference of reference points that are taken for one."""
_NOT_COMPARED = frozenset({"out", "resume", "quiet", "dashboard"})
Found = TypeVar("Found")


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFigures:
    """What the files of a run tell of it."""

    dataset: str = ""
    space: str = ""
    boards: tuple[str, ...] = ()
    measured: bool = False
    """Whether any cost of its front was measured."""
    started: str = ""
    """When, in UTC."""
    seconds: float | None = None
    """That it has searched, pre-training left out."""
    networks: int = 0
    """Of the front."""
    points: int = 0
    """Operating points of the front."""
    best_error: float | None = None
    """Least error of the front, on the selection split."""
    error_kind: ErrorKind = "plain"
    error_source: str = ""
    """`inherited` or `trained`."""
    hypervolume: float | None = None
    """Share of the box up to the reference point that the front dominates."""
    reference: Objectives | None = None
    """The reference point: error, latency in ms, energy in mJ."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSummary:
    """A run in a list of runs."""

    name: str
    state: State
    detail: str
    """How far it came, or what is wrong with it."""
    figures: RunFigures = field(default_factory=RunFigures)


class KeptFigures:
    """Figures of runs, read anew where a file has changed."""

    def __init__(self) -> None:
        self._figures: dict[Path, tuple[tuple[object, ...], RunFigures]] = {}
        self._lock = threading.Lock()

    def of(self, folder: RunFolder) -> RunFigures:
        """Those of a run; what cannot be read is left out."""
        stamp = tuple(_stamp(path) for path in (folder.config, folder.front, folder.cost_table, folder.state))
        with self._lock:
            kept = self._figures.get(folder.path)
            if kept is None or kept[0] != stamp:
                kept = self._figures[folder.path] = stamp, figures_of(folder)
            return kept[1]


def figures_of(folder: RunFolder) -> RunFigures:
    """What the files of a run tell of it; what cannot be read is left out."""
    config = _or_none(folder.read_settings)
    read = _or_none(folder.read_config)
    if config is None:
        return RunFigures()
    origin = None if read is None else read[1]
    front = _or_none(lambda: read_front(folder.path)) or ()
    reference = None
    if origin is not None and folder.cost_table.exists():
        error, energy, given = origin.dataset.reference_error, config.energy_objective, config.given_configurations
        reference = _or_none(lambda: reference_point_of(read_run_tables(folder.cost_table, given), error, energy))
    best = min(front, key=lambda point: point.error, default=None)
    return RunFigures(
        dataset=one_line(config.dataset),
        space=one_line(origin.space.name if origin is not None else config.space or ""),
        boards=tuple(map(one_line, config.boards)),
        measured=any("measured" in (point.latency_source, point.energy_source) for point in front),
        started=one_line((origin.date if origin is not None else None) or ""),
        seconds=_or_none(lambda: _seconds_searched(folder)),
        networks=len({point.id for point in front}),
        points=len(front),
        best_error=None if best is None else best.error,
        error_kind=config.error,
        error_source="" if best is None else best.error_source,
        hypervolume=None if reference is None or not front else hypervolume(_objectives(front), np.array(reference)),
        reference=reference,
    )


def comparison(folders: Sequence[tuple[str, RunFolder]], kept: KeptFigures) -> dict[str, Any]:
    """Fronts of a few runs, settings that differ, and whether their hypervolumes compare.

    Args:
        folders: of the runs, with their names.
        kept: figures of runs.

    Raises:
        ValueError: if there are too few or too many of them, or one cannot be read.
    """
    fewest, most = COMPARED
    if not fewest <= len(folders) <= most:
        raise ValueError(f"from {fewest} to {most} runs can be compared, but got {len(folders)}.")
    figures, configs = [kept.of(folder) for _, folder in folders], [folder.read_settings() for _, folder in folders]
    why = _not_comparable(figures)
    return {
        "runs": [
            {"name": name, "front": [_point_json(point) for point in _front_or_none(folder)], "figures": asdict(found)}
            for (name, folder), found in zip(folders, figures, strict=True)
        ],
        "settings": differing(configs),
        "why_not": why,
    }


def differing(configs: Sequence[SearchConfig]) -> list[dict[str, Any]]:
    """Settings in which runs differ, by their options, with the value of each."""
    contents = [config.to_json() for config in configs]
    return [
        {"option": f"--{option_of(name)}", "values": [_in_words(content[name]) for content in contents]}
        for name in contents[0]
        if name not in _NOT_COMPARED and any(content[name] != contents[0][name] for content in contents)
    ]


def _not_comparable(figures: Sequence[RunFigures]) -> str:
    """Why hypervolumes do not compare; empty where they do."""
    references = [one.reference for one in figures]
    if any(one is None for one in references):
        return "of one of them the reference point is not known yet"
    if len({one.error_kind for one in figures}) > 1:
        return "their errors are plain and balanced ones"
    if len({one.error_source for one in figures if one.points}) > 1:
        return "errors of some are with inherited weights, of others after training"
    known = np.array([one for one in references if one is not None])
    if not np.allclose(known, known[0], rtol=SAME, atol=0):
        return "their reference points differ"
    return ""


def routes(settings: PageSettings) -> list[Route]:
    """Of the list of runs, and of comparing them."""
    runs, launches, kept = Runs(settings.runs), Launches(settings), KeptFigures()

    def listed(request: Request) -> Any:
        holders = LockHolders()
        found = [_summary(name, launches, holders, kept.of(RunFolder(runs.root / name))) for name in runs.names()]
        begun = [_summary(name, launches, holders, RunFigures()) for name in launches.without_folder()]
        return {"runs": [asdict(one) for one in [*begun, *found]]}

    def compared(request: Request) -> Any:
        names = request.query_params.getlist("run")
        return comparison([(name, runs.folder(name)) for name in dict.fromkeys(names)], kept)

    return [Route("/api/runs", answering(listed)), Route("/api/compare", answering(compared))]


def _summary(name: str, launches: Launches, holders: LockHolders, figures: RunFigures) -> RunSummary:
    state = launches.state(name, holders)
    return RunSummary(name=name, state=state.state, detail=state.detail, figures=figures)


def _front_or_none(folder: RunFolder) -> Sequence[FrontPoint]:
    return read_front(folder.path) if folder.front.exists() else ()


def _objectives(front: Sequence[FrontPoint]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([(point.error, point.latency_ms, point.energy_mj) for point in front], np.float64)


def _point_json(point: FrontPoint) -> dict[str, Any]:
    names = (
        "id", "error", "error_source", "latency_ms", "latency_source", "energy_mj", "energy_source", "energy_kind",
    )  # fmt: skip
    label = "" if point.configuration is None else point.configuration.short_label
    return {name: getattr(point, name) for name in names} | {"configuration": label}


def _seconds_searched(folder: RunFolder) -> float:
    store = read_store(folder.store, as_of_now=True)
    try:
        return store.seconds_searched()
    finally:
        store.close()


def _in_words(value: Any) -> str:
    if value is None or value in ([], ()):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    values = value if isinstance(value, list | tuple) else [value]
    return one_line(" ".join(f"{one:g}" if isinstance(one, float) else str(one) for one in values))


def _or_none(read: Callable[[], Found]) -> Found | None:
    try:
        return read()
    except (ValueError, OSError):
        return None


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
