"""How pictures become square by default."""

import pytest

from evaluation.data.rules import Resize, default_resize


@pytest.mark.parametrize(
    ("aspect", "portrait", "landscape", "resize"),
    [
        (1.0, 0.0, 0.0, "crop"),
        (1.1, 0.5, 0.5, "crop"),
        (4 / 3, 0.0, 1.0, "stretch"),
        (4 / 3, 1.0, 0.0, "stretch"),
        (4 / 3, 0.05, 0.95, "stretch"),
        (4 / 3, 0.5, 0.5, "pad"),
        (16 / 9, 0.0, 1.0, "stretch"),
        (2.0, 0.0, 1.0, "stretch"),
        (20.0, 0.0, 1.0, "pad"),
    ],
)
def test_as_little_as_possible_is_lost(aspect: float, portrait: float, landscape: float, resize: Resize) -> None:
    assert default_resize(aspect=aspect, portrait=portrait, landscape=landscape) == resize
