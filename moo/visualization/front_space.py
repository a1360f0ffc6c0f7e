"""The picture of a front in three dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from mpl_toolkits.mplot3d import Axes3D

from moo.analysis.networks import Evaluated, Network
from moo.storage.pareto import Floats
from moo.visualization.markers import cost_axis_label, groups_of, handles_of
from moo.visualization.style import BLUE, marker_of, new_figure, provenance, spans_widely

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
    floor = _space_limits(axes, _space_points(networks.all, wide))
    for group in groups:
        points = _space_points(group.networks, wide)
        for origin in sorted({provenance(network.costs) for network in group.networks}):
            chosen = points[[provenance(network.costs) == origin for network in group.networks]]
            axes.scatter(
                *chosen.T, s=62 * group.share, color=group.colour, alpha=group.alpha, marker=marker_of(origin),
                depthshade=False, edgecolors="white", lw=0.5,
            )  # fmt: skip
    for x, y, z in _space_points(networks.front, wide):
        axes.plot([x, x], [y, y], [floor, z], color=BLUE, linewidth=0.7, alpha=0.4)
    for axis, column in ((axes.xaxis, 1), (axes.yaxis, 2)):
        if wide[column - 1]:
            _log_ticks_3d(axis, [network.coordinates[column] for network in networks.all])
    axes.set_xlabel(cost_axis_label(1, networks.all), fontsize=9.5, labelpad=8)
    axes.set_ylabel(cost_axis_label(2, networks.all), fontsize=9.5, labelpad=8)
    axes.set_zlabel(networks.error_label, fontsize=9.5, labelpad=8)
    axes.tick_params(labelsize=8)
    axes.view_init(elev=22, azim=-58)
    axes.set_box_aspect((1, 1, 0.82), zoom=0.96)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis._axinfo["grid"].update(color="#DDDDDD", linewidth=0.7)
    figure.legend(
        handles=handles,
        loc="upper left", bbox_to_anchor=(0.005, 1 - 0.61 / height), fontsize=9, frameon=False,
    )  # fmt: skip
    return figure


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
