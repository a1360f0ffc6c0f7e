"""Pictures that come more than once, byte by byte. Start with `twins_text`."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from evaluation.data.folders.files import FilePictures
from evaluation.data.pictures import Pictures

MOST_IN_TABLES = 20_000
"""Pictures of tables that are gone through: all their bytes have to be read for that, where of files sizes suffice."""
_READ_AT_ONCE = 2**20

Labelled = tuple[Pictures, npt.NDArray[np.int64]]


def twins_text(train: Labelled, test: Labelled | None) -> tuple[str, ...]:
    """How many pictures come more than once, as sentences without a stop: in both splits, and with several labels."""
    parts = [train] if test is None else [train, test]
    keys = _keys([pictures for pictures, _ in parts])
    if keys is None:
        return ()
    found = []
    of_train = set(keys[0]) - {None}
    if test is not None:
        both = sum(key in of_train for key in keys[1])
        if both:
            noun = "picture is" if both == 1 else "pictures are"
            found.append(f"{both:,} {noun} both trained and tested on, byte by byte")
    labels: dict[bytes, set[int]] = {}
    for key, label in zip(keys[0], train[1].tolist(), strict=True):
        if key is not None:
            labels.setdefault(key, set()).add(label)
    several = sum(len(own) > 1 for own in labels.values())
    if several:
        found.append(f"{several:,} training picture{'s' * (several != 1)} in several classes at once, byte by byte")
    again = sum(number - 1 for key, number in Counter(keys[0]).items() if key is not None)
    if again:
        found.append(f"{again:,} training picture{'s' * (again != 1)} more than once, byte by byte")
    return tuple(found)


def _keys(splits: Sequence[Pictures]) -> list[list[bytes | None]] | None:
    """What stands for the bytes of each picture that may have a twin; None where it is too much to read."""
    if all(isinstance(pictures, FilePictures) for pictures in splits):
        return _of_files([pictures.paths for pictures in splits if isinstance(pictures, FilePictures)])
    if sum(map(len, splits)) > MOST_IN_TABLES:
        return None
    return [
        [
            hashlib.blake2b(entry["bytes"], digest_size=16).digest()
            if isinstance(entry, dict) and entry["bytes"] is not None
            else None
            for entry in pictures
        ]
        for pictures in splits
    ]


def _of_files(splits: Sequence[Sequence[Path]]) -> list[list[bytes | None]]:
    sizes = [[_size(path) for path in paths] for paths in splits]
    numbers = Counter(size for own in sizes for size in own)
    return [
        [_digest(path) if size is not None and numbers[size] > 1 else None for path, size in zip(*part, strict=True)]
        for part in zip(splits, sizes, strict=True)
    ]


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size or None
    except OSError:
        return None


def _digest(path: Path) -> bytes | None:
    digest = hashlib.blake2b(digest_size=16)
    try:
        with path.open("rb") as file:
            while block := file.read(_READ_AT_ONCE):
                digest.update(block)
    except OSError:
        return None
    return digest.digest()
