"""The picture of a board's profile: how well its table predicts, and what every operator costs."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from devices.profiling.profile import Profile
from moo.formatting import cost_label, percent
from moo.visualization.style import (
    BLUE,
    COLOUR_MAP,
    FAINT,
    GREY,
    INK,
    dress,
    new_figure,
    plain_log_ticks,
    spans_widely,
)
from search_space.spaces import FBNetSpace


def profile_figure(profile: Profile, space: FBNetSpace) -> Figure:
    """Left: predicted against measured latency of whole networks. Right: the cost table.

    Args:
        profile: N networks measured whole; each prediction is made from the others.
        space: its search space, L layers.
    """
    table, error = profile.table, profile.table.error
    assert error is not None, "a profile always has an error"
    subtitle = (
        f"{table.board}, {table.runtime}, {table.threads} thread(s), {table.precision}\n"
        f"{error.networks} networks of {space.name}: mean error {percent(error.mean_relative)}, "
        f"{percent(error.within_10_percent)} within 10 %"
    )
    figure = new_figure(13, 6.2, "Profile of a board", subtitle)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    _predicted_against_measured(left, profile)
    _table(right, profile, space)
    return figure


def _predicted_against_measured(axes: Axes, profile: Profile) -> None:
    measured = np.array([measurement.latency_ms for measurement in profile.measurements])
    alone = np.array([profile.operator_wise.latency_of(indices) for indices in profile.networks_NL.tolist()])
    predicted = profile.predicted_ms_N
    low, high = 0.9 * min(measured.min(), predicted.min()), 1.1 * max(measured.max(), predicted.max())
    ends = np.array([low, high])
    sources = [measurement.latency_source for measurement in profile.measurements]
    dress(axes, cost_label("latency of whole networks", "ms", sources), "latency predicted (ms, modelled)")
    axes.fill_between(ends, 0.9 * ends, 1.1 * ends, color=FAINT, alpha=0.3, linewidth=0, label="within 10 %")
    axes.plot(ends, ends, color=GREY, linewidth=1)
    same_board = profile.operator_wise.board == profile.table.board
    before = "operators alone, added up" if same_board else f"table of {profile.operator_wise.board}"
    axes.scatter(measured, alone, s=22, color=FAINT, label=before)
    axes.scatter(
        measured, predicted, s=26, color=BLUE, edgecolor="white", linewidth=0.5, label="calibrated, network left out"
    )
    values = [*measured, *predicted, *alone]
    axes.set(xlim=(low, high), ylim=(0.95 * min(values), 1.05 * max(values)))
    if spans_widely(ends.tolist()):
        axes.set(xscale="log", yscale="log")
        plain_log_ticks(axes.xaxis, ends.tolist())
        plain_log_ticks(axes.yaxis, [min(values), max(values)])
    # Above the axes: there is no corner that points and band always leave free.
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.02, 1), ncols=3, fontsize=8.5, frameon=False, columnspacing=1.2,
        handlelength=1.2, handletextpad=0.5,
    )  # fmt: skip


def _table(axes: Axes, profile: Profile, space: FBNetSpace) -> None:
    costs_LO = profile.table.latency_ms
    image = axes.imshow(costs_LO, aspect="auto", cmap=COLOUR_MAP)
    axes.set_xticks(range(len(profile.table.operators)), profile.table.operators, rotation=40, ha="right", fontsize=8.5)
    labels = [f"{layer.in_channels} to {layer.out_channels}, {layer.size} px" for layer in space.layers]
    axes.set_yticks(range(len(labels)), labels, fontsize=7.5 if len(labels) > 12 else 9)
    axes.set_ylabel("layer: channels, size of its input", fontsize=10, color=INK)
    if costs_LO.size <= 240:
        middle = (costs_LO.min() + costs_LO.max()) / 2
        decimals = 2 + sum(costs_LO.max() < bound for bound in (1, 0.1, 0.01))
        for (layer, operator), value in np.ndenumerate(costs_LO):
            colour = "white" if value < middle else "black"
            axes.text(operator, layer, f"{value:.{decimals}f}", ha="center", va="center", color=colour, fontsize=6.5)
    axes.figure.colorbar(image, ax=axes, label="latency of the operator (ms, modelled)", pad=0.02)
