"""Frozen records read back from JSON, each value checked against its annotation. Importing this is quick.

Start with `record_from_json`; `dataclasses.asdict` is the way there.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from search_space.boundary.reading import LARGEST_WHOLE
from search_space.boundary.text import one_line, reason_of, shown

Record = TypeVar("Record")

_PLAIN = (str, bool)
_SCALARS: dict[Any, tuple[str, tuple[type, ...]]] = {
    str: ("a text", (str,)),
    int: ("a whole number", (int,)),
    float: ("a number", (int, float)),
    bool: ("true or false", (bool,)),
}


def record_from_json(kind: type[Record], content: object, *, where: str) -> Record:
    """A record from its JSON object.

    Keys that the record does not have are passed over, and one that is absent has its default, or None where that may
    stand there: earlier versions wrote other keys.

    Args:
        kind: dataclass of the record; its fields are texts, numbers, truths, tuples, mappings, records, or None.
        content: as `json.loads` gives it.
        where: name of the object, for messages.

    Raises:
        ValueError: naming the first value that is absent or not of its type, or the rule that the record states.
    """
    if not isinstance(content, dict):
        raise _wrong(where, "an object", content)
    values = {}
    for name, hint, is_needed in _plan(kind):  # type: ignore[arg-type]
        if name in content:
            value = content[name]
            # Most are plain, and there are millions of them.
            if hint is type(value) and hint in _PLAIN:
                values[name] = value
            else:
                values[name] = _value(hint, value, f"{where}.{name}")
        elif is_needed:
            if type(None) not in get_args(hint):
                raise ValueError(f"`{where}.{name}` must be there, but is missing")
            values[name] = None
    try:
        return kind(**values)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"`{where}` breaks a rule: {reason_of(error, most=1000)}") from None


@lru_cache(maxsize=64)
def _plan(kind: Any) -> tuple[tuple[str, Any, bool], ...]:
    """Name of each field, its type, and whether it must be given."""
    hints = get_type_hints(kind)
    return tuple((field.name, hints[field.name], _is_needed(field)) for field in _fields(kind))


@lru_cache(maxsize=512)
def _form(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    return get_origin(hint), get_args(hint)


def _value(hint: Any, value: object, where: str) -> object:
    outer, inner = _form(hint)
    if outer in (Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        return _value(_alternative([part for part in inner if part is not type(None)], value), value, where)
    if outer is tuple:
        return _tuple(inner, value, where)
    if outer is Mapping:
        if not isinstance(value, dict):
            raise _wrong(where, "an object", value)
        return {name: _value(inner[1], item, f"{where}.{one_line(name, most=60)}") for name, item in value.items()}
    if dataclasses.is_dataclass(hint):
        return record_from_json(hint, value, where=where)  # type: ignore[arg-type]
    if outer is Literal:
        if not isinstance(value, str | int) or value not in inner or isinstance(value, bool):
            raise _wrong(where, f"one of {', '.join(map(str, inner))}", value)
        return value
    what, kinds = _SCALARS[hint]
    if not isinstance(value, kinds) or (isinstance(value, bool) and hint is not bool):
        raise _wrong(where, what, value)
    if isinstance(value, float) and not math.isfinite(value):
        raise _wrong(where, "a finite number", value)
    if isinstance(value, int) and abs(value) > LARGEST_WHOLE:
        raise _wrong(where, "a number of 64 bits", value)
    return value


def _tuple(inner: tuple[Any, ...], value: object, where: str) -> tuple[object, ...]:
    if not isinstance(value, list | tuple):
        raise _wrong(where, "a list", value)
    hints = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
    if len(hints) != len(value):
        raise _wrong(where, f"a list of {len(hints)}", value)
    return tuple(
        _value(hint, item, f"{where}[{place}]") for place, (hint, item) in enumerate(zip(hints, value, strict=True))
    )


def _alternative(kinds: list[Any], value: object) -> Any:
    """The first of several records that the value has all needed keys of; else the last, to name what is absent."""
    for kind in kinds[:-1]:
        if isinstance(value, dict) and {field.name for field in _fields(kind) if _is_needed(field)} <= value.keys():
            return kind
    return kinds[-1]


def _fields(kind: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(kind)


def _is_needed(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _wrong(where: str, what: str, value: object) -> ValueError:
    return ValueError(f"`{where}` must be {what}, but got {shown(value)}")
