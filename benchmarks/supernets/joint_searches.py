"""Inner searches in one forward of the supernet against one after another: time of a theta step of each search.

    python benchmarks/supernets/joint_searches.py [--space NAME] [--searches N ...] [--batch N] [--rounds N] [--quick]

In one process, by turns; on a GPU where there is one. Ratios are medians over the rounds, to the time of one search
alone. On a CPU more searches together gain little or are slower: that is why a worker there does one. What a GPU is
spared is counted in `benchmarks/supernets/launches.py`.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.noise import random_images
from benchmarks.options import BenchmarkConfig, check_at_least, read_config
from benchmarks.results import print_results
from benchmarks.supernets.forms import FORMS
from benchmarks.supernets.steps import Task, joint_theta_stepper
from benchmarks.turns import median_ratio, rounds_of_turns, seconds_of
from evaluation.splits import split_data
from scripts.interface.command_line import run
from search_space.spaces import space_named

if TYPE_CHECKING:
    from typing_extensions import Self

IMAGES = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class JointSearchesConfig(BenchmarkConfig):
    """Time theta steps of inner searches together against one alone."""

    space: str = "fbnet-cifar"
    """A space of the FBNet family."""
    searches: tuple[int, ...] = (4,)
    """How many together."""
    batch: int = 32
    """Images in a step of each search."""
    steps: int = 4
    """In a turn."""
    threads: int = 2
    """Of the process."""
    rounds: int = 5
    """Turns of each, besides a first one that does not count."""

    def __post_init__(self) -> None:
        check_at_least(self, searches=2, batch=2, steps=1, threads=1, rounds=1)

    def quickened(self) -> Self:
        """See `BenchmarkConfig.quickened`."""
        return dataclasses.replace(self, space="fbnet-micro", searches=(2,), batch=8, steps=1, rounds=1)


@dataclass(frozen=True)
class StepTime:
    """Of one step of one search."""

    seconds: float
    """Median over the rounds."""
    wall: float
    """Times that of a search alone."""
    cpu: float
    """The same of the CPU's time."""


def main() -> None:
    """Time and print."""
    config = read_config(JointSearchesConfig)
    times = timed(config)
    print_results(
        {str(count): asdict(step) for count, step in times.items()},
        (
            f"{count} together: {1e3 * step.seconds:,.1f} ms a step of each search, {step.wall:.2f} times the wall "
            f"time of one alone, {step.cpu:.2f} times its CPU time"
            for count, step in times.items()
        ),
        as_json=config.json,
    )


def timed(config: JointSearchesConfig) -> dict[int, StepTime]:
    """Times by how many searches are done together, one alone first."""
    space = space_named(config.space)
    splits = split_data(random_images(space, IMAGES, seed=0), 0)
    task = Task(form=FORMS["shared"], space=space, splits=splits, batch=config.batch, threads=config.threads, seed=0)
    steppers = {count: joint_theta_stepper(task, count) for count in (1, *config.searches)}

    def turn(count: int) -> tuple[float, float]:
        cpu, steps = time.process_time(), count * config.steps
        wall = seconds_of(partial(steppers[count], config.steps))
        return wall / steps, (time.process_time() - cpu) / steps

    sides: dict[str, Callable[[], tuple[float, float]]] = {str(count): partial(turn, count) for count in steppers}
    rounds_of_turns(sides, 1)
    results = rounds_of_turns(sides, config.rounds)
    walls, cpus = ({name: [one[part] for one in turns] for name, turns in results.items()} for part in (0, 1))
    return {
        int(name): StepTime(
            statistics.median(walls[name]), median_ratio(walls[name], walls["1"]), median_ratio(cpus[name], cpus["1"])
        )
        for name in sides
    }


if __name__ == "__main__":
    run(main)
