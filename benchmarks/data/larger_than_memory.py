"""Pre-training on a data set larger than the memory of its worker, against the same images in memory.

Images of noise go the way of any data set: decoded, written to a file, found again, split. Then a process within a
limit of memory pre-trains on the mapped file, and one without a limit on the same images as an array; they take turns,
each turn in a new process. The file is removed at the end.
"""

from __future__ import annotations

import dataclasses
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.data.memory_limits import OwnMemory, memory_limit
from benchmarks.options import BenchmarkConfig, check_at_least, check_positive, read_config
from benchmarks.progress import Show, progress_bars
from benchmarks.results import print_results
from benchmarks.supernets.forms import FORMS
from benchmarks.supernets.steps import Task, weight_steps
from benchmarks.turns import in_new_processes, median_ratio, rounds_of_turns
from evaluation.batches import ImageBatches
from evaluation.data.image_file import IMAGES_FOLDER, image_bytes
from evaluation.data.images import LabelledImages
from evaluation.data.loading import load
from evaluation.data.pictures import Entry
from evaluation.data.source import DataSource, Part
from evaluation.splits import Splits, split_data
from scripts.interface.command_line import run
from search_space.spaces import space_named

CLASSES = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class LargerThanMemoryConfig(BenchmarkConfig):
    """Options of the benchmark."""

    images: int = 40_000
    """Images of noise."""
    limit_mb: int = 1000
    """Memory of a worker, in MB."""
    space: str = "fbnet-96-0.35"
    """Search space, whose input size the images have."""
    batch: int = 128
    """Images in a step."""
    threads: int = 1
    """CPU threads of a worker."""
    rounds: int = 3
    """Turns of each side."""
    turn_seconds: float = 10.0
    """Time of each turn, without its start."""
    folder: str | None = None
    """Where the file is written; by default among other temporary files."""

    def __post_init__(self) -> None:
        check_at_least(self, images=200, limit_mb=300, batch=2, threads=1, rounds=1)
        check_positive(self, "turn_seconds")

    def quickened(self) -> LargerThanMemoryConfig:
        """See `BenchmarkConfig.quickened`."""
        return dataclasses.replace(self, images=2000, batch=16, rounds=1, turn_seconds=0.5)


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryTurn:
    """Figures of one turn of a side."""

    steps_images_per_second: float
    """Of weight steps of pre-training."""
    read_images_per_second: float
    """Of batches in random order, augmented and normalised, with nothing done with them."""
    own_memory_mb: float
    """At most, during the steps: of the process's own, without pages of files."""
    limited_by: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LargerThanMemoryResults:
    """What the benchmark found."""

    file_mb: float
    write_seconds: float
    """Of making all pictures and writing the file."""
    again_seconds: float
    """Of finding it again."""
    split_seconds: float
    """Of the one pass over all pixels that gives statistics and fingerprint."""
    split_again_seconds: float
    mapped: list[MemoryTurn]
    in_memory: list[MemoryTurn]


class NoisePictures:
    """Pictures of noise, always the same; implements `evaluation.data.pictures.Pictures`."""

    def __init__(self, count: int, size: int) -> None:
        self._count, self._size = count, size

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Entry]:
        return map(self.__getitem__, range(self._count))

    def __getitem__(self, row: int, /) -> Entry:
        shape = (self._size, self._size, 3)
        return Image.fromarray(np.random.default_rng(row).integers(0, 256, shape, dtype=np.uint8))


