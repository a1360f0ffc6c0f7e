import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devices.agent.host import HostDevice, HostLink
from devices.configuration import PRECISIONS, RuntimeConfiguration
from devices.errors import BoardRefusedError, MeasurementError
from devices.measurement import Measurement, MeasureSettings
from search_space.litert.conversion import litert_file
from tests.devices.conftest import micro_model

QUICK = MeasureSettings(warmup_runs=1, min_runs=5, max_runs=20, min_seconds=0.0)

FAKE_AGENT = """
import json, os, sys, time

TIMES = {"p5_ms": 2.0, "median_ms": 2.0, "iqr_ms": 0.0, "runs": 3}

for line in sys.stdin:
    request = json.loads(line)
    reply = {"id": request["id"], "ok": True, "model": "fake", "runtime": "fake", "clock_mhz": None}
    reply["os"] = str(os.getpid())
    if request["command"] == "measure":
        reply.update(TIMES)
        content = open(request["models"][0], "rb").read()
        if content == b"crash":
            print("out of memory", file=sys.stderr, flush=True)
            os._exit(3)
        if content == b"hang":
            open(request["models"][0] + ".hangs", "w").close()
            time.sleep(600)
        if content == b"noise":
            print("native noise", flush=True)
            print("[1]", flush=True)
            print(json.dumps({**reply, "id": -1, "p5_ms": 99.0}), flush=True)
        if content == b"refuse":
            reply = {"id": request["id"], "ok": False, "error": request["models"][0]}
    print(json.dumps(reply), flush=True)
"""


@pytest.fixture
def fake_agent(tmp_path: Path) -> Path:
    path = tmp_path / "fake_agent.py"
    path.write_text(FAKE_AGENT)
    return path


@pytest.fixture
def fake(fake_agent: Path) -> Iterator[HostDevice]:
    with HostDevice(MeasureSettings(timeout_seconds=20.0), agent=fake_agent) as device:
        yield device


