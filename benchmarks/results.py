"""Results of benchmarks: printed as text or JSON, drawn as curves, and written into a folder together with pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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
