import functools
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from devices.channel import Reply
from devices.energy.meter import MeteredEnergy, TooFewSamplesError
from devices.energy.meter_process import start_meter_process
from devices.energy.sampled_meter import MIN_SAMPLES, SampledMeter, local_meter, open_meter
from devices.errors import MeasurementError
from devices.meters.spec import MeterSpec
from tests.devices.conftest import EmulatedUm25c, FakeChannel, Request, reply_to

IDLE_W, BUSY_W = 2.0, 5.0


class FakeServer(FakeChannel):
    """A meter whose clock is ahead, and whose power steps up while the agent's clock shows a run."""

    def __init__(
        self,
        *,
        ahead_s: float = 0.0,
        period_s: float = 0.01,
        noise_w: float = 0.0,
        window_s: float | None = None,
        smoothed_s: float = 0.0,
        repeats: int = 1,
    ) -> None:
        super().__init__(self.answer)
        self.ahead_s, self.period_s, self.noise_w = ahead_s, period_s, noise_w
        self.window_s, self.smoothed_s, self.repeats = window_s, smoothed_s, repeats
        self.run_s = (0.0, 0.0)
        self.rng = np.random.default_rng(0)
        self.replies: dict[str, Request | None] = {}

    def answer(self, request: Request) -> list[bytes | None]:
        command = request["command"]
        if command in self.replies:
            reply = self.replies[command]
            return [None if reply is None else reply_to(request, **reply)]
        if command == "clock":
            return [reply_to(request, time_s=time.monotonic() + self.ahead_s)]
        samples = self.samples(request["since_s"], request["until_s"]) if command == "samples" else {}
        return [reply_to(request, name="fake", period_s=self.period_s, window_s=self.window_s, **samples)]

    def samples(self, since_s: float, until_s: float) -> dict[str, object]:
        first = np.ceil(since_s / self.period_s)
        times_s = np.arange(first, np.floor(until_s / self.period_s) + 1) * self.period_s
        start_s, end_s = (time_s + self.ahead_s for time_s in self.run_s)
        if self.smoothed_s:
            half_s = self.smoothed_s / 2
            inside_s = np.minimum(times_s + half_s, end_s) - np.maximum(times_s - half_s, start_s)
            share = np.clip(inside_s, 0, None) / self.smoothed_s
        else:
            share = ((times_s >= start_s) & (times_s <= end_s)).astype(float)
        noise_w = self.noise_w * self.rng.standard_normal(times_s.size)
        powers_w = IDLE_W + (BUSY_W - IDLE_W) * share + np.repeat(noise_w, self.repeats)[: times_s.size]
        return {"times_s": times_s[:40].tolist(), "powers_w": powers_w[:40].tolist(), "more": bool(times_s.size > 40)}


def metered(
    server: FakeServer, *, seconds: float = 2.0, runs: int = 100, idle_seconds: float | None = None
) -> MeteredEnergy:
    meter = SampledMeter(lambda: server, idle_seconds=idle_seconds)
    start_s = time.monotonic() + 100
    server.run_s = (start_s, start_s + seconds)
    return meter.energy(start_s, start_s + seconds, runs, idle=meter.idle())


def test_energy_of_a_constant_load() -> None:
    energy = metered(FakeServer())
    assert energy.gross_mj == pytest.approx(BUSY_W * 2.0 / 100 * 1000)
    assert energy.net_mj == pytest.approx((BUSY_W - IDLE_W) * 2.0 / 100 * 1000)
    assert energy.idle_w == pytest.approx(IDLE_W)
    assert energy.meter == "fake"
    assert energy.interval_mj == pytest.approx(0, abs=1e-9)
    assert 190 <= energy.samples <= 200


@pytest.mark.parametrize("ahead_s", [5.0, -5.0])
def test_a_clock_that_is_ahead_is_corrected(ahead_s: float) -> None:
    server = FakeServer(ahead_s=ahead_s)
    assert metered(server).net_mj == pytest.approx(60.0)
    offset_s, uncertainty_s = SampledMeter(lambda: server).clock_offset()
    assert abs(offset_s - ahead_s) <= uncertainty_s + 1e-4
    offset_s, uncertainty_s = SampledMeter(
        lambda: server, agent_clock=lambda: time.monotonic() + ahead_s
    ).clock_offset()
    assert abs(offset_s) <= uncertainty_s + 1e-4


