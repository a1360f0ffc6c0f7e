"""INA sensors against the registers of their data sheets."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from devices.energy.simulated_sensors import (
    SimulatedBus,
    SimulatedChip,
    SimulatedIna219,
    SimulatedIna226,
    SimulatedIna228,
    SimulatedIna260,
    SimulatedIna3221,
)
from devices.meters import hwmon, i2c
from devices.meters.ina import Ina219, Ina226, Ina260, InaSensor
from devices.meters.ina228 import Ina228
from devices.meters.ina3221 import Ina3221
from devices.meters.polarity import Correction
from devices.meters.power_meter import MeterError, NotTheBoardError
from tests.devices.meters.conftest import make_sensor

SENSORS: dict[str, tuple[type[InaSensor], type[SimulatedChip]]] = {
    "ina219": (Ina219, SimulatedIna219),
    "ina226": (Ina226, SimulatedIna226),
    "ina228": (Ina228, SimulatedIna228),
    "ina260": (Ina260, SimulatedIna260),
    "ina3221": (Ina3221, SimulatedIna3221),
}
WITHOUT_COUNTER = [name for name in SENSORS if name != "ina228"]


def bus_of(name: str, current_a: float = 0.8, bus_v: float = 5.1, shunt_ohm: float = 0.1) -> SimulatedBus:
    chip: Callable[..., SimulatedChip] = SENSORS[name][1]
    if chip is SimulatedIna228:
        chip = partial(SimulatedIna228, energy_j=lambda: 0.0)
    return SimulatedBus(chip=chip(current_a=lambda: current_a, bus_v=bus_v, shunt_ohm=shunt_ohm))


def sensor_of(name: str, bus: SimulatedBus, **settings: object) -> InaSensor:
    make: Callable[..., InaSensor] = SENSORS[name][0]
    return make(bus, **settings)


def test_ina219_as_in_its_data_sheet() -> None:
    # Table "Calculating Calibration and Power": 10 A through 2 mOhm at 11.98 V; its power register reads 5990 x 20 mW.
    bus = bus_of("ina219", 10.0, 11.98, 0.002)
    assert (bus.chip.word(1), bus.chip.word(2) & ~7) == (0x07D0, 0x5D98)
    assert Ina219(bus, shunt_ohm=0.002).read().power_w == pytest.approx(0x1766 * 20e-3, rel=1e-4)


def test_ina226_as_in_its_data_sheet() -> None:
    # The same load; its power register reads 4792 x 25 mW.
    bus = bus_of("ina226", 10.0, 11.98, 0.002)
    assert (bus.chip.word(1), bus.chip.word(2)) == (0x1F40, 0x2570)
    assert Ina226(bus, shunt_ohm=0.002).read().power_w == pytest.approx(0x12B8 * 25e-3, rel=1e-4)


def test_ina260_as_in_its_data_sheet() -> None:
    # Section 8.6: 10 A are 8000 steps, 11.98 V 9584 of 1.25 mV.
    bus = bus_of("ina260", 10.0, 11.98)
    assert (bus.chip.word(1), bus.chip.word(2)) == (8000, 9584)
    assert Ina260(bus).read().power_w == pytest.approx(bus.chip.word(3) * 10e-3, rel=1e-3)


def test_ina3221_adds_the_channels_it_is_told() -> None:
    # Section 8.6.2: 0.5 A through 0.1 ohm are 1250 steps of 40 uV, 5.04 V are 630 of 8 mV, both above three bits of 0.
    bus = bus_of("ina3221", 1.0, 5.04)
    assert Ina3221(bus, channels=(1,)).read().power_w == pytest.approx(0.5 * 5.04)
    assert (bus.chip.word(1), bus.chip.word(2), bus.chip.word(3)) == (1250 << 3, 630 << 3, 0)
    assert Ina3221(bus, channels=(1, 3)).read().power_w == pytest.approx(0.7 * 5.04, rel=1e-3)
    assert Ina3221(bus, channels=(1, 2, 3)).read().power_w == pytest.approx(5.04, rel=1e-3)
    assert bus.chip.word(0) >> 12 == 7


@pytest.mark.parametrize("adc_range", [0, 1])
def test_ina228_gives_the_mean_power_between_two_readings(adc_range: int) -> None:
    now_s, energy_j, current_a = [10.0], [7.0], [1.5]
    chip = SimulatedIna228(current_a=lambda: current_a[0], energy_j=lambda: energy_j[0], shunt_ohm=0.015)
    meter = Ina228(SimulatedBus(chip=chip), adc_range=adc_range, clock=lambda: now_s[0])
    for power_w, seconds in ((3.0, 0.05), (7.5, 2.0)):
        now_s[0] += seconds
        energy_j[0] += power_w * seconds
        reading = meter.read()
        assert reading.power_w == pytest.approx(power_w, rel=0.01)
        assert reading.time_s == pytest.approx(now_s[0] - seconds / 2)
    now_s[0] += 1.0
    chip.reset()
    with pytest.raises(MeterError, match="energy that an INA228 counts must grow, but fell: it lost its power"):
        meter.read()
    now_s[0] += 1.0
    energy_j[0] += 4.0
    assert meter.read().power_w == pytest.approx(4.0, rel=0.01)
    current_a[0] = -1.5
    now_s[0] += 1.0
    energy_j[0] += 4.0
    with pytest.raises(NotTheBoardError, match=r"keep its sign, but went from 4.000 W to -4.000 W"):
        meter.read()


@pytest.mark.parametrize("name", WITHOUT_COUNTER)
def test_a_pi_through_a_tenth_of_an_ohm(name: str) -> None:
    share = 0.5 if name == "ina3221" else 1.0
    assert sensor_of(name, bus_of(name)).read().power_w == pytest.approx(share * 0.8 * 5.1, rel=2e-3)
    corrected = sensor_of(name, bus_of(name, -0.8), correction=Correction(-1, 1.02))
    assert corrected.read().power_w == pytest.approx(1.02 * share * 0.8 * 5.1, rel=2e-3)


def test_time_is_the_middle_of_the_mean() -> None:
    times = iter([0.0, 10.0, 10.5])
    reading = Ina219(bus_of("ina219"), clock=lambda: next(times)).read()
    assert reading.time_s == 10.5 - Ina219.period_s / 2


def test_configuration() -> None:
    words = {}
    for name in SENSORS:
        bus = bus_of(name)
        sensor_of(name, bus)
        words[name] = bus.chip.word(1 if name == "ina228" else 0)
    word = words["ina219"]
    # Section 8.6.2.1: 32 V, 320 mV, bus 12 bits (532 us), shunt 16 samples (8.51 ms), both continuously.
    assert [word >> 13 & 1, word >> 11 & 3, word >> 7 & 15, word >> 3 & 15, word & 7] == [1, 3, 0b0011, 0b1100, 7]
    for name, head in {"ina226": 0b0100, "ina260": 0b0110, "ina3221": 0b0100}.items():
        word = words[name]
        # Mean of 4, bus 140 us, shunt 2.116 ms, both continuously; the first channel of an INA3221.
        assert [word >> 12, word >> 9 & 7, word >> 6 & 7, word >> 3 & 7, word & 7] == [head, 1, 0b000, 0b101, 7]
    # Section 7.6.1.2: shunt and bus continuously, bus 150 us, shunt 1052 us, no mean.
    word = words["ina228"]
    assert [word >> 12, word >> 9 & 7, word >> 6 & 7, word & 7] == [0xB, 2, 5, 0]


def test_a_current_that_flows_backwards() -> None:
    assert Ina219(bus_of("ina219", -0.001, 5.0)).read().power_w == pytest.approx(-0.005)
    with pytest.raises(
        NotTheBoardError, match=r"positive power, but got -4.000 W: .*UPS HAT.*ina219:0x43,sign=-1`.*IN\+"
    ):
        Ina219(SimulatedBus(chip=bus_of("ina219", -0.8, 5.0).chip, address=0x43), address=0x43).read()
    with pytest.raises(NotTheBoardError, match=r"got -4.000 W with `sign=-1`: omit that.*unplug the charger"):
        Ina219(bus_of("ina219", 0.8, 5.0), correction=Correction(-1)).read()
    current_a = [0.8]
    meter = Ina219(SimulatedBus(chip=SimulatedIna219(current_a=lambda: current_a[0])))
    meter.read()
    current_a[0] = -0.3
    with pytest.raises(NotTheBoardError, match=r"keep its sign, but went from 4.000 W to -1.500 W: a battery"):
        meter.read()


@pytest.mark.parametrize(
    ("name", "current_a", "ampere"),
    [
        ("ina219", 3.3, "3.20"),
        ("ina219", -3.3, "3.20"),
        ("ina226", 0.9, "0.82"),
        ("ina228", 1.7, "1.64"),
        ("ina228", -1.7, "1.64"),
        ("ina260", 15.2, "15"),
        ("ina3221", 3.4, "1.64"),
    ],
)
def test_beyond_the_range(name: str, current_a: float, ampere: str) -> None:
    meter = sensor_of(name, bus_of(name, current_a), **({} if name == "ina260" else {"shunt_ohm": 0.1}))
    with pytest.raises(MeterError, match=f"must stay below {ampere} A.* (smaller shunt.*shunt=|shunt of its own)"):
        meter.read()


def test_a_supply_of_20_v_is_not_cut_off() -> None:
    assert Ina219(bus_of("ina219", 0.5, 20.0)).read().power_w == pytest.approx(10.0)


@pytest.mark.parametrize("asked", SENSORS)
@pytest.mark.parametrize("there", SENSORS)
def test_another_chip_at_the_address_is_called_by_its_name(asked: str, there: str) -> None:
    if asked == there:
        sensor_of(asked, bus_of(there))
        return
    said = (
        f"must say what it is.*for one use `--meter {there}`"
        if there == "ina219"
        else f"must be an {asked.upper()}, but this is an {there.upper()}: use `--meter {there}:0x40`"
    )
    with pytest.raises(MeterError, match=said):
        sensor_of(asked, bus_of(there))


def test_a_chip_that_is_none_of_them() -> None:
    bus = bus_of("ina226")
    bus.chip.CONSTANT = {0xFE: 0x5449, 0xFF: 0x1234}  # type: ignore[misc]
    with pytest.raises(MeterError, match="but this is another chip, 0x1234: read it by a driver of the kernel"):
        Ina226(bus)

    class Deaf(SimulatedIna219):
        def kept(self, register: int, value: int) -> int:
            return 0x399F

    with pytest.raises(MeterError, match="must hold the configuration 0x39e7, but has 0x399f"):
        Ina219(SimulatedBus(chip=Deaf(current_a=lambda: 0.0)))


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EREMOTEIO, "check its wires and supply.*`i2cdetect -y 3`.*`bus=`"),
        (errno.ENXIO, "check its wires"),
        (errno.EIO, "check its wires"),
        (errno.ETIMEDOUT, "holds bus 3 low.*SDA and SCL"),
        (errno.EAGAIN, "another device talks on bus 3"),
        (errno.EOPNOTSUPP, "bus 3 cannot read registers"),
        (errno.ENODEV, "bus 3 itself is gone"),
    ],
)
def test_errors_of_a_bus_have_their_own_reasons(number: int, said: str) -> None:
    bus = bus_of("ina226")
    meter = Ina226(bus, bus_number=3)
    bus.error = OSError(number, "as the kernel says")
    with pytest.raises(MeterError, match=f"ina226 at I2C address 0x40 must answer, but got .Errno {number}.*{said}"):
        meter.read()
    with pytest.raises(MeterError, match=said):
        Ina226(bus, bus_number=3)


def test_nothing_at_that_address() -> None:
    with pytest.raises(MeterError, match="ina219 at I2C address 0x41 must answer.*Remote I/O error.*i2cdetect"):
        Ina219(bus_of("ina219"), address=0x41)


@pytest.mark.parametrize("name", SENSORS)
def test_a_sensor_that_the_kernel_holds(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hwmon, "ROOT", tmp_path)
    bus = bus_of(name)
    bus.error = OSError(errno.EBUSY, "Device or resource busy")
    with pytest.raises(MeterError, match=f"driver of the kernel holds it.*UU.*`--meter hwmon:{name}`.*overlay"):
        sensor_of(name, bus)
    make_sensor(tmp_path, 0, name, device="1-0040", power1_input=0, curr1_input=0)
    with pytest.raises(MeterError, match="`--meter hwmon:1-0040`.*overlay") as error:
        sensor_of(name, bus)
    assert "wires" not in str(error.value)


def test_without_smbus2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "smbus2", None)
    with pytest.raises(MeterError, match="pip install smbus2"):
        i2c.open_bus(1)


def test_a_bus_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MeterError, match="i2c-1 must be there.*raspi-config nonint do_i2c 0.*dtparam=i2c_arm=on"):
        i2c.open_bus(1, devices=tmp_path)
    (tmp_path / "i2c-20").touch()
    with pytest.raises(MeterError, match="i2c-1 must be there.*there are others, so give `bus=20`"):
        i2c.open_bus(1, devices=tmp_path)
    with pytest.raises(MeterError, match="i2c-20 must be there.*see whether `i2cdetect -y 20` works"):
        i2c.open_bus(20, devices=tmp_path)


def test_a_bus_of_another_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr("smbus2.SMBus", refuse)
    monkeypatch.setenv("LOGNAME", "ada")
    with pytest.raises(MeterError, match="Permission denied: run `sudo usermod -aG i2c ada`, then log in anew"):
        i2c.open_bus(1, devices=tmp_path)
