from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest

from devices.cost_tables.cost_table import CostTable
from moo.storage.archive import Archive, Costs, hypervolume_history
from moo.storage.pareto import hypervolume
from tests.moo.conftest import EntryOf, MeasurementOf, TrainedOf

REFERENCE = (1.0, 10.0, 20.0)


@pytest.fixture
def archive() -> Any:
    return Archive(REFERENCE)


def test_architectures_are_kept_once_by_id(archive: Any, entry_of: EntryOf) -> None:
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
    archive: Any, entry_of: EntryOf, measurement_of: MeasurementOf
) -> None:
    archive.add(entry_of((0, 0, 0), trial_id=5))
    archive.set_measurement("000", measurement_of(3.0))
    archive.set_test_error("000", 0.25)
    archive.add(entry_of((0, 0, 0), trial_id=1))
    entry = archive["000"]
    assert (entry.trial_id, entry.coefficients.alpha, entry.test_error) == (1, 2.0, 0.25)
    assert entry.measurement == measurement_of(3.0)


def test_costs_are_predictions_until_something_is_measured(archive: Any, entry_of: EntryOf) -> None:
    archive.add(entry_of((0, 0, 0), 0.5, 3.0, 7.0))
    costs = archive.costs(archive["000"])
    assert (costs.latency_ms, costs.energy_mj) == (3.0, 7.0)
    assert (costs.latency_source, costs.energy_source) == ("modelled", "modelled")


def test_measured_costs_come_before_predictions_with_their_own_sources(
    archive: Any, entry_of: EntryOf, measurement_of: MeasurementOf
) -> None:
    archive.add(entry_of((0, 0, 0), 0.5, 3.0, 7.0))
    archive.set_measurement("000", measurement_of(8.0))
    archive.set_measurement("000", measurement_of(4.0))
    costs = archive.costs(archive["000"])
    assert (costs.latency_ms, costs.energy_mj) == (4.0, 8.0)
    assert (costs.latency_source, costs.energy_source) == ("measured", "modelled")


def test_what_is_not_measured_is_predicted_by_the_table(
    archive: Any, entry_of: EntryOf, measurement_of: MeasurementOf, table: CostTable
) -> None:
    archive.add(entry_of((0, 0, 0), 0.5, 1.0, 2.0))
    archive.add(entry_of((1, 1, 1), 0.5, 3.0, 5.0))
    archive.set_measurement("000", measurement_of(9.0))
    assert archive.costs(archive["333"]) == Costs(3.0, 5.0, "modelled", "modelled")
    archive.use_table(table)
    assert archive.costs(archive["333"]) == Costs(
        table.latency_of((1, 1, 1)), table.energy_of((1, 1, 1)), "modelled", "modelled"
    )
    assert archive.costs(archive["000"]).latency_ms == 9.0


def test_the_front_is_what_no_other_dominates_best_accuracy_first(archive: Any, entry_of: EntryOf) -> None:
    archive.add(entry_of((0, 0, 0), 0.3, 1.0, 5.0))
    archive.add(entry_of((0, 0, 1), 0.1, 4.0, 5.0))
    archive.add(entry_of((0, 0, 2), 0.3, 2.0, 5.0))
    archive.add(entry_of((0, 1, 0), 0.3, 2.0, 1.0))
    archive.add(entry_of((0, 1, 1), 0.5, 9.0, 9.0))
    assert [entry.architecture.id for entry in archive.front()] == ["003", "000", "030"]
    np.testing.assert_array_equal(archive.objectives(archive.front()), [[0.1, 4, 5], [0.3, 1, 5], [0.3, 2, 1]])
    assert archive.objectives().shape == (5, 3)


