"""The on-board agent: runs ONNX models and answers in JSON lines.

One file that needs only Python 3.9, numpy and onnxruntime. Requests arrive on stdin, one JSON object a line; a reply
repeats the `id`, {"id", "ok": true, ...} or {"id", "ok": false, "error"}. The commands are `describe`, `clock`, `cool`,
`measure`, `run` (the methods of `Agent` say what each takes), `set_frequency` and `quit`. Empty lines are heartbeats.
At the end of stdin, on SIGTERM, or without a heartbeat, it restores the clock and ends with its process group.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import math
import os
import platform
import queue
import re
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TextIO

import numpy as np
import onnxruntime

LONGEST_LINE, MOST_WAITING, LONGEST_ERROR = 2**16, 100, 1000  # of requests in bytes, of them, of a reply's text
GRACE_SECONDS = 1.0  # that a running request gets after the end of stdin
BUSY_SECONDS = 6.0  # to wait for another agent on this board: longer than one outlives its client
BUSY_CODE = 75  # exit code if another agent keeps measuring
STALLED_SECONDS = 10.0  # without a drop in temperature, after which a board is assumed to cool no further
CLOCK_TOLERANCE = 0.03  # by which a clock that is asked for may differ from the one that runs
LOOP_STEPS, LOOP_TIMES = 100_000, 15  # of the loop that clocks are compared by: some ms each
SETTLE_SECONDS = 0.02  # that a clock has to change
VOLTS = r"(?:VDD_CORE_V\s+)?volt(?:\(\d+\))?=(\d{1,2}(?:\.\d{1,12})?)V"  # as the firmware writes them
CORE_RAIL, CORE_VOLTS = ("pmic_read_adc", "VDD_CORE_V"), ("measure_volts", "core")  # of a Pi 5, of the others
JOIN_VIDEO = "join the group `video` by `sudo usermod -aG video $USER` and log in anew"
PERMIT = "`sudo chmod a+w /sys/devices/system/cpu/cpufreq/policy*/scaling_m??_freq` grants it until the next reboot"
TEMPERATURE = "sys/class/thermal/thermal_zone0/temp"

Reply = dict[str, Any]
Lines = queue.SimpleQueue["str | None"]


class Agent:
    """Answers requests about one board, whose /sys and /proc are under `root`."""

    def __init__(self, root: Path, clocks: Clocks, stopped: Callable[[], bool] = lambda: False) -> None:
        self._root = root
        self._stopped = stopped
        self._clocks = clocks
        self._commands: dict[object, Callable[[Reply], Reply]] = {
            "describe": self.describe,
            "clock": lambda request: {"time_s": time.monotonic()},
            "cool": self.cool,
            "measure": self.measure,
            "run": self.run,
            "set_frequency": lambda request: clocks.follow(request.get("frequency_mhz")),
        }

    def answer(self, line: str) -> Reply | None:
        """The reply to one line, or None if the agent is to end."""
        request_id = None
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise ValueError(f"a request must be a JSON object, but got {line.strip()!r}")
            request_id, command = request.get("id"), request.get("command")
            if command == "quit":
                return None
            if command not in self._commands:
                raise ValueError(f"`command` must be one of {', '.join(map(str, self._commands))}, but got {command!r}")
            return {"id": request_id, "ok": True, **self._commands[command](request)}
        except Exception as error:
            return {"id": request_id, "ok": False, "error": f"{type(error).__name__}: {error}"[:LONGEST_ERROR]}

    def describe(self, request: Reply) -> Reply:
        """What this board is."""
        board = _text(self._root / "proc/device-tree/model").strip("\0\n ")
        found = re.search(r"^model name\s*:\s*(.+)$", _text(self._root / "proc/cpuinfo"), re.MULTILINE)
        state, machine = conditions(self._root, self._clocks), platform.machine()
        system = {"os": platform.platform(), "machine": machine, "runtime": f"onnxruntime {onnxruntime.__version__}"}
        model = board or (found.group(1).strip() if found else "") or machine
        visible = not board.startswith("Raspberry Pi") or state["throttled"] is not None
        clocks = {"clock_mhz": state["clock_mhz"], "frequencies_mhz": self._clocks.available_mhz}
        cores = len(os.sched_getaffinity(0))
        return {**system, **clocks, "model": model, "throttling_visible": visible, "cores": cores}

    def cool(self, request: Reply) -> Reply:
        """Wait until the board is no hotter than `max_temperature_c`, for at most `cooldown_seconds`.

        The wait also ends once the temperature falls no further.
        """
        limit_c, longest_s = _setting(request, "max_temperature_c", 0), _setting(request, "cooldown_seconds", 0)
        start_s = lowest_s = now_s = time.monotonic()
        lowest_c = math.inf
        while (temperature_c := _thousandth(self._root / TEMPERATURE)) is not None and temperature_c > limit_c:
            if temperature_c < lowest_c:
                lowest_c, lowest_s = temperature_c, now_s
            if now_s - start_s >= longest_s or now_s - lowest_s >= STALLED_SECONDS:
                break
            self._go_on()
            time.sleep(0.25)
            now_s = time.monotonic()
        return {"temperature_c": temperature_c, "waited_s": now_s - start_s}

    def measure(self, request: Reply) -> Reply:
        """Time single inferences of the file `model`, batch size 1, with `threads`, after `warmup_runs`.

        At least `min_runs` and `min_seconds`, but at most `max_runs`. In the reply, `start_s` and `end_s` are times of
        the board's monotonic clock.
        """
        warmup_runs, min_runs = int(_setting(request, "warmup_runs", 0)), int(_setting(request, "min_runs", 1))
        max_runs, min_seconds = int(_setting(request, "max_runs", min_runs)), _setting(request, "min_seconds", 0)
        run = _inference(str(request["model"]), _threads(request))
        for _ in range(warmup_runs):
            run()
        before = conditions(self._root, self._clocks)
        start_s, start_ns = time.monotonic(), time.perf_counter_ns()
        times_ns: list[int] = []
        last_ns, least_ns = start_ns, min_seconds * 1e9
        while len(times_ns) < max_runs and (len(times_ns) < min_runs or last_ns - start_ns < least_ns):
            self._go_on()
            run_start_ns = time.perf_counter_ns()
            run()
            last_ns = time.perf_counter_ns()
            times_ns.append(last_ns - run_start_ns)
        end_s = time.monotonic()
        p5, lower, median, upper = (float(value) / 1e6 for value in np.percentile(times_ns, [5, 25, 50, 75]))
        times = {"p5_ms": p5, "median_ms": median, "iqr_ms": upper - lower, "runs": len(times_ns)}
        after = conditions(self._root, self._clocks)
        return {**times, "start_s": start_s, "end_s": end_s, "before": before, "after": after}

    def run(self, request: Reply) -> Reply:
        """Outputs of the file `model`, each as a flat list, for the random input of `seed`, with `threads`."""
        run = _inference(str(request["model"]), _threads(request), int(_setting(request, "seed", 0)))
        return {"outputs": [np.asarray(output, np.float64).ravel().tolist() for output in run()]}

    def _go_on(self) -> None:
        if self._stopped():
            raise RuntimeError("stdin ended during the request")


class Clocks:
    """Limits of the cores' clocks in cpufreq; a file of the former ones lets the next agent restore them, too.

    cpufreq tells what was asked for, not what runs: a Pi 5 takes 1000 MHz, and runs 1500. A clock is therefore believed
    when it was measured under load: by a Raspberry Pi's firmware, else by a loop whose time must go with 1 / f.
    """

    def __init__(self, root: Path, state: Path | None = None) -> None:
        self._policies = sorted(root.glob("sys/devices/system/cpu/cpufreq/policy*"))
        self._state = state
        self._lock = threading.Lock()
        self._former = _former_limits(state, self._policies)
        self._over = False
        self._loop_cycles: float | None = None

    @property
    def available_mhz(self) -> list[int]:
        """Clocks that the system lists, ascending."""
        return _listed_mhz(self._policies[0]) if self._policies else []

    def follow(self, frequency_mhz: object) -> Reply:
        """Fix the clock, or with None leave it to the governor again."""
        if frequency_mhz is None:
            self.restore()
            return {"frequency_mhz": None, "clock_mhz": None}
        return self.fix(int(_setting({"frequency_mhz": frequency_mhz}, "frequency_mhz", 1)))

    def fix(self, frequency_mhz: int) -> Reply:
        """Let no core run slower or faster than this, or raise `ValueError` if the board does not do that."""
        if not self._policies:
            raise ValueError("`frequency_mhz` needs cpufreq, but this system has none: omit it")
        try:
            self._limit_to(frequency_mhz)
            runs_mhz = _firmware_mhz() or self._compared_mhz(frequency_mhz)
            if not _agree(runs_mhz, frequency_mhz):
                slower = "cool the board and give it a stronger supply, " if runs_mhz < frequency_mhz else ""
                raise ValueError(
                    f"`frequency_mhz` must be a clock that the board keeps, but {frequency_mhz} MHz was asked for and "
                    f"{runs_mhz:.0f} MHz runs under load: {slower}ask for another clock, or omit `frequency_mhz`"
                )
        except (OSError, ValueError) as error:
            self.restore()
            if not isinstance(error, PermissionError):
                raise
            raise ValueError(
                f"`frequency_mhz` needs the right to set the clock: {PERMIT}, or omit `frequency_mhz`"
            ) from None
        return {"frequency_mhz": frequency_mhz, "clock_mhz": runs_mhz}

    def restore(self, *, over: bool = False) -> None:
        """Restore the former limits, as far as that is possible; once it is over, none are set any more."""
        with self._lock:
            self._over = self._over or over
            for policy, (low, high) in self._former.items():
                try:
                    _write_limits(Path(policy), low, high)
                except (OSError, ValueError) as error:
                    print(f"the clock of {policy} could not be restored: {error}", file=sys.stderr)
            self._former = {}
            if self._state:
                with contextlib.suppress(OSError):
                    self._state.unlink()

    def measured_mhz(self) -> float | None:
        """The clock that runs under load; None if neither the firmware nor a loop can tell it."""
        return _firmware_mhz() or (self._loop_cycles and self._loop_cycles / _loop_seconds())

    def _limit_to(self, frequency_mhz: int) -> None:
        khz = frequency_mhz * 1000
        with self._lock:
            if self._over:
                raise ValueError("the agent ends")
            for policy in self._policies:
                _check_available(policy, frequency_mhz)
                self._former.setdefault(str(policy), [_limit(policy, "min"), _limit(policy, "max")])
            if self._state:
                _keep(self._state, json.dumps(self._former))
            for policy in self._policies:
                _write_limits(policy, khz, khz)
        if not all(_limit(policy, edge) == khz for policy in self._policies for edge in ("min", "max")):
            raise ValueError(f"`frequency_mhz` was {frequency_mhz}, but the system keeps another clock")
        time.sleep(SETTLE_SECONDS)

    def _compared_mhz(self, frequency_mhz: int) -> float:
        """The clock that runs, by a loop's times; one other clock that agrees suffices, as more may not be kept."""
        seconds, estimates = _loop_seconds(), []
        for other_mhz in self._others(frequency_mhz):
            self._limit_to(other_mhz)
            estimates.append(other_mhz * _loop_seconds() / seconds)
            if _agree(estimates[-1], frequency_mhz):
                break
        if not estimates:
            raise ValueError(
                "`frequency_mhz` needs a clock that can be measured, but `vcgencmd` does not answer here and there is "
                f"no second clock to compare with: {JOIN_VIDEO}, or omit `frequency_mhz`"
            )
        self._limit_to(frequency_mhz)
        runs_mhz = estimates[-1] if _agree(estimates[-1], frequency_mhz) else float(np.median(estimates))
        self._loop_cycles = runs_mhz * seconds
        return runs_mhz

    def _others(self, frequency_mhz: int) -> list[int]:
        """Clocks to compare with, the top one first: far enough away to be told apart."""
        low, high = (khz / 1000 for khz in _hardware_limits(self._policies[0]))
        choices = self.available_mhz or [int(low), int((low + high) / 2), int(high)]
        return [mhz for mhz in reversed(choices) if mhz and abs(mhz / frequency_mhz - 1) > 2 * CLOCK_TOLERANCE]


