"""A front as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from devices.configuration import Precision
from devices.measurement import Source
from moo.analysis.comparison import compared
from moo.analysis.recipes import mixture
from moo.formatting import percent, short
from moo.storage.archive import Archive, Entry
from moo.storage.trained_network import TrainedNetwork

_STYLES = {"measured": "green", "modelled": "yellow", "published": "cyan"}


def front_table(archive: Archive) -> Table:
    """One row a network of the front, best accuracy first, with the source beside each cost.

    Args:
        archive: whose front it is. Errors after training are those of the files in its precision.
    """
    front = archive.front()
    trained = [entry.trained for entry in front if entry.trained is not None]
    tested = any(entry.test_error is not None for entry in front)
    errors: tuple[str, ...] = ("error", "test error") if tested else ("error",)
    title = f"Pareto front: {len(front)} network{'s' * (len(front) != 1)}"
    if trained:
        errors = ("inherited", "trained", "test")
        title += f"\nerrors with inherited weights, after training ({archive.precision} file), on the test split"
    table = Table(box=box.SIMPLE_HEAD, title=title, caption=mixture(trained) or None)
    longest = max((len(entry.architecture.id) for entry in front), default=0)
    table.add_column("network", no_wrap=True, min_width=longest)
    for name in errors:
        table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    # Where the terminal is narrow, a cost's source goes below it.
    for name in ("latency", "energy"):
        table.add_column(name, justify="right")
    for entry in front:
        costs = archive.costs(entry)
        untrained = (_percent(entry.error), _percent(entry.test_error))
        table.add_row(
            entry.architecture.id,
            *(_errors(entry, archive.precision) if trained else untrained)[: len(errors)],
            _with_source(costs.latency_ms, "ms", costs.latency_source),
            _with_source(costs.energy_mj, "mJ", costs.energy_source),
        )
    return table


def baselines_table(baselines: Sequence[TrainedNetwork], archive: Archive) -> Table:
    """One row a baseline, with the front's most accurate network that is no slower, and how much better it is.

    Args:
        baselines: trained networks, measured or not.
        archive: whose front they are compared with.
    """
    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"Baselines, and the front at no more than their latency ({archive.precision} files)\n"
        "error on the selection split, top-1 and its gain in points on the test split",
    )
    if not archive.is_retrained:
        table.caption = "They are compared with the front when all of its networks are trained too."
    table.add_column("baseline", no_wrap=True, min_width=max((len(item.name) for item in baselines), default=0))
    for name, width in (("error", 7), ("top-1", 7), ("latency", 0), ("front", 8), ("gain", 6)):
        table.add_column(name, justify="right", no_wrap=width > 0, min_width=width or None)
    for c in compared(archive, baselines):
        table.add_row(
            c.baseline.name,
            percent(c.file.error),
            percent(c.file.top1),
            "–" if c.costs is None else _with_source(c.costs.latency_ms, "ms", c.costs.latency_source),
            "–" if c.rival is None else c.rival.architecture.id,
            "–" if c.gain is None else f"{c.gain:+.2f}",
        )
    return table


def _errors(entry: Entry, precision: Precision) -> tuple[str, ...]:
    """Inherited and trained error on the selection split, and error on the test split after training."""
    file = None if entry.trained is None else entry.trained.file_in(precision)
    after = (None, None) if file is None else (file.error, 1 - file.top1)
    return tuple(_percent(error) for error in (entry.error, *after))


def _percent(error: float | None) -> str:
    return "–" if error is None else percent(error)


def _with_source(value: float, unit: str, source: Source) -> str:
    return f"{short(value)} {unit} [{_STYLES[source]}]{source}[/]"