def measured(config: LargerThanMemoryConfig, folder: Path, show: Show) -> LargerThanMemoryResults:
    """All figures; the file is in that folder."""
    space = space_named(config.space).with_classes(CLASSES)
    size = space.input_size
    (folder / "noise").mkdir()
    labels_N = np.arange(config.images) % CLASSES
    part = Part("train", NoisePictures(config.images, size), labels_N)
    source = DataSource(str(folder / "noise"), part, test=None, class_names=tuple("abcdefghij"))
    moments = [time.perf_counter()]
    data = load(source, size, resize="crop", on_progress=partial(show, "written"))
    moments.append(time.perf_counter())
    data = load(source, size, resize="crop")
    moments.append(time.perf_counter())
    splits = split_data(data, 0)
    moments.append(time.perf_counter())
    splits = split_data(data, 0)
    moments.append(time.perf_counter())
    task = Task(form=FORMS["shared"], space=space, splits=splits, batch=config.batch, threads=config.threads, seed=0)

    def turn(limit: int | None) -> MemoryTurn:
        return in_new_processes([partial(turn_of, task, config.turn_seconds, limit)])[0]

    sides = {"mapped": partial(turn, config.limit_mb * 10**6), "in_memory": partial(turn, None)}
    turns = rounds_of_turns(sides, config.rounds, on_turn=partial(show, "turns"))
    write, again, split, split_again = np.diff(moments).tolist()
    return LargerThanMemoryResults(
        file_mb=image_bytes(config.images, size) / 1e6,
        write_seconds=write,
        again_seconds=again,
        split_seconds=split,
        split_again_seconds=split_again,
        **turns,
    )


def turn_of(task: Task, seconds: float, limit: int | None) -> MemoryTurn:
    """One turn: within a limit on the mapped file, or without one on the training images as an array."""
    if limit is None:
        weights = task.splits.weights
        held = LabelledImages(weights.pixels, weights.labels_N)
        return _timed(dataclasses.replace(task, splits=dataclasses.replace(task.splits, weights=held)), seconds, "none")
    with memory_limit(limit) as what:
        return _timed(task, seconds, what)


def _timed(task: Task, seconds: float, limited_by: str) -> MemoryTurn:
    with OwnMemory() as memory:
        steps = weight_steps(task, seconds).images_per_second
        read = _read_rate(task.splits, task, seconds / 4)
    return MemoryTurn(
        steps_images_per_second=steps,
        read_images_per_second=read,
        own_memory_mb=memory.peak_bytes / 1e6,
        limited_by=limited_by,
    )


def _read_rate(splits: Splits, task: Task, seconds: float) -> float:
    images = ImageBatches(splits.weights, splits, augmentation=task.augmentation)
    start, read = time.perf_counter(), 0
    for _, labels_B in images.batches(task.batch, np.random.default_rng(os.getpid())):
        read += len(labels_B)
        if time.perf_counter() - start > seconds:
            break
    return read / (time.perf_counter() - start)


def lines_of(config: LargerThanMemoryConfig, results: LargerThanMemoryResults) -> Iterator[str]:
    """The figures for people."""
    mapped, held = results.mapped, results.in_memory
    yield (
        f"{config.images:,} images of noise, {results.file_mb / 1000:.2f} GB; {config.space}, batch {config.batch}, "
        f"{config.threads} thread(s); medians of {config.rounds} turns of {config.turn_seconds:g} s"
    )
    yield f"written in {results.write_seconds:.1f} s, found again in {results.again_seconds:.2f} s"
    yield f"statistics and fingerprint in {results.split_seconds:.1f} s, again in {results.split_again_seconds:.2f} s"
    yield f"limit of a worker on the file: {config.limit_mb} MB by {mapped[0].limited_by}"
    for name, turns in (("mapped file", mapped), ("in memory", held)):
        steps, read, memory = (
            statistics.median(getattr(turn, name) for turn in turns)
            for name in ("steps_images_per_second", "read_images_per_second", "own_memory_mb")
        )
        yield f"{name}: {steps:.1f} images/s of weight steps, {read:,.0f} images/s read; own memory {memory:,.0f} MB"
    steps = [[turn.steps_images_per_second for turn in turns] for turns in (mapped, held)]
    yield f"mapped file / in memory, weight steps: {median_ratio(*steps):.2f} (median of rounds)"


def main() -> None:
    """Parse the options, measure, print."""
    config = read_config(LargerThanMemoryConfig)
    with tempfile.TemporaryDirectory(dir=config.folder) as folder, progress_bars() as show:
        os.environ[IMAGES_FOLDER] = str(Path(folder) / "images")
        results = measured(config, Path(folder), show)
    print_results(dataclasses.asdict(results), lines_of(config, results), as_json=config.json)


if __name__ == "__main__":
    run(main)
