"""The rules by which pictures become images and splits, as work keeps them. Importing this is quick."""

from __future__ import annotations

from typing import Literal

Resize = Literal["crop", "pad", "stretch"]
"""How a picture becomes square: its central square (`crop`), the whole picture between grey bars (`pad`), or the whole
picture in a square, out of proportion (`stretch`)."""

Rules = Literal[1, 2, 3]
"""Version 1, of earlier work, kept for it: pixels as they are stored, transparency dropped, splits by one permutation
of all images. Version 2: pictures upright by their EXIF orientation, transparent ones on white, large JPEG files
decoded at a fraction of their size, splits with each class's share. Version 3: pictures of more than 8 bits a pixel on
one scale for the whole data set, where each had its own."""

LATEST_RULES: Rules = 3

KEPT_BY_CROP = 0.9
"""Share of a picture that its central square must keep to be taken by default."""
MOST_STRETCHED = 2.0
"""Longer side through the shorter one, up to which whole pictures are stretched by default."""
MIXED = 0.1
"""Share of pictures that must stand, and that must lie, for both to count as occurring."""


def default_resize(*, aspect: float, portrait: float, landscape: float) -> Resize:
    """What loses least: the central square where it is nearly all, else the whole picture.

    Args:
        aspect: median of the longer side through the shorter one.
        portrait: share of the pictures that are higher than wide.
        landscape: share of the pictures that are wider than high.
    """
    if 1 / aspect >= KEPT_BY_CROP:
        return "crop"
    # Stretched, a thing would look different in pictures that stand and in those that lie.
    return "pad" if aspect > MOST_STRETCHED or min(portrait, landscape) >= MIXED else "stretch"
