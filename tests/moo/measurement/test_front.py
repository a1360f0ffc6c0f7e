from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devices.configuration import BASE, RuntimeConfiguration, configurations_of
from devices.cost_tables.cost_table import CostTable
from devices.cost_tables.family import CostTables
from devices.errors import BoardUnreachableError
from devices.measurement import model_key
from devices.replay import ReplayDevice
from moo import events
from moo.measurement.front import FrontMeasuring, corrected_tables
from moo.measurement.queue import start_measurer
from moo.storage.archive import Archive, objectives_of, reference_point_of
from moo.storage.choices import PointToMeasure, points_to_measure
from moo.storage.pareto import epsilon_front
from moo.storage.record import RunRecord, begin_record
from moo.storage.run_folder import RunFolder
from search_space.architectures import operator_indices
from search_space.onnx_files import random_weights, to_onnx
from search_space.spaces import FBNetSpace
from tests.moo.conftest import ResultOf, family_of

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
        self.space, self.table, self.tables = space, table, CostTables([table])
        self.record = begin_record(RunFolder(folder))
        self._load()
        self.measurer: Any = None
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

    def open(self, device: Any, *, patience_seconds: float = 0.0, most_between: int = 24) -> Any:
        self._load()
        self.record.use_tables(corrected_tables(self.tables, self.archive.entries, self.space))
        self.measurer = None
        if device is not None:
            self.measurer = start_measurer([device], names=["the board"], retry_seconds=(0.01, 0.02))
        return FrontMeasuring(
            self.measurer,
            self.record,
            self.space,
            self.tables,
            self.seen.append,
            patience_seconds=patience_seconds,
            most_between=most_between,
        )

    def _load(self) -> None:
        point = (1.0, self.table.slowest_ms(), self.table.highest_mj())
        self.archive = self.record.load_archive(Archive(point), self.space)

    def close(self) -> None:
        if self.measurer is not None:
            self.measurer.close()

    def indices_of(self, identifiers: Any) -> Any:
        return [operator_indices(self.space, self.archive[identifier].architecture) for identifier in identifiers]

    @property
    def front(self) -> Any:
        return [point.id for point in self.archive.front()]

    @property
    def corrected(self) -> Any:
        """The table that predicts by now."""
        return self.archive.tables.base

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
    assert setting.corrected is table
    assert measuring.drain() is False
    assert measuring.collect() is False
    assert setting.corrected is table
    entry = setting.archive.entries[0]
    assert setting.archive.searched_costs(entry).latency_ms == entry.predicted_latency_ms


def test_without_a_board_nothing_is_requested(setting: Any, table: CostTable) -> None:
    measuring = setting.open(None)
    measuring.front_changed()
    measuring.between_generations("generation 1")
    assert measuring.measure_files(setting.archive.front(), lambda point: b"") is False
    assert (measuring.drain(), measuring.collect()) == (False, False)
    assert setting.corrected is table
    assert (setting.seen, setting.record.store.events()) == ([], [])


def test_measured_networks_correct_the_predictions_of_all_others(setting: Any, device: Any, table: CostTable) -> None:
    measuring = setting.open(device)
    measuring.between_generations("generation 1")
    unmeasured = [entry for entry in setting.archive.entries if not entry.measurements]
    assert 0 < len(unmeasured) < len(EVERYTHING) - 2
    assert setting.corrected is not table
    assert setting.corrected.error.networks == len(device.measured)
    for entry in unmeasured:
        costs = setting.archive.searched_costs(entry)
        assert costs.latency_ms == pytest.approx(FACTOR * entry.predicted_latency_ms, rel=0.15)
        assert costs.latency_source == "modelled"
    assert (
        np.mean([setting.archive.searched_costs(entry).latency_ms / entry.predicted_latency_ms for entry in unmeasured])
        > 1.8
    )
    for entry in setting.archive.entries:
        for measurement in entry.measurements:
            assert setting.archive.searched_costs(entry).latency_ms == measurement.latency_ms


