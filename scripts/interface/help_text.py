"""What `--help` prints: the usage, examples, and options in groups, within the width of the terminal.

`--help` has the common options of a page, each with its first sentence; `--help-all` has all of them in full.
"""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.interface.options import Option

ROOT = Path(__file__).parents[2]
HEAD, WIDEST = 26, 100
NO_BREAK = "\N{NO-BREAK SPACE}"
METAVARS = {
    "dataset": "DATA", "space": "SPACE", "device": "BOARD", "meter": "METER", "out": "PATH", "resume": "FOLDER",
    "from": "FOLDER", "run": "RUN", "cost-table": "FILE", "like": "FILE", "weights": "FILE", "wheels": "FOLDER",
    "python": "FILE", "only": "ID", "address": "ADDRESS", "architecture": "NAME",
    "image-column": "NAME", "label-column": "NAME",
}  # fmt: skip
UNITS = {"ms": "MS", "mj": "MJ", "mhz": "MHZ", "minutes": "MIN"}
_KINDS = {int: "N", float: "X", str: "TEXT"}


@dataclass(frozen=True)
class OptionGroup:
    """Options that belong together, by the names that are typed; the most useful first."""

    title: str
    common: tuple[str, ...] = ()
    """Those that `--help` shows."""
    more: tuple[str, ...] = ()
    """Those that only `--help-all` shows."""


@dataclass(frozen=True)
class HelpPage:
    """How the options of a command are presented."""

    examples: tuple[tuple[str, str], ...] = ()
    """The commonest uses: options, and what they do."""
    groups: tuple[OptionGroup, ...] = ()


def group(title: str, common: str = "", more: str = "") -> OptionGroup:
    """A group from names with blanks between them.

    Args:
        title: its name.
        common: options that `--help` shows.
        more: options that only `--help-all` shows.
    """
    return OptionGroup(title, tuple(common.split()), tuple(more.split()))


def help_text(options: Sequence[Option], page: HelpPage, *, description: str, everything: bool = False) -> str:
    """The text of `--help`, or of `--help-all`.

    Args:
        options: of the command.
        page: their groups; what is in none comes last.
        description: what the command does, at the top.
        everything: whether all options are shown, in full.
    """
    width = min(shutil.get_terminal_size().columns, WIDEST)
    program = _program()
    places = " ".join(metavar(option) for option in options if option.is_positional)
    lines = [f"usage: {program}{f' {places}' * bool(places)} [options]", ""]
    for paragraph in description.split("\n\n"):
        lines += [*textwrap.wrap(" ".join(paragraph.split()), width), ""]
    if page.examples:
        lines += ["examples:", *_example_lines(program, page.examples, width), ""]
    shown = 0
    for title, members in _members(options, page, everything=everything):
        lines.append(f"{title}:")
        for option in members:
            lines += _option_lines(option, width, everything=everything)
        lines.append("")
        shown += len(members)
    lines += textwrap.wrap(_ending(options, shown), width, break_on_hyphens=False)
    return "\n".join(lines).rstrip() + "\n"


def _program() -> str:
    """How this command was called, as it is typed."""
    script = Path(sys.argv[0])
    if script.suffix != ".py":
        return script.name
    if script.is_absolute() and script.is_relative_to(ROOT):
        script = script.relative_to(ROOT)
    return f"python {script}"


def _example_lines(program: str, examples: Sequence[tuple[str, str]], width: int) -> Iterator[str]:
    for options, meaning in examples:
        yield f"  # {meaning}"
        # An option stays on one line with its value.
        words = re.sub(r" (?!--)", NO_BREAK, f"{program} {options}".strip())
        lines = textwrap.wrap(words, width - 8, break_long_words=False, break_on_hyphens=False)
        yield "  " + " \\\n      ".join(lines).replace(NO_BREAK, " ")


def _members(options: Sequence[Option], page: HelpPage, *, everything: bool) -> Iterator[tuple[str, list[Option]]]:
    left = {option.name: option for option in options}
    for part in page.groups:
        more = [left.pop(name) for name in part.more if name in left]
        common = [left.pop(name) for name in part.common if name in left]
        if members := common + more * everything:
            yield part.title, members
    if left:
        yield "other options" if page.groups else "options", [*left.values()]


def _option_lines(option: Option, width: int, *, everything: bool) -> Iterator[str]:
    head, text = f"  {_head(option)}", option.text if everything else first_sentence(option.text)
    if default := _default_text(option):
        text = f"{text.removesuffix('.')} ({default})."
    lines = textwrap.wrap(text, width - HEAD, break_long_words=False, break_on_hyphens=False) or [""]
    if len(head) > HEAD - 2:
        yield from textwrap.wrap(head, width, subsequent_indent=" " * 6, break_on_hyphens=False)
        head = ""
    for line in lines:
        yield f"{head:{HEAD}}{line}".rstrip()
        head = ""


def _head(option: Option) -> str:
    if option.is_positional:
        return metavar(option)
    if option.is_boolean:
        return f"--{option.name}" if option.default is False else f"--{option.name}/--no-{option.name}"
    return f"--{option.name} {metavar(option)}"


def metavar(option: Option) -> str:
    """What stands for the value of an option, in capitals, or the words that it takes."""
    kind, last = option.kind, option.name.rpartition("-")[2]
    if option.choices:
        word = "{" + ",".join(option.choices) + "}"
    elif typing.get_origin(kind) is tuple and Ellipsis not in typing.get_args(kind):
        return "LOW HIGH" if len(typing.get_args(kind)) == 2 else " ".join("X" for _ in typing.get_args(kind))
    else:
        single = typing.get_args(kind)[0] if typing.get_origin(kind) is tuple else kind
        fallback = option.name.upper() if option.is_positional else _KINDS.get(single, "TEXT")
        word = METAVARS.get(option.name) or UNITS.get(last) or fallback
    is_list = typing.get_origin(kind) is tuple and not option.is_repeatable
    return f"{word} [...]" if is_list else word


def first_sentence(text: str) -> str:
    """A text up to its first full stop that a capital or a backtick follows."""
    return re.split(r"(?<=[.)])\s+(?=[A-Z`])", text, maxsplit=1)[0]


def _default_text(option: Option) -> str:
    if option.is_required:
        return "required" * (not option.is_positional)
    value = option.default
    if value in (None, (), "default") or value is False:
        return ""
    if isinstance(value, bool):
        return f"default: --{option.name}"
    values = value if isinstance(value, tuple) else (value,)
    return f"default: {' '.join(f'{one:g}' if isinstance(one, float) else str(one) for one in values)}"


def _ending(options: Sequence[Option], shown: int) -> str:
    more = f"--help-all shows all {len(options)} options in full. " * (shown < len(options))
    word = next((option.name for option in options if option.is_boolean and option.default is False), None)
    return more if word is None else f"{more}Options without a value, like --{word}, are undone by --no-{word}."
