from __future__ import annotations

from itertools import combinations

from matplotlib.figure import Figure
from matplotlib.text import Text

from moo.visualization.labels import place_labels


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
