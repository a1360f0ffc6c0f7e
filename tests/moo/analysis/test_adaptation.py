from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from devices.configuration import BASE, RuntimeConfiguration
from devices.cost_tables.energy_objective import EnergyObjective
from moo.analysis.adaptation import (
    AdaptiveResults,
    equally_accurate,
    gains,
    gains_text,
    most_accurate_third,
    read_adaptive_results,
)
from moo.storage.adaptive_front import write_adaptive_front
from moo.storage.archive import Archive, reference_point_of
from moo.storage.run_folder import RunFolder
from tests.moo.adaptive_points import adaptive_point, random_points, static_point
from tests.moo.conftest import EntryOf, archive_in_configurations

REFERENCE = (1.0, 10.0, 20.0)
QUICK = RuntimeConfiguration(threads=4)


def box(error: float, latency_ms: float, energy_mj: float) -> float:
    """Hypervolume of one point by hand."""
    return (1 - error) * (1 - latency_ms / 10) * (1 - energy_mj / 20)


def test_hypervolumes_of_one_point_each_are_boxes_by_hand() -> None:
    static = [static_point(0.2, 6.0, 12.0), static_point(0.2, 3.0, 12.0, configuration=QUICK)]
    points = [adaptive_point(0.2, 4.0, 8.0), adaptive_point(0.2, 2.0, 8.0, configuration=QUICK)]
    found = gains(points, static, REFERENCE)
    assert found.base == BASE
    volumes = (found.static, found.exits, found.configurations, found.both)
    assert volumes == pytest.approx((box(0.2, 6, 12), box(0.2, 4, 8), box(0.2, 3, 12), box(0.2, 2, 8)))
    assert found.exits_ratio == pytest.approx(0.6 * 0.6 / (0.4 * 0.4))
    assert found.configurations_ratio == pytest.approx(0.7 / 0.4)
    assert found.both_ratio == pytest.approx(0.8 * 0.6 / (0.4 * 0.4))
    assert found.exits_pay


def test_points_in_other_configurations_count_for_both_alone() -> None:
    static = [static_point()]
    found = gains([adaptive_point(0.2, 2.0, 4.0, configuration=QUICK)], static, REFERENCE)
    assert (found.exits_ratio, found.configurations_ratio) == (1, 1)
    assert found.both_ratio is not None
    assert found.both_ratio > 1
    assert found.latency_change == 0, "no policy is known in the base configuration"


@pytest.mark.parametrize("seed", range(8))
def test_no_set_is_worse_than_one_within_it(seed: int) -> None:
    points = random_points(seed, 30, configurations=(BASE, QUICK))
    static = [point for point in points if not point.exits and point.configuration == BASE] or [static_point()]
    found = gains(points, [*static, *(p for p in points if not p.exits)], REFERENCE)
    assert found.static <= min(found.exits, found.configurations) + 1e-12
    assert max(found.exits, found.configurations) <= found.both + 1e-12
    assert all(gain.latency_change <= 0 for gain in found.networks)


@pytest.mark.parametrize(("number", "chosen"), [(1, 1), (2, 1), (3, 1), (4, 2), (6, 2), (7, 3)])
def test_the_most_accurate_third_is_rounded_up(number: int, chosen: int) -> None:
    indices = [(a, b, 0) for a in range(3) for b in range(3)]
    static = [static_point(0.5 - 0.05 * place, indices=indices[place]) for place in range(number)]
    third = most_accurate_third([*static, *static])
    assert [point.objectives[0] for point in third] == sorted(point.error for point in static)[:chosen]


def test_the_quickest_as_accurate_policy_is_chosen() -> None:
    static = static_point(0.2, 6.0)
    points = [
        adaptive_point(0.2051, 1.0),
        adaptive_point(0.205, 3.0, worst_latency_ms=6.3),
        adaptive_point(0.19, 4.0),
        adaptive_point(0.1, 0.5, indices=(1, 1, 1)),
        adaptive_point(0.1, 0.5, configuration=QUICK),
    ]
    for order in (points, points[::-1]):
        found = equally_accurate(static, order)
        assert (found.error, found.latency_ms, found.static_latency_ms) == (0.205, 3.0, 6.0)
        assert found.latency_change == pytest.approx(-0.5)
        assert found.worst_latency_change == pytest.approx(0.05)
        assert found.pays


def test_where_no_policy_is_quicker_the_network_stays_as_it_is() -> None:
    found = equally_accurate(static_point(0.2, 6.0), [adaptive_point(0.2, 6.5), adaptive_point(0.3, 2.0)])
    assert (found.error, found.latency_ms, found.worst_latency_ms, found.pays) == (0.2, 6.0, 6.0, False)


def test_latencies_are_averaged_and_the_worst_case_is_the_worst() -> None:
    indices = [(0, 0, place) for place in range(3)] + [(1, 0, place) for place in range(3)]
    static = [static_point(0.1 + 0.1 * place, 8.0, indices=one) for place, one in enumerate(indices)]
    points = [
        adaptive_point(0.1, 4.0, indices=indices[0], worst_latency_ms=8.4),
        adaptive_point(0.2, 6.0, indices=indices[1], worst_latency_ms=8.2),
        adaptive_point(0.3, 1.0, indices=indices[2], worst_latency_ms=9.9),
    ]
    found = gains(points, static, REFERENCE)
    assert [gain.id for gain in found.networks] == [point.id for point in static[:2]]
    assert found.latency_change == pytest.approx((-0.5 - 0.25) / 2)
    assert found.worst_latency_change == pytest.approx(0.05)
    text = gains_text(found)
    assert "The most accurate third (2 networks) has 37.5 % less expected latency" in text
    assert "at most 0.5 percentage points of accuracy may be lost; its worst case takes 5.00 % more" in text


