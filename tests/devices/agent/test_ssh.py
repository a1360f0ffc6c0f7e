import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from devices.agent.device import AGENT_PATH
from devices.agent.ssh import SILENCE_SECONDS, SshDevice
from devices.errors import BoardRefusedError, BoardUnreachableError, MeasurementError
from devices.factory import open_device
from devices.measurement import MeasureSettings
from tests.devices.conftest import LoopbackBoard, Proxy, micro_model

QUICK = MeasureSettings(warmup_runs=1, min_runs=5, max_runs=20, min_seconds=0.0)
ENDLESS = MeasureSettings(warmup_runs=0, min_runs=10**9, max_runs=10**9, timeout_seconds=60.0)
SOON = SILENCE_SECONDS + 2.0
"""Seconds after which no agent may live on without its client."""

FAKE_AGENT = """
import json, os, sys, time

for line in sys.stdin:
    if not line.strip():
        continue
    request = json.loads(line)
    reply = {"id": request["id"], "ok": True, "model": "fake", "runtime": "fake", "clock_mhz": None}
    reply.update({"os": str(os.getpid()), "p5_ms": 2.0, "median_ms": 2.0, "iqr_ms": 0.0, "runs": 3})
    if request["command"] == "measure":
        content = open(request["models"][0], "rb").read()
        if content == b"crash":
            print("out of memory", file=sys.stderr, flush=True)
            os._exit(3)
        if content == b"killed":
            os.kill(os.getpid(), 9)
        if content == b"rubbish":
            print("\\\\x00\\\\xff[1]\\\\n\\\\n{", flush=True)
            print(json.dumps({**reply, "id": -1, "p5_ms": 99.0}), flush=True)
        if content == b"hang":
            time.sleep(600)
        if content == b"path":
            reply["model"] = request["models"][0]
            reply.update({"ok": False, "error": request["models"][0]})
    print(json.dumps(reply), flush=True)
"""


def device_on(board: LoopbackBoard, settings: MeasureSettings = QUICK, **changes: Any) -> SshDevice:
    return SshDevice(board.address, settings, dataclasses.replace(board.options, **changes))


@pytest.fixture
def fake(board: LoopbackBoard, tmp_path: Path) -> Iterator[SshDevice]:
    agent = tmp_path / "fake_agent.py"
    agent.write_text(FAKE_AGENT)
    with SshDevice(board.address, QUICK, board.options, agent=agent) as device:
        yield device


def later(action: Callable[[], None]) -> threading.Timer:
    """Do it in a moment, beside the test."""
    timer = threading.Timer(0.5, action)
    timer.start()
    return timer


def test_one_agent_measures_and_leaves_nothing(board: LoopbackBoard) -> None:
    with device_on(board) as device:
        assert not device.shares_host
        described = device.describe()
        assert described.name == str(board.address)
        assert described.runtime.startswith("onnxruntime ")
        with pytest.raises(MeasurementError, match="the agent could not measure"):
            device.measure(b"no model")
        measurement = device.measure(micro_model("skip"))
        assert (measurement.latency_source, measurement.energy_source) == ("measured", "modelled")
        assert len(board.agents()) == 1
        assert list((board.board_folder / "models").iterdir()) == []
    board.wait_for_end_of_agents(SOON)


def test_a_board_opens_by_its_address(board: LoopbackBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in board.environment.items():
        monkeypatch.setenv(name, value)
    device = open_device(str(board.address), QUICK)
    try:
        assert device.describe().name == str(board.address)
    finally:
        device.close()


def test_a_model_is_there_whole_under_its_hash_and_gone_afterwards(board: LoopbackBoard, fake: SshDevice) -> None:
    (board.board_folder / "models").mkdir(parents=True)
    (board.board_folder / "models" / "left by a lost connection.part").write_bytes(b"half")
    with pytest.raises(MeasurementError, match=r"models/[0-9a-f]{64}\.onnx"):
        fake.measure(b"path")
    assert list((board.board_folder / "models").iterdir()) == []


class Counter:
    """A powercap tree of one processor that draws 5 W."""

    def __init__(self, folder: Path, models: Path) -> None:
        self._models = models
        self._energy_uj, self._now_s = 0.0, time.monotonic()
        zone = folder / "intel-rapl:0"
        zone.mkdir(parents=True)
        (zone / "name").write_text("package-0\n")
        (zone / "max_energy_range_uj").write_text("1000000000000\n")
        self._file = zone / "energy_uj"
        self._ended = threading.Event()
        self._write()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0.001):
            self._write()

    def _write(self) -> None:
        new = self._file.with_suffix(".new")
        last_s, self._now_s = self._now_s, time.monotonic()
        self._energy_uj += (8e6 if any(self._models.glob("*.onnx")) else 5e6) * (self._now_s - last_s)
        new.write_text(f"{int(self._energy_uj)}\n")
        new.replace(self._file)


