"""Pre-training with several paths a step, shared by processes: how much time that saves, and what accuracy it gives.

    python benchmarks/supernets/paths.py [--space NAME] [--paths K] [--ranks R] [--rounds N] [--quick]
    python benchmarks/supernets/paths.py --space fbnet-micro --dataset cifar10

These train the same steps of K paths on images of noise, by turns: one process with one thread; R processes with one
thread each that share steps, and as many that train apart; one process with R threads. Ratios are medians over the
rounds; weights of the first two are compared after all of them. With `--dataset`, supernets are trained besides, each
for as many epochs as equal time allows by these figures: with one path a step on R threads, and with K paths on R
processes. Goal for two processes of one thread: at most 0.6 times the time of one, with weights equal to 1e-5.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from benchmarks.noise import random_images
from benchmarks.options import BenchmarkConfig, check_at_least, read_config
from benchmarks.results import print_results
from benchmarks.supernets.equal_time import random_architectures
from benchmarks.supernets.forms import FORMS, InheritedAccuracy, new_supernet, search_augmentation
from benchmarks.supernets.steps import SomeBatches
from benchmarks.turns import in_new_processes, median_ratio, rounds_of_turns
from dnas.pretraining import Pretraining, PretrainSettings
from dnas.ranks import ALONE, Ranks, joined, opened_store, store_at
from evaluation.batches import ImageBatches
from evaluation.data.loading import load_images
from evaluation.splits import Splits, split_data
from evaluation.training.allocator import keep_freed_memory
from scripts.interface.command_line import run
from search_space.spaces import FBNetSpace, space_named

if TYPE_CHECKING:
    from typing_extensions import Self

ADDRESS = "127.0.0.1"
FORM = FORMS["shared"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PathsConfig(BenchmarkConfig):
    """Time steps of several paths on several processes, and compare accuracies at equal time."""

    space: str = "fbnet-cifar"
    """A space of the FBNet family."""
    paths: int = 4
    """Paths a step."""
    batch: int = 64
    """Images of a path."""
    ranks: int = 2
    """Processes that share them."""
    steps: int = 2
    """Steps of a turn."""
    rounds: int = 7
    """Turns of each side that count; one before them does not."""
    dataset: str | None = None
    """A data set for accuracies at equal time, as a search takes it."""
    epochs: int = 6
    """Epochs of one path a step; those of several paths follow from the times."""
    factors: tuple[float, ...] = (1.0, 2.0)
    """Learning rates of several paths a step, in those of one."""
    seeds: int = 2
    """Supernets of each kind."""
    architectures: int = 12
    """Random ones that are evaluated."""

    def __post_init__(self) -> None:
        check_at_least(self, paths=1, batch=2, ranks=1, steps=1, rounds=1, epochs=1, seeds=1, architectures=1)

    def quickened(self) -> Self:
        """See `BenchmarkConfig.quickened`."""
        less = {"space": "fbnet-micro", "batch": 8, "steps": 1, "rounds": 1}
        return dataclasses.replace(self, **less, epochs=1, seeds=1, architectures=1)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Side:
    """Processes that train together."""

    ranks: int
    threads: int


@dataclass(frozen=True)
class PathTurn:
    """Seconds of one path in a turn."""

    wall: float
    cpu: float
    """Of all processes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """Of R processes of one thread."""

    over_one_thread: float
    """Wall time, in that of one process with one thread."""
    limit: float
    """The same of R processes that know nothing of each other: what the machine allows."""
    over_threads: float
    """The same, in that of one process with R threads."""
    cpu_over_one_thread: float
    """CPU time of all processes, in that of one process with one thread."""
    path_ms: float
    """Median wall time of one path."""
    difference: float
    """Largest of all weights, from those of one process with one thread."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """A supernet trained for a part of the time, and what its sub-networks are worth."""

    paths: int
    factor: float
    """Of its learning rate."""
    epochs: int
    accuracy: float
    """Mean over random sub-networks and seeds, in [0, 1]."""
    of_seeds: tuple[float, ...]


def main() -> None:
    """Time, train and print."""
    config = read_config(PathsConfig)
    timing = timed(config)
    trained = [] if config.dataset is None else trained_for_equal_time(config, timing, config.dataset)
    print_results(
        {"timing": asdict(timing), "trained": [asdict(item) for item in trained]},
        [
            f"{config.space}, {config.paths} paths a step of {config.batch}, {config.ranks} processes of one thread",
            f"time over that of one such process: {timing.over_one_thread:.2f}",
            f"CPU time over its CPU time: {timing.cpu_over_one_thread:.2f}",
            f"time where they train apart, which is what the machine allows: {timing.limit:.2f}",
            f"time over that of one process of {config.ranks} threads: {timing.over_threads:.2f}",
            f"a path: {timing.path_ms:.1f} ms; weights differ by at most {timing.difference:.1e}",
            *(
                f"{config.dataset}, {item.paths} paths a step, {item.factor:g} times the learning rate, {item.epochs} "
                f"epochs: {100 * item.accuracy:.1f} % ({', '.join(f'{100 * one:.1f}' for one in item.of_seeds)})"
                for item in trained
            ),
        ],
        as_json=config.json,
    )


def timed(config: PathsConfig) -> Timing:
    """Run all sides by turns.

    Raises:
        RuntimeError: if a process ended early.
    """
    sides = {"one": Side(1, 1), "ranks": Side(config.ranks, 1), "threads": Side(1, config.ranks)}
    with ExitStack() as stack:
        teams = {name: stack.enter_context(_team(config, side)) for name, side in sides.items()}
        calls = {name: partial(_turn, config, team) for name, team in teams.items()}
        single = [stack.enter_context(_team(config, Side(1, 1))) for _ in range(config.ranks)]
        apart = [connection for team in single for connection in team]
        calls["apart"] = partial(_turn, config, apart, trainings=config.ranks)
        turns = rounds_of_turns(calls, config.rounds + 1)
        one, other = (_weights(teams[name]) for name in ("one", "ranks"))
    wall = {name: [turn.wall for turn in of_side[1:]] for name, of_side in turns.items()}
    cpu = {name: [turn.cpu for turn in of_side[1:]] for name, of_side in turns.items()}
    return Timing(
        over_one_thread=median_ratio(wall["ranks"], wall["one"]),
        limit=median_ratio(wall["apart"], wall["one"]),
        over_threads=median_ratio(wall["ranks"], wall["threads"]),
        cpu_over_one_thread=median_ratio(cpu["ranks"], cpu["one"]),
        path_ms=1e3 * statistics.median(wall["ranks"]),
        difference=max(float((a - b).abs().max()) for a, b in zip(one, other, strict=True)),
    )


@contextmanager
def _team(config: PathsConfig, side: Side) -> Iterator[list[Connection]]:
    """Processes of a side, by the ends of their pipes."""
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(side.ranks)]
    processes = [
        context.Process(target=_rank, args=(config, side, rank, theirs), daemon=True)
        for rank, (_, theirs) in enumerate(pipes)
    ]
    try:
        for process, (_, theirs) in zip(processes, pipes, strict=True):
            process.start()
            theirs.close()
        team = [own for own, _ in pipes]
        port = _answer(team[0])
        for connection in team:
            connection.send(port)
        yield team
    finally:
        for process in processes:
            process.kill()
            process.join()


def _rank(config: PathsConfig, side: Side, rank: int, connection: Connection) -> None:
    """One process: an epoch for each word, and its weights in the end."""
    torch.set_num_threads(side.threads)
    keep_freed_memory()
    store, port = opened_store(ADDRESS) if rank == 0 else (None, 0)
    if rank == 0:
        connection.send(port)
    port = connection.recv()
    if side.ranks == 1:
        _turns(config, ALONE, connection)
        return
    store = store or store_at(ADDRESS, port)
    with joined(store, rank=rank, count=side.ranks, device=torch.device("cpu"), address=ADDRESS) as ranks:
        _turns(config, ranks, connection)


def _turns(config: PathsConfig, ranks: Ranks, connection: Connection) -> None:
    space = space_named(config.space)
    splits = split_data(random_images(space, 2000, seed=0), 0)
    images = ImageBatches(splits.weights, splits, augmentation=search_augmentation(space, splits))
    source = SomeBatches(images, config.steps * config.paths * config.batch)
    settings = PretrainSettings(epochs=config.rounds + 1, batch_size=config.batch, paths_per_step=config.paths)
    training = Pretraining(new_supernet(FORM, space, 0), source, settings, seed=0, forward=FORM.forward, ranks=ranks)
    while connection.recv() == "train":
        wall, cpu = time.perf_counter(), time.process_time()
        training.run_epoch()
        connection.send((time.perf_counter() - wall, time.process_time() - cpu))
    connection.send([parameter.detach().numpy() for parameter in training.supernet.parameters()])


def _turn(config: PathsConfig, team: list[Connection], trainings: int = 1) -> PathTurn:
    for connection in team:
        connection.send("train")
    taken = [_answer(connection) for connection in team]
    paths = config.steps * config.paths * trainings
    return PathTurn(max(wall for wall, _ in taken) / paths, sum(cpu for _, cpu in taken) / paths)


def _weights(team: list[Connection]) -> list[Tensor]:
    for connection in team:
        connection.send("end")
    return [torch.from_numpy(array) for array in _answer(team[0])]


def _answer(connection: Connection):  # type: ignore[no-untyped-def]
    """What a process says.

    Raises:
        RuntimeError: if it ended.
    """
    try:
        return connection.recv()
    except (EOFError, ConnectionResetError):
        raise RuntimeError("each process must train in its turns, but one failed; see what it printed.") from None


def trained_for_equal_time(config: PathsConfig, timing: Timing, dataset: str) -> list[Trained]:
    """Supernets of one and of several paths a step; what processes would share is done by one, with equal results."""
    space = space_named(config.space)
    data = load_images(dataset, size=space.input_size)
    space = dataclasses.replace(space, classes=len(data.class_names))
    splits = split_data(data, 0)
    architectures = random_architectures(space, config.architectures, 0)
    # A step of one path takes on R threads what a path of several takes there.
    epochs = max(1, round(config.epochs / timing.over_threads))
    kinds = [(1, 1.0, config.epochs), *((config.paths, factor, epochs) for factor in config.factors)]
    found = []
    for paths, factor, kind_epochs in kinds:
        plain = PretrainSettings(epochs=kind_epochs, batch_size=config.batch, paths_per_step=paths)
        settings = dataclasses.replace(plain, lr=factor * plain.lr)
        calls = [partial(_accuracy, space, splits, settings, architectures, seed) for seed in range(config.seeds)]
        of_seeds = tuple(in_new_processes(calls))
        mean = statistics.mean(of_seeds)
        found.append(Trained(paths=paths, factor=factor, epochs=kind_epochs, accuracy=mean, of_seeds=of_seeds))
    return found


def _accuracy(
    space: FBNetSpace, splits: Splits, settings: PretrainSettings, architectures: list[tuple[int, ...]], seed: int
) -> float:
    """Mean accuracy of sub-networks after pre-training."""
    torch.set_num_threads(1)
    keep_freed_memory()
    images = ImageBatches(splits.weights, splits, augmentation=search_augmentation(space, splits))
    training = Pretraining(new_supernet(FORM, space, seed), images, settings, seed=seed, forward=FORM.forward)
    while not training.done:
        training.run_epoch()
    accuracy_of = InheritedAccuracy(training.supernet, splits)
    return statistics.mean(accuracy_of(indices) for indices in architectures)


if __name__ == "__main__":
    run(main)
