from __future__ import annotations

from itertools import combinations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from moo.visualization.labels import _overlapping, place_labels


def test_labels_do_not_overlap_and_stay_inside() -> None:
    figure = Figure(figsize=(8, 5), dpi=100)
    axes = figure.add_subplot()
    points = [(1.0, 5.0), (1.1, 5.0), (2.0, 3.0), (5.0, 1.0)]
    axes.set(xlim=(0, 6), ylim=(0, 6))
    place_labels(axes, points, ["00000000\n12 %, 3 ms"] * 4, avoid=points)
    figure.draw_without_rendering()
    texts = [Text.get_window_extent(text) for text in axes.texts]
    assert not any(first.overlaps(second) for first, second in combinations(texts, 2))
    assert len(texts) == 4
    frame = axes.get_window_extent()
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1 for box in texts)


def test_no_points_need_no_labels() -> None:
    axes = Figure().add_subplot()
    place_labels(axes, [], [], avoid=[])
    assert not axes.texts


def test_boxes_that_overlap_are_those_that_matplotlib_finds() -> None:
    rng = np.random.default_rng(0)
    corners_N4 = np.hstack([low_N2 := rng.integers(0, 20, (200, 2)), low_N2 + 14]).astype(float)
    boxes = [Bbox.from_extents(*corners) for corners in corners_N4]
    for _ in range(50):
        box = Bbox.from_bounds(*rng.integers(-5, 40, 2), *rng.integers(1, 9, 2))
        assert len(_overlapping(corners_N4, box)) == box.count_overlaps(boxes)


def test_a_figure_is_laid_out_once_for_all_labels() -> None:
    figure = Figure(layout="constrained")
    columns = figure.subplots(1, 3)
    drawn = []
    figure.draw_without_rendering = lambda: drawn.append(figure)  # type: ignore[method-assign]
    for axes in columns:
        place_labels(axes, [(0.5, 0.5)], ["here"], avoid=[(0.5, 0.5)])
    assert len(drawn) == 1
