"""What every `PowerMeter` keeps. A new meter needs a fake of its hardware, and one line in `IMPLEMENTATIONS`."""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

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
from devices.meters.hwmon import Hwmon, chosen_channels
from devices.meters.ina import Ina219, Ina226, Ina260, InaSensor
from devices.meters.ina228 import Ina228
from devices.meters.ina3221 import Ina3221
from devices.meters.nvml import Nvml
from devices.meters.plugs import Shelly, Tasmota
from devices.meters.pmic import Pmic, query_command
from devices.meters.power_meter import MeterError, PowerMeter
from devices.meters.rapl import Rapl
from devices.meters.spec import METER_NAMES
from devices.meters.um25c import Um25c, open_port
from tests.devices.conftest import EmulatedUm25c
from tests.devices.meters.conftest import FakeDriver, StartPlug, make_command, make_sensor, make_zone


class Hardware(ABC):
    """A fake meter on a load, with a clock that runs when a test says so."""

    silent: str
    """What the error says when the hardware does not answer."""
    absurd: str | None
    """What the error says when it gives an impossible answer; None if it has none."""

    def __init__(self) -> None:
        self.power_w = 0.0
        self.energy_j = 1.0
        self.now_s = 100.0

    def clock(self) -> float:
        return self.now_s

    def draw(self, power_w: float, seconds: float = 1.0) -> None:
        """Draw a power for some time; the hardware works, whatever was before."""
        self.power_w = power_w
        self.energy_j += power_w * seconds
        self.now_s += seconds
        self.show()

    @abstractmethod
    def open(self) -> PowerMeter:
        """Open the meter."""

    @abstractmethod
    def show(self) -> None:
        """Work, and show the power now and the energy until now."""

    @abstractmethod
    def be_silent(self) -> None:
        """Answer no more."""

    def be_absurd(self) -> None:
        """Give impossible answers."""
        raise NotImplementedError


class FakeIna(Hardware):
    absurd = "must stay below .* A, but .*: use a .* shunt"

    def __init__(self, open_on: Callable[..., InaSensor], chip: type[SimulatedChip]) -> None:
        super().__init__()
        self._open_on = open_on
        self._power_w = 0.0
        counter = {"energy_j": lambda: self.energy_j} if chip is SimulatedIna228 else {}
        make: Callable[..., SimulatedChip] = chip
        self._bus = SimulatedBus(chip=make(current_a=lambda: self._power_w / 5.0, shunt_ohm=0.01, **counter))
        self.silent = "the ina.* at I2C address 0x40 must answer"

    def open(self) -> PowerMeter:
        return self._open_on(self._bus, shunt_ohm=0.01, clock=self.clock)

    def show(self) -> None:
        self._bus.plugged, self._power_w = True, self.power_w

    def be_silent(self) -> None:
        self._bus.plugged = False

    def be_absurd(self) -> None:
        self._power_w = 1000.0


class FakeHwmon(Hardware):
    silent = "the sensor ina226 of the kernel must stay, but .*power1_input is gone"
    absurd = "power1_input must hold a whole number, but got invalid literal"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = make_sensor(folder, 0, "ina226", power1_input=0, update_interval=36)

    def open(self) -> PowerMeter:
        return Hwmon(chosen_channels("", (1,), root=self._folder.parent), clock=self.clock)

    def show(self) -> None:
        (self._folder / "power1_input").write_text(f"{round(1e6 * self.power_w)}\n")

    def be_silent(self) -> None:
        (self._folder / "power1_input").unlink(missing_ok=True)

    def be_absurd(self) -> None:
        (self._folder / "power1_input").write_text("none\n")


