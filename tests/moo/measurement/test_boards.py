from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devices.configuration import BASE, RuntimeConfiguration, configurations_of
from devices.cost_tables.analytic import analytic_cost_table
from devices.cost_tables.cost_table import CostTable
from devices.cost_tables.family import CostTables
from devices.cost_tables.pi4 import pi4_cost_table
from devices.cost_tables.raspberry_pi import BUILT_IN_BOARDS
from devices.cost_tables.table_names import BUILT_IN_NAMES, is_table
from devices.errors import BoardUnreachableError
from devices.measurement import Board, MeasureSettings
from devices.replay import ReplayDevice
from moo.measurement import boards
from moo.measurement.boards import configurations_in, open_boards, open_for_profile, tables_named
from search_space.spaces import FBNetSpace, space_named

MICRO, CIFAR = space_named("fbnet-micro"), space_named("fbnet-cifar")
SETTINGS = MeasureSettings()


class NamedDevice(ReplayDevice):
    """A board whose name decides what it is; says whether it was asked and closed."""

    def __init__(self, name: Any, meter: Any) -> None:
        super().__init__(lambda model: 1.0, shares_host=name == "host")
        self.name, self.meter = name, meter
        self.asked = 0
        self.closed = False

    def describe(self) -> Any:
        self.asked += 1
        if "gone" in self.name:
            raise BoardUnreachableError(f"{self.name} could not be reached: no route to host.")
        model = "Pi 5" if "five" in self.name else "Pi 4"
        runtime = "ONNX Runtime 1.2" if "old" in self.name else "ONNX Runtime 1.3"
        return Board(name=self.name, model=model, os="Linux", runtime=runtime, clock_mhz=None)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Any:
    """All devices that were opened, in order."""
    devices = []

    def open_device(name: Any, settings: Any, meter: Any) -> Any:
        if name != "host" and not name.startswith("ssh://"):
            raise ValueError(f"`--device` must be one of host, ssh://..., but got {name!r}.")
        devices.append(NamedDevice(name, meter))
        return devices[-1]

    monkeypatch.setattr(boards, "open_device", open_device)
    return devices


def open_all(*names: Any, space: Any = MICRO, measure: bool = True) -> Any:
    return open_boards(names, space, SETTINGS, meter="rapl", measure=measure)


def assert_refused(rule: Any, act: Any) -> None:
    with pytest.raises(ValueError, match=rule) as error:
        act()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pi4", True),
        ("profiles/pi.json", True),
        ("latency.txt", True),
        ("latency.txt,energy.txt", True),
        ("LATENCY.CSV", True),
        ("host", False),
        ("ssh://pi@raspberrypi.local", False),
        ("ssh://pi@192.168.1.20:2222", False),
        ("toaster", False),
    ],
)
def test_a_device_is_a_table_or_a_board(name: str, expected: bool) -> None:
    assert is_table(name) == expected


@pytest.mark.parametrize("space", [MICRO, CIFAR], ids=lambda space: space.name)
def test_pi4_is_a_table_and_nobody_is_asked(space: FBNetSpace, opened: Any) -> None:
    found = open_all("pi4", space=space)
    assert (found.devices, found.board, opened) == ((), None, [])
    np.testing.assert_array_equal(found.tables.base.latency_ms, pi4_cost_table(space).latency_ms)
    assert found.tables.base.latency_ms.shape == (space.num_layers, len(space.operators))
    assert found.tables.base.latency_source in ("published", "modelled")
    assert found.tables.base.energy_source == "modelled"


def test_a_table_file_stands_for_a_board(tmp_path: Path, opened: Any) -> None:
    path = tmp_path / "own.json"
    analytic_cost_table(MICRO).write(path)
    found = open_all(str(path))
    assert (found.devices, found.board, opened) == ((), None, [])
    np.testing.assert_array_equal(found.tables.base.latency_ms, analytic_cost_table(MICRO).latency_ms)


def write_text_table(path: Any, factor: Any) -> Any:
    costs_LO = factor * (1 + np.arange(MICRO.num_layers * 9).reshape(-1, 9))
    path.write_text("\n".join(" ".join(f"{value:.6f}" for value in row) for row in costs_LO))
    return costs_LO


