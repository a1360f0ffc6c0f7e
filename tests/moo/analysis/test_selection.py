from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devices.configuration import BASE, RuntimeConfiguration
from devices.cost_tables.energy_objective import EnergyObjective
from moo.analysis.choices import bulge
from moo.analysis.selection import (
    ConfigurationFilter,
    ExpectedError,
    FrontPoint,
    Limits,
    best_within,
    distinct,
    excesses,
    in_configurations,
    knee,
    nearest_to,
    read_front,
    three_choices,
)
from moo.search.outputs import front_json
from moo.storage.archive import Archive
from tests.moo.conftest import DATASET, EntryOf, MeasurementOf, TrainedOf


def network(
    error: float,
    latency_ms: float,
    energy_mj: float,
    name: str = "n",
    configuration: RuntimeConfiguration | None = BASE,
) -> FrontPoint:
    return FrontPoint(
        id=name,
        space="tiny",
        operators=("skip",),
        configuration=configuration,
        error=error,
        latency_ms=latency_ms,
        energy_mj=energy_mj,
        latency_source="measured",
        energy_source="modelled",
    )


def random_front(seed: Any, *, count: int = 30) -> Any:
    rng = np.random.default_rng(seed)
    return [network(*row, name=str(index)) for index, row in enumerate(rng.uniform(0.1, 1, (count, 3)).round(1))]  # type: ignore[misc]


def test_what_a_run_writes_is_read_back(tmp_path: Path, entry_of: EntryOf, measurement_of: MeasurementOf) -> None:
    archive = Archive((1.0, 10.0, 20.0))
    archive.add(entry_of((0, 0, 0), 0.3, 1.0, 2.0, trial_id=3))
    archive.add(entry_of((1, 1, 1), 0.1, 4.0, 8.0, trial_id=1))
    archive.set_measurement("333", measurement_of(6.0))
    (tmp_path / "front.json").write_text(json.dumps(front_json(archive)))
    assert read_front(tmp_path) == (
        replace(network(0.1, 6.0, 12.0, "333"), operators=("k3_e6",) * 3, expected=expected_error(0.1)),
        replace(
            network(0.3, 1.0, 2.0, "000"), operators=("k3_e1",) * 3, latency_source="modelled",
            expected=expected_error(0.3),
        ),
    )  # fmt: skip


def expected_error(error: float) -> ExpectedError:
    return ExpectedError(error=error, low=None, high=None, images=None, split="selection")


def test_intervals_tests_and_the_point_that_stands_for_one_are_read_back(tmp_path: Path, entry_of: EntryOf) -> None:
    archive = Archive((1.0, 10.0, 20.0), data=replace(DATASET, guessing_error=0.75, test_guessing_error=0.7))
    archive.add(replace(entry_of((0, 0, 0), 0.3, 1.0, 2.0), params=17))
    archive.add(entry_of((1, 1, 1), 0.2, 4.0, 8.0))
    archive.set_test_error("000", 0.4)
    (tmp_path / "front.json").write_text(json.dumps(front_json(archive)))
    merged, stands = read_front(tmp_path)
    assert (stands.id, stands.same_as, stands.params, stands.images) == ("000", None, 17, 30)
    assert (merged.id, merged.same_as, merged.params) == ("333", ("000", "ort 1t fp32"), None)
    assert (stands.error_low, stands.error_high) == pytest.approx((0.1667, 0.4788), abs=1e-4)
    assert stands.expected is not None
    assert (stands.expected.split, stands.expected.images, stands.expected.error) == ("test", 40, 0.4)
    assert merged.expected is not None
    assert (merged.expected.split, stands.beats_guessing, merged.beats_guessing) == ("selection", True, True)
    assert distinct((merged, stands)) == (stands,)
    assert distinct((merged,)) == (merged,)
    assert [item["shown"] for item in front_json(archive)] == [False, True]
    assert three_choices((merged, stands)) == (("most accurate, knee, fastest above chance", stands),)


