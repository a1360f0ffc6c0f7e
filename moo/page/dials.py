"""Four dials: the network that the surrogate of a run gives for coefficients, at once. Start at `Dials`."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from devices.configuration import RuntimeConfiguration
from dnas.losses import Coefficients
from dnas.surrogate import fit_surrogate
from dnas.surrogate_search import CrossEntropyScale, ExpectedCost, SurrogateSearchSettings, search_thetas
from moo.analysis.errors import on_selection_split
from moo.page.network_view import drawn_json
from moo.page.opened import OpenedRun
from moo.search.proposals import bounds_of
from search_space.architectures import Architecture, architecture_from_indices, operator_indices
from search_space.boundary.text import shown

Json = dict[str, Any]
MOST_LOADED = 2
"""Surrogates that are kept in memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DialSettings:
    """How the dials are set."""

    coefficients: Coefficients
    configuration: RuntimeConfiguration


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundNetwork:
    """What a surrogate says of coefficients."""

    architecture: Architecture
    """The mode of the theta that they give."""
    error: float
    """Predicted by the surrogate."""


class Answers(Protocol):
    """The surrogate of a run as it is now."""

    def answer(self, coefficients: Coefficients, configuration: RuntimeConfiguration) -> FoundNetwork:
        """Search these coefficients on it."""


class FittedSurrogate:
    """Fitted to all that a run has evaluated, as its next generation would be."""

    def __init__(self, run: OpenedRun) -> None:
        space, entries, tables = run.origin.space, run.archive.entries, run.archive.tables
        assert tables is not None, "an opened run has tables"
        indices_NL = np.array([operator_indices(space, entry.architecture) for entry in entries])
        error_N = np.array([entry.error for entry in entries])
        self._space, self._config = space, run.config
        self._surrogate = fit_surrogate(indices_NL, error_N, num_operators=len(space.operators))
        self._scale = CrossEntropyScale.of(error_N)
        self._costs = {
            table.configuration: [
                _expected(searched.latency_ms, searched.fixed_latency_ms),
                _expected(searched.energy_mj, searched.fixed_energy_mj),
            ]
            for table in tables
            for searched in [run.config.energy_objective.table(table)]
        }

    def answer(self, coefficients: Coefficients, configuration: RuntimeConfiguration) -> FoundNetwork:
        """Search these coefficients on it, from the same initial theta each time."""
        config = self._config
        theta_TLO = search_thetas(
            self._surrogate,
            self._scale,
            self._costs[configuration],
            [coefficients],
            (self._space.num_layers, len(self._space.operators)),
            SurrogateSearchSettings(steps=config.theta_steps, entropy_weight=config.entropy_weight, loss=config.loss),
            np.random.default_rng(config.seed),
        )
        mode_L = theta_TLO[0].argmax(-1).numpy()
        error_M, _ = self._surrogate.predict(mode_L[None])
        return FoundNetwork(
            architecture=architecture_from_indices(self._space, tuple(map(int, mode_L))), error=float(error_M[0])
        )


class Dials:
    """Answers by the surrogates of runs; the last ones asked stay in memory, each for the run as it was."""

    def __init__(self, load: Callable[[OpenedRun], Answers] = FittedSurrogate) -> None:
        """FoundNetwork for runs.

        Args:
            load: fits the surrogate of a run.
        """
        self._load = load
        self._lock = threading.Lock()
        self._loaded: OrderedDict[Path, tuple[OpenedRun, Answers]] = OrderedDict()

    def answer(self, run: OpenedRun, settings: DialSettings) -> Json:
        """The network that coefficients give, what is predicted of it, and what is known of it."""
        with self._lock:
            answer = self._of(run).answer(settings.coefficients, settings.configuration)
        architecture, configuration = answer.architecture, settings.configuration
        tables = run.archive.tables
        assert tables is not None, "an opened run has tables"
        table = run.archive.energy.table(tables[configuration])
        indices = [table.operators.index(name) for name in architecture.operators]
        return {
            "network": drawn_json(run, architecture),
            "configuration": configuration.label,
            "predicted": {
                "error": answer.error,
                "latency_ms": table.latency_of(indices),
                "latency_source": "modelled",
                "energy_mj": table.energy_of(indices),
                "energy_source": "modelled",
            },
            "evaluated": _known(run, architecture, configuration),
        }

    def _of(self, run: OpenedRun) -> Answers:
        kept = self._loaded.get(run.folder.path)
        if kept is None or kept[0] is not run:
            # One thread: what searches on this machine needs its cores.
            torch.set_num_threads(1)
            kept = (run, self._load(run))
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


def _expected(cost_LO: npt.NDArray[np.float64], fixed: float) -> ExpectedCost:
    costs = torch.tensor(cost_LO, dtype=torch.float32)
    return lambda probs_TLO: (probs_TLO * costs).sum((-1, -2)) + fixed


def _known(run: OpenedRun, architecture: Architecture, configuration: RuntimeConfiguration) -> Json | None:
    """What the run has found of an architecture; None where it was not evaluated in that precision."""
    if architecture.id not in run.archive:
        return None
    entry = run.archive[architecture.id]
    error = run.archive.searched_error(entry, configuration)
    if error is None:
        return None
    told, costs = on_selection_split(error, run.archive.data), run.archive.searched_costs(entry, configuration)
    interval = told.interval
    return {
        "error": error,
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
        "latency_ms": costs.latency_ms,
        "latency_source": costs.latency_source,
        "energy_mj": costs.energy_mj,
        "energy_source": costs.energy_source,
    }
