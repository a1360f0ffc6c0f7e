"""Some images of a data set as they are, and as networks see them."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from moo.visualization.style import INK, new_figure

COLUMNS = 3
LONGEST = 400
"""Pixels of the longer side that are drawn of an image as it is."""


@dataclass(frozen=True)
class Sample:
    """An image."""

    label: str
    """Name of its class."""
    original: Image.Image
    """As it is, upright."""
    seen: Image.Image
    """As a network sees it."""


def samples_figure(samples: Sequence[Sample], *, size: int, said: str) -> Figure:
    """Each image as it is at the left, and as networks see it at the right.

    Args:
        samples: at least one.
        size: height and width that networks take, in pixels.
        said: what becomes of pictures.
    """
    rows = math.ceil(len(samples) / COLUMNS)
    columns = min(COLUMNS, len(samples))
    title = f"As networks see it: {size} x {size} pixels"
    figure = new_figure(4.2 * columns, 1.95 * rows + 0.9, title, said.replace("->", "→"))
    axes = figure.subplots(rows, 2 * columns, squeeze=False)
    for one in axes.flat:
        one.set_axis_off()
    for place, sample in enumerate(samples):
        row, column = divmod(place, columns)
        left, right = axes[row, 2 * column], axes[row, 2 * column + 1]
        original = sample.original.copy()
        original.thumbnail((LONGEST, LONGEST))
        _draw(left, original, textwrap.shorten(sample.label, 28, placeholder="…"))
        _draw(right, sample.seen, f"{size} x {size}")
    return figure


def _draw(axes: Axes, image: Image.Image, title: str) -> None:
    axes.imshow(image, interpolation="nearest")
    axes.set_title(title, fontsize=9, color=INK, parse_math=False)
