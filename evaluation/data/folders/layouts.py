"""Which split and class each picture of a folder belongs to, by the folders that it lies in. Start with `find_layout`.

One folder a class, as in torchvision's `ImageFolder`: folders inside it belong to the class. Where all folders at the
top are called as splits are, and hold class folders, these are the splits. Names of files say nothing.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.data.folders.listing import Folder, others_text
from evaluation.data.folders.roles import ALL_IMAGES, UnclearError, code_of, is_fold, role_of
from search_space.boundary.text import one_line

WHOLE = "train"
"""Name of the split of a folder that has none."""
_WRAPPERS = frozenset({"images", "image", "img", "imgs", "data", "pictures", "photos", "jpegimages", "classes"})
"""Folders inside a split folder that only hold the class folders."""
_NAMED = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class FileSplit:
    """The pictures of a split, in the order of their paths."""

    paths: tuple[Path, ...]
    labels: tuple[str, ...] | None
    """Class of each; None where they lie in no class folders."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """A folder's pictures by split and class."""

    splits: dict[str, FileSplit]
    notes: tuple[str, ...]
    """What was left out, each with its number."""


def find_layout(root: Folder, *, train_split: str | None = None, test_split: str | None = None) -> Layout:
    """Splits and classes of a folder of pictures.

    Args:
        root: holds pictures, at the top or below.
        train_split: what the user named: a folder at the top, or `all` where no folder is a split.
        test_split: as `train_split`.

    Raises:
        UnclearError: if its pictures lie in no class folders, or it cannot be told what its folders are.
    """
    name, top = _unwrapped(root)
    notes: list[str] = []
    asked = {text.casefold() for text in (train_split, test_split) if text is not None}
    whole = train_split is not None and train_split.casefold() == ALL_IMAGES
    if not whole and _has_split_folders(top, asked):
        splits = {folder.name: _split(folder) for folder in top.holding}
    elif not whole and _has_splits_in_classes(top):
        splits = _splits_in_classes(top)
    else:
        if not top.holding:
            raise UnclearError(_NO_CLASSES)
        if not whole and len(top.holding) > 1 and all(is_fold(one.name) for one in top.holding):
            raise UnclearError(_ask(top, "are called as numbered parts of a data set are"))
        splits = {ALL_IMAGES if whole else name or WHOLE: _of_classes(top.holding)}
    unused = len(root.all_images) - sum(len(split.paths) for split in splits.values())
    if unused:
        notes.append(f"{unused:,} picture{'s' * (unused != 1)} in no class folder")
    empty = [folder.name for one in root.walk() for folder in one.empty]
    if empty:
        listed = ", ".join(map(code_of, empty[:_NAMED])) + (", ..." if len(empty) > _NAMED else "")
        notes.append(f"{len(empty):,} empty folder{'s' * (len(empty) != 1)} ({listed})")
    others = others_text(root)
    return Layout(splits=splits, notes=tuple(notes if others is None else [*notes, others]))


_NO_CLASSES = (
    "pictures of a folder must lie in one folder a class, as in cat/1.jpg and dog/2.jpg, or have labels in a "
    "metadata.csv with the columns `file_name` and `label`"
)


def _unwrapped(folder: Folder) -> tuple[str | None, Folder]:
    """The folder that holds several, below folders that hold one each; with the name of the last split among these."""
    name = None
    while not folder.images and len(folder.holding) == 1 and not folder.holding[0].images:
        folder = folder.holding[0]
        name = folder.name if role_of(folder.name) is not None else name
    return name, folder


def _has_split_folders(top: Folder, asked: set[str]) -> bool:
    """Whether the folders at the top are splits; folders that the user names as splits are.

    Raises:
        UnclearError: if some are and some are not, or they hold no class folders.
    """
    folders = top.holding
    if asked & {folder.name.casefold() for folder in folders}:
        return True
    called = [folder for folder in folders if role_of(folder.name) is not None]
    if not called:
        return False
    with_classes = [folder for folder in called if not folder.images or folder.holding]
    if len(called) == len(folders):
        if any(not folder.images for folder in with_classes):
            return True
        if len(called) == 1:
            raise UnclearError(_NO_CLASSES)
        raise UnclearError(_ask(top, "are called as splits are, but hold pictures themselves"))
    # A class may be called `train`, beside `bus` and `car`: then it holds pictures as they do.
    if not all(folder.images for folder in called):
        raise UnclearError(_ask(top, "are called as splits are and as others"))
    return False


def _has_splits_in_classes(top: Folder) -> bool:
    """Whether each class folder holds split folders, and nothing else."""
    inner = [one for folder in top.holding for one in folder.holding]
    return (
        len(top.holding) > 1
        and not any(folder.images for folder in top.holding)
        and all(role_of(one.name) is not None for one in inner)
        and len({role_of(one.name) for one in inner}) > 1
    )


def _ask(top: Folder, what: str) -> str:
    names = [code_of(folder.name) for folder in top.holding]
    listed = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    first = one_line(next((one.name for one in top.holding if role_of(one.name) == "train"), top.holding[0].name))
    return (
        f"it must be clear which folders are splits and which are classes, but {listed} {what}: --train-split {first} "
        f"takes folders at the top for splits, and --train-split {ALL_IMAGES} takes them for classes"
    )


def _split(folder: Folder) -> FileSplit:
    """A split folder's pictures; without labels where it holds no class folders."""
    while (
        not folder.images
        and len(folder.holding) == 1
        and (role_of(folder.holding[0].name) or folder.holding[0].name.casefold() in _WRAPPERS)
    ):
        folder = folder.holding[0]
    if not folder.holding:
        return FileSplit(paths=folder.all_images, labels=None)
    return _of_classes(folder.holding)


def _of_classes(folders: Sequence[Folder]) -> FileSplit:
    return _sorted([(path, folder.name) for folder in folders for path in folder.all_images])


def _splits_in_classes(top: Folder) -> dict[str, FileSplit]:
    names = dict.fromkeys(one.name for folder in top.holding for one in folder.holding)
    return {
        name: _sorted(
            [
                (path, folder.name)
                for folder in top.holding
                for one in folder.holding
                if one.name == name
                for path in one.all_images
            ]
        )
        for name in names
    }


def _sorted(files: list[tuple[Path, str]]) -> FileSplit:
    files = sorted(files, key=lambda file: str(file[0]))
    return FileSplit(
        paths=tuple(path for path, _ in files),
        # Systems write letters with accents in two ways.
        labels=tuple(unicodedata.normalize("NFC", label) for _, label in files),
    )
