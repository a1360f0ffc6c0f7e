"""What is done at random to whole batches of training images, after their augmentation: cutout and mixup.

Start with `drawn_mix`. Shape suffixes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dnas.batches import on_device
from evaluation.training.config import TrainSettings


@dataclass(frozen=True, eq=False)
class DrawnMix:
    """What chance decides of a batch; None for what is not done to it."""

    corner_B2: npt.NDArray[np.int64] | None
    """Row and column of the upper left corner of each image's cut-out square."""
    partner_B: npt.NDArray[np.int64] | None
    """Number of the image that each is mixed with."""
    share: float
    """Of the image itself in its mixture."""


@dataclass(frozen=True, eq=False)
class Mix:
    """The same, on the device of the images."""

    corner_B2: Tensor | None = None
    partner_B: Tensor | None = None
    share: float = 1.0


def drawn_mix(settings: TrainSettings, shape: tuple[int, int, int], rng: np.random.Generator) -> DrawnMix:
    """What chance decides of a batch of shape (B, H, W), as settings ask."""
    batch, height, width = shape
    corner_B2, partner_B, share = None, None, 1.0
    if side := settings.cutout:
        corner_B2 = np.stack([rng.integers(0, length - side + 1, size=batch) for length in (height, width)], 1)
    if settings.mixup:
        share, partner_B = float(rng.beta(settings.mixup, settings.mixup)), rng.permutation(batch)
    return DrawnMix(corner_B2, partner_B, share)


def mixes(drawn: Sequence[DrawnMix], device: torch.device) -> Iterator[Mix]:
    """What was drawn, copied to a device at once; all of them with the same settings."""
    corners, partners = (
        on_device([array for array in arrays if array is not None], device) if arrays[0] is not None else repeat(None)
        for arrays in ([one.corner_B2 for one in drawn], [one.partner_B for one in drawn])
    )
    return map(Mix, corners, partners, [one.share for one in drawn])


def mixed(x_BCHW: Tensor, mix: Mix, *, side: int) -> Tensor:
    """Images with squares of that side cut out, then mixed with their partners.

    Source: Zhang et al., "mixup" (ICLR 2018), equation 1 and section 3, with one share a batch as in the authors' code.
    """
    if mix.corner_B2 is not None:
        x_BCHW = cutout(x_BCHW, side, mix.corner_B2)
    if mix.partner_B is not None:
        x_BCHW = mix.share * x_BCHW + (1 - mix.share) * x_BCHW[mix.partner_B]
    return x_BCHW


def cutout(x_BCHW: Tensor, side: int, corner_B2: Tensor) -> Tensor:
    """Images with one square each set to zero, the mean colour of normalised images.

    Source: DeVries & Taylor, "Improved Regularization of CNNs with Cutout" (2017); unlike there, the square always
    lies within the image.
    """
    height, width = x_BCHW.shape[2:]
    below_BH = torch.arange(height, device=x_BCHW.device) - corner_B2[:, :1]
    right_BW = torch.arange(width, device=x_BCHW.device) - corner_B2[:, 1:]
    inside_BH, inside_BW = (below_BH >= 0) & (below_BH < side), (right_BW >= 0) & (right_BW < side)
    return x_BCHW.masked_fill((inside_BH[:, :, None] & inside_BW[:, None, :])[:, None], 0.0)
