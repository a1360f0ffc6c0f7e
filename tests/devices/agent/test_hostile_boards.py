"""Boards that do harm, or are broken as badly: none of it costs more than the measurement that it happens in."""

import asyncio
import contextlib
import dataclasses
import socket
import sys
import threading
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest

from devices.agent.device import AgentDevice
from devices.agent.host import HostLink
from devices.agent.ssh import SshDevice
from devices.agent.ssh_address import BoardAddress, SshOptions
from devices.agent.ssh_connection import SshConnection
from devices.channel import KEPT_STDERR, ProcessChannel
from devices.errors import BoardRefusedError, BoardUnreachableError, MeasurementError
from devices.measurement import MeasureSettings
from moo.measurement.queue import Measured, NotMeasured, Request, start_measurer
from tests.devices.conftest import LoopbackBoard
from tests.devices.hostile_agent import AGENT, TRICKS
from tests.tiers import THOROUGH

SETTINGS = MeasureSettings(timeout_seconds=2.0, cooldown_seconds=0.0, min_seconds=0.0)


def check_harmless(message: str) -> None:
    """One line of some length that a terminal shows as it is."""
    assert len(message) < 700
    assert {unicodedata.category(letter) for letter in message} & {"Cc", "Cf", "Cs"} == set()


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[AgentDevice]:
    path = tmp_path / "agent.py"
    path.write_text(AGENT)
    link = HostLink([sys.executable, str(path)])
    with AgentDevice(link, SETTINGS, name="hostile", shares_host=False) as device:
        yield device


def memory_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name if place % 4 == 0 else pytest.param(name, marks=THOROUGH) for place, name in enumerate(TRICKS)]
)
def test_a_trick_costs_one_measurement(hostile: AgentDevice, name: str) -> None:
    trick, message = TRICKS[name]
    hostile.measure(b"")
    before_mib = memory_mib()
    with pytest.raises(MeasurementError, match=message) as error:
        hostile.measure(trick.encode())
    check_harmless(str(error.value))
    assert memory_mib() - before_mib < 64
    assert hostile.measure(b"").latency_ms == 0.01


@pytest.mark.slow
@pytest.mark.thorough
def test_a_search_goes_on_after_every_trick(hostile: AgentDevice) -> None:
    quick = {name: trick for name, (trick, message) in TRICKS.items() if "within 2 s" not in message}
    measurer = start_measurer([hostile])
    try:
        for name, trick in quick.items():
            measurer.request(Request(name, trick.encode))
        measurer.request(Request("sound", lambda: b""))
        reports = list(measurer.drain(patience_seconds=60.0))
    finally:
        measurer.close()
    assert [report.network for report in reports if isinstance(report, NotMeasured)] == list(quick)
    assert [report.network for report in reports if isinstance(report, Measured)] == ["sound"]


SUFFERED = {
    "a second reply": "answer(); answer(p5_ms=1.0, median_ms=1.0)",
    "replies of others": "answer(id=number + 1, p5_ms=1.0); answer(id=number - 1); say('[1]\\n'); answer()",
    "noise": "say(b'noise\\n' * 1000); os.write(2, b'x' * 2**20); answer()",
    "an impossible state": "answer(after={'clock_mhz': 1e12, 'temperature_c': 1e9, 'throttled': -1, 'volts': 1e300})",
    "a state of another kind": "answer(after={'clock_mhz': 'x', 'temperature_c': True, 'throttled': [], 'volts': {}})",
    "a state that is none": "answer(before=7, after='\\x1b[2J')",
}


@pytest.mark.parametrize("name", SUFFERED)
def test_what_is_beside_the_measurement_does_no_harm(hostile: AgentDevice, name: str) -> None:
    measurement = hostile.measure(SUFFERED[name].encode())
    assert (measurement.latency_ms, measurement.after.clock_mhz, measurement.throttled) == (0.01, None, False)
    assert (measurement.after.temperature_c, measurement.after.volts) == (None, None)
    assert hostile.measure(b"").latency_ms == 0.01


def test_no_more_is_kept_of_stderr_than_its_end(hostile: AgentDevice) -> None:
    hostile.measure(b"os.write(2, b'x' * 2**20 + b'end'); answer()")
    channel = hostile._channel
    assert isinstance(channel, ProcessChannel)
    assert len(channel._stderr) <= KEPT_STDERR


