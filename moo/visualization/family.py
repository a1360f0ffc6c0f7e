"""The picture of a board's cost tables in several configurations: how well each predicts, and what each costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.lines import Line2D

from devices.configuration import RUNTIMES, Runtime, RuntimeConfiguration
from devices.cost_tables.cost_table import CostTable
from devices.profiling.family import FamilyProfile
from devices.profiling.lower_clocks import ConfigurationProfile
from moo.formatting import cost_label, percent
from moo.visualization.style import (
    BLUE,
    FAINT,
    GREEN,
    GREY,
    INK,
    VERMILION,
    dress,
    new_figure,
    plain_log_ticks,
    spans_widely,
)
from search_space.spaces import FBNetSpace

Way = tuple[Runtime, int, str]
"""Runtime, threads and precision."""
MARKERS: dict[Runtime, str] = {"ort": "o", "litert": "s"}

THREAD_COLOURS = (BLUE, VERMILION, GREEN, "#CC79A7", "#E69F00", INK)
"""By the number of threads, ascending; Okabe and Ito, "Color Universal Design" (2008)."""


def family_figure(family: FamilyProfile, space: FBNetSpace) -> Figure:
    """Above: predicted against measured latency, a panel for each configuration that was measured. Below: all of them.

    Args:
        family: at least two configurations.
        space: their search space.
    """
    measured = [member for member in family.members if len(member.measurements)]
    ways = list(dict.fromkeys(_way(member.configuration) for member in family.members))
    clocks = list(dict.fromkeys(member.configuration.frequency_mhz for member in measured))
    table = family.base.table
    between = sum(not len(member.measurements) for member in family.members)
    runtimes = ", ".join(dict.fromkeys(own.runtime for own in family.tables))
    subtitle = f"{table.board}, {runtimes}, {space.name}; each point is a network that its prediction did not see"
    if between:
        subtitle += f"\n{between} configurations at clocks in between follow from the clock law, and have no panel"
    figure = new_figure(max(10.0, 2.35 * len(ways)), 2.75 * len(clocks) + 5.0, "Cost tables of a board", subtitle)
    outer = figure.add_gridspec(2, 1, height_ratios=(2.75 * len(clocks), 4.2))
    grid = outer[0].subgridspec(len(clocks), len(ways))
    for member in measured:
        row = clocks.index(member.configuration.frequency_mhz)
        column = ways.index(_way(member.configuration))
        axes = figure.add_subplot(grid[row, column])
        _predicted_against_measured(axes, member, first=column == 0, last=row == len(clocks) - 1)
    _costs(figure, outer[1], family)
    return figure


def _predicted_against_measured(axes: Axes, member: ConfigurationProfile, *, first: bool, last: bool) -> None:
    measured = [measurement.latency_ms for measurement in member.measurements]
    predicted = member.predicted_ms_N.tolist()
    ends = np.array([0.92 * min(*measured, *predicted), 1.08 * max(*measured, *predicted)])
    sources = [measurement.latency_source for measurement in member.measurements]
    dress(axes, cost_label("latency", "ms", sources) if last else "", "predicted (ms, modelled)" if first else "")
    axes.xaxis.label.set_fontsize(8.5)
    axes.yaxis.label.set_fontsize(8.5)
    axes.tick_params(labelsize=8)
    axes.fill_between(ends, 0.9 * ends, 1.1 * ends, color=FAINT, alpha=0.3, linewidth=0)
    axes.plot(ends, ends, color=GREY, linewidth=1)
    axes.scatter(measured, predicted, s=20, color=BLUE, edgecolor="white", linewidth=0.4, zorder=3)
    axes.set(xlim=ends, ylim=ends)
    if spans_widely(ends.tolist()):
        axes.set(xscale="log", yscale="log")
        for axis in (axes.xaxis, axes.yaxis):
            plain_log_ticks(axis, ends.tolist())
    else:
        axes.locator_params(nbins=4)
    error = member.table.error
    assert error is not None, "a profile always has an error"
    axes.set_title(
        f"{_words(member.configuration)}\n{len(measured)} networks, error {percent(error.mean_relative)}",
        fontsize=9,
        color=INK,
        loc="left",
    )


def _costs(figure: Figure, place: SubplotSpec, family: FamilyProfile) -> None:
    """Latency and energy of the average network in each configuration; a line joins the clocks."""
    axes = figure.add_subplot(place)
    tables = list(family.tables)
    points = {table.configuration: _average(table) for table in tables}
    threads = sorted({table.threads for table in tables})
    dress(
        axes,
        "latency of the average network (ms, modelled)",
        cost_label(
            "energy above idle",
            "mJ",
            [table.energy_source for table in tables],
            [table.energy_error for table in tables],
        ),
    )
    for way in dict.fromkeys(_way(table.configuration) for table in tables):
        own = [configuration for configuration in points if _way(configuration) == way]
        colour = THREAD_COLOURS[threads.index(way[1]) % len(THREAD_COLOURS)]
        x, y = zip(*(points[configuration] for configuration in own), strict=True)
        hollow = way[2] == "int8"
        axes.plot(x, y, color=colour, linewidth=1, linestyle="--" if hollow else "-", zorder=2)
        axes.scatter(
            x,
            y,
            s=46,
            color="white" if hollow else colour,
            edgecolor=colour,
            linewidth=1.4,
            marker=MARKERS[way[0]],
            zorder=3,
        )
        for configuration in own:
            if configuration.frequency_mhz is not None:
                away = (5, -11 if hollow else 4)
                axes.annotate(
                    str(configuration.frequency_mhz),
                    points[configuration],
                    xytext=away,
                    textcoords="offset points",
                    fontsize=7.5,
                    color=GREY,
                )
    values = list(zip(*points.values(), strict=True))
    axes.margins(0.08)
    for axis, scale, own_values in ((axes.xaxis, axes.set_xscale, values[0]), (axes.yaxis, axes.set_yscale, values[1])):
        if spans_widely(own_values):
            scale("log")
            plain_log_ticks(axis, own_values)
    axes.legend(handles=_legend(threads, tables), fontsize=9, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))


def _legend(threads: Sequence[int], tables: Sequence[CostTable]) -> list[Line2D]:
    handles = []
    ways = {_way(table.configuration) for table in tables}
    for way in sorted(ways, key=lambda way: (RUNTIMES.index(way[0]), way[2], way[1])):
        runtime, number, precision = way
        colour = THREAD_COLOURS[threads.index(number) % len(THREAD_COLOURS)]
        hollow = precision == "int8"
        handles.append(
            Line2D(
                [], [], color=colour, marker=MARKERS[runtime], markersize=7, linestyle="--" if hollow else "-",
                linewidth=1, markerfacecolor="white" if hollow else colour, label=_words_of(way),
            )
        )  # fmt: skip
    if any(table.frequency_mhz is not None for table in tables):
        handles.append(Line2D([], [], linestyle="", label="numbers: clock in MHz"))
    return handles


def _average(table: CostTable) -> tuple[float, float]:
    """Latency and energy of the mean of all networks of the space."""
    latency_ms = table.fixed_latency_ms + float(table.latency_ms.mean(axis=1).sum())
    return latency_ms, table.fixed_energy_mj + float(table.energy_mj.mean(axis=1).sum())


def _way(configuration: RuntimeConfiguration) -> Way:
    return configuration.runtime, configuration.threads, configuration.precision


def _words(configuration: RuntimeConfiguration) -> str:
    clock = "" if configuration.frequency_mhz is None else f", {configuration.frequency_mhz} MHz"
    return f"{_words_of(_way(configuration))}{clock}"


def _words_of(way: Way) -> str:
    runtime, threads, precision = way
    return f"{'LiteRT, ' * (runtime == 'litert')}{_threads(threads)}, {precision}"


def _threads(number: int) -> str:
    return f"{number} thread" if number == 1 else f"{number} threads"
