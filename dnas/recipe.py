"""How a supernet is trained where the user does not say so: it depends on the number of images.

What was tried is in docs/decisions.md.
"""

from __future__ import annotations

import math

from dnas.pretraining import PretrainSettings

BATCH = 64
LR = 0.3
"""Peak learning rate at a batch of `BATCH`; it is proportional to the batch."""
LEAST_BATCH = 32
BATCHES_A_PASS = 8
"""Batches that a pass over few images has at least, as far as `LEAST_BATCH` allows."""
STEPS = 2500
"""Steps of `BATCH` images in all; smaller batches make more of them."""
LEAST_EPOCHS = 3
MOST_PASSES = 80
"""Passes at most where images are hardly augmented, and are soon known by heart."""
STEPS_AN_EPOCH = 40
"""Steps that an epoch has at least where a pass over few images has fewer than `BATCHES_A_PASS` of `BATCH`."""
FEW_IMAGES = 5000
"""Below this many images, weights are kept small and targets soft."""
WARM_START_STEPS = 0.5
"""Share of the steps that weights of another run are trained further for."""
LARGEST_SHARE = 0.5
"""Share of the steps that train the largest architecture, where there are fewer than `FEW_IMAGES`."""
THETA_BATCH = 32


def pretrain_settings(
    images: int,
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    paths_per_step: int = 1,
    augmented: bool = False,
    warm_start: bool = False,
) -> PretrainSettings:
    """Settings of pre-training; those that are given stay as they are.

    Args:
        images: of the weights split.
        epochs: as in `PretrainSettings`.
        batch_size: as in `PretrainSettings`.
        lr: as in `PretrainSettings`.
        paths_per_step: as in `PretrainSettings`; it changes none of the others.
        augmented: whether images are strongly augmented, so that many passes over them are of use.
        warm_start: whether the supernet's weights come from another run.
    """
    if batch_size is None:
        batch_size = pretrain_batch(images)
    if lr is None:
        lr = LR * batch_size / BATCH
    steps_a_pass = max(1, images // batch_size)
    passes = math.ceil(STEPS_AN_EPOCH / steps_a_pass) if images < BATCHES_A_PASS * BATCH else 1
    if epochs is None:
        steps = STEPS * BATCH / batch_size * (WARM_START_STEPS if warm_start else 1)
        epochs = max(LEAST_EPOCHS, math.ceil(steps / (steps_a_pass * passes)))
        if not augmented:
            epochs = min(epochs, max(1, MOST_PASSES // passes))
    few = images < FEW_IMAGES and augmented
    return PretrainSettings(
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        weight_decay=5e-4 if few else 1e-4,
        label_smoothing=0.1 if few else 0.0,
        passes=passes,
        largest_share=LARGEST_SHARE if few else 0.0,
        paths_per_step=paths_per_step,
    )


def pretrain_batch(images: int) -> int:
    """Images in a step of pre-training: a power of two, of which few images have several."""
    batch = BATCH
    while batch > LEAST_BATCH and BATCHES_A_PASS * batch > images:
        batch //= 2
    return min(batch, images)


def theta_batch(images: int) -> int:
    """Images in a theta step, of a theta split of so many."""
    return min(THETA_BATCH, images)
