"""Requests to a running process and its replies, one JSON object a line, whatever carries the lines.

Start with `Channel.request`; a `ProcessChannel` leads to a process of this machine. What a peer says is bounded: the
length of a line, the lines that wait to be read, what is no reply, and what is kept of its stderr.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import queue
import re
import secrets
import signal
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from devices.errors import MeasurementError
from search_space.boundary.reading import parse_json
from search_space.boundary.text import last_line, one_line, reason_of, shown

END_SECONDS = 2.0
"""Time that a process has to tidy up before it is killed."""
LONGEST_LINE = 2**18
"""Bytes of a line of a peer; the longest that is due, 500 samples of a meter, has a tenth of that."""
WAITING_LINES = 64
"""Lines that are kept until they are asked for; a peer that writes more has to wait."""
MOST_OTHER_BYTES = 2**23
"""What a peer may write beside its reply to one request, in bytes."""
LINE_BYTES = 2**10
"""What each of these lines counts besides its length, as many short ones take time, too."""
KEPT_STDERR = 2**13
"""Bytes of a peer's stderr that are kept: the last ones."""
LONGEST_TEXT = 200
"""Characters of a text of a peer, such as the name of a processor."""
LARGEST = 1e300
"""Of a number; sums and products of what is far larger than anything measured must not overflow."""
CHUNK = 2**16
PAUSE_SECONDS = 0.01
"""After a chunk that was full: a peer that writes without end gets a hundred of them a second."""


_ID = re.compile(rb'"id"\s*:\s*(\d{1,18})\b')


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
    seconds: float = math.inf
    """Between the request and this; a process cannot have been busy for longer."""

    def text(self, key: str) -> str:
        """A field that must be a text; it is made one line."""
        value = self.fields.get(key)
        if not isinstance(value, str):
            raise self.broken(f"a text `{key}`", value)
        return one_line(value, most=LONGEST_TEXT)

    def number(self, key: str) -> float:
        """A field that must be a finite number."""
        return self._finite(key, self.fields.get(key))

    def number_within(self, key: str, least: float, most: float, unit: str = "") -> float:
        """A field that must be a number in a range, whose ends are included.

        Args:
            key: of the field.
            least: of the range.
            most: of the range.
            unit: of both, for the message.
        """
        value = self.number(key)
        if not least <= value <= most:
            raise self.broken(f"a `{key}` from {least:g} to {most:g}{unit and ' '}{unit}", value)
        return value

    def whole_within(self, key: str, least: int, most: int) -> int:
        """A field that must be a whole number in a range, whose ends are included."""
        value = self.number_within(key, least, most)
        if value != int(value):
            raise self.broken(f"a whole number `{key}`", value)
        return int(value)

    def optional_number(self, key: str) -> float | None:
        """A field that must be a finite number, or null or missing."""
        return None if self.fields.get(key) is None else self.number(key)

    def plausible(self, key: str, least: float, most: float) -> float | None:
        """A field that may be unknown: None if it is missing, no number, or out of a range, as of a broken sensor."""
        value = self.fields.get(key)
        sound = isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
        return float(value) if sound and isinstance(value, int | float) else None

    def numbers(self, key: str) -> list[float]:
        """A field that must be a list of finite numbers."""
        values = self.fields.get(key)
        if not isinstance(values, list):
            raise self.broken(f"a list `{key}`", values)
        return [self._finite(key, value) for value in values]

    def part(self, key: str) -> Reply:
        """The fields of an object within; none if there is no such object."""
        value = self.fields.get(key)
        return Reply(self.sender, value if isinstance(value, dict) else {}, self.seconds)

    def broken(self, expected: str, value: object) -> MeasurementError:
        """What is wrong with this reply.

        Args:
            expected: what it must have.
            value: what it has instead.
        """
        return MeasurementError(f"a reply of {self.sender} must have {expected}, but got {shown(value)}.")

    def _finite(self, key: str, value: object) -> float:
        # No float is made of a whole number that is too large for one.
        sound = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST
        if not sound or not isinstance(value, int | float):
            raise self.broken(f"a finite number `{key}`", value)
        return float(value)


class LineReader:
    """Cuts what arrives into lines."""

    def __init__(self) -> None:
        self._rest = b""

    def lines_of(self, chunk: bytes) -> list[bytes]:
        """The lines that a chunk completes.

        Raises:
            ValueError: if a line is too long.
        """
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        if max(map(len, [*whole, self._rest])) > LONGEST_LINE:
            raise ValueError(f"a line must have at most {LONGEST_LINE:,} bytes")
        return whole


