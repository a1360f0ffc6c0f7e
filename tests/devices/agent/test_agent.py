import ast
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from devices.agent import agent
from devices.agent.device import AgentDevice
from devices.agent.host import HostLink
from devices.configuration import Precision, RuntimeConfiguration
from devices.measurement import MeasureSettings
from search_space.onnx_files import random_weights, to_onnx
from search_space.spaces import space_named
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
    monkeypatch.setattr(agent, "_inference", lambda model, threads: step)


def measured(**changes: object) -> Request:
    return agent_of(Path("/nowhere")).measure({"model": "none", **SETTINGS, **changes})


def agent_of(root: Path, **options: Any) -> agent.Agent:
    return agent.Agent(root, agent.Clocks(root), **options)


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
    )
    assert [reply["id"] for reply in replies] == [1, None, None, 2, 3, 4, 5, 6]
    assert [reply["ok"] for reply in replies] == [True, False, False, False, False, False, False, True]
    assert replies[0]["runtime"].startswith("onnxruntime ")
    assert "describe, clock, cool, measure, run, set_frequency, but got 'dance'" in replies[3]["error"]
    assert "`threads` must be a number of at least 1, but got 0" in replies[5]["error"]
    assert replies[7]["runs"] == 5
    assert 0 < replies[7]["p5_ms"] <= replies[7]["median_ms"]


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


def test_it_is_one_file_for_python_3_9_with_numpy_and_onnxruntime() -> None:
    tree = ast.parse(Path(agent.__file__).read_text(), feature_version=(3, 9))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    roots = {name.split(".")[0] for name in imported}
    assert roots - sys.stdlib_module_names == {"numpy", "onnxruntime"}


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """Root of a fake board: two clusters of cores that may run at 600 to 1500 MHz, and go by themselves."""
    for name in ("policy0", "policy4"):
        policy = tmp_path / "sys/devices/system/cpu/cpufreq" / name
        policy.mkdir(parents=True)
        (policy / "scaling_available_frequencies").write_text("600000 1000000 1500000 \n")
        (policy / "cpuinfo_min_freq").write_text("600000\n")
        (policy / "cpuinfo_max_freq").write_text("1500000\n")
        (policy / "scaling_min_freq").write_text("600000\n")
        (policy / "scaling_max_freq").write_text("1500000\n")
    (tmp_path / "sys/devices/system/cpu/cpu0").mkdir()
    (tmp_path / "sys/devices/system/cpu/cpu0/cpufreq").symlink_to("../cpufreq/policy0")
    (tmp_path / "sys/class/thermal/thermal_zone0").mkdir(parents=True)
    return tmp_path


def limits_of(board: Path) -> list[int]:
    files = sorted(board.glob("sys/devices/system/cpu/cpufreq/policy*/scaling_m??_freq"))
    return [int(file.read_text()) for file in files]


FREE = [1500000, 600000, 1500000, 600000]


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


