"""The front that an archive keeps, against a search among all of its points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from devices.configuration import configurations_of
from devices.cost_tables.family import CostTables
from moo.limits import CostLimits
from moo.storage.archive import Archive, OperatingPoint
from tests.moo.conftest import EntryOf, MeasurementOf, family_of

REFERENCE = (1.0, 10.0, 20.0)
FOUR = configurations_of(threads=(1, 2), precisions=("fp32", "int8"))


@pytest.mark.parametrize("limits", [CostLimits(), CostLimits(max_latency_ms=1.5), CostLimits(max_latency_ms=1e-3)])
@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_the_front_is_that_of_all_points(
    seed: int, limits: CostLimits, tables: CostTables, entry_of: EntryOf, measurement_of: MeasurementOf
) -> None:
    """The front is kept and added to; it must be what a search among all points finds, and so must `unquantized`."""
    rng = np.random.default_rng(seed)
    archive = Archive(REFERENCE, configurations=FOUR, limits=limits)
    family = family_of(tables.base, FOUR)
    for number in range(150):
        known = [entry.architecture.id for entry in archive.entries]
        which = rng.integers(8) if known else 0
        if which < 4:
            indices = tuple(int(index) for index in rng.integers(3, size=3))
            entry = entry_of(indices, float(rng.integers(1, 9)) / 10, trial_id=int(rng.integers(300)))
            quantized = float(rng.integers(1, 9)) / 10 if rng.random() < 0.5 else None
            archive.add(replace(entry, quantized_error=quantized, params=1))
        elif which == 4:
            measurement = replace(measurement_of(float(rng.integers(1, 9)) / 4), threads=int(rng.integers(1, 3)))
            archive.set_measurement(str(rng.choice(known)), measurement)
        elif which == 5:
            archive.set_quantized_error(str(rng.choice(known)), float(rng.integers(1, 9)) / 10)
        elif which == 6:
            archive.use_tables(family)
        else:
            archive.set_test_error(str(rng.choice(known)), 0.5)
        if number % 3:
            continue
        anew = Archive(REFERENCE, configurations=FOUR, limits=limits)
        for entry in archive.entries:
            anew.add(entry)
        if archive.tables is not None:
            anew.use_tables(archive.tables)
        assert archive.inherited_front() == anew.inherited_front()
        assert archive.unquantized() == anew.unquantized()
        points = list(archive.points())
        assert archive.inherited_front() == first_of_equal_undominated(archive, points)
        hoped = [
            replace(point, entry=entry)
            for entry in archive.entries
            if entry.quantized_error is None
            for point in archive.points([replace(entry, quantized_error=entry.error)])
            if point.configuration.precision == "int8"
        ]
        best = first_of_equal_undominated(archive, points + hoped)
        wanted = [p.id for p in best if p.configuration.precision == "int8" and p.entry.quantized_error is None]
        assert [entry.architecture.id for entry in archive.unquantized()] == list(dict.fromkeys(wanted))


def first_of_equal_undominated(archive: Archive, points: list[OperatingPoint]) -> tuple[OperatingPoint, ...]:
    """The front by comparing all pairs of points, those of the least violation of the limits."""

    def violation(point: OperatingPoint) -> float:
        return archive.limits.violation(point.costs.latency_ms, point.costs.energy_mj, point.entry.params or 0)

    least = min(map(violation, points), default=0.0)
    points = [point for point in points if violation(point) == least]
    kept: list[OperatingPoint] = []
    for place, point in enumerate(points):
        others = [*points[:place], *points[place + 1 :]]
        dominated = any(
            other.objectives != point.objectives
            and all(a <= b for a, b in zip(other.objectives, point.objectives, strict=True))
            for other in others
        )
        if not dominated and point.objectives not in [one.objectives for one in kept]:
            kept.append(point)
    return tuple(sorted(kept, key=lambda point: point.objectives))
