"""The program that searches, for the page: the very options, texts and groups of its command line."""

from __future__ import annotations

import dataclasses
import sys
import typing
from pathlib import Path

from moo.config import SearchConfig
from moo.page.settings import OptionKind, SearchOption, SearchOptionGroup, SearchProgram
from scripts.interface.help_pages import PARETO_SEARCH
from scripts.interface.options import Option, options_of

_SCRIPT = Path(__file__).parents[1] / "pareto_search.py"
TRYING = (sys.executable, str(_SCRIPT.with_name("try_coefficients.py")))
"""What searches one tuple of coefficients on a run's supernet, before its arguments."""
_KINDS: dict[type, OptionKind] = {int: "whole number", float: "number", bool: "boolean"}


def search_program() -> SearchProgram:
    """`pareto_search.py` with this Python, and all its options in the groups of `--help-all`."""
    options = options_of(SearchConfig)
    by_name = {
        option.name: _described(option, field.name)
        for option, field in zip(options, dataclasses.fields(SearchConfig), strict=True)
    }
    groups = tuple(
        SearchOptionGroup(
            group.title,
            tuple(by_name[name] for name in group.common),
            tuple(by_name[name] for name in group.more),
        )
        for group in PARETO_SEARCH.groups
    )
    return SearchProgram(
        command=(sys.executable, str(_SCRIPT)), shown=("python", f"scripts/{_SCRIPT.name}"), groups=groups
    )


def _described(option: Option, field: str) -> SearchOption:
    is_list = typing.get_origin(option.kind) is tuple
    kind = typing.get_args(option.kind)[0] if is_list else option.kind
    return SearchOption(
        field=field,
        name=option.name,
        kind=_KINDS.get(kind, "text"),
        text=option.text,
        default=_words(option.default),
        choices=option.choices,
        is_list=is_list,
        is_repeatable=option.is_repeatable,
        may_be_none=option.is_optional,
    )


def _words(value: object) -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return "yes"
    values = value if isinstance(value, tuple) else (value,)
    return " ".join(f"{one:g}" if isinstance(one, float) else str(one) for one in values)
