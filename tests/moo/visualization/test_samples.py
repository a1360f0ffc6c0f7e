"""Images as they are beside what networks see."""

import numpy as np
import pytest
from PIL import Image

from moo.visualization.samples import Sample, samples_figure


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_each_image_is_beside_what_networks_see(count: int) -> None:
    samples = [
        Sample(
            f"{number} costs $5 & $6", Image.new("RGB", (800, 600), (number, 0, 0)), Image.new("RGB", (8, 8), "blue")
        )
        for number in range(count)
    ]
    figure = samples_figure(samples, size=8, said="800x600 -> 8x8")
    drawn = [axes for axes in figure.axes if axes.images]
    assert len(drawn) == 2 * count
    for number in range(count):
        original, seen = drawn[2 * number : 2 * number + 2]
        assert np.asarray(original.images[0].get_array()).shape == (300, 400, 3)
        assert (np.asarray(original.images[0].get_array())[..., 0] == number).all()
        assert np.asarray(seen.images[0].get_array()).shape == (8, 8, 3)
        assert original.get_title() == f"{number} costs $5 & $6"
    figure.canvas.draw()