def ended(pid: int) -> bool:
    """Whether a process is gone, or waits only for its parent to notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_it_is_this_machine_and_measures() -> None:
    with HostDevice(QUICK) as device:
        assert device.shares_host
        board = device.describe()
        assert (board.name, board.cores) == ("host", len(os.sched_getaffinity(0)))
        assert board.runtime.startswith("onnxruntime ")
        with pytest.raises(MeasurementError, match="the agent could not measure"):
            device.measure(b"no model")
        measurement = device.measure(micro_model("skip"))
        assert (measurement.latency_source, measurement.energy_source) == ("measured", "modelled")


def test_a_crash_fails_that_call_only(fake: HostDevice) -> None:
    first = fake.describe().os
    with pytest.raises(MeasurementError, match="ended with code 3. Its last words: out of memory"):
        fake.measure(b"crash")
    assert fake.measure(b"").latency_ms == 2.0
    assert fake.describe().os != first


def test_a_hanging_agent_is_killed_and_replaced(fake_agent: Path) -> None:
    with HostDevice(MeasureSettings(timeout_seconds=1.0), agent=fake_agent) as device:
        pid = int(device.describe().os)
        with pytest.raises(MeasurementError, match="must answer within 1 s"):
            device.measure(b"hang")
        assert ended(pid)
        assert device.measure(b"").latency_ms == 2.0


def test_an_agent_that_was_killed_between_calls_is_replaced(fake: HostDevice) -> None:
    pid = int(fake.describe().os)
    os.kill(pid, signal.SIGKILL)
    while not ended(pid):
        time.sleep(0.01)
    assert int(fake.describe().os) != pid


def test_lines_that_are_no_reply_are_skipped(fake: HostDevice) -> None:
    assert fake.measure(b"noise").latency_ms == 2.0


def test_closing_ends_the_agent_and_removes_its_files(fake: HostDevice) -> None:
    pid = int(fake.describe().os)
    with pytest.raises(MeasurementError) as error:
        fake.measure(b"refuse")
    path = Path(str(error.value).split()[-1].rstrip("."))
    assert path.suffix == ".onnx"
    assert list(path.parent.glob("*.onnx")) == []
    assert path.parent.stat().st_mode & 0o077 == 0
    fake.close()
    fake.close()
    assert ended(pid)
    assert not path.parent.exists()
    with pytest.raises(MeasurementError, match="closed device"):
        fake.describe()


def test_closing_does_not_wait_for_a_measurement(fake_agent: Path) -> None:
    device = HostDevice(MeasureSettings(timeout_seconds=600.0), agent=fake_agent)
    device.describe()
    reasons = []

    def measure() -> None:
        with pytest.raises(MeasurementError) as error:
            device.measure(b"hang")
        reasons.append(str(error.value))

    thread = threading.Thread(target=measure)
    thread.start()
    link = device._link
    assert isinstance(link, HostLink)
    assert link._folder is not None
    while not list(Path(link._folder.name).glob("*.hangs")):
        time.sleep(0.01)
    device.close()
    thread.join(timeout=20)
    assert "ended with code -15" in reasons[0]


def test_the_agent_is_out_of_reach_of_ctrl_c(fake: HostDevice) -> None:
    pid = int(fake.describe().os)
    assert os.getsid(pid) == os.getpgid(pid) == pid


def test_nothing_starts_before_the_first_use(tmp_path: Path) -> None:
    device = HostDevice(QUICK, python=str(tmp_path / "no-python"))
    with device, pytest.raises(MeasurementError, match="could not be started with .*no-python"):
        device.describe()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see processes of others")
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "measuring"])
def test_the_agent_ends_when_the_search_is_killed(tmp_path: Path, *, busy: bool) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(micro_model("skip"))
    measure = f"device.measure(open({str(model)!r}, 'rb').read())\n" if busy else ""
    search = (
        "import subprocess, time\n"
        "from devices.agent.host import HostDevice\n"
        "from devices.measurement import MeasureSettings\n"
        "device = HostDevice(MeasureSettings(min_runs=10**9, max_runs=10**9))\n"
        "device.describe()\n"
        "print(device._channel._process.pid, device._link._folder.name, flush=True)\n"
        f"{measure}time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", search], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    number, folder = process.stdout.readline().split()
    pid = int(number)
    while busy and not list(Path(folder).glob("*.onnx")):
        time.sleep(0.01)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 30
    while not ended(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert ended(pid)
    for path in Path(folder).iterdir():
        path.unlink()
    Path(folder).rmdir()


def test_a_network_runs_under_litert_in_both_precisions_and_in_segments() -> None:
    pytest.importorskip("ai_edge_litert", reason="`ai-edge-litert` is not installed: run `pip install ai-edge-litert`")
    with HostDevice(QUICK) as device:
        board = device.describe()
        assert board.litert is not None
        for precision in PRECISIONS:
            configuration = RuntimeConfiguration(runtime="litert", precision=precision)
            measurement = device.measure(micro_model("k3_e1_g2"), configuration)
            assert measurement.configuration == configuration
            assert measurement.runtime == board.litert
            assert Measurement.from_json(measurement.to_json()).configuration == configuration
        in_parts = device.measure([micro_model("skip")], RuntimeConfiguration(runtime="litert"))
        assert in_parts.latency_ms > 0
        with pytest.raises(MeasurementError, match="LiteRT cannot run this model: a file must be ONNX"):
            device.measure(b"no model", RuntimeConfiguration(runtime="litert"))
        with pytest.raises(MeasurementError, match="ONNX Runtime cannot run this model: .* but this is a LiteRT file"):
            device.measure(litert_file(micro_model("skip")))


def test_a_board_without_litert_refuses_it(fake: HostDevice) -> None:
    with pytest.raises(BoardRefusedError, match=r"needs LiteRT on host \(fake\), but it is not installed: run `pip"):
        fake.measure(b"", RuntimeConfiguration(runtime="litert"))
