"""Which loss coefficients give which network: a trial keeps its colour and number from panel to panel."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from devices.measurement import Source
from dnas.losses import Coefficients
from moo.analysis.objectives import independent_objectives
from moo.analysis.thinning import thinned
from moo.formatting import cost_label, many, short
from moo.storage.archive import Costs
from moo.visualization.labels import place_labels
from moo.visualization.style import (
    FAINT,
    GREY,
    INK,
    NARROW_INCHES,
    ORDERED_COLOURS,
    dress,
    legend_marker,
    marker_of,
    new_figure,
    plain_log_ticks,
    spans_widely,
)

MOST_NUMBERS = 16
MOST_RINGS = 500
"""Trials without a network on the front that are drawn: more fill the panels of coefficients."""
_LABEL_DISTANCES = (9.0, 13.0, 18.0, 24.0, 32.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialPoint:
    """Coefficients, and a network that their trial gave: one of the front, or the one that stands for the trial."""

    trial_id: int

    coefficients: Coefficients
    network: str
    """Id of the architecture."""
    error: float
    """On the selection split, in [0, 1]."""
    costs: Costs
    on_front: bool
    """Whether this architecture is on the front."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Panel:
    """What a panel shows: labels, and both coordinates of a trial."""

    x_label: str
    y_label: str
    place: Callable[[TrialPoint], tuple[float, float]]
    source: Callable[[TrialPoint], Source]
    """Whose marker is shown."""
    log_x: bool = False


def coefficients_figure(points: Sequence[TrialPoint]) -> Figure:
    """Loss coefficients above, and below them the networks that they give.

    A trial has one colour in all panels, by the rank of its network's latency; networks of the front are filled, and
    numbered in that order. Energy has a panel where it says more than latency. Of very many trials without a network on
    the front some are drawn.

    Args:
        points: at least one.
    """
    everything, points = points, _drawn(points)
    latencies = [point.costs.latency_ms for point in everything]
    ranks = _ranks([point.costs.latency_ms for point in points], latencies)
    panels = _panels(everything)
    trials = len({point.trial_id for point in everything})
    numbers, step = _numbers(points)
    which = "" if step == 1 else f" (1 of {step} is written)"
    subtitle = (
        f"{many(trials, 'trial', 'trials')}: a point each, or one for each network of the front that it gave.\n"
        f"A network has the same colour and number everywhere; numbers rise with latency{which}.\n"
        "Errors are those with inherited weights."
    )
    if len(points) < len(everything):
        rest = len([point for point in everything if not point.on_front])
        drawn = len([point for point in points if not point.on_front])
        subtitle += f" Of {rest} trials without a network on the front {drawn} are drawn."
    figure = new_figure(
        NARROW_INCHES, 1.6 + 2.75 * len(panels), "Loss coefficients and the networks they give", subtitle
    )
    columns = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for axes, panel in zip(columns, panels, strict=True):
        _draw(axes, panel, points, ranks)
    _add_colour_bar(figure, columns[0], everything)
    figure.legend(handles=_handles(panels, points), loc="outside lower left", ncols=2, fontsize=9, frameon=False)
    for axes, panel in zip(columns, panels, strict=True):
        places = [panel.place(point) for point in points]
        shown: dict[tuple[float, float], set[int]] = {}
        for index, number in numbers.items():
            shown.setdefault(places[index], set()).add(number)
        texts = [", ".join(str(number) for number in sorted(together)) for together in shown.values()]
        place_labels(axes, list(shown), texts, avoid=places, distances=_LABEL_DISTANCES)
    return figure


def _drawn(points: Sequence[TrialPoint]) -> list[TrialPoint]:
    """All that are on the front, and at most `MOST_RINGS` others."""
    others = [place for place, point in enumerate(points) if not point.on_front]
    coordinates = [
        (c.alpha, c.beta, c.gamma, c.delta, point.error, point.costs.latency_ms, point.costs.energy_mj)
        for point in points
        for c in [point.coefficients]
        if not point.on_front
    ]
    kept = {others[chosen] for chosen in thinned(coordinates, MOST_RINGS)}
    return [point for place, point in enumerate(points) if point.on_front or place in kept]


