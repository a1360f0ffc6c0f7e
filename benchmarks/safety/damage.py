"""How the commands answer where a file of a run is damaged: every kind of file, and every reader of it.

    python benchmarks/safety/damage.py --bytes 200

Each turn damages one file of a copy of small runs: one byte changed at a random place, the file cut, emptied, removed,
or a folder or a link in its place. An answer is `named` (one line with the file's name), `harmless` (the result is that
of the whole runs), `nameless` (refused, but the file is not named), `silent` (another result) or a `traceback`.

Goal: nothing silent, nameless or with a traceback.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from benchmarks.options import BenchmarkConfig, check_at_least, read_config
from benchmarks.results import Column, TextTable, print_results, write_results
from benchmarks.safety.small_runs import READERS, Reader, make_runs
from scripts.interface.command_line import run
from scripts.interface.endings import NOT_ALLOWED

if TYPE_CHECKING:
    from typing_extensions import Self

Answer = Literal["named", "harmless", "nameless", "silent", "traceback"]
Damage = Callable[[Path], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class DamageConfig(BenchmarkConfig):
    """Damage every kind of file of a run, and see how the commands that read it answer."""

    bytes: int = 20
    """Turns with one byte changed, for each kind of file and each of its readers."""
    cuts: int = 4
    """Turns with the file cut at a random place."""
    files: tuple[str, ...] = ()
    """Only kinds of file whose names have one of these in them."""
    seed: int = 0
    """Seed of places and values."""
    out: str | None = None
    """Folder for results.json."""
    quick: bool = False
    """Three turns with one byte changed, one cut."""

    def __post_init__(self) -> None:
        check_at_least(self, bytes=0, cuts=0, seed=0)

    def quickened(self) -> Self:
        """A few turns."""
        return replace(self, bytes=3, cuts=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class DamageRow:
    """How one reader answered to all damages of one kind of file."""

    file: str
    reader: str
    tried: int
    named: int
    harmless: int
    nameless: int
    silent: int
    traceback: int
    wrong: tuple[str, ...]
    """What was damaged, and what came of it, where that is not as it should be."""


TABLE = TextTable(
    Column(title="file", width=44, left=True),
    Column(title="read by", width=13, left=True),
    Column(title="tried", width=6),
    Column(title="named", width=6),
    Column(title="harmless", width=9),
    Column(title="nameless", width=9),
    Column(title="silent", width=7),
    Column(title="traceback", width=10),
)


def main() -> int:
    """Damage and read; the exit code is 1 where an answer is not as it should be."""
    config = read_config(DamageConfig)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sys.stderr.write("making the runs\n")
        make_runs(folder / "runs")
        shutil.move(folder / "runs", folder / "whole")
        for kind, readers in READERS.items():
            if config.files and not any(part in kind for part in config.files):
                continue
            for reader in readers:
                sys.stderr.write(f"{kind}, {reader.__name__}\n")
                rows.append(tried(folder, kind, reader, config))
    content = {"rows": [asdict(row) for row in rows]}
    write_results(config.out, content, {})
    print_results(content, [TABLE.head, *map(_line, rows), *_wrong_lines(rows)], as_json=config.json)
    return int(any(row.wrong for row in rows))


def tried(folder: Path, kind: str, reader: Reader, config: DamageConfig) -> DamageRow:
    """The answers of one reader to damages of one kind of file.

    Args:
        folder: with the runs as `whole`; `runs`, for which they were made, is where each turn has its copy.
        kind: pattern of the file in it.
        reader: that is tried.
        config: how often, and with which seed.
    """
    rng = np.random.default_rng([config.seed, *kind.encode()])
    work, place = folder / "runs", kind.split("/")[0]
    _restore(folder)
    expected = reader(work / place)
    counts, wrong = Counter[str](), []
    for name, damage in damages(rng, bytes=config.bytes, cuts=config.cuts):
        _restore(folder)
        paths = sorted(work.glob(kind))
        path = paths[int(rng.integers(len(paths)))]
        damage(path)
        answer, said = answer_of(lambda: reader(work / place), path, expected)
        counts[answer] += 1
        if answer not in ("named", "harmless"):
            wrong.append(f"{path.relative_to(work)}, {name}: {answer} {said}".strip())
    return DamageRow(
        file=kind,
        reader=reader.__name__,
        tried=counts.total(),
        named=counts["named"],
        harmless=counts["harmless"],
        nameless=counts["nameless"],
        silent=counts["silent"],
        traceback=counts["traceback"],
        wrong=tuple(wrong),
    )


def damages(rng: np.random.Generator, *, bytes: int, cuts: int) -> Iterator[tuple[str, Damage]]:
    """Damages of a file, each with its name.

    Args:
        rng: chooses places and values.
        bytes: how often one byte is changed.
        cuts: how often the file is cut.
    """
    for _ in range(bytes):
        place, value = float(rng.random()), int(rng.integers(1, 256))
        yield f"byte at {place:.4f} changed by {value}", lambda path, p=place, v=value: _change(path, p, v)  # type: ignore[misc]
    for _ in range(cuts):
        share = float(rng.random())
        yield f"cut at {share:.4f}", lambda path, s=share: _cut(path, s)  # type: ignore[misc]
    yield "emptied", lambda path: _cut(path, 0.0)
    yield "missing", Path.unlink
    yield "a folder", _folder
    yield "a link", _link


def answer_of(read: Callable[[], object], path: Path, expected: object) -> tuple[Answer, str]:
    """How a reader answers where a file is damaged, and what it says where that is wrong."""
    try:
        found = read()
    except ValueError as error:
        said = " ".join(str(error).split())
        return ("named", "") if path.name in said else ("nameless", said)
    except OSError as error:
        # The commands make one line of these.
        named = error.errno in NOT_ALLOWED and path.name in str(error.filename2 or error.filename)
        return ("named", "") if named else ("traceback", repr(error))
    except Exception as error:
        return "traceback", " ".join(repr(error).split())
    return ("harmless", "") if found == expected else ("silent", "")


def _restore(folder: Path) -> None:
    shutil.rmtree(folder / "runs", ignore_errors=True)
    shutil.copytree(folder / "whole", folder / "runs", symlinks=True)


def _change(path: Path, place: float, value: int) -> None:
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= value
    path.write_bytes(content)


def _cut(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _link(path: Path) -> None:
    """The same content, in a file outside of the runs."""
    (runs,) = (parent for parent in path.parents if parent.name == "runs")
    other = runs.with_name("elsewhere")
    shutil.move(path, other)
    path.symlink_to(other)


def _line(row: DamageRow) -> str:
    return TABLE.row(row.file, row.reader, row.tried, row.named, row.harmless, row.nameless, row.silent, row.traceback)


def _wrong_lines(rows: list[DamageRow]) -> Iterator[str]:
    for row in rows:
        yield from (f"{row.reader}: {one}" for one in row.wrong)


if __name__ == "__main__":
    run(main)
