"""Files of images on the machines of a cluster: one that lacks a file is sent it, once, from the driver's machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from evaluation.data.image_file import ImageFile
from evaluation.data.kept_images import receive
from evaluation.splits import Splits
from moo.execution.ray_session import RaySession

PIECE_BYTES = 2**24
"""Of a file, sent at a time: more would crowd Ray's object store."""


@dataclass(frozen=True)
class OfferedImages:
    """The files that workers need, each with what sends it."""

    files: tuple[tuple[ImageFile, Any], ...] = ()

    def have(self) -> None:
        """Have all on this machine; processes that want the same one wait until the first of them has it.

        Raises:
            ValueError: if there is no place for one, or what was sent is not it.
        """
        for file, sender in self.files:
            receive(file, partial(_pieces, sender))


def offered_images(splits: Splits, session: RaySession) -> OfferedImages:
    """The files of splits, for workers that may be on other machines; none where all are on this one."""
    if session.is_own:
        return OfferedImages()
    parts = (splits.weights, splits.theta, splits.selection, splits.test)
    files = {id(part.images): part.images for part in parts if isinstance(part.images, ImageFile)}
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options = {"num_cpus": 0, "scheduling_strategy": here}
    return OfferedImages(tuple((file, _new_sender.options(**options).remote(file.path)) for file in files.values()))


def _pieces(sender: Any) -> Iterator[bytes]:
    """A file in order, the next piece on its way while one is written."""
    start, coming = 0, sender.piece.remote(0)
    while piece := ray.get(coming):
        start += len(piece)
        coming = sender.piece.remote(start)
        yield piece


class ImageSender:
    """Reads a file for other machines."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def piece(self, start: int) -> bytes:
        """What follows a place in the file; nothing at its end."""
        with self._path.open("rb") as file:
            file.seek(start)
            return file.read(PIECE_BYTES)


_new_sender: Any = ray.remote(ImageSender)
