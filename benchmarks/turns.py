"""Fair timing: sides of a comparison take turns, in rounds and in processes of their own.

What else the machine does then touches all sides alike, and a ratio is the median over the rounds. Start with
`rounds_of_turns`. `alternate` is for sides that continue their work at each turn.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import torch

Task = TypeVar("Task")
Result = TypeVar("Result")
OnTurn = Callable[[int, int], None]
"""Called with the number of turns that are over and of all turns."""


def rounds_of_turns(
    sides: Mapping[str, Callable[[], Result]], rounds: int, *, on_turn: OnTurn | None = None
) -> dict[str, list[Result]]:
    """Results of each side's turns, by name: in each round every side has one."""
    results: dict[str, list[Result]] = {name: [] for name in sides}
    for number in range(rounds):
        for place, (name, side) in enumerate(sides.items(), start=1):
            results[name].append(side())
            if on_turn is not None:
                on_turn(number * len(sides) + place, rounds * len(sides))
    return results


def in_new_processes(calls: Sequence[Callable[[], Result]]) -> list[Result]:
    """Results of calls that can be pickled, all at the same time, each in a new process."""
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        # A pool of several workers may give two short calls to one of them.
        pools = [stack.enter_context(ProcessPoolExecutor(1, mp_context=context)) for _ in calls]
        return [future.result() for future in [pool.submit(call) for pool, call in zip(pools, calls, strict=True)]]


def alternate(
    work: Callable[[Task, Connection], None],
    tasks: Mapping[str, Task],
    turns: int,
    *,
    on_turn: OnTurn | None = None,
) -> dict[str, list[Any]]:
    """Have processes work by turns, one at a time.

    Args:
        work: what each process does. Through its connection it receives a word before each turn, which it waits for,
            and sends the result of the turn.
        tasks: the task of each process, by name.
        turns: how many each of them has.
        on_turn: called after each turn.

    Returns:
        the results of each process, by name.

    Raises:
        RuntimeError: if a process ended early.
    """
    results: dict[str, list[Any]] = {name: [] for name in tasks}
    context = multiprocessing.get_context("spawn")
    connections, processes = {}, {}
    try:
        for name, task in tasks.items():
            connections[name], other = context.Pipe()
            processes[name] = context.Process(target=work, args=(task, other), daemon=True)
            processes[name].start()
            other.close()
        for number in range(turns):
            for place, (name, connection) in enumerate(connections.items(), start=1):
                try:
                    connection.send("go on")
                    results[name].append(connection.recv())
                except (EOFError, BrokenPipeError, ConnectionResetError):
                    raise RuntimeError(
                        f"each process must end all its turns, but `{name}` failed; see what it printed."
                    ) from None
                if on_turn is not None:
                    on_turn(number * len(tasks) + place, turns * len(tasks))
    finally:
        for process in processes.values():
            process.terminate()
            process.join()
    return results


def median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """Median over the rounds of the ratio of two sides."""
    return statistics.median(one / other for one, other in zip(numerators, denominators, strict=True))


def seconds_of(work: Callable[[], object]) -> float:
    """Time of a call, all that it left to the GPU included, and nothing that was left to it before."""
    synchronize()
    start = time.perf_counter()
    work()
    synchronize()
    return time.perf_counter() - start


def synchronize() -> None:
    """Wait for the GPU, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
