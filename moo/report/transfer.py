"""The section of the report on what a network chosen for one board loses on another."""

from __future__ import annotations

from devices.cost_tables.family import CostTables
from moo.analysis.transfer import transferred
from moo.formatting import percent, short, table
from moo.storage.archive import Archive
from moo.storage.choices import source_front
from moo.storage.origin import RunOrigin
from moo.storage.store import StoreReader
from search_space.boundary.text import code, markdown

MOST_LOSSES = 12


def transfer_section(archive: Archive, store: StoreReader, origin: RunOrigin, source_tables: CostTables | None) -> str:
    """Both fronts on both boards; empty where the run started from none, or that one had no front.

    Args:
        archive: of the run.
        store: of the same run.
        origin: of the same run.
        source_tables: of the run that it started from.
    """
    source = source_front(store)
    if source is None or not source[0] or source_tables is None or not len(archive):
        return ""
    front, in_int8 = source
    found = transferred(archive, front, source_tables, in_int8=in_int8)
    rows = [
        ("this run's front", f"{found.own_here:.4f}", f"{found.own_there:.4f}"),
        ("the front of the run that it started from", f"{found.source_here:.4f}", f"{found.source_there:.4f}"),
    ]
    here = table(("hypervolume of", "on this board", f"on {markdown(found.source_board)}"), rows)
    losses = [
        (
            code(loss.network),
            percent(loss.error),
            f"{short(loss.latency_ms)} ms ({loss.latency_source})",
            f"`{loss.rival.id}`, {loss.rival.configuration.label}",
            percent(loss.rival.error),
            f"{short(loss.rival.costs.latency_ms)} ms ({loss.rival.costs.latency_source})",
            f"{100 * loss.slower:+.1f} %",
        )
        for loss in sorted(found.losses, key=lambda loss: -loss.slower)[:MOST_LOSSES]
    ]
    head = (
        "chosen for the other board",
        "error",
        "latency here",
        "of this front",
        "error",
        "latency",
        "takes longer by",
    )
    text = (
        f"{here}\n\nHypervolume is the share of the box up to each board's reference point, over all configurations "
        "whose errors are known; costs on the other board are predictions of its tables. "
    )
    if not losses:
        return text.strip()
    return (
        f"{text}Networks that were chosen for the other board, each in its quickest configuration here, beside the "
        f"quickest point of this board's own front with no more error:\n\n{table(head, losses)}"
    )
