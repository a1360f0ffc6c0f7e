"""All evaluated architectures of a run, keyed by architecture id, with their costs in every runtime configuration.

An architecture in a configuration is an operating point; the front is made of those. Costs are measured ones where a
point has been measured, else predictions. So that both can stand side by side, predictions come from the cost tables as
the networks measured so far have corrected them (`Archive.use_tables`). The error of a point in int8 is that of the
quantised network; as long as that was not evaluated, the point is on no front.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from devices.configuration import BASE, RuntimeConfiguration
from devices.cost_tables.cost_table import CostTable
from devices.cost_tables.energy_objective import EnergyObjective
from devices.cost_tables.family import CostTables
from devices.measurement import Measurement, Source
from dnas.losses import Coefficients
from moo.limits import CostLimits
from moo.storage.origin import SearchDataset
from moo.storage.pareto import Floats, hypervolume, non_dominated
from moo.storage.point_costs import predicted_costs, violations
from moo.storage.trained_network import TrainedNetwork
from moo.trials import Objectives
from search_space.architectures import Architecture


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One evaluated architecture."""

    architecture: Architecture
    error: float
    """Error with inherited weights on the selection split, in fp32, in [0, 1]."""
    predicted_latency_ms: float
    """Sum of the entries of the cost table that its trial was searched with; so is the next."""
    predicted_energy_mj: float
    trial_id: int
    """The first trial (by id) that gave it."""
    position: int
    """Its place among that trial's architectures; 0 is the mode of theta."""
    coefficients: Coefficients | None
    """The coefficients of that trial; None where architectures themselves were proposed."""
    configuration: RuntimeConfiguration | None = None
    """That its trial was searched for; None is the run's only one."""
    params: int | None = None
    """Trainable parameters; None in runs of earlier versions."""
    correct: bytes | None = None
    """Which images of the selection split it classifies as they are labelled, a bit each (`numpy.packbits`), with
    the weights of `error`; None in runs of earlier versions."""
    quantized_error: float | None = None
    """The same as `error` in int8; None where it was not evaluated."""
    measurements: tuple[Measurement, ...] = ()
    """The latest in each configuration."""
    test_error: float | None = None
    """Error with inherited weights on the test split; read once, for networks of the final front."""
    quantized_test_error: float | None = None
    """The same in int8, where the front has it in int8."""
    trained: TrainedNetwork | None = None
    """What training for deployment made of it."""

    @property
    def predicted_objectives(self) -> Objectives:
        """Error with inherited weights, latency in ms and energy in mJ, as its trial was searched with them."""
        return (self.error, self.predicted_latency_ms, self.predicted_energy_mj)

    def measured_in(self, configuration: RuntimeConfiguration) -> Measurement | None:
        """Its measurement in a configuration."""
        return next((m for m in self.measurements if m.configuration == configuration), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Costs:
    """Costs of one operating point as the archive compares them, with where they come from."""

    latency_ms: float
    energy_mj: float
    """The energy that the run minimises."""
    latency_source: Source
    energy_source: Source
    net_mj: float
    """Energy above idle."""
    idle_w: float | None = None
    """Power of the idle board; None if it is not known."""
    energy_error: float | None = None
    """How far a modelled energy may be off, as a fraction; None where it was measured, or is not known."""

    @property
    def gross_mj(self) -> float | None:
        """Energy with the board's idle power while the inference lasts; None if that is not known."""
        return None if self.idle_w is None else self.net_mj + self.idle_w * self.latency_ms


@dataclass(frozen=True, kw_only=True, slots=True)
class OperatingPoint:
    """An architecture in a runtime configuration."""

    entry: Entry
    configuration: RuntimeConfiguration
    error: float
    """On the selection split, in [0, 1], in the precision of the configuration: with inherited weights, or of the
    trained file."""
    costs: Costs
    measurement: Measurement | None
    """Where the costs come from; None if they are predicted."""
    trained: bool = False
    """Whether the error is that after training."""

    @property
    def id(self) -> str:
        """Of its architecture."""
        return self.entry.architecture.id

    @property
    def objectives(self) -> Objectives:
        """Error, latency in ms, energy in mJ."""
        return (self.error, self.costs.latency_ms, self.costs.energy_mj)

    @property
    def test_error(self) -> float | None:
        """With inherited weights on the test split, in its precision; None where it was not read."""
        if self.configuration.precision == "int8":
            return self.entry.quantized_test_error
        return self.entry.test_error


class Archive:
    """Evaluated architectures by id, in the order of trials, whatever the order in which these ended.

    The front is kept. What only adds points, as a result does, is compared with it alone: what is dominated stays so.
    """

    def __init__(
        self,
        reference_point: Objectives,
        *,
        configurations: Sequence[RuntimeConfiguration] = (BASE,),
        energy: EnergyObjective | None = None,
        limits: CostLimits | None = None,
        data: SearchDataset | None = None,
    ) -> None:
        """An empty archive.

        Args:
            reference_point: of hypervolume: error, latency in ms, energy in mJ.
            configurations: of the run, the base first.
            energy: that the run minimises; by default that above idle.
            limits: of the run; what exceeds them is on the front only where nothing keeps them.
            data: the images that errors are of; without, nothing is known of how far chance carries them.
        """
        self.reference_point = reference_point
        self.configurations = tuple(configurations)
        self.energy = energy or EnergyObjective()
        self.limits = limits or CostLimits()
        self.data = data
        self._entries: dict[str, Entry] = {}
        self.tables: CostTables | None = None
        """What predicts, with energy above idle; without any, predictions are those that entries came with."""
        self._predicted: dict[tuple[str, RuntimeConfiguration], Costs] = {}
        """With the tables."""
        self._ordered: tuple[Entry, ...] | None = None
        self._front: tuple[OperatingPoint, ...] | None = None
        """With inherited weights, of all but the next."""
        self._new: set[str] = set()
        """Ids of architectures that have points which were not compared with the front yet."""

    @property
    def base(self) -> RuntimeConfiguration:
        """The configuration that baselines are measured in, and compared in with the front."""
        return self.configurations[0]

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, architecture_id: str) -> bool:
        return architecture_id in self._entries

    def __getitem__(self, architecture_id: str) -> Entry:
        return self._entries[architecture_id]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All entries, in the order of trials and of positions within them."""
        if self._ordered is None:
            self._ordered = _in_order(self._entries.values())
        return self._ordered

    def add(self, entry: Entry) -> bool:
        """Add an entry; an architecture that is there already goes to the earlier trial. Returns whether it was new."""
        known = self._entries.get(entry.architecture.id)
        if known is None:
            self._entries[entry.architecture.id] = entry
            self._ordered = None
            self._new.add(entry.architecture.id)
            return True
        own, other = known, entry
        if (entry.trial_id, entry.position) < (known.trial_id, known.position):
            own, other = entry, known
            own = replace(
                own,
                measurements=known.measurements,
                test_error=known.test_error,
                quantized_test_error=known.quantized_test_error,
                trained=known.trained,
            )
        # With supernets of their own, trials differ in what an architecture is worth, in int8 as well.
        if own.quantized_error is None and own.error == other.error:
            own = replace(own, quantized_error=other.quantized_error)
        if own != known:
            self._replace(own)
        return False

    def _replace(self, entry: Entry) -> None:
        """Put a changed entry in the place of the one that was known."""
        self._entries[entry.architecture.id] = entry
        self._ordered = self._front = None

    def set_measurement(self, architecture_id: str, measurement: Measurement) -> None:
        """Keep what a board measured; a later measurement takes the place of an earlier one in its configuration."""
        entry = self._entries[architecture_id]
        others = tuple(m for m in entry.measurements if m.configuration != measurement.configuration)
        self._replace(replace(entry, measurements=(*others, measurement)))

    def set_trained(self, architecture_id: str, trained: TrainedNetwork) -> None:
        """Keep what training for deployment made of it; a later training takes the place of an earlier one."""
        self._replace(replace(self._entries[architecture_id], trained=trained))

    def set_quantized_error(self, architecture_id: str, error: float) -> None:
        """Keep the error of the quantised network on the selection split."""
        entry = self._entries[architecture_id]
        if entry.quantized_error is None:
            self._entries[architecture_id] = replace(entry, quantized_error=error)
            self._ordered = None
            self._new.add(architecture_id)
        else:
            self._replace(replace(entry, quantized_error=error))

    def use_tables(self, tables: CostTables) -> None:
        """Predict the costs of all points that are not measured with these tables from now on."""
        self.tables = tables
        self._predicted.clear()
        self._front = None

    def set_test_error(self, architecture_id: str, test_error: float, *, quantized: float | None = None) -> None:
        """Keep the error on the test split, and that of the int8 file where it was read."""
        entry = self._entries[architecture_id]
        quantized = entry.quantized_test_error if quantized is None else quantized
        self._replace(replace(entry, test_error=test_error, quantized_test_error=quantized))

    def searched_error(self, entry: Entry, configuration: RuntimeConfiguration) -> float | None:
        """Error with inherited weights on the selection split in a configuration; None where it was not evaluated."""
        return entry.quantized_error if configuration.precision == "int8" else entry.error

    def searched_costs(self, entry: Entry, configuration: RuntimeConfiguration | None = None) -> Costs:
        """Measured costs of a network as the search has them, or predictions, which are `modelled`.

        Args:
            entry: of this archive.
            configuration: by default that of its trial.
        """
        configuration = configuration or entry.configuration or self.configurations[0]
        measurement = entry.measured_in(configuration)
        if measurement is not None:
            return measured_costs(measurement, self.energy)
        if self.tables is None:
            return Costs(
                latency_ms=entry.predicted_latency_ms,
                energy_mj=entry.predicted_energy_mj,
                latency_source="modelled",
                energy_source="modelled",
                net_mj=entry.predicted_energy_mj,
            )
        key = (entry.architecture.id, configuration)
        if key not in self._predicted:
            self._predicted[key] = self._predicted_by(self.tables[configuration], entry.architecture.operators)
        return self._predicted[key]

    def points(self, entries: Iterable[Entry] | None = None) -> tuple[OperatingPoint, ...]:
        """Operating points with inherited weights whose error is known, of entries (by default all)."""
        return tuple(
            point
            for entry in (self.entries if entries is None else entries)
            for configuration in self.configurations
            for point in self._point(entry, configuration, self.searched_error(entry, configuration))
        )

    def inherited_front(self) -> tuple[OperatingPoint, ...]:
        """The operating points that are not dominated with inherited weights, best accuracy first.

        As long as none comes or goes, it is the very same tuple.
        """
        if self._front is None:
            self._front = self._front_among(self.entries)
        elif self._new:
            kept = [point for point in self._front if point.id not in self._new]
            added = self._front_among(_in_order(self._entries[key] for key in self._new))
            front = self._front_of(sorted([*kept, *added], key=self._place))
            if len(kept) < len(self._front) or any(point.id in self._new for point in front):
                self._front = front
        self._new.clear()
        return self._front

    def unquantized(self) -> tuple[Entry, ...]:
        """Entries that would be on the front in int8 if it cost them nothing, but were not evaluated in it.

        The most accurate comes first.
        """
        in_fp32 = [entry for entry in self.entries if entry.quantized_error is None]
        if not in_fp32 or all(one.precision == "fp32" for one in self.configurations):
            return ()
        # What no point of the front dominates, no point at all does.
        front = networks_of(self.inherited_front())
        hoped_N1 = np.array([[entry.error] for entry in in_fp32])
        hoped_NK = np.where(np.isnan(self._errors_of(in_fp32)), hoped_N1, np.nan)
        rows = self._not_dominated((*front, *in_fp32), np.concatenate([self._errors_of(front), hoped_NK]))
        wanted = [in_fp32[row - len(front)] for row, _ in rows if row >= len(front)]
        return tuple({entry.architecture.id: entry for entry in wanted}.values())

    @property
    def is_retrained(self) -> bool:
        """Whether every network of the inherited front was trained, so that the front is that of trained networks."""
        front = self.inherited_front()
        return len(front) > 0 and all(point.entry.trained is not None for point in front)

    def front(self) -> tuple[OperatingPoint, ...]:
        """The front, best accuracy first.

        Errors after training and with inherited weights cannot be compared. So this is the inherited front until all
        networks on it were trained; then it is the non-dominated ones of the trained networks.
        """
        return self._front_of(self.trained_points()) if self.is_retrained else self.inherited_front()

    def trained_points(self) -> tuple[OperatingPoint, ...]:
        """Operating points of the trained networks, with the errors of their files."""
        return tuple(
            point
            for entry in self.entries
            if entry.trained is not None
            for configuration in self.configurations
            if entry.trained.file(configuration.precision) is not None
            for point in self._point(entry, configuration, entry.trained.file_for(configuration).error, trained=True)
        )

    def hypervolume(self) -> float:
        """Share of the box up to the reference point that the front dominates, in [0, 1]."""
        return hypervolume(objectives_of(self.front()), np.array(self.reference_point))

    @property
    def keeps_limits(self) -> bool:
        """Whether the front keeps the limits of the run; else it is the nearest point to them."""
        return all(self.within_limits(point) for point in self.front())

    def within_limits(self, point: OperatingPoint) -> bool:
        """Whether a point keeps the limits of the run."""
        return self.limits.violation(point.costs.latency_ms, point.costs.energy_mj, point.entry.params or 0) == 0

    def _front_of(self, points: Sequence[OperatingPoint]) -> tuple[OperatingPoint, ...]:
        params_P = np.array([point.entry.params or 0 for point in points], np.float64)
        return tuple(points[place] for place in self._best(objectives_of(points), params_P))

    def _place(self, point: OperatingPoint) -> tuple[int, int, int]:
        """Of equal points the first counts: by trial, position, configuration."""
        return point.entry.trial_id, point.entry.position, self.configurations.index(point.configuration)

    def _front_among(self, entries: Sequence[Entry]) -> tuple[OperatingPoint, ...]:
        """The same of the points of entries, of which only those of the front are made."""
        return tuple(
            point
            for row, column in self._not_dominated(entries, self._errors_of(entries))
            for configuration in [self.configurations[column]]
            for point in self._point(entries[row], configuration, self.searched_error(entries[row], configuration))
        )

    def _errors_of(self, entries: Sequence[Entry]) -> Floats:
        """Of all points with inherited weights of entries, shape (N, K); NaN where it was not evaluated."""
        errors = [[self.searched_error(entry, one) for one in self.configurations] for entry in entries]
        return np.array(errors, np.float64).reshape(len(entries), len(self.configurations))

    def _not_dominated(self, entries: Sequence[Entry], errors_NK: Floats) -> list[tuple[int, int]]:
        """Places of entries and configurations whose points no other dominates, best accuracy first.

        Args:
            entries: whose costs count; they may occur twice, with different errors.
            errors_NK: of each in each configuration; NaN where there is no point.
        """
        rows, columns = np.nonzero(~np.isnan(errors_NK))
        objectives_PM = np.column_stack([errors_NK[rows, columns], self._costs_of(entries)[rows, columns]])
        params_N = np.array([entry.params or 0 for entry in entries], np.float64)
        return [(int(rows[place]), int(columns[place])) for place in self._best(objectives_PM, params_N[rows])]

    def _best(self, objectives_PM: Floats, params_P: Floats) -> list[int]:
        """Places of the points that no other dominates, of those nearest to the limits, best accuracy first."""
        if not len(objectives_PM):
            return []
        exceeded_P = violations(self.limits, objectives_PM, params_P)
        near = np.flatnonzero(exceeded_P == exceeded_P.min())
        chosen = near[non_dominated(objectives_PM[near])]
        return sorted(chosen.tolist(), key=lambda place: tuple(objectives_PM[place]))

    def _costs_of(self, entries: Sequence[Entry]) -> Floats:
        """Latency and the energy that is minimised of all points of entries, shape (N, K, 2)."""
        if self.tables is None:
            own = np.array([(entry.predicted_latency_ms, entry.predicted_energy_mj) for entry in entries], np.float64)
            costs_NKM = np.repeat(own.reshape(-1, 1, 2), len(self.configurations), axis=1)
        else:
            tables = self.tables.only(self.configurations)
            costs_NKM = predicted_costs(tables, [entry.architecture.operators for entry in entries], self.energy)
        for row, entry in enumerate(entries):
            for measurement in entry.measurements:
                if measurement.configuration in self.configurations:
                    costs = measured_costs(measurement, self.energy)
                    column = self.configurations.index(measurement.configuration)
                    costs_NKM[row, column] = costs.latency_ms, costs.energy_mj
        return costs_NKM

    def _point(
        self, entry: Entry, configuration: RuntimeConfiguration, error: float | None, *, trained: bool = False
    ) -> Iterator[OperatingPoint]:
        if error is None:
            return
        measurement, costs = entry.measured_in(configuration), self.searched_costs(entry, configuration)
        file = entry.trained.file(configuration.precision) if trained and entry.trained is not None else None
        if file is not None and file.measurement is not None and file.measurement.configuration == configuration:
            measurement = file.measurement
            costs = measured_costs(measurement, self.energy)
        yield OperatingPoint(
            entry=entry,
            configuration=configuration,
            error=error,
            costs=costs,
            measurement=measurement,
            trained=trained,
        )

    def _predicted_by(self, table: CostTable, operators: Sequence[str]) -> Costs:
        indices = [table.operators.index(name) for name in operators]
        latency_ms, net_mj = table.latency_of(indices), table.energy_of(indices)
        return Costs(
            latency_ms=latency_ms,
            energy_mj=self.energy.energy_mj(net_mj, latency_ms, table.idle_w),
            latency_source="modelled",
            energy_source="modelled",
            net_mj=net_mj,
            idle_w=table.idle_w,
            energy_error=table.energy_error,
        )


def measured_costs(measurement: Measurement, energy: EnergyObjective) -> Costs:
    """Costs of what was measured, with the energy that a run minimises."""
    m = measurement
    return Costs(
        latency_ms=m.latency_ms,
        energy_mj=energy.energy_mj(m.energy_mj, m.latency_ms, m.idle_w),
        latency_source=m.latency_source,
        energy_source=m.energy_source,
        net_mj=m.energy_mj,
        idle_w=m.idle_w,
        energy_error=m.energy_error,
    )


def objectives_of(points: Sequence[OperatingPoint]) -> Floats:
    """Error, latency in ms and energy in mJ of points, shape (N, 3)."""
    return np.array([point.objectives for point in points], np.float64).reshape(-1, 3)


def networks_of(points: Iterable[OperatingPoint]) -> tuple[Entry, ...]:
    """The architectures of points, each once, in their order."""
    return tuple({point.id: point.entry for point in points}.values())


def _in_order(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    return tuple(sorted(entries, key=lambda entry: (entry.trial_id, entry.position)))


def reference_point_of(costs: CostTables, guessing_error: float, energy: EnergyObjective | None = None) -> Objectives:
    """The reference point of hypervolume: the error of guessing, and the highest costs of any architecture.

    Args:
        costs: the run's cost tables; the largest sums of any give latency in ms and energy in mJ.
        guessing_error: of always answering the commonest class.
        energy: that the run minimises; by default that above idle.
    """
    tables = list(costs.mapped((energy or EnergyObjective()).table))
    return (
        guessing_error,
        max(table.slowest_ms() for table in tables),
        max(table.highest_mj() for table in tables),
    )
