"""All runs with what a list tells of each, and a few of them compared.

What is read is kept until a file of the run changes, so that asking again costs next to nothing. Start with
`summary_of`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import numpy as np
from starlette.requests import Request
from starlette.routing import Route

from evaluation.errors import ErrorKind
from moo.analysis.selection import FrontPoint, read_front
from moo.config import SearchConfig, option_of
from moo.formatting import cost, cost_label, duration, percent, short
from moo.measurement.boards import read_run_tables
from moo.page.answers import answering
from moo.page.cells import Cell, code, hover, lamp, link, moment, table_json
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
COLUMNS = (
    "run", "state", "data set", "space", "board", "hypervolume", "least error", "networks of the front", "searched for",
    "started (UTC)",
)  # fmt: skip
LONGEST_DETAIL = 120
"""Characters on the state of a run in the list; its page has all."""
NOT_BEGUN = "9"
"""Comes after all dates."""
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
        # Without measuring, this machine has no part in it.
        boards=tuple(one_line(board) for board in config.boards if config.measure or board != "host"),
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
    why, heads = _not_comparable(figures), ["", *(link(name, _address(name)) for name, _ in folders)]
    fronts = [_front_or_none(folder) for _, folder in folders]
    settings = [[code(one["option"]), *one["values"]] for one in differing(configs)]
    found = {
        "networks of the front": [_networks(one) or "none" for one in figures],
        "least error": [_least_error(one) for one in figures],
        "searched for": [_searched(one) for one in figures],
        **({} if why else {"hypervolume": [_volume(one) for one in figures]}),
        "reference point": [_reference(one) for one in figures],
    }
    return {
        "runs": [
            {"name": hover(name), "front": [_point_json(name, point) for point in front]}
            for (name, _), front in zip(folders, fronts, strict=True)
        ],
        "axes": _axes([point for front in fronts for point in front]),
        "found": table_json("Found", heads, ([word, *cells] for word, cells in found.items())),
        "settings": table_json("Settings", heads, settings) if settings else None,
        "why_not": why,
    }


def _axes(points: Sequence[FrontPoint]) -> list[dict[str, str]]:
    """What errors can be shown against: its name, where it is in a point, and the label of the axis."""
    return [
        {"name": name, "figure": f"{name}_{unit.lower()}", "label": cost_label(name, unit, sources)}
        for name, unit, sources in (
            ("latency", "ms", [point.latency_source for point in points]),
            ("energy", "mJ", [point.energy_source for point in points]),
        )
    ]


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
        return {"heads": list(COLUMNS), "runs": [_listed(one) for one in [*begun, *found]]}

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


def _point_json(run: str, point: FrontPoint) -> dict[str, Any]:
    label = "" if point.configuration is None else point.configuration.short_label
    told = hover(
        run,
        f"{point.id} {label}",
        f"{percent(point.error)} ({point.error_source})",
        cost(point.latency_ms, "ms", point.latency_source),
        cost(point.energy_mj, "mJ", point.energy_source),
    )
    return {"error": point.error, "latency_ms": point.latency_ms, "energy_mj": point.energy_mj, "told": told}


def _listed(run: RunSummary) -> dict[str, Any]:
    """A run in the list: a cell for each of `COLUMNS`, what rows are sorted by, and whether it can be compared."""
    figures = run.figures
    cells: list[Cell] = [
        link(run.name, _address(run.name, "front" if run.state == "ended" else "live")),
        lamp(run.state, one_line(run.detail, most=LONGEST_DETAIL)),
        figures.dataset,
        figures.space,
        ", ".join(figures.boards),
        _volume(figures),
        _least_error(figures),
        _networks(figures),
        _searched(figures),
        moment(figures.started),
    ]
    keys = [run.name, run.state, *cells[2:5], figures.hypervolume, figures.best_error]
    keys += [figures.networks, figures.seconds, figures.started or NOT_BEGUN]
    return {"name": run.name, "state": run.state, "comparable": figures.points > 0, "cells": cells, "keys": keys}


def _address(name: str, page: str = "front") -> str:
    return f"/runs/{quote(name)}/-/{page}"


def _networks(figures: RunFigures) -> str:
    if figures.points == figures.networks:
        return f"{figures.networks or ''}"
    return f"{figures.networks} in {figures.points} points"


def _least_error(figures: RunFigures) -> str:
    if figures.best_error is None:
        return ""
    kind = "" if figures.error_kind == "plain" else f"{figures.error_kind}, "
    return f"{percent(figures.best_error)} ({kind}{figures.error_source})"


def _searched(figures: RunFigures) -> str:
    return duration(figures.seconds) if figures.seconds else ""


def _volume(figures: RunFigures) -> str:
    return "" if figures.hypervolume is None else f"{figures.hypervolume:.4f}"


def _reference(figures: RunFigures) -> str:
    if figures.reference is None:
        return ""
    error, latency_ms, energy_mj = figures.reference
    return f"{percent(error)}, {short(latency_ms)} ms, {short(energy_mj)} mJ"


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
