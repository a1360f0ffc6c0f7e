"""A space of small supernets, and a made-up NAS-Bench-201: accuracies and costs of all cells by simple rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.noise import random_images
from benchmarks.tabular.table import Floats, Integers, Table, read_table
from evaluation.splits import Splits, split_data
from search_space.nas_bench_201 import EDGES, NAS_BENCH_201_OPERATORS
from search_space.spaces import FBNetSpace, Stage

SPACE = FBNetSpace(
    name="tiny", input_size=8, classes=10, stem_channels=4, stem_stride=1, stages=(Stage(6, 2, 2),), last_channels=8
)
ALL = np.array(list(product(range(5), repeat=6)))
GOODNESS = np.array([0.0, 4.0, 6.0, 8.0, 3.0])
COSTS = np.array([0.1, 0.2, 2.0, 6.0, 1.0])


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks are so small that more threads only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def splits() -> Splits:
    """120 random images."""
    return split_data(random_images(SPACE, 120, seed=0), 0)


def percent_of(indices_NL: Integers) -> Floats:
    """Accuracy in percent: operators add up, and the last edge does not count where the first is `none`."""
    goodness_NL = GOODNESS[indices_NL]
    goodness_NL[:, 5] *= indices_NL[:, 0] != 0
    percent_N: Floats = 9.0 + 1.5 * goodness_NL.sum(1)
    return percent_N


def cell(indices: Integers) -> str:
    """A cell as the tables write it."""
    names = [NAS_BENCH_201_OPERATORS[index] for index in indices]
    ends: dict[int, list[str]] = {end: [] for _, end in EDGES}
    for name, (start, end) in zip(names, EDGES, strict=True):
        ends[end].append(f"{name}~{start}")
    return "+".join("|" + "|".join(parts) + "|" for parts in ends.values())


def write(path: Path, columns: Mapping[str, Iterable[object]]) -> None:
    rows = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    path.write_text("\n".join(rows) + "\n")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files in an order of their own, as users have them."""
    folder = tmp_path_factory.mktemp("tables")
    order = np.random.default_rng(0).permutation(len(ALL))
    indices = ALL[order]
    index = range(len(ALL))
    accuracy = {"index": index, "arch_str": [cell(row) for row in indices], "test": percent_of(indices)}
    write(folder / "accuracy.csv", accuracy)
    latency = COSTS[indices].sum(1) + 0.01 * (indices[:, 0] * indices[:, 1])
    back = {"index": index[::-1], "pi_ms": latency[::-1], "pi_mj": (60 - latency)[::-1] + indices[::-1, 3] ** 2}
    write(folder / "cost.csv", back)
    return folder


@pytest.fixture(scope="module")
def table(files: Path) -> Table:
    return read_table((files / "accuracy.csv", "test"), [(files / "cost.csv", "pi_ms")])
