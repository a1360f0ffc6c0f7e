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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from matplotlib.figure import Figure

from benchmarks.noise import random_images
from benchmarks.options import BenchmarkConfig, check_at_least, check_positive, read_config
from benchmarks.progress import Show, progress_bars
from benchmarks.results import Column, TextTable, draw_curve, print_results, write_results
from benchmarks.supernets.comparison import (
    LEAST_ACCURACY,
    REFERENCES,
    Results,
    content_of,
    images_ratio,
    median_turn,
)
from benchmarks.supernets.equal_time import train_for_equal_time
from benchmarks.supernets.forms import FORMS
from benchmarks.supernets.steps import Task, Turn, device, theta_steps, weight_steps
from benchmarks.turns import OnTurn, in_new_processes, rounds_of_turns
from evaluation.data.loading import load_images
from evaluation.splits import Splits, split_data
from moo.visualization.style import INK, dress, new_figure
from scripts.interface.command_line import run
from search_space.spaces import FBNetSpace, space_named

if TYPE_CHECKING:
    from typing_extensions import Self

RANDOM_IMAGES = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class SupernetBenchmarkConfig(BenchmarkConfig):
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
    """Training time of each supernet in the accuracy part; 0 omits that part."""
    architectures: int = 8
    """Random architectures that are evaluated."""
    rounds: int = 5
    """Turns of each kind of step."""
    turn_seconds: float = 12.0
    """How long the steps of a turn take, about."""
    seed: int = 0
    """Of splits, weights and the choice of architectures."""
    out: str | None = None
    """Folder for the results and a picture."""
    quick: bool = False
    """Two short rounds, 20 s of training, four architectures."""

    def __post_init__(self) -> None:
        check_at_least(self, batch=2, threads=1, architectures=1, rounds=1, seed=0, seconds=0)
        check_positive(self, "turn_seconds")

    def quickened(self) -> Self:
        """Two short rounds and a short training."""
        return dataclasses.replace(
            self,
            rounds=2,
            turn_seconds=min(self.turn_seconds, 3.0),
            seconds=min(self.seconds, 20.0),
            architectures=min(self.architectures, 4),
        )


TABLE = TextTable(
    Column(title="", width=28, left=True),
    *(Column(title=form, width=9) for form in FORMS),
    *(Column(title=f"times {name}", width=15, form=".2f") for name in REFERENCES),
)


def main() -> None:
    """Measure, draw, print."""
    config = read_config(SupernetBenchmarkConfig)
    with progress_bars() as show:
        space = space_named(config.space)
        accuracy_tasks = load_tasks(config, show) if config.seconds else {}
        tasks = tasks_of(config, space, random_splits(space))
        weight_turns = turns_of(weight_steps, tasks, config, partial(show, "weight steps"))
        theta_turns = turns_of(theta_steps, tasks, config, partial(show, "theta steps"))
        points = train_for_equal_time(
            accuracy_tasks,
            seconds=config.seconds,
            architectures=config.architectures,
            seed=config.seed,
            on_turn=partial(show, "training"),
        )
    results = Results(weight_turns, theta_turns, points)
    about = {"torch": torch.__version__, "device": str(device()), "settings": asdict(config)}
    content = about | content_of(results)
    write_results(config.out, content, {"supernet.png": lambda: picture(config, results)})
    print_results(content, lines_of(config, results), as_json=config.json)


def load_tasks(config: SupernetBenchmarkConfig, show: Show) -> dict[str, Task]:
    """Tasks of the accuracy part.

    Raises:
        ValueError: if there is no such space or data set.
    """
    space = space_named(config.accuracy_space)
    images = load_images(config.dataset, size=space.input_size, on_progress=partial(show, "images"))
    splits = split_data(images, config.seed)
    return tasks_of(config, space.with_classes(len(splits.class_names)), splits)


def random_splits(space: FBNetSpace) -> Splits:
    """Random images in the space's shape."""
    return split_data(random_images(space, RANDOM_IMAGES, seed=0), 0)


