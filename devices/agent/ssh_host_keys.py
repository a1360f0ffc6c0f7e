"""Judges the key that a host shows by those that are known, and says what to do if it is not one of them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncssh
from asyncssh.public_key import get_default_certificate_algs, get_default_public_key_algs

from devices.agent.ssh_address import KNOWN_HOSTS
from devices.agent.ssh_patterns import like_one_of
from devices.agent.ssh_route import USUAL_PORT, Hop
from devices.errors import BoardRefusedError
from search_space.boundary.reading import local_path, read_bytes
from search_space.boundary.text import command_line, reason_of

_FILE_NAMES = {"ssh-ed25519": "ed25519", "ssh-rsa": "rsa"}
"""Kinds of host keys in OpenSSH's commands; all other ones are ecdsa."""


@dataclass(frozen=True)
class KnownKey:
    """A line of a file of known hosts, about one host."""

    key: asyncssh.SSHKey
    marker: str
    """Empty, `cert-authority` or `revoked`."""
    file: Path
    line: int


@dataclass(frozen=True)
class HostKeys:
    """The known keys of a host."""

    hop: Hop
    known: tuple[KnownKey, ...]

    @classmethod
    def of(cls, hop: Hop) -> HostKeys:
        """What the files of known hosts say; a file that does not exist says nothing.

        Raises:
            BoardRefusedError: if one cannot be read.
        """
        files = [*hop.config.user_known_hosts, *hop.config.system_known_hosts]
        lines = [(file, number, line) for file in files for number, line in enumerate(_lines_of(file, hop), 1)]
        found = _matching(lines, hop.known_name)
        if not any(one.marker != "revoked" for one in found) and hop.config.host_key_alias is None:
            # As in OpenSSH, a key that is known without a port is good for all ports.
            found += _matching(lines, hop.config.host)
        return cls(hop, tuple(found))

    def keys(self, marker: str = "") -> list[asyncssh.SSHKey]:
        """The known keys with a marker."""
        return [one.key for one in self.known if one.marker == marker]

    @property
    def algorithms(self) -> list[str]:
        """Kinds of host keys to ask for: the known ones first, then any, so that a change can be shown."""
        known = [algorithm for key in self.keys() for algorithm in key.sig_algorithms]
        certificates = get_default_certificate_algs() if self.keys("cert-authority") else []
        # As OpenSSH orders them; a Dropbear without an RSA key dies of being asked for one first.
        others = sorted(
            get_default_public_key_algs(), key=lambda one: (one != b"ssh-ed25519", not one.startswith(b"ecdsa"))
        )
        return list(dict.fromkeys(one.decode() for one in [*certificates, *known, *others]))

    def refusal(self, shown: asyncssh.SSHKey | None, reason: str) -> BoardRefusedError:
        """What is wrong with the key that a host shows, and what to do.

        Args:
            shown: the key; None where it was a certificate, or none that can be read.
            reason: what asyncssh says.
        """
        hop = self.hop
        label = f"the host key of {hop.label}"
        if shown is None and "revoked" not in reason:
            return BoardRefusedError(
                f"{label} comes with a certificate that is not good: {reason}. Have it signed anew there, or remove "
                f"the `@cert-authority` line from {_file(hop)}."
            )
        revoked = [one for one in self.known if one.marker == "revoked" and shown in (None, one.key)]
        if revoked or "revoked" in reason:
            place = f"line {revoked[0].line} of {revoked[0].file}" if revoked else "a file of known hosts"
            return BoardRefusedError(
                f"{label} is revoked by {place}: somebody may have stolen it. Give the board a new one there, with "
                "`sudo rm /etc/ssh/ssh_host_* && sudo ssh-keygen -A`, and accept that."
            )
        assert shown is not None
        fingerprint = f"{shown.get_algorithm()} {shown.get_fingerprint()}"
        plain = [one for one in self.known if not one.marker]
        if plain:
            # Of several lines the one of the same kind is the changed one.
            other = next((one for one in plain if one.key.get_algorithm() == shown.get_algorithm()), plain[0])
            return BoardRefusedError(
                f"{label} has changed: it now shows {fingerprint}, and line {other.line} of {other.file} has another. "
                "Either the machine was reinstalled, or something else answers in its place. If it was reinstalled, "
                f"run `{_forget(hop, other.file)}`, and accept the new key."
            )
        kind = _FILE_NAMES.get(shown.get_algorithm(), "ecdsa")
        return BoardRefusedError(
            f"{label} is not known: it shows {fingerprint}. Compare that with `ssh-keygen -lf "
            f"/etc/ssh/ssh_host_{kind}_key.pub` there, and run `{_accept(hop, kind)}` here to accept it{_kept(hop)}."
        )


