"""The look that all pictures share: colours that colour-blind readers can tell apart, markers, titles, axes.

Only `matplotlib.figure.Figure` is used, so no backend is chosen and no global setting changes.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from devices.measurement import Source
from moo.storage.archive import Costs
from search_space.boundary.text import one_line
from search_space.boundary.writing import write_atomically

BLUE, VERMILION, GREEN, INK, GREY, FAINT = "#0072B2", "#D55E00", "#009E73", "#222222", "#6B6B6B", "#B8B8B8"
"""Blue, vermilion and green are those of Okabe and Ito, "Color Universal Design" (2008)."""
COLOUR_MAP = "viridis"
ORDERED_COLOURS = ListedColormap(colormaps[COLOUR_MAP](np.linspace(0, 0.92, 256)))
"""The same without its brightest end, which vanishes on white: for points and lines."""
NARROW_INCHES = 6.2
"""Width of a picture whose text can be read on a phone, too."""
MARKERS = {"measured": "o", "modelled": "^", "published": "s"}
MIXED_MARKER = "D"
DPI = 150
LOG_SPAN = 5.0
"""Axes are logarithmic where the largest value is more than this many times the smallest."""

MOST_LINES = 8
"""Of a subtitle."""
_LETTERS_AN_INCH = 13.5
"""Of a subtitle."""


def new_figure(width: float, height: float, title: str, subtitle: str) -> Figure:
    """An empty figure with room for its title and subtitle.

    Args:
        width: in inches.
        height: in inches.
        title: what is seen, in bold.
        subtitle: how it was found, in grey, without mathematics; long lines are wrapped to the figure's width.
    """
    lines = [
        wrapped
        for line in subtitle.split("\n")
        for wrapped in textwrap.wrap(one_line(line), int(_LETTERS_AN_INCH * width))
    ]
    title, subtitle = one_line(title), "\n".join(lines[:MOST_LINES])
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    head = 0.78 + 0.2 * subtitle.count("\n")
    figure.set_layout_engine(
        "constrained", rect=(0.05 / width, 0.05 / height, 1 - 0.1 / width, 1 - head / height), w_pad=0.08, h_pad=0.06
    )
    figure.text(
        0.15 / width, 1 - 0.16 / height, title, fontsize=13, fontweight="bold", color=INK, va="top", parse_math=False
    )
    figure.text(
        0.15 / width,
        1 - 0.43 / height,
        subtitle,
        fontsize=9.5,
        color=GREY,
        va="top",
        linespacing=1.35,
        parse_math=False,
    )
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a picture as a PNG file, whole or not at all: some are not drawn again where they are there."""
    write_atomically(path, png_of(figure))


def png_of(figure: Figure) -> bytes:
    """A picture as the content of a PNG file."""
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()


def dress(axes: Axes, x_label: str, y_label: str) -> None:
    """Labels, a light grid, and no frame on top and at the right."""
    axes.set_xlabel(x_label, fontsize=10, color=INK)
    axes.set_ylabel(y_label, fontsize=10, color=INK)
    axes.tick_params(labelsize=9, colors=GREY, labelcolor=INK)
    axes.grid(visible=True, color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(FAINT)


def spans_widely(values: Sequence[float]) -> bool:
    """Whether values call for a logarithmic axis."""
    return len(values) > 1 and min(values) > 0 and max(values) > LOG_SPAN * min(values)


def plain_log_ticks(axis: Axis, values: Sequence[float]) -> None:
    """Ticks of a logarithmic axis as plain numbers, the fewer the more decades it spans."""
    span = max(values) / min(values)
    subs = (1.0, 2.0, 3.0, 5.0, 7.0) if span < 12 else (1.0, 2.0, 5.0) if span < 100 else (1.0,)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_tick_params(which="minor", color=FAINT)
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def provenance(costs: Costs) -> str:
    """Where both costs of a network come from: `measured`, or `latency measured, energy modelled`."""
    latency: Source = costs.latency_source
    energy: Source = costs.energy_source
    return latency if latency == energy else f"latency {latency}, energy {energy}"


def marker_of(origin: str) -> str:
    """Marker of a source, or of a `provenance` in which two sources meet."""
    return MARKERS.get(origin, MIXED_MARKER)


def legend_marker(label: str, marker: str, colour: str, *, size: float = 8, edge: str = "white") -> Line2D:
    """A legend entry that shows one marker."""
    return Line2D([], [], linestyle="", marker=marker, markersize=size, color=colour, markeredgecolor=edge, label=label)
