"""Ways to train a network: the loop one would write first, the project's, and the project's without one thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dnas.batches import Batch, BatchDraw
from evaluation.augmentation import Augmentation
from evaluation.batches import ImageBatches
from evaluation.data.images import LabelledImages
from evaluation.splits import Splits
from evaluation.training.allocator import keep_freed_memory
from evaluation.training.config import TrainSettings
from evaluation.training.loop import Training
from search_space.graphs import Graph
from search_space.networks import Network


@dataclass(frozen=True)
class Task:
    """What every side trains."""

    graph: Graph
    splits: Splits
    """The weights split has as many images as a turn takes."""
    batch_size: int
    augmentation: Augmentation


OnStep = Callable[[], None]
"""Called after each step."""
Side = Callable[[Task, OnStep], None]
"""Trains a new network for one pass over the images."""


class PlainImages(Dataset[tuple[Tensor, int]]):
    """Normalised images, augmented one at a time."""

    def __init__(self, splits: Splits, augmentation: Augmentation) -> None:
        self.images_NCHW = torch.from_numpy(splits.weights.pixels)
        self.labels = splits.weights.labels_N.tolist()
        self.mean_C11 = torch.tensor(splits.mean_C)[:, None, None]
        self.std_C11 = torch.tensor(splits.std_C)[:, None, None]
        self.augmentation = augmentation

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image_CHW = self.images_NCHW[index]
        _, height, width = image_CHW.shape
        padding = self.augmentation.crop_padding
        top, left = torch.randint(0, 2 * padding + 1, (2,)).tolist()
        image_CHW = F.pad(image_CHW, (padding,) * 4)[:, top : top + height, left : left + width]
        if self.augmentation.flip and torch.rand(()) < 0.5:
            image_CHW = image_CHW.flip(-1)
        return (image_CHW.float() / 255 - self.mean_C11) / self.std_C11, self.labels[index]


def plain_loop(task: Task, on_step: OnStep, *, loader_processes: int) -> None:
    """The loop one would write first."""
    network = Network(task.graph).train()
    images = PlainImages(task.splits, task.augmentation)
    loader = DataLoader(images, task.batch_size, shuffle=True, num_workers=loader_processes, drop_last=True)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    total_loss = 0.0
    for x_BCHW, labels_B in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(network(x_BCHW), labels_B)
        torch.autograd.backward(loss)
        optimizer.step()
        total_loss += loss.item()
        on_step()


def project_loop(
    task: Task,
    on_step: OnStep,
    *,
    keep_memory: bool = True,
    quick_depthwise: bool = True,
    layout: torch.memory_format = torch.channels_last,
    batches: type[ImageBatches] = ImageBatches,
) -> None:
    """This project's training, or all of it but one thing."""
    if keep_memory:
        keep_freed_memory()
    images = batches(task.splits.weights, task.splits, augmentation=task.augmentation)
    selection = ImageBatches(task.splits.selection, task.splits)
    settings = TrainSettings(epochs=1, batch_size=task.batch_size)
    with nullcontext() if quick_depthwise else mock.patch("evaluation.training.loop.use_quick_depthwise"):
        training = Training(Network(task.graph), images, selection, settings, seed=0)
    for network in (training.network, training.averaged):
        network.to(memory_format=layout)
    for _ in training.epoch():
        on_step()


class ContiguousBatches(ImageBatches):
    """Batches in PyTorch's usual layout."""

    def read(self, draws: Sequence[BatchDraw]) -> Iterator[Batch]:
        """See `BatchSource.read`."""
        for x_BCHW, labels_B in super().read(draws):
            yield x_BCHW.contiguous(), labels_B


class SingleImageBatches(ImageBatches):
    """Batches of images that are augmented one at a time, by `PlainImages`."""

    def __init__(self, images: LabelledImages, splits: Splits, *, augmentation: Augmentation) -> None:
        super().__init__(images, splits, augmentation=augmentation)
        self.plain = PlainImages(splits, augmentation)

    def read(self, draws: Sequence[BatchDraw]) -> Iterator[Batch]:
        """See `BatchSource.read`."""
        for x_BCHW, labels_B in DataLoader(self.plain, batch_sampler=[draw.rows_B.tolist() for draw in draws]):
            yield x_BCHW.contiguous(memory_format=torch.channels_last), labels_B


@dataclass(frozen=True)
class Way:
    """A way to train that is timed."""

    side: Side
    at_once: bool = False
    """Whether networks are trained at once, one a thread."""


WAYS = {
    "plain loop": Way(partial(plain_loop, loader_processes=0)),
    "plain loop, 2 loader processes": Way(partial(plain_loop, loader_processes=2)),
    "Training": Way(project_loop),
    "  without kept memory": Way(partial(project_loop, keep_memory=False)),
    "  without channels-last": Way(
        partial(project_loop, layout=torch.contiguous_format, batches=ContiguousBatches),
    ),
    "  without quick depthwise": Way(partial(project_loop, quick_depthwise=False)),
    "  without batched augmentation": Way(partial(project_loop, batches=SingleImageBatches)),
    "plain loop, at once": Way(partial(plain_loop, loader_processes=0), at_once=True),
    "Training, at once": Way(project_loop, at_once=True),
}
