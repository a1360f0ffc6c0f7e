"""Makes a board ready to measure: checks it, installs the runtime, starts the agent. Start with `set_up_board`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from devices.agent.ssh import SshDevice
from devices.agent.ssh_address import BoardAddress, SshOptions
from devices.agent.ssh_connection import Finished, SshConnection
from devices.errors import BoardRefusedError
from devices.measurement import Board, MeasureSettings
from search_space.boundary.reading import local_path
from search_space.boundary.text import last_line, one_line, shown

REQUIREMENTS = ("onnxruntime>=1.18,!=1.21.0,<2", "numpy>=1.21,<3", "smbus2>=0.4")
"""What the board's Python gets; 1.18 is the first runtime that reads all our models. smbus2 is for meters on I2C.

1.21.0 dies of SIGILL on the processors of a Pi 3 and 4 (microsoft/onnxruntime#23957).
"""
LEAST_PYTHON = (3, 9)
LEAST_FREE_MB = 600
"""What the virtual environment, the packages and their download take, with room to spare."""
INSTALL_SECONDS = 1800.0
"""Time for the download of some 60 MB, unpacked on a slow SD card."""
GUARD = """
import os, select, signal, subprocess, sys, time
child = subprocess.Popen(["sh", "-c", sys.argv[1]], stdin=subprocess.DEVNULL, start_new_session=True)
def end(*signal_and_frame):
    os.killpg(child.pid, signal.SIGKILL)
    os._exit(1)
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, end)
heard_s = time.monotonic()
while child.poll() is None:
    if select.select([0], [], [], 0.2)[0]:
        heard_s = time.monotonic()
        os.read(0, 4096) or end()
    if time.monotonic() - heard_s > 10:
        end()
