"""The folder of files of images: one for each data set and way of making them square, found again by later runs.

A file's name tells what it was made of, so that a data set that was changed has another one. Start with `KeptImages`.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import PIL
from PIL import features

from evaluation.data.facts import DIGITS
from evaluation.data.image_file import (
    IMAGES_FOLDER,
    SUFFIX,
    FileDetails,
    ImageFile,
    image_bytes,
    images_folder,
    read_details,
)
from evaluation.data.pictures import Depth
from evaluation.data.published import PublishedPictures
from evaluation.data.rules import Resize, Rules
from evaluation.data.source import Asked, DataSource
from search_space.boundary.locking import lock_at_once
from search_space.boundary.reading import local_path, named
from search_space.boundary.writing import LEAST_FREE_BYTES, NO_LINK, lock_file

UNUSED_DAYS = 30
"""Files that no run has opened for so long are removed when another one is made."""
_FORMAT = 1
_WAIT_SECONDS = 0.2
_REFUSALS = (
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO, errno.EACCES, errno.EPERM, errno.ELOOP,
)  # fmt: skip
"""What a system says of a folder that takes no more."""
_SLUG = re.compile(r"[^a-z0-9]+")


class NoRoomError(ValueError):
    """A folder that takes no files, or has too little space for one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MadeOf:
    """What a file of images is made of."""

    name: str
    """Of the data set, as the user gave it."""
    asked: Asked
    size: int
    resize: Resize
    rules: Rules
    depth: Depth | None
    """Scale of pictures of more than 8 bits a pixel, where there are any."""
    skip_broken: bool


class KeptImages:
    """The place of one file of images.

    Args:
        path: of the file.
        family: what the names of all files begin with that were made of earlier states of the same data set.
    """

    def __init__(self, path: Path, family: str) -> None:
        self.path, self._family = path, family

    @classmethod
    def of(cls, made_of: MadeOf, stamp: str) -> KeptImages:
        """The place of the file of a data set as it is now (`stamp_of`)."""
        path = local_path(made_of.name)
        whose = {**asdict(made_of), "name": str(path.resolve()) if path.exists() else made_of.name}
        slug = _SLUG.sub("-", path.name.lower()).strip("-")[:40] or "images"
        family = f"{slug}-{made_of.size}px-{_digest(whose)}-"
        versions = [_FORMAT, PIL.__version__, features.version("jpg")]
        return cls(images_folder() / f"{family}{_digest([stamp, versions])}{SUFFIX}", family)

    def find(self) -> ImageFile | None:
        """The file, where it is there, whole, and known to be of what the data set is now."""
        details = read_details(self.path)
        if details is None or details.scattered:
            return None
        with contextlib.suppress(OSError):
            # The time of the last use is that of its lock: its own tells whether it was changed.
            os.utime(self._lock)
        return ImageFile(self.path, details)

    def make(
        self,
        write: Callable[[IO[bytes]], FileDetails],
        most_bytes: int,
        *,
        find: Callable[[], ImageFile | None] | None = None,
        on_waiting: Callable[[int], None] = lambda written: None,
    ) -> ImageFile:
        """Make the file, unless another process has done so meanwhile; where one is at it, wait for it.

        Args:
            write: writes it.
            most_bytes: that it may have.
            find: finds what another process has made; by default as `find`.
            on_waiting: called now and then with the bytes that another process has written.

        Raises:
            NoRoomError: if there is no place for it.
            ValueError: as `write`.
        """
        with self._alone(on_waiting):
            if (found := (find or self.find)()) is not None:
                return found
            self._tidy()
            try:
                free = shutil.disk_usage(self.path.parent).free
                if free < most_bytes + LEAST_FREE_BYTES:
                    raise NoRoomError(self._text(f"{_gigabytes(free)} are free", most_bytes))
                return ImageFile(self.path, self._write(write))
            except OSError as error:
                if error.errno not in _REFUSALS:
                    raise
                raise NoRoomError(self._text(f"they cannot be written: {error.strerror}", most_bytes)) from None

    @property
    def part(self) -> Path:
        """What the file is called while it is written."""
        return self.path.with_name(self.path.name + ".part")

    @property
    def _lock(self) -> Path:
        return self.path.with_name(self.path.name + ".lock")

    def _write(self, write: Callable[[IO[bytes]], FileDetails]) -> FileDetails:
        try:
            self.part.unlink(missing_ok=True)
            handle = os.open(self.part, os.O_RDWR | os.O_CREAT | os.O_EXCL | NO_LINK, 0o644)
            with open(handle, "r+b", buffering=2**22) as file:
                details = write(file)
            os.replace(self.part, self.path)
        finally:
            self.part.unlink(missing_ok=True)
        return details

    @contextmanager
    def _alone(self, on_waiting: Callable[[int], None]) -> Iterator[None]:
        """Be the only process that makes this file.

        Raises:
            NoRoomError: if there cannot be files.
        """
        try:
            while (lock := lock_file(self._lock)) is None:
                time.sleep(_WAIT_SECONDS)
                with contextlib.suppress(FileNotFoundError):
                    on_waiting(self.part.stat().st_size)
        except OSError as error:
            raise NoRoomError(self._text(f"no file can be written there: {error.strerror}", None)) from None
        with lock:
            yield

    def _tidy(self) -> None:
        """Remove files of what the data set was before, and those that were not used for long, unless in use."""
        oldest = time.time() - 86_400 * UNUSED_DAYS
        for lock in self.path.parent.glob(f"*{SUFFIX}.lock"):
            path = lock.with_suffix("")
            if path == self.path:
                continue
            with contextlib.suppress(OSError):
                if path.name.startswith(self._family) or lock.stat().st_mtime < oldest:
                    _remove_unused(path, lock)

    def _text(self, reason: str, needed: int | None) -> str:
        what = "images" if needed is None else f"images of {_gigabytes(needed)}"
        return (
            f"{what} must fit into a folder, but in {named(self.path.parent)} {reason}. Name another folder by "
            f"`{IMAGES_FOLDER}`, or make space."
        )


