"""What every exit of a network says of every image, so that any policy is judged without running it.

Array shapes: N images, E exits, X = E + 1 ways through the network, the last of which passes all exits; K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from search_space.exits import Exit


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ExitOutcomes:
    """Confidence and correctness of every exit, and of the network itself, on the images of a split."""

    exits: tuple[Exit, ...]
    """E of them, in order."""
    confidence_XN: npt.NDArray[np.float32]
    """The largest softmax of each exit, and last of the network."""
    correct_XN: npt.NDArray[np.bool_]
    """Whether the class with the highest score is the image's label."""
    cross_entropy_XN: npt.NDArray[np.float32]
    """In nats."""

    def __post_init__(self) -> None:
        shape = (len(self.exits) + 1, self.confidence_XN.shape[-1])
        for name in ("confidence_XN", "correct_XN", "cross_entropy_XN"):
            if getattr(self, name).shape != shape or not shape[1]:
                raise ValueError(
                    f"`{name}` must have the shape (exits + 1, images), here {shape}, but has "
                    f"{getattr(self, name).shape}."
                )

    @property
    def images(self) -> int:
        """N."""
        return int(self.confidence_XN.shape[1])

    @property
    def static_error(self) -> float:
        """Error of the network itself, in [0, 1]."""
        return 1 - float(self.correct_XN[-1].mean())

    def of(self, plan: Sequence[int]) -> ExitOutcomes:
        """Those of some of the exits, by their places in `exits`, and of the network."""
        rows = [*plan, len(self.exits)]
        return ExitOutcomes(
            exits=tuple(self.exits[place] for place in plan),
            confidence_XN=self.confidence_XN[rows],
            correct_XN=self.correct_XN[rows],
            cross_entropy_XN=self.cross_entropy_XN[rows],
        )


def outcomes_of(
    exits: Sequence[Exit], logits_XNK: npt.NDArray[np.float32], labels_N: npt.NDArray[np.int64]
) -> ExitOutcomes:
    """What comes of scores.

    Args:
        exits: E of them, in order.
        logits_XNK: scores of each exit and last of the network.
        labels_N: class of each image.
    """
    highest_XN1 = logits_XNK.max(-1, keepdims=True)
    log_sum_XN = np.log(np.exp(logits_XNK - highest_XN1).sum(-1))
    own_XN = logits_XNK[:, np.arange(len(labels_N)), labels_N] - highest_XN1[..., 0]
    return ExitOutcomes(
        exits=tuple(exits),
        confidence_XN=np.exp(-log_sum_XN).astype(np.float32),
        correct_XN=logits_XNK.argmax(-1) == labels_N,
        cross_entropy_XN=(log_sum_XN - own_XN).astype(np.float32),
    )
