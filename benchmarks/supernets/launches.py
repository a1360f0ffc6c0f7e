"""What steps and evaluations have a GPU do, and how long they take on a CPU compared with another version.

    python benchmarks/supernets/launches.py [--space NAME] [--against CHECKOUT] [--threads N] [--rounds N] [--quick]

Counts need no GPU (`dispatched`): operations that compute or write, and how often the host waits. With `--against`, the
folder of another version of this project, both versions run their steps by turns, in a process each: the ratios are
medians over the rounds, of wall and of CPU time. Goals with 22 layers: no step waits; a weight step takes at most 450
operations, an evaluation at most 1,500, a theta step of eight searches together at most 250 for each; no step and no
evaluation is slower on a CPU.
"""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.noise import random_images
from benchmarks.options import BenchmarkConfig, check_at_least, read_config
from benchmarks.results import print_results
from benchmarks.supernets.dispatched import (
    StepCost,
    evaluation,
    joint_theta_step,
    theta_step,
    training_step,
    weight_step,
)
from benchmarks.supernets.forms import FORMS
from evaluation.splits import split_data
from evaluation.training.config import TrainSettings
from scripts.interface.command_line import run
from search_space.spaces import FBNetSpace, space_named

if TYPE_CHECKING:
    from typing_extensions import Self

KINDS = ("weight", "theta", "evaluation")
SELECTION_IMAGES = 5000
TOGETHER = (4, 8)
"""Inner searches in one forward."""
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True, slots=True)
class LaunchesConfig(BenchmarkConfig):
    """Count what steps have a GPU do, and time them on a CPU against another version."""

    space: str = "fbnet-cifar"
    """A space of the FBNet family."""
    against: str | None = None
    """Folder of another version of this project, to compare with."""
    threads: int = 2
    """Of each process."""
    rounds: int = 5
    """Turns of each version."""

    def __post_init__(self) -> None:
        check_at_least(self, threads=1, rounds=1)

    def quickened(self) -> Self:
        """See `BenchmarkConfig.quickened`."""
        return dataclasses.replace(self, space="fbnet-micro", rounds=1)


@dataclass(frozen=True)
class Ratio:
    """Of this version's time to the other's, as medians over the rounds."""

    wall: float
    cpu: float
    seconds: float
    """Of one step, of this version."""


def main() -> None:
    """Count, time and print."""
    config = read_config(LaunchesConfig)
    counts = counted(space_named(config.space))
    ratios = {} if config.against is None else timed(config, Path(config.against).resolve())
    print_results(
        {
            "counts": {name: asdict(cost) for name, cost in counts.items()},
            "ratios": {name: asdict(ratio) for name, ratio in ratios.items()},
        },
        [
            *(f"{name}: {cost.operations:,.0f} operations, {cost.waits:g} waits" for name, cost in counts.items()),
            *(
                f"{name}: {ratio.wall:.2f} times the wall time of {config.against}, {ratio.cpu:.2f} times its CPU time "
                f"({1e3 * ratio.seconds:,.0f} ms, {config.threads} threads)"
                for name, ratio in ratios.items()
            ),
        ],
        as_json=config.json,
    )


def counted(space: FBNetSpace) -> dict[str, StepCost]:
    """Operations and waits by kind of step."""
    form, splits = FORMS["shared"], split_data(random_images(space, 200, seed=0), 0)
    indices = (space.operators.index("k5_e6"),) * space.num_layers
    graph = space.graph(("k5_e6",) * space.num_layers)
    settings = TrainSettings(epochs=1, batch_size=8, cutout=2, mixup=0.2)
    return {
        "weight": weight_step(form, space, splits, batch=8),
        "theta": theta_step(form, space, splits, batch=8),
        **{
            f"theta, {searches} together, each": joint_theta_step(space, splits, batch=8, searches=searches)
            for searches in TOGETHER
        },
        "training": training_step(graph, splits, settings),
        "evaluation": evaluation(form, space, indices, splits, images=SELECTION_IMAGES),
    }


def timed(config: LaunchesConfig, other: Path) -> dict[str, Ratio]:
    """Ratios by kind of step; the first turn of each version does not count.

    Raises:
        ValueError: if there is no other version.
    """
    if not (other / "dnas").is_dir():
        raise ValueError(f"`--against` must be a folder with a version of this project, but got {str(other)!r}.")
    ratios = {}
    with ExitStack() as stack:
        sides = [stack.enter_context(_process(config, checkout)) for checkout in (_ROOT, other)]
        for kind in KINDS:
            rounds = []
            for number in range(config.rounds + 1):
                order = sides if number % 2 else sides[::-1]
                seconds = {side.pid: _turn(side, kind) for side in order}
                rounds.append([seconds[side.pid] for side in sides])
            own, others = zip(*rounds[1:], strict=True)
            wall, cpu = (
                statistics.median(one[part] / two[part] for one, two in zip(own, others, strict=True))
                for part in (0, 1)
            )
            ratios[kind] = Ratio(wall, cpu, statistics.median(one[0] for one in own))
    return ratios


@contextmanager
def _process(config: LaunchesConfig, checkout: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that runs steps of a version."""
    command = [sys.executable, str(Path(__file__).with_name("timed_checkout.py")), config.space, str(config.threads)]
    env = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": str(config.threads)}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=checkout, env=env)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _turn(process: subprocess.Popen[str], kind: str) -> tuple[float, float]:
    """Wall and CPU seconds of one step.

    Raises:
        RuntimeError: if the process ended.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{kind}\n")
    process.stdin.flush()
    if not (line := process.stdout.readline()):
        raise RuntimeError("each version must run its steps, but one failed; see what it printed.")
    wall, cpu = json.loads(line)
    return wall, cpu


if __name__ == "__main__":
    run(main)
