"""Choosing an operating point of a run's front: three to choose from, the most accurate within limits, or the knee.

Start with `read_front`, then `in_configurations`, `three_choices`, `best_within` or `knee`, which take whatever is
`Choosable`. Only front.json is read, so a front can be chosen from on any machine that the run folder was copied to.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, get_args

from devices.configuration import BY_NAME, PRECISIONS, Precision, Runtime, RuntimeConfiguration
from devices.cost_tables.energy_objective import ENERGY_KINDS, EnergyKind
from devices.measurement import SOURCES, Source
from evaluation.errors import ErrorKind
from moo.analysis.choices import knee_place, three_of
from moo.storage.run_folder import RunFolder
from search_space.boundary.reading import read_json
from search_space.boundary.sealing import unsealed
from search_space.boundary.text import one_line, reason_of, shown

PointKey = tuple[str, str | None]
"""Architecture id, and label of the configuration."""


class Choosable(Protocol):
    """What choosing needs of a point."""

    @property
    def key(self) -> PointKey:
        """What names it in `same_as` of others."""

    @property
    def same_as(self) -> PointKey | None:
        """The cheaper point that it cannot be told apart from, and that stands for it."""

    @property
    def configuration(self) -> RuntimeConfiguration | None:
        """How the network is run; None where that is not known."""

    @property
    def error(self) -> float:
        """On the selection split, in [0, 1]."""

    @property
    def latency_ms(self) -> float:
        """That a limit is for."""

    @property
    def energy_mj(self) -> float:
        """That the run minimises."""

    @property
    def beats_guessing(self) -> bool | None:
        """Whether it is better than always answering the commonest class; None where that is not known."""


Point = TypeVar("Point", bound=Choosable)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpectedError:
    """The error to expect of a network: on the test split where that was read, else on the selection split."""

    error: float
    """In [0, 1]; so are the bounds of its 95 % interval."""
    low: float | None
    """None where the number of images is not known; so is the next."""
    high: float | None
    images: int | None
    split: str
    """`test` or `selection`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontPoint:
    """One item of front.json, as far as choosing needs it: a network in a runtime configuration."""

    id: str
    """Architecture id, which is also the name of its folder."""
    space: str
    operators: tuple[str, ...]
    configuration: RuntimeConfiguration | None
    """None in a run of an earlier version, where the network was not measured."""
    precision: Precision = "fp32"
    """Of the configuration; of a run of an earlier version it is known even where the configuration is not."""
    error: float
    """Error on the selection split in this precision, in [0, 1]."""
    error_kind: ErrorKind = "plain"
    """What is called an error; plain in runs of earlier versions."""
    latency_ms: float
    energy_mj: float
    latency_source: Source
    energy_source: Source
    energy_kind: EnergyKind = "net"
    """Which energy `energy_mj` is; that above idle in runs of earlier versions."""
    energy_error: float | None = None
    """How far a modelled energy may be off, as a fraction; None where that is not known."""
    error_source: str = "inherited"
    """What weights the error is of: `inherited` from the supernet, or `trained`."""
    error_low: float | None = None
    """Of the 95 % interval of `error`; None in runs of earlier versions, as are all that follow."""
    error_high: float | None = None
    images: int | None = None
    """Of the selection split."""
    expected: ExpectedError | None = None
    beats_guessing: bool | None = None
    """Whether the interval of what is expected lies below the error of always answering the commonest class."""
    params: int | None = None
    """Trainable parameters."""
    same_as: PointKey | None = None
    """The cheaper point that it cannot be told apart from, and that stands for it."""

    @property
    def key(self) -> PointKey:
        """What names it in `same_as` of others."""
        return self.id, None if self.configuration is None else self.configuration.label


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfigurationFilter:
    """The configurations that points are chosen from; no value is any."""

    threads: tuple[int, ...] = ()
    frequencies_mhz: tuple[int, ...] = ()
    """Clocks that were set; a point whose clock the board's governor had has none."""
    precisions: tuple[Precision, ...] = ()
    runtimes: tuple[Runtime, ...] = ()

    def __str__(self) -> str:
        """As options of the command line."""
        names = tuple(name for name, runtime in BY_NAME.items() if runtime in self.runtimes)
        options: dict[str, Sequence[object]] = {
            "threads": self.threads,
            "frequency-mhz": self.frequencies_mhz,
            "precision": self.precisions,
            "runtime": names,
        }
        return " ".join(f"--{name} {' '.join(map(str, values))}" for name, values in options.items() if values)

    def admits(self, configuration: RuntimeConfiguration | None) -> bool:
        """Whether a point in this configuration may be chosen; one that is not known passes where nothing is asked."""
        if configuration is None:
            return not str(self)
        return (
            (not self.threads or configuration.threads in self.threads)
            and (not self.frequencies_mhz or configuration.frequency_mhz in self.frequencies_mhz)
            and (not self.precisions or configuration.precision in self.precisions)
            and (not self.runtimes or configuration.runtime in self.runtimes)
        )


