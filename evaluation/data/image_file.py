"""A file of uint8 images, written once from start to end, then mapped into memory. Start with `ImageFile`.

Pixels come first, image by image; then a JSON text that says what they are, and its length and digest. So a file that
was not written to its end is none. Whether one is whole is told by its size and that digest, and, where it was changed
after it was written, by reading all of it: its pixels have a digest, too. What a disk alters by itself is not noticed.
Shape suffixes: N images, C channels, H height, W width.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
import stat
import time
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from devices.cache import cache_folder
from evaluation.data.facts import DatasetFacts
from search_space.boundary.locking import lock_at_once
from search_space.boundary.reading import local_path, parse_json
from search_space.boundary.records import record_from_json
from search_space.boundary.writing import NO_LINK

IMAGES_FOLDER = "PI_PARETO_NAS_IMAGES"
"""Variable of the environment that names another folder for files of images."""
SUFFIX = ".images"
_MAGIC = b"PNASIMG1"
_DIGEST_BYTES, _LENGTH_BYTES = 32, 8
_TAIL_BYTES = _LENGTH_BYTES + _DIGEST_BYTES + len(_MAGIC)
_MOST_TEXT_BYTES = 2**24
_READ_BYTES = 2**24


@dataclass(frozen=True, kw_only=True, slots=True)
class FileDetails:
    """What the images of a file are."""

    count: int
    size: int
    """Height and width in pixels."""
    fingerprint: str
    """Digest of all pixels."""
    omitted: tuple[tuple[int, ...], ...]
    """Rows of each published split, from 0, whose pictures could not be read; the others are here in their order."""
    grey: bool
    """Whether all are grey."""
    width: int
    """Median of the training pictures, in pixels, and so is `height`."""
    height: int
    scattered: bool
    """Whether some pictures lay outside of the data set's folder, so that their changes go unnoticed."""
    facts: DatasetFacts
    """Which splits there are, and how many images of each class; finding them may take long."""
    written: int
    """Time of the last change of the file, in whole seconds."""


def images_folder() -> Path:
    """Where files of images are kept: `$PI_PARETO_NAS_IMAGES`, else `images` in the cache folder."""
    named = os.environ.get(IMAGES_FOLDER)
    return local_path(named) if named else cache_folder() / "images"


