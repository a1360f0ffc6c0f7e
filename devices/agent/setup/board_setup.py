"""Makes a board ready to measure: checks it, installs the runtime, starts the agent. Start with `set_up_board`."""

from __future__ import annotations

import re
import shlex
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from devices.agent.endings import telling_line
from devices.agent.setup.board_facts import PROBE, SEARCHED, BoardFacts, in_sh
from devices.agent.setup.runtime_packages import (
    LITERT,
    REQUIREMENTS,
    WheelTarget,
    download_command,
    failure_of,
    fetch_wheels,
)
from devices.agent.ssh import SshDevice
from devices.agent.ssh_address import BoardAddress, SshOptions
from devices.agent.ssh_connection import SshConnection
from devices.agent.ssh_files import Finished
from devices.errors import BoardRefusedError
from devices.measurement import Board, MeasureSettings
from search_space.boundary.reading import local_path

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
FETCHING = "fetching the runtime here, as the board has no internet"
STEPS = ("connecting", "checking the board", "making a virtual environment", "installing the runtime")
LAST_STEP = "starting the agent"
IMPORTS_LITERT = ", ai_edge_litert.interpreter"


@dataclass(frozen=True, kw_only=True, slots=True)
class SetupReport:
    """A board that is ready."""

    board: Board
    facts: BoardFacts

    @property
    def warnings(self) -> tuple[str, ...]:
        """What does not prevent measuring, but should be known to the user."""
        return self.facts.warnings

    @property
    def summary(self) -> tuple[str, ...]:
        """What the board is and has, in a few lines."""
        board, facts = self.board, self.facts
        runtimes = ", ".join(filter(None, (board.runtime, board.litert)))
        clocks = f"{board.frequencies_mhz[0]} to {board.frequencies_mhz[-1]} MHz" if board.frequencies_mhz else "one"
        settable = "can be set" if facts.clock_settable else "cannot be set by this user (docs/boards.md, Clock)"
        return (
            f"system: {facts.system or board.os}, {board.machine or facts.machine}, Python "
            f"{'.'.join(map(str, facts.python or ('of your own',)))}, {runtimes}",
            f"processor: {board.cores or 'unknown'} cores; clock: {clocks}, {settable}",
            f"throttling: {'is seen' if board.throttling_visible else 'cannot be seen'}; temperature: "
            f"{'is seen' if board.temperature_visible else 'cannot be seen, so a hot board is not left to cool'}",
            f"meters: {facts.meters}",
        )


def set_up_board(
    address: BoardAddress,
    options: SshOptions,
    *,
    python: str | None = None,
    wheels: Path | None = None,
    litert: bool = False,
    on_step: Callable[[int, str], None] = lambda done, step: None,
) -> SetupReport:
    """Make a board ready to measure; running it again does no harm.

    Args:
        address: the board.
        options: how to log in, and the folder on the board; its `python` is not used.
        python: an interpreter on the board that has onnxruntime and numpy; None makes a virtual environment.
        wheels: folder with the wheels to install; None takes them from PyPI: the board itself if it has internet, else
            this machine, from which they are copied.
        litert: whether LiteRT is there besides.
        on_step: called with the number of steps done and the next one, of `STEPS` and `LAST_STEP`.

    Raises:
        BoardUnreachableError: if no board answers.
        BoardRefusedError: if it cannot be set up; the message says what to do.
        MeasurementError: if its disk is full or the agent does not work.
        ValueError: if `wheels` has none, or none of a package that is installed.
    """
    options = replace(options, python=None)
    requirements = (*REQUIREMENTS, LITERT) if litert else REQUIREMENTS
    files = _wheels_of(wheels, requirements)
    on_step(0, STEPS[0])
    connection = SshConnection.open(address, options)
    try:
        on_step(1, STEPS[1])
        interpreter = PurePosixPath(options.board_python)
        folder = interpreter.parents[2]
        probe = PROBE.replace("FOLDER", shlex.quote(str(folder)))
        facts = BoardFacts.parse(connection.command(in_sh(probe)).output)
        on_step(2, STEPS[2])
        if python is not None:
            _use_interpreter(connection, interpreter, python, litert=litert)
        elif not _has_runtime(connection, str(interpreter), litert=litert):
            facts.check()
            _check_wheels(files, facts, requirements)
            board = _Installer(connection, facts, interpreter, address, requirements)
            board.make_environment()
            on_step(3, STEPS[3])
            if not files and not board.reaches_index():
                on_step(3, FETCHING)
                board.install_fetched()
            else:
                board.install(files)
    finally:
        connection.close()
    on_step(4, LAST_STEP)
    with SshDevice(address, MeasureSettings(), options) as device:
        board_found = device.describe()
    on_step(5, "ready")
    return SetupReport(board=board_found, facts=facts)


