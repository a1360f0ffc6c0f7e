"""Rows of numbers from a text file, however an editor or a spreadsheet has saved it. Start with `parse_text_table`.

Cells are separated by commas, semicolons, tabs or blanks, and may be quoted. Decimals have points, or commas as in a
German Excel. Blank lines, comments (`#`, `//`), empty cells at the end and a column of layer numbers are left out.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from search_space.boundary.text import shown

_SPACE = re.compile(r"space\s*[:=]\s*(\S+)", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.ASCII | re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?", re.ASCII)
_THOUSANDS = re.compile(r"[1-9]\d{0,2}([.,]\d{3})+", re.ASCII)
_LAYER_NAMES = ("", "layer", "layers", "index", "#", "no", "no.", "nr", "id")

Row = tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class TextTable:
    """The cells of a file, with decimal points."""

    names: Row | None
    """Of the columns, as they stand there; None if the file has no header."""
    rows: tuple[Row, ...]
    space: str | None
    """The space that a comment `# space: NAME` says it is for."""


def parse_text_table(text: str, path: Path) -> TextTable:
    """The cells of a text table.

    Args:
        text: what the file holds.
        path: of the file, for messages.

    Raises:
        ValueError: if the file is no text, or if it cannot be told what separates cells or decimals.
    """
    if "\0" in text:
        raise ValueError(f"a cost table file must be text, but {str(path)!r} holds zero bytes: save it as UTF-8 text.")
    lines, comments = _lines_and_comments(text)
    names, space = None, None
    for comment in comments:
        if found := _SPACE.fullmatch(comment):
            space = found[1]
    separator = _separator(lines)
    # Who separates by semicolons has decimal commas, if any.
    rows = _with_points(_cells(lines, separator, path), path, may_group=separator != ";")
    if rows and not all(map(is_number, rows[0])):
        names, rows = rows[0], rows[1:]
    elif comments and rows:
        names = _commented_names(comments, len(rows[0]))
    names, rows = _without_layer_numbers(names, rows)
    return TextTable(names=names, rows=tuple(rows), space=space)


def is_number(word: str) -> bool:
    """Whether a cell is a number, infinite ones and `nan` included."""
    return _NUMBER.fullmatch(word) is not None


def _lines_and_comments(text: str) -> tuple[list[str], list[str]]:
    lines, comments = [], []
    for line in text.splitlines():
        kept, mark, comment = re.sub(r"^(\W*)//", r"\1#", line).partition("#")
        if kept.strip(" \t;,\"'"):
            lines.append(kept.strip(" "))
        elif mark:
            comments.append(comment.strip(" \t;,\"'"))
    if lines and re.fullmatch(r"sep=.", lines[0].strip(), re.IGNORECASE):
        # Excel's own line.
        del lines[0]
    return lines, comments


def _cells(lines: Sequence[str], separator: str | None, path: Path) -> list[Row]:
    if separator is None:
        return [tuple(word.strip("\"'") for word in line.split()) for line in lines]
    try:
        rows = csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)
        return [_trimmed(row) for row in rows]
    except csv.Error as error:
        raise ValueError(f"the cost table file {str(path)!r} must have whole quotation marks: {error}.") from None


def _separator(lines: Sequence[str]) -> str | None:
    """None for blanks."""
    for separator in ";\t":
        if any(separator in line.strip() for line in lines):
            return separator
    outside = [re.sub(r"\"[^\"]*\"|'[^']*'", "x", line) for line in lines]
    if not any("," in line for line in outside):
        return None
    # A comma within a word of several is a decimal's.
    return None if any(re.search(r"\S\s+[^\s,]", re.sub(r"\s*,\s+", ",", line).strip()) for line in outside) else ","


def _trimmed(row: Sequence[str]) -> Row:
    cells = [cell.strip().strip("'").strip() for cell in row]
    while cells and not cells[-1]:
        del cells[-1]
    return tuple(cells)


def _with_points(rows: list[Row], path: Path, *, may_group: bool) -> list[Row]:
    """The rows with decimal points; what may be decimals or thousands is refused."""
    numbers = [cell for row in rows for cell in row if re.search(r"[.,]", cell) and re.search(r"\d", cell)]
    commas = [cell for cell in numbers if "," in cell]
    others = [cell for cell in numbers if "." in cell]
    grouped = may_group and bool(numbers) and all(_THOUSANDS.fullmatch(cell) for cell in numbers)
    if commas and (others or grouped):
        raise ValueError(
            f"the cost table file {str(path)!r} must have decimal points or decimal commas and no marks of thousands, "
            f"but has {shown((others or commas[1:] or commas)[0])} and {shown(commas[0])}: save it without thousands."
        )
    return [tuple(cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell for cell in row) for row in rows]


def _commented_names(comments: Sequence[str], columns: int) -> Row | None:
    """The header of a file whose header is a comment, as `numpy.savetxt` writes it."""
    for comment in comments:
        words = re.split(r"[\s;,]+", comment)
        if len(words) == columns and not any(map(is_number, words)) and any("_" in word for word in words):
            return tuple(words)
    return None


def _without_layer_numbers(names: Row | None, rows: list[Row]) -> tuple[Row | None, list[Row]]:
    """Without a first column that counts the layers from 0 or 1, which must have a name that says so, or none."""
    if names is None or not rows:
        return names, rows
    counted = [row[0] if row else "" for row in rows]
    is_count = counted in [[str(start + index) for index in range(len(rows))] for start in (0, 1)]
    if is_count and names[0].lower() in _LAYER_NAMES:
        return names[1:], [row[1:] for row in rows]
    if is_count and all(len(row) == len(names) + 1 for row in rows):
        return names, [row[1:] for row in rows]
    return names, rows
