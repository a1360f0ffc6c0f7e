"""Training that has diverged: how it is noticed, and what is tried then."""

from __future__ import annotations

import math
from dataclasses import dataclass

MOST_RESTARTS = 4
"""Times that one training goes back, each time to go on with half the learning rate."""
LR_FACTOR = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Divergence:
    """An epoch that diverged, so that training goes back to where it was good."""

    epoch: int
    """Number of the epoch, from 1."""
    loss: float
    """Its mean training loss, in nats; may be infinite or no number."""
    guessing: float
    """Loss of one who guesses: all classes with the same probability."""
    lr: float | None
    """Peak learning rate with which training goes on; None where it does not, as it went back often enough."""

    def __str__(self) -> str:
        said = f"diverged in epoch {self.epoch} (loss {self.loss:.1f}; guessing has {self.guessing:.2f})"
        return f"{said}: {'given up' if self.lr is None else f'again with a learning rate of {self.lr:.3g}'}"


def divergence(loss: float, *, epoch: int, classes: int, lr: float, restarts: int, warm: bool) -> Divergence | None:
    """What is wrong with an epoch, if anything is.

    Args:
        loss: its mean training loss, in nats.
        epoch: its number, from 1.
        classes: of the images.
        lr: peak learning rate that it was done with.
        restarts: epochs that were done again before.
        warm: whether the warm-up of the learning rate is over; losses are high before.

    Returns:
        None for a loss that is finite and not far above that of guessing, or no longer worth a restart.
    """
    guessing = math.log(classes)
    finite = math.isfinite(loss)
    if finite and not (warm and loss > 1.25 * guessing + 0.25):
        return None
    if restarts < MOST_RESTARTS:
        return Divergence(epoch=epoch, loss=loss, guessing=guessing, lr=LR_FACTOR * lr)
    return None if finite else Divergence(epoch=epoch, loss=loss, guessing=guessing, lr=None)
