"""Every meter on a simulated board, with the windows and delays of its hardware. Start with `simulated_energy`.

Time and power are simulated, and so is what hardware answers; the meters' own readers, the server's replies and
`SampledMeter` are those that read real hardware.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from devices.channel import Channel, Peer
from devices.energy.meter import MeteredEnergy
from devices.energy.sampled_meter import SampledMeter
from devices.energy.simulated_sensors import (
    SimulatedBus,
    SimulatedChip,
    SimulatedIna219,
    SimulatedIna226,
    SimulatedIna228,
    SimulatedIna260,
    SimulatedIna3221,
)
from devices.errors import MeasurementError
from devices.measurement import MeasureSettings
from devices.meters import server
from devices.meters.hwmon import Hwmon, chosen_channels
from devices.meters.ina import Ina219, Ina226, Ina260, InaSensor
from devices.meters.ina228 import Ina228
from devices.meters.ina3221 import Ina3221
from devices.meters.nvml import Nvml
from devices.meters.plugs import Shelly, Tasmota
from devices.meters.pmic import Pmic
from devices.meters.power_meter import PowerMeter, Reading
from devices.meters.rapl import Rapl
from devices.meters.sampling import Description, mean_step_s, step_s
from devices.meters.um25c import Um25c

SUPPLY_V = 5.0
SHUNT_OHM = 0.02
"""Shunt of the simulated sensors, as a Pi under load needs it."""


@dataclass(kw_only=True, slots=True)
class SimulatedBoard:
    """A board that idles, runs a load, and idles again; its clock runs when a meter waits."""

    idle_w: float
    load_w: float
    """Above idle."""
    now_s: float = 0.0
    run_s: tuple[float, float] = (math.inf, math.inf)
    """Start and end of the load."""

    def clock(self) -> float:
        """The time, in s."""
        return self.now_s

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds

    def energy_j(self, until_s: float) -> float:
        """Energy drawn since time 0."""
        start_s, end_s = self.run_s
        return self.idle_w * until_s + self.load_w * max(0.0, min(until_s, end_s) - start_s)

    def mean_w(self, window_s: float, *, every_s: float | None = None) -> float:
        """What hardware shows now: the mean power of a window, up to now or to the last multiple of `every_s`."""
        end_s = self.now_s if every_s is None else math.floor(self.now_s / every_s) * every_s
        return (self.energy_j(end_s) - self.energy_j(end_s - window_s)) / window_s


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulatedMeter:
    """A meter on a simulated board."""

    name: str
    """Of the meter, and of a variant."""
    open: Callable[[SimulatedBoard, ExitStack], PowerMeter]


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulatedEnergy:
    """Energy of one inference, as it was and as it was read."""

    true_mj: float
    """Above idle."""
    read: MeteredEnergy
    seconds: float
    """Duration of the run."""

    @property
    def relative_error(self) -> float:
        """Of the net energy, as a share of the true one; below 0 if too little was read."""
        return self.read.net_mj / self.true_mj - 1


def simulated_energy(
    meter: SimulatedMeter, *, idle_w: float, load_w: float, runs: int = 100, phase: float = 0.0
) -> SimulatedEnergy:
    """Energy of one inference of a constant load, as a meter's pipeline gives it.

    Args:
        meter: one of `SIMULATED_METERS`.
        idle_w: power of the idle board.
        load_w: power of the load, above idle.
        runs: inferences that the run is taken to have; it lasts as long as a device lets it.
        phase: from 0 to 1: when the run begins within a period of the meter.
    """
    board = SimulatedBoard(idle_w=idle_w, load_w=load_w, now_s=100.0)
    with ExitStack() as stack:
        source = _Source(board, meter.open(board, stack))
        sampled = SampledMeter(lambda: _SimulatedServer(board, source), agent_clock=board.clock)
        idle = sampled.idle()
        seconds = max(MeasureSettings().metered_seconds, sampled.seconds_needed)
        start_s = board.now_s + 1.0 + phase * source.describe().period_s
        board.run_s = (start_s, start_s + seconds)
        read = sampled.energy(*board.run_s, runs, idle=idle)
    return SimulatedEnergy(true_mj=1000 * load_w * seconds / runs, read=read, seconds=seconds)


def simulated_readings(meter: SimulatedMeter, board: SimulatedBoard, *, until_s: float) -> list[Reading]:
    """All readings of a meter up to a time, at the pace at which real ones come."""
    with ExitStack() as stack:
        return _Source(board, meter.open(board, stack)).window(-math.inf, until_s)


class _Source:
    """Samples of a meter, taken at the pace of `devices.meters.sampling.Sampler`."""

    def __init__(self, board: SimulatedBoard, meter: PowerMeter) -> None:
        self._board, self._meter = board, meter
        self._readings: list[Reading] = []
        self._due_s = board.now_s
        self._read_until(board.now_s + 10 * meter.period_s)

    def describe(self) -> Description:
        period_s = max(mean_step_s(self._readings[-20:]), self._meter.period_s)
        return Description(self._meter.name, period_s, self._meter.window_s, self._meter.step_w)

    def window(self, since_s: float, until_s: float) -> list[Reading]:
        self._read_until(until_s)
        times_s = [reading.time_s for reading in self._readings]
        return self._readings[bisect_left(times_s, since_s) : bisect_right(times_s, until_s)]

    def _read_until(self, until_s: float) -> None:
        while not self._readings or self._readings[-1].time_s < until_s:
            self._due_s = max(self._due_s + step_s(self._meter.period_s, len(self._readings)), self._board.now_s)
            self._board.now_s = self._due_s
            self._readings.append(self._meter.read())


class _SimulatedServer(Channel):
    """The server's own answers, at the board's time."""

    def __init__(self, board: SimulatedBoard, source: _Source) -> None:
        super().__init__(Peer("the simulated meter", remedy="look at its code"))
        self._board, self._source = board, source

    @property
    def alive(self) -> bool:
        return True

    def end(self) -> None:
        """Nothing runs."""

    def _write(self, line: bytes) -> None:
        reply = server.answer(line.decode(), self._source, clock=self._board.clock)
        self._lines.put(json.dumps(reply).encode())

    def _crashed(self) -> MeasurementError:
        return MeasurementError("a simulated meter cannot crash.")

    def _last_words(self) -> None:
        return None


class _Um25cPort:
    """Figures that are renewed every half second, as means of it; a frame of 130 bytes takes 135 ms."""

    def __init__(self, board: SimulatedBoard) -> None:
        self._board = board
        self._frame = b""

    def write(self, data: bytes) -> None:
        self._board.wait(0.02)
        power_w = self._board.mean_w(0.5, every_s=0.5)
        frame = bytearray(130)
        frame[0:2], frame[128:130] = b"\x09\xc9", b"\xff\xf1"
        frame[2:4] = round(SUPPLY_V * 1000).to_bytes(2, "big")
        frame[4:6] = round(power_w / SUPPLY_V * 10_000).to_bytes(2, "big")
        self._frame = bytes(frame)

    def read(self, size: int) -> bytes:
        self._board.wait(0.135)
        return self._frame

    def reset_input_buffer(self) -> None:
        """Nothing is left over."""


def _ina(
    sensor: type[InaSensor], chip: type[SimulatedChip], conversion_s: float
) -> Callable[[SimulatedBoard, ExitStack], PowerMeter]:
    """A sensor that shows its last finished conversion, a mean of the time that this took."""

    def open_on(board: SimulatedBoard, stack: ExitStack) -> PowerMeter:
        return sensor(
            _bus_of(board, chip(current_a=_current(board, conversion_s), bus_v=SUPPLY_V, shunt_ohm=SHUNT_OHM)),
            shunt_ohm=SHUNT_OHM,
            clock=board.clock,
        )

    return open_on


def _ina3221(board: SimulatedBoard, stack: ExitStack) -> PowerMeter:
    """All three channels, converted one after another."""
    chip = SimulatedIna3221(current_a=_current(board, 3 * 0.00902), bus_v=SUPPLY_V, shunt_ohm=SHUNT_OHM)
    return Ina3221(_bus_of(board, chip), channels=(1, 2, 3), shunt_ohm=SHUNT_OHM, clock=board.clock)


def _ina228(board: SimulatedBoard, stack: ExitStack) -> PowerMeter:
    """Energy that is added up after each conversion."""
    chip = SimulatedIna228(
        current_a=_current(board, 0.0012),
        energy_j=lambda: board.energy_j(math.floor(board.now_s / 0.0012) * 0.0012),
        began_j=board.energy_j(board.now_s),
        bus_v=SUPPLY_V,
        shunt_ohm=SHUNT_OHM,
    )
    return Ina228(_bus_of(board, chip), shunt_ohm=SHUNT_OHM, clock=board.clock)


def _current(board: SimulatedBoard, conversion_s: float) -> Callable[[], float]:
    return lambda: board.mean_w(conversion_s, every_s=conversion_s) / SUPPLY_V


def _bus_of(board: SimulatedBoard, chip: SimulatedChip) -> SimulatedBus:
    """A transfer takes 0.3 ms."""
    return SimulatedBus(chip=chip, transfer=lambda: board.wait(0.0003))


def _hwmon(board: SimulatedBoard, stack: ExitStack) -> PowerMeter:
    """An INA226 as its driver sets it up: means of 35 ms, in steps of 1 mA and 25 mW."""
    folder = _folder(stack) / "hwmon0"
    folder.mkdir()
    (folder / "name").write_text("ina226\n")
    (folder / "update_interval").write_text("36\n")

    shown = 0.0

    def clock() -> float:
        nonlocal shown
        power_w = board.mean_w(0.0352, every_s=0.0352)
        if power_w != shown:
            shown = power_w
            (folder / "power1_input").write_text(f"{25_000 * round(power_w / 0.025)}\n")
            (folder / "curr1_input").write_text(f"{round(1000 * power_w / SUPPLY_V)}\n")
        return board.now_s

    clock()
    return Hwmon(chosen_channels("ina226", (), root=folder.parent), clock=clock)


def _um25c(board: SimulatedBoard, stack: ExitStack) -> PowerMeter:
    return Um25c(_Um25cPort(board), clock=board.clock)


def _pmic(board: SimulatedBoard, stack: ExitStack) -> PowerMeter:
    """A command of 24 ms, in whose middle the rails are converted, each a mean of 10 ms."""

    def query() -> str:
        board.wait(0.012)
        amperes = board.mean_w(0.01) / 2
        board.wait(0.012)
        return "".join(f"{rail}_A current(1)={amperes:.8f}A\n{rail}_V volt(2)=1.0V\n" for rail in ("CORE", "DDR"))

    return Pmic(query, clock=board.clock)


def _folder(stack: ExitStack) -> Path:
    """A folder whose files are written at each instant, in memory where that is possible."""
    memory = Path("/dev/shm")
    return Path(stack.enter_context(tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None)))


def _rapl(board: SimulatedBoard, stack: ExitStack) -> PowerMeter:
    """A counter that moves every millisecond, in steps of 61 uJ."""
    root = _folder(stack)
    zone = root / "intel-rapl:0"
    zone.mkdir()
    (zone / "name").write_text("package-0\n")
    (zone / "max_energy_range_uj").write_text("262143328850\n")

    def clock() -> float:
        steps = math.floor(board.energy_j(math.floor(board.now_s / 0.001) * 0.001) / 61e-6)
        (zone / "energy_uj").write_text(f"{round(61 * steps)}\n")
        return board.now_s

    return Rapl(root, clock=clock)


def _nvml(board: SimulatedBoard, *, counter: bool) -> PowerMeter:
    """A counter that moves every 0.1 s; without one, power is a mean of a second, renewed as often."""

    class NVMLError(Exception):
        pass

    def energy_mj(handle: int) -> int:
        if not counter:
            raise NVMLError("Not Supported")
        return round(1000 * board.energy_j(math.floor(board.now_s / 0.1) * 0.1))

    library = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetTotalEnergyConsumption=energy_mj,
        nvmlDeviceGetPowerUsage=lambda handle: round(1000 * board.mean_w(1.0, every_s=0.1)),
    )
    return Nvml(library, clock=board.clock)


def _fetching(board: SimulatedBoard, content_of: Callable[[str, float], object]) -> Callable[[str], object]:
    """A plug that renews its power every second, as a mean of it, and takes 30 ms each way to answer."""

    def fetch(url: str) -> object:
        board.wait(0.03)
        content = content_of(url, board.mean_w(1.0, every_s=1.0))
        board.wait(0.03)
        return content

    return fetch


def _shelly(board: SimulatedBoard, *, generation: int) -> PowerMeter:
    """The first generation shows hundredths of a watt, the second one tenths."""

    def content_of(url: str, power_w: float) -> object:
        if url.endswith("/shelly"):
            return {"gen": generation}
        return {"power": round(power_w, 2)} if generation == 1 else {"apower": round(power_w, 1)}

    return Shelly("http://plug", fetch=_fetching(board, content_of), clock=board.clock)


def _tasmota(board: SimulatedBoard, stack: ExitStack) -> PowerMeter:
    """With `WattRes 3`."""
    fetch = _fetching(board, lambda url, power_w: {"StatusSNS": {"ENERGY": {"Power": round(power_w, 3)}}})
    return Tasmota("http://plug", fetch=fetch, clock=board.clock)


SIMULATED_METERS: tuple[SimulatedMeter, ...] = (
    SimulatedMeter(name="ina219", open=_ina(Ina219, SimulatedIna219, 0.00905)),
    SimulatedMeter(name="ina226", open=_ina(Ina226, SimulatedIna226, 0.00902)),
    SimulatedMeter(name="ina228", open=_ina228),
    SimulatedMeter(name="ina260", open=_ina(Ina260, SimulatedIna260, 0.00902)),
    SimulatedMeter(name="ina3221", open=_ina3221),
    SimulatedMeter(name="hwmon", open=_hwmon),
    SimulatedMeter(name="um25c", open=_um25c),
    SimulatedMeter(name="pmic", open=_pmic),
    SimulatedMeter(name="rapl", open=_rapl),
    SimulatedMeter(name="nvml", open=lambda board, stack: _nvml(board, counter=True)),
    SimulatedMeter(name="nvml without a counter", open=lambda board, stack: _nvml(board, counter=False)),
    SimulatedMeter(name="shelly", open=lambda board, stack: _shelly(board, generation=1)),
    SimulatedMeter(name="shelly of the second generation", open=lambda board, stack: _shelly(board, generation=2)),
    SimulatedMeter(name="tasmota", open=_tasmota),
)
"""All meters, with the variants that are read in another way."""