def test_points_in_several_configurations_are_read_back(
    tmp_path: Path, entry_of: EntryOf, measurement_of: MeasurementOf
) -> None:
    quick = RuntimeConfiguration(threads=4, frequency_mhz=1500, precision="int8")
    archive = Archive((1.0, 10.0, 500.0), configurations=[BASE, quick], energy=EnergyObjective("period", 100.0))
    archive.add(replace(entry_of((0, 0, 0), 0.3), quantized_error=0.31))
    archive.set_measurement("000", replace(measurement_of(4.0), idle_w=2.0))
    faster = replace(measurement_of(1.0), threads=4, frequency_mhz=1500, precision="int8", idle_w=2.0)
    archive.set_measurement("000", faster)
    (tmp_path / "front.json").write_text(json.dumps(front_json(archive)))
    slow, fast = read_front(tmp_path)
    assert (slow.configuration, slow.error, slow.latency_ms, slow.energy_mj) == (BASE, 0.3, 4.0, 208.0)
    assert (fast.configuration, fast.error, fast.latency_ms, fast.energy_mj) == (quick, 0.31, 1.0, 202.0)
    assert (fast.precision, fast.energy_kind) == ("int8", "period")


@pytest.mark.parametrize(
    ("measurement", "configuration"),
    [
        (None, None),
        ({"threads": 4, "precision": "int8"}, RuntimeConfiguration(threads=4, precision="int8")),
        (
            {"threads": 1, "precision": "int8", "frequency_mhz": 900, "runtime": "onnxruntime 1.17"},
            RuntimeConfiguration(frequency_mhz=900, precision="int8"),
        ),
    ],
)
def test_a_run_of_an_earlier_version_has_the_configuration_of_its_measurements(
    tmp_path: Path, measurement: Any, configuration: RuntimeConfiguration | None
) -> None:
    (tmp_path / "front.json").write_text(json.dumps([{**ITEM, "precision": "int8", "measurement": measurement}]))
    (point,) = read_front(tmp_path)
    assert (point.configuration, point.precision, point.energy_kind) == (configuration, "int8", "net")


POINTS = [
    network(0.1, 9.0, 9.0, "a"),
    network(0.1, 5.0, 12.0, "a", RuntimeConfiguration(threads=2)),
    network(0.1, 7.0, 8.0, "a", RuntimeConfiguration(frequency_mhz=1000)),
    network(0.15, 3.0, 6.0, "a", RuntimeConfiguration(threads=2, precision="int8")),
    network(0.2, 1.0, 5.0, "b", RuntimeConfiguration(threads=4, precision="int8")),
]


@pytest.mark.parametrize(
    ("wanted", "latencies"),
    [
        (ConfigurationFilter(), [9, 5, 7, 3, 1]),
        (ConfigurationFilter(threads=(2,)), [5, 3]),
        (ConfigurationFilter(threads=(4, 2)), [5, 3, 1]),
        (ConfigurationFilter(precisions=("int8",)), [3, 1]),
        (ConfigurationFilter(threads=(1, 2), precisions=("fp32",)), [9, 5, 7]),
        (ConfigurationFilter(frequencies_mhz=(1000, 1500)), [7]),
        (ConfigurationFilter(runtimes=("ort",)), [9, 5, 7, 3, 1]),
    ],
)
def test_points_are_chosen_from_wanted_configurations(wanted: ConfigurationFilter, latencies: list[float]) -> None:
    assert [point.latency_ms for point in in_configurations(POINTS, wanted)] == latencies


def test_the_choice_is_among_points_of_the_same_network() -> None:
    chosen = best_within(POINTS, Limits(max_latency_ms=8.0))
    assert chosen is not None
    assert chosen.configuration == RuntimeConfiguration(threads=2), "of equal errors the faster"
    chosen = best_within(POINTS, Limits(max_latency_ms=8.0, max_energy_mj=10.0))
    assert chosen is not None
    assert chosen.configuration == RuntimeConfiguration(frequency_mhz=1000)


