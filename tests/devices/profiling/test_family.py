"""A board whose operators scale in their own ways with threads, clock and precision; its clock law is known."""

import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest

from devices.configuration import BASE, RuntimeConfiguration, configurations_of
from devices.cost_tables.cost_table import CostTable
from devices.cost_tables.family import CostTables, read_cost_tables
from devices.energy.power_model import RASPBERRY_PI_4, RASPBERRY_PI_5
from devices.errors import MeasurementError
from devices.measurement import Board, Measurement, MeasureSettings
from devices.models import Model
from devices.profiling.family import (
    FamilyProfile,
    measurements_left,
    number_of_measurements,
    profile_family,
    remembered_family,
)
from devices.profiling.family_plan import LAW_NETWORKS, LAW_NETWORKS_OF_OTHERS
from devices.profiling.profile import FEW, few_shot_profile, profile
from devices.replay import ReplayDevice
from search_space.onnx_files import random_weights, to_onnx
from search_space.spaces import space_named

SPACE = space_named("fbnet-micro")
CLOCKS = (1500, 1000, 600)
EVERYTHING = configurations_of((1, 4), CLOCKS, ("fp32", "int8"))
SHARES = {(1, "fp32"): 0.76, (1, "int8"): 0.86, (4, "fp32"): 0.55, (4, "int8"): 0.7}
"""The coefficient of the clock law, by threads and precision."""
UNSEEN = np.random.default_rng(99).integers(len(SPACE.operators), size=(30, SPACE.num_layers)).tolist()


def latency_ms(model: bytes, configuration: RuntimeConfiguration = BASE) -> float:
    """Weights gain from threads and from int8, convolutions do not; the clock acts alike on all."""
    graph = onnx.load_from_string(model).graph
    numbers = sum(int(np.prod(entry.dims)) for entry in graph.initializer if not entry.name.endswith("bias"))
    convolutions = sum(bool(node.op_type == "Conv") for node in graph.node)
    gain = math.pow(configuration.threads, 0.8) * (2.5 if configuration.precision == "int8" else 1.0)
    share = SHARES[configuration.threads, configuration.precision]
    slower = share * CLOCKS[0] / (configuration.frequency_mhz or CLOCKS[0]) + 1 - share
    return (0.7 + 0.02 * convolutions + 1e-4 * numbers / gain) * slower


def board_of() -> ReplayDevice:
    return ReplayDevice(latency_ms, cores=4, frequencies_mhz=(600, 1000, 1500), power_model=RASPBERRY_PI_4)


@pytest.fixture(scope="module")
def family() -> FamilyProfile:
    return profile_family(board_of(), SPACE, EVERYTHING, passes=1)


def truth_ms(configuration: RuntimeConfiguration) -> list[float]:
    graphs = [SPACE.graph(tuple(SPACE.operators[index] for index in indices)) for indices in UNSEEN]
    rng = np.random.default_rng(0)
    return [latency_ms(to_onnx(graph, random_weights(graph, rng)), configuration) for graph in graphs]


def error_of(table: CostTable) -> float:
    predicted = np.array([table.latency_of(indices) for indices in UNSEEN])
    return float(np.abs(predicted / truth_ms(table.configuration) - 1).mean())


def test_there_is_a_table_for_each_configuration_the_base_first(family: FamilyProfile) -> None:
    assert family.tables.configurations == EVERYTHING
    assert family.tables.base.to_json() == family.base.table.to_json()
    assert family.base.table.configuration == RuntimeConfiguration(frequency_mhz=1500)


def test_the_base_is_what_a_profile_alone_gives(family: FamilyProfile) -> None:
    alone = profile(board_of(), SPACE, configuration=EVERYTHING[0], passes=1)
    assert family.base.table.to_json() == alone.table.to_json()


def test_the_coefficient_of_each_law_comes_back_within_a_percent(family: FamilyProfile) -> None:
    laws = [member for member in family.members if member.law is not None]
    assert len(laws) == 8
    for member in laws:
        assert member.law is not None
        expected = SHARES[member.configuration.threads, member.configuration.precision]
        assert member.law.share == pytest.approx(expected, rel=0.01)
        assert member.law.top_mhz == 1500


