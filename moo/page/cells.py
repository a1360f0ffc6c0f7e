"""What the page shows as it is: tables and paragraphs of texts and links, so that scripts need no rules of their own.

A cell is a text, or what `link`, `code` and `lamp` make. Start with `table_json`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

Cell = Any
NONE = "–"


def table_json(label: str, heads: Sequence[Cell], rows: Iterable[Sequence[Cell]]) -> dict[str, Any]:
    """A table.

    Args:
        label: for those who do not see it.
        heads: of its columns.
        rows: a cell for each column.
    """
    return {"label": label, "heads": list(heads), "rows": [list(row) for row in rows]}


def link(text: str, place: str) -> Cell:
    """A link: to an address of the page, or to one below that of the run, such as `network/000`."""
    return {"text": text, "href": place}


def network_link(identifier: str) -> Cell:
    """A link to the page of a network of the run."""
    return link(identifier, f"network/{quote(identifier, safe='')}")


def code(text: str) -> Cell:
    """A name of the program's own."""
    return {"code": text}


def lamp(state: str, detail: str) -> Cell:
    """A state with its sign, and more about it."""
    return {"lamp": state, "detail": detail}


def hover(*lines: str) -> str:
    """Lines beside a point of a chart; what plotly would obey as markup stays text."""
    return "<br>".join(escape(line, quote=False) for line in lines)


def moment(date: str) -> str:
    """A date in UTC to the second: `2026-01-01 12:00:00`."""
    return date[:19].replace("T", " ")
