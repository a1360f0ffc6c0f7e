from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from devices.agent.device import LONGEST_SECONDS, METERED_ATTEMPTS, METERED_RUNS, AgentDevice
from devices.channel import Reply
from devices.configuration import BASE, Precision, RuntimeConfiguration
from devices.energy.idle_baseline import IdlePower
from devices.energy.mean_power import MeanPower
from devices.energy.meter import MeteredEnergy, TooFewSamplesError
from devices.energy.power_model import HOST_POWER_MODEL
from devices.errors import BoardRefusedError, MeasurementError
from devices.measurement import MeasureSettings
from devices.quantization import is_quantized, quantized
from search_space.graphs import Graph, GraphBuilder
from search_space.onnx_files import random_weights, to_onnx
from tests.devices.conftest import FakeChannel, Request, reply_to

TEXTS = {"model": "fake", "os": "fake", "runtime": "fake", "clock_mhz": None}
RUN = {"p5_ms": 2.0, "median_ms": 2.0, "iqr_ms": 0.0, "runs": 1500, "start_s": 7.0, "end_s": 10.0}


class FakeLink:
    """A way to an agent that writes down what it is asked and told."""

    def __init__(self, declined: Sequence[str] = (), **described: object) -> None:
        self.described = described
        self.events: list[object] = []
        self.model: bytes | None = None
        self.declined = declined

    def start(self) -> FakeAgent:
        self.events.append("start")
        return FakeAgent(self)

    @contextmanager
    def placed(self, model: bytes) -> Iterator[str]:
        self.events.append("put")
        self.model = model
        yield "the path"
        self.events.append("remove")

    def close(self) -> None:
        self.events.append("close")

    def requests(self, command: str) -> list[Request]:
        return [event for event in self.events if isinstance(event, dict) and event["command"] == command]


class FakeAgent(FakeChannel):
    def __init__(self, link: FakeLink) -> None:
        super().__init__(self.answer)
        self._link = link

    def request(self, command: str, timeout_seconds: float, **settings: object) -> Reply:
        self._link.events.append({"command": command, "timeout_seconds": timeout_seconds, **settings})
        # Time passes for the fake alone.
        return replace(super().request(command, timeout_seconds, **settings), seconds=timeout_seconds)

    def answer(self, request: Request) -> list[bytes]:
        if request["command"] in self._link.declined:
            return [reply_to(request, ok=False, error="no")]
        return [reply_to(request, time_s=4.5, **{**TEXTS, **RUN, **self._link.described})]

    def end(self) -> None:
        self._link.events.append("end")


def metered(net_mj: float, interval_mj: float) -> MeteredEnergy:
    return MeteredEnergy(
        net_mj=net_mj, gross_mj=net_mj + 6.0, interval_mj=interval_mj, idle_w=3.0, meter="fake", samples=60
    )


class FakeMeter:
    def __init__(self, link: FakeLink) -> None:
        self.link = link
        self.seconds_needed = 3.0
        self.idle_w = 3.0
        self.energies: list[MeteredEnergy | Exception] = [metered(3.5, 0.1)]

    def idle(self) -> IdlePower:
        self.link.events.append("idle")
        return IdlePower(power=MeanPower(self.idle_w, 0.01, 9, 50), meter="fake")

    def energy(self, start_s: float, end_s: float, runs: int, *, idle: IdlePower) -> MeteredEnergy:
        self.link.events.append((start_s, end_s, runs, idle.power.mean_w))
        energy = self.energies.pop(0) if len(self.energies) > 1 else self.energies[0]
        if isinstance(energy, Exception):
            raise energy
        return energy

    def close(self) -> None:
        self.link.events.append("close meter")


class BrokenMeter(FakeMeter):
    def energy(self, start_s: float, end_s: float, runs: int, *, idle: IdlePower) -> MeteredEnergy:
        raise ZeroDivisionError


@pytest.fixture(autouse=True)
def no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.agent.device.SETTLE_SECONDS", 0.0)


@pytest.fixture(scope="module")
def model() -> bytes:
    builder = GraphBuilder((3, 8, 8))
    builder.classifier(builder.conv("stem", Graph.INPUT, 4, kernel=3), 2)
    graph = builder.build()
    return to_onnx(graph, random_weights(graph, np.random.default_rng(0)))


