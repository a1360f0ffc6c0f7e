from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest

from devices.configuration import BASE, Precision, RuntimeConfiguration, configurations_of
from devices.cost_tables.cost_table import CostTable
from devices.cost_tables.energy_objective import EnergyObjective
from devices.cost_tables.family import CostTables
from moo.limits import CostLimits
from moo.storage.archive import (
    Archive,
    Costs,
    OperatingPoint,
    networks_of,
    objectives_of,
    reference_point_of,
)
from moo.storage.pareto import hypervolume
from tests.moo.conftest import EntryOf, MeasurementOf, TrainedOf, family_of

REFERENCE = (1.0, 10.0, 20.0)
INT8 = RuntimeConfiguration(precision="int8")
FOUR = configurations_of(threads=(1, 2), precisions=("fp32", "int8"))


def modelled(latency_ms: float, energy_mj: float) -> Costs:
    return Costs(
        latency_ms=latency_ms,
        energy_mj=energy_mj,
        latency_source="modelled",
        energy_source="modelled",
        net_mj=energy_mj,
    )


@pytest.fixture
def archive() -> Archive:
    return Archive(REFERENCE)


def test_architectures_are_kept_once_by_id(archive: Archive, entry_of: EntryOf) -> None:
    assert archive.add(entry_of((0, 1, 2)))
    assert not archive.add(entry_of((0, 1, 2), trial_id=1))
    assert archive.add(entry_of((0, 1, 1), trial_id=1))
    assert len(archive) == 2
    identifier = entry_of((0, 1, 2)).architecture.id
    assert identifier in archive
    assert "none" not in archive
    assert archive[identifier].architecture.operators == ("k3_e1", "k3_e6", "skip")


def test_order_and_ownership_do_not_depend_on_the_order_of_arrival(
    entry_of: EntryOf, measurement_of: MeasurementOf
) -> None:
    arrivals = [
        entry_of((0, 0, 0), 0.3, trial_id=2, position=0),
        entry_of((0, 0, 0), 0.3, trial_id=1, position=1),
        entry_of((0, 0, 0), 0.3, trial_id=1, position=3),
        entry_of((1, 1, 1), 0.2, trial_id=0, position=1),
        entry_of((2, 2, 2), 0.1, trial_id=1, position=0),
    ]
    seen = set()
    for order in permutations(arrivals):
        archive = Archive(REFERENCE)
        for entry in order:
            archive.add(entry)
        seen.add(archive.entries)
    (entries,) = seen
    assert [(entry.architecture.id, entry.trial_id, entry.position) for entry in entries] == [
        ("333", 0, 1),
        ("888", 1, 0),
        ("000", 1, 1),
    ]
    assert entries[2].coefficients.alpha == 2.0


def test_an_earlier_trial_takes_over_but_measurement_and_test_error_stay(
    archive: Archive, entry_of: EntryOf, measurement_of: MeasurementOf
) -> None:
    archive.add(entry_of((0, 0, 0), trial_id=5))
    archive.set_measurement("000", measurement_of(3.0))
    archive.set_test_error("000", 0.25, quantized=0.5)
    archive.add(entry_of((0, 0, 0), trial_id=1))
    entry = archive["000"]
    assert (entry.trial_id, entry.coefficients.alpha) == (1, 2.0)
    assert (entry.test_error, entry.quantized_test_error) == (0.25, 0.5)
    assert entry.measurements == (measurement_of(3.0),)


def test_costs_are_predictions_until_something_is_measured(archive: Archive, entry_of: EntryOf) -> None:
    archive.add(entry_of((0, 0, 0), 0.5, 3.0, 7.0))
    costs = archive.searched_costs(archive["000"])
    assert (costs.latency_ms, costs.energy_mj) == (3.0, 7.0)
    assert (costs.latency_source, costs.energy_source) == ("modelled", "modelled")


def test_measured_costs_come_before_predictions_with_their_own_sources(
    archive: Archive, entry_of: EntryOf, measurement_of: MeasurementOf
) -> None:
    archive.add(entry_of((0, 0, 0), 0.5, 3.0, 7.0))
    archive.set_measurement("000", measurement_of(8.0))
    archive.set_measurement("000", measurement_of(4.0))
    costs = archive.searched_costs(archive["000"])
    assert (costs.latency_ms, costs.energy_mj) == (4.0, 8.0)
    assert (costs.latency_source, costs.energy_source) == ("measured", "modelled")


