"""Where a board is, and how to log in there over SSH."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from search_space.boundary.text import shown

BOARD_FOLDER = PurePosixPath(".pi-pareto-nas")
KNOWN_HOSTS = Path("~/.ssh/known_hosts")


_FORM = re.compile(
    r"ssh://(?:(?P<user>\w[\w.+\\$@-]*)@)?(?:\[(?P<ip>[0-9A-Fa-f:.]+(?:%(?:25)?(?P<zone>[\w.-]+))?)\]|(?P<name>\w[\w.%-]*))"
    r"(?::(?P<port>\d{1,5}))?/?",
)


@dataclass(frozen=True)
class BoardAddress:
    """Where a board is, as in `ssh://pi@raspberrypi.local:22`; what it omits is asked of `~/.ssh/config`."""

    user: str | None
    host: str
    """A host's name, its number, or an alias of the configuration, as the user typed it."""
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> BoardAddress:
        """An address from `ssh://HOST`, with `USER@` before the host or `:PORT` after it.

        Raises:
            ValueError: if it has another form.
        """
        found = _FORM.fullmatch(text)
        port = int(found["port"]) if found and found["port"] else None
        if found is None or not (port is None or 0 < port < 65536):
            raise ValueError(
                "a board's address must be ssh://HOST, ssh://USER@HOST or ssh://USER@HOST:PORT, but got "
                f"{shown(text)}: ssh://pi@raspberrypi.local, for example."
            )
        host = found["name"] or found["ip"]
        if found["zone"]:
            host = f"{host.partition('%')[0]}%{found['zone']}"
        return cls(found["user"], host, port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = f"{self.user}@" if self.user is not None else ""
        return f"ssh://{user}{host}" + (f":{self.port}" if self.port is not None else "")

    @property
    def name(self) -> str:
        """The name of the board in files, which have never had the usual port."""
        return str(replace(self, port=None) if self.port == 22 else self)

    @property
    def words(self) -> tuple[str, ...]:
        """The address as arguments of OpenSSH's programs."""
        port = () if self.port is None else ("-p", str(self.port))
        return *port, self.host if self.user is None else f"{self.user}@{self.host}"


@dataclass(frozen=True, kw_only=True, slots=True)
class SshOptions:
    """How to log in, and where things are on the board."""

    identity_file: Path | None = None
    """Private key, and no other; None tries those of the SSH agent and of the configuration."""
    known_hosts: Path | None = None
    """Host keys that are trusted; None asks the configuration for their files."""
    config: Path | None = None
    """OpenSSH client configuration; None reads those of user and system if there are any."""
    folder: PurePosixPath = BOARD_FOLDER
    """Folder on the board for agent, runtime and models; relative to the home directory."""
    python: str | None = None
    """Interpreter on the board; None takes that of the virtual environment that `scripts/setup_board.py` makes."""

    @classmethod
    def from_environment(cls) -> SshOptions:
        """Options from BOARD_IDENTITY_FILE, BOARD_KNOWN_HOSTS, BOARD_SSH_CONFIG, BOARD_FOLDER and BOARD_PYTHON.

        Raises:
            ValueError: if BOARD_KNOWN_HOSTS is there and names nothing, as in a script whose own variable is not set.
        """
        get = os.environ.get
        if not get("BOARD_KNOWN_HOSTS", "not set").strip():
            raise ValueError(
                "BOARD_KNOWN_HOSTS must name a file of host keys, but names nothing: name one, or unset it to trust "
                f"those of {KNOWN_HOSTS}."
            )
        identity_file, config = get("BOARD_IDENTITY_FILE"), get("BOARD_SSH_CONFIG")
        known_hosts = get("BOARD_KNOWN_HOSTS")
        return cls(
            identity_file=Path(identity_file) if identity_file else None,
            known_hosts=Path(known_hosts) if known_hosts else None,
            config=Path(config) if config else None,
            folder=PurePosixPath(get("BOARD_FOLDER") or BOARD_FOLDER),
            python=get("BOARD_PYTHON") or None,
        )

    @property
    def board_python(self) -> str:
        """The interpreter that runs the agent."""
        return self.python or str(self.folder / "venv" / "bin" / "python")