class Firmware:
    """A `vcgencmd` in a folder that a test may put on the path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def says(self, **answers: str) -> None:
        """Answer these questions, and no others; a blank in a question is written as two underscores."""
        cases = [f'"{question.replace("__", " ")}") echo "{answer}";;' for question, answer in answers.items()]
        self.runs(f'case "$*" in {" ".join(cases)} *) echo "error=1"; exit 255;; esac')

    def runs(self, script: str) -> None:
        (self.folder / "vcgencmd").write_text(f"#!/bin/sh\n{script}\n")
        (self.folder / "vcgencmd").chmod(0o755)

    def denied(self) -> None:
        """As for a user outside of the group `video`."""
        self.runs('echo "Can\'t open device file: /dev/vcio"; echo "Try creating a device file"; exit 255')


@pytest.fixture
def firmware(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Firmware:
    firmware = Firmware(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{firmware.folder}{os.pathsep}{os.environ['PATH']}")
    return firmware


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


def keep_clocks(monkeypatch: pytest.MonkeyPatch, board: Path, runs_mhz: Callable[[float], float]) -> None:
    """Cores that run at a clock of their own for each one that is set; the time of a loop shows it."""

    def seconds() -> float:
        return 1.0 / runs_mhz(agent._limit(board / "sys/devices/system/cpu/cpufreq/policy0", "max") / 1000)

    monkeypatch.setattr(agent, "_loop_seconds", seconds)


@pytest.fixture
def true_clocks(monkeypatch: pytest.MonkeyPatch, board: Path) -> None:
    keep_clocks(monkeypatch, board, lambda asked_mhz: asked_mhz)


@pytest.mark.usefixtures("true_clocks")
def test_a_clock_is_set_on_all_cores_and_put_back(board: Path) -> None:
    clocks = agent.Clocks(board)
    assert clocks.fix(1000) == {"frequency_mhz": 1000, "clock_mhz": pytest.approx(1000)}
    assert limits_of(board) == [1000000] * 4
    clocks.fix(1500)
    assert limits_of(board) == [1500000] * 4
    clocks.restore()
    assert limits_of(board) == FREE
    clocks.restore()


@pytest.mark.usefixtures("true_clocks")
def test_a_request_without_a_clock_leaves_it_to_the_governor(board: Path) -> None:
    asked = agent_of(board)
    for mhz, limits in ((1000, [1000000] * 4), (None, FREE), (600, [600000] * 4), (None, FREE)):
        reply = asked.answer(json.dumps({"id": 1, "command": "set_frequency", "frequency_mhz": mhz}))
        assert reply is not None
        assert (reply["ok"], reply["frequency_mhz"], limits_of(board)) == (True, mhz, limits)


def test_the_firmware_is_believed_about_the_clock(board: Path, firmware: Firmware) -> None:
    clocks = agent.Clocks(board)
    firmware.says(measure_clock__arm="frequency(0)=1028000000")
    assert clocks.fix(1000) == {"frequency_mhz": 1000, "clock_mhz": 1028.0}
    assert clocks.measured_mhz() == 1028.0
    for hertz, remedy in (
        ("1500018816", "load: ask for another clock, or omit"),
        ("600000000", "load: cool the board"),
    ):
        firmware.says(measure_clock__arm=f"frequency(0)={hertz}")
        with pytest.raises(
            ValueError, match=f"1000 MHz was asked for and {hertz[:-6]} MHz runs under {remedy}"
        ) as error:
            clocks.fix(1000)
        assert "\n" not in str(error.value)
        assert limits_of(board) == FREE


PI_5 = range(1000, 2500, 100)


@pytest.mark.parametrize("denied", [False, True])
def test_a_pi_5_that_does_not_go_below_1500_mhz_is_found_out(
    monkeypatch: pytest.MonkeyPatch, board: Path, firmware: Firmware, *, denied: bool
) -> None:
    """As in raspberrypi/linux#5876, by the firmware's word, or by a loop where that is denied."""
    for policy in board.glob("sys/devices/system/cpu/cpufreq/policy*"):
        (policy / "scaling_available_frequencies").write_text(" ".join(str(mhz * 1000) for mhz in PI_5))
        (policy / "cpuinfo_max_freq").write_text("2400000\n")
        (policy / "scaling_max_freq").write_text("2400000\n")
        (policy / "scaling_cur_freq").write_text("1000000\n")
    keep_clocks(monkeypatch, board, lambda asked_mhz: max(asked_mhz, 1500))
    limit = board / "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq"
    firmware.runs(f'mhz=$(($(cat {limit}) / 1000)); echo "frequency(0)=$((mhz < 1500 ? 1500 : mhz))018816"')
    if denied:
        firmware.denied()
    for mhz in PI_5:
        clocks = agent.Clocks(board)
        if mhz < 1460:
            with pytest.raises(ValueError, match=f"{mhz} MHz was asked for and 1500 MHz runs under load"):
                clocks.fix(mhz)
        else:
            assert clocks.fix(mhz)["clock_mhz"] == pytest.approx(mhz, rel=1e-3)
            assert clocks.measured_mhz() == pytest.approx(mhz, rel=1e-3)
            assert limits_of(board) == [mhz * 1000] * 4
        clocks.restore()


def test_a_board_that_holds_its_clock_down_is_found_out_and_what_runs_later_is_measured(
    monkeypatch: pytest.MonkeyPatch, board: Path
) -> None:
    clocks = agent.Clocks(board)
    keep_clocks(monkeypatch, board, lambda asked_mhz: min(asked_mhz, 1200))
    with pytest.raises(ValueError, match="1500 MHz was asked for and 1200 MHz runs under load: cool the board"):
        clocks.fix(1500)
    assert clocks.fix(1000)["clock_mhz"] == pytest.approx(1000)
    keep_clocks(monkeypatch, board, lambda asked_mhz: 600)
    assert agent.conditions(board, clocks)["clock_mhz"] == pytest.approx(600)


def test_a_single_clock_that_nothing_can_measure_is_refused(board: Path) -> None:
    for policy in board.glob("sys/devices/system/cpu/cpufreq/policy*"):
        (policy / "scaling_available_frequencies").write_text("1500000\n")
    with pytest.raises(ValueError, match="no second clock to compare with: join the group `video`"):
        agent.Clocks(board).fix(1500)
    assert limits_of(board) == FREE


