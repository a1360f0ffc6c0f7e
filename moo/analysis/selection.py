"""Choosing one network of a run's front: the most accurate within limits, or the knee.

Start with `read_front`, then `best_within` or `knee`. Only front.json is read, so a front can be chosen from on any
machine that the run folder was copied to.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from devices.measurement import SOURCES, Source
from moo.storage.run_folder import RunFolder

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontNetwork:
    """One item of front.json, as far as choosing needs it."""

    id: str
    """Architecture id, which is also the name of its folder."""
    space: str
    operators: tuple[str, ...]
    error: float
    """Error on the selection split, in [0, 1]."""
    latency_ms: float
    energy_mj: float
    latency_source: Source
    energy_source: Source
    error_source: str = "inherited"
    """What weights the error is of: `inherited` from the supernet, or `trained`."""


@dataclass(frozen=True)
class Limits:
    """What a network may cost at most; None is no limit."""

    max_latency_ms: float | None = None
    max_energy_mj: float | None = None
    max_error: float | None = None
    """In (0, 1]."""

    def __post_init__(self) -> None:
        for name in ("max_latency_ms", "max_energy_mj", "max_error"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"`{name} > 0` must hold, and be finite, but got {value}.")
        if self.max_error is not None and self.max_error > 1:
            raise ValueError(f"`max_error <= 1` must hold (a share, not a percentage), but got {self.max_error}.")

    @property
    def is_empty(self) -> bool:
        """Whether there is no limit at all."""
        return self.max_latency_ms is None and self.max_energy_mj is None and self.max_error is None


@dataclass(frozen=True)
class Excess:
    """A limit that a network exceeds."""

    quantity: str
    """`latency_ms`, `energy_mj` or `error`."""
    value: float
    limit: float

    @property
    def ratio(self) -> float:
        """By what share of the limit the value lies above it; above 0."""
        return self.value / self.limit - 1


def read_front(run: Path) -> tuple[FrontNetwork, ...]:
    """The networks in the front.json of a run folder, in its order.

    Raises:
        ValueError: if the folder or its front.json is missing, empty, or not of the form that a run writes.
    """
    path = RunFolder(run).front
    if not run.is_dir():
        raise ValueError(f"a run folder must be given, but {str(run)!r} is no folder.")
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise ValueError(
            f"a run folder must hold a front.json, but {str(run)!r} does not; a run writes it when it ends."
        ) from None
    except OSError as error:
        raise ValueError(f"a front must be readable, but {str(path)!r} is not: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"a front must be JSON, but {str(path)!r} is not: {error}.") from None
    if not isinstance(content, list) or not content:
        raise ValueError(f"a front must be a list of at least one network, but {str(path)!r} is not.")
    return tuple(_network_from(item, f"network {number} of {str(path)!r}") for number, item in enumerate(content, 1))


def excesses(network: FrontNetwork, limits: Limits) -> tuple[Excess, ...]:
    """The limits that a network exceeds; a cost equal to its limit is within it."""
    pairs = (
        ("latency_ms", network.latency_ms, limits.max_latency_ms),
        ("energy_mj", network.energy_mj, limits.max_energy_mj),
        ("error", network.error, limits.max_error),
    )
    return tuple(Excess(name, value, limit) for name, value, limit in pairs if limit is not None and value > limit)


def best_within(front: Sequence[FrontNetwork], limits: Limits) -> FrontNetwork | None:
    """The network of least error within all limits (then of least latency, then energy); None if there is none."""
    allowed = [network for network in front if not excesses(network, limits)]
    return min(allowed, key=lambda network: (network.error, network.latency_ms, network.energy_mj), default=None)


def nearest_to(front: Sequence[FrontNetwork], limits: Limits) -> FrontNetwork:
    """The network whose worst excess, as a share of its limit, is smallest.

    Args:
        front: at least one network.
        limits: limits that no network of the front keeps.
    """
    return min(front, key=lambda network: max((excess.ratio for excess in excesses(network, limits)), default=0.0))


def knee(front: Sequence[FrontNetwork]) -> FrontNetwork:
    """The network where the front bulges most towards the ideal point.

    Error, latency and energy are normalised to [0, 1] over the front. The extremes are the networks that are best in
    one of them; they span a plane, or a line where one network is best in two. The knee is the network that lies
    farthest, at a right angle, on that side of it where the ideal point (0, 0, 0) is. Where no network lies there
    (there are only two, say, or the front bulges away from the ideal) it is the most accurate one.

    Source: Das, "On characterizing the 'knee' of the Pareto curve based on normal-boundary intersection", Structural
    Optimization 18 (1999), 107-115. Departure: of the networks at hand the farthest is taken, not the solution of the
    normal-boundary subproblem.

    Args:
        front: at least one network.
    """
    ordered = sorted(front, key=lambda network: (network.error, network.latency_ms, network.energy_mj))
    objectives = np.array([(network.error, network.latency_ms, network.energy_mj) for network in ordered])
    return ordered[int(np.argmax(np.round(bulge(objectives), 12)))]


def bulge(objectives: Floats) -> Floats:
    """How far each point lies beyond the plane or line through the extremes, towards the ideal point.

    Args:
        objectives: shape (N, M), all minimised, N >= 1; they are normalised to [0, 1] here, and those of one value
            only are left out.

    Returns:
        Shape (N,): signed distances in the normalised space, 0 for the extremes.
    """
    low, high = objectives.min(axis=0), objectives.max(axis=0)
    varies = high > low
    if not varies.any():
        return np.zeros(len(objectives))
    normalised = ((objectives - low) / np.where(varies, high - low, 1.0))[:, varies]
    totals = normalised.sum(axis=1)
    extremes = normalised[[int(np.lexsort((totals, column))[0]) for column in normalised.T]]
    spread = (extremes[1:] - extremes[0]).T
    along = spread @ np.linalg.pinv(spread)
    towards_ideal = -(extremes[0] - along @ extremes[0])
    length = float(np.linalg.norm(towards_ideal))
    if length < 1e-12:
        return np.zeros(len(objectives))
    distances: Floats = (normalised - extremes[0]) @ towards_ideal / length
    return distances


def _network_from(item: Any, where: str) -> FrontNetwork:
    try:
        architecture = item["architecture"]
        network = FrontNetwork(
            id=architecture["id"],
            space=architecture["space"],
            operators=tuple(architecture["operators"]),
            error=item["error"],
            latency_ms=item["latency_ms"],
            energy_mj=item["energy_mj"],
            latency_source=item["latency_source"],
            energy_source=item["energy_source"],
            error_source=item.get("error_source", "inherited"),
        )
    except KeyError as error:
        raise ValueError(f"{where} must have the field {error.args[0]!r}, but lacks it.") from None
    except TypeError:
        raise ValueError(f"{where} must be an object of the form that a run writes, but is not.") from None
    if not all(isinstance(text, str) and text for text in (network.id, network.space, *network.operators)):
        raise ValueError(f"{where} must have an id, a space and operators that are texts, but has {architecture!r}.")
    for name in ("error", "latency_ms", "energy_mj"):
        value = getattr(network, name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{where} must have a number of at least 0 as {name!r}, but has {value!r}.")
    if network.error_source not in ("inherited", "trained"):
        raise ValueError(f"{where} must have an error that is inherited or trained, but has {network.error_source!r}.")
    for source in (network.latency_source, network.energy_source):
        if source not in SOURCES:
            raise ValueError(f"{where} must have costs that are {', '.join(SOURCES)}, but has {source!r}.")
    return network