@pytest.mark.slow
def test_a_meter_on_the_board_reads_along_and_ends_with_its_client(
    board: LoopbackBoard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in board.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("devices.energy.sampled_meter.MIN_SAMPLES", 15)
    monkeypatch.setattr("devices.energy.sampled_meter.MIN_IDLE_SAMPLES", 20)
    monkeypatch.setattr("devices.energy.sampled_meter.IDLE_SECONDS", 0.1)
    monkeypatch.setattr("devices.agent.device.SETTLE_SECONDS", 0.0)
    settings = dataclasses.replace(QUICK, metered_seconds=0.5)
    with Counter(tmp_path / "powercap", board.board_folder / "models"):
        device = open_device(str(board.address), settings, meter=f"rapl:{tmp_path / 'powercap'}@board")
        measurement = device.measure(micro_model("k5_e6"))
        assert len(board.meter_servers()) == 1
        device.close()
        assert board.meter_servers() == []
    assert (measurement.energy_source, measurement.meter) == ("measured", "rapl")
    assert measurement.idle_w == pytest.approx(5.0, rel=0.05)
    assert measurement.gross_energy_mj is not None
    assert measurement.energy_mj == pytest.approx(3 / 8 * measurement.gross_energy_mj, rel=0.1)
    assert measurement.runs * measurement.gross_energy_mj / 8.0 > 400


# Keys


def test_an_unknown_host_key_is_refused_with_its_fingerprint(board: LoopbackBoard) -> None:
    fingerprint = subprocess.run(
        ["ssh-keygen", "-lf", f"{board.host_key}.pub"], capture_output=True, text=True, check=True
    ).stdout.split()[1]
    board.known_hosts.write_text("")
    with device_on(board) as device, pytest.raises(BoardRefusedError, match="is not known: .*ssh-keyscan") as error:
        device.describe()
    assert fingerprint in str(error.value)
    assert f"-p {board.port} 127.0.0.1 >> {board.known_hosts}" in str(error.value)
    assert "\n" not in str(error.value)
    assert board.known_hosts.read_text() == ""
    with (
        device_on(board, known_hosts=Path("/nowhere/known_hosts")) as device,
        pytest.raises(BoardRefusedError, match="is not known"),
    ):
        device.describe()


@pytest.mark.parametrize("content", [None, b"", b"\n# nobody\n", b"\xff\xfe\x00", b"127.0.0.1 ssh-ed25519 AAAA\n"])
def test_nobody_is_trusted_but_those_of_the_named_file(
    board: LoopbackBoard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    """The user's own file, which does trust the board, is not asked."""
    (tmp_path / "home" / ".ssh").mkdir(parents=True)
    shutil.copy(board.known_hosts, tmp_path / "home" / ".ssh" / "known_hosts")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    named = tmp_path / "named"
    if content is not None:
        named.write_bytes(content)
    with device_on(board, known_hosts=named) as device, pytest.raises(BoardRefusedError) as error:
        device.describe()
    assert "\n" not in str(error.value)
    assert str(named) in str(error.value)


def test_an_empty_name_of_a_file_of_host_keys_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("", " "):
        monkeypatch.setenv("BOARD_KNOWN_HOSTS", name)
        with pytest.raises(ValueError, match="BOARD_KNOWN_HOSTS must name a file of host keys, but names nothing"):
            open_device("ssh://pi@nowhere", QUICK)


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_a_changed_host_key_is_refused(board: LoopbackBoard, tmp_path: Path, kind: str) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(tmp_path / "other")], check=True)
    other = " ".join((tmp_path / "other.pub").read_text().split()[:2])
    board.known_hosts.write_text(f"[127.0.0.1]:{board.port} {other}\n")
    with device_on(board) as device, pytest.raises(BoardRefusedError, match="has changed") as error:
        device.describe()
    assert f"ssh-keygen -R '[127.0.0.1]:{board.port}' -f {board.known_hosts}" in str(error.value)
    assert "ssh-ed25519 SHA256:" in str(error.value)


