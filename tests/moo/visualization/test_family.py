from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.text import Text

from devices.configuration import RuntimeConfiguration, configurations_of
from devices.profiling.family import FamilyProfile, profile_family
from devices.replay import ReplayDevice
from moo.visualization.family import family_figure
from search_space.spaces import space_named

SPACE = space_named("fbnet-micro")


def latency_ms(model: bytes, configuration: RuntimeConfiguration) -> float:
    """The larger a model, the more it gains from threads and loses by a low clock."""
    slower = 0.7 * 1500 / (configuration.frequency_mhz or 1500) + 0.3
    gain = math.sqrt(configuration.threads) * (2.0 if configuration.precision == "int8" else 1.0)
    return (0.2 + len(model) / 1e4 / gain) * slower


def family_of(threads: Any, clocks: Any) -> FamilyProfile:
    configurations = configurations_of(threads, clocks, ("fp32", "int8"))
    return profile_family(ReplayDevice(latency_ms, cores=4), SPACE, configurations, passes=1, networks=12)


def drawn(family: FamilyProfile) -> Any:
    figure = family_figure(family, SPACE)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    return figure, canvas.get_renderer()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("threads", "clocks", "panels"),
    [((1, 4), (None,), 4), ((1, 2, 4), (1500, 1000, 600), 12), ((1,), (1500, 600), 4)],
)
def test_each_measured_configuration_has_a_panel_and_nothing_is_cut(threads: Any, clocks: Any, panels: int) -> None:
    family = family_of(threads, clocks)
    figure, renderer = drawn(family)
    assert len(figure.axes) == panels + 1
    everything, page = figure.get_tightbbox(renderer), figure.get_size_inches()
    assert min(everything.x0, everything.y0) >= 0
    assert everything.x1 <= page[0]
    assert everything.y1 <= page[1]
    boxes = [axes.get_tightbbox(renderer) for axes in figure.axes]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_the_points_are_the_networks_and_the_titles_their_errors() -> None:
    family = family_of((1, 4), (1500, 1000, 600))
    figure, _ = drawn(family)
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes[:-1]}
    for member in family.members:
        if not len(member.measurements):
            continue
        assert member.table.error is not None
        threads = "1 thread" if member.configuration.threads == 1 else "4 threads"
        title = (
            f"{threads}, {member.configuration.precision}, {member.configuration.frequency_mhz} MHz\n"
            f"{len(member.measurements)} networks, error {100 * member.table.error.mean_relative:.1f} %"
        )
        (points,) = (item for item in panels[title].collections if isinstance(item, PathCollection))
        measured = [measurement.latency_ms for measurement in member.measurements]
        np.testing.assert_allclose(np.asarray(points.get_offsets()), np.column_stack([measured, member.predicted_ms_N]))


def test_all_configurations_stand_below_by_what_they_cost() -> None:
    family = family_of((1, 4), (1500, 1000, 600))
    figure, _ = drawn(family)
    below = figure.axes[-1]
    shown = np.concatenate([item.get_offsets() for item in below.collections])
    expected = []
    for table in family.tables:
        networks = np.random.default_rng(0).integers(len(SPACE.operators), size=(4000, SPACE.num_layers)).tolist()
        costs = [(table.latency_of(indices), table.energy_of(indices)) for indices in networks]
        expected.append(np.mean(costs, axis=0))
    np.testing.assert_allclose(np.sort(shown, axis=0), np.sort(expected, axis=0), rtol=0.02)
    clocks = [text.get_text() for text in below.findobj(Text) if text.get_text() in ("1500", "1000", "600")]
    assert sorted(clocks) == sorted(["1500", "1000", "600"] * 4)
    labels = [text.get_text() for text in below.get_legend().get_texts()]
    assert labels == ["1 thread, fp32", "4 threads, fp32", "1 thread, int8", "4 threads, int8", "numbers: clock in MHz"]


def test_it_says_where_figures_come_from() -> None:
    figure, _ = drawn(family_of((1, 4), (1500, 1000, 600)))
    text = "\n".join(item.get_text() for item in figure.findobj(Text))
    assert "replay (no board), none, fbnet-micro" in text
    assert "4 configurations at clocks in between follow from the clock law" in text
    assert "latency (ms, modelled)" in text
    assert "energy above idle (mJ, modelled ± 100 %)" in text
