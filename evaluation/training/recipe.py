"""How one network is trained where the user does not say so: it depends on the number of images.

What was tried is in docs/decisions.md.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TypeVar

from evaluation.augmentation import Strength, strength_for
from evaluation.batches import is_uneven
from evaluation.data.images import LabelledImages
from evaluation.training.config import TrainSettings

BATCH = 128
LR = 0.2
"""Peak learning rate at a batch of `BATCH`; it is proportional to the batch."""
LEAST_BATCH = 16
BATCHES_A_PASS = 8
"""Batches that a pass over few images has at least, as far as `LEAST_BATCH` allows."""
EPOCHS = 60
IMAGES_SEEN = 80_000
"""Images in all, those that come again included, that strongly augmented training sees at least."""
AVERAGE_DECAY = 0.999
AVERAGED_SHARE = 0.05
"""Share of all steps that the average of the weights reaches back over, at most."""

Settings = TypeVar("Settings", bound=TrainSettings)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainRecipe:
    """Settings of a training that has everything worked out; as in `TrainSettings`."""

    epochs: float
    batch_size: int
    lr: float
    weight_decay: float
    average_decay: float
    augment: Strength
    balanced: bool


def train_recipe(settings: TrainSettings, images: LabelledImages) -> TrainRecipe:
    """What a training does with these training images; settings that are given stay as they are."""
    count, size = len(images), images.size
    augment = strength_for(count, size) if settings.augment == "auto" else settings.augment
    strong = augment == "strong"
    batch = train_batch(count) if settings.batch_size is None else settings.batch_size
    epochs = settings.epochs
    if epochs is None:
        epochs = max(EPOCHS, round(IMAGES_SEEN / count)) if strong else EPOCHS
    steps = max(1.0, epochs * (count // batch))
    decay = min(AVERAGE_DECAY, max(0.0, 1 - 1 / (AVERAGED_SHARE * steps)))
    return TrainRecipe(
        epochs=epochs,
        batch_size=batch,
        lr=LR * batch / BATCH if settings.lr is None else settings.lr,
        weight_decay=(5e-4 if strong else 2e-4) if settings.weight_decay is None else settings.weight_decay,
        average_decay=decay if settings.average_decay is None else settings.average_decay,
        augment=augment,
        balanced=is_uneven(images.labels_N) if settings.balanced is None else settings.balanced,
    )


def with_recipe(settings: Settings, images: LabelledImages) -> Settings:
    """The same settings with everything worked out, to be kept with what is made by them."""
    recipe = train_recipe(settings, images)
    values = {field.name: getattr(recipe, field.name) for field in dataclasses.fields(TrainRecipe)}
    return dataclasses.replace(settings, **values)


def train_batch(images: int) -> int:
    """Images in a step: a power of two, of which few images have several."""
    batch = BATCH
    while batch > LEAST_BATCH and BATCHES_A_PASS * batch > images:
        batch //= 2
    return min(batch, images)
