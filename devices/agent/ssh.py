"""A board over SSH: the agent in a remote process, models uploaded to it."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import shlex
from collections.abc import Iterator
from pathlib import Path

import asyncssh

from devices.agent.device import AGENT, AGENT_PATH, RUNTIMES_PATH, AgentDevice
from devices.agent.endings import AgentEnd, import_remedy, telling_line
from devices.agent.ssh_address import BoardAddress, SshOptions
from devices.agent.ssh_connection import SshConnection
from devices.channel import CHUNK, END_SECONDS, KEPT_STDERR, PAUSE_SECONDS, Channel, Peer
from devices.energy.meter_process import ROOT, peer_of, server_arguments, server_files
from devices.energy.power_model import PowerModel
from devices.errors import BoardRefusedError, BoardUnreachableError, MeasurementError
from devices.measurement import MeasureSettings, model_key
from devices.meters.spec import MeterSpec

HEARTBEAT_SECONDS = 1.0
"""Between the heartbeats that the agent gets."""
SILENCE_SECONDS = 3.0
"""Time without one after which the agent, or a meter's server, ends."""
MOST_STDERR = 2**26
"""Bytes that an agent may write to stderr: more than a night of warnings."""
ROOM_LOOKS = 20
"""How often room is looked for, for a line that nobody has asked for, before a board is given up."""
BUSY_CODE = 75
"""The agent's exit code if another one keeps measuring."""


class SshDevice(AgentDevice):
    """Measures on a board over SSH, while this machine does other things."""

    def __init__(
        self,
        address: BoardAddress,
        settings: MeasureSettings,
        options: SshOptions,
        *,
        agent: Path = AGENT_PATH,
        power_model: PowerModel | None = None,
    ) -> None:
        self._ssh = SshLink(address, options, agent=agent)
        super().__init__(self._ssh, settings, name=address.name, shares_host=False, power_model=power_model)

    def start_meter(self, spec: MeterSpec) -> Channel:
        """The running server of a meter that is attached to the board.

        Raises:
            MeasurementError: if it cannot be started.
        """
        return self._ssh.start_meter(spec)