def test_a_resumed_run_has_the_same_corrections(setting: Any, device: Any) -> None:
    measuring = setting.open(device)
    measuring.between_generations("generation 1")
    before = setting.corrected
    setting.open(device)
    assert setting.corrected is not before
    np.testing.assert_array_equal(setting.corrected.latency_ms, before.latency_ms)
    np.testing.assert_array_equal(setting.corrected.energy_mj, before.energy_mj)


def test_a_network_is_requested_once(setting: Any, device: Any) -> None:
    measuring = setting.open(device)
    measuring._request_front_at("generation 1")
    waiting = setting.measurer.waiting
    assert waiting == len(setting.front)
    measuring._request_front_at("generation 1")
    measuring._request_front_at("generation 2")
    assert points_to_measure(setting.record.store)["generation 2"] == []
    assert setting.measurer.waiting == waiting
    measuring.drain()
    assert len(device.measured) == len(set(device.measured)) == waiting


def test_what_was_chosen_at_a_stage_is_kept_before_it_is_measured(setting: Any, device: Any) -> None:
    measuring = setting.open(device)
    chosen = setting.front
    measuring._request_front_at("generation 1")
    assert device.measured == []
    assert points_to_measure(setting.record.store) == {"generation 1": [(name, BASE) for name in chosen]}


def test_of_a_large_front_the_few_that_stand_for_it_are_measured_between_generations(setting: Any, device: Any) -> None:
    measuring = setting.open(device, most_between=4)
    front = setting.archive.front()
    assert len(front) > 4
    few = [front[place].id for place in epsilon_front(objectives_of(front), 4)]
    measuring.between_generations("generation 1")
    assert device.measured == setting.indices_of(few)
    assert len(few) <= 4


def test_a_resumed_run_measures_the_rest_of_what_was_chosen_though_the_front_is_another_now(
    setting: Any, device: Any
) -> None:
    measuring = setting.open(device)
    measuring._request_front_at("generation 1")
    chosen = setting.front
    first = setting.measurer.drain()
    for _ in range(2):
        report = next(first)
        setting.record.add_measurement(report.network, report.measurement)
    device.measured.clear()

    measuring = setting.open(device)
    measuring.between_generations("generation 1")
    assert device.measured == setting.indices_of(chosen[2:])
    assert points_to_measure(setting.record.store) == {"generation 1": [(name, BASE) for name in chosen]}


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
        ("measuring", number, len(front)) for number in range(len(front) + 1)
    ]


def test_a_failed_measurement_is_an_event_and_leaves_the_prediction(
    setting: Any, device: Any, table: CostTable
) -> None:
    measuring = setting.open(device)
    front = setting.front
    device.fails = {setting.indices_of(front)[0]}
    measuring.between_generations("generation 1")
    ((kind, content),) = setting.kinds("measuring failed")
    assert (kind, content["architecture"]) == ("measuring failed", front[0])
    assert "out of memory" in content["reason"]
    (event,) = [event for event in setting.seen if isinstance(event, events.MeasuringFailed)]
    assert (event.network, event.reason) == (front[0], content["reason"])
    assert setting.archive.searched_costs(setting.archive[front[0]]).latency_source == "modelled"
    assert content["configuration"] == "ort 1t fp32"
    assert setting.archive[front[0]].measurements == ()
    assert all(setting.archive[identifier].measurements for identifier in front[1:])
    measuring.between_generations("generation 2")
    assert (front[0], BASE) not in points_to_measure(setting.record.store)["generation 2"]


def test_if_every_measurement_fails_the_table_stays_as_it_is(setting: Any, device: Any, table: CostTable) -> None:
    device.fails = set(EVERYTHING)
    measuring = setting.open(device)
    measuring._request_front_at("generation 1")
    assert measuring.drain() is True
    assert setting.corrected is table


def test_the_files_that_are_handed_out_are_measured_though_they_were_before(setting: Any, device: Any) -> None:
    measuring = setting.open(device)
    measuring.between_generations("generation 1")
    device.measured.clear()
    chosen = [(point.id, point.configuration) for point in setting.archive.front()[:2]]
    made = []

    def file_of(point: PointToMeasure) -> Any:
        made.append(point)
        return model_of(setting.space, setting.indices_of([point[0]])[0])

    assert measuring.measure_files(chosen, file_of) is True
    assert made == chosen
    assert device.measured == setting.indices_of([identifier for identifier, _ in chosen])


