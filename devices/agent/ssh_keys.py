"""The keys that a host is offered, in the order of `ssh`, and why others are not. Start with `KeyRing.of`."""

from __future__ import annotations

import base64
import binascii
import contextlib
import copy
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import asyncssh

from devices.agent.ssh_config import HostConfig
from search_space.boundary.reading import read_bytes
from search_space.boundary.text import command_line, one_line, reason_of

MOST_AGENT_KEYS = 100
Fault = Literal["missing", "locked", "open to others", "unreadable", "public", "PuTTY", "no key"]
_REMEDIES: dict[Fault, str] = {
    "missing": "does not exist",
    "locked": "has a passphrase, and is not in the SSH agent: run `{add}`",
    "open to others": "may be read by others, so that `ssh` passes it over, too: run `{mode}`",
    "unreadable": "may not be read by you: run `{mode}` as its owner",
    "public": "is a public key whose private half is not in the SSH agent: name the file without `.pub`",
    "PuTTY": "is a key of PuTTY: run `{convert}`, and name that file",
    "no key": "is no private key",
}


@dataclass(frozen=True)
class UnusedKey:
    """A key file that is not used."""

    path: Path
    fault: Fault
    reason: str = ""

    def __str__(self) -> str:
        path = str(self.path)
        remedy = _REMEDIES[self.fault].format(
            add=command_line(("ssh-add", path)),
            mode=command_line(("chmod", "600", path)),
            convert=command_line(("puttygen", path, "-O", "private-openssh", "-o", f"{path.removesuffix('.ppk')}.key")),
        )
        return f"{one_line(path)} {remedy}" + (f" ({self.reason})" if self.reason else "")


@dataclass(frozen=True)
class Offer:
    """A key that can be offered."""

    name: str
    """Its file, or its comment in the SSH agent."""
    keypair: asyncssh.SSHKeyPair


@dataclass
class KeyRing:
    """All that can be offered to one host."""

    offers: list[Offer] = field(default_factory=list)
    unused: list[UnusedKey] = field(default_factory=list)
    agent_fault: str | None = None
    """Why the SSH agent that is named does not answer."""
    agent: asyncssh.SSHAgentClient | None = None

    @classmethod
    async def of(cls, config: HostConfig) -> KeyRing:
        """The keys for a host: those of its files that the agent holds, the agent's other ones, and the files."""
        ring = cls()
        held = await ring._held(config.identity_agent)
        certificates = [one for path in config.certificate_files for one in _certificates(path)]
        named: list[Offer] = []
        alone: list[Offer] = []
        for path in config.identity_files:
            public = _public_half(path)
            keypair = held.pop(public, None) if public is not None else None
            if keypair is not None:
                certified = [*certificates, *_certificates(Path(f"{path}-cert.pub"))]
                named += _offers(str(path), keypair, certified)
                continue
            try:
                alone += [Offer(str(path), one) for one in _load(path, certificates)]
            except _UnusedKeyError as error:
                ring.unused.append(error.what)
        others = [
            offer
            for keypair in ([] if config.identities_only else held.values())
            for offer in _offers(f"{_comment(keypair)} of the SSH agent", keypair, certificates)
        ]
        ring.offers = [*named, *others, *alone]
        return ring

    def close(self) -> None:
        """Let go of the SSH agent."""
        if self.agent is not None:
            self.agent.close()

    async def _held(self, path: str | None) -> dict[bytes, asyncssh.SSHKeyPair]:
        """The keys that the SSH agent holds, by their public halves."""
        if path is None:
            return {}
        try:
            self.agent = asyncssh.SSHAgentClient(path)
            keypairs = list(await self.agent.get_keys())[:MOST_AGENT_KEYS]
        except (OSError, ValueError, asyncssh.Error) as error:
            self.agent_fault = f"the SSH agent at {one_line(path)} does not answer ({reason_of(error)})"
            return {}
        return {keypair.public_data: keypair for keypair in keypairs}


class _UnusedKeyError(Exception):
    def __init__(self, what: UnusedKey) -> None:
        super().__init__(what)
        self.what = what