@pytest.mark.parametrize("configuration", EVERYTHING, ids=lambda item: item.label)
def test_unseen_networks_are_predicted_in_each_configuration(
    family: FamilyProfile, configuration: RuntimeConfiguration
) -> None:
    table = family.tables[configuration]
    assert error_of(table) < 0.03
    assert table.error is not None
    assert error_of(table) < 2 * table.error.mean_relative + 0.005
    assert table.error.mean_relative < 0.06


def test_networks_are_measured_where_the_plan_says(family: FamilyProfile) -> None:
    for member in family.members:
        configuration, count = member.configuration, len(member.measurements)
        first = (configuration.threads, configuration.precision) == (1, "fp32")
        expected = {
            1500: 48 if first else FEW,
            1000: 0,
            600: LAW_NETWORKS if first else LAW_NETWORKS_OF_OTHERS,
        }
        assert configuration.frequency_mhz is not None
        assert count == expected[configuration.frequency_mhz]
        assert len(member.networks_NL) == len(member.predicted_ms_N) == count
        assert all(measurement.configuration == configuration for measurement in member.measurements)
    total = sum(len(member.measurements) for member in family.members[1:])
    assert total == 3 * FEW + LAW_NETWORKS + 3 * LAW_NETWORKS_OF_OTHERS


def test_left_out_networks_are_predicted_at_the_lowest_clock(family: FamilyProfile) -> None:
    for member in family.members:
        measured = np.array([measurement.latency_ms for measurement in member.measurements])
        if len(measured):
            assert np.abs(member.predicted_ms_N / measured - 1).mean() < 0.08


def test_each_table_says_how_it_came_about(family: FamilyProfile) -> None:
    methods = {member.configuration.label: member.table.method for member in family.members}
    assert methods["ort 1t 1500MHz fp32"].startswith("operator-wise")
    assert methods["ort 4t 1500MHz int8"].startswith(
        "adapted from the table of ort 1t 1500MHz fp32 by 10 networks measured in this configuration; energy: "
    )
    assert "the table of ort 4t 1500MHz int8 by the clock law" in methods["ort 4t 600MHz int8"]
    assert "from 3 networks at 600 MHz, drawn towards 0.76" in methods["ort 4t 600MHz int8"]
    assert "from 10 networks at 600 MHz" in methods["ort 1t 600MHz fp32"]
    assert methods["ort 1t 1000MHz fp32"].endswith("; nothing was measured at 1000 MHz")
    for member in family.members[1:]:
        assert (member.table.latency_source, member.table.energy_source) == ("modelled", "modelled")
        assert member.table.board == family.base.table.board


def test_energy_is_power_of_the_configuration_times_latency(family: FamilyProfile) -> None:
    for table in family.tables:
        power_w = RASPBERRY_PI_4.net_w(table.configuration)
        for indices in UNSEEN[:5]:
            # The base's energies are calibrated on their own.
            near = 0.02 if table.threads == 1 and table.precision == "fp32" else 1e-6
            assert table.energy_of(indices) == pytest.approx(power_w * table.latency_of(indices), rel=near)
        assert table.idle_w == RASPBERRY_PI_4.idle_w


@pytest.mark.thorough
def test_all_tables_have_one_idle_power() -> None:
    class Warming(ReplayDevice):
        """Its idle power is another one at each measurement, or not known at all."""

        known = True
        asked = 0

        def measure(self, model: Model, configuration: RuntimeConfiguration = BASE) -> Measurement:
            self.asked += 1
            idle_w = 2.0 + 0.01 * self.asked if self.known else None
            return replace(super().measure(model, configuration), idle_w=idle_w)

    for known, expected in ((True, 2.01), (False, RASPBERRY_PI_4.idle_w)):
        board = Warming(latency_ms)
        board.known = known
        found = profile_family(board, SPACE, EVERYTHING, passes=1, networks=4)
        assert {table.idle_w for table in found.tables} == {expected}


