from __future__ import annotations

from typing import Any

import pytest

from moo.analysis.choices import knee_place, three_of

FRONT = [(0.1, 9.0, 9.0), (0.15, 3.0, 3.0), (0.3, 2.0, 2.0), (0.6, 1.0, 1.0)]


@pytest.mark.parametrize(
    ("front", "beats", "expected"),
    [
        (FRONT, [True] * 4, {"most accurate": 0, "knee": 1, "fastest above chance": 3}),
        (FRONT, [True, True, True, False], {"most accurate": 0, "knee": 1, "fastest above chance": 2}),
        (FRONT, [True, True, False, False], {"most accurate": 0, "knee, fastest above chance": 1}),
        (FRONT, [False] * 4, {"most accurate": 0, "knee": 1, "fastest": 3}),
        (FRONT, [None] * 4, {"most accurate": 0, "knee": 1, "fastest": 3}),
        (FRONT[:1], [True], {"most accurate, knee, fastest above chance": 0}),
        (FRONT[::-1], [True] * 4, {"most accurate": 3, "knee": 2, "fastest above chance": 0}),
    ],
)
def test_three_to_choose_from(front: Any, beats: Any, expected: dict[str, int]) -> None:
    assert {choice.name: choice.place for choice in three_of(front, beats)} == expected


def test_the_knee_of_points_in_any_order_is_the_same() -> None:
    assert FRONT[knee_place(FRONT)] == FRONT[::-1][knee_place(FRONT[::-1])] == (0.15, 3.0, 3.0)
