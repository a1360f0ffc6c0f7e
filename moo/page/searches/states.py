"""Whether a run is going on, has ended, was interrupted or failed, and why. Start with `state_of`.

That it goes on says the lock that its program holds; how its last command ended, the last line of its events.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from moo.page.searches.processes import Process
from moo.storage.run_folder import RunFolder
from moo.storage.search_state import SearchState, read_state
from search_space.boundary.reading import parse_json
from search_space.boundary.text import one_line

State = Literal["starting", "running", "ended", "interrupted", "failed", "unreadable"]
EVENTS = "events.jsonl"
LONGEST_EVENT = 2**14
"""Bytes of a line of events, its end included."""
MOST_KEPT = 4096
"""Runs whose state is kept in memory."""
_KILLED = "it ended without a word, as when it is killed or the power fails"


@dataclass(frozen=True)
class RunState:
    """Of a run as it is now."""

    state: State
    detail: str = ""
    """How far it came, what it does, or what went wrong; one line."""
    process: Process | None = None
    """That works on it."""

    @property
    def goes_on(self) -> bool:
        """Whether a program works on it."""
        return self.state in ("starting", "running")


def state_of(folder: RunFolder, holder: Process | None, begun: Process | None = None) -> RunState:
    """The state of a run; a damaged one says what is wrong.

    Args:
        folder: of the run.
        holder: the process that holds its lock.
        begun: one that was started for it and may not have come as far as the lock.
    """
    state = _search_state(folder, stamp_of(folder.config), stamp_of(folder.state), stamp_of(folder.front))
    if isinstance(state, str):
        return RunState("unreadable", state, holder)
    if holder is not None:
        work = holder.work
        return RunState("running", work if state.ended else f"{work}, {state.reached}", holder)
    if begun is not None:
        return RunState("starting", "getting ready" if state.ended else f"getting ready, {state.reached}", begun)
    last = _last_event(folder.path, stamp_of(folder.path / EVENTS))
    ending, reason = _ending(last)
    if state.ended:
        return RunState("ended", "" if ending == "finished" else f"its last command: {reason}" if ending else "")
    if ending == "failed":
        return RunState("failed", reason)
    return RunState("interrupted", f"{state.reached}; {reason or _KILLED}" if last else state.reached)


Stamp = tuple[int, int] | None


def stamp_of(path: Path) -> Stamp:
    """Differs where a file does."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=MOST_KEPT)
def _search_state(folder: RunFolder, *stamps: Stamp) -> SearchState | str:
    """How far a run came, or what is wrong with it; read again where a file has changed."""
    try:
        folder.read_settings()
        return read_state(folder)
    except (ValueError, OSError) as error:
        return one_line(error)


@lru_cache(maxsize=MOST_KEPT)
def _last_event(folder: Path, stamp: Stamp) -> dict[str, Any] | None:
    return last_event(folder)


def _ending(last: dict[str, Any] | None) -> tuple[str, str]:
    """How the last command ended, and why in words; nothing where it did not say so."""
    if last is None or last.get("kind") != "command_ended":
        return "", ""
    ending, reason = str(last.get("ending")), one_line(last.get("reason") or "")
    return ending, f"stopped by {reason}" if ending == "stopped" else reason


def last_event(folder: Path) -> dict[str, Any] | None:
    """The last whole line of a run's events; None where there is none."""
    content = tail_of(folder / EVENTS, 2 * LONGEST_EVENT)
    for line in reversed(content.splitlines()):
        with suppress(ValueError):
            found = parse_json(line)
            if isinstance(found, dict):
                return found
    return None


def tail_of(path: Path, most_bytes: int) -> bytes:
    """The last bytes of a regular file, through no link; nothing where there is none."""
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            size = os.fstat(handle).st_size
            return os.pread(handle, most_bytes, max(0, size - most_bytes))
        finally:
            os.close(handle)
    return b""
