"""What runtime configurations trade: the front with them told apart, energy against latency, and against the clock.

A marker's shape tells threads, its colour the clock, its size the precision, and a dark edge that both costs are
measured.
"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from mpl_toolkits.mplot3d import Axes3D

from devices.configuration import PRECISIONS, RUNTIMES, Precision, Runtime, RuntimeConfiguration
from moo.analysis.networks import ShownNetwork
from moo.formatting import cost_label, many, percent
from moo.storage.pareto import non_dominated
from moo.visualization.front import dress_space, space_points
from moo.visualization.labels import place_labels
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
    new_figure,
    plain_log_ticks,
    spans_widely,
)

MOST_NETWORKS = 6
_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "p")
"""Of one thread, two, and so on."""
_LITERT_MARKERS = ("h", "d", "*", ">", "<", "8", "H", "P")
"""The same under LiteRT."""
Panel = tuple[Runtime, Precision]
_PANELS: tuple[Panel, ...] = tuple(itertools.product(RUNTIMES, PRECISIONS))
_DASHES: Mapping[Panel, Any] = dict(zip(_PANELS, ("-", "--", ":", "-."), strict=True))
_LINES = (BLUE, VERMILION, GREEN, "#CC79A7", "#E69F00", "#56B4E9", INK)
"""Of thread counts; from Okabe and Ito, "Color Universal Design" (2008)."""
_AREAS: Mapping[Precision, float] = {"fp32": 62.0, "int8": 26.0}
_TRADE_AREA = 44.0
_BOX_INCHES = 6.5
_LINE_CHARACTERS = 84
"""What fits into a line below a title."""
_LABEL_DISTANCES = (9.0, 14.0, 20.0, 28.0, 38.0)


def configurations_space_figure(
    points: Sequence[ShownNetwork], configurations: Sequence[RuntimeConfiguration], *, energy: str, summary: str
) -> Figure:
    """A front in three dimensions, with its configurations told apart.

    Args:
        points: operating points of the front, each with its configuration; at least one.
        configurations: of the run, so that all its pictures have the same colours.
        energy: which energy it is, for the axis.
        summary: what the points are, below the title.
    """
    marks = _Marks(points, configurations)
    handles = marks.handles()
    below = 0.35 + 0.2 * -(-len(handles) // 4)
    height = _BOX_INCHES + below
    figure = new_figure(
        NARROW_INCHES + 0.6, height, "The front in three dimensions", textwrap.fill(summary, _LINE_CHARACTERS)
    )
    figure.set_layout_engine("none")
    axes = figure.add_axes((-0.01, below / height, 0.95, _BOX_INCHES / height), projection="3d")
    assert isinstance(axes, Axes3D)
    wide = [spans_widely([point.coordinates[column] for point in points]) for column in (1, 2)]
    floor = dress_space(axes, points, wide, _labels(points, energy))
    for point, (x, y, z) in zip(points, space_points(points, wide), strict=True):
        axes.plot([x, x], [y, y], [floor, z], color=marks.colour(point), linewidth=0.8, alpha=0.45)
        axes.scatter([x], [y], [z], depthshade=False, **marks.style(point))
    figure.legend(handles=handles, loc="lower left", ncols=4, fontsize=9, frameon=False)
    return figure


def trade_figure(
    points: Sequence[ShownNetwork], configurations: Sequence[RuntimeConfiguration], *, energy: str
) -> Figure:
    """Energy against latency of networks over their configurations, a panel for each precision.

    A line joins the configurations of a network that none of its others beats in both.

    Args:
        points: operating points of a few networks, each with its configuration; at least one.
        configurations: of the run, so that all its pictures have the same colours.
        energy: which energy it is, for the axis.
    """
    marks, panels = _Marks(points, configurations), sorted({_panel(point) for point in points}, key=_PANELS.index)
    networks = _networks(points)
    subtitle = (
        f"{many(len(networks), 'network', 'networks')} in {many(len(points), 'operating point', 'operating points')}. "
        "A line is one network: it joins the configurations\nthat none of its others beats in latency and energy."
    )
    height = 1.5 + 3.6 * len(panels)
    figure = new_figure(NARROW_INCHES, height, "What configurations trade: energy against latency", subtitle)
    rows = figure.subplots(len(panels), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, panel in zip(rows, panels, strict=True):
        chosen = [point for point in points if _panel(point) == panel]
        dress(axes, "", "")
        axes.set_title(_title(panel), fontsize=10.5, loc="left", color=INK)
        for network in networks:
            line = _own_front([point for point in chosen if point.id == network])
            axes.plot(*line.T, color=FAINT, linewidth=1.6, zorder=2)
        for point in chosen:
            style = marks.style(point) | {"s": _TRADE_AREA}
            axes.scatter(point.costs.latency_ms, point.costs.energy_mj, zorder=3, **style)
    _scale(rows[0], points)
    latency_label, energy_label = _labels(points, energy)
    rows[-1].set_xlabel(latency_label)
    figure.supylabel(energy_label, fontsize=10, color=INK)
    figure.legend(handles=marks.handles(sizes=False), loc="outside lower left", ncols=4, fontsize=9, frameon=False)
    for axes, panel in zip(rows, panels, strict=True):
        _name_networks(axes, [point for point in points if _panel(point) == panel])
    return figure


def clock_figure(points: Sequence[ShownNetwork], *, energy: str) -> Figure:
    """Energy against the clock for a few networks, a line for each number of threads and precision.

    Args:
        points: operating points, each with its configuration, of at most six networks; those at a clock that a
            governor sets have no place.
        energy: which energy it is, for the axis.

    Raises:
        ValueError: if there are fewer than two clocks, or more than six networks.
    """
    points = [point for point in points if _configuration(point).frequency_mhz is not None]
    clocks, networks = clocks_of(points), _networks(points)
    if len(clocks) < 2:
        raise ValueError(f"energy can be drawn against at least two clocks, but got {len(clocks)}: set several.")
    if len(networks) > MOST_NETWORKS:
        raise ValueError(f"`networks <= {MOST_NETWORKS}` must hold, but got {len(networks)}: choose some of them.")
    columns = min(2, len(networks))
    rows = -(-len(networks) // columns)
    subtitle = "Networks of the front, the quickest first, each with its error; a line is a number\nof threads."
    figure = new_figure(NARROW_INCHES, 1.55 + 2.3 * rows, "Energy against the clock", subtitle)
    grid = figure.subplots(rows, columns, sharex=True, squeeze=False)
    threads = sorted({_configuration(point).threads for point in points})
    for place, axes in enumerate(grid.flat):
        if place >= len(networks):
            axes.set_visible(False)
            continue
        own = [point for point in points if point.id == networks[place]]
        is_lowest = place + columns >= len(networks)
        dress(axes, "clock (MHz)" if is_lowest else "", "")
        axes.tick_params(labelbottom=is_lowest)
        axes.set_title(
            f"{networks[place]}, {percent(own[0].error)}", fontsize=9.5, loc="left", color=INK, parse_math=False
        )
        for number, panel in itertools.product(threads, dict.fromkeys(map(_panel, own))):
            _draw_clocks(axes, own, number, panel, _LINES[threads.index(number) % len(_LINES)])
        axes.set_ylim(bottom=0)
        axes.margins(x=0.08)
        axes.set_xticks(clocks)
        axes.tick_params(axis="x", labelrotation=45 if len(clocks) > 4 else 0)
    figure.supylabel(_labels(points, energy)[1], fontsize=10, color=INK)
    handles = [
        Line2D([], [], color=_LINES[place % len(_LINES)], linewidth=1.8, label=many(number, "thread", "threads"))
        for place, number in enumerate(threads)
    ]
    panels = sorted({_panel(point) for point in points}, key=_PANELS.index)
    if len(panels) > 1:
        handles += [
            Line2D([], [], color=GREY, linewidth=1.8, linestyle=_DASHES[panel], label=_title(panel)) for panel in panels
        ]
    measured = {point.costs.energy_source == "measured" for point in points}
    handles += [
        _handle("energy measured" if filled else "energy modelled", GREY if filled else "white", size=5.5, edge=GREY)
        for filled in sorted(measured, reverse=True)
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=4, fontsize=9, frameon=False)
    return figure


def clocks_of(points: Sequence[ShownNetwork]) -> list[int]:
    """The clocks that are set, in MHz, ascending."""
    found = {_configuration(point).frequency_mhz for point in points}
    return sorted(mhz for mhz in found if mhz is not None)


def few_networks(points: Sequence[ShownNetwork], *, most: int = MOST_NETWORKS) -> list[ShownNetwork]:
    """All points of some of their networks, spread evenly over the order of latency, its ends included.

    Args:
        points: operating points.
        most: networks at most.
    """
    ids = _networks(points)
    places = np.linspace(0, len(ids) - 1, min(most, len(ids))).round().astype(int)
    chosen = {ids[place] for place in places}
    return [point for point in points if point.id in chosen]


class _Marks:
    """How configurations are marked."""

    def __init__(self, points: Sequence[ShownNetwork], configurations: Sequence[RuntimeConfiguration]) -> None:
        self._present = [_configuration(point) for point in points]
        self._measured = sorted({_is_measured(point) for point in points}, reverse=True)
        self._clocks = sorted({one.frequency_mhz for one in configurations}, key=lambda mhz: mhz or 0)
        self._threads = sorted({one.threads for one in configurations})
        self._several_precisions = len({one.precision for one in configurations}) > 1

    def colour(self, point: ShownNetwork) -> Any:
        return self._colour_of(_configuration(point))

    def style(self, point: ShownNetwork) -> dict[str, Any]:
        """Keywords of `scatter`."""
        configuration, measured = _configuration(point), _is_measured(point)
        return {
            "s": _AREAS[configuration.precision],
            "marker": _marker_of(configuration),
            "color": [self.colour(point)],
            "edgecolors": INK if measured else "white",
            "linewidths": 1.0 if measured else 0.6,
        }

    def handles(self, *, sizes: bool = True) -> list[Line2D]:
        """Legend entries for threads, clocks, and what else differs."""
        threads = {(one.runtime, one.threads): one for one in self._present}
        clocks = {one.frequency_mhz: one for one in self._present}
        several = len(self._clocks) > 1
        handles = [
            _handle(
                f"{many(one.threads, 'thread', 'threads')}{', LiteRT' * (one.runtime == 'litert')}",
                GREY if several else self._colour_of(one),
                marker=_marker_of(one),
            )
            for _, one in sorted(threads.items(), key=lambda item: (RUNTIMES.index(item[0][0]), item[0][1]))
        ]
        if several:
            handles += [
                _handle("governor's clock" if mhz is None else f"{mhz} MHz", self._colour_of(clocks[mhz]))
                for mhz in self._clocks
                if mhz in clocks
            ]
        precisions = [name for name in PRECISIONS if any(one.precision == name for one in self._present)]
        if sizes and self._several_precisions:
            handles += [_handle(name, GREY, size=_AREAS[name] ** 0.5) for name in precisions]
        return handles + [
            _handle("measured" if measured else "modelled, at least in part", FAINT, edge=INK if measured else "white")
            for measured in self._measured
        ]

    def _colour_of(self, configuration: RuntimeConfiguration) -> Any:
        """By the clock; by threads where there is only one clock."""
        if len(self._clocks) == 1:
            return _LINES[self._threads.index(configuration.threads) % len(_LINES)]
        if configuration.frequency_mhz is None:
            return GREY
        known = [mhz for mhz in self._clocks if mhz is not None]
        return ORDERED_COLOURS(known.index(configuration.frequency_mhz) / max(1, len(known) - 1))


def _marker_of(configuration: RuntimeConfiguration) -> str:
    markers = _MARKERS if configuration.runtime == "ort" else _LITERT_MARKERS
    return markers[(configuration.threads - 1) % len(markers)]


def _handle(label: str, colour: Any, *, marker: str = "o", size: float = 7.5, edge: str = "white") -> Line2D:
    return Line2D(
        [],
        [],
        linestyle="",
        marker=marker,
        markersize=size,
        color=colour,
        markeredgecolor=edge,
        label=label,
    )


def _configuration(point: ShownNetwork) -> RuntimeConfiguration:
    if point.configuration is None:
        raise ValueError(f"an operating point must have a configuration, but that of {point.id!r} has none.")
    return point.configuration


def _is_measured(point: ShownNetwork) -> bool:
    return point.costs.latency_source == point.costs.energy_source == "measured"


def _networks(points: Sequence[ShownNetwork]) -> list[str]:
    """Ids in the order of the lowest latency of each."""
    return list(dict.fromkeys(point.id for point in sorted(points, key=lambda point: point.costs.latency_ms)))


def _labels(points: Sequence[ShownNetwork], energy: str) -> tuple[str, str]:
    latency = cost_label("latency", "ms", (point.costs.latency_source for point in points))
    return latency, cost_label(
        energy,
        "mJ",
        (point.costs.energy_source for point in points),
        [point.costs.energy_error for point in points],
    )


def _own_front(points: Sequence[ShownNetwork]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Latency and energy of a network's configurations that none of its others beats, the quickest first."""
    costs = np.array([(point.costs.latency_ms, point.costs.energy_mj) for point in points], np.float64).reshape(-1, 2)
    chosen = costs[non_dominated(costs)]
    return chosen[np.argsort(chosen[:, 0])]


