from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from devices.configuration import BASE, RuntimeConfiguration, configurations_of
from devices.cost_tables.cost_table import CostTable, TableError, check_fits, read_cost_table
from devices.cost_tables.family import read_cost_tables
from devices.errors import BoardRefusedError, MeasurementError
from devices.measurement import Board, MeasureSettings
from devices.replay import ReplayDevice
from moo.profiling import boards as board_profiles
from moo.profiling.boards import BoardProfile, chosen_configurations, profile_boards, time_needed
from search_space.spaces import FBNetSpace

SETTINGS = MeasureSettings()
NETWORKS = 4


class NamedDevice(ReplayDevice):
    """A board of its own, slower or quicker than others; may fail after some measurements."""

    def __init__(self, name: Any, *, factor: float = 1.0, answers: Any = 10**9) -> None:
        super().__init__(self._latency)
        self.name, self.factor, self.answers = name, factor, answers
        self.measured = 0

    def _latency(self, model: Any) -> Any:
        if self.measured >= self.answers:
            raise MeasurementError(f"{self.name} was lost.")
        self.measured += 1
        return self.factor * (0.1 + len(model) / 1e4)

    def describe(self) -> Any:
        return Board(name=self.name, model="made up", os="none", runtime="none", clock_mhz=None)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def profile_all(devices: Any, space: FBNetSpace, **options: Any) -> Any:
    named = [(device.name, device) for device in devices]
    configurations = {device.name: options.pop("configurations", (BASE,)) for device in devices}
    return profile_boards(named, space, SETTINGS, configurations=configurations, networks=NETWORKS, **options)


def files() -> Any:
    return sorted(str(path) for path in Path().rglob("*") if path.is_file() and path.parts[0] != "cache")


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("host", "host-tiny"),
        ("ssh://pi@raspberrypi.local", "pi-raspberrypi-local-tiny"),
        ("ssh://pi@192.168.1.20:2222", "pi-192-168-1-20-2222-tiny"),
    ],
)
def test_files_are_called_by_board_and_space(space: FBNetSpace, name: str, stem: str) -> None:
    (found,) = profile_all([NamedDevice(name)], space)
    assert (found.table, found.picture) == (Path(f"profiles/{stem}.json"), Path(f"profiles/{stem}.png"))
    assert files() == [f"profiles/{stem}.json", f"profiles/{stem}.png"]
    assert found.device == name


def test_one_board_goes_to_the_file_that_is_named_and_its_picture_beside_it(space: FBNetSpace) -> None:
    (found,) = profile_all([NamedDevice("host")], space, out=Path("deep/own.json"))
    assert files() == ["deep/own.json", "deep/own.png"]
    assert (found.table, found.picture) == (Path("deep/own.json"), Path("deep/own.png"))


def test_the_files_hold_the_profile(space: FBNetSpace) -> None:
    (found,) = profile_all([NamedDevice("host")], space)
    table = read_cost_table(found.table)
    check_fits(table, space)
    np.testing.assert_array_equal(table.latency_ms, found.family.base.table.latency_ms)
    assert table.error == found.family.base.table.error
    assert table.error.networks == NETWORKS
    with Image.open(found.picture) as picture:
        picture.verify()
        assert picture.format == "PNG"
        width, height = picture.size
    assert 1200 <= width <= 3000
    assert 500 <= height <= 2000
    assert 20_000 < found.picture.stat().st_size < 1_000_000


