"""Which images long work was made from, as its config.json has it. Importing this is quick."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from evaluation.data.facts import DIGITS, DatasetFacts
from evaluation.data.rules import Resize, Rules
from search_space.boundary.reading import local_path

_HUB_NAME = re.compile(r"\w[\w.-]{0,95}(/\w[\w.-]{0,95})?", re.ASCII)


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


def hub_name(name: str | None) -> str | None:
    """The name of a data set on the Hugging Face hub, where it came from there; else None.

    Args:
        name: how a run names its data set; a local one by its absolute path, from which it was loaded.
    """
    if name is None or name == DIGITS or _HUB_NAME.fullmatch(name) is None or local_path(name).exists():
        return None
    return name


def hub_link(name: str) -> str:
    """The page of a data set on the hub."""
    return f"https://huggingface.co/datasets/{name}"
