import math
from collections.abc import Callable

import pytest

from dnas.schedule import lr_factor, lr_factor_within

BOTH = pytest.mark.parametrize("factor", [lr_factor, lr_factor_within])
Factor = Callable[[int, int, float], float]


@BOTH
def test_the_rate_rises_linearly_and_falls_by_half_a_cosine(factor: Factor) -> None:
    factors = [factor(step, 120, 0.25) for step in range(120)]
    assert factors[:30] == pytest.approx([(step + 1) / 31 for step in range(30)])
    assert factors[30:] == pytest.approx([math.cos(math.pi * step / 180) ** 2 for step in range(90)])
    assert factors[30] == 1
    assert factors[75] == pytest.approx(0.5)


@BOTH
def test_without_warmup_the_rate_starts_at_its_peak(factor: Factor) -> None:
    assert [factor(step, 2, 0.0) for step in range(2)] == pytest.approx([1, 0.5])


def test_the_end_of_the_warmup_is_rounded_or_lies_within_a_step() -> None:
    """Of ten steps, two and a half warm up."""
    rounded = [1 / 3, 2 / 3, *(math.cos(math.pi * step / 16) ** 2 for step in range(8))]
    within = [1 / 3.5, 2 / 3.5, 3 / 3.5, *(math.cos(math.pi * (step + 0.5) / 15) ** 2 for step in range(7))]
    assert [lr_factor(step, 10, 0.25) for step in range(10)] == pytest.approx(rounded)
    assert [lr_factor_within(step, 10, 0.25) for step in range(10)] == pytest.approx(within)


def test_steps_beyond_the_last_have_a_rate_of_zero() -> None:
    assert [lr_factor_within(step, 10, 0.25) for step in (10, 11, 20)] == [0, 0, 0]
