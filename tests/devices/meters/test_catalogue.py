from pathlib import Path
from typing import NoReturn

import pytest

from devices.meters import catalogue, ina
from devices.meters.catalogue import Availability, available_meters, open_power_meter
from devices.meters.power_meter import MeterError
from devices.meters.spec import METER_NAMES, MeterSpec


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any meter."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("devices.meters.nvml.open_library", no_library)
    return tmp_path


def no_library() -> NoReturn:
    raise MeterError("NVIDIA GPUs need `nvidia-ml-py`")


def found(folder: Path) -> dict[str, Availability]:
    entries = available_meters(devices=folder, powercap=folder)
    assert tuple(entry.name for entry in entries) == METER_NAMES
    return {entry.name: entry for entry in entries}


def test_a_machine_without_meters(empty: Path) -> None:
    entries = found(empty)
    assert not any(entry.available for entry in entries.values())
    assert "there is no" in entries["ina219"].reason
    assert "raspi-config" in entries["ina219"].reason
    assert "rfcomm bind" in entries["um25c"].reason
    assert "only a Raspberry Pi" in entries["pmic"].reason
    assert "processor packages" in entries["rapl"].reason
    assert "nvidia-ml-py" in entries["nvml"].reason
    assert "shelly:http://" in entries["shelly"].reason


def test_what_is_there_is_found(empty: Path) -> None:
    zone = empty / "intel-rapl:0"
    zone.mkdir()
    for name, content in {"name": "package-0", "energy_uj": "5", "max_energy_range_uj": "99"}.items():
        (zone / name).write_text(content)
    (empty / "ttyUSB0").touch()
    (empty / "rfcomm0").touch()
    (empty / "vcgencmd").write_text('#!/bin/sh\necho "CORE_A current(1)=2.0A"\necho "CORE_V volt(1)=1.5V"\n')
    (empty / "vcgencmd").chmod(0o755)
    entries = found(empty)
    assert {name for name, entry in entries.items() if entry.available} == {"rapl", "um25c", "pmic"}
    assert "rfcomm0" in entries["um25c"].reason
    assert "ttyUSB0" in entries["um25c"].reason
    assert "not the whole board" in entries["pmic"].reason


class FakeBus:
    """An INA219, or nothing."""

    def __init__(self, *, there: bool = True) -> None:
        self.there = there
        self.configuration = 0

    def read_word_data(self, i2c_addr: int, register: int) -> int:
        if not self.there:
            raise OSError(121, "Remote I/O error")
        return self.configuration if register == 0 else 0

    def write_word_data(self, i2c_addr: int, register: int, value: int) -> None:
        if register == 0:
            self.configuration = value


def test_i2c_buses_are_asked_one_after_the_other(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("i2c-1", "i2c-20", "i2c-mux"):
        (empty / name).touch()
    monkeypatch.setattr(ina, "open_bus", lambda number: FakeBus(there=number == 20))
    entries = found(empty)
    assert entries["ina219"].available
    assert "0x40 of bus 20" in entries["ina219"].reason
    assert not entries["ina226"].available
    assert "ina226 at I2C address 0x40" in entries["ina226"].reason


def test_addresses_reach_the_meter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ina, "open_bus", lambda number: FakeBus(there=number == 3))
    assert open_power_meter(MeterSpec.parse("ina219:65,bus=3,shunt=0.05")).name == "ina219"
    with pytest.raises(MeterError, match="address 0x41"):
        open_power_meter(MeterSpec.parse("ina226:0x41,bus=2"))
    for text, message in {
        "um25c:/dev/no-such-port": "/dev/no-such-port",
        "rapl:/nowhere": "under /nowhere",
        "shelly:127.0.0.1:9": "http://127.0.0.1:9/shelly",
    }.items():
        with pytest.raises(MeterError, match=message):
            open_power_meter(MeterSpec.parse(text))


def test_every_name_can_be_opened() -> None:
    assert tuple(catalogue._OPENERS) == ("ina219", "ina226", "um25c", "pmic", "rapl", "nvml", "shelly", "tasmota")
    assert set(catalogue._OPENERS) == set(METER_NAMES)
