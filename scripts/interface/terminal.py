"""Text of others in the terminal: neither markup nor control characters in it are obeyed. Start with `plain`."""

from __future__ import annotations

import re

from rich.console import Console
from rich.markup import escape

from search_space.boundary.text import one_line

LONGEST = 8000
"""Characters of a line; commands with long paths are to be copied whole."""
MOST_LINES = 60
"""Of a text of several lines, its last ones are shown."""


def plain(text: object) -> str:
    """A text as one line, for what rich reads as markup."""
    return escape(_line(text))


def plain_lines(text: str) -> str:
    """The last lines of a text, as in a traceback, with their indents, for what rich reads as markup."""
    return "\n".join(plain(line) for line in text.splitlines()[-MOST_LINES:])


def say(console: Console, *lines: object) -> None:
    """Print lines as they are, each on a line of its own however wide the terminal is."""
    for line in lines:
        console.print(_line(line), highlight=False, soft_wrap=True, markup=False)


def tell(console: Console, text: object) -> None:
    """Print sentences, broken between words where the terminal ends."""
    console.print(_line(text), highlight=False, markup=False)


def dashboard_text(url: str | None) -> str:
    """Where Ray's dashboard is, and what it asks for."""
    return "none" if url is None else f"{url} (its token: ray get-auth-token)"


def _line(text: object) -> str:
    """As `one_line`, but blanks that part columns stay."""
    parts = re.split("( {2,12})", str(text)[:LONGEST])
    return "".join(part if part.startswith("  ") else one_line(part, most=LONGEST) for part in parts)
