"""front_adaptive.json: the operating points of networks with early exits. Start with `read_adaptive_front`.

Array shapes: E exits, X = E + 1 ways through a network, the last of which passes all exits.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from devices.configuration import RuntimeConfiguration
from devices.cost_tables.energy_objective import ENERGY_KINDS, EnergyKind
from devices.measurement import SOURCES, Source
from search_space.architectures import Architecture
from search_space.boundary.reading import read_json
from search_space.boundary.records import record_from_json
from search_space.boundary.sealing import sealed, unsealed
from search_space.boundary.text import one_line, reason_of, shown
from search_space.boundary.writing import write_atomically
from search_space.exits import Exit, check_exits

FOLDER = "adaptive"
"""In the folder of a network of the front: its segments, and what runs them."""
AGAIN = "Restore it from a copy, or have adapt_front.py write it anew."
"""What helps where it is damaged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamedImages:
    """Images that went through the policy on the board, one after the other."""

    images: int
    mean_latency_ms: float
    """Mean over the images of the least time that each took in several passes, with what the policy itself costs."""
    exit_shares: tuple[float, ...]
    """Shape (X,)."""
    error: float
    """On these images."""
    expected_latency_ms: float
    """What the same shares come to by the costs of the ways."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaptivePoint:
    """A network with exits and thresholds in a runtime configuration; without exits it is the network as it is."""

    architecture: Architecture
    configuration: RuntimeConfiguration
    exits: tuple[Exit, ...]
    thresholds: tuple[float, ...]
    """Of each exit: an image leaves at the first whose largest softmax exceeds it. Shape (E,)."""
    exit_shares: tuple[float, ...]
    """Share of images of the selection split that take each way. Shape (X,)."""
    error: float
    """On the selection split, in [0, 1]; thresholds were chosen there."""
    error_low: float | None
    """Bounds of its 95 % interval by the images of that split."""
    error_high: float | None
    images: int
    """Of the selection split."""
    static_error: float
    """Of the same weights where no image leaves early."""
    oracle_error: float
    """Of stopping at the first exit that is right, which nobody can deploy: a bound, never on a front."""
    oracle_latency_ms: float
    test_error: float | None = None
    """On the test split, which is read once, for points of the final front."""
    latency_ms: float
    """Expected: the sum of shares x costs of the ways. So are energies."""
    worst_latency_ms: float
    """Of the longest way that an image can take: none comes past a threshold of 0."""
    energy_mj: float
    """The energy that the front minimises."""
    energy_kind: EnergyKind
    net_energy_mj: float
    """Above idle."""
    gross_energy_mj: float | None
    energy_error: float | None
    """How far a modelled energy may be off, as a fraction; None where it was measured, or is not known."""
    latency_source: Source
    energy_source: Source
    path_latency_ms: tuple[float, ...]
    """Of each way. Shape (X,)."""
    path_energy_mj: tuple[float, ...]
    """Above idle. Shape (X,)."""
    jointly_trained: bool
    """Whether the network was trained on together with its heads."""
    segment_params: tuple[int, ...]
    """Parameters of each segment. Shape (X,)."""
    streamed: StreamedImages | None = None
    """None where no board ran it."""

    def __post_init__(self) -> None:
        if not all(isinstance(value, float | int) and 0 <= value <= 1 for value in self.thresholds):
            raise ValueError(f"thresholds must be from 0 to 1, but are {shown(self.thresholds)}.")
        ways = len(self.exits) + 1
        check_exits(self.exits, len(self.architecture.operators))
        for name, length in (
            ("thresholds", ways - 1),
            ("exit_shares", ways),
            ("path_latency_ms", ways),
            ("path_energy_mj", ways),
            ("segment_params", ways),
        ):
            if len(getattr(self, name)) != length:
                raise ValueError(
                    f"`{name}` must have {length} values for {ways - 1} exits, but has {len(getattr(self, name))}."
                )
        if not math.isclose(sum(self.exit_shares), 1, abs_tol=1e-6):
            raise ValueError(f"`exit_shares` must come to 1, but come to {sum(self.exit_shares):g}.")
        if self.energy_kind not in ENERGY_KINDS or not {self.latency_source, self.energy_source} <= {*SOURCES}:
            raise ValueError(
                f"`energy_kind` must be one of {', '.join(ENERGY_KINDS)} and sources of {', '.join(SOURCES)}, but are "
                f"{shown(self.energy_kind)}, {shown(self.latency_source)} and {shown(self.energy_source)}."
            )
        for name in ("error", "static_error", "oracle_error", "latency_ms", "worst_latency_ms", "energy_mj"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise ValueError(f"`{name}` must be a number of at least 0, but is {shown(value)}.")

    @property
    def id(self) -> str:
        """Of its architecture."""
        return self.architecture.id

    @property
    def objectives(self) -> tuple[float, float, float]:
        """Error, expected latency in ms, expected energy in mJ."""
        return self.error, self.latency_ms, self.energy_mj

    def to_json(self) -> dict[str, Any]:
        """An item of front_adaptive.json."""
        content = asdict(self)
        content["architecture"] = self.architecture.to_json()
        content["configuration"] = asdict(self.configuration) | {"label": self.configuration.label}
        content["exits"] = [one.to_json() for one in self.exits]
        return content

    @classmethod
    def from_json(cls, content: Any) -> AdaptivePoint:
        """The point that `to_json` gave.

        Raises:
            ValueError: if a key is missing, or a value is none of its kind.
        """
        point = record_from_json(cls, content, where="point")
        identifier = point.architecture.id
        if not identifier or one_line(identifier) != identifier or Path(identifier).name != identifier:
            raise ValueError(f"a point must have an id that names a folder of the run, but has {shown(identifier)}.")
        return point


def write_adaptive_front(path: Path, points: Sequence[AdaptivePoint]) -> None:
    """Write points, best accuracy first, each with its seal.

    Args:
        path: of front_adaptive.json.
        points: that none dominates.
    """
    ordered = sorted(points, key=lambda point: (point.objectives, point.id, point.configuration.label))
    items = [sealed(point.to_json()) for point in ordered]
    write_atomically(path, (json.dumps(items, indent=1) + "\n").encode())


def read_adaptive_front(path: Path) -> tuple[AdaptivePoint, ...]:
    """The points of a front_adaptive.json, in its order.

    Raises:
        ValueError: if it is missing, empty, damaged, or not of the form that is written.
    """
    try:
        content = read_json(path, what="a front of networks with early exits")
    except ValueError as error:
        raise ValueError(f"{error} {AGAIN}") from None
    if not isinstance(content, list) or not content:
        raise ValueError(f"a front must be a list of at least one point, but {str(path)!r} is not. {AGAIN}")
    points = []
    for number, item in enumerate(content, 1):
        try:
            points.append(AdaptivePoint.from_json(unsealed(item)))
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"point {number} of {str(path)!r} must be whole, but is not: {reason_of(error)}. {AGAIN}"
            ) from None
    return tuple(points)