class SshLink:
    """Starts agents on a board; a connection is kept for as long as it lasts."""

    def __init__(self, address: BoardAddress, options: SshOptions, *, agent: Path = AGENT_PATH) -> None:
        self._address = address
        self._options = options
        self._agent = agent
        self._connection: SshConnection | None = None
        self._accepted = False
        self._cleaned = False

    def start(self) -> Channel:
        """A running agent, which is uploaded first.

        Raises:
            BoardUnreachableError: if no board answers, or another search measures on it.
            BoardRefusedError: if it answers, but does not let us in.
        """
        connection = self._connected()
        path = self._options.folder / "agent.py"
        try:
            connection.put(path, self._agent.read_bytes())
            connection.put(path.with_name(RUNTIMES_PATH.name), RUNTIMES_PATH.read_bytes())
            command = [self._options.board_python, str(path), "--folder", str(self._options.folder)]
            command += ["--heartbeat-seconds", f"{SILENCE_SECONDS:g}"]
            return _SshChannel.start(connection, f"exec {shlex.join(command)}", AGENT, python=command[0])
        except BaseException:
            self._drop()
            raise

    def start_meter(self, spec: MeterSpec) -> Channel:
        """The running server of a meter, whose files are uploaded first.

        Raises:
            BoardUnreachableError: if the connection fails.
            BoardRefusedError: if the board cannot take the files.
        """
        connection = self._connected()
        folder = self._options.folder / "meters"
        for path in server_files():
            connection.put(folder / path.as_posix(), (ROOT / path).read_bytes())
        python = self._options.board_python
        home = "~/" if "/" in python and not python.startswith("/") else ""
        arguments = [*server_arguments(spec), "--heartbeat-seconds", f"{SILENCE_SECONDS:g}"]
        command = f"cd {shlex.quote(str(folder))} && exec {home}{shlex.quote(python)} {shlex.join(arguments)}"
        return _SshChannel.start(connection, command, peer_of(spec), python=python)

    @contextlib.contextmanager
    def placed(self, content: bytes) -> Iterator[str]:
        """Path of a file on the board, which lasts as long as the context.

        Raises:
            BoardUnreachableError: if the connection fails.
            BoardRefusedError: if the board cannot take it.
        """
        connection = self._connected()
        path = self._options.folder / "models" / f"{model_key(content)}.onnx"
        try:
            if not self._cleaned:
                # Left by a lost connection: while our agent runs, no other client measures here.
                connection.clear(path.parent)
                self._cleaned = True
            connection.put(path, content)
        except BoardRefusedError:
            raise
        except BoardUnreachableError:
            self._drop()
            raise
        try:
            yield str(path)
        finally:
            connection.remove(path)

    def close(self) -> None:
        """Close the connection."""
        self._drop()

    def _connected(self) -> SshConnection:
        if self._connection is not None and not self._connection.alive:
            self._drop()
        if self._connection is None:
            self._connection = SshConnection.open(self._address, self._options, accepted_before=self._accepted)
            self._accepted, self._cleaned = True, False
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _SshChannel(Channel):
    """A process on the board; the connection's thread sends heartbeats and reads."""

    def __init__(
        self, connection: SshConnection, process: asyncssh.SSHClientProcess[bytes], peer: Peer, python: str
    ) -> None:
        super().__init__(peer)
        self._connection = connection
        self._python = python
        self._process = process
        self._stderr = b""
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    def start(cls, connection: SshConnection, command: str, peer: Peer, *, python: str) -> _SshChannel:
        """Start a command on the board, which an interpreter there runs.

        Raises:
            BoardUnreachableError: if the connection fails.
        """
        channel = cls(connection, connection.start(command), peer, python)
        connection.run(channel._begin(), END_SECONDS)
        return channel

    @property
    def alive(self) -> bool:
        """Whether it still runs, as far as is known."""
        return self._connection.alive and not self._process.is_closing()

    def end(self) -> None:
        """End the process with all that it started; without a network it ends by itself."""
        self._over.set()
        if self.alive:
            with contextlib.suppress(MeasurementError):
                self._connection.run(self._end(), 3 * END_SECONDS)

    async def _begin(self) -> None:
        self._tasks = [asyncio.create_task(task()) for task in (self._read, self._read_stderr, self._beat)]

    async def _read(self) -> None:
        line: bytes | None = b""
        while line is not None:
            chunk = b""
            with contextlib.suppress(asyncssh.Error, OSError):
                chunk = await self._process.stdout.read(CHUNK)
            for line in self._lines_of(chunk):
                for _ in range(ROOM_LOOKS):
                    if self._handed_on(line):
                        break
                    await asyncio.sleep(PAUSE_SECONDS)
                else:
                    self._give_up("it writes without end what is no reply")
                    return
        if self._fault is not None:
            self._process.close()

    async def _read_stderr(self) -> None:
        count = 0
        with contextlib.suppress(asyncssh.Error, OSError):
            while chunk := await self._process.stderr.read(CHUNK):
                self._stderr = (self._stderr + chunk)[-KEPT_STDERR:]
                count += len(chunk)
                if count > MOST_STDERR:
                    self._give_up("it writes to stderr without end")
                    return

    def _give_up(self, fault: str) -> None:
        """Read no more, and take no more: asyncssh buffers without bound what is sent and not read."""
        self._fault = fault
        self._process.close()
        with contextlib.suppress(queue.Empty):
            while True:
                self._lines.get_nowait()
        self._lines.put_nowait(None)

    async def _beat(self) -> None:
        with contextlib.suppress(asyncssh.Error, OSError):
            while not self._process.is_closing():
                self._process.stdin.write(b"\n")
                await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _end(self) -> None:
        with contextlib.suppress(asyncssh.Error, OSError):
            self._process.stdin.write_eof()
            self._process.send_signal("TERM")
        try:
            await asyncio.wait_for(asyncio.shield(self._process.wait_closed()), END_SECONDS)
        except (asyncio.TimeoutError, asyncssh.Error, OSError):
            with contextlib.suppress(asyncssh.Error, OSError):
                self._process.send_signal("KILL")
                self._process.close()
        for task in self._tasks:
            task.cancel()

    def _write(self, line: bytes) -> None:
        async def write() -> None:
            self._process.stdin.write(line)

        if not self.alive:
            raise BrokenPipeError
        self._connection.run(write(), END_SECONDS)

    def _crashed(self) -> MeasurementError:
        with contextlib.suppress(MeasurementError):
            self._connection.run(self._process.wait_closed(), 1.0)
        address, code, signal = self._connection.address, self._process.exit_status, self._process.exit_signal
        remedy = f"run `python scripts/setup_board.py {address}`."
        ending = AgentEnd.of(code, None if signal is None else signal[0], self._stderr.decode("utf-8", "replace"))
        words = f" Its last words: {ending.words}" if ending.words else ""
        if code == BUSY_CODE:
            return BoardUnreachableError(
                f"{address} is busy: another search or profile is measuring on it. Wait for its end, or end it."
            )
        if code in (126, 127) or (ending.refuses and ending.signal is None):
            cause = import_remedy(ending.words)
            found = f"is not set up: {remedy}" if cause is None else f"cannot run {self._peer.name}: {cause}."
            return BoardRefusedError(f"{address} {found}{words}")
        if code is None and signal is None:
            return BoardUnreachableError(f"the connection to {address} was lost.")
        error = BoardRefusedError if ending.refuses else MeasurementError
        return error(f"{self._peer.name} {ending.reason(self._python)}")

    def _last_words(self) -> str | None:
        return telling_line(self._stderr.decode("utf-8", "replace"))
