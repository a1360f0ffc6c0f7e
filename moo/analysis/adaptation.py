"""What early exits and configurations gain over the networks as they are. Start with `gains`.

Array shapes: N points, M = 3 objectives: error, expected latency in ms, expected energy in mJ.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from devices.configuration import RuntimeConfiguration
from devices.cost_tables.energy_objective import EnergyKind, EnergyObjective
from moo.formatting import many, short
from moo.storage.adaptive_front import AdaptivePoint, read_adaptive_front
from moo.storage.archive import Archive, reference_point_of
from moo.storage.pareto import hypervolume
from moo.storage.run_folder import RunFolder
from moo.trials import Objectives

EQUAL_ACCURACY = 0.005
"""Accuracy that may be lost where an adaptive network counts as accurate as the static one: 0.5 percentage points."""
ENERGY_LABELS: Mapping[EnergyKind, str] = {
    "net": "energy above idle",
    "gross": "energy with idle power",
    "period": "energy in a period",
}
"""For people; networks may be adapted for another energy than the run was searched for."""
_ACCURATE_SHARE = 3
"""The most accurate third: one of so many networks, rounded up."""
_PAYS = 1e-3
"""Change of a latency or a hypervolume, as a share, below which nothing was gained."""


class StaticPoint(Protocol):
    """A network as it is, in a configuration: a point of an archive, or an adaptive one without exits."""

    @property
    def id(self) -> str:
        """Of its architecture."""

    @property
    def configuration(self) -> RuntimeConfiguration:
        """How it is run."""

    @property
    def objectives(self) -> Objectives:
        """Error, latency in ms, energy in mJ."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkGain:
    """A network as it is, and the quickest of its policies that is as accurate, in the same configuration."""

    id: str
    configuration: RuntimeConfiguration
    static_error: float
    static_latency_ms: float
    error: float
    """That of the static network where no policy is quicker; so are the next two."""
    latency_ms: float
    """Expected."""
    worst_latency_ms: float

    @property
    def latency_change(self) -> float:
        """Of the expected latency, as a share of the static one; below 0 where exits pay."""
        return self.latency_ms / self.static_latency_ms - 1

    @property
    def worst_latency_change(self) -> float:
        """Of the latency of the longest way that an image can take, as a share of the static one."""
        return self.worst_latency_ms / self.static_latency_ms - 1

    @property
    def pays(self) -> bool:
        """Whether a policy is quicker at the same accuracy."""
        return self.latency_change < -_PAYS


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaptiveGains:
    """Hypervolumes of four sets of points of the same networks, and latencies at the same accuracy."""

    base: RuntimeConfiguration
    static: float
    """Hypervolume of the networks as they are in the base configuration, in [0, 1]; so are the next three."""
    exits: float
    """With exits, in the base configuration."""
    configurations: float
    """As they are, in all configurations."""
    both: float
    """With exits, in all configurations."""
    networks: tuple[NetworkGain, ...]
    """The most accurate third in the base configuration, the most accurate first."""

    @property
    def exits_ratio(self) -> float | None:
        """Hypervolume with exits over that without; None where the latter is 0."""
        return self._over_static(self.exits)

    @property
    def configurations_ratio(self) -> float | None:
        """Hypervolume in all configurations over that in the base configuration; None where the latter is 0."""
        return self._over_static(self.configurations)

    @property
    def both_ratio(self) -> float | None:
        """Hypervolume with exits in all configurations over that of static networks in the base configuration."""
        return self._over_static(self.both)

    @property
    def latency_change(self) -> float | None:
        """Mean change of the expected latency of the most accurate third; None where there is no network."""
        return _mean(gain.latency_change for gain in self.networks)

    @property
    def worst_latency_change(self) -> float | None:
        """The largest change of the worst-case latency among them; None where there is no network."""
        return max((gain.worst_latency_change for gain in self.networks), default=None)

    @property
    def exits_pay(self) -> bool:
        """Whether exits enlarge the hypervolume, in the base configuration or over all."""
        return self.exits > (1 + _PAYS) * self.static or self.both > (1 + _PAYS) * self.configurations

    def _over_static(self, volume: float) -> float | None:
        return volume / self.static if self.static else None


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaptiveResults:
    """What adapting the networks of a run came to."""

    front: tuple[AdaptivePoint, ...]
    """Of networks with exits and as they are, best accuracy first."""
    points: tuple[AdaptivePoint, ...]
    """Those with exits that the front was chosen from; where that is not known, those of the front."""
    static: tuple[AdaptivePoint, ...]
    """The networks as they are, in each configuration; where that is not known, those of the front."""
    is_whole: bool
    """Whether the latter two are known."""

    def gains(self, archive: Archive) -> AdaptiveGains | None:
        """What was gained; None where the networks as they are, or a reference point for this energy, are not known.

        Args:
            archive: of the run.
        """
        static: Sequence[StaticPoint] = self.static if self.is_whole else archive.trained_points()
        energy, reference = _energy_of(self.front[0], archive.energy), archive.reference_point
        if not static or energy is None:
            return None
        if energy != archive.energy:
            if archive.tables is None or not self.is_whole:
                return None
            reference = reference_point_of(archive.tables, reference[0], energy)
        return gains(self.points, static, reference)


def read_adaptive_results(folder: RunFolder) -> AdaptiveResults | None:
    """What adapting the networks of a run came to; None where that was not done.

    Args:
        folder: of the run.

    Raises:
        ValueError: if a file of it is damaged.
    """
    if not folder.adaptive_front.exists():
        return None
    front = read_adaptive_front(folder.adaptive_front)
    is_whole = folder.adaptive_points.exists()
    every = read_adaptive_front(folder.adaptive_points) if is_whole else front
    return AdaptiveResults(
        front=front,
        points=tuple(point for point in every if point.exits),
        static=tuple(point for point in every if not point.exits),
        is_whole=is_whole,
    )