def test_the_time_of_the_loop_is_that_of_its_quickest_run(monkeypatch: pytest.MonkeyPatch) -> None:
    times_ns = iter([now_ns for run in range(agent.LOOP_TIMES) for now_ns in (0, 5000 - 100 * run)])
    monkeypatch.setattr(time, "perf_counter_ns", lambda: next(times_ns))
    assert agent._loop_seconds() == pytest.approx((5000 - 100 * (agent.LOOP_TIMES - 1)) / 1e9)


def test_nothing_is_set_any_more_once_the_agent_ends(board: Path) -> None:
    clocks = agent.Clocks(board)
    clocks.restore(over=True)
    with pytest.raises(ValueError, match="the agent ends"):
        clocks.fix(1000)
    assert limits_of(board) == FREE


def test_limits_never_cross(monkeypatch: pytest.MonkeyPatch, board: Path) -> None:
    policy = board / "sys/devices/system/cpu/cpufreq/policy0"
    crossed = []
    real = Path.write_text

    def write_text(path: Path, text: str, *rest: Any) -> int:
        written = real(path, text, *rest)
        crossed.append(agent._limit(policy, "min") > agent._limit(policy, "max"))
        return written

    monkeypatch.setattr(Path, "write_text", write_text)
    for low, high in ((1500, 1500), (600, 600), (600, 1500), (1000, 1000), (600, 600), (1500, 1500), (600, 1000)):
        agent._write_limits(policy, low * 1000, high * 1000)
        assert (agent._limit(policy, "min"), agent._limit(policy, "max")) == (low * 1000, high * 1000)
    assert not any(crossed)


@pytest.mark.usefixtures("true_clocks")
def test_a_clock_that_the_board_does_not_have_is_refused_with_those_it_has(board: Path) -> None:
    with pytest.raises(ValueError, match="must be one of 600, 1000, 1500 on this board, but got 1200"):
        agent.Clocks(board).fix(1200)
    for policy in board.glob("sys/devices/system/cpu/cpufreq/policy*"):
        (policy / "scaling_available_frequencies").unlink()
    with pytest.raises(ValueError, match="must be from 600 to 1500 on this board, but got 1600"):
        agent.Clocks(board).fix(1600)
    assert limits_of(board) == FREE
    agent.Clocks(board).fix(1200)
    assert limits_of(board) == [1200000] * 4


def test_a_system_without_clocks_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs cpufreq, but this system has none"):
        agent.Clocks(tmp_path).fix(1500)


def test_without_the_right_to_set_the_clock_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, board: Path) -> None:
    real = Path.write_text

    def write_text(path: Path, *rest: Any) -> int:
        if path.name == "scaling_min_freq" and path.parent.name == "policy4" and rest[0] == "1000000":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *rest)

    monkeypatch.setattr(Path, "write_text", write_text)
    with pytest.raises(ValueError, match=r"needs the right to set the clock: .*sudo chmod a\+w"):
        agent.Clocks(board).fix(1000)
    assert limits_of(board) == FREE


def test_a_system_that_keeps_to_another_clock_is_found_out(monkeypatch: pytest.MonkeyPatch, board: Path) -> None:
    real = agent._write_limits
    monkeypatch.setattr(
        agent, "_write_limits", lambda policy, low, high: real(policy, max(low, 600000), min(high, 900000))
    )
    with pytest.raises(ValueError, match="keeps another clock"):
        agent.Clocks(board).fix(1000)


@pytest.mark.usefixtures("true_clocks")
def test_the_next_agent_puts_back_what_a_killed_one_left(board: Path, tmp_path: Path) -> None:
    state = tmp_path / "clock.json"
    agent.Clocks(board, state).fix(1000)
    assert limits_of(board) == [1000000] * 4
    agent.Clocks(board, state).restore()
    assert limits_of(board) == FREE
    assert not state.exists()


@pytest.mark.usefixtures("true_clocks")
@pytest.mark.parametrize("damage", ["", "{", "[1]", '{"POLICY": [1]}', '{"POLICY": ["a", 2]}', "[" * 100_000])
def test_a_damaged_file_of_the_former_clocks_does_no_harm(board: Path, tmp_path: Path, damage: str) -> None:
    state = tmp_path / "clock.json"
    state.write_text(damage.replace("POLICY", str(board / "sys/devices/system/cpu/cpufreq/policy0")))
    clocks = agent.Clocks(board, state)
    clocks.restore()
    clocks.fix(1000)
    clocks.restore()
    assert limits_of(board) == FREE


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
        "agent._inference = lambda *rest: lambda: print('stuck', flush=True) or [libc.sleep(1) for _ in range(600)]\n"
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
    with AgentDevice(link, settings, name="a board", shares_host=True) as device:
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
