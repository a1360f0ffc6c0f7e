"""Words and patterns of OpenSSH's files."""

from __future__ import annotations

import re

_BLANKS = " \t\r\f"


def words_of(line: str) -> list[str]:
    """Words as OpenSSH splits them: two kinds of quotes, a backslash before quotes and blanks; `#` ends a line.

    Raises:
        ValueError: if a quotation does not end.
    """
    words: list[str] = []
    place = 0
    while True:
        while place < len(line) and line[place] in _BLANKS:
            place += 1
        if place == len(line) or line[place] == "#":
            return words
        word, quote = "", ""
        while place < len(line) and (quote or line[place] not in _BLANKS):
            letter, after = line[place], line[place + 1 : place + 2]
            if letter == "\\" and after and after in ("'", '"', "\\", "" if quote else " "):
                word += after
                place += 1
            elif letter in "'\"" and quote in ("", letter):
                quote = "" if quote else letter
            else:
                word += letter
            place += 1
        if quote:
            raise ValueError("a quotation must end, but does not")
        words.append(word)


def is_like(text: str, pattern: str) -> bool:
    """Whether a text is like a pattern of `*` and `?`; nothing else in it is special."""
    signs = {"*": ".*", "?": "."}
    parts = (signs.get(letter, re.escape(letter)) for letter in re.sub(r"\*+", "*", pattern))
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


def like_one_of(text: str, patterns: str) -> bool:
    """Whether a text is like one of some patterns, with commas between them, and like none that is negated."""
    found = False
    for pattern in patterns.split(","):
        if is_like(text, pattern.removeprefix("!")):
            if pattern.startswith("!"):
                return False
            found = True
    return found
