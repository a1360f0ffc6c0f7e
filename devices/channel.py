"""Requests to a running agent and its replies, whatever carries its lines."""

from __future__ import annotations

import json
import queue
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping

from devices.errors import MeasurementError


class Channel(ABC):
    """One run of the agent. A subclass carries lines, and puts what the agent writes into `_lines`, None at its end."""

    def __init__(self) -> None:
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._next_id = 0

    @property
    @abstractmethod
    def alive(self) -> bool:
        """Whether it still runs, as far as is known."""

    @abstractmethod
    def end(self) -> None:
        """End the agent with all that it started, and wait for that; ending twice does no harm."""

    @abstractmethod
    def _write(self, line: bytes) -> None:
        """Send a line.

        Raises:
            OSError: if the agent does not take it any more.
        """

    @abstractmethod
    def _crashed(self) -> MeasurementError:
        """Why the agent does not answer any more."""

    @abstractmethod
    def _last_words(self) -> str:
        """The last line that the agent wrote to stderr, or an empty text."""

    def request(self, request: Mapping[str, object], timeout_seconds: float) -> Mapping[str, object]:
        """The reply to one request; lines that are no reply to it are skipped.

        Raises:
            MeasurementError: if the agent ends or does not answer in time; it cannot be used any more then.
        """
        self._next_id += 1
        deadline = time.monotonic() + timeout_seconds
        try:
            self._write(json.dumps({"id": self._next_id, **request}).encode() + b"\n")
        except OSError:
            raise self._crashed() from None
        while (rest_seconds := deadline - time.monotonic()) > 0:
            try:
                line = self._lines.get(timeout=rest_seconds)
            except queue.Empty:
                break
            if line is None:
                raise self._crashed()
            reply = _parsed(line)
            if reply.get("id") == self._next_id:
                return reply
        raise MeasurementError(
            f"the agent must answer within {timeout_seconds:g} s, but did not: raise `timeout_seconds`, or take a "
            f"smaller network.{quoted(self._last_words())}"
        )


def quoted(last_words: str) -> str:
    """The end of a message: what the agent said last, if anything."""
    return f" Its last words: {last_words}" if last_words else ""


def _parsed(line: bytes) -> dict[str, object]:
    """The JSON object of a line, or an empty one for a line that native code printed."""
    try:
        content = json.loads(line)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
