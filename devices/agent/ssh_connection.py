"""One SSH connection to a board: strict about host keys, and by key only. Start with `SshConnection.open`.

asyncssh runs in a thread of its own; the methods here block, each with a time limit.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import re
import threading
from collections.abc import Awaitable, Coroutine, Iterator
from pathlib import PurePosixPath
from typing import Any, TypeVar

import asyncssh

from devices.agent import ssh_failures
from devices.agent.ssh_address import BoardAddress, SshOptions
from devices.agent.ssh_config import ConfigError
from devices.agent.ssh_files import BoardFiles, Finished, NoShellError, Verb, after_mark, marked
from devices.agent.ssh_login import CONNECT_SECONDS, Login, log_in, seconds_for
from devices.agent.ssh_route import Hop, route_to
from devices.errors import BoardRefusedError, BoardUnreachableError, MeasurementError
from search_space.boundary.text import last_line, reason_of

Result = TypeVar("Result")

TRANSFER_SECONDS = 60.0
"""Time for one file, or one quick command."""
KEPT_OUTPUT = 2**16
"""Bytes of a command's output that are kept: the first and the last ones."""
MOST_OUTPUT = 2**26
"""Bytes of a command's output; pip writes some hundred."""
BEAT_SECONDS = 1.0
"""Between the signs of life that a command gets on its stdin."""