def device_over(link: FakeLink, **settings: Any) -> AgentDevice:
    return AgentDevice(link, MeasureSettings(**settings), name="fake", shares_host=False, power_model=HOST_POWER_MODEL)


def told(link: FakeLink) -> list[object]:
    return [event["command"] if isinstance(event, dict) else event for event in link.events]


def test_a_board_is_cooled_before_each_run() -> None:
    link = FakeLink()
    with device_over(link, max_temperature_c=65.0, cooldown_seconds=30.0) as device:
        device.measure(b"")
    assert told(link) == ["start", "describe", "put", "cool", "measure", "remove", "end", "close"]
    (cool,) = link.requests("cool")
    assert (cool["max_temperature_c"], cool["cooldown_seconds"], cool["timeout_seconds"]) == (65.0, 30.0, 90.0)


@pytest.mark.parametrize(
    ("model", "limit_c"), [("Raspberry Pi 3 Model B Plus Rev 1.3", 55.0), ("Raspberry Pi 4 Model B Rev 1.4", 70.0)]
)
def test_a_board_is_cooled_to_what_suits_its_model(model: str, limit_c: float) -> None:
    link = FakeLink(model=model)
    with device_over(link) as device:
        device.measure(b"")
    assert [request["max_temperature_c"] for request in link.requests("cool")] == [limit_c]


def test_a_board_whose_throttling_cannot_be_seen_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    with device_over(FakeLink(throttling_visible=False, temperature_visible=False)) as device:
        notes = device.describe().notes
        device.measure(b"")
    assert [record.getMessage() for record in caplog.records] == [*notes]
    assert "throttling of fake (fake) cannot be seen: with `--frequency-mhz`" in notes[0]
    assert "temperature of fake (fake) cannot be read" in notes[1]
    with device_over(FakeLink(model="Raspberry Pi 4 Model B", throttling_visible=False)) as device:
        assert "sudo usermod -aG video $USER" in device.describe().notes[0]
    with device_over(FakeLink()) as device:
        assert device.describe().notes == ()


def test_a_refused_clock_leaves_it_to_the_governor() -> None:
    link = FakeLink()
    kept, refused = (RuntimeConfiguration(frequency_mhz=mhz) for mhz in (1500, 1000))
    with device_over(link) as device:
        device.measure(b"", kept)
        link.declined = ["set_frequency"]
        with pytest.raises(BoardRefusedError):
            device.measure(b"", refused)
        link.declined = ()
        device.measure(b"", kept)
    assert [request["frequency_mhz"] for request in link.requests("set_frequency")] == [1500, 1000, 1500]


def test_a_meter_reads_along_from_after_cooling_and_runs_are_longer() -> None:
    link = FakeLink()
    with device_over(link, cooldown_seconds=0.0, metered_seconds=2.0) as device:
        device.attach_meter(FakeMeter(link))
        measurement = device.measure(b"")
    assert (measurement.energy_mj, measurement.energy_source, measurement.meter) == (3.5, "measured", "fake")
    expected = ["start", "describe", "idle", "put", "measure", (7.0, 10.0, 1500, 3.0), "remove"]
    assert told(link) == [*expected, "end", "close meter", "close"]
    (measure,) = link.requests("measure")
    assert (measure["min_seconds"], measure["max_runs"], measure["timeout_seconds"]) == (3.0, METERED_RUNS, 63.0)


def test_a_clock_is_set_once_for_each_agent() -> None:
    link = FakeLink()
    with device_over(link) as device:
        device.measure(b"", RuntimeConfiguration(frequency_mhz=1500))
        measurement = device.measure(b"", RuntimeConfiguration(frequency_mhz=1500))
    assert [request["frequency_mhz"] for request in link.requests("set_frequency")] == [1500]
    assert measurement.frequency_mhz == 1500


SHORT = TooFewSamplesError("a metered run needs 20 samples, but fake gave 3.")


