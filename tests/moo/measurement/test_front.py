from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devices.cost_tables.cost_table import CostTable
from devices.errors import BoardUnreachableError
from devices.measurement import model_key
from devices.replay import ReplayDevice
from moo import events
from moo.measurement.front import FrontMeasuring, corrected_table
from moo.measurement.queue import start_measurer
from moo.storage.record import open_record
from moo.storage.run_folder import RunFolder
from search_space.architectures import operator_indices
from search_space.onnx_files import random_weights, to_onnx
from search_space.spaces import FBNetSpace
from tests.moo.conftest import ResultOf

EVERYTHING = list(product(range(3), repeat=3))
FACTOR = 2.0
"""How much slower the board is than the table says."""


def model_of(space: FBNetSpace, indices: Any) -> Any:
    graph = space.graph(tuple(space.operators[index] for index in indices))
    return to_onnx(graph, random_weights(graph, np.random.default_rng(0)))


class TableDevice(ReplayDevice):
    """A board that is slower than a table by a factor; notes which networks it measured."""

    def __init__(self, space: FBNetSpace, table: CostTable, *, factor: Any = FACTOR, shares_host: bool = True) -> None:
        self.networks = {model_key(model_of(space, indices)): indices for indices in EVERYTHING}
        self.measured: list[Any] = []
        self.fails: set[Any] = set()
        self.away = False
        self._table, self._factor = table, factor
        super().__init__(self._latency, shares_host=shares_host)

    def _latency(self, model: Any) -> Any:
        if self.away:
            raise BoardUnreachableError("no route to host")
        indices = self.networks[model_key(model)]
        self.measured.append(indices)
        if indices in self.fails:
            raise KeyError("out of memory")
        return self._factor * self._table.latency_of(indices)


class Setting:
    """A store, an archive with all 27 networks, and boards; `open` makes what is tested, as a resumed run would."""

    def __init__(self, folder: Any, space: FBNetSpace, table: CostTable, result_of: ResultOf) -> None:
        self.space, self.table = space, table
        self.record = open_record(RunFolder(folder))
        self._load()
        self.seen: list[Any] = []
        costs = {indices: (table.latency_of(indices), table.energy_of(indices)) for indices in EVERYTHING}
        for number in range(9):
            result = result_of(number, *EVERYTHING[3 * number : 3 * number + 3])
            architectures = tuple(
                replace(
                    item,
                    error=1 - sum(item.indices[:2]) / 5,
                    latency_ms=costs[item.indices][0],
                    energy_mj=costs[item.indices][1],
                )
                for item in result.architectures
            )
            self.record.add_result(replace(result, architectures=architectures, chosen=0), space)

    def open(self, device: Any, *, patience_seconds: float = 0.0) -> Any:
        self._load()
        self.record.use_table(corrected_table(self.table, self.archive.entries, self.space))
        self.measurer = None
        if device is not None:
            self.measurer = start_measurer([device], names=["the board"], retry_seconds=(0.01, 0.02))
        return FrontMeasuring(
            self.measurer,
            self.record,
            self.space,
            self.table,
            self.seen.append,
            patience_seconds=patience_seconds,
        )

    def _load(self) -> None:
        point = (1.0, self.table.slowest_ms(), self.table.highest_mj())
        self.archive = self.record.load_archive(self.space, point, precision="fp32")

    def close(self) -> None:
        if self.measurer is not None:
            self.measurer.close()

    def indices_of(self, identifiers: Any) -> Any:
        return [operator_indices(self.space, self.archive[identifier].architecture) for identifier in identifiers]

    @property
    def front(self) -> Any:
        return [entry.architecture.id for entry in self.archive.front()]

    def kinds(self, *names: Any) -> Any:
        return [(kind, content) for _, kind, content in self.record.store.events() if kind in names]


@pytest.fixture
def setting(tmp_path: Path, space: FBNetSpace, table: CostTable, result_of: ResultOf) -> Iterator[Any]:
    setting = Setting(tmp_path, space, table, result_of)
    yield setting
    setting.close()
    setting.record.close()


@pytest.fixture
def device(space: FBNetSpace, table: CostTable) -> Any:
    return TableDevice(space, table)


def test_different_networks_have_different_models(device: Any) -> None:
    assert len(device.networks) == len(EVERYTHING)


