"""One SSH connection to a board: strict about host keys, and by key only. Start with `SshConnection.open`.

asyncssh runs in a thread of its own; the methods here block, each with a time limit.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Awaitable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, TypeVar

import asyncssh

from devices.agent.ssh_address import BoardAddress, SshOptions
from devices.agent.ssh_host_keys import HostKeyCheck
from devices.errors import BoardRefusedError, BoardUnreachableError, MeasurementError
from search_space.boundary.reading import local_path
from search_space.boundary.text import reason_of

Result = TypeVar("Result")

KEEPALIVE_SECONDS = 1.5
"""Between keep-alive requests to the board; after three without an answer the network is considered dead."""
CONNECT_SECONDS = 10.0
"""Time for the network to answer, and for a login."""
TRANSFER_SECONDS = 60.0
"""Time for one file, or one quick command."""
KEPT_OUTPUT = 2**16
"""Bytes of a command's output that are kept: the last ones."""
MOST_OUTPUT = 2**26
"""Bytes of a command's output; pip writes some hundred."""
MOST_FILES = 1000
"""That are removed from a folder; more than a lost connection leaves."""
BEAT_SECONDS = 1.0
"""Between the signs of life that a command gets on its stdin."""


@dataclass(frozen=True)
class Finished:
    """A command that has ended on the board."""

    code: int | None
    """None where a signal ended it."""
    output: str
    """What it wrote to stdout and stderr."""