def test_the_ends_of_a_run_are_left_out_as_far_as_the_clocks_are_uncertain(monkeypatch: pytest.MonkeyPatch) -> None:
    server = FakeServer()
    monkeypatch.setattr(SampledMeter, "clock_offset", lambda self: (0.1, 0.15))
    assert metered(server, seconds=2.0).net_mj == pytest.approx(60.0)


def test_noise_widens_the_interval_and_stays_in_it() -> None:
    quiet, loud = metered(FakeServer(noise_w=0.05)), metered(FakeServer(noise_w=0.5))
    assert 0 < quiet.interval_mj < loud.interval_mj
    for energy in (quiet, loud):
        assert abs(energy.net_mj - 60.0) < 2 * energy.interval_mj


def test_a_run_that_is_too_short() -> None:
    server = FakeServer(period_s=0.1)
    needed_s = SampledMeter(lambda: server).seconds_needed
    assert needed_s == pytest.approx(1.3 * 20 * 0.1 + 2 * 0.1)
    with pytest.raises(TooFewSamplesError, match="needs 20 samples, but fake gave 18 in 2.00 s: let a run last 2.8 s"):
        metered(server, seconds=2.0)
    assert metered(server, seconds=needed_s).samples >= MIN_SAMPLES


def test_the_ends_of_a_run_are_left_out_as_far_as_the_meter_looks_around() -> None:
    """Each sample is a mean of 0.6 s, as a slow meter gives it; a guard of its period alone counts the ends, too."""
    energies = []
    for window_s in (None, 0.3):
        server = FakeServer(period_s=0.05, smoothed_s=0.6, window_s=window_s)
        energies.append(metered(server, seconds=3.0))
    assert energies[0].net_mj < 0.975 * 90.0
    assert energies[1].net_mj == pytest.approx(90.0)
    assert SampledMeter(lambda: server).seconds_needed == pytest.approx(1.3 * 20 * 0.05 + 2 * 0.3)


def test_repeated_readings_of_a_slow_meter_count_as_one() -> None:
    """A meter that looks every 0.5 s is no better known when it is asked ten times a second."""
    slow = metered(FakeServer(period_s=0.5, noise_w=0.3), seconds=60.0)
    repeated = metered(FakeServer(period_s=0.1, noise_w=0.3, repeats=5), seconds=60.0)
    assert repeated.samples == pytest.approx(slow.samples, abs=3)
    assert repeated.interval_mj == pytest.approx(slow.interval_mj, rel=0.5)
    assert metered(FakeServer(period_s=0.1, noise_w=0.3), seconds=60.0).interval_mj < 0.7 * repeated.interval_mj


class SettlingServer(FakeServer):
    """A board whose power above idle goes from one value to another one within each measurement, as after an upload."""

    def __init__(self, *ends_w: tuple[float, float], idle_w: float = IDLE_W) -> None:
        super().__init__()
        self.ends_w, self.idle_w = list(ends_w), idle_w

    def samples(self, since_s: float, until_s: float) -> dict[str, object]:
        ends_w = self.ends_w.pop(0) if len(self.ends_w) > 1 else self.ends_w[0]
        powers_w = self.idle_w + np.linspace(*ends_w, 40)
        return {"times_s": np.linspace(since_s, until_s, 40).tolist(), "powers_w": powers_w.tolist(), "more": False}


def test_idle_power_is_measured_until_it_is_steady(caplog: pytest.LogCaptureFixture) -> None:
    server = SettlingServer((1.0, 0.4), (0.4, 0.0), (0.01, 0.0))
    idle = SampledMeter(lambda: server, idle_seconds=1.0).idle()
    assert idle.power.mean_w == pytest.approx(IDLE_W + 0.005)
    assert not caplog.records
    SampledMeter(lambda: SettlingServer((0.4, 0.0)), idle_seconds=1.0).idle()
    (record,) = caplog.records
    assert "idle power by fake is not steady: it changed by -0.2" in record.getMessage()


def test_a_board_that_draws_nothing() -> None:
    server = SettlingServer((0.0, 0.0), idle_w=0.004)
    with pytest.raises(MeasurementError, match="must draw power, but fake sees 0.004 W: see whether the board is fed"):
        SampledMeter(lambda: server, idle_seconds=1.0).idle()


