"""Results of benchmarks: means with intervals, printed as text or JSON, drawn, and written into a folder."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from search_space.boundary.writing import write_json

Pictures = Mapping[str, Callable[[], Figure]]
"""Drawn when they are written, by file name."""

LINE_WIDTH = 2.0


def print_results(content: object, lines: Iterable[str], *, as_json: bool) -> None:
    """Print results for programs, or lines for people.

    Args:
        content: plain values that JSON can hold.
        lines: made only where they are printed.
        as_json: whether a program reads it.
    """
    if as_json:
        print(json.dumps(content, indent=1))
        return
    for line in lines:
        print(line)


def write_results(out: str | None, content: Mapping[str, Any], pictures: Pictures) -> None:
    """Write `results.json` and pictures into a folder, which is made if needed; nothing without a folder."""
    if out is None:
        return
    folder = Path(out).expanduser()
    write_json(folder / "results.json", content)
    for name, draw in pictures.items():
        draw().savefig(folder / name)


def half_width(values: npt.ArrayLike) -> float:
    """Of the 95 % interval of the mean (Student's t); 0 of one value."""
    value_N = np.asarray(values, np.float64)
    if len(value_N) < 2:
        return 0.0
    return float(stats.t.ppf(0.975, len(value_N) - 1) * value_N.std(ddof=1) / len(value_N) ** 0.5)


def with_interval(mean: float, half: float) -> str:
    """A mean and its interval with no more digits than it carries, as in `0.9823 ± 0.0002`; four without one."""
    if half <= 0:
        return f"{mean:.4f}"
    # One digit of the interval; two where that is a 1.
    digits = max(0, -math.floor(math.log10(half)) + (f"{half:.0e}"[0] == "1"))
    return f"{mean:.{digits}f} ± {half:.{digits}f}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A column of a table in text."""

    title: str
    width: int
    form: str = ""
    """Format of its values, as in `.1%`."""
    unit: str = ""
    """What stands after each value."""
    left: bool = False
    """Whether it is aligned to the left."""

    def cell(self, text: str) -> str:
        """A text, padded to the width of the column."""
        return f"{text:<{self.width}}" if self.left else f"{text:>{self.width}}"


class TextTable:
    """A table of fixed columns, printed row by row as results come in."""

    def __init__(self, *columns: Column) -> None:
        self.columns = columns

    @property
    def head(self) -> str:
        """The line of titles."""
        return " ".join(column.cell(column.title) for column in self.columns)

    def row(self, *values: object) -> str:
        """A line of values, one a column; None leaves its column empty."""
        pairs = zip(self.columns, values, strict=True)
        return " ".join(
            column.cell("" if value is None else f"{value:{column.form}}{column.unit}") for column, value in pairs
        )


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