def test_a_pair_of_text_files_is_read_in_seconds_and_joules(tmp_path: Path) -> None:
    seconds_LO = write_text_table(tmp_path / "latency.txt", 0.001)
    joules_LO = write_text_table(tmp_path / "energy.txt", 0.002)
    table = tables_named(f"{tmp_path}/latency.txt,{tmp_path}/energy.txt", MICRO).base
    np.testing.assert_allclose(table.latency_ms, 1e3 * seconds_LO)
    np.testing.assert_allclose(table.energy_mj, 1e3 * joules_LO)
    assert (table.latency_source, table.energy_source) == ("published", "published")
    assert tables_named(f"{tmp_path}/latency.txt", MICRO).base.energy_source == "modelled"


def test_a_table_in_the_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    analytic_cost_table(MICRO).write(tmp_path / "own.json")
    assert tables_named("~/own.json", MICRO).base.space == "fbnet-micro"
    write_text_table(tmp_path / "latency.txt", 0.001)
    write_text_table(tmp_path / "energy.txt", 0.002)
    assert tables_named("~/latency.txt,~/energy.txt", MICRO).base.energy_source == "published"


def test_a_table_that_is_not_there_or_for_another_space_is_refused(tmp_path: Path, opened: Any) -> None:
    assert_refused("a cost table file must exist, but got 'none.json'", lambda: open_all("none.json"))
    assert_refused("a cost table file must exist, but got 'none.txt'", lambda: open_all("none.txt,energy.txt"))
    path = tmp_path / "own.json"
    analytic_cost_table(CIFAR).write(path)
    assert_refused("must be that of the search space, fbnet-micro, but .* has fbnet-cifar", lambda: open_all(str(path)))
    assert not opened


@pytest.mark.parametrize("names", [("pi4", "host"), ("ssh://pi@a", "own.json"), ("pi4", "pi4")])
def test_a_table_among_boards_is_refused(names: Any, opened: Any) -> None:
    assert_refused("`--device` must be several boards or one table of costs, but got", lambda: open_all(*names))
    assert not opened


def test_one_board_is_opened_with_its_meter(opened: Any) -> None:
    found = open_all("host")
    assert list(found.devices) == opened
    assert (found.board.label, found.tables) == ("host (Pi 4)", None)
    assert [device.meter for device in opened] == ["rapl"]
    assert not opened[0].closed
    found.close()
    assert opened[0].closed


def test_several_equal_boards_share_the_work(opened: Any) -> None:
    found = open_all("ssh://pi@one", "ssh://pi@two", "ssh://pi@three")
    assert [device.name for device in found.devices] == ["ssh://pi@one", "ssh://pi@two", "ssh://pi@three"]
    assert found.board.name == "ssh://pi@one"
    assert [device.asked for device in opened] == [1, 1, 1]
    found.close()
    assert all(device.closed for device in opened)


@pytest.mark.parametrize(
    ("other", "rule"),
    [
        ("ssh://pi@five", r"must be equal boards, .* ssh://pi@one \(Pi 4\) .* ssh://pi@five \(Pi 5\) .* one after the"),
        ("ssh://pi@old", "has ONNX Runtime 1.3 and .* has ONNX Runtime 1.2"),
        ("host", r"must be boards of their own, but host \(Pi 4\) shares this machine's cores"),
        ("ssh://pi@gone", "must name a board that answers, but 'ssh://pi@gone' does not: .* no route to host"),
    ],
)
def test_boards_that_differ_or_fail_are_refused_and_all_are_closed(opened: Any, other: str, rule: str) -> None:
    assert_refused(rule, lambda: open_all("ssh://pi@one", "ssh://pi@two", other))
    assert len(opened) >= 2
    assert all(device.closed for device in opened)


def test_an_unknown_board_is_refused_with_all_that_there_are_before_any_is_opened(opened: Any) -> None:
    rule = r"must be one of host, .*, pi4, pi5, or a table of costs \(.json, .txt\), but got 'toaster'"
    assert_refused(rule, lambda: open_all("ssh://pi@one", "ssh://pi@two", "toaster"))
    assert all(device.closed for device in opened)
    assert len(opened) == 0