def conditions(root: Path, clocks: Clocks | None = None) -> Reply:
    """Clock, temperature, governor, a Raspberry Pi's throttling flags and its cores' voltage now, under load.

    What is not reported, or may not be read, is None. cpufreq's own word for the clock is not among the sources.
    """
    mhz = re.search(r"^cpu MHz\s*:\s*([\d.]+)", _text(root / "proc/cpuinfo"), re.MULTILINE)
    flags = _text(root / "sys/devices/platform/soc/soc:firmware/get_throttled").strip() or _vcgencmd("get_throttled")
    throttled = re.fullmatch(r"(?:throttled=)?((?:0x)?[0-9a-fA-F]+)", flags)
    by_chip = re.match("Raspberry Pi (5|Compute Module 5)", _text(root / "proc/device-tree/model"))
    volts = _told_under_load(VOLTS, *(CORE_RAIL if by_chip else CORE_VOLTS))
    governor = _text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip() or None
    # The clock of x86 processors comes from their own counters.
    clock_mhz = (clocks.measured_mhz() if clocks else _firmware_mhz()) or (float(mhz.group(1)) if mhz else None)
    state = {"clock_mhz": clock_mhz, "temperature_c": _thousandth(root / TEMPERATURE), "governor": governor}
    return {**state, "throttled": int(throttled.group(1), 16) if throttled else None, "volts": volts}


