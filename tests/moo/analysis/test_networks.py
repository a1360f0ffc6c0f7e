from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from devices.configuration import RuntimeConfiguration
from devices.cost_tables.energy_objective import EnergyObjective
from moo.analysis.networks import best_of_each, evaluated, file_costs, grouped, shown_points
from moo.storage.archive import Archive
from tests.moo.conftest import EntryOf, MeasurementOf, TrainedOf, archive_in_configurations


@pytest.fixture
def archive(entry_of: EntryOf, measurement_of: MeasurementOf) -> Any:
    archive = Archive((1.0, 10.0, 10.0))
    archive.add(entry_of((0, 0, 0), 0.2, 2.0, 2.0))
    archive.add(entry_of((1, 1, 1), 0.3, 3.0, 3.0, position=1))
    archive.add(entry_of((2, 2, 2), 0.4, 4.0, 4.0, position=2))
    archive.set_measurement("000", measurement_of(1.0))
    return archive


def test_an_archive_is_parted_into_front_and_rest(archive: Any) -> None:
    networks = evaluated(archive)
    assert [network.error for network in networks.front] == [0.2]
    assert [network.error for network in networks.dominated] == [0.3, 0.4]
    assert networks.front[0].costs.latency_source == "measured"
    assert "3 networks" in networks.summary
    assert "1 on the front, of which 1 measured" in networks.summary
    assert networks.untrained == ()
    assert "inherited weights" in networks.error_label


def test_after_training_each_network_says_which_error_it_has(archive: Any, trained_of: TrainedOf) -> None:
    archive.set_trained("000", trained_of("000", error=0.1))
    archive.set_trained("333", trained_of("333", error=0.15))
    networks = evaluated(archive)
    assert [(network.id, network.error, network.trained) for network in networks.front] == [("000", 0.1, True)]
    assert [(network.id, network.error) for network in networks.dominated] == [("333", 0.15)]
    assert [(network.id, network.error, network.trained) for network in networks.untrained] == [("888", 0.4, False)]
    assert networks.error_label.endswith("trained; faint: inherited weights")
    assert "3 networks evaluated, 2 trained; 1 on the front (trained errors)" in networks.summary


def test_a_front_that_is_not_all_trained_keeps_its_inherited_errors(archive: Any, trained_of: TrainedOf) -> None:
    archive.set_trained("333", trained_of("333", error=0.05))
    networks = evaluated(archive, [trained_of("mobile", baseline=True)])
    assert not networks.retrained
    assert [network.error for network in networks.all] == [0.2, 0.3, 0.4]
    assert networks.baselines == ()
    assert "baselines are drawn when" in networks.summary_with_baselines


def test_measured_baselines_stand_beside_a_trained_front(
    archive: Any, trained_of: TrainedOf, measurement_of: MeasurementOf
) -> None:
    archive.set_trained("000", trained_of("000", error=0.1))
    baselines = [
        trained_of("fast", baseline=True, measurement=measurement_of(0.5)),
        trained_of("unknown", baseline=True),
    ]
    networks = evaluated(archive, baselines)
    assert [(network.id, network.costs.latency_ms) for network in networks.baselines] == [("fast", 0.5)]
    assert len(networks.drawn) == 4
    expected = "1 baseline, trained for 3 epochs; the front for 3 epochs; 1 baseline not measured and left out"
    assert networks.summary_with_baselines.split("\n")[1] == expected


