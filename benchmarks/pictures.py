"""What pictures of several benchmarks show alike."""

from __future__ import annotations

import numpy.typing as npt
from matplotlib.axes import Axes

LINE_WIDTH = 2.0


def draw_curve(
    axes: Axes,
    x: npt.ArrayLike,
    middle: npt.ArrayLike,
    *,
    low: npt.ArrayLike,
    high: npt.ArrayLike,
    colour: str,
    label: str,
    marker: str | None = None,
) -> None:
    """A curve over trials or networks that vary, with a band from `low` to `high`."""
    axes.plot(x, middle, color=colour, linewidth=LINE_WIDTH, label=label, marker=marker)
    axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
