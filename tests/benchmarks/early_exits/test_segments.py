from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.early_exits.segments import SegmentsConfig, comparisons, drawn, least_ms
from devices.configuration import PRECISIONS, Precision
from search_space.segments import segments_of
from search_space.spaces import space_named


@pytest.mark.parametrize("precision", PRECISIONS)
def test_both_forms_say_the_same(precision: Precision) -> None:
    config = SegmentsConfig(precision=precision).quickened()
    (found,) = comparisons(config)
    assert found.space == "fbnet-micro"
    assert found.logits_difference <= (1e-5 if precision == "fp32" else 0.05)
    assert min(found.one_file_ms, found.bound, found.through_numpy) > 0


def test_networks_that_are_drawn_can_be_cut() -> None:
    space, rng = space_named("fbnet-cifar"), np.random.default_rng(0)
    for _ in range(10):
        operators, exits = drawn(space, rng)
        assert len(segments_of(space, operators, exits)) == 3


def test_a_turn_ends_in_time() -> None:
    calls = []

    def slow() -> list[np.ndarray]:
        calls.append(np.linalg.svd(np.ones((400, 400))))
        return []

    assert least_ms(slow, 10_000) > 0
    assert len(calls) < 10_000


@pytest.mark.parametrize("name", ["networks", "threads", "calls", "rounds"])
def test_options_have_bounds(name: str) -> None:
    values: dict[str, Any] = {name: 0}
    with pytest.raises(ValueError, match=f"`--{name} >= 1` must hold"):
        SegmentsConfig(**values)