def _energy_of(point: AdaptivePoint, of_run: EnergyObjective) -> EnergyObjective | None:
    """The energy that a point minimises, that of the run where it is the same; None where a period is not known.

    A period lasts as long as the idle board takes for what is paid above net energy.
    """
    if point.energy_kind != "period":
        return EnergyObjective(point.energy_kind)
    idle_mj = 0.0 if point.gross_energy_mj is None else point.gross_energy_mj - point.net_energy_mj
    if idle_mj <= 0 or point.energy_mj <= point.net_energy_mj:
        return of_run if of_run.kind == "period" else None
    period_ms = (point.energy_mj - point.net_energy_mj) / idle_mj * point.latency_ms
    is_same = of_run.period_ms is not None and math.isclose(period_ms, of_run.period_ms, rel_tol=1e-6)
    return of_run if is_same else EnergyObjective("period", period_ms)


def gains(
    points: Sequence[AdaptivePoint], static_points: Sequence[StaticPoint], reference: Objectives
) -> AdaptiveGains:
    """What exits, configurations and both gain over networks as they are.

    The base configuration is the least of those of the static points. A static network counts as one of the points to
    choose from in each set, so that no ratio is below 1, and no latency grows.

    Args:
        points: all policies that are known of the networks, the dominated ones and those in the base configuration
            included: with the front's alone, what exits gain in the base configuration is a lower bound.
        static_points: the same networks as they are, in each configuration; at least one.
        reference: of hypervolume, as the run's: error, latency in ms, energy in mJ.

    Raises:
        ValueError: if there is no static point.
    """
    if not static_points:
        raise ValueError("gains must have at least one static point to be compared with, but got none.")
    base = min(point.configuration for point in static_points)
    of_base = [point for point in static_points if point.configuration == base]
    in_base = [point for point in points if point.configuration == base]
    return AdaptiveGains(
        base=base,
        static=_volume(of_base, reference),
        exits=_volume([*of_base, *in_base], reference),
        configurations=_volume(static_points, reference),
        both=_volume([*static_points, *points], reference),
        networks=tuple(equally_accurate(static, in_base) for static in most_accurate_third(of_base)),
    )


def most_accurate_third(static_points: Iterable[StaticPoint]) -> list[StaticPoint]:
    """A third of the networks, rounded up, the most accurate first; the one of least latency among equals.

    Args:
        static_points: in one configuration.
    """
    best: dict[str, StaticPoint] = {}
    for point in sorted(static_points, key=lambda point: (point.objectives, point.id)):
        best.setdefault(point.id, point)
    return list(best.values())[: math.ceil(len(best) / _ACCURATE_SHARE)]


def equally_accurate(static: StaticPoint, points: Iterable[AdaptivePoint]) -> NetworkGain:
    """The quickest policy of a network that loses at most half a percentage point of accuracy.

    Args:
        static: the network as it is; its latency should have the source that those of its policies have.
        points: policies, of which those of this network in this configuration count.
    """
    error, latency_ms, _ = static.objectives
    as_accurate = [
        (point.latency_ms, point.error, point.worst_latency_ms)
        for point in points
        if point.id == static.id
        and point.configuration == static.configuration
        and point.error <= error + EQUAL_ACCURACY + 1e-9
    ]
    found = min([(latency_ms, error, latency_ms), *as_accurate])
    return NetworkGain(
        id=static.id,
        configuration=static.configuration,
        static_error=error,
        static_latency_ms=latency_ms,
        latency_ms=found[0],
        error=found[1],
        worst_latency_ms=found[2],
    )


def gains_text(found: AdaptiveGains) -> str:
    """What was gained, in two sentences, for the end of a command and the head of a section."""
    exits, configurations, both = found.exits_ratio, found.configurations_ratio, found.both_ratio
    several = found.configurations > (1 + _PAYS) * found.static
    if exits is None or configurations is None or both is None:
        volumes = "No static network lies within the reference point, so that hypervolumes cannot be compared."
    elif not found.exits_pay:
        volumes = "Exits do not enlarge the hypervolume of the static networks."
        if several:
            volumes = f"{volumes[:-1]}; configurations give {configurations:.3f} times it."
    else:
        volumes = f"Exits alone give {exits:.3f} times the hypervolume of the static networks in {found.base.label}"
        volumes += f", configurations alone {configurations:.3f}, both {both:.3f}." if several else "."
    return f"{volumes} {_latency_text(found)}".strip()


def _latency_text(found: AdaptiveGains) -> str:
    change, worst = found.latency_change, found.worst_latency_change
    if change is None or worst is None:
        return ""
    third = f"The most accurate third ({many(len(found.networks), 'network', 'networks')})"
    points = f"{100 * EQUAL_ACCURACY:g} percentage points of accuracy"
    if change > -_PAYS:
        return f"{third} gets no quicker by exits where at most {points} may be lost."
    return (
        f"{third} has {short(-100 * change)} % less expected latency where at most {points} may be lost; its worst "
        f"case takes {_signed(worst)}."
    )


def _signed(change: float) -> str:
    if abs(change) < _PAYS:
        return "as long as before"
    return f"{short(100 * abs(change))} % {'more' if change > 0 else 'less'}"


def _volume(points: Sequence[StaticPoint], reference: Objectives) -> float:
    return hypervolume(np.array([point.objectives for point in points], np.float64).reshape(-1, 3), np.array(reference))


def _mean(values: Iterable[float]) -> float | None:
    known = list(values)
    return sum(known) / len(known) if known else None