def test_what_is_not_measured_is_predicted_by_the_table(
    archive: Archive, entry_of: EntryOf, measurement_of: MeasurementOf, table: CostTable, tables: CostTables
) -> None:
    archive.add(entry_of((0, 0, 0), 0.5, 1.0, 2.0))
    archive.add(entry_of((1, 1, 1), 0.5, 3.0, 5.0))
    archive.set_measurement("000", measurement_of(9.0))
    assert archive.searched_costs(archive["333"]) == modelled(3.0, 5.0)
    archive.use_tables(tables)
    assert archive.searched_costs(archive["333"]) == modelled(table.latency_of((1, 1, 1)), table.energy_of((1, 1, 1)))
    assert archive.searched_costs(archive["000"]).latency_ms == 9.0


def test_the_front_is_what_no_other_dominates_best_accuracy_first(archive: Archive, entry_of: EntryOf) -> None:
    archive.add(entry_of((0, 0, 0), 0.3, 1.0, 5.0))
    archive.add(entry_of((0, 0, 1), 0.1, 4.0, 5.0))
    archive.add(entry_of((0, 0, 2), 0.3, 2.0, 5.0))
    archive.add(entry_of((0, 1, 0), 0.3, 2.0, 1.0))
    archive.add(entry_of((0, 1, 1), 0.5, 9.0, 9.0))
    assert [point.id for point in archive.front()] == ["003", "000", "030"]
    np.testing.assert_array_equal(objectives_of(archive.front()), [[0.1, 4, 5], [0.3, 1, 5], [0.3, 2, 1]])
    assert objectives_of(archive.points()).shape == (5, 3)
    assert [entry.architecture.id for entry in networks_of([*archive.front(), *archive.points()])][:3] == [
        "003", "000", "030",
    ]  # fmt: skip
    assert len(networks_of([*archive.front(), *archive.points()])) == 5


def test_a_measurement_can_change_the_front(archive: Archive, entry_of: EntryOf, measurement_of: MeasurementOf) -> None:
    archive.add(entry_of((0, 0, 0), 0.3, 1.0, 1.0))
    archive.add(entry_of((1, 1, 1), 0.3, 2.0, 2.0))
    archive.add(entry_of((2, 2, 2), 0.9, 0.5, 0.5))
    assert [point.id for point in archive.front()] == ["000", "888"]
    archive.set_measurement("888", measurement_of(0.5))
    archive.set_measurement("000", measurement_of(9.0))
    archive.set_measurement("333", measurement_of(2.0))
    assert [point.id for point in archive.front()] == ["333", "888"]
    assert [point.measurement for point in archive.front()] == [measurement_of(2.0), measurement_of(0.5)]


def test_an_empty_archive_has_no_front(archive: Archive) -> None:
    assert archive.front() == ()
    assert objectives_of(archive.points()).shape == (0, 3)
    assert archive.hypervolume() == 0
    assert archive.unquantized() == ()


def test_hypervolume_is_relative_to_the_reference_point(archive: Archive, entry_of: EntryOf) -> None:
    archive.add(entry_of((0, 0, 0), 0.5, 2.0, 5.0))
    assert archive.hypervolume() == pytest.approx(0.5 * 0.8 * 0.75)


@pytest.mark.parametrize(("precision", "error", "latency_ms"), [("fp32", 0.2, 4.0), ("int8", 0.21, 2.0)])
def test_of_a_trained_network_the_file_in_the_precision_of_the_run_counts(
    entry_of: EntryOf,
    trained_of: TrainedOf,
    measurement_of: MeasurementOf,
    precision: Precision,
    error: float,
    latency_ms: float,
) -> None:
    archive = Archive(REFERENCE, configurations=configurations_of(precisions=(precision,)))
    archive.add(replace(entry_of((0, 0, 0), 0.5, 1.0, 1.0), quantized_error=0.6))
    (point,) = archive.front()
    assert (point.error, point.measurement, point.trained) == (0.5 if precision == "fp32" else 0.6, None, False)
    int8 = replace(measurement_of(2.0), precision="int8")
    archive.set_trained("000", trained_of("000", error=0.2, measurement=measurement_of(4.0), int8_measurement=int8))
    (point,) = archive.front()
    assert point.error == pytest.approx(error)
    assert point.costs.latency_ms == latency_ms
    assert point.trained
    assert archive.hypervolume() == pytest.approx((1 - error) * (1 - latency_ms / 10) * (1 - 2 * latency_ms / 20))