def _scale(axes: Axes, points: Sequence[ShownNetwork]) -> None:
    latencies = [point.costs.latency_ms for point in points]
    energies = [point.costs.energy_mj for point in points]
    axes.margins(0.14, 0.14)
    for name, axis, values in (("x", axes.xaxis, latencies), ("y", axes.yaxis, energies)):
        if spans_widely(values):
            axes.set(**{f"{name}scale": "log"})
            plain_log_ticks(axis, values)
    # Room for the names on the left.
    left, right = axes.transLimits.inverted().transform([(-0.14, 0), (1, 0)])[:, 0]
    axes.set_xlim(*axes.transScale.inverted().transform([(left, 0), (right, 0)])[:, 0])


def _name_networks(axes: Axes, points: Sequence[ShownNetwork]) -> None:
    """Write id and error of each network beside its quickest point."""
    quickest = {point.id: point for point in sorted(points, key=lambda point: -point.costs.latency_ms)}.values()
    places = [(point.costs.latency_ms, point.costs.energy_mj) for point in points]
    place_labels(
        axes,
        [(point.costs.latency_ms, point.costs.energy_mj) for point in quickest],
        [f"{point.id}\n{percent(point.error)}" for point in quickest],
        avoid=places,
        distances=_LABEL_DISTANCES,
    )


def _draw_clocks(axes: Axes, points: Sequence[ShownNetwork], threads: int, panel: Panel, colour: str) -> None:
    chosen = sorted(
        (_configuration(point).frequency_mhz or 0, point.costs.energy_mj, point.costs.energy_source == "measured")
        for point in points
        if (_configuration(point).threads, _panel(point)) == (threads, panel)
    )
    clocks, energies = [clock for clock, _, _ in chosen], [energy for _, energy, _ in chosen]
    axes.plot(clocks, energies, color=colour, linewidth=1.8, linestyle=_DASHES[panel], zorder=2)
    for clock, energy, measured in chosen:
        axes.scatter(clock, energy, s=24, facecolors=colour if measured else "white", edgecolors=colour, zorder=3)


def _panel(point: ShownNetwork) -> Panel:
    return _configuration(point).runtime, _configuration(point).precision


def _title(panel: Panel) -> str:
    return f"{'LiteRT, ' * (panel[0] == 'litert')}{panel[1]}"