@dataclass(frozen=True)
class Limits:
    """What a point may cost at most; None is no limit."""

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
            raise ValueError(f"`max_error <= 1` must hold, as it is a share, but got {self.max_error}.")

    @property
    def is_empty(self) -> bool:
        """Whether there is no limit at all."""
        return self.max_latency_ms is None and self.max_energy_mj is None and self.max_error is None


@dataclass(frozen=True)
class Excess:
    """A limit that a point exceeds."""

    quantity: str
    """`latency_ms`, `energy_mj` or `error`."""
    value: float
    limit: float

    @property
    def ratio(self) -> float:
        """By what share of the limit the value lies above it; above 0."""
        return self.value / self.limit - 1


AGAIN = "Restore it from a copy, or have the run write it anew by --resume."
"""What helps where a front is damaged."""


def read_front(run: Path) -> tuple[FrontPoint, ...]:
    """The operating points in the front.json of a run folder, in its order.

    Runs of earlier versions had one configuration, and did not write it there: it is that of the measurement.

    Raises:
        ValueError: if the folder or its front.json is missing, empty, or not of the form that a run writes.
    """
    path = RunFolder(run).front
    if not run.is_dir():
        raise ValueError(f"a run folder must be given, but {str(run)!r} is no folder.")
    if not path.exists():
        raise ValueError(
            f"a run folder must hold a front.json, but {str(run)!r} does not; it comes with its first generation."
        )
    try:
        content = read_json(path, what="a front")
    except ValueError as error:
        raise ValueError(f"{error} {AGAIN}") from None
    if not isinstance(content, list) or not content:
        raise ValueError(f"a front must be a list of at least one point, but {str(path)!r} is not.")
    return tuple(_point_from(item, f"point {number} of {str(path)!r}") for number, item in enumerate(content, 1))


def in_configurations(front: Sequence[Point], wanted: ConfigurationFilter) -> tuple[Point, ...]:
    """The points whose configurations are wanted, in their order.

    Raises:
        ValueError: if there is none, naming the configurations of the front.
    """
    chosen = tuple(point for point in front if wanted.admits(point.configuration))
    if not chosen:
        known = sorted({point.configuration for point in front if point.configuration is not None})
        labels = ", ".join(one.label for one in known) or "not recorded, as it was written by an earlier version"
        raise ValueError(f"the front must have a point in {wanted}, but its configurations are {labels}: omit a value.")
    return chosen


def three_choices(front: Sequence[Point]) -> tuple[tuple[str, Point], ...]:
    """The most accurate point, the knee, and the fastest above chance, each with what it is; fewer where they coincide.

    Args:
        front: at least one point.
    """
    told_apart = distinct(front)
    choices = three_of([_objectives(point) for point in told_apart], [point.beats_guessing for point in told_apart])
    return tuple((choice.name, told_apart[choice.place]) for choice in choices)


def excesses(point: Choosable, limits: Limits) -> tuple[Excess, ...]:
    """The limits that a point exceeds; a cost equal to its limit is within it."""
    pairs = (
        ("latency_ms", point.latency_ms, limits.max_latency_ms),
        ("energy_mj", point.energy_mj, limits.max_energy_mj),
        ("error", point.error, limits.max_error),
    )
    return tuple(Excess(name, value, limit) for name, value, limit in pairs if limit is not None and value > limit)


def best_within(front: Sequence[Point], limits: Limits) -> Point | None:
    """The point of least error within all limits (then of least latency, then energy); None if there is none."""
    allowed = [point for point in front if not excesses(point, limits)]
    return min(allowed, key=_objectives, default=None)


def nearest_to(front: Sequence[Point], limits: Limits) -> Point:
    """The point whose worst excess, as a share of its limit, is smallest.

    Args:
        front: at least one point.
        limits: limits that no point of the front keeps.
    """
    return min(front, key=lambda point: max((excess.ratio for excess in excesses(point, limits)), default=0.0))


def knee(front: Sequence[Point]) -> Point:
    """The point where the front bulges most towards the ideal point; `moo.analysis.choices.knee_place` says how.

    Args:
        front: at least one point.
    """
    told_apart = distinct(front)
    return told_apart[knee_place([_objectives(point) for point in told_apart])]


def distinct(front: Sequence[Point]) -> tuple[Point, ...]:
    """The points that can be told apart: those for which no other of them stands."""
    present = {point.key for point in front}
    return tuple(point for point in front if point.same_as not in present)