def tasks_of(config: SupernetBenchmarkConfig, space: FBNetSpace, splits: Splits) -> dict[str, Task]:
    """One task for each form."""
    return {
        name: Task(form=form, space=space, splits=splits, batch=config.batch, threads=config.threads, seed=config.seed)
        for name, form in FORMS.items()
    }


def turns_of(
    steps: Callable[[Task, float], Turn], tasks: Mapping[str, Task], config: SupernetBenchmarkConfig, on_turn: OnTurn
) -> dict[str, list[Turn]]:
    """Rounds of turns of all forms, each turn in a new process."""

    def turn(task: Task) -> Turn:
        return in_new_processes([partial(steps, task, config.turn_seconds)])[0]

    return rounds_of_turns({form: partial(turn, task) for form, task in tasks.items()}, config.rounds, on_turn=on_turn)


def lines_of(config: SupernetBenchmarkConfig, results: Results) -> Iterator[str]:
    """One line for each thing that is compared."""
    yield (
        f"{config.space}, batch {config.batch}, {device()}, {config.threads} thread(s), torch {torch.__version__}; "
        f"medians of {config.rounds} turns of {config.turn_seconds:g} s"
    )
    yield TABLE.head
    for name, turns in results.turns.items():
        medians = [median_turn(turns[form]) for form in FORMS]
        ratios = [images_ratio(turns, reference) for reference in REFERENCES]
        yield TABLE.row(f"{name}, images/s", *(f"{turn.images_per_second:.1f}" for turn in medians), *ratios)
        memory = [turn.peak_memory_mb for turn in medians]
        yield TABLE.row(f"{name}, peak MB", *(f"{mb:.0f}" for mb in memory), *_ratios_to_first(memory))
    if not results.points:
        return
    yield f"{config.accuracy_space} on {config.dataset}, mean of {config.architectures} architectures"
    for points in zip(*results.points.values(), strict=True):
        means = [point.mean for point in points]
        ratios = _ratios_to_first(means)
        yield TABLE.row(f"accuracy after {points[0].seconds:.0f} s", *(f"{mean:.1%}" for mean in means), *ratios)
    steps = [results.points[form][-1].steps for form in FORMS]
    yield TABLE.row("steps in that time", *map(str, steps), *_ratios_to_first(steps))


def _ratios_to_first(values: Sequence[float]) -> list[float]:
    return [values[0] / max(other, LEAST_ACCURACY) for other in values[1:]]


def picture(config: SupernetBenchmarkConfig, results: Results) -> Figure:
    """Images a second as bars, and accuracy over training time."""
    subtitle = f"steps: {config.space}, batch {config.batch}, {device()}, {config.threads} thread(s)"
    if results.points:
        subtitle += f"; accuracy: {config.accuracy_space} on {config.dataset}, mean and range"
    figure = new_figure(10, 4.4, "The default supernet against separate weights with all paths mixed", subtitle)
    panels = figure.subplots(1, 2)
    for place, turns in enumerate(results.turns.values()):
        for number, (name, form) in enumerate(FORMS.items()):
            speed = median_turn(turns[name]).images_per_second
            bar = panels[0].bar(place + 0.27 * (number - 1), speed, 0.25, color=form.colour)
            panels[0].bar_label(bar, fmt="%.3g", fontsize=9, color=INK)
    panels[0].set_xticks((0, 1), tuple(results.turns))
    dress(panels[0], "", "images a second")
    for name, form in FORMS.items():
        points = results.points.get(name, [])
        seconds = [point.seconds for point in points]
        mean = [100 * point.mean for point in points]
        low, high = ([100 * pick(point.accuracies) for point in points] for pick in (min, max))
        draw_curve(panels[1], seconds, mean, low=low, high=high, colour=form.colour, label=form.label, marker="o")
    figure.legend(
        *panels[1].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=9
    )
    dress(panels[1], "training time (s)", "accuracy of sub-networks (%)")
    return figure


if __name__ == "__main__":
    run(main)