class _Entry:
    """The names of a line: patterns, or a hash of one name."""

    def __init__(self, text: str) -> None:
        self._text = text

    def matches(self, name: str) -> bool:
        if not self._text.startswith("|"):
            return like_one_of(name, self._text.lower())
        parts = self._text.split("|")
        if len(parts) != 4 or parts[1] != "1":
            return False
        try:
            salt, expected = base64.b64decode(parts[2]), base64.b64decode(parts[3])
        except (ValueError, binascii.Error):
            return False
        return hmac.compare_digest(hmac.new(salt, name.encode(errors="replace"), hashlib.sha1).digest(), expected)


def _lines_of(file: Path, hop: Hop) -> list[str]:
    try:
        content = read_bytes(file, what="a file of known host keys") if file.exists() else b""
    except (ValueError, OSError) as error:
        raise BoardRefusedError(
            f"the host key of {hop.label} cannot be checked by {file}: {reason_of(error)}. Mend that file, or name "
            "another one in BOARD_KNOWN_HOSTS."
        ) from None
    return content.decode("utf-8", "replace").split("\n")


def _matching(lines: Sequence[tuple[Path, int, str]], name: str) -> list[KnownKey]:
    """The lines about a name; as in OpenSSH, a line that cannot be read is passed over."""
    found: list[KnownKey] = []
    for file, number, line in lines:
        words = line.split(None, 3)
        marker = words.pop(0)[1:] if words and words[0].startswith("@") else ""
        if len(words) < 3 or words[0].startswith("#") or marker not in ("", "cert-authority", "revoked"):
            continue
        if not _Entry(words[0]).matches(name):
            continue
        try:
            key = asyncssh.import_public_key(" ".join(words[1:3]))
        except (ValueError, UnicodeError):
            continue
        found.append(KnownKey(key, marker, file, number))
    return found


def _file(hop: Hop) -> Path:
    """Where a new key is written."""
    return next(iter(hop.config.user_known_hosts), local_path(KNOWN_HOSTS))


def _forget(hop: Hop, file: Path) -> str:
    return command_line(("ssh-keygen", "-R", hop.known_name, "-f", str(file)))


def _accept(hop: Hop, kind: str) -> str:
    """The command that accepts a new key; what `ssh-keyscan` cannot reach, or names otherwise, `ssh` asks about."""
    config = hop.config
    if hop.through is None and config.host_key_alias is None and config.user_known_hosts:
        port = () if config.port == USUAL_PORT else ("-p", str(config.port))
        scan = command_line(("ssh-keyscan", "-t", kind, *port, config.host))
        return f"{scan} >> {command_line((str(_file(hop)),))}"
    file = () if config.user_known_hosts and not hop.only_known_hosts else ("-o", f"UserKnownHostsFile={_file(hop)}")
    return f"{hop.command('ssh', '-o', 'StrictHostKeyChecking=ask', *file)} true"


def _kept(hop: Hop) -> str:
    if hop.config.user_known_hosts:
        return ""
    return f"; as your configuration keeps no host keys (`UserKnownHostsFile`), also set BOARD_KNOWN_HOSTS={_file(hop)}"
