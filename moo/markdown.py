"""Markdown that reports and cards share: tables, and lists of values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with a line for the head and for each row; cells may hold any character but a line's end."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def distinct(values: Iterable[str]) -> str:
    """Each value once, in alphabetical order."""
    return ", ".join(sorted(set(values)))


def span(values: Iterable[float], form: str = ",") -> str:
    """The least and the greatest number, or the only one: `3 to 12`.

    Args:
        values: at least one.
        form: format of a number.
    """
    known = sorted(values)
    low, high = (format(value, form) for value in (known[0], known[-1]))
    return low if low == high else f"{low} to {high}"


def many(number: int, one: str, more: str) -> str:
    """A number with the word that agrees with it."""
    return f"{number} {one if number == 1 else more}"
