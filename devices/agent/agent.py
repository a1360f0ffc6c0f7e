"""The on-board agent: runs models and answers in JSON lines; start here, agent_runtimes.py opens the files.

Both need only Python 3.9, numpy and onnxruntime. Requests arrive on stdin, one JSON object a line; a reply
repeats the `id`, {"id", "ok": true, ...} or {"id", "ok": false, "error"}. The commands are `describe`, `conditions`,
`clock`, `cool`, `measure`, `stream`, `run` (methods of `Agent`), `set_frequency` and `quit`. A network is one file,
`model`, or several, `models`: the first output of each is the input of the next. Empty lines are heartbeats. At the end
of stdin, on SIGTERM, or without a heartbeat, it restores the clock and ends with its process group.
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
import runpy
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

LONGEST_LINE, MOST_WAITING, LONGEST_ERROR = 2**16, 100, 1000  # of requests in bytes, of them, of a reply's text
GRACE_SECONDS, SETTLE_SECONDS = 1.0, 0.02  # of a running request after the end of stdin; that a clock has to change
BUSY_SECONDS, BUSY_CODE = 6.0, 75  # to wait for another agent, which outlives its client for less; exit code then
STALLED_SECONDS = 10.0  # without a drop in temperature, after which a board is assumed to cool no further
MOST_FILES, MOST_IMAGES = 64, 5000  # of a network, of a stream: the reply stays well below what a client reads
CLOCK_TOLERANCE, LOOP_STEPS, LOOP_TIMES = 0.03, 100_000, 15  # of a clock that runs; of the loop that tells it, some ms
VOLTS = r"(?:VDD_CORE_V\s+)?volt(?:\(\d+\))?=(\d{1,2}(?:\.\d{1,12})?)V"  # as the firmware writes them
CORE_RAIL, CORE_VOLTS = ("pmic_read_adc", "VDD_CORE_V"), ("measure_volts", "core")  # of a Pi 5, of the others
PERMIT = "`sudo chmod a+w /sys/devices/system/cpu/cpufreq/policy*/scaling_m??_freq` grants it until the next reboot"
OMIT, TEMPERATURE = "or omit `frequency_mhz`", "sys/class/thermal/thermal_zone0/temp"
FLAGS, VISIBLE = "sys/devices/platform/*/*firmware/get_throttled", ("throttled", "temperature_c")
RUNTIMES = runpy.run_path(str(Path(__file__).with_name("agent_runtimes.py")))  # beside it, in a package or not
Reply = dict[str, Any]


class Agent:
    """Answers requests about one board, whose /sys and /proc are under `root`."""

    def __init__(self, root: Path, clocks: Clocks, stopped: Callable[[], bool] = lambda: False) -> None:
        self._root, self._clocks, self._stopped = root, clocks, stopped
        methods = ("describe", "cool", "measure", "stream", "run")
        self._commands: dict[object, Callable[[Reply], Reply]] = {name: getattr(self, name) for name in methods}
        self._commands["clock"] = lambda request: {"time_s": time.monotonic()}
        self._commands["conditions"] = lambda request: conditions(root, clocks)
        self._commands["set_frequency"] = lambda request: clocks.fix(request.get("frequency_mhz"))

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
        model, state, machine = _model(self._root), conditions(self._root, self._clocks), platform.machine()
        system = {"os": platform.platform(), "machine": machine, **RUNTIMES["versions"]()}
        told = machine != "aarch64" and not model.startswith("Raspberry Pi")  # or not expected
        throttling, temperature = (told or state[key] is not None for key in VISIBLE)
        seen = {"throttling_visible": throttling, "temperature_visible": temperature, "model": model or machine}
        clocks = {"clock_mhz": state["clock_mhz"], "frequencies_mhz": self._clocks.available_mhz}
        return {**system, **clocks, **seen, "cores": len(os.sched_getaffinity(0))}

    def cool(self, request: Reply) -> Reply:
        """Wait until it is no hotter than `max_temperature_c`, cools no further, or `cooldown_seconds` are over."""
        limit_c, longest_s = _setting(request, "max_temperature_c", 0.0), _setting(request, "cooldown_seconds", 0.0)
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
        """Time single inferences of a network on random input, batch size 1, with `threads`, after `warmup_runs`.

        At least `min_runs` and `min_seconds`, but at most `max_runs`. In the reply, `start_s` and `end_s` are times of
        the board's monotonic clock.
        """
        min_runs, min_seconds = _setting(request, "min_runs", 1), _setting(request, "min_seconds", 0.0)
        max_runs, chain = _setting(request, "max_runs", min_runs), Chain(request)
        chain.image[:] = np.random.default_rng(0).standard_normal(chain.image.shape, np.float32)
        for _ in range(_setting(request, "warmup_runs", 0)):
            chain.run()
        before = conditions(self._root, self._clocks)
        start_s, start_ns = time.monotonic(), time.perf_counter_ns()
        times_ns, last_ns, least_ns = list[int](), start_ns, min_seconds * 1e9
        while len(times_ns) < max_runs and (len(times_ns) < min_runs or last_ns - start_ns < least_ns):
            self._go_on()
            run_start_ns = time.perf_counter_ns()
            chain.run()
            last_ns = time.perf_counter_ns()
            times_ns.append(last_ns - run_start_ns)
        end_s = time.monotonic()
        p5, lower, median, upper = (float(value) / 1e6 for value in np.percentile(times_ns, [5, 25, 50, 75]))
        times = {"p5_ms": p5, "median_ms": median, "iqr_ms": upper - lower, "runs": len(times_ns)}
        span = {"start_s": start_s, "end_s": end_s}
        return {**times, **span, "before": before, "after": conditions(self._root, self._clocks)}

    def stream(self, request: Reply) -> Reply:
        """Time each of `images`, a .npy file of float32 (N, C, H, W): its least time in `passes`, policy included.

        An image leaves after the first file whose largest softmax exceeds its one of `thresholds`; the last has none.
        """
        chain, passes = Chain(request, request["thresholds"]), _setting(request, "passes", 1)
        images, shape = np.load(request["images"], mmap_mode="r", allow_pickle=False), chain.image.shape[1:]
        if images.dtype != np.float32 or images.shape[1:] != shape or len(images) > MOST_IMAGES:
            raise ValueError(f"`images` must be {MOST_IMAGES} float32 {shape} at most: {images.dtype} {images.shape}")
        least_ns, ways, classes = ([start] * len(images) for start in (2**63, 0, 0))
        before = conditions(self._root, self._clocks)
        for number in (place for _ in range(passes) for place in range(len(images))):
            self._go_on()
            chain.image[0] = images[number]  # read before its time begins
            start_ns = time.perf_counter_ns()
            ways[number], outputs = chain.run()
            least_ns[number] = min(least_ns[number], time.perf_counter_ns() - start_ns)
            classes[number] = int(outputs[-1].argmax())
        told = {"latencies_ms": [time_ns / 1e6 for time_ns in least_ns], "ways": ways, "classes": classes}
        return {**told, "before": before, "after": conditions(self._root, self._clocks)}

    def run(self, request: Reply) -> Reply:
        """Outputs of a network, each as a flat list, for the random input of `seed`, with `threads`."""
        chain, rng = Chain(request), np.random.default_rng(_setting(request, "seed", 0))
        chain.image[:] = rng.standard_normal(chain.image.shape, np.float32)
        return {"outputs": [np.asarray(output, np.float64).ravel().tolist() for output in chain.run()[1]]}

    def _go_on(self) -> None:
        if self._stopped():
            raise RuntimeError("stdin ended during the request")


class Chain:
    """The files of a request, run with its `threads`; without thresholds exits are looked at, but none is taken."""

    def __init__(self, request: Reply, thresholds: list[float] | None = None) -> None:
        threads, cores = _setting(request, "threads", 1), len(os.sched_getaffinity(0))
        if threads > cores:
            raise ValueError(f"`threads` must be at most {cores}, the cores of this board, but got {threads}")
        files = request["models"] if "models" in request else [request["model"]]
        if not 0 < len(files) <= MOST_FILES or (thresholds is not None and len(thresholds) != len(files) - 1):
            raise ValueError(f"1 to {MOST_FILES} files need one threshold less, but got {len(files)} and {thresholds}")
        self._segments: list[Any] = []
        limits = [None] * len(files) if thresholds is None else [*np.array(thresholds, np.float32), None]
        maps: Any = None
        for file, limit in zip(files, limits):  # noqa: B905 (Python 3.9)
            run, source, outputs = RUNTIMES["opened"](file, threads, maps, is_alone=len(files) == 1)
            if maps is None:
                self.image = source
            if thresholds is None and len(outputs) > 1:
                limit = 1.0
            self._segments.append((run, outputs, limit))
            maps = outputs[0]

    def run(self) -> tuple[int, list[Any]]:
        """Number of the file at which `image` leaves, as its largest softmax exceeds its threshold, and its outputs."""
        for number, (run, outputs, limit) in enumerate(self._segments):
            run()
            if limit is not None and np.exp(-np.log(np.exp(outputs[-1] - outputs[-1].max()).sum())) > limit:
                return number, outputs
        return number, outputs


class Clocks:
    """Limits of the cores' clocks in cpufreq; a file of the former ones lets the next agent restore them, too.

    cpufreq tells what was asked for, not what runs: a Pi 5 takes 1000 MHz, and runs 1500. A clock is therefore believed
    when it was measured under load: by a Raspberry Pi's firmware, else by a loop whose time must go with 1 / f.
    """

    def __init__(self, root: Path, state: Path | None = None) -> None:
        self._policies = sorted(root.glob("sys/devices/system/cpu/cpufreq/policy*"))
        self._state, self._lock, self._over = state, threading.Lock(), False
        self._former = _former_limits(state, self._policies)
        self._loop_cycles: float | None = None
        listed = [set(_listed_mhz(policy)) for policy in self._policies] or [set()]
        self.available_mhz = sorted(set.intersection(*listed))  # that cores of all kinds have

    def fix(self, frequency_mhz: Any) -> Reply:
        """Let no core run slower or faster, or raise `ValueError` if the board does not do that; None: as it likes."""
        if frequency_mhz is None:
            self.restore()
            return {"frequency_mhz": None, "clock_mhz": None}
        frequency_mhz = _setting({"frequency_mhz": frequency_mhz}, "frequency_mhz", 1)
        if not self._policies:
            raise ValueError("`frequency_mhz` needs cpufreq, but this system has none: omit it")
        try:
            self._limit_to(frequency_mhz)
            runs_mhz = _firmware_mhz() or self._compared_mhz(frequency_mhz)
            if abs(runs_mhz / frequency_mhz - 1) > CLOCK_TOLERANCE:
                slower = "cool the board and give it a stronger supply, " if runs_mhz < frequency_mhz else ""
                raise ValueError(
                    f"`frequency_mhz` must be a clock that the board keeps, but {frequency_mhz} MHz was asked for and "
                    f"{runs_mhz:.0f} MHz runs under load: {slower}ask for another clock, {OMIT}"
                )
        except (OSError, ValueError) as error:
            self.restore()
            if isinstance(error, PermissionError):
                raise ValueError(f"`frequency_mhz` needs the right to set the clock: {PERMIT}, {OMIT}") from None
            raise
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
                available, (low, high) = _listed_mhz(policy), _hardware_limits(policy)
                if frequency_mhz not in available if available else not low <= khz <= high:
                    listed = ", ".join(map(str, available))
                    choice = f"one of {listed}" if available else f"from {low / 1000:g} to {high / 1000:g}"
                    raise ValueError(f"`frequency_mhz` must be {choice} on this board, but got {frequency_mhz}")
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
        low, high = (khz / 1000 for khz in _hardware_limits(self._policies[0]))
        choices = self.available_mhz or [int(low), int((low + high) / 2), int(high)]
        for other_mhz in filter(None, reversed(choices)):
            if abs(other_mhz / frequency_mhz - 1) <= 2 * CLOCK_TOLERANCE:
                continue  # too near to be told apart
            self._limit_to(other_mhz)
            estimates.append(other_mhz * _loop_seconds() / seconds)
            if abs(estimates[-1] / frequency_mhz - 1) <= CLOCK_TOLERANCE:
                estimates = estimates[-1:]
                break
        if not estimates:
            raise ValueError(
                "`frequency_mhz` needs a clock that can be seen, but `vcgencmd` does not answer and there is no second "
                f"clock to compare with: join the group `video` by `sudo usermod -aG video $USER`, log in anew, {OMIT}"
            )
        self._limit_to(frequency_mhz)
        runs_mhz = float(np.median(estimates))
        self._loop_cycles = runs_mhz * seconds
        return runs_mhz


def conditions(root: Path, clocks: Clocks | None = None) -> Reply:
    """Clock, temperature, governor, a Raspberry Pi's flags and its cores' voltage, under load; None: not told."""
    # cpufreq's own word is no source of a clock, x86 counters are.
    mhz = re.search(r"^cpu MHz\s*:\s*([\d.]+)", _text(root / "proc/cpuinfo"), re.MULTILINE)
    flags = "".join(map(_text, root.glob(FLAGS))).strip() or _vcgencmd("get_throttled")
    throttled = re.fullmatch(r"(?:throttled=)?((?:0x)?[0-9a-fA-F]+)", flags)
    by_chip = re.match("Raspberry Pi (5|Compute Module 5)", _model(root))
    volts = _told_under_load(VOLTS, *(CORE_RAIL if by_chip else CORE_VOLTS))
    governor = _text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip() or None
    clock_mhz = (clocks.measured_mhz() if clocks else _firmware_mhz()) or (float(mhz.group(1)) if mhz else None)
    state = {"clock_mhz": clock_mhz, "temperature_c": _thousandth(root / TEMPERATURE), "governor": governor}
    return {**state, "throttled": int(throttled.group(1), 16) if throttled else None, "volts": volts}


def main() -> None:
    """Answer requests until `quit`, the end of stdin or of heartbeats, or SIGTERM."""
    parser = argparse.ArgumentParser(description="Runs ONNX models for a client on stdin and stdout.")
    parser.add_argument("--heartbeat-seconds", type=float, default=0.0, help="end after such a silence; 0: never")
    parser.add_argument("--folder", type=Path, help="where to keep state for the next agent, and a lock")
    parser.add_argument("--root", type=Path, default=Path("/"), help="where to find /sys and /proc")
    options, replies = parser.parse_args(), _private_stdout()
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
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=lambda: os.read(signaled, 1) and _end_now(clocks), daemon=True).start()
    threading.Thread(target=_read_lines, args=(lines, ended, clocks, options.heartbeat_seconds), daemon=True).start()
    agent = Agent(options.root, clocks, ended.is_set)
    with contextlib.suppress(BrokenPipeError):
        for line in iter(lines.get, None):
            if (reply := agent.answer(line)) is None:
                break
            print(json.dumps(reply), file=replies, flush=True)
    clocks.restore(over=True)


def _take_turn(path: Path) -> TextIO:
    """A lock that ends with this process; waits for the agent before it."""
    lock = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600), "w")
    for _ in range(int(BUSY_SECONDS * 10)):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        time.sleep(0.1)
    sys.exit(BUSY_CODE)


def _private_stdout() -> TextIO:
    """The real stdout; whatever else writes to file descriptor 1, native code included, goes to stderr."""
    sys.stdout.flush()
    private = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(private, "w", encoding="utf-8")


def _read_lines(
    lines: queue.SimpleQueue[str | None], ended: threading.Event, clocks: Clocks, heartbeat_seconds: float
) -> None:
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


def _setting(request: Reply, name: str, least: Any) -> Any:
    value = request.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= least:
        raise ValueError(f"`{name}` must be a number of at least {least:g}, but got {value!r}")
    return type(least)(value)  # a whole number where the least one is


def _listed_mhz(policy: Path) -> list[int]:
    parts = _text(policy / "scaling_available_frequencies").split()
    return sorted(int(part) // 1000 for part in parts if re.fullmatch(r"\d{4,8}", part))


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
    over, work = threading.Event(), iter(lambda: sum(range(10_000)), None)
    load = threading.Thread(target=lambda: any(over.is_set() for _ in work), daemon=True)
    load.start()
    found = re.fullmatch(pattern, _vcgencmd(*question))
    over.set()
    load.join()
    return float(found.group(1)) or None if found else None


def _vcgencmd(*question: str) -> str:
    """What a Raspberry Pi's firmware answers; nothing on other boards, and where this user may not ask it."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(["vcgencmd", *question], capture_output=True, text=True, errors="replace", timeout=2)
        return "" if done.returncode else done.stdout.strip()
    return ""


def _model(root: Path) -> str:
    """Name of the board, or of an x86 processor; nothing where neither is told."""
    found = re.search(r"^(?:Model|model name)\s*:\s*(.+)$", _text(root / "proc/cpuinfo"), re.MULTILINE)
    return _text(root / "proc/device-tree/model").strip("\0\n ") or (found.group(1).strip() if found else "")


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
