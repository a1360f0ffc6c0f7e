"""Outside text made harmless: one line, no control characters, bounded, escaped for where it is shown.

Start with `one_line`. Text is outside text if a file, a board, a meter, a data set or a server said it.
"""

from __future__ import annotations

import html
import re
import reprlib
import shlex
import unicodedata
from collections.abc import Iterable

LONGEST_LINE = 300
"""Characters of outside text that are shown by default."""
_SHOWN = 120
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
"""Unicode categories of what is not seen, or steers what is: controls, formats (for direction, too), no characters."""
_JOINERS = "\u200c\u200d"
"""Formats that words and emoji need, and that steer nothing."""
_MARKDOWN = re.compile(r"(?<![^\W_])_|_(?![^\W_])|[\\`*\[\]<>~&$]")
"""Markup within a line; an underscore within a word is none."""
_BLOCK_MARK = re.compile(r"(?:#{1,6}|[-+=:>]|\d{1,9}[.)])(?=\s|$)|-{3,}|={3,}")
"""What begins a heading, a list, a quotation or a rule at the beginning of a line."""
_ADDRESS = re.compile(r"(?i)(https?|ftp)(:)|(www)(\.)")
"""What viewers of Markdown turn into links by themselves."""


def one_line(text: object, *, most: int = LONGEST_LINE) -> str:
    """A text as one printable line: runs of blanks and line ends are one blank, what is not printable is a `\\ufffd`.

    Args:
        text: anything; what is no text is shown as `str` shows it.
        most: characters that are kept; of a longer text the beginning, with an ellipsis.
    """
    source = text if isinstance(text, str) else _str_of(text)
    if len(source) <= most and source.isprintable() and source.strip() == source and "  " not in source:
        return source
    # Cut first: a text of a gigabyte must not be gone through, and may shrink by blanks alone.
    cut = source[: 8 * most + 64]
    clean = "".join(_printable(letter) for letter in cut)
    line = " ".join(clean.split())
    if len(line) > most or len(cut) < len(source):
        line = line[: max(0, most - 1)].rstrip() + "…"
    return line


def markdown(text: object, *, most: int = LONGEST_LINE) -> str:
    """A text as one line that Markdown, and the HTML that is made of it, shows as it is: no markup, link or cell's end.

    Args:
        text: as for `one_line`.
        most: as for `one_line`, before escaping.
    """
    line = _MARKDOWN.sub(r"\\\g<0>", one_line(text, most=most)).replace("|", "&#124;")
    line = _ADDRESS.sub(lambda found: "\\".join(part for part in found.groups() if part), line)
    mark = _BLOCK_MARK.match(line)
    if mark is None:
        return line
    place = mark.end() - 1 if mark.group()[0].isdigit() else 0
    return f"{line[:place]}\\{line[place:]}"


def code(text: object, *, most: int = LONGEST_LINE) -> str:
    """A text as one line of code in Markdown, with as many backticks as it takes; it shows the text as it is.

    Args:
        text: as for `one_line`.
        most: as for `one_line`.
    """
    line = one_line(text, most=most)
    runs = {len(run) for run in re.findall(r"`+", line)}
    fence = next("`" * length for length in range(1, len(line) + 2) if length not in runs)
    pad = " " if line.startswith("`") or line.endswith("`") or not line else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def html_text(text: object, *, most: int = LONGEST_LINE) -> str:
    """A text as one line of HTML, also within a quoted attribute.

    Args:
        text: as for `one_line`.
        most: as for `one_line`, before escaping.
    """
    return html.escape(one_line(text, most=most), quote=True)


def command_line(words: Iterable[str]) -> str:
    """Words of a command as one line that a shell takes apart into the same words, whatever is in them.

    Args:
        words: program and arguments; what is not printable is written as bash, zsh and the shell of POSIX 2024 read it.
    """
    return " ".join(shlex.quote(word) if word.isprintable() else f"$'{_escaped(word)}'" for word in words)


def shown(value: object, *, most: int = _SHOWN) -> str:
    """An outside value for a message, as `repr` shows it, but bounded in length, depth and time.

    Args:
        value: plain data.
        most: characters that are kept.
    """
    try:
        text = _REPR.repr(value)
    except (ValueError, RecursionError):
        text = f"a value of type {type(value).__name__}"
    return one_line(text, most=most)


def reason_of(error: BaseException, *, most: int = LONGEST_LINE) -> str:
    """What an error says, as one line without a full stop at its end; its type where it says nothing.

    Args:
        error: as it was caught.
        most: characters that are kept.
    """
    return one_line(error, most=most).rstrip(".") or type(error).__name__


def last_line(text: str) -> str:
    """The last line of a text that is not blank, as a traceback ends with its error; empty where there is none."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def _printable(letter: str) -> str:
    if letter == " " or letter in _JOINERS:
        return letter
    if letter.isspace():
        return " "
    return "\ufffd" if unicodedata.category(letter) in _HIDDEN else letter


def _escaped(word: str) -> str:
    r"""For `$'...'`; octal digits are three at most, where `\x` would take in letters that follow."""
    return "".join(
        f"\\{letter}" if letter in "\\'" else letter if letter.isprintable() else _octal(letter) for letter in word
    )


def _octal(letter: str) -> str:
    try:
        # File names that are no UTF-8 hold their bytes as surrogates.
        encoded = letter.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        encoded = b"?"
    return "".join(f"\\{byte:03o}" for byte in encoded)


def _str_of(value: object) -> str:
    try:
        return str(value)
    except Exception:
        return f"a value of type {type(value).__name__}"


class _BoundedRepr(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = _SHOWN
        self.maxlevel = 3

    def repr_int(self, value: int, level: int) -> str:
        """A whole number; one of thousands of digits may not be written out at all."""
        del level
        return repr(value) if value.bit_length() < 256 else f"a whole number of {value.bit_length()} bits"

    def repr_bytes(self, value: bytes, level: int) -> str:
        """The beginning of a long one."""
        del level
        return repr(value) if len(value) <= _SHOWN else f"{value[:_SHOWN]!r}..."


_REPR = _BoundedRepr()