class SshConnection:
    """A connection to a board."""

    def __init__(self, address: BoardAddress, hop: Hop, loop: _LoopThread, login: Login, folder: PurePosixPath) -> None:
        self.address = address
        self._hop = hop
        self._folder = folder
        self._loop = loop
        self._login = login
        self._connection = login.board
        self._files = BoardFiles(login.board, folder)

    @classmethod
    def open(cls, address: BoardAddress, options: SshOptions, *, accepted_before: bool = False) -> SshConnection:
        """Connect.

        Args:
            address: the board.
            options: how to log in.
            accepted_before: whether this board has accepted our key before, so that a refusal means that it is booting.

        Raises:
            BoardUnreachableError: if nothing answers, or the board is booting.
            BoardRefusedError: if its host key is not the known one, it does not accept our key or run our commands, or
                the SSH configuration cannot be followed.
        """
        try:
            route = route_to(address, options)
        except ConfigError as error:
            raise BoardRefusedError(
                f"{address} cannot be logged in to as your SSH configuration says: {error}"
            ) from None
        loop = _LoopThread()
        loop.start()
        try:
            with _lost(address, seconds_for(route)):
                login = loop.result_of(log_in(route, accepted_before=accepted_before), seconds_for(route))
            opened = cls(address, route[-1], loop, login, options.folder)
            try:
                opened.run(opened._start_files(), 2 * CONNECT_SECONDS)
            except BaseException:
                opened.close()
                raise
        except BaseException:
            loop.stop()
            raise
        return opened

    @property
    def alive(self) -> bool:
        """Whether it is still up, as far as is known."""
        return not self._connection.is_closed()

    def run(self, work: Coroutine[Any, Any, Result], timeout_seconds: float) -> Result:
        """The result of a coroutine in the connection's thread.

        Raises:
            BoardUnreachableError: if the connection fails, or the time runs out.
        """
        with _lost(self.address, timeout_seconds):
            return self._loop.result_of(work, timeout_seconds)

    def start(self, command: str) -> asyncssh.SSHClientProcess[bytes]:
        """Start a command; its streams are for coroutines given to `run`. A greeting may come before its first line.

        Raises:
            BoardUnreachableError: if the connection fails.
        """
        process = self._connection.create_process(f"echo; {command}", encoding=None)
        return self.run(_awaited(process), CONNECT_SECONDS)

    def command(self, command: str, timeout_seconds: float = TRANSFER_SECONDS) -> Finished:
        """Run a command to its end; its stdin stays open, and gets a sign of life each second, until then.

        Raises:
            BoardUnreachableError: if the connection fails, or the time runs out.
            BoardRefusedError: if the board does not run it.
        """
        return self.run(self._command(command), timeout_seconds)

    def put(self, path: PurePosixPath, content: bytes, timeout_seconds: float = TRANSFER_SECONDS) -> None:
        """Write a file, whole or not at all; its folder is created, and no link is followed below the board's folder.

        Raises:
            BoardUnreachableError: if the connection fails, or the time runs out.
            BoardRefusedError: if the board cannot write it: a full disk, a folder that is not ours, or a link.
        """
        put = self.run(self._ask("put", path, content), timeout_seconds)
        if put.code != 0:
            raise self._not_written(path, content, put)

    def remove(self, path: PurePosixPath) -> None:
        """Remove a file if that is possible."""
        if self.alive:
            with contextlib.suppress(MeasurementError):
                self.run(self._ask("remove", path), CONNECT_SECONDS)

    def clear(self, folder: PurePosixPath) -> None:
        """Remove the files of a folder, as far as that is possible; it need not exist.

        Raises:
            BoardUnreachableError: if the connection fails.
        """
        self.run(self._ask("clear", folder), TRANSFER_SECONDS)

    def close(self) -> None:
        """Close it; closing twice does no harm."""
        if self._loop.runs:
            with contextlib.suppress(MeasurementError):
                self.run(self._login.close(), 2.0 + len(self._login.connections))
            self._loop.stop()

    async def _start_files(self) -> None:
        try:
            await self._files.start()
        except NoShellError as error:
            raise self._runs_nothing(reason_of(error)) from None

    async def _ask(self, verb: Verb, path: PurePosixPath, content: bytes = b"") -> Finished:
        try:
            return await self._files.ask(verb, path, content)
        except NoShellError as error:
            raise self._runs_nothing(reason_of(error)) from None

    async def _command(self, command: str) -> Finished:
        try:
            created = self._connection.create_process(marked(command), stderr=asyncssh.STDOUT, encoding=None)
            process = await created
        except asyncssh.ChannelOpenError as error:
            raise self._runs_nothing(reason_of(error)) from None

        async def beat() -> None:
            with contextlib.suppress(asyncssh.Error, OSError):
                while True:
                    process.stdin.write(b"\n")
                    await asyncio.sleep(BEAT_SECONDS)

        async with process:
            beating = asyncio.create_task(beat())
            first, last, count = b"", b"", 0
            try:
                while chunk := await process.stdout.read(KEPT_OUTPUT):
                    # A greeting at the beginning, an error at the end.
                    first += chunk[: KEPT_OUTPUT - len(first)]
                    last, count = (last + chunk)[-KEPT_OUTPUT:], count + len(chunk)
                    if count > MOST_OUTPUT:
                        raise BoardRefusedError(f"{self.address} answers a command without end.")
                await process.wait_closed()
            finally:
                beating.cancel()
                process.close()
        whole = first + last[max(0, len(last) - (count - len(first))) :] if count > len(first) else first
        output = after_mark(whole.decode("utf-8", "replace"))
        if output is None:
            raise self._runs_nothing(last_line(whole.decode("utf-8", "replace")) or f"code {process.exit_status}")
        return Finished(process.exit_status, output)

    def _runs_nothing(self, said: str) -> BoardRefusedError:
        return ssh_failures.of_shell(self._hop, said)

    def _not_written(self, path: PurePosixPath, content: bytes, put: Finished) -> BoardRefusedError:
        """Why a file could not be written."""
        why = self.run(self._ask("why", path), CONNECT_SECONDS).output
        free = re.search(r"^free=(\d{1,15})$", why, re.MULTILINE)
        home = re.search(r"^home=(.*)$", why, re.MULTILINE)
        return ssh_failures.of_file(
            self._hop,
            path,
            last_line(put.output) or f"code {put.code}",
            size=len(content),
            free=int(free.group(1)) * 1024 if free is not None else None,
            missing_home=home.group(1) if home is not None and not self._folder.is_absolute() else None,
        )


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
        if not self.runs:
            return
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
    except (asyncssh.Error, OSError, EOFError, ValueError) as error:
        raise BoardUnreachableError(f"the connection to {address} failed: {reason_of(error)}.") from None