def test_a_network_whose_file_was_not_measured_keeps_the_costs_of_the_search(
    entry_of: EntryOf, trained_of: TrainedOf, measurement_of: MeasurementOf
) -> None:
    archive = Archive(REFERENCE, configurations=(INT8,))
    archive.add(replace(entry_of((0, 0, 0), 0.5, 1.0, 1.0), quantized_error=0.5))
    archive.set_trained("000", trained_of("000", measurement=measurement_of(4.0)))
    (point,) = archive.front()
    assert (point.trained, point.costs.latency_source) == (True, "modelled")
    archive.set_measurement("000", replace(measurement_of(3.0), precision="int8"))
    (point,) = archive.front()
    assert (point.trained, point.costs.latency_ms) == (True, 3.0)


def test_a_trained_network_without_the_file_that_counts_has_no_trained_point(
    entry_of: EntryOf, trained_of: TrainedOf
) -> None:
    archive = Archive(REFERENCE, configurations=(INT8,))
    archive.add(replace(entry_of((0, 0, 0)), quantized_error=0.5))
    archive.set_trained("000", replace(trained_of("000"), files=trained_of("000").files[:1]))
    assert archive.trained_points() == ()


@pytest.fixture
def several(tables: CostTables) -> Archive:
    """An archive over one and two threads, in fp32 and int8; two threads are quicker and take more energy."""
    archive = Archive(REFERENCE, configurations=FOUR)
    archive.use_tables(family_of(tables.base, FOUR))
    return archive


def ids_of(points: Sequence[OperatingPoint]) -> list[tuple[str, str]]:
    """Architecture and configuration of points."""
    return [(point.id, point.configuration.label) for point in points]


def test_a_network_has_a_point_in_each_configuration(several: Archive, entry_of: EntryOf) -> None:
    several.add(replace(entry_of((0, 0, 0), 0.3), quantized_error=0.35))
    assert several.base == FOUR[0]
    points = several.points()
    assert [point.configuration for point in points] == list(FOUR)
    assert [point.error for point in points] == [0.3, 0.35, 0.3, 0.35]
    assert several.tables is not None
    for point in points:
        table = several.tables[point.configuration]
        assert point.costs.latency_ms == table.latency_of((0, 0, 0))
        assert point.costs.net_mj == point.costs.energy_mj == table.energy_of((0, 0, 0))
        assert point.costs.gross_mj == pytest.approx(table.energy_of((0, 0, 0)) + 0.5 * table.latency_of((0, 0, 0)))
    # Of one network, neither precision dominates the other, nor do one and two threads.
    assert ids_of(several.front()) == [
        ("000", "ort 2t fp32"), ("000", "ort 1t fp32"), ("000", "ort 2t int8"), ("000", "ort 1t int8"),
    ]  # fmt: skip


def test_the_front_over_points_is_that_of_all_pairs(several: Archive, entry_of: EntryOf) -> None:
    rng = np.random.default_rng(0)
    for number, indices in enumerate(product(range(3), repeat=3)):
        error = float(rng.random())
        quantized = None if number % 3 == 0 else error + 0.1 * float(rng.random())
        several.add(replace(entry_of(indices, error, trial_id=number), quantized_error=quantized))
    points = several.points()
    assert len(points) == 27 * 2 + 18 * 2

    def dominates(one: OperatingPoint, other: OperatingPoint) -> bool:
        pairs = list(zip(one.objectives, other.objectives, strict=True))
        return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)

    true_front = [point for point in points if not any(dominates(other, point) for other in points)]
    front = several.front()
    assert sorted(ids_of(front)) == sorted(ids_of(true_front))
    assert [point.objectives for point in front] == sorted(point.objectives for point in front)
    assert len({point.configuration for point in front}) >= 3
    assert several.hypervolume() == pytest.approx(hypervolume(objectives_of(points), np.array(REFERENCE)))


def test_a_point_in_int8_counts_once_its_error_was_evaluated(several: Archive, entry_of: EntryOf) -> None:
    several.add(entry_of((0, 0, 0), 0.3))
    assert {point.configuration.precision for point in several.points()} == {"fp32"}
    assert {point.configuration.precision for point in several.front()} == {"fp32"}
    assert [entry.architecture.id for entry in several.unquantized()] == ["000"]
    several.set_quantized_error("000", 0.4)
    assert {(point.configuration.precision, point.error) for point in several.front()} == {
        ("fp32", 0.3), ("int8", 0.4),
    }  # fmt: skip
    assert several.unquantized() == ()


