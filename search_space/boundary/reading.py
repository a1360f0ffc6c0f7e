"""Files of others, and of ours, read with bounds. Start with `read_json`.

Whatever is wrong with a file is one `ValueError` of one line that names the file and, where there is one, the place.
"""

from __future__ import annotations

import codecs
import json
import math
import os
import stat
from pathlib import Path
from typing import Any

import yaml

from search_space.boundary.text import one_line, reason_of

MOST_BYTES = 24 * 2**20
"""Bytes of a text file that are read by default."""
MOST_YAML_BYTES = 2**17
"""YAML is read a thousand times more slowly than JSON."""
DEEPEST = 64
"""Levels of lists and objects within each other that are read."""
LONGEST_NUMBER = 400
"""Characters of a number; a float64 needs 25, and its exact decimals hardly ever come."""
LARGEST_WHOLE = 2**63 - 1
"""What SQLite, NumPy and other programs take for a whole number."""


def read_bytes(path: Path, *, what: str, most: int = MOST_BYTES) -> bytes:
    """What a regular file holds.

    Args:
        path: of the file.
        what: what the file should be, as in `a cost table file`, for messages.
        most: bytes that it may have.

    Raises:
        ValueError: if it is missing, no regular file (a folder, a pipe, a device), cannot be read, or is larger.
    """
    if "\0" in str(path):
        raise ValueError(f"{what} must have a name without zeros, but got {named(path)}.")
    try:
        # Without waiting: a pipe would never answer.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            state = os.fstat(handle)
            if not stat.S_ISREG(state.st_mode):
                kind = "a folder" if stat.S_ISDIR(state.st_mode) else "none"
                raise ValueError(f"{what} must be a file, but {named(path)} is {kind}.")
            with open(handle, "rb", closefd=False) as file:
                # No more memory than it needs, though it may grow; what the system makes has no size.
                content = file.read(min(max(state.st_size, 2**16), most) + 1)
        finally:
            os.close(handle)
    except FileNotFoundError:
        raise ValueError(f"{what} must exist, but got {named(path)}.") from None
    except OSError as error:
        raise ValueError(f"{what} must be readable, but {named(path)} is not: {error.strerror}.") from None
    if len(content) > most:
        raise ValueError(f"{what} must have at most {_size(most)}, but {named(path)} has more.")
    return content


def local_path(text: str | Path) -> Path:
    """What a user names as a file or folder; `~` and `~name` at its beginning stand for a home.

    Raises:
        ValueError: if nobody knows whose home that is, or where.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError(
            f"a path that begins with `~` must lead to a home that is known, but got {named(Path(text))}: write it out."
        ) from None


def named(path: Path) -> str:
    """A path for a message, in quotes."""
    return one_line(repr(str(path)), most=1000)


def read_text(path: Path, *, what: str, most: int = MOST_BYTES) -> str:
    """What a file in UTF-8 holds, or in UTF-16 or UTF-32 with a byte order mark; such a mark is dropped.

    Args:
        path: as for `read_bytes`.
        what: as for `read_bytes`.
        most: as for `read_bytes`.

    Raises:
        ValueError: as `read_bytes`, and if it is none of these.
    """
    content = read_bytes(path, what=what, most=most)
    try:
        return content.decode(_encoding_of(content))
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{what} must be UTF-8 text, but {named(path)} is not, at byte {error.start}: save it as UTF-8."
        ) from None


def _encoding_of(content: bytes) -> str:
    """As editors mark it; UTF-32's mark begins with UTF-16's."""
    if content.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    return "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"


def read_json(path: Path, *, what: str, most: int = MOST_BYTES) -> Any:
    """What a JSON file holds.

    Args:
        path: as for `read_bytes`.
        what: as for `read_bytes`.
        most: as for `read_bytes`.

    Raises:
        ValueError: as `read_text`, and as `parse_json`, naming the file.
    """
    text = read_text(path, what=what, most=most)
    try:
        return parse_json(text)
    except ValueError as error:
        raise ValueError(f"{what} must be JSON, but {named(path)} is not: {reason_of(error)}.") from None


def parse_json(text: str | bytes) -> Any:
    """Plain values of a JSON text: finite numbers, whole ones in 64 bits, and a nesting of at most `DEEPEST` levels.

    Raises:
        ValueError: for anything else, in one line.
    """
    try:
        content = json.loads(text, parse_int=_whole, parse_float=_finite, parse_constant=_no_number)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except json.JSONDecodeError as error:
        raise ValueError(one_line(error)) from None
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no UTF-8 text, at byte {error.start}") from None
    _check_depth(content)
    return content


def read_yaml(path: Path, *, what: str, most: int = MOST_YAML_BYTES) -> Any:
    """What a YAML file holds: plain values without aliases, which can stand for billions of nodes.

    Args:
        path: as for `read_bytes`.
        what: as for `read_bytes`.
        most: as for `read_bytes`.

    Raises:
        ValueError: as `read_text`; if it is no YAML, has aliases, or is nested too deeply.
    """
    text = read_text(path, what=what, most=most)
    try:
        content = yaml.load(text, Loader=_PlainYaml)
        _check_depth(content)
    except RecursionError:
        raise ValueError(f"{what} must be YAML, but {named(path)} is not: {_TOO_DEEP}.") from None
    except (yaml.YAMLError, ValueError, OverflowError, TypeError, LookupError, AttributeError) as error:
        raise ValueError(f"{what} must be YAML, but {named(path)} is not: {reason_of(error)}.") from None
    return content


class _PlainYaml(yaml.SafeLoader):
    def compose_node(self, parent: Any, index: Any) -> Any:
        """A node, unless it stands for another one."""
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, f"it has the alias *{event.anchor}", event.start_mark)
        return super().compose_node(parent, index)


_TOO_DEEP = f"it is nested more than {DEEPEST} levels deep"


def _check_depth(content: object) -> None:
    """Go through the levels one by one, as what is too deep cannot be gone through by calls."""
    level, depth = [content], 0
    while level:
        depth += 1
        if depth > DEEPEST + 1:
            raise ValueError(_TOO_DEEP)
        inner: list[object] = []
        for value in level:
            if isinstance(value, dict):
                inner += [item for item in value.values() if isinstance(item, dict | list)]
            elif isinstance(value, list):
                inner += [item for item in value if isinstance(item, dict | list)]
        level = inner


def _whole(digits: str) -> int:
    # No number of so many digits is made before it is known to be one of 64 bits.
    if len(digits) > 20 or abs(int(digits)) > LARGEST_WHOLE:
        raise ValueError(f"whole numbers must be of 64 bits, but it has {one_line(digits, most=24)}")
    return int(digits)


def _finite(digits: str) -> float:
    value = float(digits) if len(digits) <= LONGEST_NUMBER else math.inf
    if not math.isfinite(value):
        raise ValueError(f"numbers must be finite, but it has {one_line(digits, most=24)}")
    return value


def _no_number(name: str) -> float:
    raise ValueError(f"numbers must be finite, but it has {name}")


def _size(count: int) -> str:
    return f"{count // 2**20} MiB" if count >= 2**20 else f"{count} bytes"
