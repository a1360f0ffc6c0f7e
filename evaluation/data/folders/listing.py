"""What lies in a folder that a user names: pictures, tables, files that describe them. Start with `read_folder`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from search_space.boundary.text import one_line, reason_of

PICTURE_ENDINGS = frozenset(
    {
        ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm",
        ".pbm", ".pnm", ".ico", ".tga", ".pcx", ".jp2", ".j2k", ".jpx", ".avif", ".apng",
        ".heic", ".heif", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".jxl",
    }
)  # fmt: skip
"""Endings of pictures, in small letters. Those of the last line cannot be read, and are not passed over in silence."""
TABLE_ENDINGS = frozenset({".parquet", ".arrow"})
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
"""Files with a column `file_name` beside labels, as Hugging Face `datasets` names them."""
_SYSTEM = frozenset(
    {"thumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found"}
)
"""Names that systems give; no image of anybody's is in there."""
_KINDS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Folder:
    """A folder, without hidden files and those of systems."""

    path: Path
    images: tuple[Path, ...]
    """Pictures that lie in it itself, in the order of their names."""
    tables: tuple[Path, ...]
    """Parquet and arrow files; so with the next."""
    metadata: tuple[Path, ...]
    others: tuple[str, ...]
    """Names of other files."""
    folders: tuple[Folder, ...]
    """In the order of their names."""
    all_images: tuple[Path, ...]
    """Pictures here and below, in the order of their paths as text."""

    @property
    def name(self) -> str:
        """Of the folder itself."""
        return self.path.name

    def walk(self) -> Iterator[Folder]:
        """The folder and all below."""
        yield self
        for folder in self.folders:
            yield from folder.walk()

    @property
    def holding(self) -> tuple[Folder, ...]:
        """Folders in it that hold pictures, themselves or below."""
        return tuple(folder for folder in self.folders if folder.all_images)

    @property
    def empty(self) -> tuple[Folder, ...]:
        """Folders in it that hold no file at all."""
        return tuple(folder for folder in self.folders if not any(one.holds_files for one in folder.walk()))

    @property
    def holds_files(self) -> bool:
        """Whether any file lies in it itself."""
        return bool(self.images or self.tables or self.metadata or self.others)

    @property
    def all_tables(self) -> list[Path]:
        """Parquet and arrow files here and below."""
        return [table for folder in self.walk() for table in folder.tables]

    @property
    def all_metadata(self) -> list[Path]:
        """Files that describe pictures, here and below."""
        return [file for folder in self.walk() for file in folder.metadata]


def read_folder(path: Path) -> Folder:
    """A folder with all that lies in it, links followed.

    Raises:
        ValueError: if one cannot be read, or a link leads back to a folder that it lies in.
    """
    return _read(path, ())


def _read(path: Path, above: tuple[tuple[int, int], ...]) -> Folder:
    images, tables, metadata, others, folders = [], [], [], [], []
    try:
        state = path.stat()
        own = (state.st_dev, state.st_ino)
        if own in above:
            raise ValueError(f"links must not lead back, but {one_line(path)} leads to a folder that it lies in")
        with os.scandir(path) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise ValueError(f"the folder {one_line(path)} cannot be read: {error.strerror or reason_of(error)}") from None
    for entry in found:
        if entry.name.startswith(".") or entry.name.casefold() in _SYSTEM:
            continue
        place, ending = path / entry.name, os.path.splitext(entry.name)[1].lower()
        if entry.is_dir():
            folders.append(_read(place, (*above, own)))
        elif entry.name.casefold() in METADATA:
            metadata.append(place)
        elif ending in PICTURE_ENDINGS:
            images.append(place)
        elif ending in TABLE_ENDINGS:
            tables.append(place)
        else:
            others.append(entry.name)
    return Folder(
        path=path,
        images=tuple(images),
        tables=tuple(tables),
        metadata=tuple(metadata),
        others=tuple(others),
        folders=tuple(folders),
        all_images=tuple(sorted((*images, *(one for folder in folders for one in folder.all_images)), key=str)),
    )


def others_text(folder: Folder) -> str | None:
    """How many files are no pictures, by their endings; None where there are none."""
    kinds = Counter(
        os.path.splitext(name)[1].lower() or "without ending" for one in folder.walk() for name in one.others
    )
    if not kinds:
        return None
    named = ", ".join(f"{number:,} {one_line(kind, most=16)}" for kind, number in kinds.most_common(_KINDS))
    more = ", ..." if len(kinds) > _KINDS else ""
    noun = "file that is no picture" if kinds.total() == 1 else "files that are no pictures"
    return f"{kinds.total():,} {noun} ({named}{more})"
