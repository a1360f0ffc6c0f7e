"""A front as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from devices.measurement import Source
from moo.archive import Costs, Entry
from moo.quantities import percent, short

_STYLES = {"measured": "green", "modelled": "yellow", "published": "cyan"}


def front_table(front: Sequence[Entry], costs: Sequence[Costs]) -> Table:
    """One row a network, in the order given, with the source beside each cost.

    Args:
        front: the networks.
        costs: of each network.
    """
    tested = any(entry.test_error is not None for entry in front)
    table = Table(box=box.SIMPLE_HEAD, title=f"Pareto front: {len(front)} network{'s' * (len(front) != 1)}")
    table.add_column("network", no_wrap=True)
    for name in ("error", *(["test error"] if tested else []), "latency", "energy"):
        table.add_column(name, justify="right", no_wrap=True)
    for entry, cost in zip(front, costs, strict=True):
        test_error = "–" if entry.test_error is None else percent(entry.test_error)
        table.add_row(
            entry.architecture.id,
            percent(entry.error),
            *([test_error] if tested else []),
            _with_source(cost.latency_ms, "ms", cost.latency_source),
            _with_source(cost.energy_mj, "mJ", cost.energy_source),
        )
    return table


def _with_source(value: float, unit: str, source: Source) -> str:
    return f"{short(value)} {unit} [{_STYLES[source]}]{source}[/]"
