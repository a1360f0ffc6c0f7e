"""Why a login failed: one line for each cause, which says what to type. Start with `of_login`.

docs/boards.md lists these lines.
"""

from __future__ import annotations

import asyncio
import errno
import re
import socket
from pathlib import PurePosixPath

import asyncssh

from devices.agent.ssh_host_keys import HostKeys
from devices.agent.ssh_keys import KeyRing
from devices.agent.ssh_route import Hop
from devices.errors import BoardRefusedError, BoardUnreachableError, MeasurementError
from search_space.boundary.text import last_line, one_line, reason_of, shown

MOST_NAMES = 4
"""Keys that a message names."""


class Attempt(asyncssh.SSHClient):
    """One login: offers the keys of a ring one by one, and remembers what happened."""

    def __init__(self, hop: Hop, ring: KeyRing, host_keys: HostKeys, *, accepted_before: bool) -> None:
        self.hop = hop
        self.ring = ring
        self.host_keys = host_keys
        self.accepted_before = accepted_before
        self.offered: list[str] = []
        self.wants_key = self.wants_password = self.was_let_in = False
        self.shown_key: asyncssh.SSHKey | None = None
        self.banner = ""
        self.wants_more = False
        self._left = list(ring.offers)
        self._is_exhausted = False
        self._connection: asyncssh.SSHClientConnection | None = None

    @property
    def was_answered(self) -> bool:
        """Whether an SSH server answered."""
        return self._connection is not None and bool(self._connection.get_extra_info("server_version"))

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        """Keep it, for what it knows of the server."""
        self._connection = conn

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """No: this is only called with keys that are not trusted."""
        self.shown_key = key
        return False

    def auth_banner_received(self, msg: str, lang: str) -> None:
        """Keep its last line: some servers say there why they let nobody in."""
        self.banner = one_line(last_line(msg)) or self.banner

    def public_key_auth_requested(self) -> asyncssh.SSHKeyPair | None:
        """The next key."""
        self.wants_key = True
        if not self._left:
            self._is_exhausted = True
            return None
        offer = self._left.pop(0)
        if offer.name not in self.offered:
            self.offered.append(offer.name)
        return offer.keypair

    def password_auth_requested(self) -> None:
        """Never; where it is asked for before all keys were refused, one was accepted."""
        self.wants_password = True
        self.wants_more = self.wants_more or (bool(self.offered) and not self._is_exhausted)

    def kbdint_auth_requested(self) -> None:
        """Never."""
        self.password_auth_requested()

    def auth_completed(self) -> None:
        """Remember it."""
        self.was_let_in = True


def check_key(attempt: Attempt) -> None:
    """Check that the one key of BOARD_IDENTITY_FILE can be used.

    Raises:
        BoardRefusedError: if it cannot.
    """
    if attempt.hop.only_key and not attempt.ring.offers and attempt.ring.unused:
        raise BoardRefusedError(
            f"your SSH key for {attempt.hop.label} cannot be read: {attempt.ring.unused[0]}. Or name another key "
            "in BOARD_IDENTITY_FILE."
        )


def of_name(hop: Hop, error: Exception) -> MeasurementError:
    """A name that does not resolve."""
    reason = "nobody answered in time" if isinstance(error, asyncio.TimeoutError) else reason_of(error)
    if isinstance(error, socket.gaierror):
        reason = one_line(error.strerror)
    return BoardUnreachableError(
        f"{hop.label} could not be reached: the name {one_line(hop.config.host)} cannot be found ({reason}). Check its "
        "spelling and your network, or name its IP address."
    )


def of_network(hop: Hop, error: Exception, *, seconds: float) -> MeasurementError:
    """A host that the network does not lead to."""
    place = f"{one_line(hop.config.host)}, port {hop.config.port}"
    if isinstance(error, ConnectionRefusedError):
        return BoardUnreachableError(
            f"{hop.label} refuses the connection: it is booting, or SSH is not enabled there on port {hop.config.port}."
        )
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, asyncio.TimeoutError) or number == errno.ETIMEDOUT:
        return BoardUnreachableError(
            f"{hop.label} could not be reached: nothing answers at {place} within {seconds:g} s. It is switched off, "
            "on another network, or behind a firewall."
        )
    if number in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN):
        return BoardUnreachableError(
            f"{hop.label} could not be reached: no network leads to {place}. Check this machine's network and the "
            "address."
        )
    return BoardUnreachableError(f"{hop.label} could not be reached: {reason_of(error)}.")