def test_with_nothing_measured_the_table_stays_as_it_is(setting: Any, device: Any, table: CostTable) -> None:
    measuring = setting.open(device)
    assert setting.archive.table is table
    assert measuring.drain() is False
    assert measuring.collect() is False
    assert setting.archive.table is table
    entry = setting.archive.entries[0]
    assert setting.archive.costs(entry).latency_ms == entry.predicted_latency_ms


def test_without_a_board_nothing_is_requested(setting: Any, table: CostTable) -> None:
    measuring = setting.open(None)
    assert measuring.request_front_at("end 1") is False
    measuring.front_changed()
    measuring.between_generations("generation 1")
    measuring.measure_files([("none", lambda: b"")])
    assert (measuring.drain(), measuring.collect()) == (False, False)
    assert setting.archive.table is table
    assert (setting.seen, setting.record.store.events()) == ([], [])


def test_measured_networks_correct_the_predictions_of_all_others(setting: Any, device: Any, table: CostTable) -> None:
    measuring = setting.open(device)
    assert measuring.request_front_at("end 1")
    assert measuring.drain()
    unmeasured = [entry for entry in setting.archive.entries if entry.measurement is None]
    assert 0 < len(unmeasured) < len(EVERYTHING) - 2
    assert setting.archive.table is not table
    assert setting.archive.table.error.networks == len(device.measured)
    for entry in unmeasured:
        costs = setting.archive.costs(entry)
        assert costs.latency_ms == pytest.approx(FACTOR * entry.predicted_latency_ms, rel=0.15)
        assert costs.latency_source == "modelled"
    assert np.mean([setting.archive.costs(entry).latency_ms / entry.predicted_latency_ms for entry in unmeasured]) > 1.8
    for entry in setting.archive.entries:
        if entry.measurement is not None:
            assert setting.archive.costs(entry).latency_ms == entry.measurement.latency_ms


def test_a_resumed_run_has_the_same_corrections(setting: Any, device: Any) -> None:
    measuring = setting.open(device)
    measuring.request_front_at("end 1")
    measuring.drain()
    before = setting.archive.table
    setting.open(device)
    assert setting.archive.table is not before
    np.testing.assert_array_equal(setting.archive.table.latency_ms, before.latency_ms)
    np.testing.assert_array_equal(setting.archive.table.energy_mj, before.energy_mj)


def test_a_network_is_requested_once(setting: Any, device: Any) -> None:
    measuring = setting.open(device)
    measuring.request_front_at("end 1")
    waiting = setting.measurer.waiting
    assert waiting == len(setting.front)
    measuring.request_front_at("end 1")
    assert measuring.request_front_at("end 2") is False
    assert setting.measurer.waiting == waiting
    measuring.drain()
    assert len(device.measured) == len(set(device.measured)) == waiting


def test_what_was_chosen_at_a_stage_is_kept_before_it_is_measured(setting: Any, device: Any) -> None:
    measuring = setting.open(device)
    chosen = setting.front
    measuring.request_front_at("generation 1")
    assert device.measured == []
    assert setting.record.store.networks_to_measure() == {"generation 1": chosen}


def test_a_resumed_run_measures_the_rest_of_what_was_chosen_though_the_front_is_another_now(
    setting: Any, device: Any
) -> None:
    measuring = setting.open(device)
    measuring.request_front_at("generation 1")
    chosen = setting.front
    first = setting.measurer.drain()
    for _ in range(2):
        report = next(first)
        setting.record.add_measurement(report.network, report.measurement)
    device.measured.clear()

    measuring = setting.open(device)
    measuring.between_generations("generation 1")
    assert device.measured == setting.indices_of(chosen[2:])
    assert setting.record.store.networks_to_measure() == {"generation 1": chosen}


def test_this_machine_measures_between_generations_only(setting: Any, device: Any) -> None:
    measuring = setting.open(device)
    measuring.front_changed()
    assert measuring.collect() is False
    assert (device.measured, setting.measurer.waiting) == ([], 0)
    front = setting.indices_of(setting.front)
    measuring.between_generations("generation 1")
    assert device.measured == front
    stages = [event for event in setting.seen if isinstance(event, events.StageProgress)]
    assert [(event.stage, event.done, event.total) for event in stages] == [
        ("measuring", number + 1, len(front)) for number in range(len(front))
    ]