def test_a_key_that_the_board_does_not_know_is_said_so(board: LoopbackBoard, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")], check=True)
    with (
        device_on(board, identity_file=tmp_path / "other") as device,
        pytest.raises(BoardRefusedError, match=f"ssh-copy-id -i .*other -p {board.port} {board.user}@127.0.0.1"),
    ):
        device.describe()
    assert device_works(board)


@pytest.mark.parametrize("content", [None, "rubbish"])
def test_a_key_that_cannot_be_read_is_said_so(board: LoopbackBoard, tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "bad").write_text(content)
    with (
        device_on(board, identity_file=tmp_path / "bad") as device,
        pytest.raises(BoardRefusedError, match="cannot be read"),
    ):
        device.describe()


def test_a_key_with_a_passphrase_needs_the_ssh_agent(board: LoopbackBoard, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", str(tmp_path / "locked")], check=True)
    with (
        device_on(board, identity_file=tmp_path / "locked") as device,
        pytest.raises(BoardRefusedError, match="ssh-add"),
    ):
        device.describe()


def device_works(board: LoopbackBoard) -> bool:
    with device_on(board) as device:
        return device.describe().cores == len(os.sched_getaffinity(0))


# Boards that go away and come back


def test_a_board_that_is_off_is_told_apart_and_found_again_later(board: LoopbackBoard) -> None:
    board.stop()
    with device_on(board) as device:
        with pytest.raises(BoardUnreachableError, match="refuses the connection: it is booting") as error:
            device.describe()
        assert not isinstance(error.value, BoardRefusedError)
        board.start()
        assert device.measure(micro_model("skip")).latency_ms > 0


def test_a_name_that_nobody_has_is_no_board() -> None:
    device = open_device("ssh://pi@no-such-board.invalid", QUICK)
    with pytest.raises(BoardUnreachableError, match="could not be reached"):
        device.describe()
    device.close()


def test_a_reboot_in_the_middle_of_a_measurement(board: LoopbackBoard) -> None:
    with device_on(board, ENDLESS) as device:
        device.describe()
        timer = later(board.stop)
        with pytest.raises(BoardUnreachableError, match="connection to .* (was lost|failed)"):
            device.measure(micro_model("skip"))
        timer.join()
        with pytest.raises(BoardUnreachableError, match="refuses the connection"):
            device.describe()
        board.start()
        assert device.describe().name == str(board.address)


@pytest.mark.slow
def test_a_dead_network_in_the_middle_of_a_measurement(
    board: LoopbackBoard, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devices.agent.ssh_login.KEEPALIVE_SECONDS", 0.4)
    monkeypatch.setattr("devices.agent.ssh.HEARTBEAT_SECONDS", 0.3)
    monkeypatch.setattr("devices.agent.ssh.SILENCE_SECONDS", 1.5)
    with SshDevice(dataclasses.replace(board.address, port=proxy.port), ENDLESS, board.options) as device:
        device.describe()
        began = time.monotonic()
        timer = later(proxy.cut)
        with pytest.raises(BoardUnreachableError, match="connection to .* (was lost|failed)"):
            device.measure(micro_model("skip"))
        timer.join()
        assert time.monotonic() - began < ENDLESS.timeout_seconds / 3
        board.wait_for_end_of_agents(SOON)
        proxy.mend()
        assert device.describe().cores


def test_agents_end_when_their_client_stops(board: LoopbackBoard) -> None:
    client = (
        "from devices.agent import ssh\n"
        "from devices.factory import open_device\n"
        "from devices.measurement import MeasureSettings\n"
        "ssh.HEARTBEAT_SECONDS, ssh.SILENCE_SECONDS = 0.3, 1.5\n"
        f"device = open_device({str(board.address)!r}, MeasureSettings())\n"
        "print(device.describe(), flush=True)\n"
        "input()\n"
    )
    environment = {**os.environ, **board.environment}
    with subprocess.Popen(
        [sys.executable, "-c", client], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        assert len(board.agents()) == 1
        process.send_signal(signal.SIGSTOP)
        board.wait_for_end_of_agents(SOON)
        process.kill()


# Agents that fail


def test_a_hanging_inference_is_ended_and_replaced(board: LoopbackBoard) -> None:
    with device_on(board, dataclasses.replace(ENDLESS, timeout_seconds=1.5)) as device:
        device.describe()
        before = board.agents()
        with pytest.raises(MeasurementError, match=r"must answer within 1\.5 s") as error:
            device.measure(micro_model("skip"))
        assert not isinstance(error.value, BoardUnreachableError)
        board.wait_for_end_of_agents(SOON)
        device.describe()
        assert board.agents() != before


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"crash", "ended with code 3. Its last words: out of memory"), (b"killed", "ended with signal KILL")],
)
def test_a_crash_fails_that_call_only(fake: SshDevice, content: bytes, reason: str) -> None:
    first = fake.describe().os
    with pytest.raises(MeasurementError, match=reason) as error:
        fake.measure(content)
    assert not isinstance(error.value, BoardUnreachableError)
    assert fake.measure(b"").latency_ms == 2.0
    assert fake.describe().os != first


def test_rubbish_is_skipped(fake: SshDevice) -> None:
    assert fake.measure(b"rubbish").latency_ms == 2.0


def test_a_board_that_is_not_set_up_is_said_so(board: LoopbackBoard, tmp_path: Path) -> None:
    with (
        device_on(board, python="no/such/python") as device,
        pytest.raises(BoardRefusedError, match="not set up: run `python scripts/setup_board.py ssh://"),
    ):
        device.describe()
    agent = tmp_path / "agent_without_runtime.py"
    agent.write_text("import no_such_runtime\n")
    with (
        SshDevice(board.address, QUICK, board.options, agent=agent) as device,
        pytest.raises(BoardRefusedError, match="not set up: .*No module named 'no_such_runtime'"),
    ):
        device.describe()


def test_two_searches_on_one_board_keep_apart(board: LoopbackBoard, tmp_path: Path) -> None:
    impatient = tmp_path / "impatient_agent.py"
    impatient.write_text(AGENT_PATH.read_text().replace("BUSY_SECONDS = 6.0", "BUSY_SECONDS = 0.3"))
    with device_on(board) as first, SshDevice(board.address, QUICK, board.options, agent=impatient) as second:
        first.describe()
        with pytest.raises(BoardUnreachableError, match=r"is busy: another .* Wait for its end, or end it\.$"):
            second.describe()
        first.close()
        assert second.describe().cores


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk")
def test_a_full_disk_leaves_nothing_half_written(board: LoopbackBoard) -> None:
    disk = board.board_folder
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)], capture_output=True).returncode:
        pytest.skip("mounting a small disk is not allowed here")
    try:
        with device_on(board) as device:
            device.describe()
            with pytest.raises(BoardRefusedError, match=r"disk of .* is full: .* needs 1,000,000 bytes, but") as error:
                device.measure(bytes(10**6))
            assert list((disk / "models").iterdir()) == []
            assert "\n" not in str(error.value)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_folder_that_is_not_ours_is_said_so(board: LoopbackBoard) -> None:
    board.board_folder.write_text("a file")
    with device_on(board) as device, pytest.raises(BoardRefusedError, match="could not be written"):
        device.describe()