def receive(file: ImageFile, pieces: Callable[[], Iterator[bytes]]) -> None:
    """Have a file of another machine on this one; nothing is done where it is here.

    Args:
        file: of which this process knows what it holds.
        pieces: its content, in order.

    Raises:
        ValueError: if there is no place for it, or the pieces are not it.
    """
    if file.is_here:
        return

    def write(own: IO[bytes]) -> FileDetails:
        for piece in pieces():
            own.write(piece)
        own.flush()
        return file.details

    path = images_folder() / file.path.name
    most = image_bytes(file.details.count, file.details.size)
    place = KeptImages(path, file.path.name.removesuffix(SUFFIX))
    place.make(write, most, find=lambda: file if file.is_here else None)
    # Its time is not that of its writing, so that all of it is read.
    if not file.is_here:
        raise ValueError(f"a file of images must come as it was sent, but {named(path)} did not: try again.")


def stamp_of(source: DataSource) -> str | None:
    """What tells a data set from what it is after a change: the names, sizes and times of its files, and its labels.

    Of a data set of the hub it is the fingerprint that `datasets` gives it. None where there is nothing of the kind.
    """
    path = local_path(source.name)
    if source.name == DIGITS:
        files: Any = DIGITS
    elif path.exists():
        files = _listing(path)
    else:
        parts = [part.pictures for part in (source.train, source.test) if part is not None]
        files = [pictures.fingerprint for pictures in parts if isinstance(pictures, PublishedPictures)]
        if len(files) < len(parts):
            return None
    digest = hashlib.sha256(json.dumps([files, source.class_names]).encode())
    for part in (source.train, source.test):
        if part is not None:
            digest.update(f"\0{part.name}\0{len(part)}\0".encode(errors="surrogateescape"))
            digest.update(part.labels_N.tobytes())
    return digest.hexdigest()


def _listing(path: Path) -> str:
    digest, seen = hashlib.sha256(), set[str]()
    walk = os.walk(path, followlinks=True) if path.is_dir() else iter([(str(path.parent), list[str](), [path.name])])
    for place, folders, files in walk:
        if (real := os.path.realpath(place)) in seen:
            # A link that leads back.
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        for name in sorted(files):
            file = Path(place) / name
            with contextlib.suppress(OSError):
                state = file.stat()
                digest.update(f"{file}\0{state.st_size}\0{state.st_mtime_ns}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _remove_unused(path: Path, lock: Path) -> None:
    making = lock_file(lock)
    if making is None:
        return
    with making:
        if path.exists():
            with path.open("rb") as file:
                if not lock_at_once(file):
                    return
        for left in path.parent.glob(f"{path.name}*"):
            left.unlink()


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB"