def _wheels_of(folder: Path | None, requirements: tuple[str, ...]) -> list[Path]:
    files = [] if folder is None else sorted(local_path(folder).glob("*.whl"))
    if folder is not None and not files:
        raise ValueError(
            f"`--wheels` must name a folder with .whl files, but {folder} has none: fill it, for Python 3.11, with "
            f"`{download_command(folder, WheelTarget((3, 11), 'aarch64', requirements=requirements))}`."
        )
    return files


def _check_wheels(files: Sequence[Path], facts: BoardFacts, requirements: tuple[str, ...]) -> None:
    """Check that wheels are there for all that is installed, before what the board has is cleared.

    Raises:
        ValueError: if a package has none.
    """
    # As in the name of a wheel: `ai_edge_litert-2.3.0-cp311-...whl`.
    there = {file.name.partition("-")[0].lower() for file in files}
    names = [re.split("[<>=!~]", requirement)[0] for requirement in requirements]
    missing = [name for name in names if name.replace("-", "_") not in there]
    if files and missing:
        assert facts.python is not None
        folder = files[0].parent
        target = WheelTarget(facts.python, facts.machine, facts.glibc, requirements)
        raise ValueError(
            f"`--wheels` must name a folder with the wheels of {', '.join(names)}, but {folder} has none of "
            f"{', '.join(missing)}: fill it with `{download_command(folder, target)}`."
        )


def _has_runtime(connection: SshConnection, python: str, *, litert: bool) -> bool:
    code = "import onnxruntime, numpy, smbus2" + IMPORTS_LITERT * litert
    return connection.command(f"{shlex.quote(python)} -c {shlex.quote(code)}").code == 0


def _use_interpreter(connection: SshConnection, interpreter: PurePosixPath, python: str, *, litert: bool) -> None:
    """Put a script that calls another interpreter in the usual place of the interpreter."""
    tried = connection.command(f"{shlex.quote(python)} -c 'import onnxruntime, numpy{IMPORTS_LITERT * litert}'")
    if tried.code:
        raise BoardRefusedError(
            f"`--python` must name an interpreter with onnxruntime{', ai-edge-litert' * litert} and numpy, but "
            f"{python} said: {_telling(tried)}"
        )
    script = f'#!/bin/sh\nexec {shlex.quote(python)} "$@"\n'
    folder = shlex.quote(str(interpreter.parents[1]))
    _must(connection.command(f"rm -rf {folder}"), "remove the old virtual environment")
    connection.put(interpreter, script.encode())
    _must(connection.command(f"chmod 755 {shlex.quote(str(interpreter))}"), "use that interpreter")


