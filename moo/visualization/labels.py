"""Labels beside points, placed so that they hide neither each other nor the points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from moo.visualization.style import GREY, INK

Floats = npt.NDArray[np.float64]
FONT_POINTS = 8.0
_DISTANCES = (14, 26, 42, 62, 84)
_ANGLES = np.deg2rad([225, 200, 250, 180, 45, 20, 70, 90, 280, 300, 135, 160, 0])
_LEADER = {"arrowstyle": "-", "color": GREY, "linewidth": 0.7, "shrinkA": 1, "shrinkB": 5}
_LEAST_LEADER = 13.0
"""A text that is no farther away than this needs no line to its point."""
_POINTS_PER_OVERLAP = 30.0
"""How much farther away a label may go to hide one point less."""


def place_labels(
    axes: Axes,
    points: Sequence[tuple[float, float]],
    texts: Sequence[str],
    *,
    avoid: Sequence[tuple[float, float]],
    distances: Sequence[float] = _DISTANCES,
) -> None:
    """Write a text beside each point, with a thin line to it, where it covers the least.

    Args:
        axes: with their final limits and scales.
        points: what is labelled, in data coordinates.
        texts: one a point; lines are parted by newlines.
        avoid: points that should stay visible, in data coordinates.
        distances: from a point to its text that are tried, in points.
    """
    figure = axes.figure
    figure.draw_without_rendering()  # type: ignore[union-attr]
    pixels_per_point = figure.dpi / 72
    frame = axes.get_window_extent()
    taken = [Bbox.from_bounds(x - 7, y - 7, 14, 14) for x, y in axes.transData.transform(np.reshape(avoid, (-1, 2)))]
    labelled = [
        Bbox.from_bounds(x - 7, y - 7, 14, 14) for x, y in axes.transData.transform(np.reshape(points, (-1, 2)))
    ]
    corners_of_taken_N4, corners_of_labelled_N4 = _corners(taken), _corners(labelled)
    legend = axes.get_legend()
    fixed = [legend.get_window_extent()] if legend is not None else []
    for point, text in zip(points, texts, strict=True):
        anchor = axes.transData.transform(point)
        size = _text_size(text) * pixels_per_point
        offsets = [(d * np.cos(a), d * np.sin(a)) for d in distances for a in _ANGLES]
        boxes = [_box(anchor + np.array(offset) * pixels_per_point, size, offset) for offset in offsets]
        offsets_O2 = np.array(offsets) * pixels_per_point
        costs = (
            np.array([_cost(box, frame, taken, fixed) for box in boxes])
            + _crossed(anchor, offsets_O2, corners_of_taken_N4)
            + 3 * _crossed(anchor, offsets_O2, corners_of_labelled_N4, reach=1)
            + np.hypot(*np.array(offsets).T) / _POINTS_PER_OVERLAP
        )
        best = int(np.argmin(costs))
        offset = offsets[best]
        fixed.append(boxes[best].padded(3))
        axes.annotate(
            text,
            point,
            xytext=offset,
            textcoords="offset points",
            ha=_align(offset[0], "left", "center", "right"),
            va=_align(offset[1], "bottom", "center", "top"),
            fontsize=FONT_POINTS,
            family="monospace",
            color=INK,
            linespacing=1.2,
            parse_math=False,
            zorder=6,
            arrowprops=_LEADER | {"relpos": _corner(offset)} if np.hypot(*offset) > _LEAST_LEADER else None,
        )


def _text_size(text: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Width and height in points; a monospaced glyph is 0.602 em wide."""
    lines = text.split("\n")
    return np.array([0.602 * FONT_POINTS * max(map(len, lines)), 1.4 * FONT_POINTS * len(lines)])


def _align(offset: float, positive: str, near_zero: str, negative: str) -> str:
    if abs(offset) < 1:
        return near_zero
    return positive if offset > 0 else negative


def _corner(offset: tuple[float, float]) -> tuple[float, float]:
    """Where on its text, as shares of width and height, a label hangs."""
    shares = {"left": 0.0, "bottom": 0.0, "center": 0.5, "right": 1.0, "top": 1.0}
    return shares[_align(offset[0], "left", "center", "right")], shares[_align(offset[1], "bottom", "center", "top")]


def _box(place: np.ndarray, size: np.ndarray, offset: tuple[float, float]) -> Bbox:
    left, below = _corner(offset)
    return Bbox.from_bounds(place[0] - left * size[0], place[1] - below * size[1], size[0], size[1])


def _cost(box: Bbox, frame: Bbox, taken: Sequence[Bbox], fixed: Sequence[Bbox]) -> float:
    outside = not (frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1)
    return 1000 * outside + 100 * box.count_overlaps(fixed) + box.count_overlaps(taken)


def _corners(boxes: Sequence[Bbox]) -> Floats:
    """Left, bottom, right and top of boxes, shape (N, 4)."""
    return np.array([box.extents for box in boxes], np.float64).reshape(-1, 4)


def _crossed(anchor: Floats, offsets_O2: Floats, corners_N4: Floats, *, reach: float = 14) -> npt.NDArray[np.intp]:
    """Number of boxes on the line from a point to its label, other than those within `reach` pixels of the point.

    Args:
        anchor: the point in pixels, shape (2,).
        offsets_O2: from the point to each place of the label that is tried, in pixels.
        corners_N4: of the boxes.
        reach: in pixels.

    Returns:
        Shape (O,).
    """
    centres_N2 = (corners_N4[:, :2] + corners_N4[:, 2:]) / 2
    lower_N2, upper_N2 = np.hsplit(corners_N4[np.abs(centres_N2 - anchor).max(-1, initial=0) > reach], 2)
    places_OS12 = anchor + np.linspace(0.4, 1, 6)[:, None, None] * offsets_O2[:, None, None]
    inside_OSN = np.all((lower_N2 <= places_OS12) & (places_OS12 <= upper_N2), axis=-1)
    crossed_O: npt.NDArray[np.intp] = np.count_nonzero(np.any(inside_OSN, axis=1), axis=-1)
    return crossed_O