@pytest.mark.parametrize(
    ("energies", "seconds", "energy_mj"),
    [
        ([metered(10.0, 2.0)], [3], 10.0),
        ([metered(10.0, 4.0), metered(11.0, 1.0)], [3, 12], 11.0),
        ([metered(10.0, 2.1), metered(11.0, 1.0)], [3, 6], 11.0),
        ([metered(-1.0, 0.1), metered(11.0, 1.0)], [3, 24], 11.0),
        ([metered(4e-14, 7.0), metered(9.0, 3.0), metered(11.0, 1.0)], [3, 24, 60], 11.0),
        ([SHORT, metered(11.0, 1.0)], [3, 24], 11.0),
    ],
)
def test_an_energy_in_doubt_is_measured_again_for_longer(
    energies: list[MeteredEnergy | Exception], seconds: list[float], energy_mj: float
) -> None:
    link = FakeLink()
    with device_over(link) as device:
        device.attach_meter(meter := FakeMeter(link))
        meter.energies = energies
        measurement = device.measure(b"")
    assert [request["min_seconds"] for request in link.requests("measure")] == pytest.approx(seconds)
    assert (measurement.energy_mj, measurement.energy_source, measurement.energy_note) == (energy_mj, "measured", None)


@pytest.mark.parametrize(
    ("energy", "reason"),
    [
        (metered(10.0, 4.0), r"the 95 % interval of fake was 40 % of the energy either way, where 20 % are allowed"),
        (metered(-1.0, 0.1), r"fake gave -1 mJ above idle, with a 95 % interval of 0.1 mJ either way, where it must"),
        (metered(0.0, 0.0), r"fake gave 0 mJ above idle"),
        (metered(4e-14, 7.0), r"95 % interval of fake was \d+ % of the energy either way"),
        (SHORT, r"needs 20 samples, but fake gave 3"),
    ],
)
def test_an_energy_that_stays_in_doubt_is_modelled_and_the_reason_told(
    energy: MeteredEnergy | Exception, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    link = FakeLink()
    with device_over(link) as device:
        device.attach_meter(meter := FakeMeter(link))
        meter.energies = [energy]
        measurement, again = device.measure(b""), device.measure(b"")
    assert len(link.requests("measure")) == 2 * METERED_ATTEMPTS
    assert max(request["min_seconds"] for request in link.requests("measure")) <= LONGEST_SECONDS
    assert measurement.energy_mj == again.energy_mj == HOST_POWER_MODEL.energy_mj(2.0, BASE)
    assert (measurement.energy_source, measurement.energy_interval_mj, measurement.meter) == ("modelled", None, None)
    assert measurement.energy_note is not None
    assert re.search(reason, measurement.energy_note)
    (record,) = caplog.records
    assert re.search(f"on fake .fake. is modelled, not measured: .*{reason}", record.getMessage())


def test_what_other_networks_took_stands_in_for_an_energy_in_doubt() -> None:
    link = FakeLink()
    with device_over(link) as device:
        device.attach_meter(meter := FakeMeter(link))
        meter.energies = [metered(8.0, 0.1), metered(12.0, 0.1), metered(9.0, 0.1), metered(11.0, 0.1), metered(10, 9)]
        sources = [device.measure(b"").energy_source for _ in range(4)]
        doubtful = device.measure(b"")
        assert (sources, doubtful.energy_source) == (["measured"] * 4, "modelled")
        assert doubtful.energy_mj == pytest.approx(10.0, rel=0.05)
        assert doubtful.idle_w == 3.0


def test_a_meter_that_needs_longer_than_the_longest_run_gets_it_once() -> None:
    link = FakeLink()
    with device_over(link) as device:
        device.attach_meter(meter := FakeMeter(link))
        meter.seconds_needed = 90.0
        meter.energies = [metered(10.0, 4.0)]
        assert device.measure(b"").energy_source == "modelled"
    assert [request["min_seconds"] for request in link.requests("measure")] == [90.0]


def test_idle_power_is_measured_once_at_the_lowest_clock_for_all_configurations() -> None:
    link = FakeLink(frequencies_mhz=[600, 1000, 1500])
    with device_over(link, cooldown_seconds=0.0) as device:
        device.attach_meter(FakeMeter(link))
        for mhz in (1500, 600, None):
            device.measure(b"", RuntimeConfiguration(frequency_mhz=mhz))
    clocks = [request["frequency_mhz"] for request in link.requests("set_frequency")]
    assert clocks == [600, 1500, 600, None]
    assert link.events.count("idle") == 1
    assert told(link).index("set_frequency") < link.events.index("idle") < told(link).index("measure")
    assert [event[3] for event in link.events if isinstance(event, tuple)] == [3.0] * 3


def test_where_no_clock_can_be_set_idle_power_is_the_governors() -> None:
    link = FakeLink(declined=["set_frequency"], frequencies_mhz=[600, 1500])
    with device_over(link) as device:
        device.attach_meter(FakeMeter(link))
        assert device.measure(b"").energy_source == "measured"


def test_idle_power_outlives_the_agent_and_the_process() -> None:
    idle_w = []
    for measured_w in (3.0, 3.05, 4.0):
        link = FakeLink()
        with device_over(link) as device:
            device.attach_meter(meter := FakeMeter(link))
            meter.idle_w = measured_w
            device.measure(b"")
            device._drop_channel()
            device.measure(b"")
        assert (link.events.count("start"), link.events.count("idle")) == (2, 1)
        idle_w += [event[3] for event in link.events if isinstance(event, tuple)]
    assert idle_w == [3.0, 3.0, 3.0, 3.0, 4.0, 4.0]


def test_a_board_rests_before_its_idle_power_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.agent.device.SETTLE_SECONDS", 6.0)
    link = FakeLink()
    with device_over(link) as device:
        monkeypatch.setattr(device._closed, "wait", lambda seconds: link.events.append(f"rest for {seconds:g} s"))
        device.attach_meter(FakeMeter(link))
        device.measure(b"")
    assert link.events.index("rest for 6 s") == link.events.index("idle") - 1


def test_one_agent_serves_several_configurations(model: bytes) -> None:
    link = FakeLink()
    points: list[tuple[int, int | None, Precision]] = [
        (1, 600, "fp32"),
        (2, 600, "int8"),
        (1, 1500, "fp32"),
        (4, None, "int8"),
        (1, None, "fp32"),
        (1, 600, "int8"),
    ]
    asked = [
        RuntimeConfiguration(threads=threads, frequency_mhz=mhz, precision=precision)
        for threads, mhz, precision in points
    ]
    with device_over(link) as device:
        assert [device.measure(model, configuration).configuration for configuration in asked] == asked
    assert link.events.count("start") == 1
    assert [request["frequency_mhz"] for request in link.requests("set_frequency")] == [600, 1500, None, 600]
    assert [request["threads"] for request in link.requests("measure")] == [1, 2, 1, 4, 1, 1]


def test_a_new_agent_is_told_the_clock_again() -> None:
    link = FakeLink()
    slow = RuntimeConfiguration(frequency_mhz=600)
    with device_over(link) as device:
        device.measure(b"", slow)
        device.attach_meter(BrokenMeter(link))
        with pytest.raises(ZeroDivisionError):
            device.measure(b"", slow)
        device.attach_meter(None)
        device.measure(b"", slow)
        device.measure(b"")
    assert [request["frequency_mhz"] for request in link.requests("set_frequency")] == [600, None, 600, 600, None]


def test_more_threads_than_cores_are_refused_before_anything_is_sent() -> None:
    link = FakeLink(cores=4)
    with (
        device_over(link) as device,
        pytest.raises(BoardRefusedError, match=r"at most 4, the cores of fake \(fake\), but got 8"),
    ):
        device.measure(b"", RuntimeConfiguration(threads=8))
    assert "put" not in link.events


def test_a_clock_that_cannot_be_set_is_the_boards_fault() -> None:
    link = FakeLink(declined=["set_frequency"])
    with (
        device_over(link) as device,
        pytest.raises(BoardRefusedError, match="not set_frequency: no"),
    ):
        device.measure(b"", RuntimeConfiguration(frequency_mhz=1500))
    assert link.events.count("end") == 1


def test_a_declined_request_keeps_the_agent_and_another_error_does_not() -> None:
    link = FakeLink(declined=["measure"])
    with device_over(link) as device:
        with pytest.raises(MeasurementError, match="could not measure: no"):
            device.measure(b"")
        device.describe()
        assert "end" not in link.events
        link.declined = ()
        device.attach_meter(BrokenMeter(link))
        with pytest.raises(ZeroDivisionError):
            device.measure(b"")
        assert "end" in link.events
        device.describe()
    assert link.events.count("start") == 2


def test_the_boards_clock_is_told() -> None:
    assert device_over(FakeLink()).clock_seconds() == 4.5


def test_what_cannot_be_quantised_is_a_failed_measurement() -> None:
    with device_over(FakeLink()) as device, pytest.raises(MeasurementError, match="must be ONNX"):
        device.measure(b"no model", RuntimeConfiguration(precision="int8"))


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_quantised_model_runs_as_it_is_and_the_measurement_says_so(model: bytes, precision: Precision) -> None:
    small = quantized(model)
    with device_over(link := FakeLink()) as device:
        measurement = device.measure(small, RuntimeConfiguration(precision=precision))
    assert link.model == small
    assert measurement.precision == "int8"


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_another_model_runs_in_the_precision_that_is_asked_for(model: bytes, precision: Precision) -> None:
    with device_over(link := FakeLink()) as device:
        measurement = device.measure(model, RuntimeConfiguration(precision=precision))
    assert link.model is not None
    assert is_quantized(link.model) == (precision == "int8")
    assert measurement.precision == precision


@pytest.mark.parametrize("change", ["model", "runtime", "machine"])
def test_a_board_that_becomes_another_one_is_refused_until_it_is_back(change: str) -> None:
    link = FakeLink(machine="aarch64")
    with device_over(link) as device:
        device.measure(b"")
        link.described[change] = "another\x1b[2J\n"
        with pytest.raises(BoardRefusedError, match="fake must stay the board that it was, fake, aarch64, "):
            device.measure(b"")
        assert len(link.requests("measure")) == 1
        link.described[change] = "aarch64" if change == "machine" else "fake"
        device.measure(b"")


@pytest.mark.parametrize(
    "described",
    [
        {"cores": 0},
        {"cores": 1.5},
        {"cores": 10**9},
        {"cores": True},
        {"frequencies_mhz": [1500, 600]},
        {"frequencies_mhz": [600, 10**12]},
        {"frequencies_mhz": list(range(1, 2000))},
        {"frequencies_mhz": "600"},
        {"model": None},
        {"os": 7},
    ],
)
def test_a_board_that_cannot_be_is_a_failed_measurement(described: dict[str, Any]) -> None:
    with (
        device_over(FakeLink(**described)) as device,
        pytest.raises(MeasurementError, match="a reply of the peer must"),
    ):
        device.measure(b"")


def test_what_a_board_says_of_itself_is_shown_as_it_is() -> None:
    link = FakeLink(model="# Pi\x1b]0;x\x07\n```" + "x" * 10**4, os="\ud800", machine="\u202earm", clock_mhz=1e12)
    with device_over(link) as device:
        board = device.describe()
    assert board.model.startswith("# Pi\ufffd]0;x\ufffd ```xxx")
    assert len(board.model) <= 200
    assert (board.os, board.machine, board.clock_mhz) == ("\ufffd", "\ufffdarm", None)


@pytest.mark.parametrize(
    "run",
    [
        {"start_s": 10.0, "end_s": 7.0},
        {"start_s": 7.0, "end_s": 7.0},
        {"start_s": 7.0, "end_s": 8.0},
        {"start_s": -1e300, "end_s": 1e300},
        {"start_s": 7.0, "end_s": 1e9},
        {"start_s": 7.0, "end_s": None},
        {"runs": 10**18},
    ],
)
def test_times_that_a_meter_cannot_have_read_along_are_a_failed_measurement(run: dict[str, Any]) -> None:
    link = FakeLink(**run)
    with device_over(link) as device:
        device.attach_meter(FakeMeter(link))
        with pytest.raises(MeasurementError, match="a reply of the peer must have"):
            device.measure(b"")
    assert not [event for event in link.events if isinstance(event, tuple)]
