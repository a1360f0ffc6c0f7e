"""This machine as a board: the agent in a subprocess, spoken to as on any other board."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO

from devices.device import MeasurementError
from devices.measurement import Board, Measurement, MeasureSettings
from devices.power import HOST_POWER_MODEL, PowerModel
from devices.replies import board_from_reply, measurement_from_reply

AGENT_PATH = Path(__file__).with_name("agent.py")


class HostDevice:
    """Measures on this machine; calls from several threads take turns.

    The agent starts at first use, in a session of its own so that Ctrl-C in a terminal does not reach it, and
    ends with this process, which holds its stdin. If it crashes or hangs, that call fails and the next one has a
    new agent.
    """

    def __init__(
        self,
        settings: MeasureSettings,
        *,
        python: str = sys.executable,
        agent: Path = AGENT_PATH,
        power_model: PowerModel = HOST_POWER_MODEL,
    ) -> None:
        self._settings = settings
        self._command = [python, str(agent)]
        self._power_model = power_model
        self._folder = tempfile.TemporaryDirectory(prefix="pi-pareto-nas-host-")
        self._lock = threading.RLock()
        self._process: _AgentProcess | None = None
        self._closed = False

    @property
    def shares_host(self) -> bool:
        """True: the agent runs on the cores that the search uses."""
        return True

    def describe(self) -> Board:
        """This machine and its runtime.

        Raises:
            MeasurementError: if the agent does not answer.
        """
        reply = self._request({"command": "describe"})
        return board_from_reply(reply, name="host", threads=self._settings.threads)

    def measure(self, model: bytes) -> Measurement:
        """Cost of one inference of a serialised ONNX model, batch size 1.

        Raises:
            MeasurementError: if the agent crashes, hangs, or cannot run the model.
        """
        settings = self._settings
        with self._lock:
            board = self.describe()
            path = Path(self._folder.name) / "model.onnx"
            path.write_bytes(model)
            reply = self._request(
                {
                    "command": "measure",
                    "model": str(path),
                    "threads": settings.threads,
                    "warmup_runs": settings.warmup_runs,
                    "min_runs": settings.min_runs,
                    "max_runs": settings.max_runs,
                    "min_seconds": settings.min_seconds,
                }
            )
        return measurement_from_reply(reply, board, settings, self._power_model)

    def close(self) -> None:
        """End the agent and remove its folder; closing twice does no harm."""
        with self._lock:
            self._closed = True
            self._drop_process()
            self._folder.cleanup()

    def __enter__(self) -> HostDevice:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _request(self, request: Mapping[str, object]) -> Mapping[str, object]:
        with self._lock:
            if self._closed:
                raise MeasurementError("a closed device cannot measure: open a new one.")
            if self._process is not None and not self._process.alive:
                self._drop_process()
            if self._process is None:
                self._process = _AgentProcess(self._command, Path(self._folder.name) / "agent.log")
            try:
                reply = self._process.request(request, self._settings.timeout_seconds)
            except BaseException:
                # Also on Ctrl-C: its late reply must not meet the next request.
                self._drop_process()
                raise
        if reply.get("ok") is not True:
            raise MeasurementError(f"the agent could not {request['command']}: {reply.get('error')}")
        return reply

    def _drop_process(self) -> None:
        if self._process is not None:
            self._process.end()
            self._process = None


class _AgentProcess:
    """One run of the agent; stderr goes to a log whose end is quoted when it fails."""

    def __init__(self, command: list[str], log: Path) -> None:
        self._log = log
        self._next_id = 0
        try:
            with log.open("wb") as stderr:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    start_new_session=True,
                )
        except OSError as error:
            raise MeasurementError(f"the agent could not be started with {command[0]!r}: {error}.") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin = self._process.stdin
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def request(self, request: Mapping[str, object], timeout_seconds: float) -> Mapping[str, object]:
        """The reply to one request; lines that are no reply to it are skipped."""
        self._next_id += 1
        deadline = time.monotonic() + timeout_seconds
        try:
            self._stdin.write(json.dumps({"id": self._next_id, **request}).encode() + b"\n")
            self._stdin.flush()
        except OSError:
            raise self._crashed() from None
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise MeasurementError(
                    f"the agent must answer within {timeout_seconds:g} s, but did not: raise `timeout_seconds`, "
                    f"or take a smaller network.{self._log_end()}"
                ) from None
            if line is None:
                raise self._crashed()
            reply = _parsed(line)
            if reply.get("id") == self._next_id:
                return reply

    def end(self) -> None:
        """Kill the agent with all that it started, and wait for it."""
        if self.alive:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        with contextlib.suppress(OSError):
            self._stdin.close()
        self._reader.join(timeout=1)

    def _read(self, stdout: IO[bytes]) -> None:
        with stdout:
            for line in stdout:
                self._lines.put(line)
        self._lines.put(None)

    def _crashed(self) -> MeasurementError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=1)
        return MeasurementError(f"the agent ended with code {self._process.poll()}.{self._log_end()}")

    def _log_end(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return f" Its last words: {lines[-1]}" if lines else ""


def _parsed(line: bytes) -> dict[str, object]:
    """The JSON object of a line, or an empty one for a line that native code printed."""
    try:
        content = json.loads(line)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
