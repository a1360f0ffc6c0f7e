"""How exits are trained, alone or with their network. Importing this is quick."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

from dnas.train_precision import TrainPrecision
from evaluation.training.config import TrainSettings

EXIT_EPOCHS_SHARE = 0.3
"""Of the passes that a network is trained for by default, those that its exits take: a step of theirs takes about a
third of one of the network's, so that they take a tenth of its training."""
JOINT_EPOCHS_SHARE = 0.1
"""The same for network and exits together."""
JOINT_LR_SHARE = 0.1
"""Of the learning rate that a network is trained with by default, what it is trained further with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExitTrainSettings:
    """How exits are trained; what is left open follows from the images as it does for networks."""

    epochs: float | None = None
    """Passes over the training images; by default 0.3 of a network's, a tenth where the network is trained as well."""
    batch_size: int | None = None
    """Images a step; by default a network's."""
    lr: float | None = None
    """Peak learning rate; by default a network's, and a tenth of it where the network is trained as well."""
    distillation: float = 0.5
    """Share of an exit's loss that compares it with the network's own scores, in [0, 1]; the rest is cross-entropy."""
    temperature: float = 1.0
    """Scores are divided by this before they are compared."""
    label_smoothing: float = 0.1
    """Probability mass spread over all classes in the target of cross-entropy, in [0, 1)."""
    augment: Literal["auto", "light", "strong"] = "auto"
    """How training images are changed at random, as in `TrainSettings`."""
    balanced: bool | None = None
    """Whether batches draw all classes evenly, as in `TrainSettings`."""
    precision: TrainPrecision = "auto"
    """Number format that training computes in, as in `TrainSettings`."""

    def __post_init__(self) -> None:
        if not 0 <= self.distillation <= 1:
            raise ValueError(f"`0 <= distillation <= 1` must hold, but got {self.distillation}.")
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"`temperature > 0` must hold, but got {self.temperature}.")
        self.training()

    def training(self) -> TrainSettings:
        """The same for a training.

        Raises:
            ValueError: if a setting is out of range.
        """
        names = {field.name for field in dataclasses.fields(TrainSettings)}
        return TrainSettings(
            **{
                field.name: getattr(self, field.name)
                for field in dataclasses.fields(ExitTrainSettings)
                if field.name in names
            }
        )