class ImageFile:
    """Images in a file, mapped when they are first needed. It pickles as its path and what it holds, without pixels.

    Where it is not at its path, as on another machine, it is looked for in `images_folder`.
    """

    def __init__(self, path: Path, details: FileDetails) -> None:
        self.path, self.details = path, details

    def __reduce__(self) -> tuple[Any, ...]:
        return ImageFile, (self.path, self.details)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the array (N, C, H, W)."""
        size = self.details.size
        return (self.details.count, 3, size, size)

    @property
    def mapped(self) -> npt.NDArray[np.uint8]:
        """All pixels: pages of the file, which all processes of a machine share, read when they are looked at."""
        return np.frombuffer(self._map, np.uint8, count=int(np.prod(self.shape))).reshape(self.shape)

    def read_ahead(self, rows_B: npt.NDArray[np.int64]) -> None:
        """Have the system read images that are about to be gathered, all at once."""
        image_bytes = 3 * self.details.size**2
        for row in rows_B.tolist():
            start = row * image_bytes
            page = start - start % mmap.PAGESIZE
            self._map.madvise(mmap.MADV_WILLNEED, page, start + image_bytes - page)

    @property
    def places(self) -> tuple[Path, ...]:
        """Where it may be on this machine."""
        return tuple(dict.fromkeys((self.path, images_folder() / self.path.name)))

    @property
    def is_here(self) -> bool:
        """Whether this machine has it, whole."""
        return self._place is not None

    @property
    def _place(self) -> Path | None:
        for path in self.places:
            details = read_details(path)
            if details is not None and details.fingerprint == self.details.fingerprint:
                return path
        return None

    @cached_property
    def _map(self) -> mmap.mmap:
        """The file.

        Raises:
            FileNotFoundError: if this machine does not have it.
        """
        path = self._place
        if path is None:
            raise FileNotFoundError(
                f"a file of images must be on each machine, but {str(self.path)!r} is not, or not whole: run the "
                "command again, which makes it anew."
            )
        with path.open("rb") as file:
            # The map keeps the file open, and its lock: it tells that the file is in use.
            with contextlib.suppress(OSError):
                lock_at_once(file, shared=True)
            mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        # Rows are gathered in random order: what lies beside them is not read.
        mapped.madvise(mmap.MADV_RANDOM)
        return mapped


class ImageWriter:
    """Writes images to a file, one after the other."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._size = file, size
        self._digest = hashlib.sha256()
        self.count = 0

    def add(self, pixels_CHW: npt.NDArray[np.uint8]) -> None:
        """Write one image, shape (3, size, size).

        Raises:
            OSError: if it cannot be written.
        """
        content = pixels_CHW.tobytes()
        self._digest.update(content)
        self._file.write(content)
        self.count += 1

    def finish(
        self,
        *,
        omitted: tuple[tuple[int, ...], ...],
        grey: bool,
        width: int,
        height: int,
        scattered: bool,
        facts: DatasetFacts,
    ) -> FileDetails:
        """Write what the images are, as `FileDetails` has it; the file is on the disk then.

        Raises:
            OSError: if it cannot be written.
        """
        details = FileDetails(
            count=self.count,
            size=self._size,
            fingerprint=self._digest.hexdigest(),
            omitted=omitted,
            grey=grey,
            width=width,
            height=height,
            scattered=scattered,
            facts=facts,
            written=int(time.time()),
        )
        text = json.dumps(asdict(details)).encode()
        self._file.write(text + len(text).to_bytes(_LENGTH_BYTES, "little") + hashlib.sha256(text).digest() + _MAGIC)
        keep(self._file, details)
        return details


def keep(file: IO[bytes], details: FileDetails) -> None:
    """Have a file that is written survive a power cut, with the time of its last change as its details have it.

    Raises:
        OSError: if it cannot be written.
    """
    file.flush()
    os.utime(file.fileno(), (details.written, details.written))
    os.fsync(file.fileno())


def read_details(path: Path) -> FileDetails | None:
    """What a file's images are; None where there is none, or none that is whole.

    A file that was changed since it was written is read as a whole once.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | NO_LINK)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        with open(handle, "rb", closefd=False) as file:
            details = _details_in(file)
            if details is not None and os.fstat(handle).st_mtime != details.written:
                if digest_of_images(file, details) != details.fingerprint:
                    return None
                with contextlib.suppress(OSError):
                    os.utime(path, (details.written, details.written))
            return details
    except (OSError, ValueError):
        return None
    finally:
        os.close(handle)


def digest_of_images(file: IO[bytes], details: FileDetails) -> str:
    """Digest of a file's pixels."""
    digest, left = hashlib.sha256(), image_bytes(details.count, details.size)
    file.seek(0)
    while left and (block := file.read(min(left, _READ_BYTES))):
        digest.update(block)
        left -= len(block)
    return digest.hexdigest()


def image_bytes(count: int, size: int) -> int:
    """Bytes of the pixels of so many images."""
    return 3 * size * size * count


def _details_in(file: IO[bytes]) -> FileDetails | None:
    whole = file.seek(0, os.SEEK_END)
    if whole < _TAIL_BYTES:
        return None
    file.seek(whole - _TAIL_BYTES)
    tail = file.read(_TAIL_BYTES)
    length, digest = int.from_bytes(tail[:_LENGTH_BYTES], "little"), tail[_LENGTH_BYTES : -len(_MAGIC)]
    if not tail.endswith(_MAGIC) or length > min(_MOST_TEXT_BYTES, whole - _TAIL_BYTES):
        return None
    start = whole - _TAIL_BYTES - length
    file.seek(start)
    text = file.read(length)
    if hashlib.sha256(text).digest() != digest:
        return None
    details: FileDetails = record_from_json(FileDetails, parse_json(text), where="details")
    return details if start == image_bytes(details.count, details.size) else None