def _offers(name: str, keypair: asyncssh.SSHKeyPair, certificates: list[asyncssh.SSHCertificate]) -> Iterator[Offer]:
    """A key of the SSH agent, first with its certificates."""
    for certificate in certificates:
        if certificate.key.public_data == keypair.public_data:
            certified = copy.copy(keypair)
            certified.set_certificate(certificate)
            yield Offer(name, certified)
    yield Offer(name, keypair)


def _load(path: Path, certificates: list[asyncssh.SSHCertificate]) -> list[asyncssh.SSHKeyPair]:
    """The key of a file, first with its certificates."""
    content = _content(path)
    if content.startswith(b"PuTTY-User-Key-File"):
        raise _UnusedKeyError(UnusedKey(path, "PuTTY"))
    if _public_blob(content) is not None:
        raise _UnusedKeyError(UnusedKey(path, "public"))
    try:
        key = asyncssh.import_private_key(content)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError, UnicodeError) as error:
        if "assphrase" in str(error) or isinstance(error, asyncssh.KeyEncryptionError):
            raise _UnusedKeyError(UnusedKey(path, "locked")) from None
        raise _UnusedKeyError(UnusedKey(path, "no key", reason_of(error))) from None
    _check_mode(path)
    own = [*certificates, *_certificates(Path(f"{path}-cert.pub"))]
    fitting = [one for one in own if one.key.public_data == key.public_data]
    return [pair for one in fitting for pair in asyncssh.load_keypairs([(key, one)])][:8] or list(
        asyncssh.load_keypairs([key])
    )


def _content(path: Path) -> bytes:
    if not path.exists():
        raise _UnusedKeyError(UnusedKey(path, "missing"))
    try:
        return read_bytes(path, what="a key", most=2**17)
    except ValueError as error:
        fault: Fault = "no key" if os.access(path, os.R_OK) else "unreadable"
        raise _UnusedKeyError(UnusedKey(path, fault, reason_of(error) if fault == "no key" else "")) from None


def _check_mode(path: Path) -> None:
    """As `ssh` does: a key of one's own that others may read is none."""
    state = path.stat()
    if hasattr(os, "getuid") and state.st_uid == os.getuid() and state.st_mode & 0o077:
        raise _UnusedKeyError(UnusedKey(path, "open to others"))


def _certificates(path: Path) -> list[asyncssh.SSHCertificate]:
    with contextlib.suppress(OSError, ValueError, asyncssh.KeyImportError):
        return [asyncssh.import_certificate(read_bytes(path, what="a certificate", most=2**17))]
    return []


def _public_half(path: Path) -> bytes | None:
    """The public half of a key, by which the SSH agent knows it; that of an encrypted one can be read, too."""
    for file in (path, Path(f"{path}.pub")):
        with contextlib.suppress(OSError, ValueError):
            content = read_bytes(file, what="a key", most=2**17)
            blob = _public_blob(content) or _openssh_public_half(content)
            if blob is not None:
                return blob
    return None


def _public_blob(content: bytes) -> bytes | None:
    if b"PRIVATE KEY" in content:
        return None
    with contextlib.suppress(asyncssh.KeyImportError, ValueError):
        return asyncssh.import_public_key(content).public_data
    return None


def _openssh_public_half(content: bytes) -> bytes | None:
    """Of OpenSSH's own form: names of cipher and key derivation, its options, the number of keys, the public half."""
    head, _, rest = content.partition(b"-----BEGIN OPENSSH PRIVATE KEY-----")
    body, end, _ = rest.partition(b"-----END OPENSSH PRIVATE KEY-----")
    if head.strip() or not end:
        return None
    try:
        data = base64.b64decode(b"".join(body.split()), validate=True)
    except (ValueError, binascii.Error):
        return None
    place = len(b"openssh-key-v1\0")
    for field_number in range(4):
        if field_number == 3:
            place += 4
        size = int.from_bytes(data[place : place + 4], "big")
        value = data[place + 4 : place + 4 + size]
        place += 4 + size
    return value if value and place <= len(data) else None


def _comment(keypair: asyncssh.SSHKeyPair) -> str:
    return one_line((keypair.get_comment_bytes() or b"a key").decode("utf-8", "replace"), most=80)
