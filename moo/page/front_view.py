"""What the Front page asks for: all points of a run, and whether there are others since it asked last."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from moo.page.answers import NotThereError, answering
from moo.page.folders import Runs, run_named
from moo.page.opened import opened, stamps
from moo.page.settings import PageSettings
from moo.report.explored import explored
from moo.storage.run_folder import BESIDE_STORE, RunFolder

RESTS = 20
"""How much longer a run that changes rests than reading it took: at most a twentieth of a core goes into that."""
MOST_KEPT = 4
"""Runs whose points are kept."""


@dataclass(slots=True)
class _Kept:
    """Points of a run, as they were read last."""

    stamp: str
    content: dict[str, Any]
    rested: float
    """Until when they are given out even where the run has changed, by the machine's monotonic clock."""


@dataclass(slots=True)
class FrontViews:
    """Points of runs; what has not changed is read once."""

    _kept: dict[RunFolder, _Kept] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def since(self, folder: RunFolder, stamp: str) -> dict[str, Any]:
        """The points of a run with their `stamp`; of the same stamp nothing but that."""
        with self._lock:
            kept = self._current(folder)
        return {"stamp": stamp} if kept.stamp == stamp else kept.content | {"stamp": kept.stamp}

    def _current(self, folder: RunFolder) -> _Kept:
        kept, stamp = self._kept.get(folder), _stamp(folder)
        if kept is not None and (kept.stamp == stamp or time.monotonic() < kept.rested):
            return kept
        # Time of this thread alone: a busy machine must not make points late.
        begin = time.thread_time()
        try:
            run = opened(folder)
        except NotThereError:
            content: dict[str, Any] = {"run": folder.path.name, "rows": [], "kinds": [], "guessing": None}
        else:
            content = explored(run.archive, folder, run.baselines)
        kept = _Kept(stamp, content, time.monotonic() + RESTS * (time.thread_time() - begin))
        self._kept.pop(folder, None)
        self._kept[folder] = kept
        for oldest in list(self._kept)[:-MOST_KEPT]:
            del self._kept[oldest]
        return kept


def routes(settings: PageSettings) -> list[Route]:
    """Of the Front page."""
    runs, views = Runs(settings.runs), FrontViews()

    def front(request: Request) -> Any:
        return views.since(run_named(runs, request), request.query_params.get("since", ""))

    return [Route("/api/runs/{run:path}/-/front", answering(front))]


def _stamp(folder: RunFolder) -> str:
    """Differs where what is shown may."""
    stores = [folder.store.with_name(folder.store.name + suffix) for suffix in BESIDE_STORE if suffix != "-shm"]
    found = stamps([folder.config, folder.cost_table, folder.state, folder.adaptive_front, *stores])
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()[:16]