def test_only_what_might_be_on_the_front_in_int8_is_to_be_evaluated_in_it(several: Archive, entry_of: EntryOf) -> None:
    for indices, error in (((2, 2, 2), 0.3), ((0, 0, 0), 0.5), ((1, 1, 1), 0.1)):
        several.add(entry_of(indices, error))
    assert several.tables is not None
    base = several.tables.base
    # The second is slower than the first, and takes more energy; the third errs least.
    assert base.latency_of((2, 2, 2)) < base.latency_of((0, 0, 0))
    assert base.energy_of((2, 2, 2)) < base.energy_of((0, 0, 0))
    assert [entry.architecture.id for entry in several.unquantized()] == ["333", "888"]
    several.set_quantized_error("333", 0.2)
    assert [entry.architecture.id for entry in several.unquantized()] == ["888"]
    several.set_quantized_error("888", 0.95)
    # As the first lost so much, the second would be on the front in int8.
    assert [entry.architecture.id for entry in several.unquantized()] == ["000"]


def test_without_int8_nothing_is_to_be_evaluated_in_it(archive: Archive, entry_of: EntryOf) -> None:
    archive.add(entry_of((0, 0, 0)))
    assert archive.unquantized() == ()


def test_a_quantized_error_stays_when_an_earlier_trial_takes_over(archive: Archive, entry_of: EntryOf) -> None:
    later, earlier = entry_of((0, 0, 0), trial_id=2), entry_of((0, 0, 0), trial_id=1)
    archive.add(replace(later, quantized_error=0.4))
    archive.add(earlier)
    assert (archive["000"].trial_id, archive["000"].quantized_error) == (1, 0.4)
    archive.add(replace(entry_of((0, 0, 0), trial_id=0), quantized_error=0.3))
    assert (archive["000"].trial_id, archive["000"].quantized_error) == (0, 0.3)
    archive.add(replace(later, quantized_error=0.2))
    assert archive["000"].quantized_error == 0.3
    archive.add(entry_of((1, 1, 1), trial_id=0))
    archive.add(replace(entry_of((1, 1, 1), trial_id=5), quantized_error=0.6))
    assert (archive["333"].trial_id, archive["333"].quantized_error) == (0, 0.6)


def test_measurements_are_kept_by_configuration(
    several: Archive, entry_of: EntryOf, measurement_of: MeasurementOf
) -> None:
    several.add(replace(entry_of((0, 0, 0), 0.3), quantized_error=0.35))
    several.set_measurement("000", measurement_of(3.0))
    several.set_measurement("000", replace(measurement_of(2.0), threads=2))
    several.set_measurement("000", measurement_of(4.0))
    entry = several["000"]
    assert len(entry.measurements) == 2
    assert entry.measured_in(BASE) == measurement_of(4.0)
    assert entry.measured_in(FOUR[1]) is None
    costs = {point.configuration: point.costs for point in several.points()}
    assert [costs[one].latency_source for one in FOUR] == ["measured", "modelled", "measured", "modelled"]
    assert (costs[FOUR[0]].latency_ms, costs[FOUR[2]].latency_ms) == (4.0, 2.0)


def test_costs_are_those_of_the_configuration_that_a_network_was_tried_for(several: Archive, entry_of: EntryOf) -> None:
    several.add(replace(entry_of((0, 0, 0), trial_id=0), configuration=FOUR[2]))
    several.add(entry_of((1, 1, 1), trial_id=1))
    assert several.tables is not None
    own, base = several.tables[FOUR[2]], several.tables.base
    assert several.searched_costs(several["000"]).latency_ms == own.latency_of((0, 0, 0))
    assert several.searched_costs(several["333"]).latency_ms == base.latency_of((1, 1, 1))
    assert several.searched_costs(several["000"], BASE).latency_ms == base.latency_of((0, 0, 0))


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        (CostLimits(max_latency_ms=2.0), ["000", "888"]),
        (CostLimits(max_energy_mj=2.0), ["888"]),
        (CostLimits(max_params=150), ["000", "333"]),
        (CostLimits(max_latency_ms=2.0, max_params=150), ["000"]),
        (CostLimits(), ["333", "000", "888"]),
    ],
)
def test_the_front_has_only_what_keeps_the_limits(entry_of: EntryOf, limits: CostLimits, kept: list[str]) -> None:
    archive = limited(entry_of, limits)
    front = archive.front()
    assert [point.id for point in front] == sorted(kept, key=["333", "000", "888"].index)
    assert all(archive.within_limits(point) for point in front)