def of_proxy(hop: Hop, last_words: str, error: Exception) -> MeasurementError:
    """A `ProxyCommand` that leads nowhere."""
    said = f"its last words: {one_line(last_words)}" if last_words else reason_of(error)
    return BoardUnreachableError(
        f"{hop.label} could not be reached: its `ProxyCommand` {shown(hop.config.proxy_command)} leads nowhere; "
        f"{said.rstrip('.')}. Try it in a shell, or mend it in your SSH configuration."
    )


def of_login(attempt: Attempt, error: Exception, greeting: bytes, *, seconds: float) -> MeasurementError:
    """A login that failed after the network had led to something.

    Args:
        attempt: what happened until then.
        error: how it ended.
        greeting: what is there in place of an SSH server, if it said something.
        seconds: that it had.
    """
    hop, label = attempt.hop, attempt.hop.label
    reason = reason_of(error)
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return attempt.host_keys.refusal(attempt.shown_key, reason.partition(" for host ")[0])
    if isinstance(error, asyncssh.ChannelOpenError):
        return BoardUnreachableError(
            f"{label} could not be reached through {hop.through}, which says: {reason}. Check that `HostName` and "
            "`Port` are right as seen from there, and that it permits forwarding."
        )
    if isinstance(error, asyncssh.KeyExchangeFailed):
        # What we have is a long list; what is there counts.
        has = re.search(r"received (\S+)", str(error))
        reason = f"it has only {one_line(has.group(1))}" if has is not None else reason
        return BoardRefusedError(
            f"{label} has an SSH server too old or too new for this program: {reason}. Update it there (`sudo apt-get "
            "install openssh-server`), or add what it has to `KexAlgorithms`, `Ciphers` or `MACs` of your SSH "
            "configuration."
        )
    if re.search(r"too many authentication failures", reason, re.IGNORECASE):
        return BoardRefusedError(
            f"{label} gave up before the right key came: it was offered {_names(attempt.offered)}. Name the right one "
            "by `IdentityFile` and `IdentitiesOnly yes` in your SSH configuration, or in BOARD_IDENTITY_FILE."
        )
    if isinstance(error, asyncssh.PermissionDenied):
        return _denied(attempt)
    if not attempt.was_answered and isinstance(error, asyncio.TimeoutError):
        return BoardUnreachableError(
            f"{label} could not be reached{_through(hop)}: port {hop.config.port} is open, but says nothing within "
            f"{seconds:g} s. The machine may be overloaded or out of memory: start it again. Or another "
            "program has that port."
        )
    if attempt.was_answered:
        said = f" It said: {attempt.banner}." if attempt.banner else ""
        when = "after our key was accepted" if attempt.was_let_in else "during the login"
        what = (
            f"it did not finish the login within {seconds:g} s" if isinstance(error, asyncio.TimeoutError) else reason
        )
        return BoardUnreachableError(
            f"{label} ended the connection {when}: {what}.{said} It is booting, or the account is closed there: see "
            "`sudo journalctl -u ssh` on it."
        )
    return _no_server(attempt, reason, greeting)


def of_shell(hop: Hop, said: str) -> BoardRefusedError:
    """A user whose commands are not run: no login shell, or a forced command."""
    return BoardRefusedError(
        f"{hop.label} lets us in, but runs no commands for user {one_line(hop.config.user)}; it said: "
        f"{one_line(said).rstrip('.')}. Give that user a login shell there (`sudo chsh -s /bin/sh USER`), and no "
        "forced command in ~/.ssh/authorized_keys."
    )


