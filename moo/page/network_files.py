"""The files of a network that may be downloaded: by known names, below the run folder, links not followed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from moo.formatting import size_text
from moo.page.answers import NotThereError
from moo.report.html import report_html
from moo.storage.adaptive_front import FOLDER
from moo.storage.network_files import is_handed_over, names_in, opened_below, what_is
from moo.storage.run_folder import RunFolder

CARDS = ("card.md", f"{FOLDER}/card.md")
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
    found = []
    for one in names_in(folder.path / place):
        try:
            with _open(folder.path, place / one) as file:
                found.append({"name": one, "what": f"{what_is(one)}, {size_text(os.fstat(file).st_size)}"})
        except (NotThereError, ValueError):
            continue
    return found


def read_file(folder: RunFolder, name: str, file: str, *, baseline: bool) -> bytes:
    """Content of a file of a network; arguments as for `there`, and the name of the file.

    Raises:
        NotThereError: if there is no such file, or it may not be had.
    """
    if not is_handed_over(file):
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


@contextmanager
def _open(root: Path, path: PurePosixPath) -> Iterator[int]:
    """Open a file below a folder, each part of its path without following a link."""
    try:
        with opened_below(root, path) as file:
            yield file
    except FileNotFoundError:
        raise NotThereError(f"there is no file {path.name!r}") from None
