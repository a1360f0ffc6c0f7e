"""What a training minimises, records, and is judged by. Start with `Objective`.

Shape suffixes: B batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor, nn

from evaluation.accuracy import classification
from evaluation.batches import ImageBatches

Scores = tuple[Tensor, ...]
"""Of shape (B, K) each, one for each classifier that is trained or learnt from."""


@dataclass(frozen=True, eq=False)
class Targets:
    """The labels of a batch, of which `share` has its own and the rest its partner's."""

    labels_B: Tensor
    partner_labels_B: Tensor
    share: float
    """1 where images are not mixed."""


class Objective(Protocol):
    """What a training minimises, records, and is judged by."""

    def scores(self, network: nn.Module, x_BCHW: Tensor) -> Scores:
        """Scores that the loss is made of, in the number format of the training."""

    def loss(self, scores: Scores, targets: Targets) -> tuple[Tensor, Tensor]:
        """What is minimised, and a mean cross-entropy in nats that is recorded, and tells whether training diverged."""

    def accuracy(self, network: nn.Module, images: ImageBatches) -> float:
        """Accuracy, in [0, 1], that an epoch is reported with; sets evaluation mode."""


@dataclass(frozen=True)
class Classification:
    """Smoothed cross-entropy of a network's scores; implements `Objective`."""

    label_smoothing: float

    def scores(self, network: nn.Module, x_BCHW: Tensor) -> Scores:
        """See `Objective.scores`."""
        return (network(x_BCHW),)

    def loss(self, scores: Scores, targets: Targets) -> tuple[Tensor, Tensor]:
        """See `Objective.loss`."""
        (logits_BK,) = scores
        loss = mixed_cross_entropy(logits_BK.float(), targets, self.label_smoothing)
        return loss, loss

    def accuracy(self, network: nn.Module, images: ImageBatches) -> float:
        """See `Objective.accuracy`."""
        error, _ = classification(network, images)
        return 1 - error


def mixed_cross_entropy(logits_BK: Tensor, targets: Targets, label_smoothing: float) -> Tensor:
    """Mean cross-entropy, in nats, of images of which `share` has one label and the rest another.

    It is that of the mixed target of `mixup`, in which cross-entropy is linear.
    """
    loss = F.cross_entropy(logits_BK, targets.labels_B, label_smoothing=label_smoothing)
    if targets.share == 1:
        return loss
    other = F.cross_entropy(logits_BK, targets.partner_labels_B, label_smoothing=label_smoothing)
    return targets.share * loss + (1 - targets.share) * other