def test_a_failed_measurement_is_an_event_and_leaves_the_prediction(
    setting: Any, device: Any, table: CostTable
) -> None:
    measuring = setting.open(device)
    front = setting.front
    device.fails = {setting.indices_of(front)[0]}
    measuring.request_front_at("end 1")
    measuring.drain()
    ((kind, content),) = setting.kinds("measuring failed")
    assert (kind, content["architecture"]) == ("measuring failed", front[0])
    assert "out of memory" in content["reason"]
    (event,) = [event for event in setting.seen if isinstance(event, events.MeasuringFailed)]
    assert (event.network, event.reason) == (front[0], content["reason"])
    assert setting.archive.costs(setting.archive[front[0]]).latency_source == "modelled"
    assert setting.archive[front[0]].measurement is None
    assert all(setting.archive[identifier].measurement is not None for identifier in front[1:])
    measuring.request_front_at("end 2")
    assert front[0] not in setting.record.store.networks_to_measure()["end 2"]


def test_if_every_measurement_fails_the_table_stays_as_it_is(setting: Any, device: Any, table: CostTable) -> None:
    device.fails = set(EVERYTHING)
    measuring = setting.open(device)
    measuring.request_front_at("end 1")
    assert measuring.drain() is True
    assert setting.archive.table is table


def test_the_files_that_are_handed_out_are_measured_though_they_were_before(setting: Any, device: Any) -> None:
    measuring = setting.open(device)
    measuring.request_front_at("end 1")
    measuring.drain()
    device.measured.clear()
    chosen = setting.front[:2]
    made = []

    def file_of(identifier: Any) -> Any:
        def make() -> Any:
            made.append(identifier)
            return model_of(setting.space, setting.indices_of([identifier])[0])

        return identifier, make

    measuring.measure_files(file_of(identifier) for identifier in chosen)
    assert made == chosen
    assert device.measured == setting.indices_of(chosen)


def test_a_later_measurement_takes_the_place_of_an_earlier_one(
    setting: Any, device: Any, space: FBNetSpace, table: CostTable
) -> None:
    measuring = setting.open(device)
    measuring.request_front_at("end 1")
    measuring.drain()
    identifier = setting.front[0]
    (indices,) = setting.indices_of([identifier])
    device._factor = 3.0
    measuring.measure_files([(identifier, lambda: model_of(space, indices))])
    assert setting.archive[identifier].measurement.latency_ms == pytest.approx(3 * table.latency_of(indices))
    copy = setting.record.store.archive(space, setting.archive.reference_point)
    assert copy.entries == setting.archive.entries


def test_a_board_of_its_own_measures_beside_the_search(setting: Any, space: FBNetSpace, table: CostTable) -> None:
    device = TableDevice(space, table, shares_host=False)
    measuring = setting.open(device, patience_seconds=20)
    front = setting.front
    measuring.front_changed()
    measuring.front_changed()
    while setting.measurer.waiting:
        pass
    assert all(entry.measurement is None for entry in setting.archive.entries)
    assert measuring.collect() is True
    assert device.measured == setting.indices_of(front)
    assert all(setting.archive[identifier].measurement is not None for identifier in front)
    assert setting.archive.table is not table
    assert measuring.collect() is False


def test_a_board_that_goes_away_and_returns_is_announced_and_recorded(
    setting: Any, space: FBNetSpace, table: CostTable
) -> None:
    device = TableDevice(space, table, shares_host=False)
    device.away = True
    measuring = setting.open(device, patience_seconds=0.0)
    measuring.request_front_at("end 1")
    front = setting.front
    assert measuring.drain() is False
    assert setting.archive.table is table
    assert [event for event in setting.seen if isinstance(event, events.BoardUnreachable | events.BoardBack)] == [
        events.BoardUnreachable("the board", "no route to host")
    ]
    assert setting.kinds("board unreachable", "board back") == [
        ("board unreachable", {"board": "the board", "reason": "no route to host"})
    ]
    assert setting.measurer.waiting == len(front)
    device.away = False
    while setting.measurer.waiting:
        pass
    assert measuring.drain() is True
    assert [kind for kind, _ in setting.kinds("board unreachable", "board back")] == ["board unreachable", "board back"]
    assert all(setting.archive[identifier].measurement is not None for identifier in front)


def test_what_a_board_measured_before_a_bug_raised_is_kept(setting: Any, space: FBNetSpace, table: CostTable) -> None:
    device = TableDevice(space, table, shares_host=False)
    measuring = setting.open(device)
    first = setting.front[0]

    def broken() -> None:
        raise RuntimeError("no such weight")

    (indices,) = setting.indices_of([first])
    with pytest.raises(RuntimeError, match="no such weight"):
        measuring.measure_files([(first, lambda: model_of(space, indices)), ("other", broken)])
    assert setting.archive[first].measurement is not None
