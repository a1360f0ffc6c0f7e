"""This machine as a board: the agent in a subprocess, spoken to as on any other board."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from devices.agent.device import AgentDevice
from devices.channel import Channel, quoted
from devices.energy.power_model import HOST_POWER_MODEL, PowerModel
from devices.errors import MeasurementError
from devices.measurement import MeasureSettings

AGENT_PATH = Path(__file__).with_name("agent.py")
END_SECONDS = 2.0
"""Time that the agent has to put back the clock before it is killed."""


class HostDevice(AgentDevice):
    """Measures on this machine.

    The agent runs in a session of its own so that Ctrl-C in a terminal does not reach it, and ends with this process,
    which holds its stdin.
    """

    def __init__(
        self,
        settings: MeasureSettings,
        *,
        python: str = sys.executable,
        agent: Path = AGENT_PATH,
        power_model: PowerModel = HOST_POWER_MODEL,
    ) -> None:
        link = HostLink([python, str(agent)])
        super().__init__(link, settings, name="host", shares_host=True, power_model=power_model)


class HostLink:
    """Starts agents on this machine, with a folder for models."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._folder = tempfile.TemporaryDirectory(prefix="pi-pareto-nas-host-")

    def start(self) -> Channel:
        """A running agent.

        Raises:
            MeasurementError: if it cannot be started.
        """
        return _HostChannel(self._command, Path(self._folder.name) / "agent.log")

    @contextlib.contextmanager
    def placed(self, model: bytes) -> Iterator[str]:
        """Path of a model as long as the context lasts.

        Raises:
            MeasurementError: if it cannot be written.
        """
        path = Path(self._folder.name) / f"{hashlib.sha256(model).hexdigest()}.onnx"
        try:
            try:
                path.write_bytes(model)
            except OSError as error:
                raise MeasurementError(f"the model could not be written to {path}: {error.strerror}.") from error
            yield str(path)
        finally:
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the folder."""
        self._folder.cleanup()


class _HostChannel(Channel):
    """One run of the agent in a subprocess; stderr goes to a log whose end is quoted when it fails."""

    def __init__(self, command: list[str], log: Path) -> None:
        super().__init__()
        self._log = log
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
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def end(self) -> None:
        """End the agent with all that it started, and wait for it."""
        if self.alive:
            os.killpg(self._process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(END_SECONDS)
        if self.alive:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        with contextlib.suppress(OSError):
            self._stdin.close()
        self._reader.join(timeout=1)

    def _write(self, line: bytes) -> None:
        self._stdin.write(line)
        self._stdin.flush()

    def _read(self, stdout: IO[bytes]) -> None:
        with stdout:
            for line in stdout:
                self._lines.put(line)
        self._lines.put(None)

    def _crashed(self) -> MeasurementError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=1)
        return MeasurementError(f"the agent ended with code {self._process.poll()}.{quoted(self._last_words())}")

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""
