"""What networks chosen for one board lose on another: two fronts, each on both boards. Start with `transferred`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from devices.cost_tables.family import CostTables
from devices.measurement import Source
from moo.storage.archive import Archive, Entry, OperatingPoint, networks_of, reference_point_of
from moo.storage.pareto import hypervolume
from moo.trials import Objectives


@dataclass(frozen=True, kw_only=True, slots=True)
class Loss:
    """What one network of the other board's front loses on this board."""

    network: str
    error: float
    """In [0, 1], of the operating point that is compared."""
    latency_ms: float
    """On this board, in the quickest configuration."""
    latency_source: Source
    rival: OperatingPoint
    """The quickest point of this board's own front with no more error."""

    @property
    def slower(self) -> float:
        """By what share it takes longer than its rival."""
        return self.latency_ms / self.rival.costs.latency_ms - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Transfer:
    """Two fronts, each on both boards, by hypervolume in [0, 1]; the archive's own board is `here`."""

    source_board: str
    own_here: float
    source_here: float
    own_there: float
    source_there: float
    losses: tuple[Loss, ...]


def transferred(
    archive: Archive,
    source_front: Collection[str],
    source_tables: CostTables,
    *,
    in_int8: Mapping[str, float] | None = None,
) -> Transfer:
    """Compare an archive's front with that of the run that it started from.

    Hypervolume is relative to the reference point of each board; costs on the other board are predictions of its
    tables, in all of their configurations whose errors are known.

    Args:
        archive: of the run; has the source's architectures.
        source_front: ids of the architectures of the source's front.
        source_tables: of the source's board, with energy above idle.
        in_int8: errors in int8 that the source evaluated, by id; of other networks those of the archive are taken.
    """
    known = in_int8 or {}
    own = networks_of(archive.inherited_front())
    source = [archive[identifier] for identifier in source_front if identifier in archive]
    there = reference_point_of(source_tables, archive.reference_point[0], archive.energy)
    source_points = archive.points(source)
    return Transfer(
        source_board=source_tables.base.board,
        own_here=_hypervolume([point.objectives for point in archive.points(own)], archive.reference_point),
        source_here=_hypervolume([point.objectives for point in source_points], archive.reference_point),
        own_there=_hypervolume(list(_costs_there(archive, own, source_tables, known)), there),
        source_there=_hypervolume(list(_costs_there(archive, source, source_tables, known)), there),
        losses=tuple(_losses(archive, source)),
    )


def _losses(archive: Archive, source: Sequence[Entry]) -> Iterator[Loss]:
    front = archive.inherited_front()
    for entry in source:
        quickest = min(archive.points([entry]), key=lambda point: point.costs.latency_ms, default=None)
        if quickest is None:
            continue
        rivals = [point for point in front if point.error <= quickest.error]
        if rivals:
            rival = min(rivals, key=lambda point: point.costs.latency_ms)
            yield Loss(
                network=entry.architecture.id,
                error=quickest.error,
                latency_ms=quickest.costs.latency_ms,
                latency_source=quickest.costs.latency_source,
                rival=rival,
            )


def _costs_there(
    archive: Archive, entries: Sequence[Entry], tables: CostTables, in_int8: Mapping[str, float]
) -> Iterator[Objectives]:
    for entry in entries:
        for table in tables:
            error = archive.searched_error(entry, table.configuration)
            if table.precision == "int8":
                error = in_int8.get(entry.architecture.id, error)
            if error is not None:
                indices = [table.operators.index(name) for name in entry.architecture.operators]
                latency_ms, net_mj = table.latency_of(indices), table.energy_of(indices)
                yield (error, latency_ms, archive.energy.energy_mj(net_mj, latency_ms, table.idle_w))


def _hypervolume(points: Sequence[Objectives], reference_point: Objectives) -> float:
    return hypervolume(np.array(points, np.float64).reshape(-1, 3), np.array(reference_point))