def test_of_very_many_dominated_networks_some_are_drawn_and_the_picture_says_so(
    entry_of: EntryOf, measurement_of: MeasurementOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moo.analysis.networks.MOST_OTHERS", 8)
    archive = Archive((1.0, 10.0, 10.0))
    for place, indices in enumerate(itertools.product(range(3), repeat=3)):
        archive.add(entry_of(indices, 0.1 + place / 100, 1.0 + place, 1.0 + place, position=place))
    archive.set_measurement("888", measurement_of(9.0))
    thinned, front = evaluated(archive), archive.front()
    assert [network.id for network in thinned.front] == [point.id for point in front] == ["000"]
    assert len(thinned.others) == 9
    assert "27 networks evaluated" in thinned.summary
    assert thinned.summary.endswith("of 26 others 9 are drawn")
    monkeypatch.setattr("moo.analysis.networks.MOST_OTHERS", 26)
    whole = evaluated(archive)
    assert len(whole.others) == 26
    assert "drawn" not in whole.summary
    assert "888" in {network.id for network in thinned.others}
    for column in range(3):
        values, all_values = ([n.coordinates[column] for n in one.all] for one in (thinned, whole))
        assert (min(values), max(values)) == (min(all_values), max(all_values))


def test_costs_of_a_file_are_those_measured(trained_of: TrainedOf, measurement_of: MeasurementOf) -> None:
    network = trained_of("000", measurement=measurement_of(0.5))
    costs = file_costs(network, "fp32", EnergyObjective())
    assert costs is not None
    assert (costs.latency_ms, costs.energy_mj, costs.energy_source) == (0.5, 1.0, "modelled")
    assert file_costs(network, "int8", EnergyObjective()) is None


def test_a_run_in_int8_shows_int8_files(
    entry_of: EntryOf, trained_of: TrainedOf, measurement_of: MeasurementOf
) -> None:
    """Also where nothing was measured in the search."""
    archive = Archive((1.0, 10.0, 10.0), configurations=[RuntimeConfiguration(precision="int8")])
    archive.add(replace(entry_of((0, 0, 0), 0.2, 2.0, 2.0), quantized_error=0.25))
    fp32, int8 = measurement_of(4.0), replace(measurement_of(1.0), precision="int8")
    archive.set_trained("000", trained_of("000", error=0.1, measurement=fp32, int8_measurement=int8))
    mobile = trained_of("mobile", baseline=True, error=0.3, measurement=fp32, int8_measurement=int8)
    networks = evaluated(archive, [mobile])
    shown = [(network.error, network.costs.latency_ms) for network in networks.drawn]
    assert shown == [(pytest.approx(0.11), 1.0), (pytest.approx(0.31), 1.0)]


@pytest.mark.parametrize("size", [1, 5, 24])
def test_at_most_so_many_points_are_shown_the_best_in_each_objective_among_them(size: int) -> None:
    archive = archive_in_configurations()
    front = archive.front()
    assert len(front) > 24
    shown = shown_points(front, size)
    assert 0 < len(shown) <= size
    assert set(map(id, shown)) <= set(map(id, front))
    if size >= 3:
        for objective in range(3):
            least = min(point.objectives[objective] for point in front)
            assert least in [point.objectives[objective] for point in shown]
    networks = evaluated(archive, front_size=size)
    assert [network.coordinates for network in networks.front] == [
        (100 * point.error, point.costs.latency_ms, point.costs.energy_mj) for point in shown
    ]
    assert f"{len(front)} operating points on the front, {len(shown)} shown" in networks.summary
    assert "27 networks evaluated" in networks.summary or len({n.id for n in networks.all}) < 27


def test_points_of_a_network_are_grouped_the_fastest_first() -> None:
    front = archive_in_configurations().front()
    points = grouped(front)
    assert sorted(map(id, points)) == sorted(map(id, front))
    runs = [identifier for identifier, _ in itertools.groupby(point.id for point in points)]
    assert runs == list(dict.fromkeys(point.id for point in front)), "each network once, in the order of the front"
    for _, own in itertools.groupby(points, key=lambda point: point.id):
        latencies = [point.costs.latency_ms for point in own]
        assert latencies == sorted(latencies)
    assert [point.id for point in best_of_each(front)] == runs
    assert all(next(p for p in front if p.id == point.id) is point for point in best_of_each(front))


def test_configurations_are_told_apart_only_where_there_are_several(archive: Any) -> None:
    assert {network.configuration for network in evaluated(archive).front} == {None}
    several = archive_in_configurations()
    assert {network.configuration for network in evaluated(several).front} <= set(several.configurations)