def test_idle_time_that_is_too_short() -> None:
    with pytest.raises(MeasurementError, match="idle power needs 20 samples, but fake gave .* idle for 0.3 s"):
        metered(FakeServer(), idle_seconds=0.05)
    with pytest.raises(ValueError, match="`idle_seconds > 0` must hold"):
        SampledMeter(FakeServer, idle_seconds=0)


def test_a_run_lasts_some_time_and_one_idle_power_serves_several() -> None:
    server = FakeServer()
    meter = SampledMeter(lambda: server)
    idle = meter.idle()
    assert (idle.power.mean_w, idle.meter) == (pytest.approx(IDLE_W), "fake")
    assert idle.power.samples >= 490
    for start_s in (1000.0, 2000.0):
        server.run_s = (start_s, start_s + 2)
        assert meter.energy(start_s, start_s + 2, 10, idle=idle).net_mj == pytest.approx(600)
    with pytest.raises(ValueError, match="`start_s < end_s` and `runs >= 1` must hold"):
        meter.energy(1.0, 1.0, 1, idle=idle)


@pytest.mark.parametrize(
    ("command", "reply", "message"),
    [
        ("describe", {"ok": False, "error": "no such bus"}, "the peer could not describe: no such bus"),
        ("describe", {"name": "fake"}, "finite number `period_s`, but got None"),
        ("describe", None, "the peer crashed"),
        ("samples", {"times_s": 3}, "must have a list `times_s`, but got 3"),
        ("samples", {"times_s": [1], "powers_w": [1, 2]}, "a power for each time, but sent 2 for 1"),
        ("samples", {"times_s": [1], "powers_w": ["much"]}, "finite number `powers_w`, but got 'much'"),
        ("samples", {"name": "fake", "times_s": [2, 1], "powers_w": [1, 1]}, "must ascend"),
    ],
)
def test_bad_replies(command: str, reply: Request | None, message: str) -> None:
    server = FakeServer()
    server.replies[command] = reply
    with pytest.raises(MeasurementError, match=message):
        SampledMeter(lambda: server).idle()


SOUND = {"name": "fake", "period_s": 0.01, "window_s": 0.01}


@pytest.mark.parametrize(
    ("command", "reply", "message"),
    [
        ("describe", {**SOUND, "period_s": 0}, "`period_s` from 1e-05 to 10 s, but got 0"),
        ("describe", {**SOUND, "period_s": 1e9}, "`period_s` from 1e-05 to 10 s"),
        ("describe", {**SOUND, "window_s": -1.0}, "`window_s` from 0 to 10 s"),
        ("describe", {**SOUND, "name": "../../../home/pi/.bashrc"}, "must have the `name` of a meter, but got"),
        ("describe", {**SOUND, "name": "\x1b[2J"}, "must have the `name` of a meter, but got"),
        ("describe", {**SOUND, "name": "x" * 100}, "must have the `name` of a meter, but got"),
        ("clock", {"time_s": -1e300}, "`time_s` from 0 to 1e.10 s"),
        ("samples", {**SOUND, "times_s": [1e9], "powers_w": [1]}, "send samples of the time asked for"),
        ("samples", {**SOUND, "times_s": [-1e9, 1e9], "powers_w": [1, 1]}, "send samples of the time asked for"),
    ],
)
def test_impossible_replies(command: str, reply: Request, message: str) -> None:
    server = FakeServer()
    server.replies[command] = reply
    with pytest.raises(MeasurementError, match=message):
        SampledMeter(lambda: server).idle()


class Tricky(FakeServer):
    """Whatever it is asked, it has more samples."""

    asked = 0

    def samples(self, since_s: float, until_s: float) -> dict[str, object]:
        self.asked += 1
        time_s = round(since_s, 6) + self.step_s
        return {"times_s": [time_s], "powers_w": [self.power_w], "more": time_s + self.step_s < until_s}

    step_s = 1e-6
    power_w = 2.0


@pytest.mark.parametrize(
    ("step_s", "power_w", "message"),
    [
        (1e-6, 2.0, "must send its samples at once, but fake had more after 400 replies"),
        (0.0, 2.0, "must send its samples at once, but fake had more after 400 replies|must ascend"),
        (-1.0, 2.0, "must ascend|of the time asked for|had more"),
        (0.1, 1e9, "power of a board must be below 10000 W, but fake sent 1e.09 W"),
    ],
)
def test_samples_without_end(step_s: float, power_w: float, message: str) -> None:
    server = Tricky()
    server.step_s, server.power_w = step_s, power_w
    with pytest.raises(MeasurementError, match=message):
        SampledMeter(lambda: server, idle_seconds=4.0).idle()
    assert server.asked <= 400


