"""A meter's server as a process of this machine."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from devices.errors import MeasurementError
from devices.meters.spec import MeterSpec

ROOT = Path(__file__).parents[2]
END_SECONDS = 2.0
"""Time that the server has after the end of its stdin before it is killed."""


def server_arguments(spec: MeterSpec) -> list[str]:
    """What Python is to run, in the folder that `server_files` were put in."""
    return ["-m", "devices.meters.server", spec.text]


def server_files() -> list[Path]:
    """The files that a board needs to read a meter, relative to the folder that holds the packages."""
    meters = sorted((ROOT / "devices" / "meters").glob("*.py"))
    return [Path("devices/__init__.py"), *(path.relative_to(ROOT) for path in meters)]


class MeterProcess:
    """One run of the server; stderr goes to a file whose end is quoted when it fails.

    It has a session of its own, so that Ctrl-C in a terminal does not reach it, and ends with this process, which holds
    its stdin.
    """

    def __init__(self, spec: MeterSpec, *, command: Sequence[str] | None = None) -> None:
        """Start the server.

        Args:
            spec: the meter.
            command: what to run instead of this project's server.

        Raises:
            MeasurementError: if it cannot be started.
        """
        command = command or [sys.executable, *server_arguments(spec)]
        self._label = f"the meter {spec.text}"
        self._next_id = 0
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                start_new_session=True,
            )
        except OSError as error:
            self._stderr.close()
            raise MeasurementError(f"{self._label} could not be started with {command[0]!r}: {error}.") from error
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def request(self, request: Mapping[str, object], timeout_seconds: float) -> Mapping[str, object]:
        """The reply to one request.

        Raises:
            MeasurementError: if the server ends or does not answer in time; it cannot be used any more then.
        """
        self._next_id += 1
        deadline = time.monotonic() + timeout_seconds
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"id": self._next_id, **request}).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise self._ended() from None
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise MeasurementError(
                    f"{self._label} must answer within {timeout_seconds:g} s, but did not: plug it in again."
                ) from None
            if line is None:
                raise self._ended()
            with contextlib.suppress(ValueError):
                reply = json.loads(line)
                if isinstance(reply, dict) and reply.get("id") == self._next_id:
                    return reply

    def end(self) -> None:
        """End the server and wait for it; ending twice does no harm."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(timeout=END_SECONDS)
        self._stderr.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stdout:
            for line in stdout:
                self._lines.put(line)
        self._lines.put(None)

    def _ended(self) -> MeasurementError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=END_SECONDS)
        self._stderr.seek(0)
        words = self._stderr.read().decode(errors="replace").strip().splitlines()
        quoted = f" Its last words: {words[-1]}" if words else ""
        return MeasurementError(f"{self._label} ended with code {self._process.poll()}.{quoted}")
