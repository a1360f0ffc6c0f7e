"""What options a config dataclass gives a command line: names, kinds, texts and defaults, and how booleans are typed.

`options_of` reads them from the dataclass, whose fields have a docstring each; nothing else is imported.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import inspect
import itertools
import textwrap
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tyro.conf import Positional, UseAppendAction

_YES_OR_NO = {"true": True, "false": False}


class MisspeltError(ValueError):
    """A word of the command line that is no option, or not its value."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """One option of a command line."""

    name: str
    """As it is typed, without hyphens in front."""
    kind: Any
    """Type of its value, without None and annotations."""
    is_optional: bool
    """Whether its value may be None."""
    is_positional: bool
    is_repeatable: bool
    """Whether it is given once for each of its values."""
    text: str
    """What it does: the field's docstring in one line."""
    default: Any = dataclasses.MISSING

    @property
    def is_boolean(self) -> bool:
        """Whether it is typed as `--name` or `--no-name`."""
        return self.kind is bool

    @property
    def is_required(self) -> bool:
        """Whether it has to be given."""
        return self.default is dataclasses.MISSING

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that it takes; none where any will do."""
        kind = typing.get_args(self.kind)[0] if typing.get_origin(self.kind) is tuple else self.kind
        return tuple(map(str, typing.get_args(kind))) if typing.get_origin(kind) is Literal else ()


def options_of(config_type: type, default: Any = None) -> list[Option]:
    """All options of a config, in the order of its fields; those of nested configs are flat.

    Args:
        config_type: a dataclass with a docstring a field.
        default: an instance whose values are the defaults, instead of the class's own.
    """
    return [*_options(config_type, default)]


def _options(config_type: type, default: Any) -> Iterator[Option]:
    hints, texts = typing.get_type_hints(config_type, include_extras=True), _field_texts(config_type)
    for field in dataclasses.fields(config_type):
        value = _default_of(field) if default is None else getattr(default, field.name)
        kind, marks = hints[field.name], tuple[Any, ...]()
        if typing.get_origin(kind) is typing.Annotated:
            kind, marks = typing.get_args(kind)[0], kind.__metadata__
        if dataclasses.is_dataclass(kind):
            yield from _options(typing.cast(type, kind), None if value is dataclasses.MISSING else value)
            continue
        kind, is_optional = _without_none(kind)
        other_names = [mark.name for mark in marks if isinstance(getattr(mark, "name", None), str)]
        yield Option(
            name=other_names[0] if other_names else field.name.replace("_", "-"),
            kind=kind,
            is_optional=is_optional,
            is_positional=any(mark is Positional for mark in marks),
            is_repeatable=any(mark is UseAppendAction for mark in marks),
            text=texts.get(field.name, ""),
            default=value,
        )


def _default_of(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _without_none(kind: Any) -> tuple[Any, bool]:
    if typing.get_origin(kind) not in (typing.Union, types.UnionType):
        return kind, False
    kinds = [item for item in typing.get_args(kind) if item is not type(None)]
    optional = len(kinds) < len(typing.get_args(kind))
    return (kinds[0] if len(kinds) == 1 else str), optional


def _field_texts(config_type: type) -> dict[str, str]:
    """The docstring of each field, in one line; those of a subclass come before its bases'."""
    texts: dict[str, str] = {}
    for owner in reversed(config_type.__mro__):
        if not dataclasses.is_dataclass(owner):
            continue
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
        body = typing.cast(ast.ClassDef, definition).body
        for item, following in itertools.pairwise(body):
            is_text = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and is_text:
                texts[item.target.id] = " ".join(str(following.value.value).split())  # type: ignore[attr-defined]
    return texts


def in_plain_spelling(argv: Sequence[str], options: Iterable[Option]) -> list[str]:
    """The words of a command line with every boolean as the parser takes it; other words as they are.

    `--name`, `--no-name`, `--name True` and `--name=False` all work, for booleans that may be left to be found out too.

    Raises:
        MisspeltError: for an option that is not there, naming the nearest one, and for a boolean with another value.
    """
    by_name = {option.name: option for option in options}
    takes_words = any(option.is_positional for option in by_name.values())
    words, plain = list(argv), list[str]()
    while words:
        word = words.pop(0)
        name, has_value, value = word[2:].partition("=")
        name = name.replace("_", "-")
        if not word.startswith("--") or name in ("", "help"):
            plain.append(word)
            continue
        positive = name.removeprefix("no-") if name not in by_name else name
        option = by_name.get(positive)
        if option is None or option.is_positional or (positive != name and not option.is_boolean):
            raise MisspeltError(f"there is no option --{name}{_nearest(name, by_name)}")
        if not option.is_boolean:
            plain.append(f"--{name}{has_value}{value}")
            continue
        if not has_value and words and _is_value(words[0], option):
            value = words.pop(0)
        elif not has_value and words and not takes_words and not words[0].startswith("-"):
            value = words[0]
        plain += _plain_boolean(option, value, negated=positive != name)
    return plain


def _is_value(word: str, option: Option) -> bool:
    return word.lower() in _YES_OR_NO or (option.is_optional and word == "None")


def _plain_boolean(option: Option, value: str, *, negated: bool) -> list[str]:
    name = option.name
    if value and (negated or not _is_value(value, option)):
        raise MisspeltError(f"`--{name}` must be given as --{name} or --no-{name}, but got {value!r} with it.")
    if option.is_optional:
        return [f"--{name}", "None" if value == "None" else str(_YES_OR_NO.get(value.lower(), not negated))]
    return [f"--{name}" if _YES_OR_NO.get(value.lower(), not negated) else f"--no-{name}"]


def _nearest(name: str, options: Mapping[str, Option]) -> str:
    names = [option.name for option in options.values() if not option.is_positional]
    names += [f"no-{option.name}" for option in options.values() if option.is_boolean]
    near = difflib.get_close_matches(name, [*names, "help", "help-all"], n=1)
    return f": did you mean --{near[0]}?" if near else "."
