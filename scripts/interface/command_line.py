"""The edge that all scripts share: options from a dataclass, and errors that a user can read.

A script ends in `if __name__ == "__main__": run(main)`. Nothing heavy is imported here, so that `--help` is quick.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import itertools
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar, get_args

import tyro

from scripts.interface.endings import CURRENT, LONGEST_MESSAGE, Ending, say_mistake, told
from scripts.interface.help_text import HelpPage, first_sentence, help_text, metavar
from scripts.interface.options import MisspeltError, Option, in_plain_spelling, options_of
from scripts.interface.watching import watched
from search_space.boundary.locking import check_locks
from search_space.boundary.machine import keep_libraries_to_limits
from search_space.boundary.reading import local_path
from search_space.boundary.text import one_line

Config = TypeVar("Config")


def parse(
    config_type: type[Config],
    argv: Sequence[str] | None = None,
    *,
    default: Config | None = None,
    description: str | None = None,
    page: HelpPage | None = None,
) -> Config:
    """A config from the command line: one flat option a field, with hyphens for underscores.

    Exits with 0 after `--help` and `--help-all`, and with 2 and a short text on stderr where the options are wrong.

    Args:
        config_type: a dataclass with a docstring a field, checked in its `__post_init__`.
        argv: the arguments, by default those of the process.
        default: values of options that are not given, instead of the class's own.
        description: text at the top of `--help`, by default the docstring of `config_type`.
        page: groups of the options and examples for `--help`; by default one list.

    Raises:
        ValueError: what `__post_init__` of the config raised, or if this system cannot run it.
    """
    words = sys.argv[1:] if argv is None else argv
    options = options_of(config_type, default)
    if asked := {"-h", "--help", "--help-all"} & set(words):
        about = description or inspect.cleandoc(config_type.__doc__ or "")
        everything = "--help-all" in asked
        sys.stdout.write(help_text(options, page or HelpPage(), description=about, everything=everything))
        sys.exit(0)
    check_locks()
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            return tyro.cli(
                config_type,
                args=in_plain_spelling(words, options),
                default=tyro.MISSING_NONPROP if default is None else default,
                config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes),
            )
    except MisspeltError as error:
        sys.stderr.write(f"error: {one_line(error, most=LONGEST_MESSAGE)} See --help-all.\n")
        sys.exit(2)
    except SystemExit as stop:
        if isinstance(stop.__context__, ValueError):
            raise stop.__context__ from None
        sys.stderr.write(_in_one_line(errors.getvalue(), options))
        raise


_WORDINGS = (
    (
        r"invalid choice (.+) for argument '(--[\w-]+)'\. Expected one of \((.*?),?\)\.",
        r"`\2` must be one of \3, but got \1",
    ),
    (r"Error parsing (--[\w-]+): invalid literal for int\(\).*: (.+)", r"`\1` must be a whole number, but got \2"),
    (r"Error parsing (--[\w-]+): could not convert string to float: (.+)", r"`\1` must be a number, but got \2"),
    (
        r"Error parsing (--[\w-]+): no type .*\bINT\b.* could be instantiated from \['(.+)'\].*",
        r"`\1` must be a whole number, but got '\2'",
    ),
    (
        r"Error parsing (--[\w-]+): no type .*\bFLOAT\b.* could be instantiated from \['(.+)'\].*",
        r"`\1` must be a number, but got '\2'",
    ),
    (
        r"Missing value for argument '(--[\w-]+)'\. Expected 1 values?\.",
        r"`\1` must be followed by a value, but got none",
    ),
    (
        r"Missing value for argument '(--[\w-]+)'\. Expected (\d+) values\.",
        r"`\1` must be followed by \2 values, but got fewer",
    ),
    (r"Unrecognized options: (.+)", r"there must be an option before each value, but got \1 without one"),
)
"""What tyro says, and how it is said here."""


_SEVERAL = re.compile(
    r"Error parsing --([\w-]+): Could not (?:parse arguments|find valid parse for arguments:) \[(.+?)\](?: into .+)?"
)
_NUMBERS = {int: "whole numbers", float: "numbers"}


def _of_several(said: str, options: Sequence[Option]) -> str:
    """What tyro says of an option of several values, by what they are."""
    found = _SEVERAL.fullmatch(said)
    option = next((one for one in options if found and one.name == found[1]), None)
    if found is None or option is None:
        return said
    kinds = {_NUMBERS.get(kind, "") for kind in get_args(option.kind) if kind is not ...}
    values = kinds.pop() if len(kinds) == 1 else ""
    return f"`--{option.name}` must be {values or 'values as --help says'}, but got {found[2].replace(',', '')}"


def _in_one_line(box: str, options: Sequence[Option]) -> str:
    """What tyro says in a box, up to its first rule, as one line; nothing if it said nothing."""
    # Where the terminal has no lines to draw with, hyphens and bars stand for them.
    lines = [line.strip("│| ") for line in box.splitlines()[1:]]
    start = itertools.dropwhile(lambda line: not line.strip("-─"), lines)
    said = " ".join(
        itertools.takewhile(lambda line: line and not line.startswith(("─", "╰", "--------", "+--")), start)
    )
    if not said:
        return box
    if said.startswith("Missing from"):
        missing = [option for option in options if option.is_required and option.text.split(". ")[0][:40] in said]
        names = " and ".join(f"{metavar(one) if one.is_positional else f'`--{one.name}`'}" for one in missing)
        text = f": {first_sentence(missing[0].text).rstrip('.')}" if len(missing) == 1 else ""
        return f"error: {names} must be given{text}. See --help.\n"
    for pattern, wording in _WORDINGS:
        if found := re.fullmatch(pattern, said):
            said = found.expand(wording)
            if "must be one of" in said:
                before, choices, after = said.partition(found[3])
                said = before + choices.replace("'", "") + after
            break
    said = _of_several(said, options)
    return f"error: {one_line(said, most=LONGEST_MESSAGE).rstrip('.')}. See --help.\n"


def folder_to_resume(argv: Sequence[str]) -> Path | None:
    """The folder that `--resume` names, before the options are parsed: its settings are their defaults."""
    return named_folder(argv, "--resume")


def named_folder(argv: Sequence[str], option: str) -> Path | None:
    """The folder that an option names, before the options are parsed."""
    for place, word in enumerate(argv):
        if word.startswith(f"{option}="):
            return local_path(word.partition("=")[2])
        if word == option and place + 1 < len(argv):
            return local_path(argv[place + 1])
    return None


def is_given(argv: Sequence[str], option: str) -> bool:
    """Whether an option is among the arguments."""
    return any(word.partition("=")[0] == option for word in argv)


def run(main: Callable[[], int | None]) -> NoReturn:
    """Call a script's `main` and exit with what it returns (None means 0).

    A `ValueError` is the user's to mend: it becomes one line on stderr and exit code 2. What ends a command before its
    work does (Ctrl-C, a full disk, the death of what runs its jobs) becomes one line that says how to go on, too
    (`scripts.interface.endings`); a closed pipe ends with 141. Other exceptions are ours, and keep their traceback.
    """
    open_streams()
    keep_libraries_to_limits()
    CURRENT.set(Ending())
    sys.exit(_code_of(main))


def run_watched(main: Callable[[], int | None]) -> NoReturn:
    """The same for a command that takes long, in a process that another one watches over (`watching`).

    SIGTERM and SIGHUP end it as Ctrl-C does, a second signal ends it at once, and no process of it is left behind.
    """
    open_streams()
    keep_libraries_to_limits()
    if not hasattr(os, "fork"):
        sys.exit(_code_of(main))
    sys.exit(watched(lambda: _code_whatever_happens(main)))


def open_streams() -> None:
    """Have standard streams that anything can be written to.

    Those that were closed lead to nowhere, as otherwise the next file that is opened would take their place, and what
    libraries write to stderr would land in it. A character that the terminal's encoding lacks becomes `?`.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            handle = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(handle, True)  # noqa: FBT003
            setattr(sys, name, os.fdopen(handle, "w" if number else "r", encoding="utf-8"))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def _code_of(main: Callable[[], int | None]) -> int:
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (Exception, KeyboardInterrupt) as error:
        code = told(error)
        if code is None:
            raise
    return code or 0


def _code_whatever_happens(main: Callable[[], int | None]) -> int:
    try:
        return _code_of(main)
    except SystemExit as stop:
        # Ray's own answer to SIGTERM, as long as it starts.
        stopped = told(stop)
        return stopped if stopped is not None else int(stop.code or 0)
    except Exception as error:
        say_mistake(error)
        return 1
