"""Labels beside points, placed so that they hide neither each other nor the points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.layout_engine import PlaceHolderLayoutEngine
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
    _lay_out(axes)
    pixels_per_point = axes.figure.dpi / 72
    frame = axes.get_window_extent()
    corners_of_taken_N4, corners_of_labelled_N4 = (_corners(axes, places) for places in (avoid, points))
    legend = axes.get_legend()
    fixed = [legend.get_window_extent()] if legend is not None else []
    for point, text in zip(points, texts, strict=True):
        anchor = axes.transData.transform(point)
        size = _text_size(text) * pixels_per_point
        offsets = [(d * np.cos(a), d * np.sin(a)) for d in distances for a in _ANGLES]
        boxes = [_box(anchor + np.array(offset) * pixels_per_point, size, offset) for offset in offsets]
        offsets_O2 = np.array(offsets) * pixels_per_point
        taken_N4 = _within(corners_of_taken_N4, boxes, anchor)
        costs = (
            np.array([_cost(box, frame, taken_N4, fixed) for box in boxes])
            + _crossed(anchor, offsets_O2, taken_N4)
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


def _lay_out(axes: Axes) -> None:
    """Give the figure its layout, once: labels lie within axes and change nothing in it."""
    figure = axes.figure
    if not isinstance(figure.get_layout_engine(), PlaceHolderLayoutEngine):
        figure.draw_without_rendering()  # type: ignore[union-attr]
        figure.set_layout_engine("none")  # type: ignore[union-attr]


def _cost(box: Bbox, frame: Bbox, taken_N4: Floats, fixed: Sequence[Bbox]) -> float:
    outside = not (frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1)
    return 1000 * outside + 100 * box.count_overlaps(fixed) + len(_overlapping(taken_N4, box))


def _overlapping(corners_N4: Floats, box: Bbox) -> Floats:
    left_N, bottom_N, right_N, top_N = corners_N4.T
    found_N4: Floats = corners_N4[(left_N < box.x1) & (box.x0 < right_N) & (bottom_N < box.y1) & (box.y0 < top_N)]
    return found_N4


def _within(corners_N4: Floats, boxes: Sequence[Bbox], anchor: Floats) -> Floats:
    """Those that may overlap one of the boxes or a line to it from the point in question."""
    x, y = anchor
    return _overlapping(corners_N4, Bbox.union([*boxes, Bbox.from_extents(x, y, x, y)]).padded(1))


def _corners(axes: Axes, points: Sequence[tuple[float, float]]) -> Floats:
    """Left, bottom, right and top in pixels of what points cover, shape (N, 4)."""
    places_N2 = axes.transData.transform(np.reshape(points, (-1, 2)))
    return np.hstack([places_N2 - 7, places_N2 + 7])


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