def test_a_measurement_can_change_the_front(archive: Any, entry_of: EntryOf, measurement_of: MeasurementOf) -> None:
    archive.add(entry_of((0, 0, 0), 0.3, 1.0, 1.0))
    archive.add(entry_of((1, 1, 1), 0.3, 2.0, 2.0))
    archive.add(entry_of((2, 2, 2), 0.9, 0.5, 0.5))
    assert [entry.architecture.id for entry in archive.front()] == ["000", "888"]
    archive.set_measurement("888", measurement_of(0.5))
    archive.set_measurement("000", measurement_of(9.0))
    archive.set_measurement("333", measurement_of(2.0))
    assert [entry.architecture.id for entry in archive.front()] == ["333", "888"]


def test_an_empty_archive_has_no_front(archive: Any) -> None:
    assert archive.front() == ()
    assert archive.objectives().shape == (0, 3)
    assert archive.hypervolume() == 0


def test_hypervolume_is_relative_to_the_reference_point(archive: Any, entry_of: EntryOf) -> None:
    archive.add(entry_of((0, 0, 0), 0.5, 2.0, 5.0))
    assert archive.hypervolume() == pytest.approx(0.5 * 0.8 * 0.75)


def test_the_history_of_hypervolume_is_that_of_each_prefix(entry_of: EntryOf) -> None:
    rng = np.random.default_rng(0)
    entries = [entry_of((0, 0, 0), *(float(value) for value in rng.random(3) * REFERENCE)) for _ in range(30)]
    history = hypervolume_history(entries, REFERENCE)
    points = np.array([(entry.error, entry.predicted_latency_ms, entry.predicted_energy_mj) for entry in entries])
    expected = [hypervolume(points[: count + 1], np.array(REFERENCE)) for count in range(30)]
    assert history == pytest.approx(expected)
    assert history == sorted(history)
    assert hypervolume_history([], REFERENCE) == []


@pytest.mark.parametrize(("precision", "error", "latency_ms"), [("fp32", 0.2, 4.0), ("int8", 0.21, 2.0)])
def test_of_a_trained_network_the_file_in_the_precision_of_the_run_counts(
    entry_of: EntryOf,
    trained_of: TrainedOf,
    measurement_of: MeasurementOf,
    precision: str,
    error: float,
    latency_ms: float,
) -> None:
    archive = Archive(REFERENCE, precision=precision)  # type: ignore[arg-type]
    archive.add(entry_of((0, 0, 0), 0.5, 1.0, 1.0))
    assert archive.error(archive["000"]) == 0.5
    assert archive.measurement(archive["000"]) is None
    int8 = replace(measurement_of(2.0), precision="int8")
    archive.set_trained("000", trained_of("000", error=0.2, measurement=measurement_of(4.0), int8_measurement=int8))
    assert archive.error(archive["000"]) == pytest.approx(error)
    assert archive.costs(archive["000"]).latency_ms == latency_ms
    assert archive.hypervolume() == pytest.approx((1 - error) * (1 - latency_ms / 10) * (1 - 2 * latency_ms / 20))


def test_a_network_whose_file_was_not_measured_keeps_the_costs_of_the_search(
    entry_of: EntryOf, trained_of: TrainedOf, measurement_of: MeasurementOf
) -> None:
    archive = Archive(REFERENCE, precision="int8")
    archive.add(entry_of((0, 0, 0), 0.5, 1.0, 1.0))
    archive.set_trained("000", trained_of("000", measurement=measurement_of(4.0)))
    assert archive.costs(archive["000"]).latency_source == "modelled"
    archive.set_measurement("000", measurement_of(3.0))
    assert archive.costs(archive["000"]).latency_ms == 3.0


def test_a_trained_network_without_the_file_that_counts_has_no_error(entry_of: EntryOf, trained_of: TrainedOf) -> None:
    archive = Archive(REFERENCE, precision="int8")
    archive.add(entry_of((0, 0, 0)))
    archive.set_trained("000", replace(trained_of("000"), files=()))
    with pytest.raises(ValueError, match="must have a file in int8"):
        archive.error(archive["000"])
