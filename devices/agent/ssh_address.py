"""Where a board is, and how to log in there over SSH."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from search_space.boundary.text import shown

BOARD_FOLDER = PurePosixPath(".pi-pareto-nas")
KNOWN_HOSTS = Path("~/.ssh/known_hosts")


@dataclass(frozen=True)
class BoardAddress:
    """Where a board is, as in `ssh://pi@raspberrypi.local:22`."""

    user: str
    host: str
    port: int = 22

    @classmethod
    def parse(cls, text: str) -> BoardAddress:
        """An address from `ssh://USER@HOST` or `ssh://USER@HOST:PORT`.

        Raises:
            ValueError: if it has another form.
        """
        try:
            parts = urlsplit(text)
            user, host, port = parts.username, parts.hostname, 22 if parts.port is None else parts.port
        except ValueError:
            user = host = port = None
        if (
            not (user and host and port)
            or not re.fullmatch(r"\w[\w.-]*@[\w.:%-]+", f"{user}@{host}")
            or parts != parts._replace(scheme="ssh", path="/" if parts.path else "", query="", fragment="")
            or parts.password is not None
        ):
            raise ValueError(
                f"a board's address must be ssh://USER@HOST or ssh://USER@HOST:PORT, but got {shown(text)}: "
                "ssh://pi@raspberrypi.local, for example."
            )
        return cls(user, host, port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ssh://{self.user}@{host}" + (f":{self.port}" if self.port != 22 else "")

    @property
    def port_option(self) -> str:
        """The `-p PORT ` of OpenSSH's programs, or nothing for the usual port."""
        return f"-p {self.port} " if self.port != 22 else ""

    @property
    def known_hosts_name(self) -> str:
        """The name of the host in OpenSSH's `known_hosts`."""
        return f"[{self.host}]:{self.port}" if self.port != 22 else self.host


@dataclass(frozen=True, kw_only=True, slots=True)
class SshOptions:
    """How to log in, and where things are on the board."""

    identity_file: Path | None = None
    """Private key; None tries those of the SSH agent and of ~/.ssh."""
    known_hosts: Path = KNOWN_HOSTS
    """Host keys that are trusted."""
    config: Path | None = None
    """OpenSSH client configuration; None reads ~/.ssh/config if there is one."""
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
        return cls(
            identity_file=Path(identity_file) if identity_file else None,
            known_hosts=Path(get("BOARD_KNOWN_HOSTS") or KNOWN_HOSTS),
            config=Path(config) if config else None,
            folder=PurePosixPath(get("BOARD_FOLDER") or BOARD_FOLDER),
            python=get("BOARD_PYTHON") or None,
        )

    @property
    def board_python(self) -> str:
        """The interpreter that runs the agent."""
        return self.python or str(self.folder / "venv" / "bin" / "python")
