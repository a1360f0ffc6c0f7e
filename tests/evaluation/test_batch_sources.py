"""What every `BatchSource` keeps to; an implementation joins by one line in `SOURCES`."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from dnas.batches import Batch, BatchSource
from evaluation.augmentation import Augmentation, Warp
from evaluation.batches import ImageBatches
from evaluation.data.images import LabelledImages
from evaluation.splits import Splits, split_data
from tests.dnas.conftest import ArraySource
from tests.evaluation.conftest import ImageDataOf

MakeSource = Callable[[LabelledImages, Splits], BatchSource]
SOURCES: dict[str, MakeSource] = {
    "images": lambda images, splits: ImageBatches(images, splits),
    "augmented images": lambda images, splits: ImageBatches(images, splits, augmentation=Augmentation()),
    "warped images": lambda images, splits: ImageBatches(images, splits, augmentation=Augmentation(warp=Warp())),
    "arrays": lambda images, _: ArraySource(torch.from_numpy(images.pixels).float(), torch.from_numpy(images.labels_N)),
}


@pytest.fixture
def images(image_data: ImageDataOf) -> tuple[LabelledImages, Splits]:
    """110 images, each of which has a label of its own."""
    splits = split_data(image_data(), 0)
    return LabelledImages(splits.weights.pixels, np.arange(110)), splits


@pytest.fixture(params=SOURCES.values(), ids=list(SOURCES))
def source(request: pytest.FixtureRequest, images: tuple[LabelledImages, Splits]) -> BatchSource:
    make: MakeSource = request.param
    return make(*images)


def one_pass(source: BatchSource, batch_size: int, seed: int) -> list[Batch]:
    return next_pass(source, batch_size, np.random.default_rng(seed))


def next_pass(source: BatchSource, batch_size: int, rng: np.random.Generator) -> list[Batch]:
    return list(source.read(list(source.draws(batch_size, rng))))


def labels(batches: list[Batch]) -> list[int]:
    return [int(label) for _, labels_B in batches for label in labels_B]


@pytest.mark.parametrize("batch_size", [1, 32, 55, 110, 200])
def test_a_pass_holds_each_image_once(source: BatchSource, batch_size: int) -> None:
    batches = one_pass(source, batch_size, seed=0)
    whole, rest = divmod(110, batch_size)
    assert [len(labels_B) for _, labels_B in batches] == [batch_size] * whole + [rest] * (rest > 0)
    assert len(source) == 110
    assert sorted(labels(batches)) == list(range(110))


def test_batches_are_floats_with_class_indices(source: BatchSource) -> None:
    for x_BCHW, labels_B in one_pass(source, 32, seed=0):
        assert x_BCHW.shape == (len(labels_B), 3, 4, 4)
        assert (x_BCHW.dtype, labels_B.dtype) == (torch.float32, torch.int64)


def test_order_and_augmentation_follow_the_random_numbers(source: BatchSource) -> None:
    first, same, other = (one_pass(source, 32, seed) for seed in (1, 1, 2))
    assert labels(first) == labels(same)
    assert labels(first) != labels(other)
    for (x_BCHW, _), (same_BCHW, _) in zip(first, same, strict=True):
        assert torch.equal(x_BCHW, same_BCHW)


def test_each_pass_of_one_generator_has_its_own_order(source: BatchSource) -> None:
    rng = np.random.default_rng(0)
    first, second = next_pass(source, 32, rng), next_pass(source, 32, rng)
    assert labels(first) != labels(second)
