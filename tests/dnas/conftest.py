"""A tiny space with all nine operators, and an easy data set: the class is the brightest colour channel."""

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor

from dnas.batches import Batch, BatchDraw
from dnas.supernets.supernet import Supernet
from search_space.spaces import FBNetSpace, Stage

S = TypeVar("S", bound=Supernet)


class ArraySource:
    """Images in memory, in random order; implements `dnas.batches.BatchSource`."""

    def __init__(self, x_BCHW: Tensor, labels_B: Tensor) -> None:
        self.x_BCHW, self.labels_B = x_BCHW, labels_B

    def __len__(self) -> int:
        return len(self.labels_B)

    def draws(self, batch_size: int, rng: np.random.Generator) -> Iterator[BatchDraw]:
        order_N = rng.permutation(len(self))
        for start in range(0, len(order_N), batch_size):
            yield BatchDraw(order_N[start : start + batch_size])

    def read(self, draws: Sequence[BatchDraw]) -> Iterator[Batch]:
        for draw in draws:
            yield self.x_BCHW[draw.rows_B], self.labels_B[draw.rows_B]


class SourceOf(Protocol):
    """Makes an easy data set of so many images of 8 x 8 pixels."""

    def __call__(self, count: int = 96) -> ArraySource: ...


class Randomise(Protocol):
    """Makes all BatchNorm scales and shifts of a supernet random, scales of both signs among them."""

    def __call__(self, supernet: S) -> S: ...


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def space() -> FBNetSpace:
    """A layer that keeps its shape, one that strides, and one that keeps its shape on a map smaller than 5 x 5."""
    return FBNetSpace(
        name="tiny",
        input_size=8,
        classes=3,
        stem_channels=4,
        stem_stride=1,
        stages=(Stage(4, 1, 1), Stage(6, 2, 2)),
        last_channels=8,
    )


@pytest.fixture(scope="session")
def easy_source() -> SourceOf:
    def make(count: int = 96) -> ArraySource:
        rng = np.random.default_rng(0)
        labels_B = rng.integers(3, size=count)
        x_BCHW = rng.normal(size=(count, 3, 8, 8))
        x_BCHW[np.arange(count), labels_B] += 1.5
        return ArraySource(torch.from_numpy(x_BCHW).float(), torch.from_numpy(labels_B))

    return make


@pytest.fixture(scope="session")
def randomised() -> Randomise:
    def randomise(supernet: S) -> S:
        for parameter in supernet.parameters():
            if parameter.ndim == 1:
                torch.nn.init.normal_(parameter, mean=0.5)
        return supernet

    return randomise
