"""A folder that long work writes into: made once, had by one program at a time, resumed with the same settings.

Searches (`moo.storage.run_folder`) and trainings (`evaluation.training.folder`) both have one. Importing this is quick.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from pathlib import Path
from typing import IO, Any, TypeVar

from search_space.boundary.reading import local_path, parse_json, read_bytes
from search_space.boundary.sealing import unsealed
from search_space.boundary.text import reason_of
from search_space.boundary.writing import check_can_write, check_no_links, lock_file

Part = TypeVar("Part")
Settings = TypeVar("Settings")
LOCK = ".lock"
BEGIN_ANEW = "Restore it from a copy, or begin anew."


def new_work_folder(out: str | None, *, name: str, what: str, leftovers: Collection[str] = ()) -> Path:
    """The folder for new work; it is not made yet.

    Args:
        out: where the user wants it; None for a folder under `runs/`, with `name` and the time.
        name: what the work is about, for a folder under `runs/`.
        what: the kind of work, as in `a run`, for messages.
        leftovers: names of files that may be there, besides the lock, as a beginning leaves them that was killed before
            its config.json.

    Raises:
        ValueError: if it is there already and not empty, or cannot be made.
    """
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    path = Path("runs") / f"{name}-{stamp}" if out is None else local_path(out)
    if path.exists() and not path.is_dir():
        raise ValueError(f"`--out` must name a folder, but {str(path)!r} is a file.")
    if path.is_dir() and any(item.name not in (LOCK, *leftovers) and item.suffix != ".part" for item in path.iterdir()):
        state = f"already holds {what}" if (path / "config.json").exists() else "is not empty"
        raise ValueError(
            f"`--out` must name a new folder, but {str(path)!r} {state}; choose another, or go on with {what} by "
            "--resume."
        )
    check_can_write(path, what=f"the folder of {what}")
    return path


def check_work_folder(path: Path, *, what: str) -> None:
    """Check that work can go on in its folder, before it begins.

    Args:
        path: of the folder.
        what: the kind of work, as in `a run`, for messages.

    Raises:
        ValueError: if there are links in it, or it cannot be written to.
    """
    check_no_links(path, what=f"the folder of {what}")
    check_can_write(path, what=f"the folder of {what}")


def with_absolute_paths(config: Settings, *, files: Collection[str], folders: Collection[str]) -> Settings:
    """Settings whose local paths are absolute, so that they mean the same in another working directory; `~` is home.

    A text that names nothing on this machine stays as it is: the name of a data set on a hub, say.

    Args:
        config: a dataclass.
        files: names of settings that may hold files, or several.
        folders: names of settings that may hold files or folders.
    """
    changes: dict[str, Any] = {}
    for name in (*files, *folders):
        value = getattr(config, name)
        if isinstance(value, tuple):
            changes[name] = tuple(_absolute(text, folder=name in folders) for text in value)
        elif isinstance(value, str):
            changes[name] = _absolute(value, folder=name in folders)
    return dataclasses.replace(config, **changes)  # type: ignore[type-var]


def _absolute(text: str, *, folder: bool) -> str:
    path = local_path(text) if text.strip() else Path()
    there = path.exists() if folder else path.is_file()
    return str(path.absolute()) if text.strip() and there else text


def check_out_and_resume(out: str | None, resume: str | None) -> None:
    """Check that work is resumed in its own folder.

    Raises:
        ValueError: if another is given.
    """
    if out is not None and resume is not None and out != resume:
        raise ValueError(
            f"`--resume` goes on in its own folder, but got --out {out} and --resume {resume}; omit `--out`."
        )


def check_same_values(
    given: Mapping[str, Any], saved: Mapping[str, Any], *, free: Collection[str], rule: str, remedy: str
) -> None:
    """Check that work is resumed with the settings that it was begun with.

    Args:
        given: settings by name, as the user gives them now.
        saved: settings by name, as the folder has them.
        free: names of settings that may differ.
        rule: beginning of the message, up to the setting that differs.
        remedy: its end, after the option to omit.

    Raises:
        ValueError: naming the first setting that differs.
    """
    for name, value in saved.items():
        if name not in free and value != given[name]:
            raise ValueError(
                f"{rule} {name}={value} and got {name}={given[name]}; omit `--{name.replace('_', '-')}`, or {remedy}."
            )


def lock_folder(path: Path) -> IO[bytes]:
    """Lock a folder until the returned file is closed or the process ends.

    Raises:
        ValueError: if another process has locked it, or its lock is a link or cannot be made.
    """
    try:
        lock = lock_file(path / LOCK)
    except OSError as error:
        raise ValueError(
            f"a folder must be one that can be locked, but in {str(path)!r} `.lock` cannot be: {error.strerror}. "
            "Remove it, or choose a folder on another disk."
        ) from None
    if lock is None:
        raise ValueError(
            f"only one program at a time may write into a folder, but another works in {str(path)!r}: wait until it "
            "has ended, or stop it."
        )
    return lock


def read_part(path: Path, part: str, parse: Callable[[Any], Part], *, rule: str, remedy: str = BEGIN_ANEW) -> Part:
    """One of the two parts, `settings` and `origin`, of the config.json of a work folder.

    Args:
        path: of config.json.
        part: its name.
        parse: makes it of plain values; raises ValueError for bad ones.
        rule: beginning of the message.
        remedy: its end, a sentence.

    Raises:
        ValueError: if there is no such file, or it cannot be read.
    """
    if not path.exists():
        raise ValueError(f"{rule}, but {str(path.parent)!r} holds no {path.name}.")
    try:
        text = read_bytes(path, what=f"{rule}, and its {path.name}")
    except ValueError as error:
        raise ValueError(f"{error} {remedy}") from None
    try:
        content = unsealed(parse_json(text))
        if not isinstance(content, dict) or part not in content:
            raise ValueError(f"it must hold an object with `{part}`, but does not")
        return parse(content[part])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{rule}, but {str(path)!r} cannot be read: {reason_of(error)}. {remedy}") from None
