"""Pictures of training: its curves, the supernet's ranking put to the test, and what int8 costs and saves."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from devices.configuration import Precision
from devices.cost_tables.energy_objective import EnergyObjective
from evaluation.errors import ACCURACY_NAMES, ERROR_NAMES, ErrorKind
from moo.analysis.networks import file_costs
from moo.analysis.rank_correlation import RankCorrelation
from moo.analysis.recipes import mixture
from moo.formatting import cost_label
from moo.storage.archive import Costs, Entry
from moo.storage.trained_network import TrainedNetwork
from moo.visualization.labels import place_labels
from moo.visualization.style import (
    BLUE,
    FAINT,
    GREY,
    INK,
    VERMILION,
    dress,
    legend_marker,
    marker_of,
    new_figure,
    plain_log_ticks,
    spans_widely,
)

if TYPE_CHECKING:
    from evaluation.training.loop import TrainRecord


MOST_BARS = 40
SUBTITLE_CHARACTERS = 105
"""What fits into a line below the title of the ranking."""
_DASHES = (0, (5, 4))


def ranking_figure(
    entries: Sequence[Entry], correlation: RankCorrelation | None, *, kind: ErrorKind = "plain"
) -> Figure:
    """Error after training against error with inherited weights, one point a network.

    Args:
        entries: of networks that were trained; the others are left out.
        correlation: of the two errors; None where there are too few networks.
        kind: what is called an error.
    """
    pairs = [(entry, entry.trained) for entry in entries if entry.trained is not None]
    inherited, trained = [100 * entry.error for entry, _ in pairs], [100 * network.error for _, network in pairs]
    said = "no rank correlation of so few, or of equal errors"
    if correlation is not None:
        said = (
            f"Kendall's tau {correlation.tau:.2f}, 95 % interval {correlation.low:.2f} to {correlation.high:.2f} "
            "(1: the same order, 0: none)"
        )
        if correlation.count < len(pairs):
            said += f", over the {correlation.count} trained alike"
    number = f"{len(pairs)} trained network{'s' * (len(pairs) != 1)}"
    subtitle = f"{number}, {ERROR_NAMES[kind]}s on the selection split (PyTorch, fp32)\n{said}"
    mixed = mixture([network for _, network in pairs])
    if mixed:
        subtitle += f"\n{textwrap.fill(mixed, SUBTITLE_CHARACTERS)}"
    figure = new_figure(9, 6.2, "Does the supernet rank networks as training does?", subtitle)
    axes = figure.add_subplot()
    dress(axes, f"{ERROR_NAMES[kind]} with inherited weights (%)", f"{ERROR_NAMES[kind]} after training (%)")
    handles = []
    for fine_tuned, name, marker in ((False, "trained from random weights", "o"), (True, "fine-tuned", "s")):
        places = [place for place, (_, network) in enumerate(pairs) if network.fine_tuned == fine_tuned]
        if places:
            x, y = [inherited[place] for place in places], [trained[place] for place in places]
            axes.scatter(x, y, s=70, marker=marker, color=BLUE, edgecolors="white", linewidths=0.9, zorder=3)
            handles.append(legend_marker(name, marker, BLUE))
    _show_equal_error(axes, inherited, trained)
    handles.append(Line2D([], [], color=GREY, linewidth=1.0, linestyle=_DASHES, label="equal error"))
    axes.legend(handles=handles, fontsize=9, loc="lower right", edgecolor="#DDDDDD")
    best = trained.index(min(trained))
    label = f"{pairs[best][1].name}\n{inherited[best]:.2f} % to {trained[best]:.2f} %"
    taken = list(zip(inherited, trained, strict=True))
    place_labels(axes, [taken[best]], [label], avoid=taken)
    return figure


def _show_equal_error(axes: Axes, inherited: Sequence[float], trained: Sequence[float]) -> None:
    """Draw the line of equal error, with limits so wide that it comes into sight."""
    axes.margins(0.08, 0.1)
    axes.set_xlim(axes.get_xlim())
    left, right = axes.get_xlim()
    lowest, highest = min(*trained, right), max(*trained, left + 0.3 * (right - left))
    margin = max(0.08 * (highest - lowest), 0.5)
    axes.set_ylim(max(lowest - margin, -margin), highest + margin)
    axes.axline((left, left), slope=1, color=GREY, linewidth=1.0, linestyle=_DASHES, zorder=1)


@dataclass(frozen=True)
class _Point:
    """One measured file of a network."""

    error: float
    """Of the file on the test split, in percent."""
    costs: Costs


def precision_figure(networks: Sequence[TrainedNetwork], *, kind: ErrorKind = "plain") -> Figure:
    """What int8 costs in accuracy and saves in time.

    Left, for networks whose files are both measured: two joined points of latency and error. Right, for the others:
    the accuracy lost. A side without networks is left out.

    Args:
        networks: those without an fp32 or an int8 file are left out; at least one must have both.
        kind: what is called an error.

    Raises:
        ValueError: if none has both files.
    """
    both = [network for network in networks if points_lost(network) is not None]
    if not both:
        raise ValueError(f"a network must have an fp32 and an int8 file to be drawn, but none of {len(networks)} has.")
    points = [(_point(network, "fp32"), _point(network, "int8")) for network in both]
    joined = [(floats, integers) for floats, integers in points if floats is not None and integers is not None]
    losses = [(loss, n.name) for n in both if (loss := points_lost(n)) is not None]
    barred = sorted(pair for pair, (f, i) in zip(losses, points, strict=True) if f is None or i is None)[-MOST_BARS:]
    subtitle = (
        f"{len(both)} trained network{'s' * (len(both) != 1)}, {ACCURACY_NAMES[kind]} of each file on the test split; "
        f"int8 loses {np.median([loss for loss, _ in losses]):.2f} points in the median, {max(losses)[0]:.2f} at most"
    )
    widths = [8.5] * bool(joined) + [5.0] * bool(barred)
    height = max(6.0 if joined else 2.4, 2.0 + 0.22 * len(barred))
    figure = new_figure(max(sum(widths), 9.0), height, "int8 against fp32", subtitle)
    columns = figure.subplots(1, len(widths), squeeze=False, width_ratios=widths)[0]
    if joined:
        _draw_joined(columns[0], joined, f"{ERROR_NAMES[kind]} on the test split (%)")
    if barred:
        _draw_bars(columns[-1], barred)
    return figure


def points_lost(network: TrainedNetwork) -> float | None:
    """Percentage points of test accuracy by which a network's int8 file falls short of its fp32 file.

    Below 0 if it is more accurate; None if there are not both files.
    """
    floats, integers = network.file("fp32"), network.file("int8")
    return None if floats is None or integers is None else 100 * (floats.top1 - integers.top1)


def _point(network: TrainedNetwork, precision: Precision) -> _Point | None:
    file, costs = network.file(precision), file_costs(network, precision, EnergyObjective())
    return None if file is None or costs is None else _Point(100 * (1 - file.top1), costs)


def _draw_joined(axes: Axes, pairs: Sequence[tuple[_Point, _Point]], error_label: str) -> None:
    drawn = [point for pair in pairs for point in pair]
    latencies = [point.costs.latency_ms for point in drawn]
    dress(axes, cost_label("latency", "ms", (p.costs.latency_source for p in drawn)), error_label)
    for floats, integers in pairs:
        x = [floats.costs.latency_ms, integers.costs.latency_ms]
        axes.plot(x, [floats.error, integers.error], color=FAINT, linewidth=1.3, zorder=2)
    handles = []
    for place, (precision, colour) in enumerate((("fp32", BLUE), ("int8", VERMILION))):
        for source in sorted({pair[place].costs.latency_source for pair in pairs}):
            chosen = [pair[place] for pair in pairs if pair[place].costs.latency_source == source]
            points = np.array([(point.costs.latency_ms, point.error) for point in chosen])
            axes.scatter(
                points[:, 0],
                points[:, 1],
                s=62,
                marker=marker_of(source),
                color=colour,
                edgecolors="white",
                lw=0.8,
                zorder=3,
            )
            handles.append(legend_marker(f"{precision}, latency {source}", marker_of(source), colour))
    if spans_widely(latencies):
        axes.set_xscale("log")
        plain_log_ticks(axes.xaxis, latencies)
    handles.append(Line2D([], [], color=FAINT, linewidth=1.3, label="the same network"))
    axes.legend(handles=handles, fontsize=9, loc="upper right", edgecolor="#DDDDDD")
    axes.margins(0.06, 0.08)


def _draw_bars(axes: Axes, losses: Sequence[tuple[float, str]]) -> None:
    dress(axes, "accuracy lost by int8 (percentage points)", "")
    axes.set_title("not measured in both precisions", fontsize=10.5, loc="left", color=INK)
    places = np.arange(len(losses))
    axes.barh(places, [loss for loss, _ in losses], height=0.62, color=VERMILION, zorder=2)
    axes.axvline(0, color=GREY, linewidth=0.9, zorder=3)
    axes.set_yticks(places, [name for _, name in losses], fontsize=8, family="monospace", parse_math=False)
    axes.set_ylim(len(losses) - 0.3 - max(len(losses), 12), len(losses) - 0.3)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5))


def training_curves(records: Sequence[TrainRecord], title: str, subtitle: str, *, kind: ErrorKind = "plain") -> Figure:
    """Training loss on the left, accuracy on the selection split on the right.

    Args:
        records: of all epochs, in order.
        title: what was trained.
        subtitle: on what, and what it came to.
        kind: what is called an error.
    """
    figure = new_figure(9, 4, title, subtitle)
    epochs = [record.epoch for record in records]
    curves = (
        ("training loss (nats)", BLUE, [record.loss for record in records]),
        (f"{ACCURACY_NAMES[kind]}, selection split (%)", VERMILION, [100 * record.accuracy for record in records]),
    )
    for axes, (label, colour, values) in zip(figure.subplots(1, 2), curves, strict=True):
        axes.plot(epochs, values, color=colour, linewidth=1.8, marker="o" if len(epochs) <= 30 else "", markersize=4)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        dress(axes, "epoch", label)
    return figure