class _Installer:
    """Makes a virtual environment on a board, and installs the runtime in it."""

    def __init__(
        self,
        connection: SshConnection,
        facts: BoardFacts,
        interpreter: PurePosixPath,
        address: BoardAddress,
        requirements: tuple[str, ...],
    ) -> None:
        self._requirements = requirements
        self._connection, self._facts, self._address = connection, facts, address
        self._interpreter, self._folder = interpreter, interpreter.parents[2]

    def make_environment(self) -> None:
        quoted = shlex.quote(str(self._interpreter.parents[1]))
        # What a link in its place leads to would be cleared.
        command = f"{{ [ ! -L {quoted} ] || rm {quoted}; }} && {self._facts.interpreter} -m venv --clear {quoted}"
        made = self._guarded(command)
        if made.code != 0:
            raise BoardRefusedError(f"the board could not make a virtual environment: {failure_of(made.output)}")

    def reaches_index(self) -> bool:
        """Whether the board's pip reaches its index, by the smallest package that is needed anyway.

        Raises:
            BoardRefusedError: if something else is wrong.
        """
        # Without a retry pip does not say what went wrong.
        tried = self._guarded(self._pip("--retries 1 --timeout 8", [REQUIREMENTS[-1]]))
        if tried.code == 0:
            return True
        failure = failure_of(tried.output, tried.code)
        # Any Python can have it: where there is no version of it, there is no index.
        if not failure.offline and "from versions: none" not in tried.output:
            raise BoardRefusedError(f"the board could not install the runtime: {failure}")
        return False

    def install_fetched(self) -> None:
        """Install wheels that are fetched by this machine.

        Raises:
            BoardRefusedError: if it cannot fetch them, or the board cannot install them.
        """
        assert self._facts.python is not None
        with tempfile.TemporaryDirectory(prefix="pi-pareto-nas-wheels-") as place:
            target = WheelTarget(self._facts.python, self._facts.machine, self._facts.glibc, self._requirements)
            reason = fetch_wheels(Path(place), target)
            if reason is not None:
                raise BoardRefusedError(
                    f"the board reaches no package index, and neither does this machine ({reason}): on one that does, "
                    f"run `{download_command(Path('wheels'), target)}`, then `python scripts/setup_board.py "
                    f"{self._address} --wheels wheels`."
                )
            self.install(sorted(Path(place).glob("*.whl")))

    def install(self, wheels: list[Path]) -> None:
        """Install the runtime from wheels, or from the index where there are none."""
        folder = self._folder / "wheels"
        for wheel in wheels:
            self._connection.put(folder / wheel.name, wheel.read_bytes(), INSTALL_SECONDS)
        source = f"--no-index --find-links {shlex.quote(str(folder))}" if wheels else ""
        done = self._guarded(self._pip(source, self._requirements))
        if wheels:
            _must(self._connection.command(f"rm -rf {shlex.quote(str(folder))}"), "remove the wheels")
        if done.code != 0:
            raise BoardRefusedError(f"the board could not install the runtime: {failure_of(done.output, done.code)}")

    def _pip(self, options: str, requirements: Sequence[str]) -> str:
        """A command of the board's pip: within its folder alone, whatever its user has told pip, and /tmp holds."""
        place = shlex.quote(str(self._folder / "tmp"))
        return (
            f"mkdir -p {place} && TMPDIR={place} PIP_USER=0 {shlex.quote(str(self._interpreter))} -m pip install "
            "--disable-pip-version-check --progress-bar off --no-input --no-cache-dir --no-compile "
            f"--only-binary=:all: {options} {shlex.join(requirements)}; code=$?; rm -rf {place}; exit $code"
        )

    def _guarded(self, command: str) -> Finished:
        return guarded(self._connection, command, python=self._facts.interpreter)


def guarded(connection: SshConnection, command: str, *, python: str = "python3") -> Finished:
    """Run a long command, which ends with this process and with the connection.

    Args:
        connection: to the board.
        command: for its `sh`.
        python: an interpreter there.
    """
    environment = "unset PYTHONPATH PYTHONHOME PIP_TARGET PIP_PREFIX PIP_REQUIRE_VIRTUALENV; LC_ALL=C; export LC_ALL; "
    script = f"{SEARCHED}{environment}exec {python} -c {shlex.quote(GUARD)} {shlex.quote(command)}"
    return connection.command(in_sh(script), INSTALL_SECONDS)


def _must(finished: Finished, what: str) -> Finished:
    if finished.code != 0:
        raise BoardRefusedError(f"the board could not {what}: {_telling(finished)}")
    return finished


def _telling(finished: Finished) -> str:
    return telling_line(finished.output) or f"code {finished.code}."
