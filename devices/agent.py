"""The on-board agent: runs ONNX models and answers in JSON lines.

One file that needs only Python 3.9, numpy and onnxruntime, so that it can be copied to a board as it is.
Requests come on stdin, one JSON object a line; `id` comes back with the reply:
    {"id": 1, "command": "describe"}
    {"id": 1, "command": "clock"}
    {"id": 2, "command": "measure", "model": PATH, "threads": 1, "warmup_runs": 10, "min_runs": 50,
     "max_runs": 2000, "min_seconds": 0.3}
    {"command": "quit"}
A bad request gets {"id", "ok": false, "error"} and the agent lives on. It ends on the end of stdin.
"""

from __future__ import annotations

import json
import os
import platform
import queue
import re
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import onnxruntime

GRACE_SECONDS = 5.0
"""Time that a running request has after the end of stdin."""

Reply = dict[str, Any]


def describe() -> Reply:
    """What this board is."""
    return {
        "model": _model_name(),
        "os": platform.platform(),
        "runtime": f"onnxruntime {onnxruntime.__version__}",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "clock_mhz": clock_mhz(),
    }


def measure(request: Reply, stopped: Callable[[], bool] = lambda: False) -> Reply:
    """Time single inferences; `start_s` and `end_s` of the reply are the time of the monotonic clock around them.

    Args:
        request: see the module's docstring.
        stopped: asked after each inference; the measurement is given up when it says yes.

    Raises:
        ValueError: if the request lacks a setting, or has one that makes no sense.
    """
    threads = int(_setting(request, "threads", 1))
    warmup_runs = int(_setting(request, "warmup_runs", 0))
    min_runs = int(_setting(request, "min_runs", 1))
    max_runs = int(_setting(request, "max_runs", min_runs))
    min_seconds = _setting(request, "min_seconds", 0)
    run = _inference(str(request["model"]), threads)
    for _ in range(warmup_runs):
        run()
    before = conditions()
    start_s, start_ns = time.monotonic(), time.perf_counter_ns()
    times_ns: list[int] = []
    last_ns, least_ns = start_ns, min_seconds * 1e9
    while len(times_ns) < max_runs and (len(times_ns) < min_runs or last_ns - start_ns < least_ns):
        if stopped():
            raise RuntimeError("stdin ended during the measurement")
        run_start_ns = time.perf_counter_ns()
        run()
        last_ns = time.perf_counter_ns()
        times_ns.append(last_ns - run_start_ns)
    end_s = time.monotonic()
    p5, lower, median, upper = (float(value) / 1e6 for value in np.percentile(times_ns, [5, 25, 50, 75]))
    return {
        "p5_ms": p5,
        "median_ms": median,
        "iqr_ms": upper - lower,
        "runs": len(times_ns),
        "start_s": start_s,
        "end_s": end_s,
        "before": before,
        "after": conditions(),
    }


def conditions() -> Reply:
    """Clock, temperature, governor and a Raspberry Pi's flags of throttling now; None for what is not told."""
    millidegrees = _number(Path("/sys/class/thermal/thermal_zone0/temp"))
    flags = _text(Path("/sys/devices/platform/soc/soc:firmware/get_throttled")).strip()
    return {
        "clock_mhz": clock_mhz(),
        "temperature_c": None if millidegrees is None else millidegrees / 1000,
        "governor": _text(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")).strip() or None,
        "throttled": int(flags, 16) if re.fullmatch(r"(0x)?[0-9a-fA-F]+", flags) else None,
    }


def clock_mhz() -> float | None:
    """Clock of the first core now, or None where the system does not tell."""
    khz = _number(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq"))
    if khz is not None:
        return khz / 1000
    found = re.search(r"^cpu MHz\s*:\s*([\d.]+)", _text(Path("/proc/cpuinfo")), re.MULTILINE)
    return float(found.group(1)) if found else None


def answer(line: str, stopped: Callable[[], bool] = lambda: False) -> Reply | None:
    """The reply to one line, or None if the agent is to end."""
    request_id = None
    try:
        request = json.loads(line)
        if not isinstance(request, dict):
            raise ValueError(f"a request must be a JSON object, but got {line.strip()!r}")
        request_id = request.get("id")
        command = request.get("command")
        if command == "quit":
            return None
        if command == "clock":
            return {"id": request_id, "ok": True, "time_s": time.monotonic()}
        if command == "describe":
            return {"id": request_id, "ok": True, **describe()}
        if command == "measure":
            return {"id": request_id, "ok": True, **measure(request, stopped)}
        raise ValueError(f"`command` must be describe, clock, measure or quit, but got {command!r}")
    except Exception as error:
        return {"id": request_id, "ok": False, "error": f"{type(error).__name__}: {error}"}


def main() -> None:
    """Answer requests until `quit` or the end of stdin."""
    replies = _private_stdout()
    ended = threading.Event()
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=_read_lines, args=(lines, ended), daemon=True).start()
    for line in iter(lines.get, None):
        reply = answer(line, ended.is_set)
        if reply is None:
            break
        try:
            print(json.dumps(reply), file=replies, flush=True)
        except BrokenPipeError:
            break


def _private_stdout() -> TextIO:
    """The real stdout; whatever else writes to file descriptor 1, native code included, goes to stderr."""
    sys.stdout.flush()
    private = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(private, "w", encoding="utf-8")


def _read_lines(lines: queue.SimpleQueue[str | None], ended: threading.Event) -> None:
    """Pass on lines until the end of stdin, then see to it that the process ends."""
    rest = b""
    while True:
        chunk = os.read(0, 65536)
        if not chunk:
            break
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line.strip():
                lines.put(line.decode("utf-8", "replace"))
    ended.set()
    lines.put(None)
    time.sleep(GRACE_SECONDS)
    os._exit(1)


def _inference(model: str, threads: int) -> Callable[[], object]:
    """One inference on random input, batch size 1."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    if threads == 1:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    feeds = {}
    for value in session.get_inputs():
        shape = [size if isinstance(size, int) else 1 for size in value.shape]
        feeds[value.name] = rng.standard_normal(shape).astype(np.float32)
    return lambda: session.run(None, feeds)


def _setting(request: Reply, name: str, least: float) -> float:
    value = request.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= least:
        raise ValueError(f"`{name}` must be a number of at least {least}, but got {value!r}")
    return value


def _model_name() -> str:
    board = _text(Path("/proc/device-tree/model")).strip("\0\n ")
    found = re.search(r"^model name\s*:\s*(.+)$", _text(Path("/proc/cpuinfo")), re.MULTILINE)
    return board or (found.group(1).strip() if found else "") or platform.machine()


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _number(path: Path) -> float | None:
    try:
        return float(_text(path))
    except ValueError:
        return None


if __name__ == "__main__":
    main()
