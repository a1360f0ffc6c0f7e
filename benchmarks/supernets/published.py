"""Weight and theta steps of the default supernet against the published code of HANNA and of a reproduction of FBNet.

    python benchmarks/supernets/published.py [--hanna FOLDER] [--reproduction FOLDER] [--rounds N] [--out DIR] [--quick]

Each folder is that of a checkout (`published_code` says which). Both sides have 22 layers of the same channels and
strides, nine candidates, random images of 32 pixels, batch and threads; they take turns, each turn in a process of its
own, and a ratio is the median over the rounds. Published code gets its images ready-made; ours also augments them.
Goal, on two cores: at least 12 times the weight steps of both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from matplotlib.figure import Figure

from benchmarks.noise import random_images
from benchmarks.options import BenchmarkConfig, check_at_least, check_positive, read_config
from benchmarks.progress import progress_bars
from benchmarks.results import Column, TextTable, print_results, write_results
from benchmarks.supernets.comparison import median_turn
from benchmarks.supernets.forms import FORMS
from benchmarks.supernets.published_code import Kind, published_supernet
from benchmarks.supernets.steps import Task, Turn, device, theta_steps, timed_turn, weight_steps
from benchmarks.turns import OnTurn, in_new_processes, median_ratio, rounds_of_turns
from evaluation.splits import split_data
from moo.visualization.style import BLUE, INK, VERMILION, dress, new_figure
from scripts.interface.command_line import run
from search_space.boundary.reading import local_path
from search_space.spaces import FBNetSpace

if TYPE_CHECKING:
    from typing_extensions import Self

STEPS: dict[Kind, Callable[[Task, float], Turn]] = {"weight": weight_steps, "theta": theta_steps}
RANDOM_IMAGES = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedConfig(BenchmarkConfig):
    """Compare steps with those of published code."""

    hanna: str | None = None
    """Folder `hanna_pytorch` of a checkout of HANNA."""
    reproduction: str | None = None
    """Folder of a checkout of the PyTorch reproduction of FBNet."""
    batch: int = 32
    """Images in a batch."""
    threads: int = 2
    """Of each process."""
    rounds: int = 5
    """Turns of each side."""
    turn_seconds: float = 6.0
    """How long the steps of a turn take, about."""
    out: str | None = None
    """Folder for the results and a picture."""

    def __post_init__(self) -> None:
        check_at_least(self, batch=2, threads=1, rounds=1)
        check_positive(self, "turn_seconds")
        if not self.folders:
            raise ValueError("`--hanna FOLDER` or `--reproduction FOLDER` must be given, but neither is.")

    @property
    def folders(self) -> dict[str, Path]:
        """Of each code that is given."""
        given = {"hanna": self.hanna, "reproduction": self.reproduction}
        return {name: local_path(folder) for name, folder in given.items() if folder is not None}

    def quickened(self) -> Self:
        """One short round."""
        return dataclasses.replace(self, rounds=1, turn_seconds=min(self.turn_seconds, 1.0))


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Our steps and those of one code."""

    code: str
    kind: Kind
    ours: float
    """Images a second, median."""
    published: float
    ratio: float
    """Median over the rounds."""


@dataclass(frozen=True)
class _About:
    """Of a published supernet."""

    space: FBNetSpace
    parameters: int


TABLE = TextTable(
    Column(title="published code", width=16, left=True),
    Column(title="step", width=8, left=True),
    Column(title="ours, images/s", width=16, form=".1f"),
    Column(title="theirs, images/s", width=18, form=".1f"),
    Column(title="times", width=8, form=".2f"),
)


def main() -> None:
    """Measure, draw, print."""
    config = read_config(PublishedConfig)
    found: list[Comparison] = []
    abouts: dict[str, _About] = {}
    with progress_bars() as show:
        for code, folder in config.folders.items():
            (abouts[code],) = in_new_processes([partial(_about, code, folder)])
            for kind in STEPS:
                found.append(_compared(code, folder, kind, abouts[code].space, config, partial(show, f"{code} {kind}")))
    content = {
        "torch": torch.__version__,
        "device": str(device()),
        "settings": asdict(config),
        "parameters": {code: about.parameters for code, about in abouts.items()},
        "comparisons": [asdict(one) for one in found],
    }
    write_results(config.out, content, {"published.png": lambda: picture(found, abouts, config)})
    print_results(content, lines_of(found, abouts, config), as_json=config.json)


