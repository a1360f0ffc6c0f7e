"""A command as a process with all that it starts, and how it is killed. Start with `started`."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["group", "script", "worker", "raylet", "agent", "terminate", "interrupt"]
WORDS: Mapping[Kind, str] = {
    "group": "SIGKILL to all",
    "script": "SIGKILL to the script",
    "worker": "SIGKILL to a worker",
    "raylet": "SIGKILL to raylet",
    "agent": "SIGKILL to the agent",
    "terminate": "SIGTERM",
    "interrupt": "SIGINT to all",
}
MARK = "RESUMING_BENCHMARK"
"""Variable of the environment by which all processes of a command are known, whoever their parent is by now."""
RAY_WORKER = "ray::"


@dataclass(frozen=True)
class Running:
    """A command at work."""

    process: subprocess.Popen[bytes]
    log: Path
    """What it prints."""
    mark: str

    def text(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def has_ended(self) -> bool:
        """Whether the script itself has."""
        return self.process.poll() is not None

    def others(self) -> dict[int, str]:
        """Processes that it started and that are alive, with their command lines."""
        return {pid: line for pid, line in marked(self.mark).items() if pid != self.process.pid}

    def kill(self, kind: Kind) -> bool:
        """Kill it, or a part of it; returns whether there was such a part."""
        match kind:
            case "group":
                os.killpg(self.process.pid, signal.SIGKILL)
            case "script":
                os.kill(self.process.pid, signal.SIGKILL)
            case "terminate":
                os.kill(self.process.pid, signal.SIGTERM)
            case "interrupt":
                os.killpg(self.process.pid, signal.SIGINT)
            case _:
                return self._kill_part(_PARTS[kind])
        return True

    def _kill_part(self, is_part: Callable[[str], bool]) -> bool:
        found = [pid for pid, line in self.others().items() if is_part(line)]
        for pid in found[:1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return bool(found)

    def wait(self, seconds: float) -> int | None:
        """Exit status; None if it is still at work after so long."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(seconds)
        return None

    def left_over(self, seconds: float) -> dict[int, str]:
        """Processes that outlive the script by so long; they are ended then."""
        end = time.monotonic() + seconds
        while (left := self.others()) and time.monotonic() < end:
            time.sleep(0.2)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return left


_PARTS: Mapping[Kind, Callable[[str], bool]] = {
    "worker": lambda line: line.startswith(RAY_WORKER) and "IDLE" not in line,
    "raylet": lambda line: "/raylet/raylet " in line,
    "agent": lambda line: "agent.py" in line,
}


def started(argv: Sequence[str], *, folder: Path, log: Path, environment: Mapping[str, str]) -> Running:
    """A Python command in a session of its own.

    Args:
        argv: what comes after `python`.
        folder: where it runs.
        log: gets what it prints.
        environment: besides that of this process.
    """
    mark = uuid.uuid4().hex
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # As shells have it for what they run in the background; children would inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *argv],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment, MARK: mark, "COLUMNS": "200"},
            start_new_session=True,
        )
    return Running(process, log, mark)


def marked(mark: str) -> dict[int, str]:
    """Command lines of all live processes that have a mark in their environment as `MARK`, by their numbers."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            if state != "Z" and f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                found[int(entry.name)] = line.decode(errors="replace").strip()
    return found
