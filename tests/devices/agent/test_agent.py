import ast
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from devices.agent import agent
from devices.agent.device import AGENT_PATH, RUNTIMES_PATH, AgentDevice
from devices.agent.host import HostLink
from devices.configuration import Precision, RuntimeConfiguration
from devices.measurement import MeasureSettings
from search_space.onnx_files import random_weights, to_onnx
from search_space.spaces import space_named
from tests.devices.agent.conftest import FREE, Firmware, agent_of, limits_of
from tests.devices.conftest import Request

SETTINGS = {"threads": 1, "warmup_runs": 1, "min_runs": 5, "max_runs": 5, "min_seconds": 0}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    graph = space_named("fbnet-micro").graph(("skip",) * 8)
    path = tmp_path / "model.onnx"
    path.write_bytes(to_onnx(graph, random_weights(graph, np.random.default_rng(0))))
    return path


def send(process: subprocess.Popen[str], *lines: str | dict[str, object]) -> None:
    """Write lines, and requests as JSON."""
    assert process.stdin is not None
    for line in lines:
        process.stdin.write((line if isinstance(line, str) else json.dumps(line)) + "\n")
    process.stdin.flush()


def replies_to(*lines: str | dict[str, object], script: Path = Path(agent.__file__)) -> list[Request]:
    """One reply a line from a fresh agent, or fewer if it ends before; its stdin stays open until then."""
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        send(process, *lines)
        assert process.stdin is not None
        assert process.stdout is not None
        replies = [json.loads(line) for line in (process.stdout.readline() for _ in lines) if line]
        process.stdin.close()
        assert process.stdout.read() == ""
    assert process.returncode == 0
    return replies


class Clock:
    """A clock that only runs when told to."""

    now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter_ns", clock)
    return clock


def fake_runs(monkeypatch: pytest.MonkeyPatch, step: Callable[[], object]) -> None:
    chain = SimpleNamespace(image=np.zeros((1, 1)), run=step)
    monkeypatch.setattr(agent, "Chain", lambda request: chain)


def measured(**changes: object) -> Request:
    return agent_of(Path("/nowhere")).measure({"model": "none", **SETTINGS, **changes})


def test_it_describes_and_measures_and_survives_bad_requests(model: Path) -> None:
    measure = {"command": "measure", "model": str(model), **SETTINGS}
    replies = replies_to(
        {"id": 1, "command": "describe"},
        "not JSON",
        "[1, 2]",
        {"id": 2, "command": "dance"},
        {"id": 3, **measure, "model": str(model.parent / "missing.onnx")},
        {"id": 4, **measure, "threads": 0},
        {"id": 5, "command": "measure"},
        {"id": 6, **measure},
        {"id": 7, "command": "conditions"},
    )
    assert [reply["id"] for reply in replies] == [1, None, None, 2, 3, 4, 5, 6, 7]
    assert [reply["ok"] for reply in replies] == [True, False, False, False, False, False, False, True, True]
    assert replies[0]["runtime"].startswith("onnxruntime ")
    assert (
        "describe, cool, measure, stream, run, clock, conditions, set_frequency, but got 'dance'" in replies[3]["error"]
    )
    assert "`threads` must be a number of at least 1, but got 0" in replies[5]["error"]
    assert replies[7]["runs"] == 5
    assert 0 < replies[7]["p5_ms"] <= replies[7]["median_ms"]
    assert set(replies[8]) == {"id", "ok"} | set(replies[7]["after"])


def test_more_threads_than_cores_are_refused(model: Path) -> None:
    cores = len(os.sched_getaffinity(0))
    request = {"command": "measure", "model": str(model), **SETTINGS, "threads": cores + 1}
    (reply,) = replies_to({"id": 1, **request})
    assert reply["error"] == (
        f"ValueError: `threads` must be at most {cores}, the cores of this board, but got {cores + 1}"
    )


def test_it_quits_when_told_to() -> None:
    assert replies_to({"command": "quit"}, {"id": 1, "command": "describe"}) == []


