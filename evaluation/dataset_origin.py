"""Which images long work was made from, as its config.json has it. Importing this is quick."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetOrigin:
    """A data set, and the figures that normalise its images."""

    fingerprint: str
    """Hash of all images and labels in the order of the splits."""
    classes: tuple[str, ...]
    """Names of the classes, in the order of the logits."""
    mean: tuple[float, ...]
    """Mean of each channel over the weights split, of pixels in [0, 1]."""
    std: tuple[float, ...]
    """Standard deviation of each channel over the weights split."""
