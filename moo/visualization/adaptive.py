"""Pictures of networks with early exits: what exits gain, which images take them, clocks, and the oracle's bound.

Errors are on the selection split; latencies and energies are expected ones, the mean over its images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from devices.configuration import PRECISIONS, RuntimeConfiguration
from moo.analysis.adaptation import ENERGY_LABELS, AdaptiveResults
from moo.formatting import cost_label, many, percent, short
from moo.storage.adaptive_front import AdaptivePoint
from moo.storage.pareto import epsilon_front, non_dominated
from moo.visualization.style import (
    BLUE,
    FAINT,
    GREEN,
    GREY,
    INK,
    NARROW_INCHES,
    ORDERED_COLOURS,
    VERMILION,
    dress,
    legend_marker,
    marker_of,
    new_figure,
    plain_log_ticks,
    spans_widely,
)

MOST_BARS, MOST_NETWORKS = 24, 6
ORACLE = "oracle (knows the labels): a bound, cannot be deployed"
_COLOURS = (BLUE, VERMILION, GREEN, "#CC79A7", "#E69F00", "#56B4E9")
"""Of networks, and of numbers of threads; from Okabe and Ito, "Color Universal Design" (2008)."""
_NEARLY_ALL = 0.99
"""Share of images that take one way, from which on there is no choice of ways to speak of."""
_ERROR = "error on the selection split (%)"
Cost = Callable[[AdaptivePoint], float]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Front:
    """Points that are drawn alike."""

    name: str
    points: Sequence[AdaptivePoint]
    colour: str
    area: float = 30.0
    """Of its markers: what may lie behind others has larger ones."""
    dashes: Literal["-", "--"] = "-"


def adaptive_fronts_figure(results: AdaptiveResults) -> Figure:
    """Fronts of error against expected latency, and against energy: static, with exits, in all configurations.

    A thin line leads from each point to the latency of its worst case.

    Args:
        results: of a run.
    """
    fronts = _fronts(results)
    every = [point for front in fronts for point in front.points]
    networks = len({point.id for point in every})
    subtitle = (
        f"{many(networks, 'trained network', 'trained networks')}; static is the network as it is, which no image "
        "leaves early."
    )
    if results.points:
        subtitle += " A thin line leads to the latency of the worst case, the longest way that an image can take."
    figure = new_figure(12, 6.0, "What early exits gain", subtitle)
    left, right = figure.subplots(1, 2, sharey=True)
    dress(left, cost_label("expected latency", "ms", (point.latency_source for point in every)), _ERROR)
    dress(right, _energy_label(every), "")
    drawn: list[AdaptivePoint] = []
    for place, front in enumerate(fronts):
        for axes, cost in ((left, _latency), (right, _energy)):
            own = _own_front(front.points, cost)
            _draw_front(axes, own, cost, front, place)
            drawn += own
            if axes is left:
                left.hlines(
                    [100 * point.error for point in own],
                    [point.latency_ms for point in own],
                    [point.worst_latency_ms for point in own],
                    colors=front.colour, linewidth=0.8, alpha=0.45, zorder=2,
                )  # fmt: skip
    _scale(left, [value for point in drawn for value in (point.latency_ms, point.worst_latency_ms)])
    _scale(right, [point.energy_mj for point in drawn])
    handles = [
        Line2D([], [], color=front.colour, linewidth=2, linestyle=front.dashes, label=front.name) for front in fronts
    ]
    if results.points:
        handles.append(Line2D([], [], color=GREY, linewidth=0.8, alpha=0.7, label="to its worst case"))
    handles += _source_handles(drawn)
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=9, frameon=False)
    return figure


def _fronts(results: AdaptiveResults) -> list[_Front]:
    """Those that there are, the plainest first."""
    base = min(point.configuration for point in [*results.static, *results.points])
    static = [point for point in results.static if point.configuration == base]
    exits = [point for point in results.points if point.configuration == base]
    every = [*results.static, *results.points]
    fronts = []
    if static:
        fronts.append(_Front(name=f"static, {base.short_label}", points=static, colour=GREY, area=75.0))
    if exits:
        fronts.append(_Front(name=f"exits, {base.short_label}", points=[*static, *exits], colour=BLUE))
    if any(point.configuration != base for point in results.static):
        name = "static, all configurations"
        fronts.append(_Front(name=name, points=results.static, colour=VERMILION, area=14.0, dashes="--"))
    if any(point.configuration != base for point in results.points):
        fronts.append(_Front(name="exits, all configurations", points=every, colour=VERMILION))
    return fronts


def shares_figure(points: Sequence[AdaptivePoint]) -> Figure:
    """Which share of images takes which exit, a bar for each point, the quickest at the top.

    Args:
        points: of a front; at least one. Many are thinned evenly.
    """
    shown = _thinned(points)
    most = max(len(point.exits) for point in shown)
    subtitle = "Share of images of the selection split that leave at each exit; one bar is one operating point."
    if len(shown) < len(points):
        subtitle += f" {len(shown)} of {len(points)} points stand for all."
    figure = new_figure(10, 1.7 + 0.29 * len(shown), "Where images leave", subtitle)
    axes = figure.add_subplot()
    dress(axes, "images (%)", "")
    axes.grid(visible=False, axis="y")
    rows = np.arange(len(shown))
    left_R = np.zeros(len(shown))
    for way in range(most + 1):
        share_R = np.array([100 * _share(point, way, most) for point in shown])
        colours = [_way_colour(point, way, most) for point in shown]
        axes.barh(rows, share_R, left=left_R, color=colours, height=0.74, edgecolor="white", linewidth=0.6)
        left_R += share_R
    axes.set_yticks(rows, [f"{point.id}  {point.configuration.short_label}" for point in shown], fontsize=8)
    for label in axes.get_yticklabels():
        label.set(parse_math=False, family="monospace")
    for row, point in enumerate(shown):
        said = f"{short(point.latency_ms)} ms, {percent(point.error)} error"
        axes.text(101.2, row, said, va="center", fontsize=8, color=INK)
    axes.set(xlim=(0, 100), ylim=(len(shown) - 0.5, -0.5))
    handles = [Patch(color=_exit_colour(place, most), label=f"exit {place + 1}") for place in range(most)]
    if most:
        handles.append(Patch(color=GREY, label="pass all exits"))
    if any(not point.exits for point in shown):
        handles.append(Patch(color=FAINT, label="network without exits"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=9, frameon=False)
    return figure


def _share(point: AdaptivePoint, way: int, most: int) -> float:
    """Share of images that leave at an exit, or, at the place after the last of all points, pass all."""
    if way == most:
        return point.exit_shares[-1]
    return point.exit_shares[way] if way < len(point.exits) else 0.0


def _way_colour(point: AdaptivePoint, way: int, most: int) -> str:
    if way < most:
        return _exit_colour(way, most)
    return GREY if point.exits else FAINT


def _exit_colour(place: int, most: int) -> str:
    return to_hex(ORDERED_COLOURS(0.95 - 0.8 * place / max(1, most - 1)))


def policy_over_clocks(points: Sequence[AdaptivePoint]) -> tuple[AdaptivePoint, ...]:
    """The points of one network with the same thresholds at several clocks, ascending; none where there is no such.

    Of several, the policy that is known at most clocks and, among these, in most configurations.

    Args:
        points: with exits.
    """
    groups: dict[tuple[object, ...], list[AdaptivePoint]] = {}
    for point in points:
        # Where all leave at one exit, or none leaves early, it is a network without exits.
        if point.configuration.frequency_mhz is not None and max(point.exit_shares) < _NEARLY_ALL:
            groups.setdefault((point.id, point.exits, point.thresholds), []).append(point)
    lines = [_lines_of(own) for own in groups.values()]
    best = max(
        (own for own in lines if own),
        key=lambda own: (len({point.configuration.frequency_mhz for point in own}), len(own), -own[0].error),
        default=[],
    )
    return tuple(sorted(best, key=lambda point: _mhz(point.configuration)))


def _lines_of(points: Sequence[AdaptivePoint]) -> list[AdaptivePoint]:
    """Those of a number of threads and a precision that there are several clocks of."""
    counts = Counter((point.configuration.threads, point.configuration.precision) for point in points)
    return [point for point in points if counts[point.configuration.threads, point.configuration.precision] > 1]


def adaptive_clocks_figure(policy: Sequence[AdaptivePoint], static: Sequence[AdaptivePoint]) -> Figure:
    """Energy of one network and one policy against the clock, beside that of the network as it is.

    Args:
        policy: from `policy_over_clocks`; not empty.
        static: networks as they are; those of this network in the same configurations are drawn.
    """
    first = policy[0]
    exits, leaving = many(len(first.exits), "exit", "exits"), percent(1 - first.exit_shares[-1])
    present = [name for name in PRECISIONS if name in {point.configuration.precision for point in policy}]
    alone = f" in {present[0]}" if len(present) == 1 else ""
    subtitle = f"{first.id}{alone}, {exits} that {leaving} of the images take. Dotted: without exits."
    figure = new_figure(NARROW_INCHES, 4.9, "Energy of a policy against the clock", subtitle)
    axes = figure.add_subplot()
    dress(axes, "clock (MHz)", _energy_label(policy).replace(" (", "\n(", 1))
    threads = sorted({point.configuration.threads for point in policy})
    clocks = sorted({_mhz(point.configuration) for point in policy})
    for number, precision in ((number, precision) for number in threads for precision in PRECISIONS):
        colour = _COLOURS[threads.index(number) % len(_COLOURS)]
        own = [
            point
            for point in policy
            if (point.configuration.threads, point.configuration.precision) == (number, precision)
        ]
        places = {point.configuration for point in own}
        before = sorted(
            (point for point in static if point.id == first.id and point.configuration in places),
            key=lambda point: _mhz(point.configuration),
        )
        style = "--" if precision in present[1:] else "-"
        axes.plot(*_against_clock(own), color=colour, linewidth=1.8, linestyle=style, zorder=3)
        axes.plot(*_against_clock(before), color=colour, linewidth=1.2, linestyle=":", alpha=0.8, zorder=2)
        for point in own:
            filled = colour if point.energy_source == "measured" else "white"
            axes.scatter(
                _mhz(point.configuration), point.energy_mj, s=26, facecolors=filled, edgecolors=colour, zorder=4
            )
    axes.set_ylim(bottom=0)
    axes.set_xticks(clocks)
    axes.margins(x=0.08)
    handles = [
        Line2D([], [], color=_COLOURS[place % len(_COLOURS)], linewidth=1.8, label=many(number, "thread", "threads"))
        for place, number in enumerate(threads)
    ]
    if len(present) > 1:
        handles += [
            Line2D([], [], color=GREY, linewidth=1.8, linestyle="--" if name in present[1:] else "-", label=name)
            for name in present
        ]
    for source in sorted({point.energy_source for point in policy}):
        filled = GREY if source == "measured" else "white"
        handles.append(legend_marker(f"energy {source}", "o", filled, size=5.5, edge=GREY))
    figure.legend(handles=handles, loc="outside lower left", ncols=4, fontsize=9, frameon=False)
    return figure


def oracle_figure(points: Sequence[AdaptivePoint], static: Sequence[AdaptivePoint]) -> Figure:
    """Error against expected latency of policies of a few networks, each beside the bound that its oracle is.

    Args:
        points: with exits; at least one. Those in the configuration that most of them have are drawn.
        static: networks as they are.
    """
    configuration = _commonest(points)
    points = [point for point in points if point.configuration == configuration]
    networks = _few_networks(points)
    subtitle = f"{configuration.label}. A line is one network with its exits at different thresholds."
    figure = new_figure(10, 6.2, "What a policy can do, and what only an oracle could", subtitle)
    axes = figure.add_subplot()
    dress(axes, cost_label("expected latency", "ms", (point.latency_source for point in points)), _ERROR)
    values: list[float] = []
    for name, colour in zip(networks, _COLOURS, strict=False):
        own = [point for point in points if point.id == name]
        before = [point for point in static if point.id == name and point.configuration == configuration]
        line = _own_front(own, _latency)
        axes.plot(
            [point.latency_ms for point in line], [100 * point.error for point in line],
            color=colour, linewidth=1.4, alpha=0.8, zorder=3,
        )  # fmt: skip
        for source in sorted({point.latency_source for point in own}):
            chosen = [point for point in _own_front(own, _latency) if point.latency_source == source]
            _scatter(axes, [(point.latency_ms, point.error) for point in chosen], colour, marker_of(source), 26)
        _scatter(axes, [(point.latency_ms, point.error) for point in before], colour, "X", 95)
        bounds = sorted({(point.oracle_latency_ms, point.oracle_error) for point in own})
        _scatter(axes, bounds, "white", "*", 190, edge=colour)
        values += [point.latency_ms for point in [*line, *before]] + [latency_ms for latency_ms, _ in bounds]
    _scale(axes, values)
    axes.set_ylim(bottom=max(0.0, axes.get_ylim()[0]))
    handles = [
        Line2D([], [], color=colour, linewidth=2, label=name) for name, colour in zip(networks, _COLOURS, strict=False)
    ]
    handles += [
        legend_marker(f"policy, latency {source}", marker_of(source), GREY, size=6)
        for source in sorted({point.latency_source for point in points})
    ]
    if any(point.id in networks and point.configuration == configuration for point in static):
        handles.append(legend_marker("network without exits", "X", GREY, size=9))
    handles.append(legend_marker(ORACLE, "*", "white", size=13, edge=INK))
    legend = figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def _latency(point: AdaptivePoint) -> float:
    return point.latency_ms


def _energy(point: AdaptivePoint) -> float:
    return point.energy_mj


def _mhz(configuration: RuntimeConfiguration) -> int:
    return configuration.frequency_mhz or 0


def _against_clock(points: Sequence[AdaptivePoint]) -> tuple[list[int], list[float]]:
    return [_mhz(point.configuration) for point in points], [point.energy_mj for point in points]


def _energy_label(points: Sequence[AdaptivePoint]) -> str:
    energy = f"expected {ENERGY_LABELS[points[0].energy_kind]}"
    sources, errors = (point.energy_source for point in points), [point.energy_error for point in points]
    return cost_label(energy, "mJ", sources, errors)


def _own_front(points: Sequence[AdaptivePoint], cost: Cost) -> list[AdaptivePoint]:
    """Those that none beats in error and one cost, from the least cost on."""
    plane_P2 = np.array([(point.error, cost(point)) for point in points], np.float64).reshape(-1, 2)
    return sorted((points[place] for place in non_dominated(plane_P2)), key=cost)


def _draw_front(axes: Axes, points: Sequence[AdaptivePoint], cost: Cost, front: _Front, place: int) -> None:
    costs, errors = [cost(point) for point in points], [100 * point.error for point in points]
    width = 1.6 if front.dashes == "-" else 1.1
    axes.step(
        costs, errors, where="post", color=front.colour, linestyle=front.dashes, linewidth=width, alpha=0.9,
        zorder=3 + place,
    )  # fmt: skip
    sources = [point.latency_source if cost is _latency else point.energy_source for point in points]
    for name in sorted(set(sources)):
        chosen = [(cost(point), point.error) for point, source in zip(points, sources, strict=True) if source == name]
        _scatter(axes, chosen, front.colour, marker_of(name), front.area, zorder=6 + place)


def _scatter(
    axes: Axes,
    points: Sequence[tuple[float, float]],
    colour: str,
    marker: str,
    area: float,
    *,
    edge: str = "white",
    zorder: float = 5,
) -> None:
    axes.scatter(
        [cost for cost, _ in points], [100 * error for _, error in points],
        s=area, color=colour, marker=marker, edgecolors=edge, linewidths=0.6 if edge == "white" else 1.4, zorder=zorder,
    )  # fmt: skip


def _scale(axes: Axes, values: Sequence[float]) -> None:
    axes.margins(0.05, 0.08)
    if spans_widely(values):
        axes.set_xscale("log")
        plain_log_ticks(axes.xaxis, values)


def _source_handles(points: Sequence[AdaptivePoint]) -> list[Line2D]:
    sources = {source for point in points for source in (point.latency_source, point.energy_source)}
    return [legend_marker(source, marker_of(source), GREY, size=6.5) for source in sorted(sources)]


def _thinned(points: Sequence[AdaptivePoint]) -> list[AdaptivePoint]:
    """At most so many that stand for a front, the quickest first."""
    places = epsilon_front(np.array([point.objectives for point in points], np.float64), MOST_BARS)
    return sorted((points[place] for place in places), key=lambda point: (point.latency_ms, point.error))


def _commonest(points: Sequence[AdaptivePoint]) -> RuntimeConfiguration:
    """The configuration that most have, the least among these."""
    counts = Counter(point.configuration for point in points)
    return min(counts, key=lambda one: (-counts[one], one))


def _few_networks(points: Sequence[AdaptivePoint]) -> list[str]:
    """Ids of some networks, spread evenly over the order of their longest latency, its ends included."""
    slowest: dict[str, float] = {}
    for point in points:
        slowest[point.id] = max(point.worst_latency_ms, slowest.get(point.id, 0.0))
    ids = sorted(slowest, key=lambda name: (slowest[name], name))
    places = np.linspace(0, len(ids) - 1, min(MOST_NETWORKS, len(ids))).round().astype(int)
    return [ids[place] for place in places]
