"""Logs in to a board, host by host: each with the keys, host keys and way that `ssh` would use. Start with `log_in`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Protocol

import asyncssh

from devices.agent import ssh_failures
from devices.agent.ssh_failures import Attempt
from devices.agent.ssh_host_keys import HostKeys
from devices.agent.ssh_keys import KeyRing
from devices.agent.ssh_route import Hop
from devices.errors import MeasurementError
from search_space.boundary.text import last_line

CONNECT_SECONDS = 10.0
"""Time for the network to answer, and for a login."""
KEEPALIVE_SECONDS = 1.5
"""Between keep-alive requests to a host."""
KEEPALIVES = 3
"""Without an answer, after which the network is considered dead."""
GREETING_SECONDS = 2.0
"""Time for what is no SSH server to say what it is."""
GREETING_BYTES = 256


class _Closing(Protocol):
    async def close(self) -> None:
        """Let go of it."""


@dataclass
class Login:
    """Connections to all hosts on the way, the board's last."""

    connections: list[asyncssh.SSHClientConnection] = field(default_factory=list)
    proxies: list[_Proxy] = field(default_factory=list)

    @property
    def board(self) -> asyncssh.SSHClientConnection:
        """The connection to the board."""
        return self.connections[-1]

    async def close(self) -> None:
        """Close them, the board's first."""
        for connection in reversed(self.connections):
            connection.close()
            try:
                await asyncio.wait_for(connection.wait_closed(), 1.0)
            except (asyncio.TimeoutError, OSError, asyncssh.Error):
                connection.abort()
        for proxy in self.proxies:
            proxy.end()


def seconds_for(route: Sequence[Hop]) -> float:
    """Time within which `log_in` ends by itself."""
    return sum(2 * _seconds(hop) + GREETING_SECONDS + 1 for hop in route) + 5


async def log_in(route: Sequence[Hop], *, accepted_before: bool) -> Login:
    """Log in to all hosts of a route, each through the one before it.

    Args:
        route: the hosts, the board last.
        accepted_before: whether this board has accepted our key before, so that a refusal means that it is booting.

    Raises:
        BoardUnreachableError: if a host does not answer, or the board is booting.
        BoardRefusedError: if a host's key is not the known one, or it does not accept ours.
    """
    login = Login()
    try:
        for hop in route:
            async with _keys(hop) as ring:
                attempt = Attempt(hop, ring, HostKeys.of(hop), accepted_before=accepted_before and hop is route[-1])
                await _connect(attempt, login)
    except BaseException:
        await login.close()
        raise
    return login


@contextlib.asynccontextmanager
async def _keys(hop: Hop) -> AsyncIterator[KeyRing]:
    ring = await KeyRing.of(hop.config)
    try:
        yield ring
    finally:
        ring.close()


async def _connect(attempt: Attempt, login: Login) -> None:
    hop = attempt.hop
    ssh_failures.check_key(attempt)
    proxy: _Proxy | None = None
    way: dict[str, Any] = {}
    try:
        if login.connections:
            way["tunnel"] = login.board
        elif hop.config.proxy_command is not None:
            proxy = _Proxy(hop.config.proxy_command)
            login.proxies.append(proxy)
            way["sock"] = proxy.socket
        else:
            way["sock"] = await _dialled(hop)
        login.connections.append(await asyncssh.connect(hop.config.host, hop.config.port, **way, **_settings(attempt)))
    except MeasurementError:
        raise
    except (asyncssh.Error, OSError, EOFError, ValueError, asyncio.TimeoutError) as error:
        if proxy is not None and not attempt.was_answered:
            raise ssh_failures.of_proxy(hop, proxy.last_words(), error) from None
        greeting = b""
        if "sock" in way and proxy is None and not attempt.was_answered and not isinstance(error, asyncio.TimeoutError):
            greeting = await _greeting(hop)
        raise ssh_failures.of_login(attempt, error, greeting, seconds=_seconds(hop)) from None


