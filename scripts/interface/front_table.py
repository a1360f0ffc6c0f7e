"""A front as a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from rich import box
from rich.table import Table

from devices.measurement import Source
from evaluation.errors import ACCURACY_NAMES, ERROR_NAMES, GUESSES
from moo.analysis.alternatives import Candidate
from moo.analysis.comparison import compared
from moo.analysis.errors import chosen_by_note, error_kind, on_selection_split, on_test_split, told_error
from moo.analysis.networks import grouped, shown_points, unused_configurations
from moo.analysis.recipes import mixture
from moo.analysis.representatives import representatives
from moo.formatting import energy_error_note, many, percent, percent_within, short
from moo.storage.adaptive_front import AdaptivePoint
from moo.storage.archive import Archive, OperatingPoint, networks_of
from moo.storage.pareto import epsilon_front
from moo.storage.trained_network import TrainedNetwork
from scripts.interface.terminal import plain

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
    kind = error_kind(archive.data)
    title = f"Pareto front: {many(len(networks), 'network', 'networks')}"
    if several:
        title += f" in {many(len(front), 'operating point', 'operating points')}"
    if len(shown) < len(front):
        title += f", of which {len(shown)} are shown"
    title += "\n95 % intervals, by the number of images, in parentheses" if archive.data is not None else ""
    if kind == "balanced":
        title += "\nerrors are balanced: each class counts alike"
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
    table = _table(title, captions, [point.id for point in shown])
    if several:
        table.add_column("runs with", min_width=7)
    for name in errors:
        table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    # Where the terminal is narrow, a cost's source goes below it.
    for name in ("latency", "energy" if archive.energy.kind == "net" else archive.energy.label):
        table.add_column(name, justify="right", min_width=len("published"))
    before = None
    for point in shown:
        costs = point.costs
        untrained = (_on_selection(archive, point.error), _on_test(archive, point.test_error))
        name, others = "" if point.id == before else point.id, merged[point.id, point.configuration]
        table.add_row(
            f"{name}\n+{many(others, 'other', 'others')}" if others else name,
            *([point.configuration.short_label] if several else []),
            *_marked(archive, point, (_errors(archive, point) if trained else untrained)[: len(errors)]),
            _with_source(costs.latency_ms, "ms", costs.latency_source),
            _with_source(costs.energy_mj, "mJ", costs.energy_source),
        )
        before = point.id
    return table


def adaptive_table(front: Sequence[AdaptivePoint], energy: str, *, front_size: int = 12) -> Table:
    """One row an operating point of a front of networks with and without exits, the sources of costs above them.

    A line each, where the terminal is wide enough.

    Args:
        front: best accuracy first; of very many, a few that stand for it are shown.
        energy: what the energy is called.
        front_size: points that are shown at most.
    """
    shown = [front[place] for place in epsilon_front(np.array([point.objectives for point in front]), front_size)]
    title = f"Front of {many(len({point.id for point in front}), 'network', 'networks')} with and without early exits"
    if len(shown) < len(front):
        title += f": {len(shown)} of {len(front)} operating points (front_adaptive.json has all)"
    captions = [
        "Images that leave at each exit, and last those that pass all (–: no exits); the expected latency, and that "
        "of the longest way. Thresholds were chosen by errors on the selection split; the test split was read once, "
        "and chose nothing.",
        energy_error_note(point.energy_error for point in shown),
    ]
    table = _table(title, captions, [point.id for point in shown])
    table.add_column("runs\nwith")
    table.add_column("leave %", justify="right", min_width=8)
    # Where the terminal is narrow, the interval goes below the error.
    table.add_column("error", justify="right", min_width=11)
    table.add_column("test", justify="right", no_wrap=True, min_width=6)
    latency, latencies = _costs("latency", "ms", [(point.latency_ms, point.latency_source) for point in shown])
    energy, energies = _costs(energy, "mJ", [(point.energy_mj, point.energy_source) for point in shown])
    table.add_column(latency, justify="right", min_width=8)
    table.add_column("worst\nms", justify="right", no_wrap=True, min_width=6)
    table.add_column(energy, justify="right", min_width=8)
    before = None
    for point, latency_text, energy_text in zip(shown, latencies, energies, strict=True):
        table.add_row(
            "" if point.id == before else point.id,
            point.configuration.short_label,
            " ".join(f"{100 * share:.0f}" for share in point.exit_shares) if point.exits else "–",
            percent_within(point.error, point.error_low, point.error_high),
            "–" if point.test_error is None else percent(point.test_error),
            latency_text,
            short(point.worst_latency_ms),
            energy_text,
        )
        before = point.id
    return table


def _table(title: str, captions: Iterable[str | None], networks: Sequence[str]) -> Table:
    """A table with notes below, and the networks as its first column."""
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        title=title,
        caption="\n".join(part for part in captions if part) or None,
    )
    table.add_column("network", no_wrap=True, min_width=max(map(len, networks), default=0))
    return table


def _costs(name: str, unit: str, costs: Sequence[tuple[float, Source]]) -> tuple[str, list[str]]:
    """Heading and cells of costs: the source stands in the heading where all have the same, else in each cell."""
    if len({source for _, source in costs}) > 1:
        return f"{name}\n{unit}", [f"{short(value)} [{_STYLES[source]}]{source}[/]" for value, source in costs]
    sources = [f"\n[{_STYLES[source]}]{source}[/]" for _, source in costs[:1]]
    return f"{name}\n{unit}{''.join(sources)}", [short(value) for value, _ in costs]


def alternatives_table(candidates: Sequence[Candidate], archive: Archive) -> Table:
    """One row a network: the run's choice, then what one would use otherwise.

    Args:
        candidates: of `moo.analysis.alternatives`.
        archive: of the run; says what energy is.
    """
    accuracy = ACCURACY_NAMES[error_kind(archive.data)]
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title="The run's networks beside what you would use otherwise\n"
        f"{accuracy} on the test split, with 95 % intervals",
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
    error = ERROR_NAMES[error_kind(archive.data)]
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title=f"Baselines, and the front at no more than their latency ({archive.base.label})\n"
        f"{error} on the selection split, top-1 and its gain in points on the test split",
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
    """Inherited error, the interval omitted, and trained error on the selection split; error on the test split."""
    trained = point.entry.trained
    file = None if trained is None else trained.file_for(point.configuration)
    error, test = (None, None) if file is None else (file.error, 1 - file.top1)
    inherited = archive.searched_error(point.entry, point.configuration)
    return "–" if inherited is None else percent(inherited), _on_selection(archive, error), _on_test(archive, test)


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
    return f"!: not better than {GUESSES[error_kind(archive.data)]} ({percent(guessing or 0.0)})"


def _stands_note(merged: int) -> str:
    if not merged:
        return ""
    points = many(merged, "point costs more and is", "points cost more and are")
    return f"+others: {points} not significantly more accurate; the cheaper one stands for it (all are in front.json)"


def _with_source(value: float, unit: str, source: Source) -> str:
    return f"{short(value)} {unit} [{_STYLES[source]}]{source}[/]"
