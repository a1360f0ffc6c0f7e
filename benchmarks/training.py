"""Training throughput of one network: this project's `Training` against the loop one would write first.

    python benchmarks/training.py [--quick] [--json] [--threads N] [--dataset DATASET] [--architecture ARCHITECTURE]

The plain loop: a `DataLoader` over a data set that crops, mirrors, converts and normalises one image at a time, fp32,
contiguous, SGD with momentum; the same network from the same graph, batch, augmentation and threads. `Training` does
more at each step: it also averages the weights. Goal: at least 1.5 times the images a second, on two cores.
Rows `without` take one thing away. `at once`: a network a thread, all of them together, as a front is trained.
Each side is timed in turns, in a process of its own for each turn (kept memory is a setting of the process); warm-up
is not timed. Figures are medians of turns, ratios medians over the rounds of turns. About ten minutes.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.noise import random_images
from benchmarks.options import BenchmarkConfig, check_at_least, read_config
from benchmarks.progress import progress_bars
from benchmarks.results import Column, TextTable, print_results
from benchmarks.training_ways import WAYS, Side, Task, Way
from benchmarks.turns import in_new_processes, median_ratio, rounds_of_turns
from evaluation.augmentation import Augmentation
from evaluation.data.loading import load_images
from evaluation.splits import split_data
from scripts.interface.command_line import run
from search_space.architectures import parse_architecture
from search_space.counts import count
from search_space.spaces import space_named

if TYPE_CHECKING:
    from typing_extensions import Self

WARM_UP_STEPS = 5
RANDOM_IMAGES = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingBenchmarkConfig(BenchmarkConfig):
    """Time the training of one network."""

    space: str = "fbnet-micro"
    """A preset of the FBNet family or a .yaml file."""
    architecture: str = "76473707"
    """As in train_architecture.py; the default lies on a front of CIFAR-10."""
    dataset: str | None = None
    """Images as in train_architecture.py; random ones by default."""
    batch_size: int = 128
    """Images a step."""
    threads: int = 2
    """CPU threads of each side."""
    steps: int = 40
    """Steps that are timed in each turn."""
    rounds: int = 5
    """Turns of each side."""
    quick: bool = False
    """Two rounds of few steps."""

    def __post_init__(self) -> None:
        check_at_least(self, batch_size=2, threads=1, steps=1, rounds=1)

    def quickened(self) -> Self:
        """Two rounds of six steps at most."""
        return dataclasses.replace(self, steps=min(self.steps, 6), rounds=2)


BASELINES = ("plain loop", "plain loop, 2 loader processes")


@dataclass(frozen=True)
class Row:
    """What was found of one way to train."""

    images_per_second: float
    """Median of the turns."""
    ratios: dict[str, float]
    """Median over the rounds of the ratio to each baseline, by its name."""


TABLE = TextTable(
    Column(title="", width=32, left=True),
    Column(title="images/s", width=9, form=".0f"),
    Column(title="times plain", width=12, form=".2f"),
    Column(title="times plain, 2 loader processes", width=32, form=".2f"),
)


def main() -> None:
    """Time all ways in turns, and print one row each."""
    config = read_config(TrainingBenchmarkConfig)
    task = new_task(config)
    sides = {name: partial(images_a_second, way, task, config.threads) for name, way in WAYS.items()}
    with progress_bars() as show:
        turns = rounds_of_turns(sides, config.rounds, on_turn=partial(show, "turns"))
    rows = rows_of(turns)
    content = {
        "torch": torch.__version__,
        "settings": asdict(config),
        "rows": {
            name.strip(): {
                "images_per_second": row.images_per_second,
                **{f"times {baseline}": ratio for baseline, ratio in row.ratios.items()},
            }
            for name, row in rows.items()
        },
    }
    print_results(content, lines_of(config, task, rows), as_json=config.json)


def rows_of(turns: Mapping[str, Sequence[float]]) -> dict[str, Row]:
    """Rows by the name of the way, from images a second in each round."""
    return {
        name: Row(
            statistics.median(speeds), {baseline: median_ratio(speeds, turns[baseline]) for baseline in BASELINES}
        )
        for name, speeds in turns.items()
    }


def lines_of(config: TrainingBenchmarkConfig, task: Task, rows: Mapping[str, Row]) -> Iterator[str]:
    """The table, with what was trained and how above it."""
    macs = count(task.graph).macs / 1e6
    yield (
        f"{config.space} {config.architecture}, {macs:.1f} million MACs, batch {config.batch_size}, {config.threads} "
        f"thread(s), torch {torch.__version__}; medians of {config.rounds} turns of {config.steps} steps"
    )
    yield TABLE.head
    for name, row in rows.items():
        yield TABLE.row(name, row.images_per_second, *row.ratios.values())


def new_task(config: TrainingBenchmarkConfig) -> Task:
    """The network, and as many images as a turn takes; where the data set has fewer, they are repeated.

    Raises:
        ValueError: if there is no such space, architecture or data set.
    """
    space = space_named(config.space, published=config.architecture)
    size = space.input_size
    if config.dataset is None:
        data = random_images(space, RANDOM_IMAGES, seed=0)
    else:
        data = load_images(config.dataset, size=size)
    splits = split_data(data, 0)
    weights, selection = splits.weights, splits.selection
    rows_N = np.arange(config.batch_size * (WARM_UP_STEPS + config.steps)) % len(weights)
    few = selection.take(np.arange(64))
    used = weights.take(rows_N)
    splits = dataclasses.replace(splits, weights=used, theta=few, selection=few, test=few)
    graph = space.with_classes(len(splits.class_names)).graph(parse_architecture(space, config.architecture).operators)
    return Task(graph, splits, config.batch_size, Augmentation(crop_padding=size // 8, flip=not splits.grey))


def images_a_second(way: Way, task: Task, threads: int) -> float:
    """Throughput of one turn, in one new process or, at once, in one for each thread; that of all together."""
    processes = threads if way.at_once else 1
    calls = [partial(step_times, way.side, task, threads // processes)] * processes
    times = [moments[WARM_UP_STEPS - 1 :] for moments in in_new_processes(calls)]
    begin, end = max(moments[0] for moments in times), min(moments[-1] for moments in times)
    if end <= begin:
        raise ValueError("networks trained at once must overlap in time, but did not; choose more `--steps`.")
    done = sum(begin < moment <= end for moments in times for moment in moments)
    return task.batch_size * done / (end - begin)


def step_times(side: Side, task: Task, threads: int) -> list[float]:
    """Moments, in seconds, at which the steps ended."""
    torch.set_num_threads(threads)
    moments: list[float] = []
    side(task, lambda: moments.append(time.perf_counter()))
    return moments


if __name__ == "__main__":
    run(main)
