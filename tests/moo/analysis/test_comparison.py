"""Which network of a front each baseline is compared with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from devices.configuration import RuntimeConfiguration
from moo.analysis.comparison import compared, models
from moo.storage.archive import Archive
from tests.moo.conftest import EntryOf, MeasurementOf, TrainedOf


@pytest.fixture
def archive_in(entry_of: EntryOf, trained_of: TrainedOf, measurement_of: MeasurementOf) -> Any:
    """Makes a front of three trained networks, whose int8 files are measured at half the latency of the fp32 files."""

    def make(precision: Any) -> Any:
        archive = Archive((1.0, 10.0, 10.0), configurations=[RuntimeConfiguration(precision=precision)])
        for place, (error, latency_ms) in enumerate(((0.4, 1.0), (0.3, 2.0), (0.2, 3.0))):
            entry = entry_of((0, 0, place), error, latency_ms, latency_ms, position=place)
            archive.add(replace(entry, quantized_error=error))
            trained = trained_of(
                entry.architecture.id,
                error=error / 2,
                measurement=measurement_of(latency_ms),
                int8_measurement=replace(measurement_of(latency_ms / 2), precision="int8"),
            )
            archive.set_trained(entry.architecture.id, trained)
        return archive

    return make


@pytest.mark.parametrize(("limit", "error"), [(1.0, 0.2), (2.5, 0.15), (9.0, 0.1)])
def test_the_rival_is_the_best_network_that_is_no_slower(
    archive_in: Any,
    trained_of: TrainedOf,
    measurement_of: MeasurementOf,
    limit: float,
    error: float,
) -> None:
    archive = archive_in("fp32")
    (comparison,) = compared(archive, [trained_of("a", baseline=True, error=0.3, measurement=measurement_of(limit))])
    assert comparison.rival is not None
    assert comparison.rival.error == error
    assert comparison.gain == pytest.approx(100 * (0.3 - error))
    assert comparison.costs is not None
    assert comparison.costs.latency_ms == limit


def test_a_modelled_rival_is_none_of_a_measured_baseline(
    archive_in: Any, trained_of: TrainedOf, measurement_of: MeasurementOf
) -> None:
    archive = archive_in("fp32")
    for entry in archive.entries:
        modelled = replace(measurement_of(1.0), latency_source="modelled")
        archive.set_trained(entry.architecture.id, trained_of(entry.architecture.id, measurement=modelled))
    baseline = trained_of("a", baseline=True, measurement=measurement_of(9.0))
    assert [(c.rival, c.gain) for c in compared(archive, [baseline])] == [(None, None)]


def test_files_of_the_precision_of_the_run_are_compared(
    archive_in: Any, trained_of: TrainedOf, measurement_of: MeasurementOf
) -> None:
    archive, measured = archive_in("int8"), replace(measurement_of(1.2), precision="int8")
    (comparison,) = compared(archive, [trained_of("a", baseline=True, error=0.3, int8_measurement=measured)])
    assert comparison.file.precision == "int8"
    assert comparison.rival is not None
    assert comparison.rival.costs.latency_ms == 1.0
    assert comparison.gain == pytest.approx(100 * (0.3 - 0.15))


def test_choosing_is_by_selection_and_the_gain_by_test_images(
    archive_in: Any, trained_of: TrainedOf, measurement_of: MeasurementOf
) -> None:
    archive = archive_in("fp32")
    best = archive.front()[0]
    files = tuple(replace(file, top1=0.5) for file in best.entry.trained.files)
    archive.set_trained(best.id, replace(best.entry.trained, files=files))
    baseline = trained_of("a", baseline=True, error=0.3, measurement=measurement_of(9.0))
    (comparison,) = compared(archive, [baseline])
    assert comparison.rival.id == best.id
    assert comparison.gain == pytest.approx(-20)


def test_without_a_measurement_or_a_trained_front_there_is_no_rival(
    archive_in: Any,
    trained_of: TrainedOf,
    measurement_of: MeasurementOf,
    entry_of: EntryOf,
) -> None:
    archive = archive_in("fp32")
    assert compared(archive, [trained_of("a", baseline=True)])[0].rival is None
    fast = trained_of("a", baseline=True, measurement=measurement_of(0.5))
    assert compared(archive, [fast])[0].rival is None
    slow = trained_of("a", baseline=True, measurement=measurement_of(9.0))
    assert compared(archive, [slow])[0].rival is not None
    archive.add(entry_of((1, 1, 1), 0.01, 9.0, 9.0, position=3))
    assert not archive.is_retrained
    assert compared(archive, [slow])[0].rival is None


def test_a_baseline_without_the_file_is_refused(archive_in: Any, trained_of: TrainedOf) -> None:
    with pytest.raises(ValueError, match="must have a file in int8, but 'a' has none"):
        compared(archive_in("int8"), [replace(trained_of("a", baseline=True), files=())])


def test_models_are_the_front_then_baselines_each_with_the_file_of_the_run(
    archive_in: Any, trained_of: TrainedOf, measurement_of: MeasurementOf
) -> None:
    archive, int8 = archive_in("int8"), replace(measurement_of(1.5), precision="int8")
    baselines = [
        trained_of("b", baseline=True, error=0.4),
        trained_of("a", baseline=True, error=0.3, int8_measurement=int8),
    ]
    rows = models(archive, baselines)
    assert [row.name for row in rows] == [*(point.id for point in archive.front()), "a", "b"]
    assert [row.baseline for row in rows] == [False, False, False, True, True]
    assert [row.top1 for row in rows] == pytest.approx([0.89, 0.84, 0.79, 0.69, 0.59])
    assert [None if row.costs is None else row.costs.latency_ms for row in rows] == [1.5, 1.0, 0.5, 1.5, None]
