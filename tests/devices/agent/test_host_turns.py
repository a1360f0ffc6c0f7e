import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from devices.agent import host_turns
from devices.agent.device import AGENT_PATH, AgentDevice
from devices.agent.host import HostDevice, HostLink
from devices.agent.host_turns import HostTurns
from devices.configuration import RuntimeConfiguration
from devices.errors import MeasurementError
from devices.measurement import MeasureSettings
from tests.devices.agent.conftest import FREE, Firmware, limits_of
from tests.devices.conftest import micro_model

QUICK = MeasureSettings(warmup_runs=1, min_runs=5, max_runs=5, min_seconds=0.0)

OTHER = """
import sys
from devices.agent import host_turns

host_turns.NAME = sys.argv[1]
turns = host_turns.HostTurns()
with turns.turn():
    print("measuring", flush=True)
    sys.stdin.readline()
print("between measurements", flush=True)
sys.stdin.readline()
"""


class OtherProgram:
    """Another search, which measures until it is told to go on."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", OTHER, host_turns.NAME], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.says() == "measuring"
        self.pid = self._process.pid

    def says(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def go_on(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def other() -> OtherProgram:
    return OtherProgram()


def test_one_waits_for_the_measurement_of_another_and_says_for_whom(
    other: OtherProgram, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("devices.turns.TELL_SECONDS", 0.0)
    turns, ours = HostTurns(), threading.Event()

    def measure() -> None:
        with turns.turn():
            ours.set()

    thread = threading.Thread(target=measure)
    thread.start()
    assert not ours.wait(0.5)
    other.go_on()
    assert other.says() == "between measurements"
    assert ours.wait(20)
    thread.join()
    present, waiting = (record.getMessage() for record in caplog.records)
    assert f"process {other.pid} ({sys.executable} -c import sys from devices" in present
    assert "also measures on this machine: measurements take turns" in present
    assert waiting.startswith(f"waiting for process {other.pid} (")
    other.kill()


def test_a_lock_ends_with_its_process(other: OtherProgram) -> None:
    other.kill()
    with HostTurns().turn():
        pass


def test_one_that_was_stopped_is_not_waited_for_without_end(
    other: OtherProgram, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("devices.turns.LONGEST_SECONDS", 0.1)
    turns = HostTurns()
    with turns.turn():
        pass
    assert f"process {other.pid} " in caplog.records[-1].getMessage()
    assert "is waited for no longer: if it is stopped, end it." in caplog.records[-1].getMessage()
    monkeypatch.setattr("devices.turns.LONGEST_SECONDS", 1e6)
    with turns.turn():
        """At once: a night has not half an hour for each measurement."""
    other.kill()
    told = len(caplog.records)
    with turns.turn():
        pass
    assert len(caplog.records) == told


def test_a_device_that_is_closed_waits_no_longer(other: OtherProgram) -> None:
    device = HostDevice(QUICK)
    reasons = []

    def measure() -> None:
        with pytest.raises(MeasurementError) as error:
            device.measure(micro_model("skip"))
        reasons.append(str(error.value))

    thread = threading.Thread(target=measure)
    thread.start()
    while device._host_turns._present is None:
        time.sleep(0.01)
    device.close()
    thread.join(20)
    assert reasons == ["a closed device cannot measure: open a new one."]
    other.kill()


def test_who_is_alone_is_told_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with HostDevice(QUICK) as device:
        device.measure(micro_model("skip"))
        device.measure(micro_model("skip"))
    assert caplog.records == []


def test_who_cannot_lock_measures_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none(file: object, kind: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", none)
    turns = HostTurns()
    for _ in range(2):
        with turns.turn():
            pass
    (record,) = caplog.records
    assert "no other program that measures on this machine is waited for: [Errno 37]" in record.getMessage()


def test_other_users_may_lock_what_one_with_a_strict_mask_has_made() -> None:
    before = os.umask(0o077)
    try:
        with HostTurns().turn():
            pass
    finally:
        os.umask(before)
    for name in ("measuring", "present"):
        assert Path(host_turns.NAME.format(name)).stat().st_mode & 0o777 == 0o444


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_no_lock_is_better_than_one_that_leads_elsewhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("content")
    path = Path(host_turns.NAME.format("measuring"))
    if kind == "link":
        path.symlink_to(precious)
    elif kind == "folder":
        path.mkdir()
    else:
        subprocess.run(["mkfifo", str(path)], check=True)
    with HostTurns().turn():
        pass
    assert precious.read_text() == "content"
    (record,) = caplog.records
    assert f"measurements of other programs on this machine are not waited for: {path}: " in record.getMessage()


def test_the_clock_is_free_between_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the search, and others that measure, do not run at a clock that one measurement asked for."""
    asked: list[object] = []
    device = HostDevice(QUICK)
    real = device._request

    def request(command: str, more_seconds: float = 0.0, **settings: object) -> object:
        if command == "set_frequency":
            asked.append(settings["frequency_mhz"])
            return None
        return real(command, more_seconds, **settings)

    monkeypatch.setattr(device, "_request", request)
    with device:
        for _ in range(2):
            device.measure(micro_model("skip"), RuntimeConfiguration(frequency_mhz=1500))
    assert asked == [1500, None, 1500, None]


def test_the_clock_is_free_after_a_turn_in_which_the_agent_was_killed(fake_system: Path, firmware: Firmware) -> None:
    firmware.says(measure_clock__arm="frequency(0)=1000000000")
    link = HostLink([sys.executable, str(AGENT_PATH), "--root", str(fake_system)])
    endless = MeasureSettings(warmup_runs=0, min_runs=10**9, max_runs=10**9)
    device = AgentDevice(link, endless, name="host", shares_host=True, turns=HostTurns().turn)
    set_clock: list[int] = []

    def is_set() -> bool:
        # A file is empty for an instant while the agent writes it.
        with contextlib.suppress(ValueError):
            return limits_of(fake_system) == [1000000] * 4
        return False

    def kill() -> None:
        while not is_set() or not list(Path(link._folder.name).glob("*.onnx")):
            time.sleep(0.01)
        set_clock.extend(limits_of(fake_system))
        os.kill(device._channel._process.pid, signal.SIGKILL)

    threading.Thread(target=kill).start()
    with device:
        with pytest.raises(MeasurementError, match="ended with code -9"):
            device.measure(micro_model("skip"), RuntimeConfiguration(frequency_mhz=1000))
        assert set_clock == [1000000] * 4
        assert limits_of(fake_system) == FREE
