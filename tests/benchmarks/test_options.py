from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from benchmarks.options import BenchmarkConfig, check_at_least, check_positive, read_config

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(BenchmarkConfig):
    """A benchmark."""

    jump_seconds: float = 9.0
    """How long."""
    heights: tuple[int, ...] = (1, 2)
    """How high."""

    def __post_init__(self) -> None:
        check_at_least(self, heights=1)
        check_positive(self, "jump_seconds")

    def quickened(self) -> Self:
        return dataclasses.replace(self, jump_seconds=1.0)


def test_quick_stands_for_other_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["jump.py", "--heights", "3", "--jump-seconds", "8", "--json"])
    assert read_config(Config) == Config(heights=(3,), jump_seconds=8.0, json=True)
    monkeypatch.setattr(sys, "argv", ["jump.py", "--heights", "3", "--jump-seconds", "8", "--quick"])
    assert read_config(Config) == Config(heights=(3,), jump_seconds=1.0, quick=True)


def test_bounds_hold_for_all_of_several_values() -> None:
    with pytest.raises(ValueError, match="`--heights >= 1` must hold, but got -2"):
        Config(heights=(3, -2))


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_positive_options_are_finite_and_named_as_on_the_command_line(seconds: float) -> None:
    with pytest.raises(ValueError, match="`--jump-seconds > 0` must hold, but got"):
        Config(jump_seconds=seconds)
