import sys

import pytest

from devices.meters import ina
from devices.meters.ina import Ina219, Ina226
from devices.meters.power_meter import MeterError
from tests.devices.meters.conftest import FakeBus


def test_ina219_as_in_its_data_sheet() -> None:
    # Table "Calculating Calibration and Power": 10 A through 2 mOhm at 11.98 V; its power register reads 5990 x 20 mW.
    reading = Ina219(FakeBus(shunt=0x07D0, bus=0x5D98), shunt_ohm=0.002).read()
    assert reading.power_w == pytest.approx(10 * 11.98)
    assert reading.power_w == pytest.approx(0x1766 * 20e-3, rel=1e-4)


def test_ina226_as_in_its_data_sheet() -> None:
    # The same load; its power register reads 4792 x 25 mW.
    reading = Ina226(FakeBus(shunt=0x1F40, bus=0x2570), shunt_ohm=0.002).read()
    assert reading.power_w == pytest.approx(10 * 11.98)
    assert reading.power_w == pytest.approx(0x12B8 * 25e-3, rel=1e-4)


def test_a_pi_through_a_tenth_of_an_ohm() -> None:
    # 0.8 A at 5.1 V: 80 mV over the shunt; the lowest bits of the bus register are flags.
    assert Ina219(FakeBus(shunt=8000, bus=(1275 << 3) | 0b010)).read().power_w == pytest.approx(0.8 * 5.1)
    assert Ina226(FakeBus(shunt=32000, bus=4080)).read().power_w == pytest.approx(0.8 * 5.1)


def test_time_is_the_middle_of_the_mean() -> None:
    times = iter([0.0, 10.0, 10.5])
    reading = Ina219(FakeBus(shunt=1, bus=0), clock=lambda: next(times)).read()
    assert reading.time_s == 10.5 - Ina219.period_s / 2


def test_configuration() -> None:
    bus = FakeBus()
    Ina219(bus)
    word = bus.registers[0]
    # Section 8.6.2.1: 16 V, 320 mV, bus 12 bits (532 us), shunt 16 samples (8.51 ms), both continuously.
    assert [word >> 13 & 1, word >> 11 & 3, word >> 7 & 15, word >> 3 & 15, word & 7] == [0, 3, 0b0011, 0b1100, 7]
    bus = FakeBus()
    Ina226(bus)
    word = bus.registers[0]
    # Section 7.1.1: mean of 4, bus 140 us, shunt 2.116 ms, both continuously.
    assert [word >> 12, word >> 9 & 7, word >> 6 & 7, word >> 3 & 7, word & 7] == [4, 0b001, 0b000, 0b101, 7]


def test_small_negative_offsets_are_kept_and_swapped_wires_are_told() -> None:
    assert Ina219(FakeBus(shunt=0xFFFF, bus=1250 << 3)).read().power_w == pytest.approx(-0.0005)
    with pytest.raises(MeterError, match="positive power, but got -4.000 W: swap IN\\+ and IN-"):
        Ina219(FakeBus(shunt=0x10000 - 8000, bus=1250 << 3)).read()


@pytest.mark.parametrize(
    ("sensor", "shunt", "ampere"),
    [(Ina219, 32000, "3.20"), (Ina219, 0x10000 - 32000, "3.20"), (Ina226, 0x7FFF, "0.82")],
)
def test_beyond_the_range(sensor: type[Ina219], shunt: int, ampere: str) -> None:
    with pytest.raises(MeterError, match=f"must stay below {ampere} A.*smaller shunt"):
        sensor(FakeBus(shunt=shunt, bus=1250 << 3)).read()


def test_nothing_at_that_address() -> None:
    with pytest.raises(MeterError, match="ina219 at I2C address 0x41 must answer.*Remote I/O error.*i2cdetect"):
        Ina219(FakeBus(), address=0x41)


def test_another_chip() -> None:
    bus = FakeBus()
    bus.registers[0xFE] = 0xFFFF
    with pytest.raises(MeterError, match="register 0xfe of an INA226 must hold 0x5449, but got 0xffff"):
        Ina226(bus)

    class Deaf(FakeBus):
        def write_word_data(self, i2c_addr: int, register: int, value: int) -> None:
            pass

    with pytest.raises(MeterError, match="must hold the configuration 0x19e7, but has 0x399f"):
        Ina219(Deaf())


def test_without_smbus2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "smbus2", None)
    with pytest.raises(MeterError, match="pip install smbus2"):
        ina.open_bus(1)


def test_a_bus_that_is_not_there() -> None:
    with pytest.raises(MeterError, match="/dev/i2c-99 must be there.*raspi-config"):
        ina.open_bus(99)