def test_nothing_that_a_process_started_outlives_it(hostile: AgentDevice, tmp_path: Path) -> None:
    """Not even what ignores signals, where the process itself ends at once."""
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); open(PATH, 'w').close(); time.sleep(600)"
    deaf = deaf.replace("PATH", repr(str(tmp_path / "ready")))
    trick = (
        f"import subprocess; child = subprocess.Popen([sys.executable, '-c', {deaf!r}], stdout=2)\n"
        f"while not os.path.exists({str(tmp_path / 'ready')!r}): time.sleep(0.01)\n"
        "answer(ok=False, error=str(child.pid))"
    )
    with pytest.raises(MeasurementError) as error:
        hostile.measure(trick.encode())
    pid = int(str(error.value).split()[-1].rstrip("."))
    assert Path(f"/proc/{pid}").exists()
    hostile.close()
    with contextlib.suppress(FileNotFoundError):
        deadline = time.monotonic() + 5
        while (state := Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]) != "Z":
            assert time.monotonic() < deadline, f"killed, it is still in state {state} after 5 s"
            time.sleep(0.01)


OVER_SSH = [
    "a line without an end",
    pytest.param("lines without end", marks=THOROUGH),
    "stderr without end",
    "nested deeply",
    "a later request's number",
    "an error with escape sequences",
    "last words with escape sequences",
    "one run longer than the request",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", OVER_SSH)
def test_a_trick_over_ssh_costs_one_measurement(board: LoopbackBoard, tmp_path: Path, name: str) -> None:
    agent = tmp_path / "hostile_agent.py"
    agent.write_text(AGENT)
    trick, message = TRICKS[name]
    settings = dataclasses.replace(SETTINGS, timeout_seconds=4.0)
    with SshDevice(board.address, settings, board.options, agent=agent) as device:
        device.measure(b"")
        before_mib = memory_mib()
        message = "writes to stderr without end" if "stderr" in name else message.replace("2 s", "4 s")
        with pytest.raises(MeasurementError, match=message) as error:
            device.measure(trick.encode())
        check_harmless(str(error.value))
        assert memory_mib() - before_mib < 96
        assert device.measure(b"").latency_ms == 0.01
    board.wait_for_end_of_agents(5.0)


async def talk_without_end(process: asyncssh.SSHServerProcess[str]) -> None:
    """Answer any command so."""
    while True:
        process.stdout.write("welcome\n" * 1000)
        await process.stdout.drain()


class AsyncsshServer:
    """A server of this process, which behaves as badly as a test wants."""

    def __init__(self, board: LoopbackBoard) -> None:
        self._ready, self._stop = threading.Event(), asyncio.Event()
        self._board = board
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> tuple[BoardAddress, SshOptions]:
        self._thread.start()
        assert self._ready.wait(20)
        self._board.trust(self.port)
        return BoardAddress(self._board.user, "127.0.0.1", self.port), self._board.options

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        server = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[str(self._board.host_key)],
            authorized_client_keys=str(self._board.authorized_keys),
            process_factory=talk_without_end,
        )
        self.port = server.get_port()
        self._ready.set()
        await self._stop.wait()
        server.close()


@pytest.mark.slow
def test_a_greeting_without_end_is_no_board(board: LoopbackBoard) -> None:
    with AsyncsshServer(board) as (address, options):
        before_mib = memory_mib()
        with pytest.raises(BoardRefusedError, match="runs no commands for user .* it said: it talks without end"):
            SshConnection.open(address, options)
    assert memory_mib() - before_mib < 64


@pytest.mark.slow
@pytest.mark.parametrize(
    "greeting", [b"x" * 10**6, b"welcome\n" * 10**5, b"\xff\x00\n", b"SSH-2.0-" + b"x" * 10**4 + b"\n", b""]
)
def test_a_server_that_is_none_is_a_board_that_cannot_be_reached(
    board: LoopbackBoard, monkeypatch: pytest.MonkeyPatch, greeting: bytes
) -> None:
    monkeypatch.setattr("devices.agent.ssh_login.CONNECT_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                end, _ = server.accept()
                with end:
                    end.sendall(greeting)
                    end.recv(1)
                    threading.Event().wait(3)

        threading.Thread(target=serve, daemon=True).start()
        address = BoardAddress(board.user, "127.0.0.1", server.getsockname()[1])
        with pytest.raises(BoardUnreachableError) as error:
            SshConnection.open(address, board.options)
    assert not isinstance(error.value, BoardRefusedError)
    check_harmless(str(error.value))


@pytest.mark.parametrize("place", ["models", "agent.py.part", "agent.py"])
def test_no_link_on_the_board_is_followed(board: LoopbackBoard, tmp_path: Path, place: str) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("content")
    board.board_folder.mkdir()
    (board.board_folder / place).symlink_to(precious if place == "models" else precious / "file")
    with SshDevice(board.address, MeasureSettings(), board.options) as device:
        if place == "models":
            with pytest.raises(BoardRefusedError, match="models must be a folder of its own, but is a link: remove it"):
                device.measure(b"")
        else:
            device.describe()
    assert [path.name for path in precious.iterdir()] == ["file"]
    assert (precious / "file").read_text() == "content"
