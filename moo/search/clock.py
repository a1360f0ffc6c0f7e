"""The time that a search may take, over interruptions."""

from __future__ import annotations

import time


class Clock:
    """Runs from when it is made."""

    def __init__(self, seconds: float | None, *, used: float = 0.0) -> None:
        """Start.

        Args:
            seconds: the time that there is; None for no end.
            used: seconds of it that were used before an interruption.
        """
        self._start = time.monotonic()
        self._left = None if seconds is None else seconds - used

    @property
    def seconds(self) -> float:
        """Since it was made."""
        return time.monotonic() - self._start

    @property
    def is_over(self) -> bool:
        """Whether the time is used up."""
        return self._left is not None and self.seconds >= self._left