def main() -> None:
    """Answer requests until `quit`, the end of stdin or of heartbeats, or SIGTERM."""
    parser = argparse.ArgumentParser(description="Runs ONNX models for a client on stdin and stdout.")
    parser.add_argument("--heartbeat-seconds", type=float, default=0.0, help="end after such a silence; 0: never")
    parser.add_argument("--folder", type=Path, help="where to keep state for the next agent, and a lock")
    parser.add_argument("--root", type=Path, default=Path("/"), help="where to find /sys and /proc")
    options = parser.parse_args()
    replies = _private_stdout()
    # A thread waits for signals: Python's own handlers would wait for the end of a hanging inference.
    signaled, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(wakeup)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda number, frame: None)
    _turn = _take_turn(options.folder / "agent.lock") if options.folder else None
    clocks = Clocks(options.root, options.folder / "clock.json" if options.folder else None)
    clocks.restore()
    ended = threading.Event()
    lines: Lines = queue.SimpleQueue()
    threading.Thread(target=lambda: os.read(signaled, 1) and _end_now(clocks), daemon=True).start()
    threading.Thread(target=_read_lines, args=(lines, ended, clocks, options.heartbeat_seconds), daemon=True).start()
    agent = Agent(options.root, clocks, ended.is_set)
    with contextlib.suppress(BrokenPipeError):
        for line in iter(lines.get, None):
            reply = agent.answer(line)
            if reply is None:
                break
            print(json.dumps(reply), file=replies, flush=True)
    clocks.restore(over=True)