class Channel(ABC):
    """One run of a peer. A subclass carries lines, and hands on those that come back, None at their end."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._lines: queue.Queue[bytes | None] = queue.Queue(maxsize=WAITING_LINES)
        self._fault: str | None = None
        self._over = threading.Event()
        self._reader = LineReader()

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

        Each request has a number that cannot be guessed, so that no reply comes before its request.

        Raises:
            DeclinedError: if the peer answers that it could not do it.
            MeasurementError: if it ends, does not answer in time, or says too much or something that is no sound reply;
                the channel cannot be used any more then.
        """
        number = secrets.randbits(48)
        asked_s, others = time.monotonic(), 0
        deadline = asked_s + timeout_seconds
        request = {"id": number, "command": command, **settings}
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
                raise self._crashed() if self._fault is None else self._unsound(self._fault)
            fields = self._fields_of(line, number)
            if type(fields.get("id")) is int and fields["id"] == number:
                return self._accepted(command, fields, time.monotonic() - asked_s)
            others += len(line) + LINE_BYTES
            if others > MOST_OTHER_BYTES:
                raise self._unsound("it writes without end what is no reply")
        raise MeasurementError(
            f"{self._peer.name} must answer within {timeout_seconds:g} s, but did not: {self._peer.remedy}."
            f"{self._quoted_last_words()}"
        )

    def _lines_of(self, chunk: bytes) -> list[bytes | None]:
        """The lines that a chunk completes, to be handed on; None after what ends them, which a line too long does."""
        if not chunk:
            return [None]
        try:
            return [*self._reader.lines_of(chunk)]
        except ValueError as error:
            self._fault = str(error)
            return [None]

    def _handed_on(self, line: bytes | None) -> bool:
        """Whether there was room for one more line; also once nobody reads them any more."""
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            return self._over.is_set()
        return True

    def _fields_of(self, line: bytes, number: int) -> Mapping[str, object]:
        """The fields of a line; none of one that native code printed."""
        try:
            content = parse_json(line)
        except ValueError as error:
            found = _ID.search(line)
            if found is not None and int(found.group(1)) == number:
                raise self._unsound(reason_of(error)) from None
            return {}
        return content if isinstance(content, dict) else {}

    def _unsound(self, reason: str) -> MeasurementError:
        return MeasurementError(f"{self._peer.name} must send sound replies, but does not: {reason}.")

    def _accepted(self, command: str, fields: Mapping[str, object], seconds: float) -> Reply:
        if fields.get("ok") is not True:
            reason = one_line(fields.get("error")).rstrip(".")
            raise DeclinedError(f"{self._peer.name} could not {command}: {reason}.")
        return Reply(self._peer.name, fields, seconds)

    def _quoted_last_words(self) -> str:
        """The end of a message: what the peer said last, if anything."""
        words = one_line(self._last_words() or "")
        return f" Its last words: {words}" if words else ""


class ProcessChannel(Channel):
    """A process of this machine; the end of its stderr is quoted when it fails.

    It has a session of its own, so that Ctrl-C in a terminal does not reach it, and sees the end of its stdin when this
    process ends, however that happens.
    """

    def __init__(self, process: subprocess.Popen[bytes], peer: Peer) -> None:
        super().__init__(peer)
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self._stdin = process.stdin
        self._stderr = b""
        self._threads = [
            threading.Thread(target=self._read, args=(process.stdout,), daemon=True),
            threading.Thread(target=self._read_stderr, args=(process.stderr,), daemon=True),
        ]

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
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise MeasurementError(f"{peer.name} could not be started with {command[0]!r}: {error}.") from error
        channel = cls(process, peer)
        for thread in channel._threads:
            thread.start()
        return channel

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.returncode is None and _end_of(self._process.pid) is None

    def end(self) -> None:
        """End the process with all that it started, and wait for it; ending twice does no harm."""
        self._over.set()
        if self._process.returncode is None:
            # The process is waited for at the very end: until then its number stays that of its group.
            pid = self._process.pid
            self._signal(signal.SIGTERM)
            deadline = time.monotonic() + END_SECONDS
            while _end_of(pid) is None and time.monotonic() < deadline:
                time.sleep(PAUSE_SECONDS)
            self._signal(signal.SIGKILL)
            self._process.wait()
        with contextlib.suppress(OSError):
            self._stdin.close()
        for thread in self._threads:
            thread.join(timeout=1)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _write(self, line: bytes) -> None:
        self._stdin.write(line)

    def _read(self, stdout: IO[bytes]) -> None:
        with stdout:
            while True:
                for line in self._lines_of(_chunk_of(stdout)):
                    while not self._handed_on(line):
                        time.sleep(PAUSE_SECONDS)
                    if line is None:
                        return

    def _read_stderr(self, stderr: IO[bytes]) -> None:
        with stderr:
            while chunk := _chunk_of(stderr):
                self._stderr = (self._stderr + chunk)[-KEPT_STDERR:]

    def _crashed(self) -> MeasurementError:
        deadline = time.monotonic() + 1
        while (code := _end_of(self._process.pid)) is None and time.monotonic() < deadline:
            time.sleep(PAUSE_SECONDS)
        if self._process.returncode is not None:
            code = self._process.returncode
        # What it said last may still be on its way.
        self._threads[1].join(timeout=0.5)
        return MeasurementError(f"{self._peer.name} ended with code {code}.{self._quoted_last_words()}")

    def _last_words(self) -> str | None:
        return last_line(self._stderr.decode("utf-8", "replace"))


def _chunk_of(stream: IO[bytes]) -> bytes:
    """What has arrived; nothing at the end, or once the stream is closed."""
    try:
        chunk = stream.read(CHUNK)
    except (OSError, ValueError):
        return b""
    if len(chunk) == CHUNK:
        time.sleep(PAUSE_SECONDS)
    return chunk


def _end_of(pid: int) -> int | None:
    """The code that a child ended with, or minus its signal, without waiting for it; None while it runs."""
    try:
        found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0
    if found is None:
        return None
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