async def _dialled(hop: Hop) -> socket.socket:
    """A socket to a host of the network.

    Raises:
        BoardUnreachableError: if there is none.
    """
    config, loop = hop.config, asyncio.get_running_loop()
    seconds = _seconds(hop)
    try:
        found = await asyncio.wait_for(
            loop.getaddrinfo(config.host, config.port, family=config.family, type=socket.SOCK_STREAM), seconds
        )
    except (OSError, ValueError, asyncio.TimeoutError) as error:
        raise ssh_failures.of_name(hop, error) from None
    errors: list[Exception] = []
    for family, kind, protocol, _, place in found:
        end = socket.socket(family, kind, protocol)
        try:
            end.settimeout(0)
            if config.bind_address is not None:
                end.bind((config.bind_address, 0))
            await asyncio.wait_for(loop.sock_connect(end, place), seconds / len(found))
            return end
        except (OSError, ValueError, asyncio.TimeoutError) as error:
            end.close()
            errors.append(error)
        except BaseException:
            end.close()
            raise
    # A refusal says more than a network that has no way there.
    refused = [error for error in errors if isinstance(error, ConnectionRefusedError)]
    raise ssh_failures.of_network(hop, (refused or errors)[-1], seconds=seconds)


async def _greeting(hop: Hop) -> bytes:
    """What answers in place of an SSH server: some speak only when spoken to."""
    with contextlib.suppress(OSError, asyncio.TimeoutError, MeasurementError):
        loop = asyncio.get_running_loop()
        with await _dialled(hop) as end:
            await loop.sock_sendall(end, b"SSH-2.0-look\r\n\r\n")
            return await asyncio.wait_for(loop.sock_recv(end, GREETING_BYTES), GREETING_SECONDS)
    return b""


class _Proxy:
    """A `ProxyCommand` that runs, as the shell of the user runs it."""

    def __init__(self, command: str) -> None:
        self.socket, theirs = socket.socketpair()
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        shell = os.environ.get("SHELL") or "/bin/sh"
        try:
            self._process = subprocess.Popen(
                [shell, "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._stderr,
                start_new_session=True,
            )
        finally:
            theirs.close()

    def last_words(self) -> str:
        """The last line that it wrote to stderr."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, self._stderr.tell() - 4096))
        return last_line(self._stderr.read().decode("utf-8", "replace"))

    def end(self) -> None:
        """End it."""
        self.socket.close()
        self._process.terminate()
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stderr.close()


def _seconds(hop: Hop) -> float:
    return hop.config.connect_seconds or CONNECT_SECONDS


def _settings(attempt: Attempt) -> dict[str, Any]:
    config, keys = attempt.hop.config, attempt.host_keys
    known = (keys.keys(), keys.keys("cert-authority"), keys.keys("revoked"))
    settings: dict[str, Any] = {
        "config": None,
        "username": config.user,
        "known_hosts": lambda host, addr, port: known,
        "host_key_alias": config.host_key_alias,
        "server_host_key_algs": keys.algorithms,
        "client_keys": None,
        "agent_path": None,
        # Passwords are never sent; that a host asks for one is worth knowing.
        "preferred_auth": "publickey,keyboard-interactive,password",
        "keepalive_interval": KEEPALIVE_SECONDS,
        "keepalive_count_max": KEEPALIVES,
        "connect_timeout": _seconds(attempt.hop),
        "login_timeout": _seconds(attempt.hop),
        "client_factory": lambda: attempt,
    }
    wanted = {"kex_algs": config.key_exchanges, "encryption_algs": config.ciphers, "mac_algs": config.macs}
    for option, names in wanted.items():
        if names is not None and (usable := _usable(option, names)):
            settings[option] = usable
    return settings


def _usable(option: str, names: str) -> str:
    """Of algorithms as OpenSSH's options name them those that asyncssh has; empty where it has none."""
    sign = names[0] if names[0] in "+-^" else ""
    usable = [one for one in names.removeprefix(sign).split(",") if _is_usable(option, sign + one)]
    return sign + ",".join(usable) if usable else ""


def _is_usable(option: str, name: str) -> bool:
    try:
        asyncssh.SSHClientConnectionOptions(config=None, client_keys=None, agent_path=None, **{option: name})
    except (ValueError, asyncssh.Error):
        return False
    return True
