"""What `benchmarks.supernet` measures: steps in turns, each in a process of its own, and training for equal time.

Shape suffixes: B batch, C channels, H height, W width, L layers, O operators.
"""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch

from benchmarks.timed_batches import TimedBatches
from dnas.batches import Batch, BatchSource, endless_batches
from dnas.build import WeightSharing, build_supernet
from dnas.costs import OperatorCosts
from dnas.inner_search import ThetaSettings, search_theta
from dnas.losses import Coefficients
from dnas.pretraining import Forward, Pretraining, PretrainSettings, mixed_paths, sampled_path
from dnas.supernet import Supernet
from evaluation.accuracy import classification, inherited_network
from evaluation.image_data import ImageData, LabelledImages, load_images
from evaluation.splits import Augmentation, ImageBatches, Splits, split_data
from evaluation.training.allocator import keep_freed_memory
from evaluation.training.loop import use_quick_depthwise
from moo.visualization.style import BLUE, GREEN, VERMILION
from search_space.architectures import architecture_from_indices
from search_space.spaces import FBNetSpace, space_named

WARM_UP_STEPS = 2
LEAST_STEPS = 2
RANDOM_IMAGES = 2000
CHECKPOINTS = 6
"""Turns of the training of each supernet."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """A form of supernet."""

    label: str
    weight_sharing: WeightSharing
    forward: Forward
    """What a weight step trains."""
    quick_depthwise: bool
    """Whether the depthwise convolutions of separate weights are `dnas.depthwise`; in shared ones they always are."""
    colour: str


FORMS = {
    "shared": Form(
        label="shared superkernel", weight_sharing="shared", forward=sampled_path, quick_depthwise=False, colour=BLUE
    ),
    "separate": Form(
        label="separate weights, all paths",
        weight_sharing="separate",
        forward=mixed_paths,
        quick_depthwise=False,
        colour=VERMILION,
    ),
    "quick": Form(
        label="the same, quick depthwise gradients",
        weight_sharing="separate",
        forward=mixed_paths,
        quick_depthwise=True,
        colour=GREEN,
    ),
}
REFERENCES = ("separate", "quick")


@dataclass(frozen=True)
class SupernetBenchmarkConfig:
    """Compare the default supernet with FBNet's as published."""

    space: str = "fbnet-cifar"
    """Space whose steps are timed: a preset or a .yaml file."""
    accuracy_space: str = "fbnet-micro"
    """Space of which sub-networks are evaluated."""
    batch: int = 32
    """Images a step."""
    threads: int = 2
    """CPU threads of each process; one process works at a time."""
    dataset: str = "digits"
    """Images of the accuracy part: `digits`, a local path, or a name on the Hugging Face hub."""
    seconds: float = 120.0
    """Training time of each supernet in the accuracy part; 0 leaves that part out."""
    architectures: int = 8
    """Random architectures that are evaluated."""
    rounds: int = 5
    """Turns of each kind of step."""
    turn_seconds: float = 12.0
    """How long the steps of a turn take, about."""
    seed: int = 0
    """Of splits, weights and the choice of architectures."""
    out: str | None = None
    """Folder for a picture and the figures as JSON."""
    quick: bool = False
    """Two short rounds, 20 s of training, four architectures."""
    json: bool = False
    """Print JSON."""

    def __post_init__(self) -> None:
        for name, least in (("batch", 2), ("threads", 1), ("architectures", 1), ("rounds", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"`--{name} >= {least}` must hold, but got {getattr(self, name)}.")
        if not self.seconds >= 0:
            raise ValueError(f"`--seconds >= 0` must hold, but got {self.seconds}.")
        if not self.turn_seconds > 0:
            raise ValueError(f"`--turn-seconds > 0` must hold, but got {self.turn_seconds}.")


@dataclass(frozen=True)
class Task:
    """What a process needs to work on one form."""

    form: Form
    space: FBNetSpace
    splits: Splits
    batch: int
    threads: int
    seed: int

    @property
    def augmentation(self) -> Augmentation:
        """As in a search."""
        return Augmentation(crop_padding=self.space.input_size // 16, flip=not self.splits.grey)


@dataclass(frozen=True)
class Turn:
    """What one turn of steps came to."""

    images_per_second: float
    peak_memory_mb: float
    """Of the whole process, or what torch allocated on the GPU."""


@dataclass(frozen=True)
class Point:
    """A supernet at the end of a turn of its training."""

    seconds: float
    """Training time so far."""
    steps: int
    accuracies: tuple[float, ...]
    """Of each architecture with inherited weights, on the selection split, in [0, 1]."""

    @property
    def mean(self) -> float:
        """Mean accuracy, in [0, 1]."""
        return statistics.mean(self.accuracies)


@dataclass(frozen=True)
class Results:
    """Everything that was found, by form."""

    weight_turns: dict[str, list[Turn]]
    theta_turns: dict[str, list[Turn]]
    points: dict[str, list[Point]]


Show = Callable[[str, float, float], None]
"""Called with what is done, how much of it, and all of it."""


def device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_tasks(config: SupernetBenchmarkConfig, show: Show) -> dict[str, Task]:
    """Tasks of the accuracy part.

    Raises:
        ValueError: if there is no such space or data set.
    """
    space = space_named(config.accuracy_space)
    on_progress = lambda done, total: show("images", done, total)  # noqa: E731
    splits = split_data(load_images(config.dataset, size=space.input_size, on_progress=on_progress), config.seed)
    return tasks_of(config, space.with_classes(len(splits.class_names)), splits)


def tasks_of(config: SupernetBenchmarkConfig, space: FBNetSpace, splits: Splits) -> dict[str, Task]:
    """One task for each form."""
    return {name: Task(form, space, splits, config.batch, config.threads, config.seed) for name, form in FORMS.items()}


def random_splits(space: FBNetSpace) -> Splits:
    """Random images in the space's shape."""
    rng = np.random.default_rng(0)
    pixels_NCHW = rng.integers(0, 256, size=(RANDOM_IMAGES, *space.input_shape), dtype=np.uint8)
    images = LabelledImages(pixels_NCHW, rng.integers(0, space.classes, size=RANDOM_IMAGES))
    return split_data(
        ImageData(
            name="random", train=images, test=None, class_names=tuple(map(str, range(space.classes))), grey=False
        ),
        0,
    )


def new_supernet(task: Task) -> Supernet:
    """A supernet of this form, and the settings of the process, which are the same for all."""
    torch.set_num_threads(task.threads)
    keep_freed_memory()
    torch.manual_seed(task.seed)
    supernet = build_supernet(task.space, task.form.weight_sharing)
    if task.form.quick_depthwise:
        use_quick_depthwise(supernet)
    return supernet.to(device=device(), memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


class SomeBatches:
    """So many images of a source, in as many passes as that takes; implements `dnas.batches.BatchSource`."""

    def __init__(self, source: BatchSource, count: int) -> None:
        self.source = source
        self.count = count

    def __len__(self) -> int:
        return self.count

    def batches(self, batch_size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """See `BatchSource.batches`."""
        return islice(endless_batches(self.source, batch_size, rng), self.count // batch_size)


def weight_steps(task: Task, seconds: float) -> Turn:
    """Weight steps as in pre-training, for so many seconds."""
    supernet = new_supernet(task)
    images = ImageBatches(task.splits.weights, task.splits, augmentation=task.augmentation, device=device())

    def steps(number: int) -> None:
        source = SomeBatches(images, number * task.batch)
        settings = PretrainSettings(epochs=1, batch_size=task.batch)
        Pretraining(supernet, source, settings, seed=task.seed, forward=task.form.forward).run_epoch()

    return timed_turn(steps, task.batch, seconds)


def theta_steps(task: Task, seconds: float) -> Turn:
    """Theta steps as in an inner search, for so many seconds; the weights are frozen."""
    supernet = new_supernet(task)
    images = ImageBatches(task.splits.theta, task.splits, augmentation=task.augmentation, device=device())
    costs = OperatorCosts(torch.rand(task.space.num_layers, len(task.space.operators)), 1.0)

    def steps(number: int) -> None:
        settings = ThetaSettings(steps=number, batch_size=task.batch)
        coefficients = Coefficients(alpha=0.1, beta=1.0, gamma=0.1, delta=1.0)
        search_theta(supernet, images, costs, costs, coefficients, settings, np.random.default_rng(task.seed))

    return timed_turn(steps, task.batch, seconds)


def timed_turn(steps: Callable[[int], None], batch: int, seconds: float) -> Turn:
    """Warm up for about half the time, as each new shape takes longer at first; then time as many steps as fill it."""
    trial = seconds_of(lambda: steps(WARM_UP_STEPS)) / WARM_UP_STEPS
    number = max(1, round(seconds / 2 / trial))
    trial = seconds_of(lambda: steps(number)) / number
    number = max(LEAST_STEPS, round(seconds / trial))
    return Turn(batch * number / seconds_of(lambda: steps(number)), peak_memory_mb())


def seconds_of(function: Callable[[], None]) -> float:
    """Time of a call, work on the GPU included."""
    start = time.perf_counter()
    function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def peak_memory_mb() -> float:
    """Largest memory of this process so far, in MB; with a GPU what torch had allocated there.

    On Linux it is read from `/proc`: `getrusage` would count what the parent process had when it started this one.
    """
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e6
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def turns_of(
    steps: Callable[[Task, float], Turn],
    tasks: dict[str, Task],
    config: SupernetBenchmarkConfig,
    show: Callable[[float, float], None],
) -> dict[str, list[Turn]]:
    """Rounds of turns of all forms, each turn in a new process."""
    turns: dict[str, list[Turn]] = {form: [] for form in tasks}
    for _ in range(config.rounds):
        for form, task in tasks.items():
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
                turns[form].append(executor.submit(steps, task, config.turn_seconds).result())
            show(sum(map(len, turns.values())), config.rounds * len(tasks))
    return turns


def train(task: Task, seconds: float, architectures: list[tuple[int, ...]], connection: Connection) -> None:
    """Train a supernet by turns: wait for a word, train, evaluate, send the point, and so on."""
    supernet, splits = new_supernet(task), task.splits
    images = ImageBatches(splits.weights, splits, augmentation=task.augmentation, device=device())
    recalibration = ImageBatches(splits.weights, splits, device=device())
    selection = ImageBatches(splits.selection, splits, device=device())

    def accuracy(indices: tuple[int, ...]) -> float:
        graph = task.space.graph(architecture_from_indices(task.space, indices).operators)
        state = supernet.sub_network_state(indices)
        network = inherited_network(graph, state, recalibration, device=device())
        return 1 - classification(network, selection)[0]

    def keep_pace(share: float) -> None:
        if pretraining.step:
            pretraining.total_steps = max(pretraining.step + 1, round(pretraining.step / max(share, 1e-9)))

    def pause(over: float) -> None:
        accuracies = tuple(accuracy(indices) for indices in architectures)
        connection.send(Point(over, pretraining.step, accuracies))
        connection.recv()

    ends = [seconds * (number + 1) / CHECKPOINTS for number in range(CHECKPOINTS)]
    source = TimedBatches(images, ends, keep_pace, pause)
    settings = PretrainSettings(epochs=1, batch_size=task.batch)
    pretraining = Pretraining(supernet, source, settings, seed=task.seed, forward=task.form.forward)
    connection.recv()
    pretraining.run_epoch()


def train_by_turns(
    tasks: dict[str, Task], config: SupernetBenchmarkConfig, show: Callable[[float, float], None]
) -> dict[str, list[Point]]:
    """Train all forms for equal time, one at a time, each in a process of its own.

    Raises:
        RuntimeError: if a process ended early; what it printed says why.
    """
    points: dict[str, list[Point]] = {form: [] for form in tasks}
    context = multiprocessing.get_context("spawn")
    connections, processes = {}, {}
    try:
        for form, task in tasks.items():
            drawn = random_architectures(task.space, config.architectures, config.seed)
            connections[form], other = context.Pipe()
            processes[form] = context.Process(target=train, args=(task, config.seconds, drawn, other), daemon=True)
            processes[form].start()
            other.close()
        for _ in range(CHECKPOINTS):
            for form, connection in connections.items():
                connection.send("go on")
                points[form].append(connection.recv())
                show(sum(map(len, points.values())), CHECKPOINTS * len(tasks))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise RuntimeError("training a supernet failed; what it printed says why.") from None
    finally:
        for process in processes.values():
            process.terminate()
            process.join()
    return points


def random_architectures(space: FBNetSpace, number: int, seed: int) -> list[tuple[int, ...]]:
    """Uniformly random operators of each layer, by index."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(18,)))
    return [tuple(map(int, row_L)) for row_L in rng.integers(len(space.operators), size=(number, space.num_layers))]
