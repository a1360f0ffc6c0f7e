from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from devices.agent.device import CONDITIONS_SECONDS, AgentDevice
from devices.channel import Reply
from devices.configuration import Precision, RuntimeConfiguration
from devices.device import SensingDevice
from devices.energy.idle_baseline import IdlePower
from devices.energy.mean_power import MeanPower
from devices.energy.meter import MeteredEnergy
from devices.energy.power_model import HOST_POWER_MODEL
from devices.errors import BoardRefusedError, MeasurementError
from devices.measurement import Conditions, MeasureSettings
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


def test_a_clock_is_set_once_for_each_agent() -> None:
    link = FakeLink()
    with device_over(link) as device:
        device.measure(b"", RuntimeConfiguration(frequency_mhz=1500))
        measurement = device.measure(b"", RuntimeConfiguration(frequency_mhz=1500))
    assert [request["frequency_mhz"] for request in link.requests("set_frequency")] == [1500]
    assert measurement.frequency_mhz == 1500


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


def test_a_board_tells_its_state_between_measurements() -> None:
    link = FakeLink(temperature_c=61.5, clock_mhz=1500.0, throttled=0x50000)
    board = AgentDevice(link, MeasureSettings(), name="fake", shares_host=False)
    assert isinstance(board, SensingDevice)
    assert board.conditions() == Conditions(clock_mhz=1500.0, temperature_c=61.5, throttled=0x50000)
    assert [event["timeout_seconds"] for event in link.requests("conditions")] == [CONDITIONS_SECONDS]


def test_an_agent_of_an_earlier_version_tells_no_state_and_goes_on() -> None:
    link = FakeLink(declined=("conditions",))
    board = AgentDevice(link, MeasureSettings(), name="fake", shares_host=False)
    assert board.conditions() == Conditions()
    board.describe()
    assert link.events.count("start") == 1