class SshConnection:
    """A connection to a board."""

    def __init__(
        self,
        address: BoardAddress,
        loop: _LoopThread,
        connection: asyncssh.SSHClientConnection,
        sftp: asyncssh.SFTPClient,
        folder: PurePosixPath,
    ) -> None:
        self.address = address
        self._folder = folder
        self._loop = loop
        self._connection = connection
        self._sftp = sftp

    @classmethod
    def open(cls, address: BoardAddress, options: SshOptions, *, accepted_before: bool = False) -> SshConnection:
        """Connect.

        Args:
            address: the board.
            options: how to log in.
            accepted_before: whether this board has accepted our key before, so that a refusal means that it is booting.

        Raises:
            BoardUnreachableError: if nothing answers, or the board is booting.
            BoardRefusedError: if its host key is not the known one, or it does not accept our key.
        """
        check = HostKeyCheck.of(address, options.known_hosts)
        settings = _settings(address, options, check)
        loop = _LoopThread()
        loop.start()
        try:
            with _translated(address, check, accepted_before=accepted_before):
                connecting = asyncssh.connect(address.host, address.port, **settings)
                connection = loop.result_of(_awaited(connecting), 2 * CONNECT_SECONDS + 1)
            with _lost(address, CONNECT_SECONDS):
                sftp = loop.result_of(_awaited(connection.start_sftp_client()), CONNECT_SECONDS)
        except BaseException:
            loop.stop()
            raise
        return cls(address, loop, connection, sftp, options.folder)

    @property
    def alive(self) -> bool:
        """Whether it is still up, as far as is known."""
        return not self._connection.is_closed()

    def run(self, work: Coroutine[Any, Any, Result], timeout_seconds: float) -> Result:
        """The result of a coroutine in the connection's thread.

        Raises:
            BoardUnreachableError: if the connection fails, or the time runs out.
            asyncssh.SFTPError: unchanged, for callers that know the file.
        """
        with _lost(self.address, timeout_seconds):
            return self._loop.result_of(work, timeout_seconds)

    def start(self, command: str) -> asyncssh.SSHClientProcess[bytes]:
        """Start a command; its streams are for coroutines given to `run`.

        Raises:
            BoardUnreachableError: if the connection fails.
        """
        return self.run(_awaited(self._connection.create_process(command, encoding=None)), CONNECT_SECONDS)

    def command(self, command: str, timeout_seconds: float = TRANSFER_SECONDS) -> Finished:
        """Run a command to its end; its stdin stays open, and gets a sign of life each second, until then.

        Raises:
            BoardUnreachableError: if the connection fails, or the time runs out.
        """
        return self.run(self._command(command), timeout_seconds)

    def put(self, path: PurePosixPath, content: bytes, timeout_seconds: float = TRANSFER_SECONDS) -> None:
        """Write a file, whole or not at all; its folder is created, and no link is followed below the board's folder.

        Raises:
            BoardUnreachableError: if the connection fails, or the time runs out.
            BoardRefusedError: if the board cannot write it: a full disk, a folder that is not ours, or a link.
        """
        try:
            self.run(self._put(path, content), timeout_seconds)
        except asyncssh.SFTPError as error:
            raise self._not_written(path, content, error) from None

    def remove(self, path: PurePosixPath) -> None:
        """Remove a file if that is possible."""
        if self.alive:
            with contextlib.suppress(asyncssh.SFTPError, MeasurementError):
                self.run(self._sftp.remove(str(path)), CONNECT_SECONDS)

    def clear(self, folder: PurePosixPath) -> None:
        """Remove the files of a folder, as far as that is possible; it need not exist.

        Raises:
            BoardUnreachableError: if the connection fails.
        """
        with contextlib.suppress(asyncssh.SFTPError):
            self.run(self._clear(folder), CONNECT_SECONDS)

    def close(self) -> None:
        """Close it; closing twice does no harm."""
        if self._loop.runs:
            with contextlib.suppress(MeasurementError):
                self.run(self._close(), 2.0)
            self._loop.stop()

    async def _close(self) -> None:
        self._connection.close()
        try:
            await asyncio.wait_for(self._connection.wait_closed(), 1.0)
        except asyncio.TimeoutError:
            self._connection.abort()

    async def _command(self, command: str) -> Finished:
        async with self._connection.create_process(command, stderr=asyncssh.STDOUT, encoding=None) as process:

            async def beat() -> None:
                with contextlib.suppress(asyncssh.Error, OSError):
                    while True:
                        process.stdin.write(b"\n")
                        await asyncio.sleep(BEAT_SECONDS)

            beating = asyncio.create_task(beat())
            output, count = b"", 0
            try:
                while chunk := await process.stdout.read(KEPT_OUTPUT):
                    output, count = (output + chunk)[-KEPT_OUTPUT:], count + len(chunk)
                    if count > MOST_OUTPUT:
                        raise BoardRefusedError(f"{self.address} answers a command without end.")
                await process.wait_closed()
            finally:
                beating.cancel()
                process.close()
            return Finished(process.exit_status, output.decode("utf-8", "replace"))

    async def _put(self, path: PurePosixPath, content: bytes) -> None:
        part = f"{path}.part"
        await self._make_folder(path.parent)
        try:
            with contextlib.suppress(asyncssh.SFTPNoSuchFile):
                await self._sftp.remove(part)
            # Made anew: a link in its place is not followed.
            async with self._sftp.open(part, "xb") as file:
                await file.write(content)
            await self._sftp.posix_rename(part, str(path))
        except asyncssh.SFTPError:
            with contextlib.suppress(asyncssh.SFTPError):
                await self._sftp.remove(part)
            raise

    async def _make_folder(self, path: PurePosixPath) -> None:
        await self._sftp.makedirs(str(path), exist_ok=True)
        await self._check_own(path)

    async def _check_own(self, path: PurePosixPath) -> None:
        """Check that no folder below the board's own is a link: what is written or removed there would be elsewhere."""
        while path != self._folder and path.is_relative_to(self._folder):
            if (await self._sftp.lstat(str(path))).type == asyncssh.FILEXFER_TYPE_SYMLINK:
                raise asyncssh.SFTPFailure(f"{path} must be a folder of its own, but is a link: remove it")
            path = path.parent

    async def _clear(self, folder: PurePosixPath) -> None:
        names: list[str] = []
        await self._check_own(folder)
        async for entry in self._sftp.scandir(str(folder)):
            names.append(str(entry.filename))
            if len(names) == MOST_FILES:
                break
        for name in names:
            if "/" not in name and name not in (".", ".."):
                with contextlib.suppress(asyncssh.SFTPError):
                    await self._sftp.remove(str(folder / name))

    def _not_written(self, path: PurePosixPath, content: bytes, error: asyncssh.SFTPError) -> BoardRefusedError:
        """Why a file could not be written: the protocol has no error for a full disk."""
        with contextlib.suppress(asyncssh.SFTPError):
            free = self.run(self._sftp.statvfs(str(path.parent)), CONNECT_SECONDS)
            if (free.bavail or 0) * (free.frsize or 0) < len(content):
                return BoardRefusedError(
                    f"the disk of {self.address} is full: {path} needs {len(content):,} bytes, but "
                    f"{(free.bavail or 0) * (free.frsize or 0):,} are free. Make room on the board."
                )
        return BoardRefusedError(f"{path} could not be written on {self.address}: {reason_of(error)}.")


