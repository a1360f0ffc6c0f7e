from __future__ import annotations

import io
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.text import Text
from PIL import Image

from devices.measurement import Board
from devices.profiling.profile import profile
from devices.replay import ReplayDevice
from moo.visualization.profile import profile_figure
from moo.visualization.style import DPI
from search_space.spaces import FBNetSpace, space_named


class LongNamedDevice(ReplayDevice):
    """A board with a long name; latencies depend on the model's size alone."""

    def __init__(self, factor: float = 1.0, *, offset_ms: float = 0.1) -> None:
        super().__init__(lambda model: factor * (offset_ms + len(model) / 1e4))

    def describe(self) -> Any:
        model = "Raspberry Pi Compute Module 4 Rev 1.1"
        return Board(
            name="ssh://measurer@raspberrypi-in-the-cellar.local:2222",
            model=model,
            os="Linux",
            runtime="ONNX Runtime 1.23.2",
            clock_mhz=None,
        )


def drawn(figure: Any) -> Any:
    """The figure, laid out as in its PNG, with what is needed to ask for sizes."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    return canvas.get_renderer()  # type: ignore[no-untyped-call]


def texts_of(figure: Any) -> Any:
    return [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]


@pytest.mark.parametrize(("name", "factor"), [("fbnet-micro", 1.0), ("fbnet-cifar", 100.0), ("tiny", 1e-3)])
def test_nothing_is_cut_or_hidden(space: FBNetSpace, name: str, factor: float) -> None:
    space = space if name == "tiny" else space_named(name)
    figure = profile_figure(profile(LongNamedDevice(factor), space, networks=6), space)
    renderer = drawn(figure)
    everything, page = figure.get_tightbbox(renderer), figure.get_size_inches()
    assert min(everything.x0, everything.y0) >= 0
    assert everything.x1 <= page[0]
    assert everything.y1 <= page[1]

    left, right = figure.axes[:2]
    assert len(right.texts) == space.num_layers * len(space.operators)
    cell = right.bbox.width / len(space.operators), right.bbox.height / space.num_layers
    for text in right.texts:
        box = text.get_window_extent(renderer)
        assert box.width < cell[0]
        assert box.height < cell[1]
    legend = left.get_legend().get_window_extent(renderer)
    assert legend.y0 >= left.bbox.y1 - 1
    assert legend.x1 <= right.get_tightbbox(renderer).x0
    labels = [label.get_window_extent(renderer) for label in right.get_yticklabels()]
    assert not any(upper.overlaps(lower) for upper, lower in pairwise(labels))


def test_the_points_are_the_networks(space: FBNetSpace) -> None:
    found = profile(LongNamedDevice(), space, networks=6)
    left, right = profile_figure(found, space).axes[:2]
    alone, calibrated = (item for item in left.collections if isinstance(item, PathCollection))
    measured = [measurement.latency_ms for measurement in found.measurements]
    np.testing.assert_allclose(calibrated.get_offsets(), np.column_stack([measured, found.predicted_ms_N]))  # type: ignore[arg-type]
    summed = [found.operator_wise.latency_of(indices) for indices in found.networks_NL.tolist()]
    np.testing.assert_allclose(alone.get_offsets(), np.column_stack([measured, summed]))  # type: ignore[arg-type]
    np.testing.assert_allclose(right.images[0].get_array(), found.table.latency_ms)  # type: ignore[arg-type]
    assert [label.get_text() for label in right.get_xticklabels()] == list(space.operators)
    assert [label.get_text() for label in right.get_yticklabels()] == [
        "8 to 8, 8 px", "8 to 16, 8 px", "16 to 16, 4 px",
    ]  # fmt: skip


def test_it_says_what_was_measured_how_and_how_well(space: FBNetSpace) -> None:
    found = profile(LongNamedDevice(), space, networks=6)
    board = replace(found, measurements=tuple(replace(m, latency_source="measured") for m in found.measurements))
    for given, source in ((found, "modelled"), (board, "measured")):
        figure = profile_figure(given, space)
        text = "\n".join(item.get_text() for item in texts_of(figure))
        assert f"latency of whole networks (ms, {source})" in text
        assert "latency predicted (ms, modelled)" in text
        assert "latency of the operator (ms, modelled)" in text
        assert "Raspberry Pi Compute Module 4 Rev 1.1), ONNX Runtime 1.23.2, 1 thread(s), fp32" in text
        assert f"6 networks of tiny: mean error {100 * found.table.error.mean_relative:.1f} %" in text


@pytest.mark.parametrize("offset_ms", [0.0, 100.0])
def test_axes_have_several_ticks_however_narrow_the_range(space: FBNetSpace, offset_ms: float) -> None:
    figure = profile_figure(profile(LongNamedDevice(offset_ms=offset_ms), space, networks=6), space)
    drawn(figure)
    for axis in (figure.axes[0].xaxis, figure.axes[0].yaxis):
        low, high = axis.get_view_interval()
        inside = [place for place in axis.get_majorticklocs() if low <= place <= high]
        assert len(inside) >= 2


def test_it_is_written_as_a_png(space: FBNetSpace) -> None:
    figure, content = profile_figure(profile(LongNamedDevice(), space, networks=3), space), io.BytesIO()
    figure.savefig(content, format="png")
    with Image.open(content) as picture:
        assert picture.size == tuple(round(DPI * inches) for inches in figure.get_size_inches())
        assert len(picture.convert("RGB").getcolors(10**7)) > 50
