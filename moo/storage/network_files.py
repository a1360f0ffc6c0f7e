"""The files of a network that a run hands over: by known names, below the run folder, links not followed."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from moo.storage.adaptive_front import FOLDER

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
    f"{FOLDER}/run_litert.py": "its part for LiteRT",
    f"{FOLDER}/card.md": "all that deploying with early exits takes",
}
"""Files by name, and what each is."""
SEGMENT = re.compile(rf"{FOLDER}/segment_([1-9]\d?)(_int8)?\.(onnx|tflite)")
"""Name of a part of a network with early exits."""


def is_handed_over(name: str) -> bool:
    """Whether a network may have a file of this name in its folder."""
    return name in FILES or SEGMENT.fullmatch(name) is not None


def what_is(name: str) -> str:
    """What a file of a network is, by its name."""
    part = SEGMENT.fullmatch(name)
    return FILES[name] if part is None else f"part {part[1]} of the network with early exits"


def names_in(folder: Path) -> list[str]:
    """Names that the files of a network may have, those of segments that its folder lists included."""
    try:
        names = [f"{FOLDER}/{name}" for name in os.listdir(folder / FOLDER)]
    except OSError:
        names = []
    return [*FILES, *sorted(name for name in names if SEGMENT.fullmatch(name))]


@contextmanager
def opened_below(root: Path, path: PurePosixPath) -> Iterator[int]:
    """Open a regular file below a folder, each part of its path without following a link.

    Raises:
        FileNotFoundError: if there is none.
    """
    opened: list[int] = []
    try:
        opened.append(os.open(root, os.O_RDONLY | os.O_DIRECTORY))
        for part in path.parts[:-1]:
            opened.append(os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=opened[-1]))
        opened.append(os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=opened[-1]))
        if not stat.S_ISREG(os.fstat(opened[-1]).st_mode):
            raise FileNotFoundError(path.name)
        yield opened[-1]
    except OSError:
        raise FileNotFoundError(path.name) from None
    finally:
        for one in opened:
            os.close(one)
