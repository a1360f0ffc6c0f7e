"""Speed, memory and use of the default supernet against FBNet's as published, measured in one run.

    python benchmarks/supernet.py [--dataset DATASET] [--seconds 120] [--out DIR] [--quick] [--json] [--threads N]

The default: one shared superkernel a layer, weight steps train one sampled path, theta steps run the masked mixture.
FBNet's: separate weights for each candidate, both kinds of steps run all paths. All have the same batches,
augmentation, optimiser, threads, channels-last layout and kept memory; on a GPU where there is one. FBNet's form runs
with PyTorch's own depthwise gradients (`separate`), and once more with those of the default form (`quick`).
Goals, on two cores, against `separate`: `fbnet-cifar`, batch 32, at least 12 times the weight steps and 4 times the
theta steps; and on CIFAR-10, `fbnet-micro`, at least 2 times the accuracy of sub-networks after 120 s.

Images a second (random images) are medians over rounds of turns, each turn in a process of its own; ratios are medians
over the rounds. Accuracy: all are trained for equal time, by turns; at the end of each turn some random architectures
are evaluated with inherited weights and BatchNorm statistics of their own (selection split). About 20 minutes.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.progress import Progress
from timed_batches import TimedBatches

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
from evaluation.work_folder import write_json
from moo.visualization.style import BLUE, GREEN, INK, VERMILION, dress, new_figure
from scripts.command_line import parse, run
from search_space.architectures import architecture_from_indices
from search_space.spaces import FBNetSpace, space_named

WARM_UP_STEPS = 2
LEAST_STEPS = 2
RANDOM_IMAGES = 2000
CHECKPOINTS = 6
"""Turns of the training of each supernet."""


@dataclass(frozen=True)
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
    "shared": Form("shared superkernel", "shared", sampled_path, False, BLUE),
    "separate": Form("separate weights, all paths", "separate", mixed_paths, False, VERMILION),
    "quick": Form("the same, quick depthwise gradients", "separate", mixed_paths, True, GREEN),
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


def main() -> None:
    """Measure, draw, print."""
    config = parse(SupernetBenchmarkConfig)
    if config.quick:
        config = dataclasses.replace(
            config, rounds=2, turn_seconds=min(config.turn_seconds, 3.0), seconds=min(config.seconds, 20.0),
            architectures=min(config.architectures, 4),
        )  # fmt: skip
    with Progress(transient=True) as progress:
        bars = {}

        def show(what: str, done: float, total: float) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what)
            progress.update(bars[what], completed=done, total=total)

        space = space_named(config.space)
        accuracy_tasks = load_tasks(config, show) if config.seconds else {}
        tasks = tasks_of(config, space, random_splits(space))
        weight_turns = turns_of(weight_steps, tasks, config, lambda *done: show("weight steps", *done))
        theta_turns = turns_of(theta_steps, tasks, config, lambda *done: show("theta steps", *done))
        points = train_by_turns(accuracy_tasks, config, lambda *done: show("training", *done))
    results = Results(weight_turns, theta_turns, points)
    content = {"torch": torch.__version__, "device": str(device()), "settings": asdict(config), **table(results)}
    if config.out is not None:
        folder = Path(config.out).expanduser()
        write_json(folder / "results.json", content)
        picture(config, results).savefig(folder / "supernet.png")
    if config.json:
        print(json.dumps(content, indent=1))
        return
    print_rows(config, results)


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
    return split_data(ImageData("random", images, None, tuple(map(str, range(space.classes))), grey=False), 0)


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


def images_ratio(turns: dict[str, list[Turn]], reference: str) -> float:
    """Median over the rounds: images a second of the shared form over those of a reference."""
    pairs = zip(turns["shared"], turns[reference], strict=True)
    return statistics.median(one.images_per_second / other.images_per_second for one, other in pairs)


def accuracy_ratio(results: Results, reference: str) -> float:
    """Mean accuracy of sub-networks at the end: the shared form over a reference."""
    return results.points["shared"][-1].mean / max(results.points[reference][-1].mean, 1e-9)


def median_turn(turns: list[Turn]) -> Turn:
    """Median speed and the most memory."""
    speed = statistics.median(turn.images_per_second for turn in turns)
    return Turn(speed, max(turn.peak_memory_mb for turn in turns))


def table(results: Results) -> dict[str, object]:
    """The figures, for programs."""
    content: dict[str, object] = {}
    for name, turns in (("weight steps", results.weight_turns), ("theta steps", results.theta_turns)):
        content[name] = {form: asdict(median_turn(of_form)) for form, of_form in turns.items()}
        content[f"times {name}"] = {reference: images_ratio(turns, reference) for reference in REFERENCES}
    if results.points:
        content["accuracy"] = {
            form: [asdict(point) | {"mean": point.mean} for point in points] for form, points in results.points.items()
        }
        content["times accuracy"] = {reference: accuracy_ratio(results, reference) for reference in REFERENCES}
    return content


def print_rows(config: SupernetBenchmarkConfig, results: Results) -> None:
    """One line for each thing that is compared."""
    print(
        f"{config.space}, batch {config.batch}, {device()}, {config.threads} thread(s), torch {torch.__version__}; "
        f"medians of {config.rounds} turns of {config.turn_seconds:g} s"
    )
    head = "".join(f"{form:>10}" for form in FORMS) + "".join(f"{'times ' + name:>16}" for name in REFERENCES)
    print(f"{'':<28}{head}")
    for name, turns in (("weight steps", results.weight_turns), ("theta steps", results.theta_turns)):
        medians = [median_turn(turns[form]) for form in FORMS]
        ratios = [images_ratio(turns, reference) for reference in REFERENCES]
        print_row(f"{name}, images/s", [f"{turn.images_per_second:.1f}" for turn in medians], ratios)
        memory = [turn.peak_memory_mb for turn in medians]
        print_row(f"{name}, peak MB", [f"{mb:.0f}" for mb in memory], [memory[0] / other for other in memory[1:]])
    if not results.points:
        return
    print(f"{config.accuracy_space} on {config.dataset}, mean of {config.architectures} architectures")
    for points in zip(*results.points.values(), strict=True):
        means = [point.mean for point in points]
        ratios = [means[0] / max(mean, 1e-9) for mean in means[1:]]
        print_row(f"accuracy after {points[0].seconds:.0f} s", [f"{mean:.1%}" for mean in means], ratios)
    steps = [results.points[form][-1].steps for form in FORMS]
    print_row("steps in that time", [str(number) for number in steps], [steps[0] / other for other in steps[1:]])


def print_row(name: str, values: list[str], ratios: list[float]) -> None:
    """Values of each form, and ratios to each reference."""
    print(f"{name:<28}" + "".join(f"{value:>10}" for value in values) + "".join(f"{ratio:>16.2f}" for ratio in ratios))


def picture(config: SupernetBenchmarkConfig, results: Results) -> Figure:
    """Images a second as bars, and accuracy over training time."""
    subtitle = f"steps: {config.space}, batch {config.batch}, {device()}, {config.threads} thread(s)"
    if results.points:
        subtitle += f"; accuracy: {config.accuracy_space} on {config.dataset}, mean and range"
    figure = new_figure(10, 4.4, "The default supernet against separate weights with all paths mixed", subtitle)
    panels = figure.subplots(1, 2)
    for place, turns in enumerate((results.weight_turns, results.theta_turns)):
        for number, (name, form) in enumerate(FORMS.items()):
            speed = median_turn(turns[name]).images_per_second
            bar = panels[0].bar(place + 0.27 * (number - 1), speed, 0.25, color=form.colour)
            panels[0].bar_label(bar, fmt="%.3g", fontsize=9, color=INK)
    panels[0].set_xticks((0, 1), ("weight steps", "theta steps"))
    dress(panels[0], "", "images a second")
    for name, form in FORMS.items():
        points = results.points.get(name, [])
        seconds = [point.seconds for point in points]
        panels[1].plot(seconds, [100 * point.mean for point in points], "o-", color=form.colour, label=form.label)
        low, high = ([100 * pick(point.accuracies) for point in points] for pick in (min, max))
        panels[1].fill_between(seconds, low, high, color=form.colour, alpha=0.15, linewidth=0)
    figure.legend(
        *panels[1].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=9
    )
    dress(panels[1], "training time (s)", "accuracy of sub-networks (%)")
    return figure


if __name__ == "__main__":
    run(main)