def test_a_clock_that_jumps_is_found_out() -> None:
    server, times_s = FakeServer(), iter([0.0, 3600.0] * 100)
    meter = SampledMeter(lambda: server, agent_clock=lambda: time.monotonic() + next(times_s))
    with pytest.raises(MeasurementError, match=r"clock of a board or meter must go evenly, but jumped by 3\.6e\+03 s"):
        meter.clock_offset()


def test_no_clock_makes_a_server_be_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = []
    real = FakeServer.request

    def request(self: FakeServer, command: str, timeout_seconds: float, **settings: object) -> Reply:
        waits.append(timeout_seconds)
        return real(self, command, timeout_seconds, **settings)

    monkeypatch.setattr(FakeServer, "request", request)
    server = FakeServer()
    server.replies["clock"] = {"time_s": 0.0}
    idle = SampledMeter(FakeServer).idle()
    SampledMeter(lambda: server).energy(1e6, 1e6 + 5, 10, idle=idle)
    assert max(waits) <= 140


def test_an_error_ends_the_server_and_the_next_call_has_a_new_one() -> None:
    servers = [FakeServer(), FakeServer()]
    servers[0].replies["describe"] = {"ok": False, "error": "unplugged"}
    starting = iter(servers)
    meter = SampledMeter(lambda: next(starting))
    with pytest.raises(MeasurementError, match="unplugged"):
        meter.idle()
    assert servers[0].times_ended == 1
    meter.idle()
    meter.close()
    meter.close()
    assert servers[1].times_ended == 1
    with pytest.raises(MeasurementError, match="a closed meter cannot measure"):
        meter.idle()


def test_meters_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def start_on_board(spec: MeterSpec) -> FakeServer:
        started.append(spec)
        return FakeServer()

    assert open_meter("none") is None
    assert open_meter("auto", start_on_board=start_on_board) is None
    monkeypatch.setattr("devices.energy.sampled_meter.open_power_meter", lambda spec: None)
    assert isinstance(open_meter("auto"), SampledMeter)
    meter = open_meter("ina219", start_on_board=start_on_board)
    assert meter is not None
    assert started == []
    meter.idle()
    assert started == [MeterSpec("ina219")]
    with pytest.raises(ValueError, match="must be one of"):
        open_meter("wattmeter")


def test_no_meter_is_found_where_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("devices.meters.rapl.ROOT", tmp_path)
    assert open_meter("auto") is None


def test_a_meter_that_is_not_there() -> None:
    meter = local_meter(MeterSpec.parse("um25c:/dev/no-such-port"))
    with pytest.raises(
        MeasurementError, match="/dev/no-such-port could not describe: the serial port /dev/no-such-port must be there"
    ):
        meter.idle()


def test_a_known_load_through_a_server_process(um25c: EmulatedUm25c) -> None:
    spec = MeterSpec.parse(f"um25c:{um25c.path}@here")
    quick = "from devices.meters import server, um25c; um25c.Um25c.period_s = 0.01; server.main()"
    command = [sys.executable, "-c", quick, spec.text]
    um25c.power_w = IDLE_W
    start = functools.partial(start_meter_process, spec, command=command)
    with closing(SampledMeter(start, idle_seconds=0.5)) as meter:
        needed_s = meter.seconds_needed
        idle = meter.idle()
        um25c.power_w = BUSY_W
        start_s = time.monotonic()
        time.sleep(1.2 * needed_s)
        end_s = time.monotonic()
        um25c.power_w = IDLE_W
        energy = meter.energy(start_s, end_s, 40, idle=idle)
    assert energy.gross_mj == pytest.approx(1000 * BUSY_W * (end_s - start_s) / 40, rel=0.01)
    assert energy.net_mj == pytest.approx(1000 * (BUSY_W - IDLE_W) * (end_s - start_s) / 40, rel=0.01)
    assert energy.idle_w == pytest.approx(IDLE_W, rel=0.01)
    assert (energy.meter, energy.samples >= MIN_SAMPLES) == ("um25c", True)
