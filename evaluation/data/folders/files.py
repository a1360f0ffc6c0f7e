"""Pictures in files of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from evaluation.data.pictures import Entry


class FilePictures:
    """Pictures in files; implements `evaluation.data.pictures.Pictures`."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Entry]:
        for path in self.paths:
            yield {"bytes": None, "path": str(path)}

    def __getitem__(self, row: int, /) -> Entry:
        return {"bytes": None, "path": str(self.paths[row])}
