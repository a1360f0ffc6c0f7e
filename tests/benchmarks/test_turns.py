from __future__ import annotations

import os
import sys
from functools import partial
from multiprocessing.connection import Connection

import pytest

from benchmarks.turns import alternate, in_new_processes, median_ratio, rounds_of_turns


def add_up(task: int, connection: Connection) -> None:
    """Send the sum of the turns so far."""
    total = 0
    while True:
        connection.recv()
        total += task
        connection.send(total)


def end_early(task: int, connection: Connection) -> None:
    """Have no more turns after the first."""
    connection.recv()
    connection.send(task)
    sys.exit(1)


def test_every_side_has_a_turn_in_each_round() -> None:
    order: list[str] = []
    told: list[tuple[int, int]] = []

    def side(name: str) -> int:
        order.append(name)
        return len(order)

    results = rounds_of_turns({name: partial(side, name) for name in "ab"}, 3, on_turn=lambda *done: told.append(done))
    assert "".join(order) == "ababab"
    assert results == {"a": [1, 3, 5], "b": [2, 4, 6]}
    assert told == [(number, 6) for number in range(1, 7)]


def test_a_ratio_is_the_median_over_the_rounds() -> None:
    assert median_ratio([4.0, 9.0, 100.0], [2.0, 3.0, 1.0]) == 3.0


@pytest.mark.slow
def test_calls_in_new_processes_are_in_different_ones() -> None:
    processes = in_new_processes([os.getpid, os.getpid])
    assert len({*processes, os.getpid()}) == 3


@pytest.mark.slow
def test_processes_go_on_with_their_work_at_each_turn() -> None:
    assert alternate(add_up, {"ones": 1, "tens": 10}, 3) == {"ones": [1, 2, 3], "tens": [10, 20, 30]}


@pytest.mark.slow
def test_a_process_that_ends_early_is_named() -> None:
    with pytest.raises(RuntimeError, match="each process must end all its turns, but `short` failed"):
        alternate(end_early, {"short": 1}, 2)
