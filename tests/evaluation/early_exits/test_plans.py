from __future__ import annotations

import pytest

from evaluation.early_exits.plans import LEAST_LEVELS, MOST_LEVELS, levels_of, plans_of
from search_space.exits import Exit

EXITS = (Exit(1, "linear"), Exit(1, "conv"), Exit(4, "linear"), Exit(6, "conv"))


def test_a_plan_has_one_exit_a_layer_and_what_is_allowed() -> None:
    assert plans_of(EXITS, 2, lambda exits: True) == ((0,), (1,), (2,), (3,), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
    assert plans_of(EXITS, 3, lambda exits: len(exits) != 2) == ((0,), (1,), (2,), (3,), (0, 2, 3), (1, 2, 3))
    assert plans_of(EXITS, 0, lambda exits: True) == ()


@pytest.mark.parametrize("policies", [50, 1_000, 30_000, 10**7])
def test_grids_are_as_fine_as_the_policies_allow(policies: int) -> None:
    plans = plans_of(EXITS, 3, lambda exits: True)
    levels = {size: number for size, number in levels_of(plans, policies).items() if size}
    assert sum(levels[len(plan)] ** len(plan) for plan in plans if len(plan) in levels) <= policies
    assert all(LEAST_LEVELS <= number <= MOST_LEVELS for number in levels.values())
    if policies == 10**7:
        assert levels == {1: MOST_LEVELS, 2: MOST_LEVELS, 3: MOST_LEVELS}