# An ordinary user: sshd passes signals on for these, and not for root


@pytest.fixture
def ordinary_board(board: LoopbackBoard) -> Iterator[LoopbackBoard]:
    """The board as root's sshd serves it to another user, who is made for the test."""
    python = shutil.which("python3", path="/usr/bin:/bin:/usr/local/bin")
    if os.geteuid() != 0 or shutil.which("useradd") is None or python is None:
        pytest.skip("needs root to make a user, and a Python for everyone")
    user = "pareto-test-user"
    with tempfile.TemporaryDirectory(prefix="pareto-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copy(board.folder / "authorized_keys", folder)
        subprocess.run(["useradd", "--no-user-group", "-M", "-p", "*", "-d", name, "-s", "/bin/sh", user], check=True)
        try:
            board.stop()
            board.authorized_keys = folder / "authorized_keys"
            board.user, board.python = user, python
            board.board_folder = folder / "board"
            shutil.chown(folder, user)
            board.start()
            yield board
        finally:
            board.stop()
            subprocess.run(["userdel", "-f", user], capture_output=True, check=True)


def test_an_ordinary_users_hanging_agent_is_signalled(ordinary_board: LoopbackBoard, tmp_path: Path) -> None:
    board = ordinary_board
    agent = tmp_path / "fake_agent.py"
    agent.write_text(FAKE_AGENT)
    settings = dataclasses.replace(QUICK, timeout_seconds=1.0)
    with SshDevice(board.address, settings, board.options, agent=agent) as device:
        first = int(device.describe().os)
        assert Path(f"/proc/{first}").stat().st_uid != 0
        with pytest.raises(MeasurementError, match="must answer within"):
            device.measure(b"hang")
        assert first not in board.agents()
        assert device.measure(b"").latency_ms == 2.0


def test_the_folder_may_be_anywhere(board: LoopbackBoard, tmp_path: Path) -> None:
    with device_on(board, folder=PurePosixPath(tmp_path / "a folder" / "with 'quotes'")) as device:
        assert device.measure(micro_model("skip")).latency_ms > 0