def _panels(points: Sequence[TrialPoint]) -> list[_Panel]:
    latency = cost_label("latency", "ms", (point.costs.latency_source for point in points))
    energy = cost_label(
        "energy per image",
        "mJ",
        (point.costs.energy_source for point in points),
        [point.costs.energy_error for point in points],
    )
    error = "error (%)"
    panels = [
        _Panel(
            x_label=r"$\alpha$, weight of latency",
            y_label=r"$\beta$, exponent of latency",
            place=lambda point: (point.coefficients.alpha, point.coefficients.beta),
            source=lambda point: point.costs.latency_source,
            log_x=True,
        ),
        _Panel(
            x_label=r"$\gamma$, weight of energy",
            y_label=r"$\delta$, exponent of energy",
            place=lambda point: (point.coefficients.gamma, point.coefficients.delta),
            source=lambda point: point.costs.latency_source,
            log_x=True,
        ),
        _Panel(
            x_label=latency,
            y_label=error,
            place=lambda point: (point.costs.latency_ms, 100 * point.error),
            source=lambda point: point.costs.latency_source,
            log_x=spans_widely([point.costs.latency_ms for point in points]),
        ),
    ]
    if independent_objectives([(p.error, p.costs.latency_ms, p.costs.energy_mj) for p in points]) == 3:
        panels.append(
            _Panel(
                x_label=energy,
                y_label=error,
                place=lambda point: (point.costs.energy_mj, 100 * point.error),
                source=lambda point: point.costs.energy_source,
                log_x=spans_widely([point.costs.energy_mj for point in points]),
            )
        )
    return panels


def _draw(axes: Axes, panel: _Panel, points: Sequence[TrialPoint], ranks: Sequence[float]) -> None:
    dress(axes, panel.x_label, panel.y_label)
    for on_front in (False, True):
        for source in sorted({panel.source(point) for point in points}):
            chosen = [
                (*panel.place(point), rank)
                for point, rank in zip(points, ranks, strict=True)
                if point.on_front == on_front and panel.source(point) == source
            ]
            if not chosen:
                continue
            x, y, rank = np.array(chosen).T
            colours = ORDERED_COLOURS(rank)
            style = {"s": 58, "facecolors": colours, "edgecolors": INK, "linewidths": 0.8, "zorder": 3}
            if not on_front:
                style = {"s": 24, "facecolors": "none", "edgecolors": colours, "linewidths": 1.2, "zorder": 2}
            axes.scatter(x, y, marker=marker_of(source), alpha=0.85, **style)
    axes.margins(0.06, 0.12)
    if panel.log_x:
        _scale_logarithmically(axes, [panel.place(point)[0] for point in points])


def _scale_logarithmically(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic horizontal axis; one of weights of which some are 0 begins with a linear piece from there."""
    above = [value for value in values if value > 0]
    if not above:
        return
    if len(above) == len(values):
        axes.set_xscale("log")
        plain_log_ticks(axes.xaxis, values)
        return
    axes.set_xscale("symlog", linthresh=min(above))
    first, last = math.ceil(math.log10(min(above))), math.floor(math.log10(max(above)))
    ticks = [0.0, *(10.0**power for power in range(first, last + 1))]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()


def _add_colour_bar(figure: Figure, axes: Axes, points: Sequence[TrialPoint]) -> None:
    """The colours of the ranks, with the latencies that have them."""
    latencies = sorted({point.costs.latency_ms for point in points})
    bar = figure.colorbar(ScalarMappable(cmap=ORDERED_COLOURS), ax=axes, location="top", pad=0.03, aspect=42)
    marked = sorted({round(share * (len(latencies) - 1)) for share in np.linspace(0, 1, 5)})
    ticks = [index / (len(latencies) - 1) for index in marked] if len(latencies) > 1 else [0.5]
    bar.set_ticks(ticks, labels=[short(latencies[index]) for index in marked])
    label = cost_label("latency", "ms", (point.costs.latency_source for point in points))
    bar.set_label(f"{label}, coloured by rank", fontsize=9.5)
    bar.ax.tick_params(labelsize=9)
    bar.outline.set_visible(False)


def _ranks(latencies: Sequence[float], among: Sequence[float]) -> list[float]:
    """The place of each among the distinct ones of many, from 0 (quickest) to 1; 0.5 if there is only one."""
    places = {latency: place for place, latency in enumerate(sorted(set(among)))}
    if len(places) == 1:
        return [0.5] * len(latencies)
    return [places[latency] / (len(places) - 1) for latency in latencies]


def _numbers(points: Sequence[TrialPoint]) -> tuple[dict[int, int], int]:
    """The number of each point that is numbered, by its place among the points, and how many share one number."""
    front = sorted({(point.costs.latency_ms, point.network) for point in points if point.on_front})
    numbers = {network: number for number, (_, network) in enumerate(front, start=1)}
    step = max(1, -(-len(numbers) // MOST_NUMBERS))
    return {
        index: numbers[point.network]
        for index, point in enumerate(points)
        if point.on_front and (numbers[point.network] - 1) % step == 0
    }, step


def _handles(panels: Sequence[_Panel], points: Sequence[TrialPoint]) -> list[Line2D]:
    sources = {panel.source(point) for panel in panels for point in points}
    handles = []
    if any(point.on_front for point in points):
        handles.append(legend_marker("on the front", "o", GREY, size=8, edge=INK))
    if not all(point.on_front for point in points):
        ring = Line2D([], [], linestyle="", marker="o", markersize=5, markerfacecolor="none", color=GREY)
        ring.set_label("not on the front")
        handles.append(ring)
    return handles + [legend_marker(source, marker_of(source), FAINT, size=7) for source in sorted(sources)]
