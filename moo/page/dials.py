"""Four dials: the network that the surrogate of a run gives for coefficients, at once. Start at `Dials`."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from devices.configuration import RuntimeConfiguration
from dnas.losses import Coefficients
from moo.analysis.errors import on_selection_split
from moo.formatting import cost, percent, percent_within, short
from moo.page.cells import Cell, code, link, network_link
from moo.page.network_drawing import drawing_json
from moo.page.network_view import drawn_json
from moo.page.opened import OpenedRun
from moo.search.proposals import bounds_of
from moo.search.surrogates.answers import SurrogateAnswer, SurrogateAnswers, answers_by
from search_space.boundary.text import shown

Json = dict[str, Any]
MOST_LOADED = 2
"""Surrogates that are kept in memory."""
NAMES = {
    "alpha": ("α", "weight of latency"),
    "beta": ("β", "exponent of latency"),
    "gamma": ("γ", "weight of energy"),
    "delta": ("δ", "exponent of energy"),
}
"""Coefficients with their letters, and what each is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DialSettings:
    """How the dials are set."""

    coefficients: Coefficients
    configuration: RuntimeConfiguration


def load_answers(run: OpenedRun) -> SurrogateAnswers:
    """The surrogate of a run as it is now, fitted to all that it has evaluated."""
    space, archive = run.origin.space, run.archive
    assert archive.tables is not None, "an opened run has tables"
    return answers_by(run.config, space, archive, archive.tables, archive.entries)


class Dials:
    """Answers by the surrogates of runs; the last ones asked stay in memory, each for the run as it was."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: OrderedDict[Path, tuple[OpenedRun, SurrogateAnswers]] = OrderedDict()

    def answer(self, run: OpenedRun, settings: DialSettings) -> Json:
        """The network that coefficients give, and what is known of it."""
        with self._lock:
            answer = self._of(run).answer(settings.coefficients, settings.configuration)
        drawn = drawn_json(run, answer.architecture)
        image = drawing_json(drawn, answer.configuration.label)
        return {"network": drawn["id"], "image": image, "said": said(run, answer), **figures_json(answer)}

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
    unknown = given.keys() - {*NAMES, "configuration"}
    if unknown:
        raise ValueError(f"dials must be of {', '.join(NAMES)}, but got {shown(sorted(unknown))}.")
    bounds, values = bounds_of(run.config), {}
    for name in NAMES:
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


def figures_json(answer: SurrogateAnswer) -> Json:
    """Figures of an answer with their sources; the error is that in fp32."""
    return {
        "configuration": answer.configuration.label,
        "error": answer.error,
        "error_source": answer.error_source,
        "latency_ms": answer.latency_ms,
        "latency_source": answer.latency_source,
        "energy_mj": answer.energy_mj,
        "energy_source": answer.energy_source,
    }


def said(run: OpenedRun, answer: SurrogateAnswer) -> list[list[Cell]]:
    """The same in words; with the interval of the error where it was evaluated, else how far it may be off."""
    identifier, is_evaluated = answer.architecture.id, answer.error_source == "evaluated"
    known = (
        [" (", link("evaluated", network_link(identifier)["href"]), ")"] if is_evaluated else [" (not evaluated yet)"]
    )
    error = f"{percent(answer.error)} ± {percent(answer.error_deviation)}"
    interval = on_selection_split(answer.error, run.archive.data).interval if is_evaluated else None
    if is_evaluated:
        error = percent(answer.error)
    if interval is not None:
        error = percent_within(answer.error, interval.low, interval.high)
    return [
        ["These coefficients give ", code(identifier), *known, f", in {answer.configuration.label}."],
        [f"Error {error} ({answer.error_source}, inherited weights, fp32), {costs_text(figures_json(answer))}."],
    ]


def costs_text(of: Mapping[str, Any]) -> str:
    """Latency and energy with their sources."""
    latency = cost(of["latency_ms"], "ms", of["latency_source"])
    return f"{latency}, {cost(of['energy_mj'], 'mJ', of['energy_source'])}"


def tuple_text(coefficients: Coefficients | Mapping[str, float]) -> str:
    """Coefficients as they are named: `α 0.100, β 1.00, γ 0.100, δ 1.00`."""
    values = asdict(coefficients) if isinstance(coefficients, Coefficients) else coefficients
    return ", ".join(f"{symbol} {short(values[name])}" for name, (symbol, _) in NAMES.items())