def _take_turn(path: Path) -> TextIO:
    """A lock that ends with this process; waits for the agent before it."""
    lock = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600), "w")
    for _ in range(int(BUSY_SECONDS * 10)):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError:
            time.sleep(0.1)
    sys.exit(BUSY_CODE)


def _private_stdout() -> TextIO:
    """The real stdout; whatever else writes to file descriptor 1, native code included, goes to stderr."""
    sys.stdout.flush()
    private = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(private, "w", encoding="utf-8")


def _read_lines(lines: Lines, ended: threading.Event, clocks: Clocks, heartbeat_seconds: float) -> None:
    """Pass on lines until the end of stdin or of heartbeats, then make sure that the process ends."""
    rest = b""
    while True:
        # The wait is the kernel's, so that a busy interpreter is not mistaken for a silent client.
        if not select.select([0], [], [], heartbeat_seconds or None)[0]:
            _end_now(clocks)
        chunk = os.read(0, 65536)
        if not chunk or len(rest) > LONGEST_LINE or lines.qsize() > MOST_WAITING:
            break  # The client has gone, or is none of ours.
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line.strip():
                lines.put(line.decode("utf-8", "replace"))
    ended.set()
    lines.put(None)
    time.sleep(GRACE_SECONDS)
    _end_now(clocks)


