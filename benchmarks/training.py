"""Training throughput of one network: this project's `Training` against the loop that one writes first.

    python benchmarks/training.py [--quick] [--json] [--threads N] [--dataset DATASET] [--architecture ARCHITECTURE]

The plain loop: a `DataLoader` over a data set that crops, mirrors, converts and normalises one image at a time, fp32,
contiguous, SGD with momentum; the same network from the same graph, batch, augmentation and threads. `Training` does
more at each step: it also averages the weights. Goal: at least 1.5 times the images a second, on two cores.
Rows `without` take one thing away. `at once`: a network a thread, all of them together, as a front is trained.
Each side is timed in turns, in a process of its own for each turn (kept memory is a setting of the process); warm-up
is left out. Figures are medians of turns, ratios medians over the rounds of turns. About ten minutes.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from rich.progress import Progress
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from evaluation.image_data import ImageData, LabelledImages, load_images
from evaluation.splits import Augmentation, ImageBatches, Splits, split_data
from evaluation.training.allocator import keep_freed_memory
from evaluation.training.config import TrainSettings
from evaluation.training.loop import Training
from scripts.command_line import parse, run
from search_space.architectures import parse_architecture
from search_space.counts import count
from search_space.graphs import Graph
from search_space.networks import Network
from search_space.spaces import space_named

WARM_UP_STEPS = 5


@dataclass(frozen=True)
class TrainingBenchmarkConfig:
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
    json: bool = False
    """Print JSON."""

    def __post_init__(self) -> None:
        for name, least in (("batch_size", 2), ("threads", 1), ("steps", 1), ("rounds", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"`--{name.replace('_', '-')} >= {least}` must hold, but got {getattr(self, name)}.")


@dataclass(frozen=True)
class Task:
    """What every side trains."""

    graph: Graph
    splits: Splits
    """The weights split has as many images as a turn takes."""
    batch_size: int
    augmentation: Augmentation


OnStep = Callable[[], None]
"""Called after each step."""
Side = Callable[[Task, OnStep], None]
"""Trains a new network for one pass over the images."""


class PlainImages(Dataset[tuple[Tensor, int]]):
    """Normalised images, augmented one at a time."""

    def __init__(self, splits: Splits, augmentation: Augmentation) -> None:
        self.images_NCHW = torch.from_numpy(splits.weights.images_NCHW)
        self.labels = splits.weights.labels_N.tolist()
        self.mean_C11 = torch.tensor(splits.mean_C)[:, None, None]
        self.std_C11 = torch.tensor(splits.std_C)[:, None, None]
        self.augmentation = augmentation

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image_CHW = self.images_NCHW[index]
        _, height, width = image_CHW.shape
        padding = self.augmentation.crop_padding
        top, left = torch.randint(0, 2 * padding + 1, (2,)).tolist()
        image_CHW = F.pad(image_CHW, (padding,) * 4)[:, top : top + height, left : left + width]
        if self.augmentation.flip and torch.rand(()) < 0.5:
            image_CHW = image_CHW.flip(-1)
        return (image_CHW.float() / 255 - self.mean_C11) / self.std_C11, self.labels[index]


def plain_loop(task: Task, on_step: OnStep, *, loader_processes: int) -> None:
    """The loop that one writes first."""
    network = Network(task.graph).train()
    images = PlainImages(task.splits, task.augmentation)
    loader = DataLoader(images, task.batch_size, shuffle=True, num_workers=loader_processes, drop_last=True)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    total_loss = 0.0
    for x_BCHW, labels_B in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(network(x_BCHW), labels_B)
        torch.autograd.backward(loss)
        optimizer.step()
        total_loss += loss.item()
        on_step()


def project_loop(
    task: Task,
    on_step: OnStep,
    *,
    keep_memory: bool = True,
    quick_depthwise: bool = True,
    layout: torch.memory_format = torch.channels_last,
    batches: type[ImageBatches] = ImageBatches,
) -> None:
    """This project's training, or all of it but one thing."""
    if keep_memory:
        keep_freed_memory()
    images = batches(task.splits.weights, task.splits, augmentation=task.augmentation)
    selection = ImageBatches(task.splits.selection, task.splits)
    settings = TrainSettings(epochs=1, batch_size=task.batch_size)
    with nullcontext() if quick_depthwise else mock.patch("evaluation.training.loop.use_quick_depthwise"):
        training = Training(Network(task.graph), images, selection, settings, seed=0)
    for network in (training.network, training.averaged):
        network.to(memory_format=layout)
    for _ in training.epoch():
        on_step()


