"""What a GPU makes of the project's work, piece by piece, each of at most ten minutes on a recent one.

    python benchmarks/gpu/measure.py [--piece calibration steps joint evaluation front training repeats]
        [--dataset DATASET] [--space NAME] [--seconds N] [--quick] [--json]

Without a GPU it measures the CPU, says so, and leaves out what only a GPU tells: time of kernels, launches, waits,
memory. Images are random unless a data set is named, which the accuracy of `training` needs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import torch

from benchmarks.gpu.calibration import LAYOUTS, TYPES, copy_terabytes, depthwise_figures, launch_us
from benchmarks.gpu.kernels import StepFigures
from benchmarks.gpu.stepping import joint_rows, step_rows
from benchmarks.gpu.whole import evaluation_figures, front_figures, repeat_figures, training_figures
from benchmarks.noise import random_images
from benchmarks.options import BenchmarkConfig, check_at_least, check_positive, read_config
from benchmarks.results import print_results
from benchmarks.supernets.forms import FORMS
from benchmarks.supernets.steps import Task, device
from dnas.train_precision import TrainPrecision
from evaluation.data.loading import load_images
from evaluation.splits import Splits, split_data
from evaluation.training.config import TrainSettings
from scripts.interface.command_line import run
from search_space.spaces import space_named

if TYPE_CHECKING:
    from typing_extensions import Self

Piece = Literal["calibration", "steps", "joint", "evaluation", "front", "training", "repeats"]
RANDOM_IMAGES = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuConfig(BenchmarkConfig):
    """Measure what a GPU makes of the project's work."""

    piece: tuple[Piece, ...] = ("calibration", "steps", "joint", "evaluation", "front", "training", "repeats")
    """What is measured."""
    space: str = "fbnet-cifar"
    """A space of the FBNet family."""
    dataset: str | None = None
    """Images as in train_architecture.py; random ones by default."""
    batch: tuple[int, ...] = (32, 64, 256, 1024)
    """Images of a step."""
    precision: tuple[TrainPrecision, ...] = ("fp32", "bf16")
    """Number formats of steps."""
    shapes: int = 100
    """Depthwise convolutions at most."""
    seconds: float = 4.0
    """Of each figure of steps."""
    epochs: float = 100.0
    """Of the training of one network."""
    operator: str = "k3_e6"
    """In all layers of that network."""
    train_batch: int = 256
    """Images of its steps."""
    searches: tuple[int, ...] = (1, 4, 8, 16)
    """Inner searches in one forward, of the first batch size each."""
    tuples: int = 24
    """Coefficients of the front."""
    theta_steps: int = 60
    """Of each inner search."""
    architectures: int = 20
    """That are evaluated."""
    images: int = RANDOM_IMAGES
    """Random ones, where no data set is named."""
    threads: int = 2
    """CPU threads of torch."""
    seed: int = 0
    """Of weights, images and coefficients."""

    def __post_init__(self) -> None:
        check_at_least(
            self, batch=2, train_batch=2, tuples=1, theta_steps=1, architectures=1, threads=1, images=1000, shapes=1,
            searches=1,
        )  # fmt: skip
        check_positive(self, "seconds", "epochs")

    def quickened(self) -> Self:
        """The least of everything, in the smallest space."""
        return dataclasses.replace(
            self,
            space="fbnet-micro",
            batch=(8,),
            shapes=1,
            seconds=0.1,
            epochs=0.05,
            train_batch=32,
            searches=(1, 2),
            tuples=1,
            theta_steps=2,
            architectures=1,
            images=1000,
        )


def main() -> None:
    """Measure the pieces one after the other, and print."""
    config = read_config(GpuConfig)
    pieces = _pieces(config)
    content: dict[str, Any] = {"device": device_name(), "torch": torch.__version__, "settings": asdict(config)}
    if not config.json:
        print(f"{content['device']}, torch {content['torch']}, {config.space}")
    for name in config.piece:
        rows = []
        for row, line in pieces[name]():
            rows.append(row)
            if not config.json:
                print(f"{name}: {line}", flush=True)
        content[name] = rows
    if config.json:
        print_results(content, (), as_json=True)


