"""What pictures of a front show: its networks, the other evaluated ones, and baselines. Start with `evaluated`.

Errors after training and with inherited weights are never taken for each other: each network says which it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from devices.configuration import Precision, RuntimeConfiguration
from devices.cost_tables.energy_objective import EnergyObjective
from devices.measurement import Source
from evaluation.errors import ERROR_NAMES, ErrorKind
from moo.analysis.chance import Interval
from moo.analysis.errors import error_kind, on_selection_split
from moo.analysis.recipes import many_epochs
from moo.analysis.representatives import representatives
from moo.analysis.thinning import thinned
from moo.storage.archive import (
    Archive,
    Costs,
    Entry,
    OperatingPoint,
    measured_costs,
    networks_of,
    objectives_of,
)
from moo.storage.origin import SearchDataset
from moo.storage.pareto import epsilon_front
from moo.storage.trained_network import TrainedNetwork

MOST_OTHERS = 2000
"""Networks beside a front that are drawn, of those that were not trained and whose costs have the same origin."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownNetwork:
    """One network as pictures show it."""

    id: str
    """Architecture id, or a baseline's name."""
    error: float
    """On the selection split, in [0, 1]."""
    costs: Costs
    configuration: RuntimeConfiguration | None = None
    """How it is run; None where that makes no difference to what is shown."""
    trained: bool = False
    """Whether `error` is that after training, instead of with inherited weights."""
    interval: Interval | None = None
    """95 % interval of `error`; None where it is not told."""

    @property
    def coordinates(self) -> tuple[float, float, float]:
        """Error in percent, latency in ms, energy in mJ."""
        return (100 * self.error, self.costs.latency_ms, self.costs.energy_mj)


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluated:
    """All evaluated networks, parted into the front and the rest, and baselines beside them."""

    front: tuple[ShownNetwork, ...]
    others: tuple[ShownNetwork, ...]
    """Dominated networks, and, where the front is one of trained networks, those that were not trained."""
    merged: tuple[ShownNetwork, ...] = ()
    """Points of the front that cannot be told apart from a cheaper one, which stands for them."""
    kind: ErrorKind = "plain"
    """What is called an error."""
    guessing: float | None = None
    """Error of always answering the commonest class, in [0, 1]; None where that is not known."""
    baselines: tuple[ShownNetwork, ...] = ()
    """The measured ones; none unless the front is one of trained networks."""
    left_out: str = ""
    """Which baselines are not drawn, and why."""
    trained_for: str = ""
    """Epochs of the baselines and of the front, where baselines are drawn."""
    energy: str = "energy above idle"
    """What energies are of one image."""
    front_points: int | None = None
    """Operating points on the front, of which `front` has those that are shown; None if it has all."""
    networks: int | None = None
    """Evaluated in all; None if those here are all."""
    others_in_all: int | None = None
    """Networks beside the front, of which `others` has those that are drawn; None if it has all."""

    @property
    def all(self) -> tuple[ShownNetwork, ...]:
        """The evaluated networks, the front first."""
        return self.front + self.merged + self.others

    @property
    def drawn(self) -> tuple[ShownNetwork, ...]:
        """Everything that a plane shows: the evaluated networks, then the baselines."""
        return self.all + self.baselines

    @property
    def retrained(self) -> bool:
        """Whether the front is one of trained networks."""
        return any(network.trained for network in self.front)

    @property
    def dominated(self) -> tuple[ShownNetwork, ...]:
        """The others that have errors of the same kind as the front."""
        return tuple(network for network in self.others if network.trained == self.retrained)

    @property
    def untrained(self) -> tuple[ShownNetwork, ...]:
        """The others with inherited weights beside a front of trained networks."""
        return tuple(network for network in self.others if network.trained != self.retrained)

    @property
    def error_label(self) -> str:
        """Label of an axis of errors: on which images, and of which weights."""
        weights = "inherited weights"
        if self.retrained:
            weights = "trained; faint: inherited weights" if self.untrained else "trained"
        return f"{ERROR_NAMES[self.kind]} on the selection split (%),\n{weights}"

    @property
    def summary(self) -> str:
        """Number of networks, which errors they have, and which of them are measured."""
        measured = sum(network.costs.latency_source == "measured" for network in self.front)
        evaluated_ids = {network.id for network in self.all}
        networks = len(evaluated_ids) if self.networks is None else self.networks
        number, front = f"{networks} network{'s' * (networks != 1)} evaluated", f"{len(self.front)} on the front"
        if any(network.configuration is not None for network in self.front):
            front = f"{len(self.front)} operating points on the front"
        if self.front_points is not None and self.front_points > len(self.front):
            front = f"{self.front_points} operating points on the front, {len(self.front)} shown"
        if self.merged:
            front += f" that can be told apart ({len(self.merged)} more cannot)"
        left_out = ""
        if self.others_in_all is not None and self.others_in_all > len(self.others):
            left_out = f"; of {self.others_in_all} others {len(self.others)} are drawn"
        if not self.retrained:
            return f"{number} with inherited weights; {front}, of which {measured} measured for latency{left_out}"
        trained = len({network.id for network in self.all if network.trained})
        return (
            f"{number}, {trained} trained; {front} (trained errors), {measured} of them measured for latency{left_out}"
        )

    @property
    def summary_with_baselines(self) -> str:
        """The same, and in a second line what is said of baselines, if there are any."""
        number = len(self.baselines)
        drawn = f"{number} baseline{'s' * (number != 1)}{self.trained_for}" if number else ""
        second = "; ".join(part for part in (drawn, self.left_out) if part)
        return f"{self.summary}\n{second}" if second else self.summary


