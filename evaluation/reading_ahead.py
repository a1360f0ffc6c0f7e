"""One thing read while the one before it is worked with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

ItemT = TypeVar("ItemT")
FoundT = TypeVar("FoundT")


def ahead(find: Callable[[ItemT], FoundT], items: Iterable[ItemT]) -> Iterator[FoundT]:
    """Like `map`, but the next one is found by a thread meanwhile."""
    with ThreadPoolExecutor(1) as thread:
        waiting: Future[FoundT] | None = None
        for item in items:
            coming = thread.submit(find, item)
            if waiting is not None:
                yield waiting.result()
            waiting = coming
        if waiting is not None:
            yield waiting.result()
