"""Which names stand for a table of costs instead of a board. Importing this is quick: the command line uses it."""

from __future__ import annotations

from pathlib import Path

BUILT_IN_NAMES = ("pi4", "pi5")
TABLE_SUFFIXES = (".json", ".txt", ".csv", ".tsv")


def is_table(name: str) -> bool:
    """Whether a `--device` names a table of costs instead of a board."""
    return name in BUILT_IN_NAMES or Path(name.split(",")[0]).suffix.lower() in TABLE_SUFFIXES