def _end_now(clocks: Clocks) -> NoReturn:
    """End with the whole process group, whatever the runtime is doing."""
    clocks.restore(over=True)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _inference(model: str, threads: int, seed: int = 0) -> Callable[[], list[Any]]:
    """One inference on random input, batch size 1."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if threads == 1:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(seed)
    feeds = {
        value.name: rng.standard_normal([size if isinstance(size, int) else 1 for size in value.shape], np.float32)
        for value in session.get_inputs()
    }
    return lambda: session.run(None, feeds)


def _setting(request: Reply, name: str, least: float) -> float:
    value = request.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= least:
        raise ValueError(f"`{name}` must be a number of at least {least}, but got {value!r}")
    return value


def _threads(request: Reply) -> int:
    threads, cores = int(_setting(request, "threads", 1)), len(os.sched_getaffinity(0))
    if threads > cores:
        raise ValueError(f"`threads` must be at most {cores}, the cores of this board, but got {threads}")
    return threads


def _agree(runs_mhz: float, asked_mhz: float) -> bool:
    return abs(runs_mhz / asked_mhz - 1) <= CLOCK_TOLERANCE


def _listed_mhz(policy: Path) -> list[int]:
    parts = _text(policy / "scaling_available_frequencies").split()
    return sorted(int(part) // 1000 for part in parts if re.fullmatch(r"\d{4,8}", part))


def _check_available(policy: Path, mhz: int) -> None:
    available = _listed_mhz(policy)
    low, high = (khz / 1000 for khz in _hardware_limits(policy))
    if mhz not in available if available else not low <= mhz <= high:
        choice = f"one of {', '.join(map(str, available))}" if available else f"from {low:g} to {high:g}"
        raise ValueError(f"`frequency_mhz` must be {choice} on this board, but got {mhz}")


def _limit(policy: Path, edge: str) -> int:
    return int((policy / f"scaling_{edge}_freq").read_text())


def _write_limits(policy: Path, low: int, high: int) -> None:
    """Write both limits, in an order that never puts the lower above the upper, which the kernel refuses."""
    edges = [("max", high), ("min", low)]
    for edge, khz in edges if high >= _limit(policy, "min") else reversed(edges):
        (policy / f"scaling_{edge}_freq").write_text(str(khz))


def _hardware_limits(policy: Path) -> list[int]:
    edges = {"min": 0.0, "max": 10.0**6}
    return [round(1000 * (_thousandth(policy / f"cpuinfo_{edge}_freq") or mhz)) for edge, mhz in edges.items()]


def _keep(state: Path, content: str) -> None:
    """Write a file whole or not at all, and through no link; a power cut frees the clocks as well."""
    part = state.with_name(f"{state.name}.part")
    part.unlink(missing_ok=True)
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(state)


def _former_limits(state: Path | None, policies: list[Path]) -> dict[str, list[int]]:
    """What an agent that was killed left to restore; where its file is damaged, all that the cores can."""
    if state is None or not os.path.lexists(state):
        return {}
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
        with open(os.open(state, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)) as file:
            content = json.loads(file.read(LONGEST_LINE))
        former = {str(policy): content[str(policy)] for policy in policies}
        if all(type(khz) is int and 0 < khz < 10**8 for limits in former.values() for khz in limits):
            return {policy: [low, high] for policy, (low, high) in former.items() if low <= high}
    return {str(policy): _hardware_limits(policy) for policy in policies if (policy / "cpuinfo_max_freq").exists()}


def _firmware_mhz() -> float | None:
    """The clock that a Raspberry Pi's firmware measures; None on other boards, and where it is denied."""
    hertz = _told_under_load(r"frequency\(\d+\)=(\d{1,12})", "measure_clock", "arm")
    return None if hertz is None else hertz / 1e6


def _loop_seconds() -> float:
    """Time of a loop that lives in the processor's inner caches, so that it goes with 1 / f: the quickest of some."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})  # a board may have cores of several kinds
    try:
        return min(timeit.repeat(lambda: sum(range(LOOP_STEPS)), number=1, repeat=LOOP_TIMES))
    finally:
        os.sched_setaffinity(0, allowed)


def _told_under_load(pattern: str, *question: str) -> float | None:
    """A number above 0 that the firmware tells while one core is busy."""
    if not shutil.which("vcgencmd"):
        return None
    over = threading.Event()

    def load() -> None:
        while not over.is_set():
            sum(range(10_000))

    loaded = threading.Thread(target=load, daemon=True)
    loaded.start()
    found = re.fullmatch(pattern, _vcgencmd(*question))
    over.set()
    loaded.join()
    return float(found.group(1)) or None if found else None


def _vcgencmd(*question: str) -> str:
    """What a Raspberry Pi's firmware answers; nothing on other boards, and where this user may not ask it."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(["vcgencmd", *question], capture_output=True, text=True, errors="replace", timeout=2)
        return "" if done.returncode else done.stdout.strip()
    return ""


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text(errors="replace")
    return ""


def _thousandth(path: Path) -> float | None:
    """The number in a file divided by 1000: kHz to MHz, millidegrees to degrees."""
    with contextlib.suppress(ValueError):
        return float(_text(path)) / 1000
    return None


if __name__ == "__main__":
    main()