def evaluated(archive: Archive, baselines: Sequence[TrainedNetwork] = (), *, front_size: int = 24) -> Evaluated:
    """The networks of an archive.

    Args:
        archive: of a run.
        baselines: trained ones. Those that were measured stand beside a front of trained networks; beside one with
            inherited weights none does, as their errors cannot be compared.
        front_size: operating points of the front that are shown at most.
    """
    retrained, whole = archive.is_retrained, archive.front()
    found = representatives(whole, archive.data)
    front = [one.point for one in found]
    shown = shown_points(front, front_size)
    several = len(archive.configurations) > 1
    front_ids = {point.id for point in whole}
    trained = [entry.trained for entry in networks_of(whole) if entry.trained is not None]
    others = [
        _other(archive, entry, retrained=retrained)
        for entry in archive.entries
        if entry.architecture.id not in front_ids
    ]
    costs = [
        (network.file(archive.base.precision), file_costs(network, archive.base.precision, archive.energy))
        for network in baselines
    ]
    measured = [
        ShownNetwork(id=network.name, error=file.error, costs=cost, trained=True)
        for network, (file, cost) in zip(baselines, costs, strict=True)
        if file is not None and cost is not None
    ]
    missing = len(baselines) - len(measured)
    if baselines and not retrained:
        measured, left_out = [], "baselines are drawn when all networks of the front are trained too"
    else:
        left_out = f"{missing} baseline{'s' * (missing != 1)} not measured and left out" if missing else ""
    return Evaluated(
        front=tuple(shown_network(point, several=several, data=archive.data) for point in shown),
        merged=tuple(shown_network(point, several=several) for one in found for point in one.others),
        kind=error_kind(archive.data),
        guessing=None if archive.data is None else archive.data.guessing_error,
        others=_drawn(others),
        baselines=tuple(measured),
        left_out=left_out,
        trained_for=f", trained for {many_epochs(baselines)}; the front for {many_epochs(trained)}"
        if measured and trained
        else "",
        energy=archive.energy.label,
        front_points=len(front),
        networks=len(archive),
        others_in_all=len(others),
    )


def _drawn(others: Sequence[ShownNetwork]) -> tuple[ShownNetwork, ...]:
    """Trained ones, and of the others so many of each origin of costs that a picture does not drown in them."""
    places = [place for place, network in enumerate(others) if network.trained]
    alike: dict[tuple[Source, Source], list[int]] = {}
    for place, network in enumerate(others):
        if not network.trained:
            alike.setdefault((network.costs.latency_source, network.costs.energy_source), []).append(place)
    for group in alike.values():
        places += [group[chosen] for chosen in thinned([others[place].coordinates for place in group], MOST_OTHERS)]
    return tuple(others[place] for place in sorted(places))


def shown_points(front: Sequence[OperatingPoint], size: int) -> tuple[OperatingPoint, ...]:
    """At most `size` points that stand for a front, best accuracy first."""
    return tuple(front[place] for place in epsilon_front(objectives_of(front), size))


def unused_configurations(archive: Archive) -> list[str]:
    """Labels of the configurations that were searched, and have no point on the front."""
    used = {point.configuration for point in archive.front()}
    return [one.short_label for one in archive.configurations if one not in used]


def grouped(points: Sequence[OperatingPoint]) -> tuple[OperatingPoint, ...]:
    """The same points, those of one network together, the fastest first; networks in the order of their first point."""
    order = {identifier: place for place, identifier in enumerate(dict.fromkeys(point.id for point in points))}
    return tuple(sorted(points, key=lambda point: (order[point.id], point.costs.latency_ms)))


def best_of_each(points: Sequence[OperatingPoint]) -> tuple[OperatingPoint, ...]:
    """Of each network the first of its points."""
    return tuple({point.id: point for point in reversed(points)}.values())[::-1]


def shown_network(point: OperatingPoint, *, several: bool, data: SearchDataset | None = None) -> ShownNetwork:
    """A point as pictures show it.

    Args:
        point: of a front.
        several: whether configurations are told apart.
        data: the images of the run, where the interval of the error is shown.
    """
    configuration = point.configuration if several else None
    return ShownNetwork(
        id=point.id,
        error=point.error,
        costs=point.costs,
        configuration=configuration,
        trained=point.trained,
        interval=on_selection_split(point.error, data).interval,
    )


def _other(archive: Archive, entry: Entry, *, retrained: bool) -> ShownNetwork:
    """A network that is not on the front, in the configuration of its trial."""
    configuration = entry.configuration or archive.base
    trained = retrained and entry.trained is not None
    file = entry.trained.file(configuration.precision) if entry.trained is not None and trained else None
    if file is not None and entry.trained is not None:
        file = entry.trained.file_for(configuration)
    error = entry.error if file is None else file.error
    return ShownNetwork(
        id=entry.architecture.id, error=error, costs=archive.searched_costs(entry), trained=trained and file is not None
    )


def file_costs(network: TrainedNetwork, precision: Precision, energy: EnergyObjective) -> Costs | None:
    """Costs of a trained network's file of a precision, measured or else modelled; None if there are neither."""
    file = network.file(precision)
    if file is None:
        return None
    if file.measurement is not None:
        return measured_costs(file.measurement, energy)
    if file.modelled is None:
        return None
    m = file.modelled
    return Costs(
        latency_ms=m.latency_ms,
        energy_mj=energy.energy_mj(m.energy_mj, m.latency_ms, m.idle_w),
        latency_source="modelled",
        energy_source="modelled",
        net_mj=m.energy_mj,
        idle_w=m.idle_w,
        energy_error=m.energy_error,
    )
