"""What happens in a run as it happens: its events.jsonl from a place on, as Server-Sent Events, and its log.

The file alone is read: whoever writes it need not know. One look at it each half second serves all windows that show
a run, and none is taken where there is no window. Start with `event_stream`.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import stat
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from moo.page.searches.states import EVENTS, LONGEST_EVENT, RunState
from search_space.boundary.text import one_line

LOOK_SECONDS = 0.5
"""From one look at a file to the next."""
STATE_SECONDS = 2.0
"""From one look at whether a run goes on to the next."""
BEAT_SECONDS = 5.0
"""Silence after which a window is told that the connection is alive, and what time it is."""
MOST_BYTES = 2**18
"""That are read, and sent, at once."""
_HEAD = re.compile(rb'\{"at": [-+.0-9e]+, "kind": "(\w+)"')
_TEXT = rb'"((?:[^"\\]|\\.)*)"'
_PROGRESS = {
    b"time_estimated": re.compile(rb"()"),
    b"inner_search_progress": re.compile(rb'"trial": (\d+)'),
    b"stage_progress": re.compile(rb'"stage": ' + _TEXT),
    b"training_progress": re.compile(rb'"name": ' + _TEXT + rb', .*"epoch": null'),
}
"""Kinds of which the last on one and the same thing says what earlier ones say, and what the thing is."""
_POINTS = b', "front": ['
"""Begins the points of a front, which a line ends with, and which are asked for where they are shown."""


@dataclass(frozen=True)
class Batch:
    """Lines of a file, ready to be sent."""

    frames: bytes
    end: int
    """Place after them."""
    is_anew: bool = False
    """Whether the file was cut or replaced, so that what was sent before is no more."""


def read_batch(path: Path, place: int) -> Batch:
    """Lines from a place on, as Server-Sent Events whose ids are the places after them.

    Args:
        path: of the file, which need not be there.
        place: bytes that were read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return Batch(b"", 0, place > 0)
    try:
        found = os.fstat(handle)
        if found.st_size < place or not stat.S_ISREG(found.st_mode):
            return Batch(b"", 0, place > 0)
        content = os.pread(handle, MOST_BYTES, place)
    finally:
        os.close(handle)
    whole = content.rfind(b"\n") + 1
    if not whole and len(content) > LONGEST_EVENT:
        # No line of ours is as long.
        return Batch(b"", place + len(content))
    return Batch(b"".join(_frames(content[:whole], place)), place + whole)


def _frames(content: bytes, place: int) -> Iterator[bytes]:
    last: dict[bytes, int] = {}
    lines: list[tuple[bytes | None, bytes]] = []
    for line in content.splitlines(keepends=True):
        place += len(line)
        line = line.rstrip()
        if not (line.startswith(b"{") and line.endswith(b"}") and len(line) < LONGEST_EVENT):
            continue
        head = _HEAD.match(line)
        kind = head[1] if head else b""
        found = _PROGRESS[kind].search(line) if kind in _PROGRESS else None
        thing = None if found is None else kind + found[1]
        if thing is not None:
            last[thing] = len(lines)
        if kind == b"front_changed" and _POINTS in line:
            line = line[: line.index(_POINTS)] + b"}"
        lines.append((thing, b"id: %d\ndata: %s\n\n" % (place, line)))
    return (frame for number, (key, frame) in enumerate(lines) if key is None or last[key] == number)


class Tail:
    """Looks at a run for all windows that show it, as long as there is any."""

    def __init__(self, folder: Path, state: Callable[[], RunState], is_ending: Callable[[], bool]) -> None:
        self.path = folder / EVENTS
        self.changed = asyncio.Event()
        """Is set, and another takes its place, when there is anything new."""
        self.state: RunState | None = None
        self.is_over = False
        """Whether the server ends."""
        self._state, self._is_ending = state, is_ending
        self._windows = 0
        self._task: asyncio.Task[None] | None = None
        self._batch: tuple[int, Batch] | None = None

    def join(self) -> None:
        """A window begins to show the run."""
        self._windows += 1
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._look())

    def leave(self) -> bool:
        """A window has ended; returns whether it was the last."""
        self._windows -= 1
        if not self._windows and self._task is not None:
            self._task.cancel()
        return not self._windows

    async def batch(self, place: int) -> Batch:
        """Lines from a place on; windows that wait at the same place share them."""
        if self._batch is not None and self._batch[0] == place:
            return self._batch[1]
        found = await run_in_threadpool(read_batch, self.path, place)
        if found.end > place:
            self._batch = place, found
        return found

    def _state_now(self) -> RunState:
        try:
            return self._state()
        except (LookupError, OSError) as error:
            return RunState("unreadable", one_line(error.args[-1] if error.args else error))

    async def _look(self) -> None:
        stamp: tuple[int, ...] | None = None
        looked = -STATE_SECONDS
        while not self.is_over:
            self.is_over, now = self._is_ending(), time.monotonic()
            before, state = stamp, self.state
            stamp = _stamp(self.path)
            if now - looked >= STATE_SECONDS:
                looked, state = now, await run_in_threadpool(self._state_now)
            if stamp != before or state != self.state or self.is_over:
                if before is not None and stamp[:1] != before[:1]:
                    self._batch = None
                self.state = state
                told, self.changed = self.changed, asyncio.Event()
                told.set()
            await asyncio.sleep(LOOK_SECONDS)


def _beat() -> bytes:
    return b'event: beat\ndata: {"now": %.3f}\n\n' % time.time()


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        found = path.lstat()
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns


async def event_stream(tail: Tail, place: int) -> AsyncIterator[bytes]:
    """Frames for one window until it or the server ends: events, and `state` whenever that changes.

    Args:
        tail: of the run; the window has joined it.
        place: bytes that the window has had.
    """
    told: RunState | None = None
    spoke = time.monotonic()
    yield b"retry: 1000\n" + _beat()
    while not tail.is_over:
        changed = tail.changed
        batch = await tail.batch(place)
        frames = b"event: anew\ndata: {}\n\n" if batch.is_anew else batch.frames
        has_more, place = batch.end != place, batch.end
        if tail.state != told and tail.state is not None:
            told = tail.state
            frames += b"event: state\ndata: %s\n\n" % json.dumps({"state": told.state, "detail": told.detail}).encode()
        if not frames and time.monotonic() - spoke >= BEAT_SECONDS:
            frames = _beat()
        if frames:
            spoke = time.monotonic()
            yield frames
        if not has_more and not changed.is_set():
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(changed.wait(), max(0.1, BEAT_SECONDS - (time.monotonic() - spoke)))
