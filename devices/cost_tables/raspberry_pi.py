"""Built-in."""

from __future__ import annotations

from devices.cost_tables.family import CostTables
from devices.cost_tables.pi4 import pi4_cost_table
from search_space.spaces import FBNetSpace

BUILT_IN_BOARDS = ("pi4", "pi5")


def built_in_tables(name: str, space: FBNetSpace) -> CostTables:
    """Tables."""
    return CostTables([pi4_cost_table(space)])