def _about(code: str, folder: Path) -> _About:
    supernet = published_supernet(code, folder, "weight")
    return _About(supernet.space, supernet.parameters)


def _compared(
    code: str, folder: Path, kind: Kind, space: FBNetSpace, config: PublishedConfig, on_turn: OnTurn
) -> Comparison:
    splits = split_data(random_images(space, RANDOM_IMAGES, seed=0), 0)
    task = Task(
        form=FORMS["shared"], space=space, splits=splits, batch=config.batch, threads=config.threads, seed=0
    )  # fmt: skip
    sides: Mapping[str, Callable[[], Turn]] = {
        "ours": partial(STEPS[kind], task, config.turn_seconds),
        "published": partial(_published_steps, code, folder, kind, config),
    }

    def turn(side: Callable[[], Turn]) -> Turn:
        return in_new_processes([side])[0]

    turns = rounds_of_turns(
        {name: partial(turn, side) for name, side in sides.items()}, config.rounds, on_turn=on_turn
    )  # fmt: skip
    speeds = {name: [one.images_per_second for one in of_side] for name, of_side in turns.items()}
    return Comparison(
        code=code,
        kind=kind,
        ours=median_turn(turns["ours"]).images_per_second,
        published=median_turn(turns["published"]).images_per_second,
        ratio=median_ratio(speeds["ours"], speeds["published"]),
    )


def _published_steps(code: str, folder: Path, kind: Kind, config: PublishedConfig) -> Turn:
    torch.set_num_threads(config.threads)
    supernet = published_supernet(code, folder, kind)
    pixels_NCHW = torch.rand(config.batch, *supernet.space.input_shape, device=device())
    label_N = torch.randint(supernet.space.classes, (config.batch,), device=device())

    def steps(number: int) -> None:
        for _ in range(number):
            supernet.step(pixels_NCHW, label_N)

    return timed_turn(steps, config.batch, config.turn_seconds)


def lines_of(found: Sequence[Comparison], abouts: Mapping[str, _About], config: PublishedConfig) -> Iterator[str]:
    """A line for each kind of step of each code."""
    yield (
        f"batch {config.batch}, {device()}, {config.threads} thread(s), torch {torch.__version__}; medians of "
        f"{config.rounds} turns of {config.turn_seconds:g} s"
    )
    for code, about in abouts.items():
        yield f"{code}: {about.space.num_layers} layers, {about.parameters / 1e6:.1f} million parameters"
    yield TABLE.head
    for one in found:
        yield TABLE.row(one.code, one.kind, one.ours, one.published, one.ratio)


def picture(found: Sequence[Comparison], abouts: Mapping[str, _About], config: PublishedConfig) -> Figure:
    """Images a second of both sides."""
    layers = " and ".join(dict.fromkeys(str(about.space.num_layers) for about in abouts.values()))
    subtitle = f"{layers} layers, batch {config.batch}, {device()}, {config.threads} thread(s), {config.rounds} turn(s)"
    figure = new_figure(8, 4.4, "Steps of the default supernet and of published code", subtitle)
    axes = figure.subplots()
    for side, (name, colour) in enumerate((("ours", BLUE), ("published", VERMILION))):
        speeds = [getattr(one, name) for one in found]
        places = [place + 0.36 * (side - 0.5) for place in range(len(found))]
        bars = axes.bar(places, speeds, 0.34, color=colour, label=name)
        axes.bar_label(bars, fmt="%.3g", fontsize=9, color=INK)
    axes.set_xticks(range(len(found)), [f"{one.code}\n{one.kind} steps, {one.ratio:.1f} times" for one in found])
    axes.legend(frameon=False, fontsize=9)
    dress(axes, "", "images a second")
    return figure


if __name__ == "__main__":
    run(main)