def device_name() -> str:
    """What is measured."""
    if device().type == "cuda":
        return torch.cuda.get_device_name()
    return f"CPU ({torch.get_num_threads()} threads): no GPU was found"


Rows = Iterator[tuple[dict[str, Any], str]]
"""What programs read and what people read, of one measurement after the other."""


def _pieces(config: GpuConfig) -> dict[Piece, Callable[[], Rows]]:
    space = space_named(config.space)

    @cache
    def splits() -> Splits:
        if config.dataset is None:
            return split_data(random_images(space, config.images, seed=config.seed), config.seed)
        return split_data(load_images(config.dataset, size=space.input_size), config.seed)

    @cache
    def task() -> Task:
        return Task(
            form=FORMS["shared"],
            space=space.with_classes(len(splits().class_names)),
            splits=splits(),
            batch=config.batch[0],
            threads=config.threads,
            seed=config.seed,
            precision="auto",
        )

    def calibration() -> Rows:
        terabytes, launch = copy_terabytes(device()), launch_us(device())
        yield {"copy_terabytes": terabytes, "launch_us": launch}, f"copy {terabytes:.2f} TB/s, launch {launch:.1f} us"
        found = depthwise_figures(space, device(), batch=config.batch[-1], terabytes=terabytes)
        for one in islice(found, config.shapes * len(LAYOUTS) * len(TYPES)):
            yield (
                asdict(one),
                f"depthwise {one.channels} x {one.size}^2, {one.kernel}x{one.kernel} / {one.stride}, {one.layout} "
                f"{one.dtype}: {one.ms:.3f} ms, {one.bandwidth_share:.0%} of a copy's speed (first {one.first_ms:.0f})",
            )

    def steps() -> Rows:
        for row in step_rows(task(), config.batch, config.precision, config.seconds):
            yield asdict(row), f"{row.kind} b{row.batch} {row.precision}: {_line_of(row.figures)}"

    def joint() -> Rows:
        for row in joint_rows(task(), config.searches, config.precision, config.seconds):
            yield asdict(row), f"{row.searches} searches together, {row.precision}: {_line_of(row.figures)}"

    def evaluation() -> Rows:
        found = evaluation_figures(task(), config.architectures)
        yield asdict(found), f"{1e3 * found.seconds_each:.0f} ms an architecture, {found.images:,} images"

    def front() -> Rows:
        found = front_figures(task(), config.tuples, config.theta_steps)
        yield (
            asdict(found),
            f"{found.seconds:.1f} s for {found.tuples} tuples of {found.steps} steps, up to {found.together} together, "
            f"and {found.evaluated} evaluations",
        )

    def training() -> Rows:
        settings = TrainSettings(epochs=config.epochs, batch_size=config.train_batch)
        found = training_figures(task(), settings, config.operator)
        yield (
            asdict(found),
            f"{found.epochs:g} epochs of {config.operator} at b{found.batch} in {found.precision}: {found.seconds:.0f} "
            f"s, {found.images_per_second:,.0f} images/s, test accuracy {found.test_accuracy:.1%}"
            f"{' of random images' * (config.dataset is None)}",
        )

    def repeats() -> Rows:
        found = repeat_figures(task(), config.theta_steps)
        yield (
            asdict(found),
            f"{found.repeats} times the same search: thetas differ by at most {found.largest_difference:g}",
        )

    return {
        "calibration": calibration,
        "steps": steps,
        "joint": joint,
        "evaluation": evaluation,
        "front": front,
        "training": training,
        "repeats": repeats,
    }


def _line_of(figures: StepFigures) -> str:
    text = f"{figures.images_per_second:,.0f} images/s, {figures.step_ms:.1f} ms"
    if figures.kernel_share is None:
        return text
    return (
        f"{text}, kernels {figures.kernel_share:.0%} of it, {figures.launches:,.0f} launches, {figures.waits} waits, "
        f"{figures.peak_memory_mb:,.0f} MB"
    )


if __name__ == "__main__":
    run(main)