def test_it_ends_in_the_middle_of_a_measurement_at_the_end_of_stdin(model: Path) -> None:
    endless = SETTINGS | {"max_runs": 10**9, "min_seconds": 10**6}
    request = json.dumps({"id": 1, "command": "measure", "model": str(model), **endless})
    command = [sys.executable, agent.__file__]
    done = subprocess.run(command, input=request + "\n", capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "stdin ended" in json.loads(done.stdout)["error"]


def test_native_prints_do_not_reach_the_protocol(tmp_path: Path) -> None:
    noisy = tmp_path / "noisy.py"
    noisy.write_text(
        "import os\n"
        "from devices.agent import agent\n"
        "agent.Agent.describe = lambda self, request: os.write(1, b'noise\\n') and print('noise') or {}\n"
        "agent.main()\n"
    )
    assert replies_to({"id": 1, "command": "describe"}, script=noisy) == [{"id": 1, "ok": True}]


def test_the_quantiles_are_those_of_the_times(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    durations_ms = iter([50.0, *np.random.default_rng(0).permutation(np.arange(1.0, 102.0))])

    def run() -> None:
        clock.now_ns += int(next(durations_ms) * 1e6)

    fake_runs(monkeypatch, run)
    reply = measured(min_runs=101, max_runs=101)
    assert (reply["p5_ms"], reply["median_ms"], reply["iqr_ms"]) == (6.0, 51.0, 50.0)
    assert reply["end_s"] >= reply["start_s"]
    assert set(reply["before"]) == set(reply["after"]) == set(UNKNOWN)


@pytest.mark.parametrize(
    ("min_runs", "max_runs", "min_seconds", "runs"),
    [(5, 100, 0, 5), (5, 100, 0.02, 20), (5, 12, 0.02, 12), (30, 100, 0.02, 30)],
)
def test_it_stops_by_runs_and_seconds(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, min_runs: int, max_runs: int, min_seconds: float, runs: int
) -> None:
    def run() -> None:
        clock.now_ns += 1_000_000

    fake_runs(monkeypatch, run)
    reply = measured(min_runs=min_runs, max_runs=max_runs, min_seconds=min_seconds)
    assert reply["runs"] == runs


def test_it_needs_python_3_9_with_numpy_and_onnxruntime_and_for_litert_its_package() -> None:
    packages: set[str] = set()
    for path in (AGENT_PATH, RUNTIMES_PATH):
        tree = ast.parse(path.read_text(), feature_version=(3, 9))
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        packages |= {name.split(".")[0] for name in imported} - sys.stdlib_module_names
    assert packages == {"numpy", "onnxruntime", "ai_edge_litert"}


@pytest.fixture
def board(fake_system: Path) -> Path:
    """Root of a fake board."""
    return fake_system


def set_temperatures(monkeypatch: pytest.MonkeyPatch, board: Path, temperatures_c: Sequence[float]) -> None:
    """Each pause of the agent takes a second, and leaves the next temperature; the last one stays."""
    file, rest, clock_s = board / agent.TEMPERATURE, list(temperatures_c), [100.0]
    file.write_text(str(int(1000 * rest.pop(0))))

    def sleep(seconds: float) -> None:
        clock_s[0] += 1.0
        if rest:
            file.write_text(str(int(1000 * rest.pop(0))))

    # A clock of the agent alone: threads that other tests left must not move it.
    monkeypatch.setattr(agent, "time", SimpleNamespace(sleep=sleep, monotonic=lambda: clock_s[0]))


@pytest.mark.parametrize(
    ("temperatures_c", "waited_s", "last_c"),
    [
        ([70], 0, 70),
        ([75, 72, 70.5, 69, 60], 3, 69),
        ([90 - place for place in range(30)], 15, 75),
        ([80] * 40, 10, 80),
    ],
    ids=["cool", "cools down", "takes too long", "cools no further"],
)
def test_it_waits_until_the_board_is_cool(
    monkeypatch: pytest.MonkeyPatch, board: Path, temperatures_c: Sequence[float], waited_s: float, last_c: float
) -> None:
    set_temperatures(monkeypatch, board, temperatures_c)
    reply = agent_of(board).cool({"max_temperature_c": 70, "cooldown_seconds": 15})
    assert reply == {"temperature_c": last_c, "waited_s": waited_s}


def test_a_board_without_a_thermometer_is_cool(board: Path) -> None:
    assert agent_of(board).cool({"max_temperature_c": 70, "cooldown_seconds": 15})["temperature_c"] is None


def test_cooling_ends_with_the_client(monkeypatch: pytest.MonkeyPatch, board: Path) -> None:
    set_temperatures(monkeypatch, board, [90 - place for place in range(30)])
    hot = agent_of(board, stopped=lambda: True)
    with pytest.raises(RuntimeError, match="stdin ended"):
        hot.cool({"max_temperature_c": 70, "cooldown_seconds": 15})


UNKNOWN = {"clock_mhz": None, "temperature_c": None, "governor": None, "throttled": None, "volts": None}


def test_conditions_are_those_of_the_board(board: Path, firmware: Firmware) -> None:
    assert agent.conditions(board) == UNKNOWN
    (board / agent.TEMPERATURE).write_text("51540\n")
    (board / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").write_text("ondemand\n")
    told = {**UNKNOWN, "temperature_c": 51.54, "governor": "ondemand"}
    assert agent.conditions(board) == told
    firmware.says(get_throttled="throttled=0x50005")
    assert agent.conditions(board) == {**told, "throttled": 0x50005}
    flags = board / "sys/devices/platform/soc/soc:firmware/get_throttled"
    flags.parent.mkdir(parents=True)
    flags.write_text("4\n")
    assert agent.conditions(board) == {**told, "throttled": 4}


def test_the_clock_is_what_the_firmware_measures_and_not_what_cpufreq_says(board: Path, firmware: Firmware) -> None:
    (board / "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq").write_text("1000000\n")
    assert agent.conditions(board)["clock_mhz"] is None
    firmware.says(measure_clock__arm="frequency(0)=1500018816")
    assert agent.conditions(board)["clock_mhz"] == pytest.approx(1500.018816)
    (board / "proc").mkdir()
    (board / "proc/cpuinfo").write_text("processor\t: 0\ncpu MHz\t\t: 2649.998\n")
    firmware.denied()
    assert agent.conditions(board)["clock_mhz"] == 2649.998


@pytest.mark.parametrize(
    ("model", "volts"),
    [
        ("Raspberry Pi 5 Model B Rev 1.0", 0.7203),
        ("Raspberry Pi Compute Module 5 Rev 1.0", 0.7203),
        ("Raspberry Pi 4 Model B Rev 1.4", 0.8625),
        ("", 0.8625),
    ],
)
def test_the_voltage_of_the_cores_is_read(board: Path, firmware: Firmware, model: str, volts: float) -> None:
    (board / "proc/device-tree").mkdir(parents=True)
    (board / "proc/device-tree/model").write_text(f"{model}\0")
    firmware.says(measure_volts__core="volt=0.8625V", pmic_read_adc__VDD_CORE_V="  VDD_CORE_V volt(15)=0.72030000V")
    assert agent.conditions(board)["volts"] == volts
    firmware.says(measure_volts__core="volt=0.0000V", pmic_read_adc__VDD_CORE_V="")
    assert agent.conditions(board)["volts"] is None


def test_what_the_firmware_may_not_be_asked_is_unknown_and_the_board_says_so(board: Path, firmware: Firmware) -> None:
    (board / "proc/device-tree").mkdir(parents=True)
    (board / "proc/device-tree/model").write_text("Raspberry Pi 4 Model B Rev 1.4\0")
    firmware.denied()
    assert agent.conditions(board) == UNKNOWN
    assert agent_of(board).describe({})["throttling_visible"] is False
    firmware.says(get_throttled="throttled=0x0")
    assert agent_of(board).describe({})["throttling_visible"] is True
    (board / "proc/device-tree/model").write_text("Orange Pi 5")
    firmware.denied()
    assert agent_of(board).describe({})["throttling_visible"] is True


@pytest.mark.parametrize("node", ["soc/soc:firmware", "soc@107c000000/soc@107c000000:firmware"])
def test_the_kernel_tells_the_flags_where_the_firmware_may_not_be_asked(
    board: Path, firmware: Firmware, node: str
) -> None:
    firmware.denied()
    (board / "sys/devices/platform" / node).mkdir(parents=True)
    (board / "sys/devices/platform" / node / "get_throttled").write_text("50005\n")
    assert agent.conditions(board)["throttled"] == 0x50005


def test_a_board_on_arm_says_what_cannot_be_read(
    board: Path, firmware: Firmware, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    firmware.denied()
    described = agent_of(board).describe({})
    assert (described["throttling_visible"], described["temperature_visible"]) == (False, False)
    (board / agent.TEMPERATURE).write_text("48312\n")
    assert agent_of(board).describe({})["temperature_visible"] is True


def test_the_model_is_read_from_cpuinfo_where_there_is_no_device_tree(board: Path) -> None:
    (board / "proc").mkdir(exist_ok=True)
    (board / "proc/cpuinfo").write_text("processor\t: 0\nmodel\t\t: 85\n\nModel\t\t: Raspberry Pi 4 Model B Rev 1.4\n")
    assert agent_of(board).describe({})["model"] == "Raspberry Pi 4 Model B Rev 1.4"


def test_clocks_are_those_that_cores_of_all_kinds_have(board: Path) -> None:
    (board / "sys/devices/system/cpu/cpufreq/policy4/scaling_available_frequencies").write_text(
        "1000000 1500000 2200000"
    )
    assert agent_of(board).describe({})["frequencies_mhz"] == [1000, 1500]


def test_a_lock_that_leads_elsewhere_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("content")
    (tmp_path / "agent.lock").symlink_to("precious")
    with pytest.raises(OSError, match="agent.lock"):
        agent._take_turn(tmp_path / "agent.lock")
    assert (tmp_path / "precious").read_text() == "content"


def agent_with_a_set_clock(board: Path, *options: str) -> subprocess.Popen[str]:
    """A running agent in a process group of its own, which has set the clock that the firmware measures."""
    firmware = Firmware(board / "programs")
    firmware.says(measure_clock__arm="frequency(0)=1000000000")
    command = [sys.executable, agent.__file__, "--root", str(board), *options]
    process = subprocess.Popen(
        command,
        start_new_session=True,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PATH": f"{firmware.folder}{os.pathsep}{os.environ['PATH']}"},
    )
    send(process, {"id": 1, "command": "set_frequency", "frequency_mhz": 1000}, "")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["ok"]
    assert limits_of(board) == [1000000] * 4
    return process


@pytest.mark.parametrize("ending", ["quit", "stdin", "SIGTERM", "SIGHUP", "no heartbeat"])
def test_the_clock_is_put_back_however_the_agent_ends(board: Path, ending: str) -> None:
    with agent_with_a_set_clock(board, "--heartbeat-seconds", "0.5" if ending == "no heartbeat" else "0") as process:
        if ending == "quit":
            send(process, {"command": "quit"})
        elif ending == "stdin":
            assert process.stdin is not None
            process.stdin.close()
        elif ending.startswith("SIG"):
            process.send_signal(signal.Signals[ending])
        assert process.wait(timeout=20) == (0 if ending in ("quit", "stdin") else -signal.SIGKILL)
    assert limits_of(board) == FREE


def test_it_ends_without_a_heartbeat_in_the_middle_of_a_measurement_with_its_children(
    board: Path, model: Path, tmp_path: Path
) -> None:
    """The clock of a hung inference is put back, too."""
    with agent_with_a_set_clock(board, "--heartbeat-seconds", "0.5") as process:
        endless = SETTINGS | {"max_runs": 10**9, "min_seconds": 10**6}
        send(process, {"id": 2, "command": "measure", "model": str(model), **endless})
        for _ in range(5):
            time.sleep(0.15)
            send(process, "")
        assert process.poll() is None
        assert process.wait(timeout=20) == -signal.SIGKILL
    assert limits_of(board) == FREE


def test_a_signal_ends_it_in_the_middle_of_an_inference(board: Path, model: Path, tmp_path: Path) -> None:
    stuck = tmp_path / "stuck.py"
    stuck.write_text(
        "import ctypes, os\n"
        "from devices.agent import agent\n"
        "libc = ctypes.CDLL(None)\n"
        "agent.Chain.run = lambda *rest: print('stuck', flush=True) or [libc.sleep(1) for _ in range(600)]\n"
        "agent.main()\n"
    )
    command = [sys.executable, str(stuck), "--root", str(board)]
    with subprocess.Popen(
        command, start_new_session=True, text=True, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        send(process, {"id": 1, "command": "measure", "model": str(model), **SETTINGS})
        assert process.stderr is not None
        assert process.stderr.readline() == "stuck\n"
        process.terminate()
        assert process.wait(timeout=20) == -signal.SIGKILL


def test_one_running_agent_serves_clocks_and_precisions_in_turn(board: Path, firmware: Firmware, model: Path) -> None:
    limit = board / "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq"
    firmware.runs(
        f'case "$1" in measure_clock) echo "frequency(0)=$(cat {limit})000";; measure_volts) echo volt=0.8500V;; esac'
    )
    settings = MeasureSettings(warmup_runs=0, min_runs=3, max_runs=3, min_seconds=0.0)
    link = HostLink([sys.executable, agent.__file__, "--root", str(board)])
    points: list[tuple[int | None, Precision]] = [(600, "fp32"), (1000, "int8"), (None, "fp32"), (1000, "fp32")]
    with AgentDevice(link, settings, name="a board", shares_host=False) as device:
        device.describe()
        running = device._channel
        for mhz, precision in points:
            configuration = RuntimeConfiguration(frequency_mhz=mhz, precision=precision)
            measurement = device.measure(model.read_bytes(), configuration)
            assert measurement.configuration == configuration
            assert measurement.after.clock_mhz == (mhz or 1500)
            assert measurement.after.volts == 0.85
            assert limits_of(board) == (FREE if mhz is None else [mhz * 1000] * 4)
        assert device._channel is running
    assert limits_of(board) == FREE


def test_the_same_seed_gives_the_same_outputs(model: Path) -> None:
    run = {"command": "run", "model": str(model), "threads": 1}
    first, again, other = replies_to(
        {"id": 1, **run, "seed": 0}, {"id": 2, **run, "seed": 0}, {"id": 3, **run, "seed": 1}
    )
    assert len(first["outputs"][0]) == space_named("fbnet-micro").classes
    assert first["outputs"] == again["outputs"] != other["outputs"]


def test_a_killed_agent_leaves_the_clock_to_the_next_one(board: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with agent_with_a_set_clock(board, "--folder", str(folder)) as process:
        process.kill()
    assert limits_of(board) == [1000000] * 4
    command = [sys.executable, agent.__file__, "--root", str(board), "--folder", str(folder)]
    subprocess.run(command, input="", text=True, timeout=60, check=True)
    assert limits_of(board) == FREE
    assert sorted(path.name for path in folder.iterdir()) == ["agent.lock"]


@pytest.mark.parametrize("said", [b"x" * 10**6, b"{}\n" * 10**5, b'{"id": 1, "command": "descr'])
def test_a_client_that_is_none_of_ours_or_ends_in_mid_line_ends_it(said: bytes) -> None:
    process = subprocess.Popen([sys.executable, agent.__file__], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(said)
        process.stdin.flush()
        if len(said) < 100:
            process.stdin.close()
    assert process.wait(timeout=60) in (0, 1, -signal.SIGKILL)
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()


def test_errors_are_told_in_some_words() -> None:
    reply = agent_of(Path("/nowhere")).answer(json.dumps({"id": 1, "command": "x" * 10**5}))
    assert reply is not None
    assert len(reply["error"]) <= agent.LONGEST_ERROR
    for line in ("[" * 10**5, '{"id": ' + "1" * 10**4 + "}", '{"id": 1, "command": []}'):
        reply = agent_of(Path("/nowhere")).answer(line)
        assert reply is not None
        assert reply["ok"] is False
