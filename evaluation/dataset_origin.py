"""Which images long work was made from, as its config.json has it. Importing this is quick."""

from __future__ import annotations

from dataclasses import dataclass, field

from evaluation.data.facts import DatasetFacts
from evaluation.data.rules import Resize, Rules


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
    resize: Resize = "crop"
    """How pictures were made square."""
    rules: Rules = 1
    """Version of the rules by which pictures became pixels and splits."""
    omitted: int = 0
    """Pictures that could not be read and were left out."""
    width: int | None = field(default=None, compare=False)
    """Median of the training pictures, in pixels; None where it is not known, and so is `height`."""
    height: int | None = field(default=None, compare=False)
    depth: tuple[float, float] | None = None
    """Levels that became black and white, of pictures of more than 8 bits a pixel; None where there are none."""
    facts: DatasetFacts | None = field(default=None, compare=False)
    """Which published splits there are, and how many images of each class; None in work of earlier versions."""
