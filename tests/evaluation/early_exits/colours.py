"""Images that a tiny network tells apart in seconds, and such a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from evaluation.data.images import ImageData, LabelledImages
from evaluation.splits import Splits, split_data
from evaluation.training.config import TrainSettings
from evaluation.training.job import TrainJob, new_training
from search_space.spaces import FBNetSpace

Arrays = dict[str, Any]
OPERATORS = ("k3_e1", "k5_e3", "k3_e3")
IMAGES = 600


def colours(*, shares: Sequence[float] = (1 / 3, 1 / 3, 1 / 3), grey: bool = False) -> Splits:
    """Three classes told apart by the colour of noisy images; grey ones by where they are light."""
    rng = np.random.default_rng(0)
    labels_N = rng.choice(3, size=IMAGES, p=shares)
    images_NCHW = rng.integers(0, 120, (IMAGES, 3, 8, 8), dtype=np.uint8)
    if grey:
        images_NCHW[:] = images_NCHW[:, :1]
        for number, label in enumerate(labels_N):
            images_NCHW[number, :, 2 * label : 2 * label + 3] += 100
    else:
        images_NCHW[np.arange(IMAGES), labels_N] += 100
    data = LabelledImages(images_NCHW, labels_N)
    return split_data(ImageData(name="colours", train=data, test=None, class_names=("r", "g", "b"), grey=grey), 0)


def assert_same(one: Arrays, other: Arrays) -> None:
    """Check that arrays are equal bit by bit."""
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert np.array_equal(value, other[name]), name


def trained_weights(space: FBNetSpace, splits: Splits) -> Arrays:
    """Weights of the network of `OPERATORS`, trained a little."""
    settings = TrainSettings(epochs=3, batch_size=32)
    job = TrainJob(name="tiny", graph=space.graph(OPERATORS), settings=settings, flip=False, seed=0)
    training = new_training(job, splits)
    while not training.done:
        list(training.epoch())
    return {name: value.numpy() for name, value in training.averaged.state_dict().items()}
