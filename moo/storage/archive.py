"""All evaluated architectures of a run, keyed by architecture id, with their costs; its non-dominated set is the front.

Costs of a network are measured ones where it has been measured, else predictions. So that both can stand side by side,
predictions come from the cost table as the networks measured so far have corrected it (`Archive.use_table`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

import numpy as np

from devices.configuration import Precision
from devices.cost_tables.cost_table import CostTable
from devices.measurement import Measurement, Source
from dnas.losses import Coefficients
from moo.storage.pareto import Floats, hypervolume, non_dominated
from moo.storage.trained_network import TrainedNetwork
from search_space.architectures import Architecture


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One evaluated architecture."""

    architecture: Architecture
    error: float
    """Error with inherited weights on the selection split, in [0, 1]."""
    predicted_latency_ms: float
    """Sum of the entries of the cost table that its trial was searched with; so is the next."""
    predicted_energy_mj: float
    trial_id: int
    """The first trial (by id) that gave it."""
    position: int
    """Its place among that trial's architectures; 0 is the mode of theta."""
    coefficients: Coefficients | None
    """The coefficients of that trial; None where architectures themselves were proposed."""
    measurement: Measurement | None = None
    test_error: float | None = None
    """Error with inherited weights on the test split; read once, for networks of the final front."""
    trained: TrainedNetwork | None = None
    """What training for deployment made of it."""


@dataclass(frozen=True)
class Costs:
    """Costs of one entry as the archive compares them, with where they come from."""

    latency_ms: float
    energy_mj: float
    latency_source: Source
    energy_source: Source


