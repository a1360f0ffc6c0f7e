"""Random images, for timing what does not depend on what images show."""

from __future__ import annotations

import numpy as np

from evaluation.data.images import ImageData, LabelledImages
from search_space.spaces import FBNetSpace


def random_images(space: FBNetSpace, count: int, seed: int) -> ImageData:
    """Uniformly random colour images with random labels, in the shape and with the classes of a space."""
    rng = np.random.default_rng(seed)
    pixels_NCHW = rng.integers(0, 256, size=(count, *space.input_shape), dtype=np.uint8)
    images = LabelledImages(pixels_NCHW, rng.integers(0, space.classes, size=count))
    names = tuple(map(str, range(space.classes)))
    return ImageData(name="noise", train=images, test=None, class_names=names, grey=False)
