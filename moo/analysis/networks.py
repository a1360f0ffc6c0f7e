"""What pictures of a front show: its networks, the other evaluated ones, and baselines. Start with `evaluated`.

Errors after training and with inherited weights are never taken for each other: each network says which it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from devices.configuration import Precision
from moo.analysis.recipes import many_epochs
from moo.storage.archive import Archive, Costs
from moo.storage.trained_network import TrainedNetwork


@dataclass(frozen=True)
class Network:
    """One network as pictures show it."""

    id: str
    """Architecture id, or a baseline's name."""
    error: float
    """On the selection split, in [0, 1]."""
    costs: Costs
    trained: bool = False
    """Whether `error` is that after training, instead of with inherited weights."""

    @property
    def coordinates(self) -> tuple[float, float, float]:
        """Error in percent, latency in ms, energy in mJ."""
        return (100 * self.error, self.costs.latency_ms, self.costs.energy_mj)


@dataclass(frozen=True)
class Evaluated:
    """All evaluated networks, parted into the front and the rest, and baselines beside them."""

    front: tuple[Network, ...]
    others: tuple[Network, ...]
    """Dominated networks, and, where the front is one of trained networks, those that were not trained."""
    baselines: tuple[Network, ...] = ()
    """The measured ones; none unless the front is one of trained networks."""
    left_out: str = ""
    """Which baselines are not drawn, and why."""
    trained_for: str = ""
    """Epochs of the baselines and of the front, where baselines are drawn."""

    @property
    def all(self) -> tuple[Network, ...]:
        """The evaluated networks, the front first."""
        return self.front + self.others

    @property
    def drawn(self) -> tuple[Network, ...]:
        """Everything that a plane shows: the evaluated networks, then the baselines."""
        return self.all + self.baselines

    @property
    def retrained(self) -> bool:
        """Whether the front is one of trained networks."""
        return any(network.trained for network in self.front)

    @property
    def dominated(self) -> tuple[Network, ...]:
        """The others that have errors of the same kind as the front."""
        return tuple(network for network in self.others if network.trained == self.retrained)

    @property
    def untrained(self) -> tuple[Network, ...]:
        """The others with inherited weights beside a front of trained networks."""
        return tuple(network for network in self.others if network.trained != self.retrained)

    @property
    def error_label(self) -> str:
        """Label of an axis of errors: on which images, and of which weights."""
        weights = "inherited weights"
        if self.retrained:
            weights = "trained; faint: inherited weights" if self.untrained else "trained"
        return f"error on the selection split (%),\n{weights}"

    @property
    def summary(self) -> str:
        """Number of networks, which errors they have, and which of them are measured."""
        measured = sum(network.costs.latency_source == "measured" for network in self.front)
        number, front = (
            f"{len(self.all)} network{'s' * (len(self.all) != 1)} evaluated",
            f"{len(self.front)} on the front",
        )
        if not self.retrained:
            return f"{number} with inherited weights; {front}, of which {measured} measured for latency"
        trained = len(self.all) - len(self.untrained)
        return f"{number}, {trained} trained; {front} (trained errors), {measured} of them measured for latency"

    @property
    def summary_with_baselines(self) -> str:
        """The same, and in a second line what is said of baselines, if there are any."""
        number = len(self.baselines)
        drawn = f"{number} baseline{'s' * (number != 1)}{self.trained_for}" if number else ""
        second = "; ".join(part for part in (drawn, self.left_out) if part)
        return f"{self.summary}\n{second}" if second else self.summary


def evaluated(archive: Archive, baselines: Sequence[TrainedNetwork] = ()) -> Evaluated:
    """The networks of an archive.

    Args:
        archive: of a run.
        baselines: trained ones. Those that were measured stand beside a front of trained networks; beside one with
            inherited weights none does, as their errors cannot be compared.
    """
    retrained = archive.is_retrained
    front_ids = {entry.architecture.id for entry in archive.front()}
    front = [entry.trained for entry in archive.front() if entry.trained is not None]
    networks = [
        Network(
            entry.architecture.id,
            archive.error(entry) if retrained else entry.error,
            archive.costs(entry),
            trained=retrained and entry.trained is not None,
        )
        for entry in archive.entries
    ]
    costs = [(network.file(archive.precision), measured_costs(network, archive.precision)) for network in baselines]
    measured = [
        Network(network.name, file.error, cost, trained=True)
        for network, (file, cost) in zip(baselines, costs, strict=True)
        if file is not None and cost is not None
    ]
    missing = len(baselines) - len(measured)
    if baselines and not retrained:
        measured, left_out = [], "baselines are drawn when all networks of the front are trained too"
    else:
        left_out = f"{missing} baseline{'s' * (missing != 1)} not measured and left out" if missing else ""
    return Evaluated(
        tuple(network for network in networks if network.id in front_ids),
        tuple(network for network in networks if network.id not in front_ids),
        tuple(measured),
        left_out,
        f", trained for {many_epochs(baselines)}; the front for {many_epochs(front)}" if measured and front else "",
    )


def measured_costs(network: TrainedNetwork, precision: Precision) -> Costs | None:
    """Costs of a trained network's file of a precision; None if there is no such file, or it was not measured."""
    file = network.file(precision)
    if file is None or file.measurement is None:
        return None
    m = file.measurement
    return Costs(m.latency_ms, m.energy_mj, m.latency_source, m.energy_source)
