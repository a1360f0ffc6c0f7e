"""What may be asked of a search from the page, and a posted form as checked settings and words of a command line.

The settings check themselves, with the very messages of the command line. What names a path, a host or a device is
the server's own to say: of those, only what it was started with may be chosen, and of runs its own finished ones, by
name. Start with `read_form`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from devices.cost_tables.table_names import BUILT_IN_NAMES
from moo.config import (
    FROM_RUN_SETTINGS,
    IMAGES_SETTINGS,
    SearchConfig,
    check_effect,
    defaults_from_run,
)
from moo.page.folders import Runs
from moo.page.searches.states import state_of
from moo.page.settings import PageSettings, SearchOption
from moo.storage.run_folder import RunFolder
from search_space.boundary.text import one_line, shown
from search_space.spaces import preset_names

NOT_FROM_THE_PAGE = frozenset({"out", "resume", "cost_table", "meter", "address", "dashboard", "quiet", "front_size"})
"""Settings that name a path, a host or a device, or are of a terminal."""
MOST_VALUES = 16
LONGEST_VALUE = 200
_WORD = re.compile(r"[^\W_][\w .+-]{0,99}")
"""Names of columns and splits: no paths, no options."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_ADAPTER = TypeAdapter(SearchConfig)
Value = str | bool | int | float | list[str] | None


class OptionError(ValueError):
    """A value of the form that cannot be; it says which option it belongs to."""


@dataclass(frozen=True)
class SearchForm:
    """A form that was checked."""

    config: SearchConfig
    name: str
    """Of the run; empty where the server is to find one."""
    defaults: SearchConfig
    """What the command line has by itself: with `--from`, settings of that run."""


def choices_of(option: SearchOption, settings: PageSettings) -> tuple[str, ...]:
    """The words that an option takes from the page; none where any will do."""
    match option.field:
        case "dataset":
            return settings.datasets
        case "device":
            return ("host", *BUILT_IN_NAMES, *settings.boards)
        case "space":
            return preset_names()
        case "from_run":
            return finished_runs(settings)
        case _:
            return option.choices


def finished_runs(settings: PageSettings) -> tuple[str, ...]:
    """Names of the server's own runs whose supernet another search can start from."""
    runs = Runs(settings.runs)
    folders = ((name, RunFolder(runs.root / name)) for name in runs.names())
    return tuple(
        name for name, folder in folders if folder.supernet.is_file() and state_of(folder, None).state == "ended"
    )


def options_from_the_page(settings: PageSettings) -> dict[str, SearchOption]:
    """The options that may be set from the page, by the names of their fields."""
    groups = () if settings.program is None else settings.program.groups
    found = (option for group in groups for option in (*group.common, *group.more))
    return {option.field: option for option in found if option.field not in NOT_FROM_THE_PAGE}


def form_json(settings: PageSettings, from_run: str = "") -> dict[str, Any]:
    """Groups and options as the page shows them.

    Args:
        settings: of the page.
        from_run: name of the run to start from, whose settings are the defaults; empty without.

    Raises:
        OptionError: if there is no such run.
    """
    groups = () if settings.program is None else settings.program.groups
    if from_run:
        _check_words(options_from_the_page(settings)["from_run"], from_run, settings)
    defaults = _defaults(settings, from_run, None)
    shown_options = {*options_from_the_page(settings)} - ({"from_run"} if not finished_runs(settings) else set())
    return {
        "groups": [
            {"title": group.title}
            | {
                part: [
                    _option_json(option, settings, defaults, from_run)
                    for option in members
                    if option.field in shown_options
                ]
                for part, members in (("common", group.common), ("more", group.more))
            }
            for group in groups
        ]
    }


def _option_json(option: SearchOption, settings: PageSettings, defaults: SearchConfig, from_run: str) -> dict[str, Any]:
    own = {"dataset": _dataset(settings, defaults), "device": SearchConfig().boards[0], "from_run": from_run}
    if option.field in FROM_RUN_SETTINGS + IMAGES_SETTINGS:
        own = {option.field: _in_words(getattr(defaults, option.field))} | own
    default, choices = own.get(option.field, option.default), choices_of(option, settings)
    if choices and default and not option.is_list and default not in choices:
        # A space of the other run's own.
        choices = (*choices, default)
    return dataclasses.asdict(option) | {"choices": choices, "default": default}


def _in_words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _defaults(settings: PageSettings, from_run: str, dataset: str | None) -> SearchConfig:
    """What the command line has by itself.

    Args:
        settings: of the page.
        from_run: name of a run to start from, which is one of those that may be chosen; empty without.
        dataset: that is asked for; None where it is left to the run.
    """
    if not from_run:
        return SearchConfig()
    saved = RunFolder(settings.runs / from_run).read_settings(option="--from")
    found = dataset or _dataset(settings, saved)
    return defaults_from_run(saved, same_images=found == saved.dataset)


def _dataset(settings: PageSettings, defaults: SearchConfig) -> str:
    """The data set where none is chosen: by default, if the server was started with it, else its first."""
    return defaults.dataset if defaults.dataset in settings.datasets else next(iter(settings.datasets), "")


