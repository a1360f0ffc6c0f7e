"""A front as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich import box
from rich.table import Table

from devices.measurement import Source
from moo.analysis.alternatives import Candidate
from moo.analysis.comparison import compared
from moo.analysis.errors import chosen_by_note, on_selection_split, on_test_split, told_error
from moo.analysis.networks import grouped, shown_points, unused_configurations
from moo.analysis.recipes import mixture
from moo.analysis.representatives import representatives
from moo.formatting import energy_error_note, many, percent, percent_within, short
from moo.storage.adaptive_front import AdaptivePoint
from moo.storage.archive import Archive, OperatingPoint, networks_of
from moo.storage.pareto import epsilon_front
from moo.storage.trained_network import TrainedNetwork
from scripts.terminal import plain

_STYLES = {"measured": "green", "modelled": "yellow", "published": "cyan"}


def front_table(archive: Archive, *, front_size: int = 24) -> Table:
    """One row an operating point of the front, with the source beside each cost.

    Args:
        archive: whose front it is. Errors after training are those of the files in the precision of each point.
        front_size: points that are shown at most, those of one network together.
    """
    found = representatives(archive.front(), archive.data)
    front = [one.point for one in found]
    shown = grouped(shown_points(front, front_size))
    networks = networks_of(front)
    merged = {(one.point.id, one.point.configuration): len(one.others) for one in found}
    trained = [entry.trained for entry in networks if entry.trained is not None]
    tested = any(point.test_error is not None for point in shown)
    several = len(archive.configurations) > 1
    errors: tuple[str, ...] = ("error", "test error") if tested else ("error",)
    title = f"Pareto front: {many(len(networks), 'network', 'networks')}"
    if several:
        title += f" in {many(len(front), 'operating point', 'operating points')}"
    if len(shown) < len(front):
        title += f", of which {len(shown)} are shown"
    title += "\n95 % intervals, by the number of images, in parentheses" if archive.data is not None else ""
    if trained:
        errors = ("inherited", "trained", "test")
        title += "\nerrors with inherited weights, after training (of the very file), on the test split"
    captions = [mixture(trained), energy_error_note(point.costs.energy_error for point in shown)]
    captions += [_stands_note(sum(merged.values())), _guessing_note(archive, shown)]
    if archive.data is not None and shown:
        captions.append(chosen_by_note(told_error(point, archive.data).split for point in shown))
    if not archive.keeps_limits:
        captions.append("No network keeps the limits that were given; this is the nearest.")
    elif several and (unused := unused_configurations(archive)):
        captions.append(f"none on the front: {'; '.join(unused)}")
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title=title,
        caption="\n".join(part for part in captions if part) or None,
    )
    longest = max((len(point.id) for point in shown), default=0)
    table.add_column("network", no_wrap=True, min_width=longest)
    if several:
        table.add_column("runs with", no_wrap=True)
    for name in errors:
        table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    # Where the terminal is narrow, a cost's source goes below it.
    for name in ("latency", "energy" if archive.energy.kind == "net" else archive.energy.label):
        table.add_column(name, justify="right", min_width=len("published"))
    if any(merged.values()):
        table.add_column("stands for", justify="right", min_width=len("others"))
    before = None
    for point in shown:
        costs = point.costs
        untrained = (_on_selection(archive, point.error), _on_test(archive, point.test_error))
        others = merged[point.id, point.configuration]
        table.add_row(
            "" if point.id == before else point.id,
            *([point.configuration.short_label] if several else []),
            *_marked(archive, point, (_errors(archive, point) if trained else untrained)[: len(errors)]),
            _with_source(costs.latency_ms, "ms", costs.latency_source),
            _with_source(costs.energy_mj, "mJ", costs.energy_source),
            *([many(others, "other", "others") if others else ""] if any(merged.values()) else []),
        )
        before = point.id
    return table


def adaptive_table(front: Sequence[AdaptivePoint], energy: str, *, front_size: int = 24) -> Table:
    """One row an operating point of a front of networks with and without exits, its source beside each cost.

    Args:
        front: best accuracy first; of very many, a few that stand for it are shown.
        energy: what the energy is called.
        front_size: points that are shown at most.
    """
    shown = [front[place] for place in epsilon_front(np.array([point.objectives for point in front]), front_size)]
    title = f"Front of {many(len({point.id for point in front}), 'network', 'networks')} with and without early exits"
    if len(shown) < len(front):
        title += f": {len(shown)} of {len(front)} operating points"
    captions = [energy_error_note(point.energy_error for point in shown)]
    captions += [
        "Exits are named by the layer, from 0, that they follow; latencies are expected ones, and ≤ the longest.",
        "Thresholds were chosen by errors on the selection split; the test split was read once, and chose nothing.",
    ]
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title=title,
        caption="\n".join(part for part in captions if part) or None,
    )
    longest = max((len(point.id) for point in shown), default=0)
    table.add_column("network", no_wrap=True, min_width=longest)
    for name in ("runs with", "images leave"):
        table.add_column(name, no_wrap=True)
    # Where the terminal is narrow, a cost's source goes below it.
    for name, width in (("error", 11), ("latency", 9), (energy, 9)):
        table.add_column(name, justify="right", min_width=width)
    before = None
    for point in shown:
        tested = "" if point.test_error is None else f"\n{percent(point.test_error)} test"
        table.add_row(
            "" if point.id == before else point.id,
            point.configuration.short_label.replace(" ", "\n", 1 if len(point.configuration.short_label) > 7 else 0),
            _leaving(point),
            percent_within(point.error, point.error_low, point.error_high).replace(" (", "\n(") + tested,
            f"{_with_source(point.latency_ms, 'ms', point.latency_source)}\n≤ {short(point.worst_latency_ms)}",
            _with_source(point.energy_mj, "mJ", point.energy_source),
        )
        before = point.id
    return table


def _leaving(point: AdaptivePoint) -> str:
    """An exit a line, with the share of images that leave there; last those that pass all."""
    if not point.exits:
        return "at the end"
    names = [*(f"{one.layer} {one.head}" for one in point.exits), "end"]
    return "\n".join(f"{name} {100 * share:.0f} %" for name, share in zip(names, point.exit_shares, strict=True))


def alternatives_table(candidates: Sequence[Candidate], archive: Archive) -> Table:
    """One row a network: the run's choice, then what one would use otherwise.

    Args:
        candidates: of `moo.analysis.alternatives`.
        archive: of the run; says what energy is.
    """
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title="The run's networks beside what you would use otherwise\naccuracy on the test split, with 95 % intervals",
    )
    table.add_column("network", overflow="fold")
    for name in ("accuracy", "latency", "energy" if archive.energy.kind == "net" else archive.energy.label):
        table.add_column(name, justify="right", min_width=9)
    table.add_column("pixels", justify="right")
    table.add_column("what it is", overflow="fold")
    for one in candidates:
        split = "" if one.error.split == "test" else f"\n{one.error.split} split"
        precision = ", int8" if "int8" in one.configuration else ""
        table.add_row(
            plain(one.name),
            one.error.accuracy_text.replace(" (", "\n(") + split,
            "–" if one.costs is None else _with_source(one.costs.latency_ms, "ms", one.costs.latency_source),
            "–" if one.costs is None else _with_source(one.costs.energy_mj, "mJ", one.costs.energy_source),
            str(one.pixels),
            f"{plain(one.role)}{precision}" + (", inherited weights" if not one.trained else ""),
        )
    return table


def baselines_table(baselines: Sequence[TrainedNetwork], archive: Archive) -> Table:
    """One row a baseline: its costs, the front's most accurate network that is no slower, and how much better it is.

    Args:
        baselines: trained networks, measured or not.
        archive: whose front they are compared with.
    """
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title=f"Baselines, and the front at no more than their latency ({archive.base.label})\n"
        "error on the selection split, top-1 and its gain in points on the test split",
    )
    if not archive.is_retrained:
        table.caption = "They are compared with the front when all of its networks are trained too."
    table.add_column("baseline", no_wrap=True, min_width=max((len(item.name) for item in baselines), default=0))
    for name, width in (("error", 7), ("top-1", 7)):
        table.add_column(name, justify="right", no_wrap=True, min_width=width)
    # Where the terminal is narrow, a cost's source goes below it.
    for name in ("latency", "energy"):
        table.add_column(name, justify="right", min_width=len("published"))
    for name, width in (("front", 8), ("gain", 6)):
        table.add_column(name, justify="right", no_wrap=True, min_width=width)
    for c in compared(archive, baselines):
        table.add_row(
            plain(c.baseline.name),
            _on_selection(archive, c.file.error),
            on_test_split(1 - c.file.top1, archive.data).accuracy_text.replace(" (", "\n("),
            "–" if c.costs is None else _with_source(c.costs.latency_ms, "ms", c.costs.latency_source),
            "–" if c.costs is None else _with_source(c.costs.energy_mj, "mJ", c.costs.energy_source),
            "–" if c.rival is None else c.rival.id,
            "–" if c.gain is None else f"{c.gain:+.1f}",
        )
    return table


def _errors(archive: Archive, point: OperatingPoint) -> tuple[str, ...]:
    """Inherited and trained error on the selection split, and error on the test split after training."""
    trained = point.entry.trained
    file = None if trained is None else trained.file_in(point.configuration.precision)
    error, test = (None, None) if file is None else (file.error, 1 - file.top1)
    inherited = archive.searched_error(point.entry, point.configuration)
    return _on_selection(archive, inherited), _on_selection(archive, error), _on_test(archive, test)


def _on_selection(archive: Archive, error: float | None) -> str:
    return "–" if error is None else on_selection_split(error, archive.data).text.replace(" (", "\n(")


def _on_test(archive: Archive, error: float | None) -> str:
    return "–" if error is None else on_test_split(error, archive.data).text.replace(" (", "\n(")


def _marked(archive: Archive, point: OperatingPoint, errors: Sequence[str]) -> list[str]:
    """The errors, the last of them with a mark where the network is no better than guessing."""
    mark = " !" if told_error(point, archive.data).beats_guessing is False else ""
    first, *more = errors[-1].split("\n")
    return [*errors[:-1], "\n".join([first + mark, *more])]


def _guessing_note(archive: Archive, shown: Sequence[OperatingPoint]) -> str:
    told = [told_error(point, archive.data) for point in shown]
    if all(error.beats_guessing is not False for error in told):
        return ""
    guessing = next(error.guessing for error in told if error.beats_guessing is False)
    return f"!: not better than always answering the commonest class ({percent(guessing or 0.0)})"


def _stands_note(merged: int) -> str:
    if not merged:
        return ""
    points = many(merged, "point costs more and is", "points cost more and are")
    return f"{points} not significantly more accurate: the cheaper one stands for it (all are in front.json)"


def _with_source(value: float, unit: str, source: Source) -> str:
    return f"{short(value)} {unit} [{_STYLES[source]}]{source}[/]"