def test_power_between_two_clocks_is_the_models_corrected_by_what_both_measured() -> None:
    """The board follows one model, and another is given: both ends are the board's, the middle is near it."""
    board = ReplayDevice(latency_ms, power_model=RASPBERRY_PI_4)
    found = profile_family(
        board, SPACE, configurations_of((1,), CLOCKS), passes=1, networks=12, power_model=RASPBERRY_PI_5
    )
    for table, near in zip(found.tables, (0.02, 0.2, 0.02), strict=True):
        power_w = table.energy_of(UNSEEN[0]) / table.latency_of(UNSEEN[0])
        assert power_w == pytest.approx(RASPBERRY_PI_4.net_w(table.configuration), rel=near)


class Metered:
    """A replay board with a meter."""

    shares_host, metered = False, True

    def __init__(self, board: ReplayDevice) -> None:
        self._board = board

    def describe(self) -> Board:
        return self._board.describe()

    def close(self) -> None:
        """Nothing to free."""

    def measure(self, model: Model, configuration: RuntimeConfiguration = BASE) -> Measurement:
        return replace(self._board.measure(model, configuration), energy_source="measured", meter="ina219")


def test_a_meter_fits_the_boards_power_model() -> None:
    """A board that takes other watts than its model, and whose meter tells so."""
    watts = replace(RASPBERRY_PI_4, idle_w=3.3, shared_w=0.7, thread_w=0.8)
    board = ReplayDevice(latency_ms, cores=4, power_model=watts)
    asked = configurations_of((1, 4), CLOCKS)
    found = profile_family(Metered(board), SPACE, asked, passes=1, networks=12, power_model=RASPBERRY_PI_4)
    for configuration in asked:
        assert found.power_model.net_w(configuration) == pytest.approx(watts.net_w(configuration), rel=0.01)
    assert found.power_model.idle_w == 3.3
    assert "metered on replay" in found.power_model.description
    modelled = profile_family(board, SPACE, asked, passes=1, networks=12, power_model=RASPBERRY_PI_4)
    assert modelled.power_model is RASPBERRY_PI_4


def test_progress_counts_everything_and_names_the_configuration() -> None:
    calls: list[tuple[int, int, str]] = []
    profile_family(board_of(), SPACE, EVERYTHING, passes=2, networks=4, on_progress=lambda *call: calls.append(call))
    total = number_of_measurements(SPACE, EVERYTHING, passes=2, networks=4)
    assert [done for done, _, _ in calls] == list(range(1, total + 1))
    assert {all_of_them for _, all_of_them, _ in calls} == {total}
    assert calls[0][2] == "ort 1t 1500MHz fp32: stem"
    assert calls[-1][2] == "ort 4t 600MHz int8: network 3"


def test_one_configuration_is_just_a_profile() -> None:
    found = profile_family(board_of(), SPACE, [BASE], passes=1, networks=4)
    assert found.tables.configurations == (BASE,)
    assert found.tables.base.to_json() == profile(board_of(), SPACE, passes=1, networks=4).table.to_json()


def test_without_a_clock_there_is_no_law() -> None:
    found = profile_family(board_of(), SPACE, configurations_of((1, 4), (None,), ("fp32", "int8")), passes=1)
    assert all(member.law is None for member in found.members)
    assert [len(member.measurements) for member in found.members] == [48, FEW, FEW, FEW]
    assert max(error_of(table) for table in found.tables) < 0.03


def test_the_governors_clock_may_stand_beside_others() -> None:
    asked = [BASE, *configurations_of((1, 4), (1500, 600))]
    found = profile_family(board_of(), SPACE, asked, passes=1)
    assert found.base.table.configuration == BASE
    assert [member.configuration.label for member in found.members if member.law] == [
        "ort 1t 600MHz fp32", "ort 4t 600MHz fp32",
    ]  # fmt: skip
    assert max(error_of(table) for table in found.tables) < 0.03


