"""This machine as a board: the agent in a subprocess, used as on any other board."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from devices.agent.device import AGENT, AGENT_PATH, AgentDevice
from devices.agent.host_turns import HostTurns
from devices.channel import Channel, ProcessChannel
from devices.energy.power_model import PowerModel
from devices.errors import MeasurementError
from devices.measurement import MeasureSettings, model_key


class HostDevice(AgentDevice):
    """Measures on this machine."""

    def __init__(
        self,
        settings: MeasureSettings,
        *,
        python: str = sys.executable,
        agent: Path = AGENT_PATH,
        power_model: PowerModel | None = None,
    ) -> None:
        link = HostLink([python, str(agent)])
        self._host_turns = HostTurns()
        super().__init__(
            link, settings, name="host", shares_host=True, power_model=power_model, turns=self._host_turns.turn
        )

    def close(self) -> None:
        """End the agent, close the meter; closing twice does no harm."""
        self._host_turns.close()
        super().close()


class HostLink:
    """Starts agents on this machine, with a folder for models."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def start(self) -> Channel:
        """A running agent.

        Raises:
            MeasurementError: if it cannot be started.
        """
        if self._folder is None:
            try:
                self._folder = tempfile.TemporaryDirectory(prefix="pi-pareto-nas-host-")
            except OSError as error:
                raise MeasurementError(f"models need a temporary folder, but {error.strerror}: make room.") from error
        # There it keeps the former clock, for the agent that follows if it is killed.
        return ProcessChannel.start([*self._command, "--folder", self._folder.name], AGENT)

    @contextlib.contextmanager
    def placed(self, content: bytes) -> Iterator[str]:
        """Path of a file, which lasts as long as the context; only after `start`.

        Raises:
            MeasurementError: if it cannot be written.
        """
        assert self._folder is not None
        path = Path(self._folder.name) / f"{model_key(content)}.onnx"
        try:
            try:
                path.write_bytes(content)
            except OSError as error:
                raise MeasurementError(f"a file could not be written to {path}: {error.strerror}.") from error
            yield str(path)
        finally:
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the folder."""
        if self._folder is not None:
            self._folder.cleanup()
