from __future__ import annotations

import numpy as np
import pytest

from moo.analysis.thinning import thinned


@pytest.mark.parametrize("number", [0, 1, 20])
def test_few_points_are_all_drawn(number: int) -> None:
    assert thinned([(float(place), 1.0) for place in range(number)], 20) == list(range(number))


@pytest.mark.parametrize("number", [21, 22, 1000])
def test_of_many_points_some_are_drawn_and_axes_end_where_they_did(number: int) -> None:
    points = np.random.default_rng(number).normal(size=(number, 3))
    places = thinned([tuple(point) for point in points.tolist()], 20)
    assert len(places) == len(set(places)) == 20
    assert places == sorted(places)
    assert (points[places].min(0) == points.min(0)).all()
    assert (points[places].max(0) == points.max(0)).all()


def test_the_drawn_points_are_spread_over_all() -> None:
    places = thinned([(float(place),) for place in range(1000)], 100)
    assert max(np.diff(places)) <= 12


def test_fewer_than_the_ends_of_all_axes_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="`most >= 4` must hold for points that are thinned, but got 3"):
        thinned([(0.0, 0.0)] * 5, 3)
