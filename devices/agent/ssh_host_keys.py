"""Checks the host key of a board against the known one, and says what to do if it differs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import asyncssh
from asyncssh.public_key import get_default_public_key_algs

from devices.agent.ssh_address import BoardAddress
from devices.errors import BoardRefusedError
from search_space.boundary.reading import local_path, read_bytes
from search_space.boundary.text import reason_of


class HostKeyCheck(asyncssh.SSHClient):
    """Refuses every key that `known_hosts` does not have, and remembers it."""

    def __init__(self, address: BoardAddress, known_hosts: Path, content: bytes) -> None:
        self._address = address
        self._known_hosts = known_hosts
        # Given nothing at all, asyncssh would take the user's own file.
        self.content = content or b"# no keys\n"
        port = address.port if address.port != 22 else None
        self._known: Sequence[asyncssh.SSHKey] = asyncssh.match_known_hosts(content, address.host, "", port)[0]
        self._fingerprint: str | None = None

    @classmethod
    def of(cls, address: BoardAddress, known_hosts: Path) -> HostKeyCheck:
        """A check against a file; if it does not exist, no key is known.

        Raises:
            BoardRefusedError: if it cannot be read.
        """
        path = known_hosts
        try:
            path = local_path(known_hosts)
            content = read_bytes(path, what="a file of known host keys") if path.exists() else b""
            return cls(address, path, content)
        except ValueError as error:
            raise BoardRefusedError(
                f"the host key of {address} cannot be checked by {path}: {reason_of(error)}. Mend that file, or name "
                "another one in BOARD_KNOWN_HOSTS."
            ) from None

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """No: this is only called with keys that are not trusted."""
        self._fingerprint = f"{key.get_algorithm()} {key.get_fingerprint()}"
        return False

    @property
    def algorithms(self) -> list[str]:
        """Kinds of host keys to ask for: the known ones first, then any, so that a change can be shown."""
        known = [algorithm for key in self._known for algorithm in key.sig_algorithms]
        return list(dict.fromkeys(one.decode() for one in [*known, *get_default_public_key_algs()]))

    def refusal(self) -> BoardRefusedError:
        """What is wrong with the host key, and what to do."""
        address, file = self._address, self._known_hosts
        shown = self._fingerprint or "a key that cannot be read"
        if self._known:
            return BoardRefusedError(
                f"the host key of {address} has changed: it now shows {shown}, and {file} has another. Either the "
                "board was reinstalled, or something else answers in its place. If it was reinstalled, run "
                f"`ssh-keygen -R '{address.known_hosts_name}' -f {file}`, and accept the new key."
            )
        return BoardRefusedError(
            f"the host key of {address} is not known: it shows {shown}. Compare that with `ssh-keygen -lf "
            "/etc/ssh/ssh_host_ed25519_key.pub` on the board, and run `ssh-keyscan -t ed25519 "
            f"{address.port_option}{address.host} >> {file}` here to accept it."
        )