def test_points_of_an_archive_are_compared_with(entry_of: EntryOf) -> None:
    archive = Archive(REFERENCE)
    archive.add(entry_of((0, 0, 0), 0.2, 6.0, 12.0))
    found = gains([adaptive_point(0.2, 4.0, 8.0)], archive.points(), archive.reference_point)
    assert found.static == pytest.approx(archive.hypervolume())
    assert found.latency_change == pytest.approx(-1 / 3)


def test_exits_that_do_not_pay_are_told() -> None:
    static = [static_point(0.2, 6.0, 12.0), static_point(0.2, 3.0, 12.0, configuration=QUICK)]
    found = gains([adaptive_point(0.3, 6.5, 13.0)], static, REFERENCE)
    assert not found.exits_pay
    text = gains_text(found)
    assert "hypervolume of the static networks; configurations give 1.750 times it." in text
    assert "The most accurate third (1 network) gets no quicker by exits" in text


def test_without_a_volume_there_is_no_ratio() -> None:
    found = gains([adaptive_point()], [static_point(0.2, 11.0, 12.0)], REFERENCE)
    assert (found.exits_ratio, found.configurations_ratio, found.both_ratio) == (None, None, None)
    assert "hypervolumes cannot be compared" in gains_text(found)


def test_without_a_static_point_nothing_is_compared() -> None:
    with pytest.raises(ValueError, match="at least one static point"):
        gains([adaptive_point()], [], REFERENCE)


def test_a_static_point_beyond_a_tie_counts_once() -> None:
    twice = [static_point(0.2, 6.0), replace(static_point(0.2, 7.0), energy_mj=1.0)]
    (chosen,) = most_accurate_third(twice)
    assert chosen.objectives[1] == 6.0


def test_of_one_configuration_nothing_is_said_of_others() -> None:
    text = gains_text(gains([adaptive_point(0.2, 4.0, 8.0)], [static_point()], REFERENCE))
    assert "Exits alone give 2.250 times the hypervolume of the static networks in ort 1t fp32. The" in text


def test_results_are_read_from_the_front_and_what_it_was_chosen_from(tmp_path: Path, entry_of: EntryOf) -> None:
    folder = RunFolder(tmp_path)
    assert read_adaptive_results(folder) is None
    front = [adaptive_point(0.2, 4.0, 8.0)]
    write_adaptive_front(folder.adaptive_front, front)
    archive = Archive(REFERENCE)
    archive.add(entry_of((0, 0, 0), 0.2, 6.0, 12.0))
    found = read_adaptive_results(folder)
    assert found is not None
    assert (found.front, found.points, found.static, found.is_whole) == (tuple(front), tuple(front), (), False)
    assert found.gains(archive) is None, "no network of the archive is trained"
    folder.adaptive_points.parent.mkdir()
    others = [adaptive_point(0.2, 5.0, 9.0), static_point()]
    write_adaptive_front(folder.adaptive_points, [*front, *others])
    found = read_adaptive_results(folder)
    assert found is not None
    assert found.is_whole
    assert (set(found.points), found.static) == ({front[0], others[0]}, (others[1],))
    gained = found.gains(archive)
    assert gained is not None
    assert gained == gains(found.points, found.static, REFERENCE)
    folder.adaptive_points.write_text("[")
    with pytest.raises(ValueError, match="points.json"):
        read_adaptive_results(folder)


def test_of_another_energy_the_reference_point_is_that_of_the_tables(tmp_path: Path) -> None:
    folder, archive = RunFolder(tmp_path), archive_in_configurations()
    folder.adaptive_points.parent.mkdir()
    for kind in ("gross", "period"):
        points = [adaptive_point(0.2, 4.0, 8.0, energy_kind=kind), static_point(0.2, 5.0, 9.0, energy_kind=kind)]
        for path in (folder.adaptive_front, folder.adaptive_points):
            write_adaptive_front(path, points)
        found = read_adaptive_results(folder)
        assert found is not None
        gained = found.gains(archive)
        if kind == "period":
            assert gained is None, "its length is not known, as idle power is not"
        else:
            assert gained is not None
            assert archive.tables is not None
            highest = max(
                table.energy_mj.max(1).sum() + table.fixed_energy_mj + 0.5 * (table.latency_ms.max(1).sum() + 1)
                for table in archive.tables
            )
            assert 0 < gained.static < gained.both < 1
            assert gained.static < (1 - 0.2) * (1 - 5 / archive.tables.base.slowest_ms()) * (1 - 9 / highest) + 1e-9


@pytest.mark.parametrize("of_run", [None, 40.0, 200.0])
def test_a_period_of_another_length_is_another_energy(of_run: float | None) -> None:
    """Idle power is 0.5 W, as in the tables; the period of the points lasts 200 ms."""
    energy = EnergyObjective() if of_run is None else EnergyObjective("period", of_run)
    archive = archive_in_configurations(energy=energy)
    static = static_point(0.2, 5.0, 109.0, energy_kind="period", net_energy_mj=9.0, gross_energy_mj=11.5)
    point = adaptive_point(0.2, 4.0, 108.0, energy_kind="period", net_energy_mj=8.0, gross_energy_mj=10.0)
    found = AdaptiveResults(front=(point,), points=(point,), static=(static,), is_whole=True)
    assert archive.tables is not None
    error = archive.reference_point[0]
    reference = reference_point_of(archive.tables, error, EnergyObjective("period", 200.0))
    gained = found.gains(archive)
    assert gained is not None
    if of_run == 200.0:
        assert gained == gains([point], [static], archive.reference_point)
    else:
        expected = gains([point], [static], reference)
        assert (gained.static, gained.both) == pytest.approx((expected.static, expected.both))
        assert gained.both > gained.static > 0
