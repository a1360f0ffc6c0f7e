"""What workers under Ray tell while they are at a job, kept until it is fetched; never more than a bound.

Loads nothing of the project: the process that has it stays small.
"""

from __future__ import annotations

from collections import deque

MOST_WAITING = 500
"""Messages that wait, of all workers; the oldest are dropped."""
LONGEST_MESSAGE = 64 * 1024
"""Bytes; Ray takes less than 100 KB with a call, and all else through its object store."""


class Collector:
    """Keeps messages until they are fetched."""

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque(maxlen=MOST_WAITING)

    def put(self, message: bytes) -> None:
        """Keep a message, unless it is too long."""
        if len(message) <= LONGEST_MESSAGE:
            self._waiting.append(message)

    def fetch(self) -> list[bytes]:
        """All that wait, in the order in which they came; they wait no longer."""
        messages = list(self._waiting)
        self._waiting.clear()
        return messages
