"""Which exits a network may have together, and how finely their thresholds can be judged. Start with `plans_of`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

from search_space.exits import Exit

Plan = tuple[int, ...]
"""Places of a network's exits among its candidates, ascending; () is the network as it is."""
MOST_LEVELS, LEAST_LEVELS = 101, 6
"""Thresholds of an exit, with 0 and 1: as many as fit, and as few as are worth a look."""


def plans_of(exits: Sequence[Exit], max_exits: int, is_allowed: Callable[[Sequence[Exit]], bool]) -> tuple[Plan, ...]:
    """All plans but the empty one, smaller ones first: at most one exit a layer.

    Args:
        exits: the candidates, in order.
        max_exits: of a plan.
        is_allowed: whether a network may have these exits together.
    """
    return tuple(
        plan
        for size in range(1, max_exits + 1)
        for plan in combinations(range(len(exits)), size)
        if len({exits[place].layer for place in plan}) == size and is_allowed([exits[place] for place in plan])
    )


def levels_of(plans: Sequence[Plan], policies: int) -> dict[int, int]:
    """Thresholds of each exit, by the number of exits of a plan; sizes whose policies are too many are absent.

    Each size gets an even share of the policies, smaller sizes first, and leaves to the next what it has no use for.
    The only plan is never absent.

    Args:
        plans: that are to be judged.
        policies: at most, in all.
    """
    sizes = sorted({len(plan) for plan in plans if plan})
    levels, left = {0: 2}, policies
    for place, size in enumerate(sizes):
        number = sum(len(plan) == size for plan in plans)
        share = left / (len(sizes) - place) / number
        fitting = min(MOST_LEVELS, int(share ** (1 / size) + 1e-9))
        if fitting >= (2 if len(plans) == 1 else LEAST_LEVELS):
            levels[size] = fitting
            left -= number * fitting**size
    return levels