def test_two_boards_are_profiled_at_once_into_two_tables(space: FBNetSpace) -> None:
    """Each waits in its first measurement for the other to begin."""
    together = threading.Barrier(2, timeout=20)

    class Meeting(NamedDevice):
        def _latency(self, model: Any) -> Any:
            if not self.measured:
                together.wait()
            return super()._latency(model)

    boards = [Meeting("ssh://pi@one"), Meeting("ssh://pi@two", factor=3.0)]
    calls = []
    one, two = profile_all(boards, space, out=Path("both"), on_progress=lambda *call: calls.append(call))
    assert files() == ["both/pi-one-tiny.json", "both/pi-one-tiny.png", "both/pi-two-tiny.json", "both/pi-two-tiny.png"]
    np.testing.assert_allclose(two.family.base.operator_wise.latency_ms, 3 * one.family.base.operator_wise.latency_ms)
    assert (one.device, two.device) == ("ssh://pi@one", "ssh://pi@two")
    assert read_cost_table(two.table).board == "ssh://pi@two (made up)"
    for name in ("ssh://pi@one", "ssh://pi@two"):
        mine = [(done, total) for device, done, total, _ in calls if device == name]
        assert [done for done, _ in mine] == list(range(1, len(mine) + 1))
        assert mine[-1][0] == mine[-1][1]


def test_a_second_profile_measures_nothing_and_a_fresh_one_everything(space: FBNetSpace) -> None:
    first, second, third = (NamedDevice("host") for _ in range(3))
    (one,) = profile_all([first], space)
    (two,) = profile_all([second], space)
    assert first.measured > 0
    assert second.measured == 0
    np.testing.assert_array_equal(one.family.base.table.latency_ms, two.family.base.table.latency_ms)
    profile_all([third], space, fresh=True)
    assert third.measured == first.measured


def test_a_board_that_fails_keeps_what_it_measured_and_the_others_are_written(space: FBNetSpace) -> None:
    gone, there = NamedDevice("ssh://pi@gone", answers=5), NamedDevice("ssh://pi@there")
    with pytest.raises(MeasurementError, match="ssh://pi@gone was lost"):
        profile_all([gone, there], space)
    assert files() == ["profiles/pi-there-tiny.json", "profiles/pi-there-tiny.png"]
    assert gone.measured == 5

    gone.answers = 10**9
    again = NamedDevice("ssh://pi@there")
    assert len(profile_all([gone, again], space)) == 2
    assert (gone.measured, again.measured) == (there.measured, 0)


