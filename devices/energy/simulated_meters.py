"""Every meter on a simulated board, with the windows and delays of its hardware. Start with `simulated_energy`.

Time and power are simulated, and so is what hardware answers; the meters' own readers, the server's replies and
`SampledMeter` are those that read real hardware.
"""

from __future__ import annotations

import json
import math
import tempfile
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

from devices.channel import Channel, Peer
from devices.energy.meter import MeteredEnergy
from devices.energy.sampled_meter import SampledMeter
from devices.errors import MeasurementError
from devices.measurement import MeasureSettings
from devices.meters import server
from devices.meters.ina import Ina219, Ina226
from devices.meters.nvml import Nvml
from devices.meters.plugs import Shelly, Tasmota
from devices.meters.pmic import Pmic
from devices.meters.power_meter import PowerMeter, Reading
from devices.meters.rapl import Rapl
from devices.meters.sampling import Description, mean_step_s, step_s
from devices.meters.um25c import Um25c

SUPPLY_V = 5.0
SHUNT_OHM = 0.02
"""Shunt of the simulated INA219 and INA226, as a Pi under load needs it."""


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
        return Description(self._meter.name, period_s, self._meter.window_s)

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


@dataclass
class _InaBus:
    """Registers of an INA sensor: the last finished conversion, a mean of its window."""

    board: SimulatedBoard
    shunt_lsb_v: float
    bus_word: int
    conversion_s: float
    registers: dict[int, int] = field(default_factory=lambda: {0xFE: 0x5449, 0xFF: 0x2260})

    def read_word_data(self, i2c_addr: int, register: int) -> int:
        self.board.wait(0.0003)
        power_w = self.board.mean_w(self.conversion_s, every_s=self.conversion_s)
        measured = {1: round(power_w / SUPPLY_V * SHUNT_OHM / self.shunt_lsb_v), 2: self.bus_word}
        return _swapped({**self.registers, **measured}[register])

    def write_word_data(self, i2c_addr: int, register: int, value: int) -> None:
        self.registers[register] = _swapped(value)


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


def _ina219(board: SimulatedBoard, stack: ExitStack) -> PowerMeter:
    bus = _InaBus(board, Ina219.SHUNT_LSB_V, round(SUPPLY_V / Ina219.BUS_LSB_V) << 3, 0.00905)
    return Ina219(bus, shunt_ohm=SHUNT_OHM, clock=board.clock)


def _ina226(board: SimulatedBoard, stack: ExitStack) -> PowerMeter:
    bus = _InaBus(board, Ina226.SHUNT_LSB_V, round(SUPPLY_V / Ina226.BUS_LSB_V), 0.00902)
    return Ina226(bus, shunt_ohm=SHUNT_OHM, clock=board.clock)


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


def _rapl(board: SimulatedBoard, stack: ExitStack) -> PowerMeter:
    """A counter that moves every millisecond, in steps of 61 uJ."""
    root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
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
    SimulatedMeter(name="ina219", open=_ina219),
    SimulatedMeter(name="ina226", open=_ina226),
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


def _swapped(word: int) -> int:
    return int.from_bytes(word.to_bytes(2, "big"), "little")
