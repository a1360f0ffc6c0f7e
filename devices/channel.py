"""Requests to a running process and its replies, one JSON object a line, whatever carries the lines.

Start with `Channel.request`; a `ProcessChannel` leads to a process of this machine.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from devices.errors import MeasurementError

END_SECONDS = 2.0
"""Time that a process has to tidy up before it is killed."""


class DeclinedError(MeasurementError):
    """The peer is well, but did not do what it was asked."""


@dataclass(frozen=True)
class Peer:
    """Who is at the other end, for error messages."""

    name: str
    """As in `the agent`."""
    remedy: str
    """What to do when it does not answer in time, as an imperative."""


@dataclass(frozen=True)
class Reply:
    """One reply, whose fields are checked as they are read.

    All of these raise `MeasurementError` for a field that is missing or of another kind.
    """

    sender: str
    fields: Mapping[str, object]

    def text(self, key: str) -> str:
        """A field that must be a text."""
        value = self.fields.get(key)
        if not isinstance(value, str):
            raise self._broken(f"a text `{key}`", value)
        return value

    def number(self, key: str) -> float:
        """A field that must be a finite number."""
        return self._finite(key, self.fields.get(key))

    def optional_number(self, key: str) -> float | None:
        """A field that must be a finite number, or null or missing."""
        return None if self.fields.get(key) is None else self.number(key)

    def numbers(self, key: str) -> list[float]:
        """A field that must be a list of finite numbers."""
        values = self.fields.get(key)
        if not isinstance(values, list):
            raise self._broken(f"a list `{key}`", values)
        return [self._finite(key, value) for value in values]

    def part(self, key: str) -> Reply:
        """The fields of an object within; none if there is no such object."""
        value = self.fields.get(key)
        return Reply(self.sender, value if isinstance(value, dict) else {})

    def _finite(self, key: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self._broken(f"a finite number `{key}`", value)
        return float(value)

    def _broken(self, expected: str, value: object) -> MeasurementError:
        return MeasurementError(f"a reply of {self.sender} must have {expected}, but got {value!r}.")


class Channel(ABC):
    """One run of a peer. A subclass carries lines, and puts those that come back into `_lines`, None at their end."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._next_id = 0

    @property
    @abstractmethod
    def alive(self) -> bool:
        """Whether the peer still runs, as far as is known."""

    @abstractmethod
    def end(self) -> None:
        """End the peer with all that it started, and wait for that; ending twice does no harm."""

    @abstractmethod
    def _write(self, line: bytes) -> None:
        """Send a line.

        Raises:
            OSError: if the peer no longer takes it.
        """

    @abstractmethod
    def _crashed(self) -> MeasurementError:
        """Why the peer no longer answers."""

    @abstractmethod
    def _last_words(self) -> str | None:
        """The last line that the peer wrote to stderr; None where that is not known."""

    def request(self, command: str, timeout_seconds: float, **settings: object) -> Reply:
        """The reply to one request; lines that are not its reply are skipped.

        Raises:
            DeclinedError: if the peer answers that it could not do it.
            MeasurementError: if it ends or does not answer in time; the channel cannot be used any more then.
        """
        self._next_id += 1
        deadline = time.monotonic() + timeout_seconds
        request = {"id": self._next_id, "command": command, **settings}
        try:
            self._write(json.dumps(request).encode() + b"\n")
        except OSError:
            raise self._crashed() from None
        while (rest_seconds := deadline - time.monotonic()) > 0:
            try:
                line = self._lines.get(timeout=rest_seconds)
            except queue.Empty:
                break
            if line is None:
                raise self._crashed()
            fields = _parsed(line)
            if fields.get("id") == self._next_id:
                return self._accepted(command, fields)
        raise MeasurementError(
            f"{self._peer.name} must answer within {timeout_seconds:g} s, but did not: {self._peer.remedy}."
            f"{self._quoted_last_words()}"
        )

    def _accepted(self, command: str, fields: Mapping[str, object]) -> Reply:
        if fields.get("ok") is not True:
            reason = str(fields.get("error")).rstrip(".")
            raise DeclinedError(f"{self._peer.name} could not {command}: {reason}.")
        return Reply(self._peer.name, fields)

    def _quoted_last_words(self) -> str:
        """The end of a message: what the peer said last, if anything."""
        words = self._last_words()
        return f" Its last words: {words}" if words else ""


class ProcessChannel(Channel):
    """A process of this machine; the end of its stderr is quoted when it fails.

    It has a session of its own, so that Ctrl-C in a terminal does not reach it, and sees the end of its stdin when this
    process ends, however that happens.
    """

    def __init__(self, process: subprocess.Popen[bytes], stderr: IO[bytes], peer: Peer) -> None:
        super().__init__(peer)
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._stdin = process.stdin
        self._stderr = stderr
        self._reader = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)

    @classmethod
    def start(cls, command: Sequence[str], peer: Peer, *, folder: Path | None = None) -> ProcessChannel:
        """Start a process.

        Args:
            command: what to run.
            peer: who that is.
            folder: where to run it, by default in the current folder.

        Raises:
            MeasurementError: if it cannot be started.
        """
        # The process appends, so that it does not matter where the file was last read.
        stderr = tempfile.TemporaryFile("a+b")  # noqa: SIM115
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
            )
        except OSError as error:
            stderr.close()
            raise MeasurementError(f"{peer.name} could not be started with {command[0]!r}: {error}.") from error
        channel = cls(process, stderr, peer)
        channel._reader.start()
        return channel

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def end(self) -> None:
        """End the process with all that it started, and wait for it; ending twice does no harm."""
        if self.alive:
            os.killpg(self._process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(END_SECONDS)
        if self.alive:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        with contextlib.suppress(OSError):
            self._stdin.close()
        self._reader.join(timeout=1)
        self._stderr.close()

    def _write(self, line: bytes) -> None:
        self._stdin.write(line)
        self._stdin.flush()

    def _read(self, stdout: IO[bytes]) -> None:
        with stdout:
            for line in stdout:
                self._lines.put(line)
        self._lines.put(None)

    def _crashed(self) -> MeasurementError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=1)
        code = self._process.poll()
        return MeasurementError(f"{self._peer.name} ended with code {code}.{self._quoted_last_words()}")

    def _last_words(self) -> str | None:
        # The file is closed if another thread has ended the process.
        with contextlib.suppress(ValueError):
            self._stderr.seek(0)
            lines = self._stderr.read().decode(errors="replace").strip().splitlines()
            return lines[-1] if lines else None
        return None


def _parsed(line: bytes) -> dict[str, object]:
    """The JSON object of a line, or an empty one for a line that native code printed."""
    try:
        content = json.loads(line)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