class FakeUm25c(Hardware):
    silent = "the um25c must answer within 0.3 s, but did not: .*switched on"
    absurd = "the um25c must send whole frames, but 3 were broken"

    def __init__(self, meter: EmulatedUm25c, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        monkeypatch.setattr("devices.meters.um25c.TIMEOUT_S", 0.3)
        self._meter = meter

    def open(self) -> PowerMeter:
        return Um25c(open_port(self._meter.path), clock=self.clock)

    def show(self) -> None:
        self._meter.power_w, self._meter.silent, self._meter.broken = self.power_w, False, False

    def be_silent(self) -> None:
        self._meter.silent = True

    def be_absurd(self) -> None:
        self._meter.broken = True


class FakePmic(Hardware):
    silent = "must end with code 0, but ended with 3"
    absurd = "must report voltage and current of rails, but got 'error=1'"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def open(self) -> PowerMeter:
        return Pmic(query_command(str(self._folder / "vcgencmd")), clock=self.clock)

    def show(self) -> None:
        make_command(self._folder, f"echo 'A_A current(1)={self.power_w}A'; echo 'A_V volt(2)=1.0V'")

    def be_silent(self) -> None:
        make_command(self._folder, "exit 3")

    def be_absurd(self) -> None:
        make_command(self._folder, "echo error=1")


class FakeRapl(Hardware):
    silent = "energy_uj must hold a whole number, but got .*No such file"
    absurd = "energy_uj must hold a whole number, but got invalid literal"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._counter = make_zone(folder, "intel-rapl:0", "package-0") / "energy_uj"

    def open(self) -> PowerMeter:
        return Rapl(self._folder, clock=self.clock)

    def show(self) -> None:
        self._counter.write_text(f"{round(1e6 * self.energy_j)}\n")

    def be_silent(self) -> None:
        self._counter.unlink()

    def be_absurd(self) -> None:
        self._counter.write_text("none\n")


class FakeGpu(Hardware):
    absurd = None

    def __init__(self, index: int) -> None:
        super().__init__()
        self.silent = f"GPU {index} must answer, but got .*: see whether `nvidia-smi` works"
        self._index = index
        self._driver = FakeDriver()

    def open(self) -> PowerMeter:
        return Nvml(self._driver.library, index=self._index, clock=self.clock)

    def show(self) -> None:
        self._driver.fallen = False
        self._driver.energy_mj, self._driver.power_mw = round(1000 * self.energy_j), round(1000 * self.power_w)

    def be_silent(self) -> None:
        self._driver.fallen = True


class FakePlug(Hardware):
    def __init__(
        self, kind: type[Shelly | Tasmota], start: StartPlug, content_of: Callable[[str, object], object]
    ) -> None:
        super().__init__()
        self.silent = f"the {kind.name} plug must answer within 3 s at http.*plugged in"
        self.absurd = f"the {kind.name} plug must report a power at http.*only plugs that meter"
        self._kind, self._content_of = kind, content_of
        self._answers, self._shown = True, object()
        self._url = start(lambda path: self._content_of(path, self._shown) if self._answers else None)

    def open(self) -> PowerMeter:
        return self._kind(self._url, clock=self.clock)

    def show(self) -> None:
        self._answers, self._shown = True, self.power_w

    def be_silent(self) -> None:
        self._answers = False

    def be_absurd(self) -> None:
        self._shown = "on"


def shelly_gen1(path: str, power: object) -> object:
    return {
        "/shelly": {"type": "SHPLG-S", "mac": "00"},
        "/meter/0": {"power": power, "is_valid": True, "total": 439237},
    }.get(path)


def shelly_gen2(path: str, power: object) -> object:
    return {
        "/shelly": {"id": "plug", "gen": 2},
        "/rpc/Switch.GetStatus?id=0": {"id": 0, "output": True, "apower": power, "aenergy": {"total": 12.005}},
    }.get(path)


def tasmota(path: str, power: object) -> object:
    energy = {"Total": 0.52, "Power": power, "Voltage": 234}
    return {"StatusSNS": {"ENERGY": energy}} if path == "/cm?cmnd=Status%2010" else {}


def tasmota_before_5_13(path: str, power: object) -> object:
    return {
        "/cm?cmnd=Status%2010": {"Command": "Unknown"},
        "/cm?cmnd=Status%208": {"StatusPWR": {"Total": 0.52, "Power": power}},
    }.get(path)


class Fixtures(NamedTuple):
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    um25c: EmulatedUm25c
    start_plug: StartPlug


IMPLEMENTATIONS: dict[str, Callable[[Fixtures], Hardware]] = {
    "ina219": lambda given: FakeIna(Ina219, SimulatedIna219),
    "ina226": lambda given: FakeIna(Ina226, SimulatedIna226),
    "ina228": lambda given: FakeIna(Ina228, SimulatedIna228),
    "ina260": lambda given: FakeIna(Ina260, SimulatedIna260),
    "ina3221": lambda given: FakeIna(functools.partial(Ina3221, channels=(1, 2, 3)), SimulatedIna3221),
    "hwmon": lambda given: FakeHwmon(given.folder),
    "um25c": lambda given: FakeUm25c(given.um25c, given.monkeypatch),
    "pmic": lambda given: FakePmic(given.folder),
    "rapl": lambda given: FakeRapl(given.folder),
    "nvml": lambda given: FakeGpu(0),
    "nvml without a counter": lambda given: FakeGpu(1),
    "shelly": lambda given: FakePlug(Shelly, given.start_plug, shelly_gen1),
    "shelly of the second generation": lambda given: FakePlug(Shelly, given.start_plug, shelly_gen2),
    "tasmota": lambda given: FakePlug(Tasmota, given.start_plug, tasmota),
    "tasmota before 5.13": lambda given: FakePlug(Tasmota, given.start_plug, tasmota_before_5_13),
}


@pytest.fixture(params=list(IMPLEMENTATIONS.values()), ids=list(IMPLEMENTATIONS))
def hardware(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    um25c: EmulatedUm25c,
    start_plug: StartPlug,
) -> Hardware:
    fake: Hardware = request.param(Fixtures(tmp_path, monkeypatch, um25c, start_plug))
    fake.draw(1.0)
    return fake


def test_every_meter_has_its_fake() -> None:
    assert {name.split()[0] for name in IMPLEMENTATIONS} == set(METER_NAMES)


def test_it_has_a_name_and_a_period(hardware: Hardware) -> None:
    meter = hardware.open()
    assert meter.name in METER_NAMES
    assert 0 < meter.period_s <= 1
    assert 0 < meter.window_s <= 2.5


def test_it_reads_the_load(hardware: Hardware) -> None:
    meter = hardware.open()
    for power_w in (3.0, 0.0, 4.0, 4.0):
        hardware.draw(power_w)
        assert meter.read().power_w == pytest.approx(power_w, abs=0.005)


def test_times_of_readings_are_those_of_the_power(hardware: Hardware) -> None:
    meter = hardware.open()
    last_s = hardware.now_s
    for seconds in (1.0, 2.5, 0.5):
        before_s = hardware.now_s
        hardware.draw(3.0, seconds)
        time_s = meter.read().time_s
        assert before_s < time_s <= hardware.now_s
        assert time_s > last_s
        last_s = time_s


def test_silence_is_told_and_the_next_reading_works(hardware: Hardware) -> None:
    meter = hardware.open()
    hardware.be_silent()
    for _ in range(2):
        with pytest.raises(MeterError, match=hardware.silent) as error:
            meter.read()
        assert "\n" not in str(error.value)
    hardware.draw(3.0)
    assert math.isfinite(meter.read().power_w)
    hardware.draw(4.0)
    assert meter.read().power_w == pytest.approx(4.0, abs=0.005)


def test_an_impossible_answer_is_told_and_the_next_reading_works(hardware: Hardware) -> None:
    if hardware.absurd is None:
        pytest.skip("this hardware has no impossible answer")
    meter = hardware.open()
    hardware.be_absurd()
    with pytest.raises(MeterError, match=hardware.absurd) as error:
        meter.read()
    assert "\n" not in str(error.value)
    hardware.draw(3.0)
    assert math.isfinite(meter.read().power_w)
    hardware.draw(4.0)
    assert meter.read().power_w == pytest.approx(4.0, abs=0.005)


def test_hardware_that_is_silent_from_the_start_is_told_at_the_first_reading_at_the_latest(hardware: Hardware) -> None:
    hardware.be_silent()
    with pytest.raises(MeterError):
        hardware.open().read()