def test_ctrl_c_ends_all_profiles_after_their_present_measurement(
    space: FBNetSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The threads are waited for, but do not go on to the end of their profiles."""
    stopped = threading.Event()

    class Slow(NamedDevice):
        def _latency(self, model: Any) -> Any:
            latency_ms = super()._latency(model)
            if self.measured == 3:
                stopped.wait(20)
            return latency_ms

    boards = [Slow("ssh://pi@one"), Slow("ssh://pi@two")]

    def interrupted(tasks: Any, **options: Any) -> None:
        while any(board.measured < 3 for board in boards):
            pass
        threading.Timer(0.1, stopped.set).start()
        raise KeyboardInterrupt

    monkeypatch.setattr(board_profiles, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        profile_all(boards, space)
    assert [board.measured for board in boards] == [3, 3]
    assert files() == []


@pytest.mark.parametrize("fails_at", ["table", "picture"])
def test_files_are_there_whole_or_not_at_all(space: FBNetSpace, monkeypatch: pytest.MonkeyPatch, fails_at: str) -> None:
    profile_all([NamedDevice("host")], space)
    before = {path: Path(path).read_bytes() for path in files()}

    suffix = ".json" if fails_at == "table" else ".png"

    def full(handle: int) -> None:
        if os.readlink(f"/proc/self/fd/{handle}").endswith(f"{suffix}.part"):
            raise OSError("disk full")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="disk full"):
        profile_all([NamedDevice("host", factor=2.0)], space, fresh=True)
    assert Path(f"profiles/host-tiny{suffix}").read_bytes() == before[f"profiles/host-tiny{suffix}"]


def test_too_few_networks_are_refused_and_nothing_is_written(space: FBNetSpace) -> None:
    board = NamedDevice("host")
    with pytest.raises(ValueError, match="`networks >= 1` must hold, but got 0"):
        profile_boards([("host", board)], space, SETTINGS, configurations={"host": (BASE,)}, networks=0)
    assert (board.measured, files()) == (0, [])


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            TableError(30, 0.0261, 0.98, 0.9876),
            "30 networks measured whole, each predicted from the others: mean error 2.6 %, 98.0 % within 10 %, "
            "rank correlation 0.988",
        ),
        (
            TableError(2, 0.5, 0.0, None),
            "2 networks measured whole, each predicted from the others: mean error 50.0 %, 0.0 % within 10 %",
        ),
    ],
)
def test_the_summary_tells_how_well_the_table_predicts(
    space: FBNetSpace, table: CostTable, error: Any, expected: str
) -> None:
    (found,) = profile_all([NamedDevice("host")], space)
    family = replace(found.family, base=replace(found.family.base, table=replace(table, error=error)))
    assert BoardProfile("host", family, found.table, found.picture).summary == expected


SEVERAL = configurations_of((1, 2), (1500, 1000, 600), ("fp32", "int8"))


def test_several_configurations_make_one_file_and_one_picture(space: FBNetSpace) -> None:
    (found,) = profile_all([NamedDevice("host")], space, configurations=SEVERAL)
    assert files() == ["profiles/host-tiny.json", "profiles/host-tiny.png"]
    tables = read_cost_tables(found.table)
    assert tables.configurations == SEVERAL
    assert tables.to_json() == found.family.tables.to_json()
    with Image.open(found.picture) as picture:
        assert picture.format == "PNG"


def test_a_row_for_each_configuration_tells_its_error_and_time(space: FBNetSpace) -> None:
    (found,) = profile_all([NamedDevice("host")], space, configurations=SEVERAL)
    head, *rows = found.rows
    assert head == ("configuration", "networks", "mean error", "rank correlation", "seconds")
    assert [row[0] for row in rows] == [configuration.label for configuration in SEVERAL]
    assert [row[1] for row in rows if "fp32" in row[0]] == [
        "4", "by the clock law", "4", "10", "by the clock law", "3",
    ]  # fmt: skip
    assert all(row[2].endswith(" %") for row in rows)


def test_each_board_has_its_own_default_configurations() -> None:
    small, large = NamedDevice("ssh://pi@small"), NamedDevice("ssh://pi@large")
    large.describe = lambda: Board(  # type: ignore[method-assign]
        name="", model="", os="", runtime="", clock_mhz=None, cores=4, frequencies_mhz=(600, 1500)
    )
    found = chosen_configurations([(small.name, small), (large.name, large)], None)
    assert found[small.name] == configurations_of((1,), (None,), ("fp32", "int8"))
    assert found[large.name] == configurations_of((1, 2, 4), (1500, 600), ("fp32", "int8"))
    given = (RuntimeConfiguration(threads=2),)
    assert chosen_configurations([(small.name, small)], given) == {small.name: given}


def test_clocks_that_the_user_names_are_an_error_where_they_cannot_be_set(space: FBNetSpace) -> None:
    class Refusing(NamedDevice):
        def measure(self, model: Any, configuration: Any = BASE) -> Any:
            if configuration.frequency_mhz is not None:
                raise BoardRefusedError("`frequency_mhz` needs the right to set the clock")
            return super().measure(model, configuration)

    with pytest.raises(BoardRefusedError, match="needs the right to set the clock"):
        profile_all([Refusing("host")], space, configurations=SEVERAL)
    assert files() == []


def test_the_time_that_is_needed_grows_with_what_is_measured(space: FBNetSpace) -> None:
    def told(configurations: Any, **changes: Any) -> str:
        options = {"metered": False, "like": False, "networks": 4, "passes": 2} | changes
        return time_needed(space, configurations, SETTINGS, **options)

    assert told((BASE,)).startswith("1 configuration, 30 measurements, about 1 min if none was made before; longer")
    assert told(SEVERAL).startswith("12 configurations, 116 measurements, about 1 min")
    assert told(SEVERAL, metered=True).startswith("12 configurations, 116 measurements, about 5 min")
    assert told(SEVERAL, like=True).startswith("12 configurations, 94 measurements")
    assert told((BASE,)).endswith("where a network takes more than 6 ms")
