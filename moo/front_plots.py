"""Pictures of a front among all evaluated networks: in three dimensions, in three projections, and one large.

Front networks are strong, dominated ones faint; the marker tells where costs come from. Start with
`latency_error_figure`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter
from mpl_toolkits.mplot3d import Axes3D

from moo.archive import Archive, Costs
from moo.indicators import Floats, non_dominated
from moo.plot_labels import place_labels
from moo.plot_style import (
    BLUE,
    COLOUR_MAP,
    FAINT,
    INK,
    dress,
    legend_marker,
    marker_of,
    new_figure,
    plain_log_ticks,
    provenance,
    spans_widely,
)  # fmt: skip
from moo.quantities import cost_label, percent, short

ERROR_LABEL = "error on the selection split (%)"
_NAMES = ("error", "latency", "energy")
_PLANES: tuple[tuple[int, int, Callable[[Costs], str]], ...] = (
    (1, 0, lambda costs: costs.latency_source),
    (2, 0, lambda costs: costs.energy_source),
    (1, 2, provenance),
)
"""Columns of the horizontal and the vertical axis, and where what is shown comes from."""


@dataclass(frozen=True)
class Network:
    """One evaluated network as pictures show it."""

    id: str
    error: float
    """On the selection split, in [0, 1]."""
    costs: Costs

    @property
    def coordinates(self) -> tuple[float, float, float]:
        """Error in percent, latency in ms, energy in mJ."""
        return (100 * self.error, self.costs.latency_ms, self.costs.energy_mj)


@dataclass(frozen=True)
class Evaluated:
    """All evaluated networks, parted into the front and the rest."""

    front: tuple[Network, ...]
    dominated: tuple[Network, ...]

    @property
    def all(self) -> tuple[Network, ...]:
        """The front first."""
        return self.front + self.dominated

    @property
    def summary(self) -> str:
        """Number of networks, and which of them are measured."""
        measured = sum(network.costs.latency_source == "measured" for network in self.front)
        return (
            f"{len(self.all)} network{'s' * (len(self.all) != 1)} evaluated with inherited weights; "
            f"{len(self.front)} on the front, of which {measured} measured for latency"
        )


def evaluated(archive: Archive) -> Evaluated:
    """The networks of an archive."""
    front_ids = {entry.architecture.id for entry in archive.front()}
    networks = [Network(e.architecture.id, e.error, archive.costs(e)) for e in archive.entries]
    return Evaluated(
        tuple(network for network in networks if network.id in front_ids),
        tuple(network for network in networks if network.id not in front_ids),
    )


def latency_error_figure(networks: Evaluated, *, space: str) -> Figure:
    """Error against latency, large: colour is energy, a line joins the front of these two objectives.

    Args:
        networks: front and dominated networks.
        space: name of the search space, for the title.
    """
    figure = new_figure(10, 6.4, f"Error against latency: the Pareto front of {space}", networks.summary)
    axes = figure.add_subplot()
    dress(axes, _label(1, networks.all), ERROR_LABEL)
    energies = [network.costs.energy_mj for network in networks.front]
    scale = ScalarMappable(Normalize(min(energies, default=0), max(energies, default=1)), COLOUR_MAP)
    colours = scale.to_rgba(np.array(energies))
    _draw_plane(axes, networks, 1, 0, colours=list(colours), size=95)
    _scale_axis(axes, "x", [network.costs.latency_ms for network in networks.all])
    axes.margins(0.05, 0.13)
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom=max(bottom, -0.08 * top))
    bar = figure.colorbar(scale, ax=axes, pad=0.015, aspect=32)
    bar.set_label(_label(2, networks.front), fontsize=10)
    bar.ax.tick_params(labelsize=9)
    bar.outline.set_visible(False)
    handles = _handles(networks, lambda costs: costs.latency_source, what="latency ", colour="#3B528B")
    axes.legend(handles=[*handles, _step_handle()], fontsize=9, loc="upper right", edgecolor="#DDDDDD")
    _annotate(axes, networks)
    return figure


def projections_figure(networks: Evaluated) -> Figure:
    """The three two-dimensional projections, each with the line of its own front."""
    figure = new_figure(14, 5.4, "The front in its three projections", networks.summary)
    for axes, (x, y, origin) in zip(figure.subplots(1, 3), _PLANES, strict=True):
        dress(axes, _label(x, networks.all), _label(y, networks.all))
        _draw_plane(axes, networks, x, y, colours=[BLUE] * len(networks.front), size=48, origin=origin)
        for name, column in (("x", x), ("y", y)):
            if column:
                _scale_axis(axes, name, [network.coordinates[column] for network in networks.all])
        axes.set_title(f"{_NAMES[y]} against {_NAMES[x]}", fontsize=10.5, loc="left", color=INK)
    by_label = {h.get_label(): h for _, _, origin in _PLANES for h in _handles(networks, origin, what="", colour=BLUE)}
    handles = [by_label[label] for label in sorted(by_label, key=lambda label: (str(label)[0] != "f", str(label)))]
    figure.legend(handles=[*handles, _step_handle()], loc="outside lower center", ncols=4, fontsize=9, frameon=False)
    return figure


def space_figure(networks: Evaluated) -> Figure:
    """Error, latency and energy in three dimensions; a thin stem leads from each front network to the floor."""
    figure = new_figure(9, 7.2, "The front in three dimensions", networks.summary)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0.0, -0.01, 0.95, 0.93), projection="3d")
    assert isinstance(axes, Axes3D)
    wide = [spans_widely([network.coordinates[column] for network in networks.all]) for column in (1, 2)]
    front, dominated = (_space_points(group, wide) for group in (networks.front, networks.dominated))
    floor = _space_limits(axes, np.concatenate([front, dominated]))
    for group, points, on_front in ((networks.dominated, dominated, False), (networks.front, front, True)):
        for origin in sorted({provenance(network.costs) for network in group}):
            chosen = points[[provenance(network.costs) == origin for network in group]]
            look = {"color": BLUE, "s": 62, "alpha": 1.0} if on_front else {"color": FAINT, "s": 20, "alpha": 0.55}
            axes.scatter(*chosen.T, marker=marker_of(origin), depthshade=False, edgecolors="white", lw=0.5, **look)
    for x, y, z in front:
        axes.plot([x, x], [y, y], [floor, z], color=BLUE, linewidth=0.7, alpha=0.4)
    for axis, column in ((axes.xaxis, 1), (axes.yaxis, 2)):
        if wide[column - 1]:
            _log_ticks_3d(axis, [network.coordinates[column] for network in networks.all])
    axes.set_xlabel(_label(1, networks.all), fontsize=9.5, labelpad=8)
    axes.set_ylabel(_label(2, networks.all), fontsize=9.5, labelpad=8)
    axes.set_zlabel(ERROR_LABEL, fontsize=9.5, labelpad=8)
    axes.tick_params(labelsize=8)
    axes.view_init(elev=22, azim=-58)
    axes.set_box_aspect((1, 1, 0.82), zoom=0.96)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis._axinfo["grid"].update(color="#DDDDDD", linewidth=0.7)
    figure.legend(
        handles=_handles(networks, provenance, what="", colour=BLUE),
        loc="upper left", bbox_to_anchor=(0.005, 0.915), fontsize=9, frameon=False,
    )  # fmt: skip
    return figure


def _label(column: int, networks: Sequence[Network]) -> str:
    if column == 0:
        return ERROR_LABEL
    if column == 1:
        return cost_label("latency", "ms", (network.costs.latency_source for network in networks))
    return cost_label("energy per image", "mJ", (network.costs.energy_source for network in networks))


def _draw_plane(
    axes: Axes,
    networks: Evaluated,
    x: int,
    y: int,
    *,
    colours: Sequence[object],
    size: float,
    origin: Callable[[Costs], str] = lambda costs: costs.latency_source,
) -> None:
    for origin_name in sorted({origin(network.costs) for network in networks.all}):
        faint = [n.coordinates for n in networks.dominated if origin(n.costs) == origin_name]
        strong = [i for i, n in enumerate(networks.front) if origin(n.costs) == origin_name]
        marker = marker_of(origin_name)
        if faint:
            points = np.array(faint)
            axes.scatter(
                points[:, x], points[:, y], s=size / 2.6, marker=marker, color=FAINT, alpha=0.6, lw=0, zorder=2
            )
        if strong:
            points = np.array([networks.front[i].coordinates for i in strong])
            axes.scatter(
                points[:, x], points[:, y], s=size, marker=marker, color=[colours[i] for i in strong],
                edgecolors="white", linewidths=0.9, zorder=4,
            )  # fmt: skip
    line = _plane_front(networks.front, x, y)
    axes.step(line[:, 0], line[:, 1], where="post", color=INK, linewidth=1.1, alpha=0.55, zorder=3)


def _plane_front(networks: Sequence[Network], x: int, y: int) -> Floats:
    """Non-dominated points of a projection from left to right, shape (N, 2)."""
    points = np.array([network.coordinates for network in networks], np.float64).reshape(-1, 3)[:, [x, y]]
    chosen: Floats = points[non_dominated(points)]
    return chosen[np.argsort(chosen[:, 0])]


def _scale_axis(axes: Axes, name: str, values: Sequence[float]) -> None:
    if spans_widely(values):
        axes.set(**{f"{name}scale": "log"})
        plain_log_ticks(axes.xaxis if name == "x" else axes.yaxis, values)


def _step_handle() -> Line2D:
    return Line2D([], [], color=INK, linewidth=1.1, alpha=0.55, label="front of these two objectives")


def _handles(networks: Evaluated, origin: Callable[[Costs], str], *, what: str, colour: str) -> list[Line2D]:
    """Legend entries: front, then dominated networks, one for each origin of their costs."""
    handles = []
    for group, shade, name in ((networks.front, colour, "front"), (networks.dominated, FAINT, "dominated")):
        for origin_name in sorted({origin(network.costs) for network in group}):
            size = 9 if name == "front" else 6
            handles.append(legend_marker(f"{name}, {what}{origin_name}", marker_of(origin_name), shade, size=size))
    return handles


def _annotate(axes: Axes, networks: Evaluated, most: int = 5) -> None:
    """Write ids beside the ends of the front of error and latency, and a few networks between them."""
    line = _plane_front(networks.front, 1, 0)
    positions = axes.transLimits.transform(axes.transScale.transform(line)) if len(line) else line
    walked = np.concatenate([[0.0], np.hypot(*np.diff(positions, axis=0).T).cumsum()]) if len(line) > 1 else [0.0]
    wanted = (
        {int(np.argmin(np.abs(walked - stop))) for stop in np.linspace(0, walked[-1], most)} if len(line) else set()
    )
    by_place = {network.coordinates[1::-1]: network for network in networks.front}
    chosen = [by_place[(float(line[i, 0]), float(line[i, 1]))] for i in sorted(wanted)]
    place_labels(
        axes,
        [(network.costs.latency_ms, 100 * network.error) for network in chosen],
        [f"{n.id}\n{percent(n.error)}, {short(n.costs.latency_ms)} ms {n.costs.latency_source}" for n in chosen],
        avoid=[(network.costs.latency_ms, 100 * network.error) for network in networks.all] + _along_steps(line),
    )


def _along_steps(line: Floats) -> list[tuple[float, float]]:
    """Points on the staircase of a front, close enough that no label fits between them."""
    points = []
    for (x, y), (next_x, next_y) in pairwise(line):
        points += [(float(between), float(y)) for between in np.linspace(x, next_x, 24)]
        points += [(float(next_x), float(between)) for between in np.linspace(y, next_y, 24)]
    return points


def _space_points(networks: Sequence[Network], wide: Sequence[bool]) -> Floats:
    points = np.array([n.coordinates for n in networks], np.float64).reshape(-1, 3)[:, [1, 2, 0]]
    for column, is_wide in enumerate(wide):
        if is_wide:
            points[:, column] = np.log10(points[:, column])
    return points


def _space_limits(axes: Axes3D, points: Floats) -> float:
    low, high = points.min(0), points.max(0)
    margin = np.where(high > low, 0.06 * (high - low), np.maximum(0.05 * np.abs(high), 1e-6))
    axes.set_xlim(low[0] - margin[0], high[0] + margin[0])
    axes.set_ylim(low[1] - margin[1], high[1] + margin[1])
    axes.set_zlim(low[2] - margin[2], high[2] + margin[2])
    return float(low[2] - margin[2])


def _log_ticks_3d(axis: object, values: Sequence[float]) -> None:
    """Ticks at 1, 2 and 5 for values drawn as their logarithms: three-dimensional axes have no log scale."""
    steps = [digit * 10.0**power for power in range(-6, 9) for digit in (1, 2, 5)]
    ticks = [step for step in steps if 0.95 * min(values) <= step <= 1.05 * max(values)]
    axis.set_ticks(np.log10(ticks))  # type: ignore[attr-defined]
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{10**value:.3g}"))  # type: ignore[attr-defined]
