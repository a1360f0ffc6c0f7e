"""Images that can be told apart, and a cache of Hugging Face `datasets` that goes away with the test."""

from typing import Protocol

import numpy as np
import pytest
import torch

from evaluation.data.images import ImageData, LabelledImages
from search_space.spaces import FBNetSpace, Stage


class ImagesOf(Protocol):
    """Makes images, each of which has its own number in its first pixel and noise elsewhere, with labels."""

    def __call__(
        self, count: int, *, size: int = 4, classes: int = 3, start: int = 0, seed: int = 0
    ) -> LabelledImages: ...


class ImageDataOf(Protocol):
    """Makes a data set of such images."""

    def __call__(self, count: int = 200, *, test: int | None = None, size: int = 4, seed: int = 0) -> ImageData: ...


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, and no file outside the test's folder."""
    import datasets
    import huggingface_hub

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


@pytest.fixture(scope="session")
def numbered() -> ImagesOf:
    def make(count: int, *, size: int = 4, classes: int = 3, start: int = 0, seed: int = 0) -> LabelledImages:
        rng = np.random.default_rng(seed)
        images_NCHW = rng.integers(0, 256, (count, 3, size, size), dtype=np.uint8)
        numbers = np.arange(start, start + count)
        images_NCHW[:, :, 0, 0] = np.stack([numbers >> 16, numbers >> 8 & 255, numbers & 255], axis=1)
        return LabelledImages(images_NCHW, rng.integers(classes, size=count))

    return make


@pytest.fixture(scope="session")
def image_data(numbered: ImagesOf) -> ImageDataOf:
    def make(count: int = 200, *, test: int | None = None, size: int = 4, seed: int = 0) -> ImageData:
        published = None if test is None else numbered(test, size=size, start=count, seed=seed)
        names = ("ant", "bee", "cow")
        return ImageData(
            name="numbered", train=numbered(count, size=size, seed=seed), test=published, class_names=names, grey=False
        )

    return make


@pytest.fixture(scope="session")
def space() -> FBNetSpace:
    return FBNetSpace(
        name="tiny",
        input_size=8,
        classes=3,
        stem_channels=4,
        stem_stride=1,
        stages=(Stage(4, 1, 2), Stage(6, 2, 2)),
        last_channels=8,
    )