def of_file(
    hop: Hop, path: PurePosixPath, reason: str, *, size: int, free: int | None, missing_home: str | None
) -> BoardRefusedError:
    """A file that could not be written.

    Args:
        hop: the board.
        path: of the file there.
        reason: what the board says.
        size: bytes that it needs.
        free: bytes that are free, if that is known.
        missing_home: the home directory, where the file should be in it and it does not exist.
    """
    reason = one_line(reason).rstrip(".")
    if free is not None and free < size:
        return BoardRefusedError(
            f"the disk of {hop.title} is full: {path} needs {size:,} bytes, but {free:,} are free. Make "
            "room on the board."
        )
    if missing_home is not None:
        return BoardRefusedError(
            f"{path} could not be written on {hop.title}: the home {one_line(missing_home)} does not exist there "
            f"({reason}). Make it, or name another folder in BOARD_FOLDER."
        )
    return BoardRefusedError(
        f"{path} could not be written on {hop.title}: {reason}. See to it, or name another folder in BOARD_FOLDER."
    )


def _no_server(attempt: Attempt, reason: str, greeting: bytes) -> MeasurementError:
    hop, label, port = attempt.hop, attempt.hop.label, attempt.hop.config.port
    if greeting and not greeting.startswith(b"SSH-"):
        first = greeting.decode("utf-8", "replace").partition("\n")[0]
        return BoardUnreachableError(
            f"{label} could not be reached{_through(hop)}: what answers at port {port} is no SSH server, but says "
            f"{shown(first, most=60)}. Name the port of SSH, usually 22."
        )
    return BoardUnreachableError(
        f"{label} could not be reached{_through(hop)}: port {port} closes the connection before a word of SSH "
        f"({reason}). It is booting, has too many logins at once, or shuts this machine out (fail2ban): wait some "
        "minutes. Or another program has that port."
    )


def _through(hop: Hop) -> str:
    return f" through {hop.through}" if hop.through is not None else ""


def _denied(attempt: Attempt) -> MeasurementError:
    hop, label, ring = attempt.hop, attempt.hop.label, attempt.ring
    said = f" It said: {attempt.banner}." if attempt.banner else ""
    if attempt.accepted_before:
        return BoardUnreachableError(
            f"{label} does not let us in at the moment, but did before: it is booting, or our key was removed "
            f"there.{said}"
        )
    user = f"user {one_line(hop.config.user)}"
    if not attempt.wants_key:
        return BoardRefusedError(
            f"{label} does not take keys from {user}: set `PubkeyAuthentication yes` in /etc/ssh/sshd_config there. "
            f"Passwords are not used.{said}"
        )
    if attempt.wants_more:
        return BoardRefusedError(
            f"{label} accepts the key {_names(attempt.offered[-1:])} for {user}, but wants a password or code as well, "
            f"which is not asked for here: set `AuthenticationMethods publickey` for {user} in /etc/ssh/sshd_config "
            f"there.{said}"
        )
    notes = "".join(f" {one_line(fault)}." for fault in _notes(ring))
    if not attempt.offered:
        make = "" if notes else " Make a key with `ssh-keygen -t ed25519` if there is none."
        return BoardRefusedError(
            f"{label} was offered no SSH key, as none can be used here.{notes}{make} Then run "
            f"`{hop.command('ssh-copy-id')}` if the key is new there. Passwords are not used.{said}"
        )
    return BoardRefusedError(
        f"{label} does not accept your SSH key for {user}: it was offered {_names(attempt.offered)}.{notes} Run "
        f"`{_copy(attempt)}`, or name another key in BOARD_IDENTITY_FILE. If the key is in ~/.ssh/authorized_keys "
        f"there, `sudo journalctl -u ssh` says why it does not count. Passwords are not used.{said}"
    )


def _copy(attempt: Attempt) -> str:
    """The command that puts the first offered file's key there."""
    names = [name for name in attempt.offered if name in {str(path) for path in attempt.hop.config.identity_files}]
    options = ("-i", names[0]) if attempt.hop.only_key and names else ()
    return attempt.hop.command("ssh-copy-id", *options)


def _notes(ring: KeyRing) -> list[str]:
    """What else could have been offered; keys that do not exist are passed over in silence, as `ssh` does."""
    notes = [str(one) for one in ring.unused if one.fault != "missing"]
    return notes[:MOST_NAMES] + ([ring.agent_fault] if ring.agent_fault is not None else [])


def _names(names: list[str]) -> str:
    more = len(names) - MOST_NAMES
    kept = [one_line(name) for name in names[:MOST_NAMES]]
    return ", ".join(kept) + (f" and {more} more" if more > 0 else "")