def test_a_file_that_was_measured_is_not_measured_again_unless_it_is_another(setting: Any, device: Any) -> None:
    chosen = [(point.id, point.configuration) for point in setting.archive.front()[:3]]
    whole, other = (setting.indices_of([identifier])[0] for identifier, _ in chosen[1:])

    def file_of(point: PointToMeasure) -> Any:
        return model_of(setting.space, setting.indices_of([point[0]])[0])

    setting.open(device).measure_files(chosen[:2], file_of)
    device.measured.clear()
    resumed = setting.open(device)
    assert resumed.measure_files(chosen, file_of) is True
    assert device.measured == [other]
    device.measured.clear()
    assert resumed.measure_files(chosen, file_of) is False
    assert resumed.measure_files(chosen[:1], lambda point: model_of(setting.space, whole)) is True
    assert device.measured == [whole]


def test_a_later_measurement_takes_the_place_of_an_earlier_one(
    setting: Any, device: Any, space: FBNetSpace, table: CostTable
) -> None:
    measuring = setting.open(device)
    measuring.between_generations("generation 1")
    identifier = setting.front[0]
    (indices,) = setting.indices_of([identifier])
    device._factor = 3.0
    measuring.measure_files([(identifier, BASE)], lambda point: model_of(space, indices))
    (measurement,) = setting.archive[identifier].measurements
    assert measurement.latency_ms == pytest.approx(3 * table.latency_of(indices))
    copy = setting.record.store.fill(Archive(setting.archive.reference_point), space)
    assert copy.entries == setting.archive.entries


def test_a_board_of_its_own_measures_beside_the_search(setting: Any, space: FBNetSpace, table: CostTable) -> None:
    device = TableDevice(space, table, shares_host=False)
    measuring = setting.open(device, patience_seconds=20)
    front = setting.front
    measuring.front_changed()
    measuring.front_changed()
    while setting.measurer.waiting:
        pass
    assert not any(entry.measurements for entry in setting.archive.entries)
    assert measuring.collect() is True
    assert device.measured == setting.indices_of(front)
    assert all(setting.archive[identifier].measurements for identifier in front)
    assert setting.corrected is not table
    assert measuring.collect() is False


def test_a_board_that_goes_away_and_returns_is_announced_and_recorded(
    setting: Any, space: FBNetSpace, table: CostTable
) -> None:
    device = TableDevice(space, table, shares_host=False)
    device.away = True
    measuring = setting.open(device, patience_seconds=0.0)
    measuring.front_changed()
    front = setting.front
    assert measuring.drain() is False
    assert setting.corrected is table
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
    assert all(setting.archive[identifier].measurements for identifier in front)


def test_what_a_board_measured_before_a_bug_raised_is_kept(setting: Any, space: FBNetSpace, table: CostTable) -> None:
    device = TableDevice(space, table, shares_host=False)
    measuring = setting.open(device)
    first, other = [(point.id, point.configuration) for point in setting.archive.front()[:2]]
    (indices,) = setting.indices_of([first[0]])

    def file_of(point: PointToMeasure) -> bytes:
        if point == other:
            raise RuntimeError("no such weight")
        model: bytes = model_of(space, indices)
        return model

    with pytest.raises(RuntimeError, match="no such weight"):
        measuring.measure_files((first, other), file_of)
    assert setting.archive[first[0]].measurements


SEVERAL = configurations_of(threads=(1, 2), precisions=("fp32", "int8"))


