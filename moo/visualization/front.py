"""Pictures of a front among all evaluated networks, and of baselines beside it: large, as projections, and in 3-D."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter
from mpl_toolkits.mplot3d import Axes3D

from evaluation.errors import GUESSES
from moo.analysis.networks import Evaluated, ShownNetwork
from moo.formatting import percent, short
from moo.storage.archive import Costs
from moo.storage.pareto import Floats, non_dominated
from moo.visualization.labels import place_labels
from moo.visualization.markers import (
    baseline_handles,
    baseline_marker,
    baselines_of,
    cost_axis_label,
    groups_of,
    handles_of,
)
from moo.visualization.style import (
    BLUE,
    COLOUR_MAP,
    INK,
    VERMILION,
    dress,
    marker_of,
    new_figure,
    plain_log_ticks,
    provenance,
    spans_widely,
)

_NAMES = ("error", "latency", "energy")
_PLANES: tuple[tuple[int, int, Callable[[Costs], str]], ...] = (
    (1, 0, lambda costs: costs.latency_source),
    (2, 0, lambda costs: costs.energy_source),
    (1, 2, provenance),
)
"""Columns of the horizontal and the vertical axis, and where what is shown comes from."""

_LEGEND_COLUMNS = 3


def latency_error_figure(networks: Evaluated, *, space: str) -> Figure:
    """Error against latency, large: colour is energy, a line joins the front of these two objectives.

    Args:
        networks: front, other evaluated networks, and baselines.
        space: name of the search space, for the title.
    """
    subtitle = networks.summary_with_baselines
    figure = new_figure(10, 6.4, f"Error against latency: the Pareto front of {space}", subtitle)
    axes = figure.add_subplot()
    dress(axes, _label(1, networks), _label(0, networks))
    energies = [network.costs.energy_mj for network in networks.front]
    scale = ScalarMappable(Normalize(min(energies, default=0), max(energies, default=1)), COLOUR_MAP)
    _draw_plane(axes, networks, 1, 0, colours=list(scale.to_rgba(np.array(energies))), size=95)
    _scale_axis(axes, "x", [network.costs.latency_ms for network in networks.drawn])
    axes.margins(0.05, 0.13)
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom=max(bottom, -0.08 * top))
    _draw_guessing(axes, networks)
    bar = figure.colorbar(scale, ax=axes, pad=0.015, aspect=32)
    bar.set_label(cost_axis_label(2, networks.front, networks.energy), fontsize=10)
    bar.ax.tick_params(labelsize=9)
    bar.outline.set_visible(False)
    handles = _handles(networks, lambda costs: costs.latency_source, what="latency ", colour="#3B528B")
    handles += [*_interval_handle(networks), _step_handle()]
    axes.legend(handles=handles, fontsize=9, loc="best", edgecolor="#DDDDDD")
    _annotate(axes, networks)
    return figure


def projections_figure(networks: Evaluated) -> Figure:
    """The three two-dimensional projections, each with the line of its own front."""
    by_label = {handle.get_label(): handle for _, _, origin in _PLANES for handle in _handles(networks, origin)}
    handles = [by_label[label] for label in sorted(by_label, key=lambda label: (str(label)[0] != "f", str(label)))]
    handles += [*_interval_handle(networks), _step_handle()]
    height = 5.0 + 0.2 * -(-len(handles) // _LEGEND_COLUMNS)
    figure = new_figure(14, height, "The front in its three projections", networks.summary_with_baselines)
    columns = figure.subplots(1, 3)
    for axes, (x, y, origin) in zip(columns, _PLANES, strict=True):
        dress(axes, _label(x, networks), _label(y, networks))
        _draw_plane(axes, networks, x, y, colours=[BLUE] * len(networks.front), size=48, origin=origin)
        for name, column in (("x", x), ("y", y)):
            if column:
                _scale_axis(axes, name, [network.coordinates[column] for network in networks.drawn])
        if networks.baselines:
            axes.margins(0.06, 0.14)
        axes.set_title(f"{_NAMES[y]} against {_NAMES[x]}", fontsize=10.5, loc="left", color=INK)
    figure.legend(handles=handles, loc="outside lower center", ncols=_LEGEND_COLUMNS, fontsize=9, frameon=False)
    for axes, (x, y, _) in zip(columns, _PLANES, strict=True):
        places = [(network.coordinates[x], network.coordinates[y]) for network in networks.drawn]
        ranked = sorted(networks.baselines, key=lambda network: network.coordinates[x])
        # From both edges inwards: there is least room at the edges.
        named = [ranked.pop(0 if place % 2 else -1) for place in range(len(ranked))]
        points = [(network.coordinates[x], network.coordinates[y]) for network in named]
        place_labels(axes, points, [network.id for network in named], avoid=places)
    return figure


def _label(column: int, networks: Evaluated) -> str:
    return cost_axis_label(column, networks.drawn, networks.energy) if column else networks.error_label


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
    *others, front = groups_of(networks, BLUE)
    for group in others:
        for name, points, _ in _by_origin(group.networks, origin):
            axes.scatter(
                points[:, x], points[:, y], s=size * group.share, marker=marker_of(name), color=group.colour,
                alpha=group.opacity, lw=0, zorder=2,
            )  # fmt: skip
    for name, points, places in _by_origin(front.networks, origin):
        axes.scatter(
            points[:, x], points[:, y], s=size, marker=marker_of(name), color=[colours[place] for place in places],
            edgecolors="white", linewidths=0.9, zorder=4,
        )  # fmt: skip
    if y == 0:
        _draw_intervals(axes, networks.front, x)
    baselines = baselines_of(networks)
    for name, points, _ in _by_origin(baselines.networks, origin):
        share = baselines.share if name == "measured" else 1.0
        axes.scatter(
            points[:, x], points[:, y], s=size * share, marker=baseline_marker(name), color=baselines.colour,
            edgecolors="white", linewidths=0.9, zorder=5,
        )  # fmt: skip
    line = _plane_front(networks.front, x, y)
    axes.step(line[:, 0], line[:, 1], where="post", color=INK, linewidth=1.1, alpha=0.55, zorder=3)


def _draw_intervals(axes: Axes, networks: Sequence[ShownNetwork], x: int) -> None:
    """A thin upright bar for the 95 % interval of each error."""
    for network in networks:
        if network.interval is not None:
            bounds = (100 * network.interval.low, 100 * network.interval.high)
            axes.vlines(network.coordinates[x], *bounds, colors=INK, linewidth=0.9, alpha=0.5, zorder=3)


def _draw_guessing(axes: Axes, networks: Evaluated) -> None:
    """A dashed line at the error of always answering the commonest class, where that is within the picture."""
    if networks.guessing is None or 100 * networks.guessing > axes.get_ylim()[1]:
        return
    axes.axhline(100 * networks.guessing, color=VERMILION, linewidth=1.1, linestyle="--", zorder=1)
    guess = GUESSES[networks.kind].replace("answering ", "")
    axes.text(
        0.99, 100 * networks.guessing, guess, transform=axes.get_yaxis_transform(),
        fontsize=8.5, color=VERMILION, ha="right", va="bottom",
    )  # fmt: skip


def _by_origin(
    networks: Sequence[ShownNetwork], origin: Callable[[Costs], str]
) -> Iterator[tuple[str, Floats, list[int]]]:
    """Each origin of costs with the coordinates of its networks, shape (N, 3), and their places among all."""
    for name in sorted({origin(network.costs) for network in networks}):
        places = [place for place, network in enumerate(networks) if origin(network.costs) == name]
        yield name, np.array([networks[place].coordinates for place in places], np.float64), places


def _plane_front(networks: Sequence[ShownNetwork], x: int, y: int) -> Floats:
    """Non-dominated points of a projection from left to right, shape (N, 2)."""
    points = np.array([network.coordinates for network in networks], np.float64).reshape(-1, 3)[:, [x, y]]
    chosen: Floats = points[non_dominated(points)]
    return chosen[np.argsort(chosen[:, 0])]


def _scale_axis(axes: Axes, name: str, values: Sequence[float]) -> None:
    if spans_widely(values):
        axes.set(**{f"{name}scale": "log"})
        plain_log_ticks(axes.xaxis if name == "x" else axes.yaxis, values)


def _interval_handle(networks: Evaluated) -> list[Line2D]:
    if all(network.interval is None for network in networks.front):
        return []
    label = "95 % interval, by the number of images"
    return [Line2D([], [], linestyle="", marker="|", markersize=11, color=INK, alpha=0.5, label=label)]


def _step_handle() -> Line2D:
    return Line2D([], [], color=INK, linewidth=1.1, alpha=0.55, label="front of these two objectives")


def _handles(
    networks: Evaluated, origin: Callable[[Costs], str], *, what: str = "", colour: str = BLUE
) -> list[Line2D]:
    return [
        *handles_of(groups_of(networks, colour), origin, what=what),
        *baseline_handles(baselines_of(networks), origin, what=what),
    ]


def _annotate(axes: Axes, networks: Evaluated, most: int = 5) -> None:
    """Write ids beside the ends of the front of error and latency, a few networks between them, and baselines."""
    line = _plane_front(networks.front, 1, 0)
    positions = axes.transLimits.transform(axes.transScale.transform(line)) if len(line) else line
    walked = np.concatenate([[0.0], np.hypot(*np.diff(positions, axis=0).T).cumsum()]) if len(line) > 1 else [0.0]
    wanted = (
        {int(np.argmin(np.abs(walked - stop))) for stop in np.linspace(0, walked[-1], most)} if len(line) else set()
    )
    by_place = {network.coordinates[1::-1]: network for network in networks.front}
    chosen = [by_place[(float(line[i, 0]), float(line[i, 1]))] for i in sorted(wanted)] + list(networks.baselines)
    place_labels(
        axes,
        [(network.costs.latency_ms, 100 * network.error) for network in chosen],
        [_named(network) for network in chosen],
        avoid=[(network.costs.latency_ms, 100 * network.error) for network in networks.drawn] + _along_steps(line),
    )


def _named(network: ShownNetwork) -> str:
    how = "" if network.configuration is None else f"\n{network.configuration.short_label}"
    costs = network.costs
    return f"{network.id}{how}\n{percent(network.error)}, {short(costs.latency_ms)} ms {costs.latency_source}"


def _along_steps(line: Floats) -> list[tuple[float, float]]:
    """Points on the staircase of a front, close enough that no label fits between them."""
    points = []
    for (x, y), (next_x, next_y) in pairwise(line):
        points += [(float(between), float(y)) for between in np.linspace(x, next_x, 24)]
        points += [(float(next_x), float(between)) for between in np.linspace(y, next_y, 24)]
    return points


_BOX_INCHES = 6.7


def space_figure(networks: Evaluated) -> Figure:
    """Error, latency and energy in three dimensions; a thin stem leads from each front network to the floor."""
    groups = groups_of(networks, BLUE)
    handles = handles_of(groups, provenance)
    height = _BOX_INCHES + 0.2 * max(0, len(handles) - 3) + 0.5
    figure = new_figure(9, height, "The front in three dimensions", networks.summary)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0.0, -0.07 / height, 0.95, _BOX_INCHES / height), projection="3d")
    assert isinstance(axes, Axes3D)
    wide = [spans_widely([network.coordinates[column] for network in networks.all]) for column in (1, 2)]
    labels = (
        cost_axis_label(1, networks.all, networks.energy),
        cost_axis_label(2, networks.all, networks.energy),
    )
    floor = dress_space(axes, networks.all, wide, labels, error_label=networks.error_label)
    for group in groups:
        points = space_points(group.networks, wide)
        for origin in sorted({provenance(network.costs) for network in group.networks}):
            chosen = points[[provenance(network.costs) == origin for network in group.networks]]
            axes.scatter(
                *chosen.T, s=62 * group.share, color=group.colour, alpha=group.opacity, marker=marker_of(origin),
                depthshade=False, edgecolors="white", lw=0.5,
            )  # fmt: skip
    for x, y, z in space_points(networks.front, wide):
        axes.plot([x, x], [y, y], [floor, z], color=BLUE, linewidth=0.7, alpha=0.4)
    figure.legend(
        handles=handles,
        loc="upper left", bbox_to_anchor=(0.005, 1 - 0.61 / height), fontsize=9, frameon=False,
    )  # fmt: skip
    return figure


def dress_space(
    axes: Axes3D,
    networks: Sequence[ShownNetwork],
    wide: Sequence[bool],
    labels: tuple[str, str],
    *,
    error_label: str = "error on the selection split (%)",
) -> float:
    """Limits, labels, ticks and the view of a picture in three dimensions; returns its floor.

    Args:
        axes: nothing of which is drawn yet.
        networks: all that will be drawn.
        wide: whether latency, and energy, are drawn as logarithms.
        labels: of latency and energy.
        error_label: of the upright axis.
    """
    floor = _space_limits(axes, space_points(networks, wide))
    for axis, column in ((axes.xaxis, 1), (axes.yaxis, 2)):
        if wide[column - 1]:
            _log_ticks_3d(axis, [network.coordinates[column] for network in networks])
    axes.set_xlabel(labels[0], fontsize=9.5, labelpad=8)
    axes.set_ylabel(labels[1], fontsize=9.5, labelpad=8)
    axes.set_zlabel(error_label, fontsize=9.5, labelpad=8)
    axes.tick_params(labelsize=8)
    axes.view_init(elev=22, azim=-58)
    axes.set_box_aspect((1, 1, 0.82), zoom=0.96)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis._axinfo["grid"].update(color="#DDDDDD", linewidth=0.7)
    return floor


def space_points(networks: Sequence[ShownNetwork], wide: Sequence[bool]) -> Floats:
    """Latency, energy and error in percent, costs as logarithms where they span widely, shape (N, 3)."""
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
