"""Where a pre-trained network's weights are from, and what they expect. Importing this is quick."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Pretrained:
    """Where a network's first weights are from, and the images that it takes."""

    source: str
    """Of the weights, as a reader should know it."""
    input_size: int
    """Height and width in pixels."""
    mean: tuple[float, ...]
    """Of each channel, that is subtracted from pixels in [0, 1]."""
    std: tuple[float, ...]
    """Of each channel, that they are divided by then."""
