"""A front as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from devices.measurement import Source
from moo.archive import Archive, Costs, Entry
from moo.baselines import best_no_slower
from moo.quantities import percent, short
from moo.trained import TrainedNetwork

_STYLES = {"measured": "green", "modelled": "yellow", "published": "cyan"}


def front_table(front: Sequence[Entry], costs: Sequence[Costs]) -> Table:
    """One row a network, in the order given, with the source beside each cost.

    Args:
        front: the networks.
        costs: of each network.
    """
    trained, tested = any(entry.trained for entry in front), any(entry.test_error is not None for entry in front)
    errors: tuple[str, ...] = ("error", "test error") if tested else ("error",)
    if trained:
        errors = ("inherited", "trained", "test")
    title = f"Pareto front: {len(front)} network{'s' * (len(front) != 1)}"
    if trained:
        title += "\nerrors with inherited weights, after training, on the test split"
    table = Table(box=box.SIMPLE_HEAD, title=title)
    table.add_column("network", no_wrap=True)
    for name in (*errors, "latency", "energy"):
        table.add_column(name, justify="right", no_wrap=True)
    for entry, cost in zip(front, costs, strict=True):
        table.add_row(
            entry.architecture.id,
            *(_errors(entry) if trained else (_percent(entry.error), _percent(entry.test_error)))[: len(errors)],
            _with_source(cost.latency_ms, "ms", cost.latency_source),
            _with_source(cost.energy_mj, "mJ", cost.energy_source),
        )
    return table


def baselines_table(baselines: Sequence[TrainedNetwork], archive: Archive) -> Table:
    """One row a baseline, with the front's most accurate network that is no slower, and how much better it is.

    Args:
        baselines: trained networks, measured or not.
        archive: whose front they are compared with.
    """
    table = Table(
        box=box.SIMPLE_HEAD, title="Baselines, and the front at no more than their latency (gain in points of accuracy)"
    )
    table.add_column("baseline", no_wrap=True)
    for name in ("error", "test", "latency", "front", "its network", "gain"):
        table.add_column(name, justify="right", no_wrap=True)
    for baseline in baselines:
        file = baseline.file("fp32")
        measurement = None if file is None else file.measurement
        latency = "–" if measurement is None else _with_source(measurement.latency_ms, "ms", measurement.latency_source)
        rival = None if measurement is None else best_no_slower(archive, measurement.latency_ms)
        error = None if rival is None else rival.best_error
        table.add_row(
            baseline.name,
            percent(baseline.error),
            percent(1 - baseline.top1),
            latency,
            _percent(error),
            "–" if rival is None else rival.architecture.id,
            "–" if error is None else f"{100 * (baseline.error - error):+.2f}",
        )
    return table


def _errors(entry: Entry) -> tuple[str, ...]:
    """Inherited and trained error on the selection split, and error on the test split after training."""
    trained = entry.trained
    after = (None, None) if trained is None else (trained.error, 1 - trained.top1)
    return tuple(_percent(error) for error in (entry.error, *after))


def _percent(error: float | None) -> str:
    return "–" if error is None else percent(error)


def _with_source(value: float, unit: str, source: Source) -> str:
    return f"{short(value)} {unit} [{_STYLES[source]}]{source}[/]"
