"""The file of a run's events, `events.jsonl`: one JSON object a line, written by one process and read by any.

A line has `at` (seconds since 1970), `kind`, and figures and names that go with it. Start with `EventFile` to write and
with `EventReader` to follow it; `moo.event_log` says what is in a line.
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search_space.boundary.reading import parse_json

LONGEST_LINE = 2**14
"""Bytes of a line, its end included."""
MOST_BYTES = 2**22
"""That one call of `EventReader.new` reads."""
_CUTS = ((4000, 400), (1000, 100), (200, 20))
"""Characters of a text and items of a list that are left of a line that is too long, tried in turn."""
_HEAD = 64
"""Bytes at the beginning of a file by which another one in its place is known: the first line has its time there."""
_OPTIONS = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


@dataclass(frozen=True)
class StoredEvent:
    """A line of the file."""

    at: float
    """When it happened, in seconds since 1970."""
    kind: str
    figures: Mapping[str, Any]
    """What goes with it: plain values."""


class EventFile:
    """Appends lines to a run's file, through no link. What cannot be written is left out: the file is a help."""

    def __init__(self, path: Path) -> None:
        """Open the file, which is made if need be.

        Args:
            path: of the file (`RunFolder.events`).
        """
        self._handle: int | None = None
        self._is_torn = False
        with suppress(OSError):
            handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | _OPTIONS, 0o644)
            found = os.fstat(handle)
            # A pipe or a device, or a file that has another name elsewhere, is none of ours.
            if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
                os.close(handle)
                return
            self._handle = handle
            self._mend(found.st_size)

    @property
    def is_open(self) -> bool:
        """Whether lines are written."""
        return self._handle is not None

    def append(self, at: float, kind: str, figures: Mapping[str, Any]) -> None:
        """Write one line.

        Args:
            at: when it happened, in seconds since 1970.
            kind: of event.
            figures: what goes with it: plain values; numbers that are none become null.
        """
        if self._handle is None:
            return
        line = line_of(at, kind, figures)
        with suppress(OSError):
            content = (b"\n" if self._is_torn else b"") + line
            self._is_torn = os.write(self._handle, content) < len(content)

    def close(self) -> None:
        """Close the file."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _mend(self, size: int) -> None:
        """Take a last line away that a killed writer left without its end, or end it where it is none of ours."""
        assert self._handle is not None
        tail = os.pread(self._handle, LONGEST_LINE, max(0, size - LONGEST_LINE))
        torn = len(tail) - (tail.rfind(b"\n") + 1)
        if torn and (torn < len(tail) or torn == size):
            os.ftruncate(self._handle, size - torn)
        elif torn:
            self._is_torn = True


def line_of(at: float, kind: str, figures: Mapping[str, Any]) -> bytes:
    """A line of the file, of at most `LONGEST_LINE` bytes; texts and lists are cut where it would be longer."""
    head: dict[str, Any] = {"at": round(at, 6), "kind": kind}
    for most_letters, most_items in ((LONGEST_LINE, LONGEST_LINE), *_CUTS):
        plain = _plain(figures, most_letters, most_items)
        line = json.dumps(head | plain, ensure_ascii=False, allow_nan=False).encode(errors="replace") + b"\n"
        if len(line) <= LONGEST_LINE:
            return line
    return json.dumps(head | {"cut": True}).encode() + b"\n"


def _plain(value: Any, letters: int, items: int) -> Any:
    match value:
        case str():
            return value if len(value) <= letters else f"{value[: letters - 1]}…"
        case bool() | int() | None:
            return value
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(key): _plain(one, letters, items) for key, one in value.items()}
        case _:
            return [_plain(one, letters, items) for one in list(value)[:items]]


class EventReader:
    """Follows a run's file: each call returns the lines that have been added.

    What is no line of ours is left out and counted in `damaged`; a last line without its end is waited for.
    """

    def __init__(self, path: Path) -> None:
        """Read nothing yet.

        Args:
            path: of the file, which need not be there yet.
        """
        self.damaged = 0
        """Lines so far that were none of ours."""
        self.place = 0
        """Bytes that were read."""
        self._path = path
        self._head = b""
        self._skips = False

    def new(self, *, most_bytes: int = MOST_BYTES) -> list[StoredEvent]:
        """Lines since the last call, oldest first; where the file was cut off or replaced, from its beginning.

        Args:
            most_bytes: that are read; the next call goes on from there.
        """
        content = self._more(max(most_bytes, 2 * LONGEST_LINE))
        end = content.rfind(b"\n") + 1
        if not end and len(content) > LONGEST_LINE:
            # No line of ours is as long, so its rest is none either.
            self.damaged += not self._skips
            self._skips = True
            self.place += len(content)
            return []
        self.place += end
        lines = content[:end].split(b"\n")[:-1]
        if lines and self._skips:
            self._skips = False
            del lines[0]
        return [event for line in lines if (event := self._event(line)) is not None]

    def _more(self, most: int) -> bytes:
        try:
            handle = os.open(self._path, os.O_RDONLY | _OPTIONS)
        except OSError:
            return b""
        try:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                return b""
            head = os.pread(handle, _HEAD, 0)
            if found.st_size < self.place or not head.startswith(self._head):
                self.place, self._skips = 0, False
            content = os.pread(handle, most, self.place)
            # A last line without its end may be mended.
            self._head = head[: self.place + content.rfind(b"\n") + 1]
            return content
        except OSError:
            return b""
        finally:
            os.close(handle)

    def _event(self, line: bytes) -> StoredEvent | None:
        try:
            if len(line) > LONGEST_LINE:
                raise ValueError("too long")
            content = parse_json(line)
            at, kind = content.pop("at"), content.pop("kind")
            if isinstance(at, bool) or not isinstance(at, int | float) or not isinstance(kind, str):
                raise ValueError("no time or no kind")
        except (ValueError, AttributeError, KeyError, TypeError):
            self.damaged += bool(line.strip())
            return None
        return StoredEvent(float(at), kind, content)
