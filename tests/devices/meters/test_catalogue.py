from pathlib import Path
from typing import NoReturn

import pytest

from devices.energy.simulated_sensors import SimulatedBus, SimulatedIna219
from devices.meters import catalogue, hwmon, i2c
from devices.meters.catalogue import Availability, available_meters, open_power_meter
from devices.meters.power_meter import MeterError
from devices.meters.spec import METER_NAMES, MeterSpec
from tests.devices.meters.conftest import make_sensor


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any meter."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("devices.meters.nvml.open_library", no_library)
    return tmp_path


def no_library() -> NoReturn:
    raise MeterError("NVIDIA GPUs need `nvidia-ml-py`")


def found(folder: Path) -> dict[str, Availability]:
    entries = available_meters(devices=folder, powercap=folder, hwmon_root=folder)
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
    assert "there is none under" in entries["hwmon"].reason


def test_what_is_there_is_found(empty: Path) -> None:
    zone = empty / "intel-rapl:0"
    zone.mkdir()
    for name, content in {"name": "package-0", "energy_uj": "5", "max_energy_range_uj": "99"}.items():
        (zone / name).write_text(content)
    (empty / "ttyUSB0").touch()
    (empty / "rfcomm0").touch()
    make_sensor(empty, 2, "ina226", device="1-0041", power1_input=1_000_000)
    (empty / "vcgencmd").write_text('#!/bin/sh\necho "CORE_A current(1)=2.0A"\necho "CORE_V volt(1)=1.5V"\n')
    (empty / "vcgencmd").chmod(0o755)
    entries = found(empty)
    assert {name for name, entry in entries.items() if entry.available} == {"rapl", "um25c", "pmic", "hwmon"}
    assert "`--meter hwmon:1-0041,channel=1` (ina226)" in entries["hwmon"].reason
    assert "rfcomm0" in entries["um25c"].reason
    assert "ttyUSB0" in entries["um25c"].reason
    assert "not the whole board" in entries["pmic"].reason


def bus(address: int, *, there: bool) -> SimulatedBus:
    """A bus with an INA219, or with nothing."""
    return SimulatedBus(chip=SimulatedIna219(current_a=lambda: 0.5), address=address, plugged=there)


def test_i2c_buses_are_asked_one_after_the_other(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("i2c-1", "i2c-20", "i2c-mux"):
        (empty / name).touch()
    monkeypatch.setattr(i2c, "open_bus", lambda number: bus(0x40, there=number == 20))
    entries = found(empty)
    assert entries["ina219"].available
    assert "0x40 of bus 20" in entries["ina219"].reason
    assert not entries["ina226"].available
    assert "ina226 at I2C address 0x40" in entries["ina226"].reason


def test_addresses_reach_the_meter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hwmon, "ROOT", tmp_path)
    make_sensor(tmp_path, 0, "ltc2947", power1_input=5_000_000)
    monkeypatch.setattr(i2c, "open_bus", lambda number: bus(0x41, there=number == 3))
    assert open_power_meter(MeterSpec.parse("ina219:65,bus=3,shunt=0.05")).name == "ina219"
    with pytest.raises(MeterError, match="address 0x41"):
        open_power_meter(MeterSpec.parse("ina226:0x41,bus=2"))
    with pytest.raises(MeterError, match="must be called ina226, but there are `--meter hwmon:hwmon0,channel=1`"):
        open_power_meter(MeterSpec.parse("hwmon:ina226"))
    assert open_power_meter(MeterSpec.parse("hwmon:ltc2947,sign=-1")).name == "hwmon"
    for text, message in {
        "um25c:/dev/no-such-port": "/dev/no-such-port",
        "rapl:/nowhere": "under /nowhere",
        "shelly:127.0.0.1:9": "http://127.0.0.1:9/shelly",
    }.items():
        with pytest.raises(MeterError, match=message):
            open_power_meter(MeterSpec.parse(text))


def test_every_name_can_be_opened() -> None:
    assert set(catalogue._OPENERS) == set(METER_NAMES)
