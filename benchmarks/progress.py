"""Progress bars of benchmarks that take minutes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, TaskID

Show = Callable[[str, float, float], None]
"""Called with what is being done, how much of it is done, and how much there is in all."""


@contextmanager
def progress_bars() -> Iterator[Show]:
    """A bar on stderr for each kind of work, which vanishes at the end."""
    bars: dict[str, TaskID] = {}
    with Progress(transient=True, console=Console(stderr=True)) as progress:

        def show(what: str, done: float, total: float) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what)
            progress.update(bars[what], completed=done, total=total)

        yield show