def test_where_nothing_keeps_the_limits_the_nearest_is_on_the_front(entry_of: EntryOf) -> None:
    archive = limited(entry_of, CostLimits(max_latency_ms=0.25))
    (point,) = archive.front()
    assert point.id == "888"
    assert not archive.within_limits(point)


def test_a_limit_without_known_parameters_is_kept(entry_of: EntryOf) -> None:
    archive = Archive(REFERENCE, limits=CostLimits(max_params=1))
    archive.add(entry_of((0, 0, 0)))
    assert [archive.within_limits(point) for point in archive.front()] == [True]


def limited(entry_of: EntryOf, limits: CostLimits) -> Archive:
    """Three networks, of which each errs more and costs less than the one before."""
    archive = Archive(REFERENCE, limits=limits)
    archive.add(replace(entry_of((1, 1, 1), 0.1, 4.0, 8.0, trial_id=0), params=100))
    archive.add(replace(entry_of((0, 0, 0), 0.3, 2.0, 5.0, trial_id=1), params=150))
    archive.add(replace(entry_of((2, 2, 2), 0.5, 0.5, 2.0, trial_id=2), params=200))
    return archive


@pytest.mark.parametrize(
    ("energy", "of_table", "of_measurement"),
    [
        (EnergyObjective("net"), lambda net, ms: net, 6.0),
        (EnergyObjective("gross"), lambda net, ms: net + 0.5 * ms, 6.0 + 2.0 * 3.0),
        (EnergyObjective("period", 40.0), lambda net, ms: net + 0.5 * 40.0, 6.0 + 2.0 * 40.0),
    ],
)
def test_the_energy_of_the_run_is_compared(
    table: CostTable,
    entry_of: EntryOf,
    measurement_of: MeasurementOf,
    energy: EnergyObjective,
    of_table: Callable[[float, float], float],
    of_measurement: float,
) -> None:
    archive = Archive(REFERENCE, energy=energy)
    archive.use_tables(family_of(table, (BASE,)))
    archive.add(entry_of((0, 0, 0), 0.3))
    archive.add(entry_of((1, 1, 1), 0.1, trial_id=1))
    archive.set_measurement("333", replace(measurement_of(3.0), idle_w=2.0))
    first, second = archive.points()
    net_mj, latency_ms = table.energy_of((0, 0, 0)), table.latency_of((0, 0, 0))
    assert first.costs.energy_mj == pytest.approx(of_table(net_mj, latency_ms))
    assert (first.costs.net_mj, first.costs.gross_mj) == (net_mj, pytest.approx(net_mj + 0.5 * latency_ms))
    assert second.costs.energy_mj == of_measurement
    assert (second.costs.net_mj, second.costs.gross_mj) == (6.0, 12.0)


def test_gross_energy_prefers_what_is_quick_and_net_energy_what_takes_little(
    table: CostTable, entry_of: EntryOf
) -> None:
    """Two clocks: the higher takes more energy above idle, and less with an idle power that weighs."""
    clocks = configurations_of(frequencies_mhz=(500, 1000))
    family = family_of(table, clocks).mapped(lambda one: replace(one, idle_w=10.0))
    fronts = {}
    for kind in ("net", "gross"):
        archive = Archive(REFERENCE, configurations=clocks, energy=EnergyObjective(kind))
        archive.use_tables(family)
        archive.add(entry_of((0, 0, 0), 0.3))
        fronts[kind] = [point.configuration.frequency_mhz for point in archive.front()]
    assert fronts == {"net": [1000, 500], "gross": [1000]}


def test_the_reference_point_is_beyond_all_configurations(table: CostTable) -> None:
    family = family_of(table, FOUR)
    error, latency_ms, energy_mj = reference_point_of(family, 0.75)
    assert error == 0.75
    assert latency_ms == max(one.slowest_ms() for one in family) == table.slowest_ms()
    assert energy_mj == max(one.highest_mj() for one in family) > table.highest_mj()
    gross = reference_point_of(family, 0.75, EnergyObjective("gross"))
    assert gross[:2] == (error, latency_ms)
    assert gross[2] > energy_mj