sys.exit(child.returncode if child.returncode >= 0 else 1)
"""
"""Runs a command on the board, and ends it with all that it started once nobody is there any more who waits for it."""
STEPS = ("connecting", "checking the board", "making a virtual environment", "installing the runtime")
LAST_STEP = "starting the agent"

PROBE = """
echo bits=$(getconf LONG_BIT 2>/dev/null || python3 -c 'import struct; print(8 * struct.calcsize("P"))')
echo machine=$(uname -m)
echo python=$(python3 -c 'import sys; print("%d %d" % sys.version_info[:2])' 2>/dev/null)
python3 -c 'import venv, ensurepip' 2>/dev/null && echo venv=yes
echo free_kb=$(df -Pk . | awk 'NR == 2 {print $4}')
test -e /dev/i2c-1 && echo i2c=yes
command -v vcgencmd >/dev/null && echo firmware=yes
flags=$(cat /sys/devices/platform/soc/soc:firmware/get_throttled 2>/dev/null || vcgencmd get_throttled 2>/dev/null)
echo throttled=$flags
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class BoardFacts:
    """What a board has before it is set up."""

    bits: int
    """32 or 64, of its programs: a 64-bit kernel may run 32-bit programs."""
    machine: str
    """Processor, as in `aarch64`."""
    python: tuple[int, int] | None
    """Version of its `python3`; None if it has none."""
    venv: bool
    """Whether it can make virtual environments."""
    free_mb: int | None
    """None if the board does not tell."""
    i2c: bool
    """Whether its I2C bus, for meters, is switched on."""
    firmware: bool
    """Whether it has the firmware of a Raspberry Pi."""
    throttled: int | None
    """The firmware's flags (`Conditions.throttled`); None if it has none, or this user may not ask it."""

    @classmethod
    def parse(cls, text: str) -> BoardFacts:
        """Facts from what `PROBE` prints.

        Raises:
            BoardRefusedError: if the board printed something else.
        """
        found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        try:
            version = tuple(int(part) for part in re.findall(r"\b\d{1,3}\b", found["python"][:40]))
            flags = re.fullmatch(r"(?:throttled=)?((?:0x)?[0-9a-fA-F]{1,8})", found.get("throttled", "").strip())
            free_kb = found.get("free_kb", "").strip()
            return cls(
                bits=int(found["bits"][:4]),
                machine=one_line(found["machine"], most=40),
                python=(version[0], version[1]) if version else None,
                venv="venv" in found,
                free_mb=int(free_kb) // 1024 if re.fullmatch(r"\d{1,18}", free_kb) else None,
                i2c="i2c" in found,
                firmware="firmware" in found,
                throttled=int(flags.group(1), 16) if flags else None,
            )
        except (KeyError, ValueError, IndexError):
            raise BoardRefusedError(
                f"a board must run Linux with a shell, but this one answered {shown(one_line(text))}."
            ) from None

    def check(self) -> None:
        """Check that the board can be set up.

        Raises:
            BoardRefusedError: if it cannot; the message says what to do.
        """
        if self.bits != 64:
            raise BoardRefusedError(
                f"a board must run a 64-bit system, but this one runs a {self.bits}-bit one ({self.machine}): "
                "there is no ONNX Runtime for it. Write Raspberry Pi OS Lite (64-bit) to its card (docs/boards.md)."
            )
        if self.machine not in ("aarch64", "x86_64"):
            raise BoardRefusedError(f"a board must be aarch64 or x86_64, but this one is {self.machine}.")
        if self.python is None or not self.venv:
            raise BoardRefusedError(
                "a board needs Python with venv, but this one lacks it: run `sudo apt-get update && sudo apt-get "
                "install -y python3 python3-venv` there."
            )
        if self.python < LEAST_PYTHON:
            raise BoardRefusedError(
                f"a board needs Python {LEAST_PYTHON[0]}.{LEAST_PYTHON[1]}, but this one has {self.python[0]}."
                f"{self.python[1]}: write a newer Raspberry Pi OS to its card (docs/boards.md)."
            )
        if self.free_mb is not None and self.free_mb < LEAST_FREE_MB:
            raise BoardRefusedError(
                f"a board needs {LEAST_FREE_MB} MB of free space, but this one has {self.free_mb}: make room, for "
                "example with `sudo apt-get clean`."
            )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What does not prevent measuring, but should be known to the user."""
        weak = "The supply has been too weak since the board was booted: use the one made for it (docs/boards.md)."
        bus = "I2C is off: for an INA219 or INA226, run `sudo raspi-config nonint do_i2c 0` on the board."
        blind = (
            "Throttling and a weak supply cannot be seen, as this user may not ask the firmware: run `sudo usermod -aG "
            "video $USER` on the board, and log in anew."
        )
        found = ((self.under_voltage, weak), (self.firmware and self.throttled is None, blind), (not self.i2c, bus))
        return tuple(warning for holds, warning in found if holds)

    @property
    def under_voltage(self) -> bool:
        """Whether its power supply is known to have been too weak at any time since it was booted."""
        return bool((self.throttled or 0) & 0x10001)


@dataclass(frozen=True)
class SetupReport:
    """A board that is ready."""

    board: Board
    warnings: tuple[str, ...]


def set_up_board(
    address: BoardAddress,
    options: SshOptions,
    *,
    python: str | None = None,
    wheels: Path | None = None,
    on_step: Callable[[int, str], None] = lambda done, step: None,
) -> SetupReport:
    """Make a board ready to measure; running it again does no harm.

    Args:
        address: the board.
        options: how to log in, and the folder on the board; its `python` is not used.
        python: an interpreter on the board that has onnxruntime and numpy; None makes a virtual environment.
        wheels: folder with the wheels to install, for a board without internet; None takes them from PyPI.
        on_step: called with the number of steps done and the next one, of `STEPS` and `LAST_STEP`.

    Raises:
        BoardUnreachableError: if no board answers.
        BoardRefusedError: if it cannot be set up; the message says what to do.
        MeasurementError: if its disk is full or the agent does not work.
        ValueError: if `wheels` has none.
    """
    options = replace(options, python=None)
    files = _wheels_of(wheels)
    on_step(0, STEPS[0])
    connection = SshConnection.open(address, options)
    try:
        on_step(1, STEPS[1])
        facts = BoardFacts.parse(_must(connection.command(f"sh -c {shlex.quote(PROBE)}"), "be checked").output)
        interpreter = PurePosixPath(options.board_python)
        on_step(2, STEPS[2])
        if python is not None:
            _use_interpreter(connection, interpreter, python)
        elif not _has_runtime(connection, str(interpreter)):
            facts.check()
            _make_environment(connection, interpreter.parents[1])
            on_step(3, STEPS[3])
            _install(connection, interpreter, files)
    finally:
        connection.close()
    on_step(4, LAST_STEP)
    with SshDevice(address, MeasureSettings(), options) as device:
        board = device.describe()
    on_step(5, "ready")
    return SetupReport(board, facts.warnings)


def _wheels_of(folder: Path | None) -> list[Path]:
    files = [] if folder is None else sorted(local_path(folder).glob("*.whl"))
    if folder is not None and not files:
        raise ValueError(
            f"`--wheels` must name a folder with .whl files, but {folder} has none: fill it with `pip download --dest "
            f"{folder} --only-binary=:all: --python-version 3.11 --platform manylinux_2_28_aarch64 onnxruntime smbus2`."
        )
    return files


def _has_runtime(connection: SshConnection, python: str) -> bool:
    code = "import onnxruntime, numpy, smbus2"
    return connection.command(f"{shlex.quote(python)} -c {shlex.quote(code)}").code == 0


def _use_interpreter(connection: SshConnection, interpreter: PurePosixPath, python: str) -> None:
    """Put a script that calls another interpreter in the usual place of the interpreter."""
    tried = connection.command(f"{shlex.quote(python)} -c 'import onnxruntime, numpy'")
    if tried.code:
        raise BoardRefusedError(
            f"`--python` must name an interpreter with onnxruntime and numpy, but {python} said: {_last_line(tried)}"
        )
    script = f'#!/bin/sh\nexec {shlex.quote(python)} "$@"\n'
    folder = shlex.quote(str(interpreter.parents[1]))
    _must(connection.command(f"rm -rf {folder}"), "remove the old virtual environment")
    connection.put(interpreter, script.encode())
    _must(connection.command(f"chmod 755 {shlex.quote(str(interpreter))}"), "use that interpreter")


def _make_environment(connection: SshConnection, folder: PurePosixPath) -> None:
    quoted = shlex.quote(str(folder))
    # What a link in its place leads to would be cleared.
    made = _guarded(connection, f"{{ [ ! -L {quoted} ] || rm {quoted}; }} && python3 -m venv --clear {quoted}")
    _must(made, "make a virtual environment")


def _install(connection: SshConnection, interpreter: PurePosixPath, wheels: list[Path]) -> None:
    command = f"{shlex.quote(str(interpreter))} -m pip install --quiet --disable-pip-version-check --only-binary=:all: "
    folder = interpreter.parents[2] / "wheels"
    for wheel in wheels:
        connection.put(folder / wheel.name, wheel.read_bytes(), INSTALL_SECONDS)
    if wheels:
        command += f"--no-index --find-links {shlex.quote(str(folder))} "
    _must(_guarded(connection, command + shlex.join(REQUIREMENTS)), "install the runtime")
    if wheels:
        _must(connection.command(f"rm -rf {shlex.quote(str(folder))}"), "remove the wheels")


def _guarded(connection: SshConnection, command: str) -> Finished:
    """A long command, which ends with this process and with the connection."""
    return connection.command(f"python3 -c {shlex.quote(GUARD)} {shlex.quote(command)}", INSTALL_SECONDS)


def _must(finished: Finished, what: str) -> Finished:
    if finished.code != 0:
        raise BoardRefusedError(f"the board could not {what}: {_last_line(finished)}")
    return finished


def _last_line(finished: Finished) -> str:
    return one_line(last_line(finished.output)) or f"code {finished.code}."