class ContiguousBatches(ImageBatches):
    """Batches in PyTorch's usual layout."""

    def batches(self, batch_size: int, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """See `ImageBatches.batches`."""
        for x_BCHW, labels_B in super().batches(batch_size, rng):
            yield x_BCHW.contiguous(), labels_B


class SingleImageBatches(ImageBatches):
    """Batches of images that are augmented one at a time, by `PlainImages`."""

    def __init__(self, images: LabelledImages, splits: Splits, *, augmentation: Augmentation) -> None:
        super().__init__(images, splits, augmentation=augmentation)
        self.plain = PlainImages(splits, augmentation)

    def batches(self, batch_size: int, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """See `ImageBatches.batches`; torch's generator gives the order."""
        for x_BCHW, labels_B in DataLoader(self.plain, batch_size, shuffle=True, drop_last=True):
            yield x_BCHW.contiguous(memory_format=torch.channels_last), labels_B


SIDES: dict[str, tuple[Side, bool]] = {
    "plain loop": (partial(plain_loop, loader_processes=0), False),
    "plain loop, 2 loader processes": (partial(plain_loop, loader_processes=2), False),
    "Training": (project_loop, False),
    "  without kept memory": (partial(project_loop, keep_memory=False), False),
    "  without channels-last": (
        partial(project_loop, layout=torch.contiguous_format, batches=ContiguousBatches),
        False,
    ),
    "  without quick depthwise": (partial(project_loop, quick_depthwise=False), False),
    "  without batched augmentation": (partial(project_loop, batches=SingleImageBatches), False),
    "plain loop, at once": (partial(plain_loop, loader_processes=0), True),
    "Training, at once": (project_loop, True),
}
"""What is timed, by name, and whether networks are trained at once, one a thread."""
BASELINES = ("plain loop", "plain loop, 2 loader processes")


def main() -> None:
    """Time all sides in turns, and print one row each."""
    config = parse(TrainingBenchmarkConfig)
    if config.quick:
        config = dataclasses.replace(config, steps=min(config.steps, 6), rounds=2)
    task = new_task(config)
    turns: dict[str, list[float]] = {name: [] for name in SIDES}
    with Progress(transient=True) as progress:
        bar = progress.add_task("turns", total=config.rounds * len(SIDES))
        for _ in range(config.rounds):
            for name, (side, at_once) in SIDES.items():
                progress.update(bar, description=name.strip())
                turns[name].append(images_a_second(side, task, config.threads, at_once=at_once))
                progress.advance(bar)
    rows = {name.strip(): row(images, turns) for name, images in turns.items()}
    if config.json:
        settings = dataclasses.asdict(config)
        print(json.dumps({"torch": torch.__version__, "settings": settings, "rows": rows}, indent=1))
        return
    macs = count(task.graph).macs / 1e6
    print(
        f"{config.space} {config.architecture}, {macs:.1f} million MACs, batch {config.batch_size}, {config.threads} "
        f"thread(s), torch {torch.__version__}; medians of {config.rounds} turns of {config.steps} steps"
    )
    print(f"{'':<32} {'images/s':>9} {'times plain':>12} {'times plain, 2 loader processes':>32}")
    for name, figures in zip(turns, rows.values(), strict=True):
        ratios = f"{figures[f'times {BASELINES[0]}']:>12.2f} {figures[f'times {BASELINES[1]}']:>32.2f}"
        print(f"{name:<32} {figures['images_per_second']:>9.0f} {ratios}")


def row(images_per_second: Sequence[float], turns: dict[str, list[float]]) -> dict[str, float]:
    """Median of a side, and the median of its ratios to each plain loop in the same round."""
    figures = {"images_per_second": statistics.median(images_per_second)}
    for name in BASELINES:
        ratios = [own / plain for own, plain in zip(images_per_second, turns[name], strict=True)]
        figures[f"times {name}"] = statistics.median(ratios)
    return figures


def new_task(config: TrainingBenchmarkConfig) -> Task:
    """The network, and as many images as a turn takes; where the data set has fewer, they are repeated.

    Raises:
        ValueError: if there is no such space, architecture or data set.
    """
    space = space_named(config.space, published=config.architecture)
    size = space.input_size
    if config.dataset is None:
        rng = np.random.default_rng(0)
        pixels_NCHW = rng.integers(0, 256, size=(10_000, *space.input_shape), dtype=np.uint8)
        images = LabelledImages(pixels_NCHW, rng.integers(0, space.classes, size=10_000))
        data = ImageData(
            name="random", train=images, test=None, class_names=tuple(map(str, range(space.classes))), grey=False
        )
    else:
        data = load_images(config.dataset, size=size)
    splits = split_data(data, 0)
    weights, selection = splits.weights, splits.selection
    rows_N = np.arange(config.batch_size * (WARM_UP_STEPS + config.steps)) % len(weights)
    few = LabelledImages(selection.images_NCHW[:64], selection.labels_N[:64])
    used = LabelledImages(weights.images_NCHW[rows_N], weights.labels_N[rows_N])
    splits = dataclasses.replace(splits, weights=used, theta=few, selection=few, test=few)
    graph = space.with_classes(len(splits.class_names)).graph(parse_architecture(space, config.architecture).operators)
    return Task(graph, splits, config.batch_size, Augmentation(crop_padding=size // 8, flip=not splits.grey))


def images_a_second(side: Side, task: Task, threads: int, *, at_once: bool) -> float:
    """Throughput of one turn, in one new process or, at once, in one for each thread; that of all together."""
    processes = threads if at_once else 1
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as executor:
        futures = [executor.submit(step_times, side, task, threads // processes) for _ in range(processes)]
        times = [future.result()[WARM_UP_STEPS - 1 :] for future in futures]
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
