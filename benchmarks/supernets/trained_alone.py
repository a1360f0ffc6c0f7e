"""Accuracies of networks that are each trained alone from random weights, several at a time, a process for each."""

from __future__ import annotations

import json
import multiprocessing
import signal
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import torch

from benchmarks.progress import Show
from benchmarks.supernets.ranked_networks import RankedNetworks
from evaluation.splits import Splits
from evaluation.training.allocator import keep_freed_memory
from evaluation.training.config import TrainSettings
from evaluation.training.job import TrainJob, new_training
from evaluation.training.recipe import train_batch
from search_space.boundary.writing import write_json


def trained_accuracies(
    folder: Path, networks: RankedNetworks, *, epochs: float, seed: int, processes: int, show: Show
) -> list[float]:
    """Accuracy of each architecture on the selection split, in [0, 1]; those that are not known yet are trained.

    Args:
        folder: gets a file for each network that has been trained, which is not trained again.
        networks: in their order.
        epochs: training of each.
        seed: of weights, order and augmentation of the images.
        processes: networks that are trained at the same time.
        show: told the steps of all trainings together.

    Raises:
        RuntimeError: if a training failed.
    """
    settings = TrainSettings(epochs=epochs)
    paths = {item.id: folder / "trained" / f"{item.id}.json" for item in networks.architectures}
    jobs = {
        paths[item.id]: TrainJob(
            name=item.id, graph=networks.space.graph(item.operators), settings=settings, flip=None, seed=seed
        )
        for item in networks.architectures
        if item.id not in networks.known and not paths[item.id].exists()
    }
    images = len(networks.splits.weights) + len(networks.splits.theta)
    total = len(jobs) * epochs * (images // train_batch(images))
    train_all(jobs, networks.splits, processes=processes, on_steps=lambda done: show("training alone", done, total))
    kept = {name: json.loads(path.read_text())["accuracy"] for name, path in paths.items() if path.exists()}
    return [(networks.known | kept)[item.id] for item in networks.architectures]


def train_all(
    jobs: Mapping[Path, TrainJob], splits: Splits, *, processes: int, on_steps: Callable[[int], None]
) -> None:
    """Train networks, and write the accuracy of each.

    Args:
        jobs: by the file that gets the accuracy.
        splits: sent to each process.
        processes: the most that run at the same time.
        on_steps: called with the steps of all trainings so far, a few times a second.

    Raises:
        RuntimeError: if a training failed; what it printed says why.
    """
    context = multiprocessing.get_context("spawn")
    steps = context.Value("q", 0)
    waiting, running = list(jobs.items())[::-1], list[SpawnProcess]()
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                path, job = waiting.pop()
                receiver, sender = context.Pipe(duplex=False)
                running.append(context.Process(target=train_alone, args=(job, receiver, path, steps)))
                _start_without_interrupts(running[-1])
                receiver.close()
                sender.send(splits)
            wait([process.sentinel for process in running], timeout=0.5)
            on_steps(steps.value)
            ended = [process for process in running if process.exitcode is not None]
            if any(process.exitcode for process in ended):
                raise RuntimeError("each architecture must be trained, but a training failed; see what it printed.")
            running = [process for process in running if process not in ended]
    finally:
        for process in running:
            process.terminate()
            process.join()


def train_alone(job: TrainJob, receiver: Connection, path: Path, steps: Synchronized[int]) -> None:
    """Train one architecture from random weights in this process, with splits that are sent; write its accuracy."""
    torch.set_num_threads(1)
    keep_freed_memory()
    training = new_training(job, receiver.recv())
    while not training.done:
        for _ in training.epoch():
            with steps.get_lock():
                steps.value += 1
    write_json(path, {"accuracy": training.records[-1].accuracy, "seconds": training.seconds})


def _start_without_interrupts(process: SpawnProcess) -> None:
    """Start a process that ignores Ctrl-C, even while it imports: its parent ends it."""
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, handler)