def test_the_knee_is_one_of_points_whatever_network_they_have() -> None:
    bulging = [network(0.0, 10.0, 10.0, "a"), network(0.1, 1.0, 1.0, "a", POINTS[3].configuration)]
    assert knee([*bulging, network(1.0, 0.5, 0.5, "b")]) is bulging[1]


def test_configurations_that_no_point_has_are_refused_with_those_of_the_front() -> None:
    wanted = ConfigurationFilter(threads=(3,), frequencies_mhz=(1000,), precisions=("fp32", "int8"))
    with pytest.raises(ValueError, match="a point in --threads 3 --frequency-mhz 1000 --precision fp32 int8, but") as e:
        in_configurations(POINTS, wanted)
    assert "ort 1t fp32, ort 1t 1000MHz fp32, ort 2t fp32, ort 2t int8, ort 4t int8" in str(e.value)
    with pytest.raises(ValueError, match="a point in --runtime litert, but"):
        in_configurations(POINTS, ConfigurationFilter(runtimes=("litert",)))
    with pytest.raises(ValueError, match="not recorded, as it was written by an earlier version"):
        in_configurations([network(0.1, 1.0, 1.0, configuration=None)], wanted)


def test_trained_networks_are_chosen_by_their_trained_error(
    tmp_path: Path, entry_of: EntryOf, trained_of: TrainedOf
) -> None:
    archive = Archive((1.0, 10.0, 20.0))
    archive.add(entry_of((0, 0, 0), 0.3, 1.0, 2.0))
    archive.set_trained("000", trained_of("000", error=0.125))
    (tmp_path / "front.json").write_text(json.dumps(front_json(archive)))
    (chosen,) = read_front(tmp_path)
    assert (chosen.error, chosen.error_source) == (0.125, "trained")
    content = front_json(archive)
    content[0]["error_source"] = "guessed"
    del content[0]["seal"]
    (tmp_path / "front.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="an error that is inherited or trained, but has 'guessed'"):
        read_front(tmp_path)


@pytest.mark.parametrize(
    "limits",
    [
        Limits(*(value if used else None for value, used in zip((0.5, 0.6, 0.7), choice, strict=True)))
        for choice in itertools.product((False, True), repeat=3)
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_the_best_within_is_that_of_an_exhaustive_search(seed: Any, limits: Any) -> None:
    front = random_front(seed)
    bounds = [np.inf if limit is None else limit for limit in vars(limits).values()]
    best = None
    for candidate in front:
        costs = (candidate.latency_ms, candidate.energy_mj, candidate.error)
        better = best is None or candidate.error < best.error
        if all(cost <= bound for cost, bound in zip(costs, bounds, strict=True)) and better:
            best = candidate
    chosen = best_within(front, limits)
    assert (chosen and chosen.error) == (best and best.error)
    assert chosen is None or not excesses(chosen, limits)


def test_a_cost_equal_to_its_limit_is_within_it() -> None:
    only = network(0.1, 5.0, 20.0)
    assert best_within([only], Limits(5.0, 20.0, 0.1)) is only


def test_of_equal_errors_the_faster_is_chosen() -> None:
    slow, fast = network(0.1, 5.0, 1.0), network(0.1, 4.0, 9.0)
    assert best_within([slow, fast], Limits(max_latency_ms=6.0)) is fast


def test_the_nearest_exceeds_its_worst_limit_by_the_smallest_share() -> None:
    limits = Limits(max_latency_ms=4.0, max_energy_mj=10.0)
    front = [network(0.1, 4.4, 12.0), network(0.2, 4.6, 11.0), network(0.3, 2.0, 13.0)]
    assert best_within(front, limits) is None
    assert nearest_to(front, limits) is front[1]
    latency, energy = excesses(front[1], limits)
    assert (latency.quantity, latency.value, latency.limit, latency.ratio) == (
        "latency_ms",
        4.6,
        4.0,
        pytest.approx(0.15),
    )
    assert (energy.quantity, energy.ratio) == ("energy_mj", pytest.approx(0.1))


def test_the_knee_of_a_quarter_circle_is_its_middle() -> None:
    angles = np.linspace(0, np.pi / 2, 21)
    front = [network(1 - np.sin(angle), 7 * (1 - np.cos(angle)), 3.0, name=str(i)) for i, angle in enumerate(angles)]
    assert knee(front).id == "10"
    objectives = np.array([(item.error, item.latency_ms, item.energy_mj) for item in front])
    np.testing.assert_allclose(bulge(objectives)[[0, 10, 20]], [0, 1 - np.sqrt(0.5), 0], atol=1e-12)


def test_the_knee_of_an_eighth_of_a_sphere_is_its_middle() -> None:
    corners = np.eye(3)
    middle = np.ones(3) / np.sqrt(3)
    others = np.random.default_rng(0).uniform(0, 1, (50, 3))
    points = 1 - np.vstack([corners, middle, others / np.linalg.norm(others, axis=1, keepdims=True)])
    front = [network(*(point * (0.5, 20, 300)), name=str(index)) for index, point in enumerate(points)]  # type: ignore[misc]
    assert knee(front).id == "3"


@pytest.mark.parametrize("seed", range(10))
def test_distances_to_the_plane_follow_the_cross_product(seed: Any) -> None:
    points = np.random.default_rng(seed).uniform(0, 1, (20, 3)) + 0.2
    points[:3] = 1.3 - 1.2 * np.eye(3)
    scaled = (points - points.min(axis=0)) / np.ptp(points, axis=0)
    a, b, c = scaled[:3]
    normal = np.cross(b - a, c - a)
    normal /= np.linalg.norm(normal) * np.sign(normal @ a)
    np.testing.assert_allclose(bulge(points * (1, 50, 9)), (a - scaled) @ normal, atol=1e-12)


def test_where_energy_follows_latency_the_extremes_span_a_line() -> None:
    # Energy is twice the latency: the same network is best in both, and the problem is that of two objectives.
    rows = {"a": (0.1, 10, 20), "b": (0.2, 3, 6), "c": (0.4, 2, 4), "d": (0.9, 1, 2)}
    front = [network(*row, name=name) for name, row in rows.items()]
    two = [(0, 1), (1 / 8, 2 / 9), (3 / 8, 1 / 9), (1, 0)]
    # The line through (0, 1, 1) and (1, 0, 0), and the direction (2, 1, 1) / sqrt(6) across it to the origin.
    expected = [(2 - 2 * x - y - y) / np.sqrt(6) for x, y in two]
    objectives = np.array([(item.error, item.latency_ms, item.energy_mj) for item in front])
    np.testing.assert_allclose(bulge(objectives), expected, atol=1e-12)
    assert knee(front).id == "b"


@pytest.mark.parametrize(
    "rows",
    [
        [(0.1, 5, 9)],
        [(0.1, 5, 9), (0.4, 1, 2)],
        [(0.1, 5, 5), (0.4, 4.9, 4.9), (0.5, 1, 1)],
        [(0.1, 5, 9), (0.1, 5, 9)],
    ],
)
def test_without_a_bulge_the_most_accurate_is_the_knee(rows: Any) -> None:
    front = [network(*row, name=str(index)) for index, row in enumerate(rows)]  # type: ignore[misc]
    assert knee(front[::-1]).error == 0.1


def test_units_and_order_do_not_change_the_knee() -> None:
    front = random_front(3)
    scaled = [network(n.error, 1000 * n.latency_ms, 0.01 * n.energy_mj, name=n.id) for n in reversed(front)]
    assert knee(front).id == knee(scaled).id


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["max_latency_ms", "max_energy_mj", "max_error"])
def test_limits_must_be_positive_and_finite(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"`{name} > 0` must hold"):
        Limits(**{name: value})


def test_an_error_is_a_share() -> None:
    with pytest.raises(ValueError, match="as it is a share"):
        Limits(max_error=10)


ITEM = {
    "architecture": {"space": "tiny", "id": "0", "operators": ["skip"]},
    "error": 0.1,
    "latency_ms": 1.0,
    "energy_mj": 2.0,
    "latency_source": "measured",
    "energy_source": "modelled",
}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[{", "must be JSON"),
        ("[" * 100_000, "must be JSON"),
        ("[]", "at least one point"),
        ("{}", "at least one point"),
        ("[3]", "point 1 of .* must be an object"),
        ('[{"architecture": 3}]', "point 1 of .* must be an object"),
        (json.dumps([ITEM, {**ITEM, "architecture": {"id": "0"}}]), "point 2 of .* must have the field 'space'"),
        (json.dumps([{key: ITEM[key] for key in ITEM if key != "error"}]), "must have the field 'error'"),
        (json.dumps([{**ITEM, "architecture": {**ITEM["architecture"], "id": 0}}]), "must have an id"),  # type: ignore[dict-item]
        (json.dumps([{**ITEM, "latency_ms": "fast"}]), "a number of at least 0 as 'latency_ms', but has 'fast'"),
        (json.dumps([{**ITEM, "energy_mj": float("nan")}]), "numbers must be finite, but it has NaN"),
        (json.dumps([{**ITEM, "error": -1}]), "a number of at least 0 as 'error', but has -1"),
        (json.dumps([{**ITEM, "error": True}]), "a number of at least 0 as 'error', but has True"),
        (json.dumps([{**ITEM, "error": 10**400}]), "whole numbers must be of 64 bits"),
        (json.dumps([{**ITEM, "configuration": 3}]), "must have a runtime configuration, but has 3"),
        (json.dumps([{**ITEM, "configuration": {"threads": 1}}]), "must have a runtime configuration.*lacks 'runtime'"),
        (json.dumps([{**ITEM, "configuration": {"runtime": "ort", "threads": 0}}]), "a whole number of at least 1"),
        (json.dumps([{**ITEM, "configuration": {"runtime": "tpu", "threads": 1}}]), "`runtime` must be one of ort"),
        (json.dumps([{**ITEM, "measurement": {"threads": "many"}}]), "must have a runtime configuration"),
        (json.dumps([{**ITEM, "precision": "int4"}]), "a precision of fp32, int8, but has 'int4'"),
        (json.dumps([{**ITEM, "energy_kind": "all"}]), "an energy_kind of net, gross, period, but has 'all'"),
        (json.dumps([{**ITEM, "energy_source": "guessed"}]), "measured, modelled, published, but has 'guessed'"),
    ],
)
def test_a_front_of_another_form_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    (tmp_path / "front.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_front(tmp_path)


def test_a_front_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "front.json").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ValueError, match="must be UTF-8 text"):
        read_front(tmp_path)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no folder"):
        read_front(tmp_path / "none")
    with pytest.raises(ValueError, match=r"must hold a front\.json"):
        read_front(tmp_path)
    (tmp_path / "front.json").mkdir()
    with pytest.raises(ValueError, match="a front must be a file"):
        read_front(tmp_path)


@pytest.mark.parametrize("identifier", ["../../etc", "/etc", "a\nb", "\x1b[2J", "..", "x" * 1000])
def test_a_point_names_a_folder_of_its_run_alone(tmp_path: Path, identifier: str) -> None:
    item: dict[str, Any] = {**ITEM, "architecture": {"space": "tiny", "id": identifier, "operators": ["skip"]}}
    (tmp_path / "front.json").write_text(json.dumps([item]))
    with pytest.raises(ValueError, match="must have an id") as caught:
        read_front(tmp_path)
    assert str(caught.value).isprintable()
