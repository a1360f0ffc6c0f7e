"""What every `Device` keeps. A new implementation needs one line in `IMPLEMENTATIONS`."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from devices.agent.host import HostDevice
from devices.agent.ssh import SshDevice
from devices.configuration import BASE, RuntimeConfiguration
from devices.device import Device
from devices.errors import BoardUnreachableError, MeasurementError
from devices.measurement import SOURCES, Measurement, MeasureSettings
from devices.profiling.journal import JournaledDevice
from devices.replay import ReplayDevice
from tests.devices.conftest import LoopbackBoard, micro_model

QUICK = MeasureSettings(warmup_runs=1, min_runs=5, max_runs=20, min_seconds=0.0)
BROKEN = b"no model"


def on_board(request: pytest.FixtureRequest) -> SshDevice:
    board: LoopbackBoard = request.getfixturevalue("board")
    return SshDevice(board.address, QUICK, board.options)


def replayed() -> ReplayDevice:
    def latency_ms(model: bytes) -> float:
        if model == BROKEN:
            raise KeyError(BROKEN)
        return len(model) / 1000

    return ReplayDevice(latency_ms)


def journaled(device: Device, request: pytest.FixtureRequest) -> JournaledDevice:
    folder: Path = request.getfixturevalue("tmp_path")
    return JournaledDevice.open(device, folder / "journal.jsonl")


IMPLEMENTATIONS: dict[str, Callable[[pytest.FixtureRequest], Device]] = {
    "host": lambda request: HostDevice(QUICK),
    "ssh": on_board,
    "replay": lambda request: replayed(),
    "journal of host": lambda request: journaled(HostDevice(QUICK), request),
    "journal of replay": lambda request: journaled(replayed(), request),
}


@pytest.fixture(params=list(IMPLEMENTATIONS.values()), ids=list(IMPLEMENTATIONS))
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    opened: Device = request.param(request)
    yield opened
    opened.close()


def test_a_description_is_complete_and_stable(device: Device) -> None:
    board, again = device.describe(), device.describe()
    assert all((board.name, board.model, board.os, board.runtime))
    assert board.cores is None or board.cores >= 1
    assert board.clock_mhz is None or board.clock_mhz > 0
    assert replace(again, clock_mhz=board.clock_mhz) == board
    assert device.shares_host is device.shares_host


def test_a_measurement_is_complete(device: Device) -> None:
    board, measurement = device.describe(), device.measure(micro_model("skip"))
    assert 0 < measurement.latency_ms <= measurement.median_ms < math.inf
    assert 0 <= measurement.iqr_ms < math.inf
    assert measurement.runs >= 1
    assert 0 < measurement.energy_mj < math.inf
    assert {measurement.latency_source, measurement.energy_source} <= set(SOURCES)
    assert datetime.fromisoformat(measurement.date).utcoffset() == timedelta(0)
    expected = (board.label, board.os, board.runtime)
    assert expected == (
        measurement.board,
        measurement.os,
        measurement.runtime,
    )
    assert measurement.configuration == BASE


def test_a_measurement_says_how_the_network_was_run(device: Device) -> None:
    small = RuntimeConfiguration(precision="int8")
    assert device.measure(micro_model("skip"), small).configuration == small
    assert device.measure(micro_model("skip")).configuration == BASE


def test_a_measurement_survives_a_file(device: Device) -> None:
    measurement = device.measure(micro_model("skip"))
    assert Measurement.from_json(json.loads(json.dumps(measurement.to_json()))) == measurement


def test_a_larger_network_costs_more(device: Device) -> None:
    small, large = (device.measure(micro_model(operator)) for operator in ("skip", "k5_e6"))
    assert small.latency_ms < large.latency_ms
    assert small.energy_mj < large.energy_mj


def test_a_broken_model_fails_and_the_next_measurement_starts_afresh(device: Device) -> None:
    for _ in range(2):
        with pytest.raises(MeasurementError) as error:
            device.measure(BROKEN)
        assert not isinstance(error.value, BoardUnreachableError)
        assert "\n" not in str(error.value)
        assert device.measure(micro_model("skip")).latency_ms > 0


def test_closing_before_any_use_does_no_harm(device: Device) -> None:
    device.close()
    device.close()


def test_closing_after_a_failure_and_twice_does_no_harm(device: Device) -> None:
    device.describe()
    with pytest.raises(MeasurementError):
        device.measure(BROKEN)
    device.close()
    device.close()
