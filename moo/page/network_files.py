"""The files of a network that may be downloaded: by known names, below the run folder, links not followed."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from moo.formatting import size_text
from moo.page.answers import NotThereError
from moo.report.html import report_html
from moo.storage.adaptive_front import FOLDER
from moo.storage.run_folder import RunFolder

FILES = {
    "architecture.json": "operators, layer by layer",
    "weights.safetensors": "weights",
    "model.onnx": "network in fp32",
    "model_int8.onnx": "network in int8",
    "model.tflite": "network in fp32, for LiteRT",
    "model_int8.tflite": "network in int8, for LiteRT",
    "card.md": "all that deploying takes",
    "curves.png": "course of its training",
    f"{FOLDER}/adaptive.json": "early exits and their thresholds",
    f"{FOLDER}/run.py": "runs the network with early exits",
    f"{FOLDER}/card.md": "all that deploying with early exits takes",
}
"""Files by name, and what each is."""
CARDS = ("card.md", f"{FOLDER}/card.md")
_SEGMENT = re.compile(rf"{FOLDER}/segment_([1-9]\d?)(_int8)?\.onnx")
MOST_BYTES = 2**30
"""Of a file that is sent."""


def there(folder: RunFolder, name: str, *, baseline: bool) -> list[dict[str, str]]:
    """The files of a network that are there: names, and what they are with their sizes.

    Args:
        folder: of the run.
        name: id of an architecture of the run, or name of a baseline of it.
        baseline: which of the two it is.
    """
    place = _place(folder, name, baseline=baseline)
    names = [*FILES, *_segments(folder.path / place / FOLDER)]
    found = []
    for one in names:
        try:
            with _open(folder.path, place / one) as file:
                found.append({"name": one, "what": f"{_what(one)}, {size_text(os.fstat(file).st_size)}"})
        except (NotThereError, ValueError):
            continue
    return found


def read_file(folder: RunFolder, name: str, file: str, *, baseline: bool) -> bytes:
    """Content of a file of a network; arguments as for `there`, and the name of the file.

    Raises:
        NotThereError: if there is no such file, or it may not be had.
    """
    if file not in FILES and not _SEGMENT.fullmatch(file):
        raise NotThereError(f"a network has no file {file!r}")
    with _open(folder.path, _place(folder, name, baseline=baseline) / file) as found:
        if os.fstat(found).st_size > MOST_BYTES:
            raise ValueError(f"a file must have at most {MOST_BYTES} bytes to be sent, but {file!r} has more.")
        with os.fdopen(os.dup(found), "rb") as stream:
            return stream.read()


def card_html(folder: RunFolder, name: str, card: str, *, baseline: bool) -> str:
    """A card as a page of its own, without scripts; HTML in it is text. Arguments and errors as for `read_file`."""
    if card not in CARDS:
        raise NotThereError(f"a network has no card {card!r}")
    text = read_file(folder, name, card, baseline=baseline).decode("utf-8", "replace")
    return report_html(text, folder.path / _place(folder, name, baseline=baseline))


def _place(folder: RunFolder, name: str, *, baseline: bool) -> PurePosixPath:
    """Of the folder with a network's files, in that of the run: as it was handed out, else as it was trained."""
    if PurePosixPath(name).name != name or name in ("", ".", ".."):
        raise NotThereError(f"a network cannot have the name {name!r}")
    trained = folder.baseline(name) if baseline else folder.training(name)
    place = trained.path if baseline or not (folder.networks / name).is_dir() else folder.networks / name
    return PurePosixPath(place.relative_to(folder.path))


def _what(name: str) -> str:
    part = _SEGMENT.fullmatch(name)
    return FILES[name] if part is None else f"part {part[1]} of the network with early exits"


def _segments(folder: Path) -> list[str]:
    try:
        names = [f"{FOLDER}/{name}" for name in os.listdir(folder)]
    except OSError:
        return []
    return sorted(name for name in names if _SEGMENT.fullmatch(name))


@contextmanager
def _open(root: Path, path: PurePosixPath) -> Iterator[int]:
    """Open a file below a folder, each part of its path without following a link."""
    opened: list[int] = []
    try:
        opened.append(os.open(root, os.O_RDONLY | os.O_DIRECTORY))
        for part in path.parts[:-1]:
            opened.append(os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=opened[-1]))
        opened.append(os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=opened[-1]))
        if not stat.S_ISREG(os.fstat(opened[-1]).st_mode):
            raise NotThereError(f"there is no file {path.name!r}")
        yield opened[-1]
    except OSError:
        raise NotThereError(f"there is no file {path.name!r}") from None
    finally:
        for one in opened:
            os.close(one)
