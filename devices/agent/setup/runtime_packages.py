"""The packages that a board gets: which, as wheels for another machine, and what pip says where they cannot be had."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from devices.agent.endings import telling_line
from devices.measurement import LITERT_REQUIREMENT
from search_space.boundary.text import command_line, one_line

REQUIREMENTS = ("onnxruntime>=1.18,!=1.21.0,<2", "numpy>=1.21,<3", "smbus2>=0.4")
"""What the board's Python gets; 1.18 is the first runtime that reads all our models. smbus2, the smallest, is for
meters on I2C.

1.21.0 dies of SIGILL on the processors of a Pi 3 and 4 (microsoft/onnxruntime#23957).
"""
LITERT = LITERT_REQUIREMENT
"""What it gets besides for LiteRT."""
GLIBC_OF_WHEELS = (34, 31, 28, 27, 17)
"""Minor versions of glibc 2 that wheels are made for, latest first; pip takes no older ones by itself."""
FETCH_SECONDS = 900.0
REMEDIES = (
    (
        "No space left on device|Errno 28",
        "its disk is full: see `df -h` there, make room, for example with `sudo apt-get clean`",
    ),
    ("Disk quota exceeded|Errno 122", "the quota of its user is used up: make room, or choose another BOARD_FOLDER"),
    ("Read-only file system|Errno 30", "its file system is read-only: see `dmesg` there; a worn card ends like this"),
    (
        "not yet valid|CERTIFICATE_VERIFY_FAILED|certificate has expired",
        "its clock is wrong, most likely, so that no certificate is valid: see `date` there, and set it with "
        "`sudo timedatectl set-ntp true` or `sudo date -s ...`",
    ),
    (
        "No matching distribution found|from versions: none",
        "there is no wheel of this package for its Python and system: Python 3.9 to 3.14 on 64-bit Debian, Raspberry "
        "Pi OS or Ubuntu have them",
    ),
    ("MemoryError|Killed", "it has run out of memory: end other programs there, or add swap"),
    ("ensurepip", "its Python cannot make virtual environments: run `sudo apt-get install -y python3-venv` there"),
)
"""What pip or venv say, as a pattern, and what that means."""
OFFLINE = re.compile(
    r"name resolution|Name or service not known|Network is unreachable|No route to host|NewConnectionError"
    r"|ConnectTimeout|timed out|Connection refused|ProxyError|NameResolutionError|No address associated",
)


@dataclass(frozen=True)
class WheelTarget:
    """What wheels are for."""

    python: tuple[int, int]
    machine: str
    """Kind of processor."""
    glibc: int | None = None
    """Minor version of its glibc 2; None for that of Debian 10."""
    requirements: tuple[str, ...] = REQUIREMENTS
    """Packages that are needed."""


@dataclass(frozen=True, kw_only=True)
class InstallFailure:
    """Why packages could not be installed."""

    offline: bool
    """Whether the network, or a server in it, was not reached."""
    words: str
    """What was said, and what to do, as a sentence."""

    def __str__(self) -> str:
        return self.words


def failure_of(output: str, code: int | None = 1) -> InstallFailure:
    """Why pip or venv failed.

    Args:
        output: all that it wrote.
        code: that it ended with; None where a signal ended it.
    """
    errors = [line.partition("ERROR:")[2].strip() for line in output.splitlines() if "ERROR:" in line]
    said = one_line(" ".join(errors[:2])) or telling_line(output) or f"it ended with code {code}"
    offline = OFFLINE.search(output)
    if offline is not None and "CERTIFICATE_VERIFY_FAILED" not in output:
        words = f"{said.rstrip('.')} ({offline.group()}: it reaches no package index)."
        return InstallFailure(offline=True, words=words)
    everything = f"{output}\nKilled" if code in (None, 137, -9) else output
    remedy = next((remedy for pattern, remedy in REMEDIES if re.search(pattern, everything)), None)
    return InstallFailure(offline=False, words=f"{said.rstrip('.')}{': ' if remedy else ''}{remedy or ''}.")


def download_command(folder: Path, target: WheelTarget) -> str:
    """The command that fetches the wheels of a board elsewhere, into a folder."""
    return command_line(["pip", *_download(folder, target)])


def fetch_wheels(folder: Path, target: WheelTarget) -> str | None:
    """Fetch the wheels of a board with this machine's pip, into a folder; the reason if that fails."""
    command = [sys.executable, "-m", "pip", *_download(folder, target), "--disable-pip-version-check", "--quiet"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=FETCH_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return one_line(error)
    return None if done.returncode == 0 else str(failure_of(done.stderr + done.stdout)).rstrip(".")


def _download(folder: Path, target: WheelTarget) -> list[str]:
    """Arguments of pip; it does not widen tags, so each that a wheel may bear is named."""
    tags = [f"manylinux_2_{minor}" for minor in GLIBC_OF_WHEELS if minor <= (target.glibc or 28)]
    platforms = [word for tag in (*tags, "manylinux2014") for word in ("--platform", f"{tag}_{target.machine}")]
    version = ".".join(map(str, target.python))
    options = ["--only-binary=:all:", "--implementation", "cp", "--python-version", version, *platforms]
    return ["download", "--dest", str(folder), *options, *target.requirements]
