from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks import rivals

REFERENCE = np.array([1.0, 2.0, 4.0])


def found(method: str, seed: int, *points: tuple[float, float, float]) -> rivals.Found:
    return rivals.Found(method, seed, 10.0 * np.arange(1.0, 1 + len(points), dtype=np.float64), np.array(points))


SEARCHES = [
    found("dnas", 0, (0.5, 1.0, 2.0), (0.25, 1.0, 2.0)),
    found("dnas", 1, (0.5, 1.0, 2.0)),
    found("random", 0, (0.75, 1.0, 2.0)),
    found("random", 1, (0.75, 1.0, 2.0)),
]
CONFIG = rivals.RivalsConfig(methods=("random", "dnas"), seeds=2, budget_seconds=25.0)


def test_hypervolume_is_that_of_what_was_known_at_a_time() -> None:
    search = SEARCHES[0]
    assert search.hypervolume(REFERENCE, 5.0) == 0
    assert search.hypervolume(REFERENCE, 10.0) == pytest.approx(0.5 * 0.5 * 0.5)
    assert search.hypervolume(REFERENCE) == pytest.approx(0.75 * 0.5 * 0.5)


def test_methods_are_compared_by_their_means_the_best_first() -> None:
    first, second = rivals.compared(SEARCHES, REFERENCE, CONFIG.methods)
    assert (first.method, second.method) == ("dnas", "random")
    assert first.hypervolume == pytest.approx((0.1875 + 0.125) / 2)
    # Student's t with one degree of freedom is 12.7062 at 97.5 %.
    assert first.interval == pytest.approx(12.7062 * 0.0625 / 2, rel=1e-4)
    assert second.of_dnas == pytest.approx(0.0625 / first.hypervolume)
    # The best of all is at error 0.25; IGD+ is the distance in error alone.
    assert first.igd_plus == pytest.approx((0 + 0.25) / 2)
    assert second.igd_plus == pytest.approx(0.5)
    assert first.architectures == 1.5


def test_the_picture_has_a_line_for_each_method() -> None:
    left, right = rivals.draw(SEARCHES, REFERENCE, CONFIG).axes
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["random", "dnas"]
    assert len(right.lines) == 2


def test_the_order_of_methods_changes_from_seed_to_seed() -> None:
    assert CONFIG.turns == [("random", 0), ("dnas", 0), ("dnas", 1), ("random", 1)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"methods": ("dnas", "luck")}, "`--methods` must be among dnas, .*, but got luck"),
        ({"seeds": 0}, "`--seeds >= 1` must hold, but got 0"),
        ({"evaluations": (40, 0)}, "`--evaluations >= 1` must hold, but got 0"),
        ({"budget_seconds": 0.0}, "`--budget-seconds > 0` must hold, but got 0.0"),
    ],
)
def test_bad_settings_are_refused(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rivals.RivalsConfig(**settings)