def test_a_board_that_is_given_twice_is_refused(opened: Any) -> None:
    names = ("ssh://pi@a", "ssh://pi@b", "ssh://pi@a")
    rule = "each `--device` must be given once, but got ssh://pi@a, ssh://pi@b, ssh://pi@a"
    assert_refused(rule, lambda: open_all(*names))
    assert_refused(rule, lambda: open_for_profile(names, SETTINGS))
    assert not opened


def test_without_measuring_names_are_checked_and_nobody_is_asked(opened: Any) -> None:
    found = open_all("ssh://pi@gone", "ssh://pi@five", measure=False)
    assert (found.devices, found.board, found.tables) == ((), None, None)
    assert [(device.asked, device.closed, device.meter) for device in opened] == [(0, True, "none")] * 2
    assert_refused("but got 'toaster'", lambda: open_all("host", "toaster", measure=False))
    assert all(device.closed for device in opened)


def test_without_measuring_a_table_is_still_read() -> None:
    assert open_all("pi4", measure=False).tables is not None


def table_in(configuration: RuntimeConfiguration, **changes: Any) -> CostTable:
    return replace(
        analytic_cost_table(MICRO),
        threads=configuration.threads,
        frequency_mhz=configuration.frequency_mhz,
        precision=configuration.precision,
        **changes,
    )


@pytest.mark.parametrize(
    ("other", "label"),
    [
        (RuntimeConfiguration(threads=4), "ort 4t fp32"),
        (RuntimeConfiguration(frequency_mhz=1500), "ort 1t 1500MHz fp32"),
        (RuntimeConfiguration(precision="int8"), "ort 1t int8"),
    ],
)
def test_a_measured_table_must_be_measured_as_the_run_measures(other: RuntimeConfiguration, label: str) -> None:
    measured = CostTables([table_in(other, latency_source="measured")])
    assert_refused(
        f"have none for ort 1t fp32: profile the board for it, or choose among {label}",
        lambda: configurations_in(measured, (BASE,), boards=True),
    )
    assert configurations_in(measured, (other,), boards=True).configurations == (other,)
    published = CostTables([table_in(other, latency_source="published")])
    started = configurations_in(published, (BASE,), boards=True)
    assert started.configurations == (BASE,)
    np.testing.assert_array_equal(started.base.latency_ms, published.base.latency_ms)
    # Without a board nothing would correct it.
    assert_refused("have none for ort 1t fp32", lambda: configurations_in(published, (BASE,), boards=False))


def test_of_a_family_the_configurations_that_are_searched_are_taken() -> None:
    four = configurations_of(threads=(1, 2), precisions=("fp32", "int8"))
    family = CostTables([table_in(one) for one in four])
    assert configurations_in(family, None, boards=True) is family
    chosen = configurations_in(family, (four[1], four[3]), boards=True)
    assert chosen.configurations == (four[1], four[3])
    assert chosen.base is family[four[1]]
    assert_refused(
        "have none for ort 4t fp32: .* choose among ort 1t fp32, ort 1t int8, ort 2t fp32, ort 2t int8",
        lambda: configurations_in(family, (BASE, RuntimeConfiguration(threads=4)), boards=True),
    )


def test_boards_that_are_profiled_may_differ(opened: Any) -> None:
    found = open_for_profile(("host", "ssh://pi@five", "ssh://pi@old"), SETTINGS, meter="ina219")
    assert found == [("host", opened[0]), ("ssh://pi@five", opened[1]), ("ssh://pi@old", opened[2])]
    assert {device.meter for device in opened} == {"ina219"}
    assert not any(device.closed for device in opened)


@pytest.mark.parametrize("name", ["pi4", "own.json", "latency.txt,energy.txt"])
def test_a_table_is_not_profiled(name: str, opened: Any) -> None:
    assert_refused("is a table already", lambda: open_for_profile(("host", name), SETTINGS))
    assert not opened


@pytest.mark.parametrize(("name", "rule"), [("ssh://pi@gone", "no route to host"), ("toaster", "but got 'toaster'")])
def test_boards_are_closed_if_another_cannot_be_profiled(opened: Any, name: str, rule: str) -> None:
    assert_refused(rule, lambda: open_for_profile(("host", name), SETTINGS))
    assert opened
    assert all(device.closed for device in opened)


def test_built_in_names_are_those_of_the_built_in_boards() -> None:
    assert tuple(BUILT_IN_BOARDS) == BUILT_IN_NAMES
