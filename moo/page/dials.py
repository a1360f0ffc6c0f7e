"""Four dials: the network that the surrogate of a run gives for coefficients, at once. Start at `Dials`."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from devices.configuration import RuntimeConfiguration
from dnas.losses import Coefficients
from moo.analysis.errors import on_selection_split
from moo.page.network_view import drawn_json
from moo.page.opened import OpenedRun
from moo.search.proposals import bounds_of, surrogate_of
from moo.search.surrogate_answers import SurrogateAnswer, SurrogateAnswers
from search_space.boundary.text import shown

Json = dict[str, Any]
MOST_LOADED = 2
"""Surrogates that are kept in memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DialSettings:
    """How the dials are set."""

    coefficients: Coefficients
    configuration: RuntimeConfiguration


def load_answers(run: OpenedRun) -> SurrogateAnswers:
    """The surrogate of a run as it is now, fitted to all that it has evaluated."""
    space, archive = run.origin.space, run.archive
    assert archive.tables is not None, "an opened run has tables"
    surrogate = surrogate_of(run.config, space, archive.entries, archive.tables)
    return SurrogateAnswers(surrogate, run.config, space, archive)


class Dials:
    """Answers by the surrogates of runs; the last ones asked stay in memory, each for the run as it was."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: OrderedDict[Path, tuple[OpenedRun, SurrogateAnswers]] = OrderedDict()

    def answer(self, run: OpenedRun, settings: DialSettings) -> Json:
        """The network that coefficients give, and what is known of it."""
        with self._lock:
            answer = self._of(run).answer(settings.coefficients, settings.configuration)
        return {"network": drawn_json(run, answer.architecture), **figures_json(run, answer)}

    def _of(self, run: OpenedRun) -> SurrogateAnswers:
        kept = self._loaded.get(run.folder.path)
        if kept is None or kept[0] is not run:
            # One thread: what searches on this machine needs its cores.
            torch.set_num_threads(1)
            kept = (run, load_answers(run))
            self._loaded[run.folder.path] = kept
        self._loaded.move_to_end(run.folder.path)
        while len(self._loaded) > MOST_LOADED:
            self._loaded.popitem(last=False)
        return kept[1]


def settings_of(run: OpenedRun, given: Mapping[str, Any]) -> DialSettings:
    """Settings of the dials from what a page sent.

    Raises:
        ValueError: naming the first that is missing, unknown, no number, or out of the bounds of the search.
    """
    names = ("alpha", "beta", "gamma", "delta")
    unknown = given.keys() - {*names, "configuration"}
    if unknown:
        raise ValueError(f"dials must be of {', '.join(names)}, but got {shown(sorted(unknown))}.")
    bounds, values = bounds_of(run.config), {}
    for name in names:
        low, high = getattr(bounds, name)
        try:
            value = float(given[name])
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"`{name}` must be a number, but got {shown(given.get(name))}.") from None
        # What is on a logarithmic scale is off by rounding at its ends.
        if not (math.isfinite(value) and low * (1 - 1e-9) <= value <= high * (1 + 1e-9)):
            raise ValueError(f"`{name}` must be from {low:g} to {high:g}, as it was searched, but got {value:g}.")
        values[name] = value
    labels = {one.label: one for one in run.archive.configurations}
    label = given.get("configuration", run.archive.base.label)
    if not isinstance(label, str) or label not in labels:
        raise ValueError(f"`configuration` must be one of {', '.join(labels)}, but got {shown(label)}.")
    return DialSettings(coefficients=Coefficients(**values), configuration=labels[label])


def figures_json(run: OpenedRun, answer: SurrogateAnswer) -> Json:
    """Figures of an answer with their sources; the error is that in fp32, with its interval where it was evaluated."""
    is_evaluated = answer.error_source == "evaluated"
    interval = on_selection_split(answer.error, run.archive.data).interval if is_evaluated else None
    return {
        "configuration": answer.configuration.label,
        "error": answer.error,
        "error_source": answer.error_source,
        "deviation": answer.error_deviation,
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
        "latency_ms": answer.latency_ms,
        "latency_source": answer.latency_source,
        "energy_mj": answer.energy_mj,
        "energy_source": answer.energy_source,
    }
