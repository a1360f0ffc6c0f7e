"""The cost tables of a board, one for each runtime configuration, in one file. Start with `read_cost_tables`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from devices.configuration import RuntimeConfiguration
from devices.cost_tables.cost_table import CostTable, cost_table_from, read_json
from search_space.boundary.sealing import write_sealed_json
from search_space.boundary.text import one_line

KEY = "tables"
MOST_TABLES = 500
"""Configurations of one board."""


class CostTables:
    """Tables of one board and one space; each configuration has one. Read-only."""

    def __init__(self, tables: Sequence[CostTable]) -> None:
        """A family.

        Args:
            tables: the base first, which has the full profile.

        Raises:
            ValueError: if there are none, two are for one configuration, or they are for different spaces.
        """
        self._tables = {table.configuration: table for table in tables}
        if not tables or len(self._tables) < len(tables):
            labels = ", ".join(table.configuration.label for table in tables) or "none"
            raise ValueError(f"a family must have one cost table for each configuration, but got {labels}.")
        spaces = {(table.space, table.operators, table.num_layers) for table in tables}
        if len(spaces) > 1:
            raise ValueError(
                f"all tables of a family must be for one search space, but got "
                f"{one_line(', '.join(t.space for t in tables))}."
            )

    def __len__(self) -> int:
        return len(self._tables)

    def __iter__(self) -> Iterator[CostTable]:
        return iter(self._tables.values())

    @property
    def base(self) -> CostTable:
        """The table with the full profile."""
        return next(iter(self._tables.values()))

    @property
    def configurations(self) -> tuple[RuntimeConfiguration, ...]:
        """Those that there are tables for, the base's first."""
        return tuple(self._tables)

    def __getitem__(self, configuration: RuntimeConfiguration) -> CostTable:
        return self._tables[configuration]

    def __contains__(self, configuration: object) -> bool:
        return configuration in self._tables

    def only(self, configurations: Sequence[RuntimeConfiguration]) -> CostTables:
        """The tables of some configurations, in the order given.

        Raises:
            ValueError: if there is none for one of them.
        """
        for configuration in configurations:
            if configuration not in self:
                known = ", ".join(own.label for own in self.configurations)
                raise ValueError(
                    f"the cost tables must be for the configurations that are searched, but have none for "
                    f"{configuration.label}: profile the board for it, or choose among {known}."
                )
        return CostTables([self[configuration] for configuration in configurations])

    def mapped(self, change: Callable[[CostTable], CostTable]) -> CostTables:
        """All tables changed in the same way."""
        return CostTables([change(table) for table in self])

    def to_json(self) -> dict[str, object]:
        """A plain dictionary; of a single table just that table, as `CostTable.to_json` gives it."""
        if len(self) == 1:
            return self.base.to_json()
        return {KEY: [table.to_json() for table in self]}

    def write(self, path: Path) -> None:
        """Write all tables as JSON, for `read_cost_tables`."""
        write_sealed_json(path, self.to_json())


def read_cost_tables(path: Path) -> CostTables:
    """Tables from a JSON file, which may hold a single one.

    Raises:
        ValueError: naming the file, the rule that it breaks, and what it holds.
    """
    content: Any = read_json(path)
    items = content[KEY] if isinstance(content, dict) and set(content) == {KEY} else [content]
    if not isinstance(items, list):
        raise ValueError(
            f"in the cost table file {str(path)!r}: `{KEY}` must be a list, but is {type(items).__name__}."
        )
    if len(items) > MOST_TABLES:
        raise ValueError(
            f"in the cost table file {str(path)!r}: there must be at most {MOST_TABLES} tables, but are {len(items)}."
        )
    tables = [cost_table_from(item, path) for item in items]
    try:
        return CostTables(tables)
    except ValueError as error:
        raise ValueError(f"in the cost table file {str(path)!r}: {error}") from None
