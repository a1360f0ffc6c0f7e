"""Which of very many points a picture draws. Start with `thinned`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def thinned(points: Sequence[tuple[float, ...]], most: int) -> list[int]:
    """Places of at most `most` points, spread evenly over their order; all of them where there are no more.

    The least and the largest in each coordinate are always among them, so that axes end where they do with all points.

    Args:
        points: coordinates of each, as drawn.
        most: at least twice the number of coordinates.

    Raises:
        ValueError: if `most` is below that.
    """
    if len(points) <= most:
        return list(range(len(points)))
    points_NM = np.array(points, np.float64)
    ends = np.unique([points_NM.argmin(0), points_NM.argmax(0)])
    if most < 2 * points_NM.shape[1]:
        raise ValueError(f"`most >= {2 * points_NM.shape[1]}` must hold for points that are thinned, but got {most}.")
    others = np.delete(np.arange(len(points)), ends)
    evenly = others[np.linspace(0, len(others) - 1, most - len(ends)).round().astype(int)]
    return [int(place) for place in np.sort(np.concatenate([ends, evenly]))]
