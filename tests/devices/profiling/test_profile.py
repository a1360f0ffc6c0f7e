"""A board on which a network is slower than its operators alone: profiles must find that out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from devices.configuration import BASE, RuntimeConfiguration
from devices.cost_tables.cost_table import CostTable, TableError
from devices.errors import MeasurementError
from devices.measurement import Conditions, Measurement, MeasureSettings
from devices.models import Model
from devices.profiling.calibration import table_error
from devices.profiling.journal import profile_path
from devices.profiling.profile import (
    ATTEMPTS,
    few_shot_profile,
    measured_network,
    profile,
    random_networks,
    remembered_profile,
)
from devices.replay import ReplayDevice
from search_space.onnx_files import random_weights, to_onnx
from search_space.spaces import space_named

SPACE = space_named("fbnet-micro")


def latency_ms(model: bytes) -> float:
    """So much for each kind of node and each weight; 30 % more where there are many convolutions."""
    graph = onnx.load_from_string(model).graph
    numbers = sum(int(np.prod(entry.dims)) for entry in graph.initializer if not entry.name.endswith("bias"))
    convolutions = sum(bool(node.op_type == "Conv") for node in graph.node)
    return (0.7 + 0.02 * convolutions + 1e-4 * numbers) * (1.3 if convolutions > 6 else 1.0)


def errors(table: CostTable, seed: int = 5) -> TableError:
    rng = np.random.default_rng(seed)
    chosen = rng.integers(len(SPACE.operators), size=(60, SPACE.num_layers)).tolist()
    truth = []
    for indices in chosen:
        graph = SPACE.graph(tuple(SPACE.operators[index] for index in indices))
        truth.append(latency_ms(to_onnx(graph, random_weights(graph, rng))))
    return table_error(np.array([table.latency_of(indices) for indices in chosen]), np.array(truth))


def test_calibration_mends_what_operators_alone_do_not_show() -> None:
    found = profile(ReplayDevice(latency_ms), SPACE)
    assert errors(found.operator_wise).mean_relative > 0.15
    assert errors(found.table).mean_relative < 0.03
    assert found.table.error is not None
    assert found.table.error.mean_relative < 0.05
    assert len(found.measurements) == len(found.networks_NL) == len(found.predicted_ms_N) == 48


def test_progress_ends_at_its_total() -> None:
    calls = []
    profile(ReplayDevice(latency_ms), SPACE, networks=4, on_progress=lambda *call: calls.append(call))
    assert calls[-1][0] == calls[-1][1]
    assert [done for done, _, _ in calls] == list(range(1, len(calls) + 1))
    assert {total for _, total, _ in calls} == {len(calls)}


def test_at_least_one_network_is_needed() -> None:
    with pytest.raises(ValueError, match="`networks >= 1` must hold, but got 0"):
        profile(ReplayDevice(latency_ms), SPACE, networks=0)


def test_networks_are_small_and_large_and_chosen_by_the_seed() -> None:
    chosen = random_networks(SPACE, 60, seed=0)
    skips = (chosen == SPACE.operators.index("skip")).sum(axis=1)
    assert skips.min() == 0
    assert skips.max() >= 5
    np.testing.assert_array_equal(chosen, random_networks(SPACE, 60, seed=0))
    assert (chosen != random_networks(SPACE, 60, seed=1)).any()


def test_a_second_profile_measures_nothing_and_a_fresh_one_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PI_PARETO_NAS_CACHE", str(tmp_path))
    calls = []

    def counted(model: bytes) -> float:
        calls.append(model)
        return latency_ms(model)

    first = remembered_profile(ReplayDevice(counted), SPACE, MeasureSettings(), networks=5)
    measured = len(calls)
    second = remembered_profile(ReplayDevice(counted), SPACE, MeasureSettings(), networks=5)
    assert len(calls) == measured
    np.testing.assert_array_equal(first.table.latency_ms, second.table.latency_ms)
    remembered_profile(ReplayDevice(counted), SPACE, MeasureSettings(), networks=7)
    assert len(calls) == measured + 4
    remembered_profile(ReplayDevice(counted), SPACE, MeasureSettings(), networks=5, fresh=True)
    assert len(calls) == 2 * measured + 4
    assert profile_path(ReplayDevice(counted).describe(), SPACE, MeasureSettings()).is_file()


class Throttling(ReplayDevice):
    """Slows down at some of its measurements."""

    def __init__(self, throttled: list[bool]) -> None:
        super().__init__(lambda model: 1.0)
        self.throttled = iter(throttled)

    def measure(self, model: Model, configuration: RuntimeConfiguration = BASE) -> Measurement:
        from dataclasses import replace

        measurement = super().measure(model, configuration)
        if next(self.throttled):
            hot = Conditions(throttled=4)
            return replace(measurement, latency_ms=0.5, after=hot, reliable=False)
        return measurement


def test_a_throttled_measurement_is_repeated_and_never_used() -> None:
    assert measured_network(Throttling([True, False]), SPACE, [0] * 8).latency_ms == 1.0
    with pytest.raises(MeasurementError, match="throttled at every attempt"):
        measured_network(Throttling([True] * ATTEMPTS), SPACE, [0] * 8)
    with pytest.raises(MeasurementError, match="throttled at every measurement of 'stem'"):
        profile(Throttling([True] * 1000), SPACE)


def test_a_few_networks_adapt_the_table_of_another_board() -> None:
    source = profile(ReplayDevice(lambda model: 3 * latency_ms(model) ** 0.9), SPACE).operator_wise
    found = few_shot_profile(ReplayDevice(latency_ms), SPACE, source=source)
    adapted = errors(found.table)
    assert errors(source).mean_relative > 0.5
    assert adapted.mean_relative < 0.1
    assert adapted.spearman is not None
    assert adapted.spearman > 0.9
    assert found.table.error is not None
    assert found.table.error.networks == len(found.measurements) == 10
    assert found.table.latency_source == "modelled"
    with pytest.raises(ValueError, match="`networks >= 3` must hold, but got 2"):
        few_shot_profile(ReplayDevice(latency_ms), SPACE, source=source, networks=2)


class Dying:
    """A board whose program is killed at the eighth measurement."""

    left = 7

    def __call__(self, model: bytes) -> float:
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        return latency_ms(model)


def test_a_profile_that_was_killed_and_run_again_is_that_of_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after each of many measurements, before it or in the middle of writing it down."""
    settings = MeasureSettings()
    rng = np.random.default_rng(0)

    def table(latency_of: Callable[[bytes], float]) -> dict[str, object]:
        board = ReplayDevice(latency_of)
        return remembered_profile(board, SPACE, settings, networks=4, passes=2).table.to_json()

    monkeypatch.setenv("PI_PARETO_NAS_CACHE", str(tmp_path / "whole"))
    expected = table(latency_ms)
    monkeypatch.setenv("PI_PARETO_NAS_CACHE", str(tmp_path / "killed"))
    path = profile_path(ReplayDevice(latency_ms).describe(), SPACE, settings)
    kills = 0
    while True:
        try:
            found = table(Dying())
            break
        except KeyboardInterrupt:
            kills += 1
            content = path.read_bytes()
            path.write_bytes(content[: len(content) - int(rng.integers(1500))])
    assert found == expected
    assert kills > 10