class _LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="ssh", daemon=True)

    @property
    def runs(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def result_of(self, work: Coroutine[Any, Any, Result], timeout_seconds: float) -> Result:
        """What a coroutine returns or raises, or `TimeoutError`."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout_seconds)
        finally:
            future.cancel()

    def stop(self) -> None:
        with contextlib.suppress(TimeoutError, concurrent.futures.TimeoutError):
            self.result_of(_cancel_others(), 1.0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=2)
        if not self._thread.is_alive():
            self._loop.close()


async def _cancel_others() -> None:
    """End what else runs in this loop: Python complains of tasks that are left."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _settings(address: BoardAddress, options: SshOptions, check: HostKeyCheck) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "username": address.user,
        "known_hosts": check.content,
        "server_host_key_algs": check.algorithms,
        "preferred_auth": "publickey",
        "keepalive_interval": KEEPALIVE_SECONDS,
        "keepalive_count_max": 3,
        "connect_timeout": CONNECT_SECONDS,
        "login_timeout": CONNECT_SECONDS,
        "client_factory": lambda: check,
    }
    if options.identity_file is not None:
        settings["client_keys"] = [str(local_path(options.identity_file))]
    if options.config is not None:
        settings["config"] = [str(local_path(options.config))]
    return settings


async def _awaited(work: Awaitable[Result]) -> Result:
    """An awaitable of asyncssh as a coroutine, which asyncio requires."""
    return await work


@contextlib.contextmanager
def _lost(address: BoardAddress, timeout_seconds: float) -> Iterator[None]:
    """Errors of a connection that stood, as errors of the board."""
    try:
        yield
    except (TimeoutError, concurrent.futures.TimeoutError):
        raise BoardUnreachableError(f"{address} did not answer within {timeout_seconds:g} s.") from None
    except (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection):
        raise BoardUnreachableError(f"the connection to {address} was lost.") from None
    except asyncssh.SFTPError:
        raise
    except (asyncssh.Error, OSError, EOFError, ValueError) as error:
        raise BoardUnreachableError(f"the connection to {address} failed: {reason_of(error)}.") from None


@contextlib.contextmanager
def _translated(address: BoardAddress, check: HostKeyCheck, *, accepted_before: bool) -> Iterator[None]:
    """Errors of connecting, as errors of the board."""
    try:
        yield
    except asyncssh.HostKeyNotVerifiable:
        raise check.refusal() from None
    except asyncssh.PermissionDenied as error:
        if accepted_before:
            raise BoardUnreachableError(f"{address} does not let us in at the moment: {reason_of(error)}.") from None
        raise BoardRefusedError(
            f"{address} does not accept your SSH key: run `ssh-copy-id {address.port_option}{address.user}@"
            f"{address.host}`, or name another key in BOARD_IDENTITY_FILE. Passwords are not used."
        ) from None
    except (
        asyncssh.KeyImportError,
        asyncssh.KeyEncryptionError,
        asyncssh.ConfigParseError,
        FileNotFoundError,
    ) as error:
        remedy = (
            "put a key with a passphrase into the SSH agent with `ssh-add`"
            if "assphrase" in str(error)
            else ("name another key in BOARD_IDENTITY_FILE")
        )
        raise BoardRefusedError(f"your SSH key for {address} cannot be read ({reason_of(error)}): {remedy}.") from None
    except ConnectionRefusedError:
        raise BoardUnreachableError(
            f"{address} refuses the connection: it is booting, or SSH is not enabled there."
        ) from None
    except (
        asyncssh.Error,
        OSError,
        EOFError,
        ValueError,
        asyncio.TimeoutError,
        concurrent.futures.TimeoutError,
    ) as error:
        raise BoardUnreachableError(f"{address} could not be reached: {reason_of(error)}.") from None