@pytest.mark.thorough
def test_the_base_may_be_adapted_from_another_board(family: FamilyProfile) -> None:
    method = partial(few_shot_profile, source=family.tables.base)
    found = profile_family(board_of(), SPACE, EVERYTHING, method=method, passes=1)
    assert len(found.base.measurements) == FEW
    assert max(error_of(table) for table in found.tables) < 0.06


@pytest.mark.parametrize("asked", [[], [BASE, BASE]])
def test_configurations_must_be_there_and_differ(asked: list[RuntimeConfiguration]) -> None:
    with pytest.raises(ValueError, match="the configurations of a family must differ, and be at least one, but got"):
        profile_family(board_of(), SPACE, asked)


class Counting:
    """The board's latencies; it is gone after some measurements."""

    def __init__(self, answers: int = 10**9) -> None:
        self.answers = answers
        self.measured = 0

    def __call__(self, model: bytes, configuration: RuntimeConfiguration) -> float:
        if self.measured == self.answers:
            raise KeyError("unplugged")
        self.measured += 1
        # No two measurements are equal, so that a repeated one would show.
        return latency_ms(model, configuration) * (1 + 1e-4 * math.sin(self.measured))


FEWER = configurations_of((1, 4), (1500, 600))
"""One of each kind: the base, one that it is adapted to, and a lower clock of both."""


def remembered(board: Counting) -> FamilyProfile:
    settings = MeasureSettings()
    return remembered_family(ReplayDevice(board), SPACE, FEWER, settings, networks=12, passes=2)


def content_of(found: FamilyProfile) -> object:
    return found.tables.to_json()


def test_killed_and_resumed_equals_uninterrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PI_PARETO_NAS_CACHE", str(tmp_path / "whole"))
    whole = Counting()
    expected = content_of(remembered(whole))

    monkeypatch.setenv("PI_PARETO_NAS_CACHE", str(tmp_path / "cut"))
    board = Counting()
    for answers in (40, whole.measured - 30, whole.measured - 3):
        board.answers = answers
        with pytest.raises(MeasurementError, match="unplugged"):
            remembered(board)
    board.answers = 10**9
    assert content_of(remembered(board)) == expected
    assert board.measured == whole.measured
    again = Counting(answers=0)
    assert content_of(remembered(again)) == expected


def test_a_base_that_was_profiled_before_is_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PI_PARETO_NAS_CACHE", str(tmp_path))
    board, settings = Counting(), MeasureSettings()
    device = ReplayDevice(board)
    remembered_family(device, SPACE, FEWER[:1], settings, networks=12, passes=2)
    before = board.measured
    remembered_family(device, SPACE, FEWER, settings, networks=12, passes=2)
    others = 2 * (FEW + LAW_NETWORKS + LAW_NETWORKS_OF_OTHERS)
    assert board.measured == before + others
    remembered_family(device, SPACE, FEWER, settings, networks=12, passes=2, fresh=True)
    assert board.measured == 2 * (before + others)


def test_what_was_measured_before_is_not_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PI_PARETO_NAS_CACHE", str(tmp_path))
    board, settings = Counting(answers=40), MeasureSettings()
    device = ReplayDevice(board)

    def left() -> int:
        return measurements_left(device.describe(), SPACE, EVERYTHING[:1], settings)

    total = number_of_measurements(SPACE, EVERYTHING[:1])
    assert left() == total
    with pytest.raises(MeasurementError):
        remembered_family(device, SPACE, EVERYTHING[:1], settings)
    assert left() == total - 40
    board.answers = 10**9
    remembered_family(device, SPACE, EVERYTHING[:1], settings)
    assert left() == 0
    other = EVERYTHING[1:2]
    assert measurements_left(device.describe(), SPACE, other, settings) == number_of_measurements(SPACE, other)
    both = EVERYTHING[:2]
    assert measurements_left(device.describe(), SPACE, both, settings) == number_of_measurements(SPACE, both) - total


def test_a_family_file_gives_back_the_tables(family: FamilyProfile, tmp_path: Path) -> None:
    family.tables.write(tmp_path / "family.json")
    read = read_cost_tables(tmp_path / "family.json")
    assert read.to_json() == family.tables.to_json()
    assert isinstance(read, CostTables)