def read_form(content: Any, settings: PageSettings) -> SearchForm:
    """A posted form, checked: `name` of the run and `settings` by field; what is not there is as by default.

    Raises:
        ValueError: with the command line's message, or saying what cannot be set from the page.
    """
    if not isinstance(content, dict) or set(content) - {"name", "settings"}:
        raise ValueError(f"a form must have a name and settings alone, but got {shown(content)}.")
    name, values = content.get("name") or "", content.get("settings", {})
    if not isinstance(name, str) or (name and not _NAME.fullmatch(name)):
        raise OptionError(
            f"`--out` must be a word of letters, digits, dots, hyphens and underscores here, but got {shown(name)}."
        )
    if not isinstance(values, dict):
        raise ValueError(f"settings must be an object, but got {shown(values)}.")
    options = options_from_the_page(settings)
    for field in values:
        if field not in options:
            raise ValueError(f"{shown(field)} must be set where the server or a terminal is, not from the page.")
    # What is not said is as by default.
    given = {field: _words_of(value, options[field]) for field, value in values.items() if value is not None}
    for field, value in given.items():
        _check_words(options[field], value, settings)
    from_run, dataset = str(given.get("from_run") or ""), given.get("dataset")
    defaults = _defaults(settings, from_run, None if dataset is None else str(dataset))
    given.setdefault("dataset", _dataset(settings, defaults))
    _check_words(options["dataset"], given["dataset"], settings)
    taken = {name: getattr(defaults, name) for name in FROM_RUN_SETTINGS + IMAGES_SETTINGS}
    if from_run:
        given["from_run"] = str(settings.runs / from_run)
    try:
        config = _ADAPTER.validate_python(taken | given)
    except ValidationError as error:
        raise _as_on_the_command_line(error, given, options) from None
    check_effect(config)
    return SearchForm(config, name, defaults)


def _words_of(value: Any, option: SearchOption) -> Value:
    """A value of plain JSON, several values that are typed in one line taken apart.

    Raises:
        OptionError: if it is anything else, or very long.
    """
    if option.is_list and isinstance(value, str):
        value = value.replace(",", " ").split()
    items = value if isinstance(value, list) and option.is_list else [value]
    plain = all(isinstance(item, str | bool | int | float) or item is None for item in items)
    if not plain or len(items) > MOST_VALUES or any(len(str(item)) > LONGEST_VALUE for item in items):
        raise OptionError(f"`--{option.name}` must be a short value, but got {shown(value)}.")
    return value  # type: ignore[no-any-return]


def _check_words(option: SearchOption, value: Value, settings: PageSettings) -> None:
    """Check a text against the words that may be chosen, or the form of words.

    Raises:
        OptionError: if it is none of them.
    """
    if option.kind != "text" or value is None:
        return
    choices = choices_of(option, settings)
    if option.field == "from_run" and not choices:
        raise OptionError(f"`--from` must name a finished run of this server's, but it has none: got {shown(value)}.")
    for word in value if isinstance(value, list) else [value]:
        if choices and word not in choices:
            known = one_line(", ".join(choices), most=1000)
            ours = {"dataset": "--datasets", "device": "--boards"}.get(option.field)
            remedy = f": start pareto_page.py with it among its {ours}." if ours else "."
            raise OptionError(f"`--{option.name}` must be one of {known}, but got {shown(word)}{remedy}")
        if not choices and not (isinstance(word, str) and _WORD.fullmatch(word)):
            raise OptionError(f"`--{option.name}` must be a name of letters and digits, but got {shown(word)}.")


_RULES = {
    "int": "be a whole number",
    "float": "be a number",
    "bool": "be true or false",
    "literal": "be one of",
    "string": "be a text",
    "tuple": "be a list",
}
"""What pydantic's kinds of errors begin with, and how the rule is said here."""


def _as_on_the_command_line(
    error: ValidationError, given: Mapping[str, Value], options: Mapping[str, SearchOption]
) -> ValueError:
    """What the settings say themselves, or the first value that is of another kind than its option's."""
    first = error.errors()[0]
    own = first.get("ctx", {}).get("error")
    if isinstance(own, ValueError) and not first["loc"]:
        return own
    option = options[str(first["loc"][0])]
    if first["type"] in ("missing", "too_long", "too_short", "unexpected_positional_argument"):
        wanted = len(option.default.split())
        return OptionError(
            f"`--{option.name}` must be followed by {wanted} values, but got {shown(given[option.field])}."
        )
    rule = _RULES.get(first["type"].partition("_")[0], "be allowed")
    if rule == "be one of":
        rule += f" {', '.join(option.choices)}"
    return OptionError(f"`--{option.name}` must {rule}, but got {shown(first['input'])}.")


def words_of(config: SearchConfig, options: Iterable[SearchOption], defaults: SearchConfig | None = None) -> list[str]:
    """Settings as words of a command line; those that are as by default are left out.

    Args:
        config: checked.
        options: that may be given.
        defaults: what the command line has by itself, by default without `--from`.
    """
    defaults = defaults or SearchConfig()
    return [
        word
        for option in options
        if (value := getattr(config, option.field)) != getattr(defaults, option.field)
        for word in _option_words(option.name, value, repeated=option.is_repeatable)
    ]


def _option_words(name: str, value: Any, *, repeated: bool) -> Iterator[str]:
    if isinstance(value, bool):
        yield f"--{name}" if value else f"--no-{name}"
    elif repeated:
        for one in value:
            yield from (f"--{name}", str(one))
    else:
        yield f"--{name}"
        yield from map(str, value if isinstance(value, tuple) else (value,))