class FamilyDevice(ReplayDevice):
    """A board that is slower than tables by a factor of each configuration; notes what it measured in which."""

    def __init__(self, space: FBNetSpace, tables: CostTables, factors: Any) -> None:
        self.networks = {model_key(model_of(space, indices)): indices for indices in EVERYTHING}
        self.measured: list[Any] = []
        self._tables, self._factors = tables, factors
        super().__init__(self._latency, shares_host=True)

    def _latency(self, model: bytes, configuration: RuntimeConfiguration) -> float:
        indices = self.networks[model_key(model)]
        self.measured.append((indices, configuration))
        return float(self._factors[configuration] * self._tables[configuration].latency_of(indices))


class TestSeveralConfigurations:
    """A run of one and two threads, in fp32 and int8."""

    @pytest.fixture
    def tables(self, table: CostTable) -> CostTables:
        return family_of(table, SEVERAL)

    @pytest.fixture
    def board(self, space: FBNetSpace, tables: CostTables) -> FamilyDevice:
        return FamilyDevice(space, tables, dict(zip(SEVERAL, (2.0, 3.0, 1.5, 1.0), strict=True)))

    @pytest.fixture
    def record(self, setting: Any, tables: CostTables, space: FBNetSpace) -> RunRecord:
        record: RunRecord = setting.record
        empty = Archive(reference_point_of(tables, 0.75), configurations=SEVERAL)
        archive = record.load_archive(empty, space)
        record.use_tables(tables)
        for entry in archive.entries[::2]:
            record.set_quantized_error(entry.architecture.id, entry.error + 0.01)
        return record

    @pytest.fixture
    def measuring(
        self, setting: Any, record: RunRecord, board: FamilyDevice, tables: CostTables
    ) -> Iterator[FrontMeasuring]:
        measurer = start_measurer([board])
        yield FrontMeasuring(
            measurer, record, setting.space, tables, setting.seen.append, patience_seconds=0, most_between=12
        )
        measurer.close()

    def test_points_of_the_front_are_measured_each_in_its_configuration(
        self, record: RunRecord, measuring: FrontMeasuring, board: FamilyDevice, space: FBNetSpace
    ) -> None:
        front = record.archive.front()
        few = [front[place] for place in epsilon_front(objectives_of(front), 12)]
        assert len({point.configuration for point in few}) >= 3
        measuring.between_generations("generation 1")
        expected = [(operator_indices(space, point.entry.architecture), point.configuration) for point in few]
        assert board.measured == expected
        chosen = points_to_measure(record.store)["generation 1"]
        assert chosen == [(point.id, point.configuration) for point in few]
        for identifier, configuration in chosen:
            measurement = record.archive[identifier].measured_in(configuration)
            assert measurement is not None
            assert measurement.configuration == configuration

    def test_each_table_is_corrected_by_what_was_measured_in_its_configuration(
        self, record: RunRecord, measuring: FrontMeasuring, board: FamilyDevice, tables: CostTables
    ) -> None:
        measuring.between_generations("generation 1")
        corrected = record.archive.tables
        assert corrected is not None
        assert corrected.configurations == SEVERAL
        counts = {one: sum(configuration == one for _, configuration in board.measured) for one in SEVERAL}
        for one in SEVERAL:
            error = corrected[one].error
            assert (0 if error is None else error.networks) == counts[one]
            if counts[one] >= 3:
                ratio = np.mean([corrected[one].latency_of(i) / tables[one].latency_of(i) for i in EVERYTHING])
                assert ratio == pytest.approx(board._factors[one], rel=0.1)
            if not counts[one]:
                assert corrected[one] is tables[one]
        assert max(counts.values()) >= 3

    def test_files_are_measured_in_the_configurations_of_their_points(
        self, record: RunRecord, measuring: FrontMeasuring, board: FamilyDevice, space: FBNetSpace
    ) -> None:
        points = [(point.id, point.configuration) for point in record.archive.front()[:5]]
        asked = []

        def file_of(point: PointToMeasure) -> bytes:
            asked.append(point)
            model: bytes = model_of(space, operator_indices(space, record.archive[point[0]].architecture))
            return model

        assert measuring.measure_files(points, file_of)
        assert asked == points
        assert [configuration for _, configuration in board.measured] == [configuration for _, configuration in points]
        for identifier, configuration in points:
            assert record.archive[identifier].measured_in(configuration) is not None
