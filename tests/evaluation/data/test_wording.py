"""What is said of pictures before a search."""

import pytest

from evaluation.data.rules import Resize
from evaluation.data.wording import resolution, shrinking, shrinking_warning


@pytest.mark.parametrize(
    ("width", "height", "resize", "said"),
    [
        (640, 480, "stretch", "whole picture, stretched -> 96x96 (a central square would lose 25 %: --resize crop)"),
        (640, 480, "crop", "central square -> 96x96 (loses 25 % of it: --resize stretch or pad keeps all)"),
        (500, 480, "crop", "central square -> 96x96"),
        (32, 640, "pad", "whole picture between grey bars -> 96x96 (a central square would lose 95 %: --resize crop)"),
    ],
)
def test_what_becomes_of_pictures_is_said(width: int, height: int, resize: Resize, said: str) -> None:
    assert resolution(width, height, resize, 96) == f"{width}x{height} (median) -> {said}"


@pytest.mark.parametrize(("resize", "times"), [("crop", 5.0), ("stretch", 5.0), ("pad", 640 / 96)])
def test_things_are_so_many_times_smaller(resize: Resize, times: float) -> None:
    assert shrinking(640, 480, resize, 96) == pytest.approx(times)


def test_much_shrinking_is_a_warning_with_its_remedy_and_what_that_costs() -> None:
    assert shrinking_warning(5.0, 96, 160) == (
        "5.0 times smaller: what is finer than 96 pixels show is lost. --size 160 keeps nearly all, at about 2.8 times "
        "the time for training and for each inference"
    )


@pytest.mark.parametrize(("times", "detail"), [(3.0, 224), (15.0, 32), (5.0, 96)])
def test_no_warning_where_little_is_lost(times: float, detail: int) -> None:
    assert shrinking_warning(times, 96, detail) is None