class Archive:
    """Evaluated architectures by id, in the order of trials, whatever the order in which these ended."""

    def __init__(self, reference_point: tuple[float, float, float], *, precision: Precision = "fp32") -> None:
        self.reference_point = reference_point
        """Error, latency in ms and energy in mJ that hypervolume is relative to."""
        self.precision = precision
        """What the run deploys its networks in: of a trained one the file in it counts, with its error and costs."""
        self._entries: dict[str, Entry] = {}
        self.table: CostTable | None = None
        """What predicts; without one, predictions are those that entries came with."""
        self._predicted: dict[str, Costs] = {}
        """By id, with the table."""

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, architecture_id: str) -> bool:
        return architecture_id in self._entries

    def __getitem__(self, architecture_id: str) -> Entry:
        return self._entries[architecture_id]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All entries, in the order of trials and of positions within them."""
        return _in_order(self._entries.values())

    def add(self, entry: Entry) -> bool:
        """Add an entry; an architecture that is there already goes to the earlier trial. Returns whether it was new."""
        known = self._entries.get(entry.architecture.id)
        if known is None:
            self._entries[entry.architecture.id] = entry
        elif (entry.trial_id, entry.position) < (known.trial_id, known.position):
            self._entries[entry.architecture.id] = replace(
                entry, measurement=known.measurement, test_error=known.test_error, trained=known.trained
            )
        return known is None

    def set_measurement(self, architecture_id: str, measurement: Measurement) -> None:
        """Keep what a board measured; a later measurement takes the place of an earlier one."""
        self._entries[architecture_id] = replace(self._entries[architecture_id], measurement=measurement)

    def set_trained(self, architecture_id: str, trained: TrainedNetwork) -> None:
        """Keep what training for deployment made of it; a later training takes the place of an earlier one."""
        self._entries[architecture_id] = replace(self._entries[architecture_id], trained=trained)

    def use_table(self, table: CostTable) -> None:
        """Predict the costs of all networks that are not measured with this table from now on."""
        self.table = table
        self._predicted.clear()

    def set_test_error(self, architecture_id: str, test_error: float) -> None:
        """Keep the error on the test split."""
        self._entries[architecture_id] = replace(self._entries[architecture_id], test_error=test_error)

    def error(self, entry: Entry) -> float:
        """Error on the selection split: of the trained file that is deployed, or with inherited weights without one.

        Raises:
            ValueError: if it was trained, and has no file in the precision of the run.
        """
        return entry.error if entry.trained is None else entry.trained.file_in(self.precision).error

    def measurement(self, entry: Entry) -> Measurement | None:
        """Of the trained file that is deployed where that was measured, else of the network as the search has it."""
        file = None if entry.trained is None else entry.trained.file(self.precision)
        return entry.measurement if file is None or file.measurement is None else file.measurement

    def costs(self, entry: Entry) -> Costs:
        """Costs of the file that is deployed where it was measured, else those that the search had."""
        measurement = self.measurement(entry)
        return self.searched_costs(entry) if measurement is None else _measured(measurement)

    def searched_costs(self, entry: Entry) -> Costs:
        """Measured costs of a network as the search has them, or predictions, which are `modelled`."""
        if entry.measurement is not None:
            return _measured(entry.measurement)
        if self.table is None:
            return Costs(entry.predicted_latency_ms, entry.predicted_energy_mj, "modelled", "modelled")
        identifier = entry.architecture.id
        if identifier not in self._predicted:
            indices = [self.table.operators.index(name) for name in entry.architecture.operators]
            latency_ms, energy_mj = self.table.latency_of(indices), self.table.energy_of(indices)
            self._predicted[identifier] = Costs(latency_ms, energy_mj, "modelled", "modelled")
        return self._predicted[identifier]

    def objectives(self, entries: Iterable[Entry] | None = None) -> Floats:
        """Error with inherited weights, latency in ms and energy in mJ of entries (by default all), shape (N, 3)."""
        chosen = self.entries if entries is None else tuple(entries)
        rows = [
            (entry.error, costs.latency_ms, costs.energy_mj)
            for entry in chosen
            for costs in [self.searched_costs(entry)]
        ]
        return np.array(rows, np.float64).reshape(-1, 3)

    def inherited_front(self, among: Collection[str] | None = None) -> tuple[Entry, ...]:
        """The entries that are not dominated with inherited weights, best accuracy first: what a search finds.

        Args:
            among: ids of the entries that are looked at; by default all.
        """
        entries = self.entries if among is None else _in_order(self._entries[identifier] for identifier in among)
        chosen = [entries[index] for index in non_dominated(self.objectives(entries))]
        return tuple(sorted(chosen, key=lambda entry: (entry.error, self.searched_costs(entry).latency_ms)))

    @property
    def is_retrained(self) -> bool:
        """Whether every network of the inherited front was trained, so that the front is that of trained networks."""
        front = self.inherited_front()
        return len(front) > 0 and all(entry.trained is not None for entry in front)

    def front(self) -> tuple[Entry, ...]:
        """The front, best accuracy first.

        Errors after training and with inherited weights cannot be compared. So this is the inherited front until all
        networks on it were trained; then it is the non-dominated ones of the trained networks.
        """
        if not self.is_retrained:
            return self.inherited_front()
        trained = [entry for entry in self.entries if entry.trained is not None]
        chosen = [trained[index] for index in non_dominated(self._trained_objectives(trained))]
        return tuple(sorted(chosen, key=lambda entry: (self.error(entry), self.costs(entry).latency_ms)))

    def hypervolume(self) -> float:
        """Share of the box up to the reference point that the front dominates, in [0, 1]."""
        points = self._trained_objectives(self.front()) if self.is_retrained else self.objectives()
        return hypervolume(points, np.array(self.reference_point))

    def _trained_objectives(self, entries: Iterable[Entry]) -> Floats:
        """Error of the trained file, latency in ms and energy in mJ, shape (N, 3)."""
        rows = [(self.error(e), costs.latency_ms, costs.energy_mj) for e in entries for costs in [self.costs(e)]]
        return np.array(rows, np.float64).reshape(-1, 3)


def _in_order(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    return tuple(sorted(entries, key=lambda entry: (entry.trial_id, entry.position)))


def _measured(measurement: Measurement) -> Costs:
    m = measurement
    return Costs(m.latency_ms, m.energy_mj, m.latency_source, m.energy_source)


def hypervolume_history(entries: Iterable[Entry], reference_point: tuple[float, float, float]) -> list[float]:
    """Hypervolume after each evaluated architecture, all with the cost table's predictions, in the order given."""
    points: list[tuple[float, float, float]] = []
    history = []
    for entry in entries:
        points.append((entry.error, entry.predicted_latency_ms, entry.predicted_energy_mj))
        keep = non_dominated(np.array(points))
        points = [points[index] for index in keep]
        history.append(hypervolume(np.array(points), np.array(reference_point)))
    return history


def reference_point_of(costs: CostTable, classes: int) -> tuple[float, float, float]:
    """The reference point of hypervolume: the error of guessing, and the slowest and most costly architecture's costs.

    Args:
        costs: the run's cost table; its largest sums give latency in ms and energy in mJ.
        classes: number of classes, K; guessing errs in 1 - 1 / K.
    """
    return (1 - 1 / classes, costs.slowest_ms(), costs.highest_mj())