def _objectives(point: Choosable) -> tuple[float, float, float]:
    return point.error, point.latency_ms, point.energy_mj


def _point_from(item: Any, where: str) -> FrontPoint:
    try:
        item = unsealed(item)
    except ValueError as error:
        raise ValueError(f"{where} must be whole, but is not: {error}. {AGAIN}") from None
    try:
        architecture = item["architecture"]
        configuration = _configuration_from(item, where)
        point = FrontPoint(
            id=architecture["id"],
            space=architecture["space"],
            operators=tuple(architecture["operators"]),
            configuration=configuration,
            precision=item.get("precision", "fp32") if configuration is None else configuration.precision,
            error=item["error"],
            error_kind=item.get("error_kind", "plain"),
            latency_ms=item["latency_ms"],
            energy_mj=item["energy_mj"],
            latency_source=item["latency_source"],
            energy_source=item["energy_source"],
            energy_kind=item.get("energy_kind", "net"),
            energy_error=item.get("energy_error"),
            error_source=item.get("error_source", "inherited"),
            error_low=item.get("error_low"),
            error_high=item.get("error_high"),
            images=item.get("images"),
            expected=_expected_from(item.get("expected")),
            beats_guessing=item.get("beats_guessing"),
            params=item.get("params"),
            same_as=_key_from(item.get("same_as")),
        )
    except KeyError as error:
        raise ValueError(f"{where} must have the field {shown(error.args[0])}, but lacks it.") from None
    except (TypeError, AttributeError):
        raise ValueError(f"{where} must be an object of the form that a run writes, but is not.") from None
    texts = (point.id, point.space, *point.operators, *(() if point.same_as is None else point.same_as))
    if not all(isinstance(text, str) and text and one_line(text) == text for text in texts if text is not None):
        raise ValueError(
            f"{where} must have an id, a space and operators that are texts of one line, but has {shown(architecture)}."
        )
    # The name of a folder, which users copy.
    if point.id == ".." or Path(point.id).name != point.id:
        raise ValueError(f"{where} must have an id that names a folder of the run, but has {shown(point.id)}.")
    for name in ("error", "latency_ms", "energy_mj"):
        value = getattr(point, name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= sys.float_info.max:
            raise ValueError(f"{where} must have a number of at least 0 as {name!r}, but has {shown(value)}.")
    for name in ("energy_error", "error_low", "error_high", "images", "params"):
        value = getattr(point, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0):
            raise ValueError(f"{where} must have a number of at least 0 as {name!r}, but has {shown(value)}.")
    if point.error_kind not in get_args(ErrorKind):
        raise ValueError(
            f"{where} must have an error_kind of {', '.join(get_args(ErrorKind))}, but has {shown(point.error_kind)}."
        )
    if point.error_source not in ("inherited", "trained"):
        raise ValueError(
            f"{where} must have an error that is inherited or trained, but has {shown(point.error_source)}."
        )
    for source in (point.latency_source, point.energy_source):
        if source not in SOURCES:
            raise ValueError(f"{where} must have costs that are {', '.join(SOURCES)}, but has {shown(source)}.")
    if point.energy_kind not in ENERGY_KINDS:
        raise ValueError(
            f"{where} must have an energy_kind of {', '.join(ENERGY_KINDS)}, but has {shown(point.energy_kind)}."
        )
    if point.precision not in PRECISIONS:
        raise ValueError(f"{where} must have a precision of {', '.join(PRECISIONS)}, but has {shown(point.precision)}.")
    return point


def _expected_from(content: Any) -> ExpectedError | None:
    if content is None:
        return None
    expected = ExpectedError(**{name: content[name] for name in ("error", "low", "high", "images", "split")})
    if expected.split not in ("test", "selection"):
        raise TypeError("a split has a name")
    for value in (expected.error, expected.low, expected.high, expected.images):
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0):
            raise TypeError("an error is a number")
    return expected


def _key_from(content: Any) -> PointKey | None:
    return None if content is None else (str(content["id"]), content["configuration"])


def _configuration_from(item: dict[str, Any], where: str) -> RuntimeConfiguration | None:
    """The configuration of a point; in runs of earlier versions that of its measurement, if there is one."""
    content = item.get("configuration", item.get("measurement"))
    if content is None:
        return None
    try:
        return RuntimeConfiguration(
            runtime=content["runtime"] if "configuration" in item else "ort",
            threads=content["threads"],
            frequency_mhz=content.get("frequency_mhz"),
            precision=content.get("precision", "fp32"),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"it lacks {shown(error.args[0])}" if isinstance(error, KeyError) else reason_of(error)
        raise ValueError(f"{where} must have a runtime configuration, but has {shown(content)}: {reason}.") from None
