"""Which coefficients give which network."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from dnas.losses import Coefficients
from moo.visualization.coefficients import MOST_NUMBERS, MOST_RINGS, TrialPoint, coefficients_figure
from moo.visualization.style import ORDERED_COLOURS
from tests.moo.conftest import costs_of

MODELLED = costs_of(2.0, 8.0, "modelled", "modelled")
POINTS = [
    TrialPoint(
        trial_id=0, coefficients=Coefficients(0.1, 1.0, 0.2, 0.5), network="slow", error=0.1,
        costs=costs_of(3.0, 9.0, "measured", "modelled"), on_front=True,
    ),
    TrialPoint(
        trial_id=1, coefficients=Coefficients(1.0, 0.5, 0.02, 1.5), network="quick", error=0.3,
        costs=costs_of(1.0, 4.0, "modelled", "modelled"), on_front=True,
    ),
    TrialPoint(
        trial_id=2, coefficients=Coefficients(0.5, 0.7, 0.05, 1.0), network="worse", error=0.4,
        costs=MODELLED, on_front=False,
    ),
]  # fmt: skip
"""Energy follows latency."""


def panels_of(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.get_xlabel() and axes.get_ylabel()]


def drawn_in(axes: Axes) -> dict[tuple[float, float], tuple[PathCollection, int]]:
    return {
        (float(x), float(y)): (collection, index)
        for collection in axes.collections
        if isinstance(collection, PathCollection)
        for index, (x, y) in enumerate(np.asarray(collection.get_offsets()))
    }


def colour_of(collection: PathCollection, index: int, *, filled: bool) -> npt.NDArray[np.float64]:
    colours = np.asarray(collection.get_facecolors() if filled else collection.get_edgecolors())  # type: ignore[attr-defined]
    return np.asarray(colours[min(index, len(colours) - 1)][:3], np.float64)


def texts_of(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_each_panel_has_every_trial() -> None:
    alpha_beta, gamma_delta, latency_error = panels_of(coefficients_figure(POINTS))
    assert set(drawn_in(alpha_beta)) == {(0.1, 1.0), (1.0, 0.5), (0.5, 0.7)}
    assert set(drawn_in(gamma_delta)) == {(0.2, 0.5), (0.02, 1.5), (0.05, 1.0)}
    assert set(drawn_in(latency_error)) == {(3.0, 10.0), (1.0, 30.0), (2.0, 40.0)}


def test_a_trial_has_one_colour_and_one_number_in_all_panels() -> None:
    panels = panels_of(coefficients_figure(POINTS))
    for places in (((0.1, 1.0), (0.2, 0.5), (3.0, 10.0)), ((1.0, 0.5), (0.02, 1.5), (1.0, 30.0))):
        colours = [colour_of(*drawn_in(axes)[place], filled=True) for axes, place in zip(panels, places, strict=True)]
        assert all(np.array_equal(colour, colours[0]) for colour in colours)
    for axes in panels:
        numbered = {text.get_text(): text.xy for text in axes.texts}  # type: ignore[attr-defined]
        assert set(numbered) == {"1", "2"}
        assert set(numbered.values()) <= set(drawn_in(axes))
    assert {text.get_text(): text.xy for text in panels[2].texts} == {"1": (1.0, 30.0), "2": (3.0, 10.0)}  # type: ignore[attr-defined]


def test_networks_of_the_front_are_filled_and_others_hollow() -> None:
    for axes in panels_of(coefficients_figure(POINTS)):
        drawn = drawn_in(axes)
        filled = [len(np.asarray(collection.get_facecolors())) > 0 for collection, _ in drawn.values()]  # type: ignore[attr-defined]
        assert sorted(filled) == [False, True, True]


def test_a_trial_that_gave_several_networks_of_the_front_has_all_their_numbers() -> None:
    twin = replace(POINTS[1], network="middle", error=0.2, costs=MODELLED)
    alpha_beta, gamma_delta, latency_error = panels_of(coefficients_figure([*POINTS, twin]))
    assert sorted(texts_of(alpha_beta)) == sorted(texts_of(gamma_delta)) == ["1, 2", "3"]
    assert sorted(texts_of(latency_error)) == ["1", "2", "3"]


def test_energy_has_a_panel_where_it_does_not_follow_latency() -> None:
    assert len(panels_of(coefficients_figure(POINTS))) == 3
    frugal = replace(POINTS[0], costs=costs_of(3.0, 1.0, "measured", "modelled"))
    panels = panels_of(coefficients_figure([frugal, *POINTS[1:]]))
    assert set(drawn_in(panels[3])) == {(1.0, 10.0), (4.0, 30.0), (8.0, 40.0)}


def test_labels_and_legend_name_the_sources() -> None:
    figure = coefficients_figure(POINTS)
    assert [axes.get_xlabel() for axes in panels_of(figure)][2] == "latency (ms, measured and modelled)"
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["on the front", "not on the front", "measured", "modelled"]
    measured = [replace(point, costs=costs_of(2.0, 4.0, "measured", "modelled")) for point in POINTS]
    legend = [text.get_text() for text in coefficients_figure(measured).legends[0].get_texts()]
    assert legend == ["on the front", "not on the front", "measured"], "no energy is drawn"


def test_the_panels_stand_one_above_the_other_in_a_picture_as_narrow_as_a_phone_wants() -> None:
    figure = coefficients_figure(POINTS)
    figure.draw_without_rendering()
    boxes = [axes.get_position() for axes in panels_of(figure)]
    assert all(upper.y0 > lower.y1 for upper, lower in pairwise(boxes))
    assert figure.get_figwidth() <= 6.5


def test_a_large_front_is_numbered_in_part() -> None:
    points = [
        replace(POINTS[0], trial_id=place, network=str(place), error=0.5 - place / 100,
                costs=costs_of(1.0 + place, 2.0 + place, "modelled", "modelled"),
                coefficients=Coefficients(0.1 + place, 1.0, 0.2, 0.5))
        for place in range(40)
    ]  # fmt: skip
    figure = coefficients_figure(points)
    assert texts_of(panels_of(figure)[2]) == [str(1 + 3 * place) for place in range(14)]
    assert len(texts_of(panels_of(figure)[2])) <= MOST_NUMBERS
    assert any("1 of 3 is written" in " ".join(text.get_text().split()) for text in figure.texts)


def test_of_very_many_trials_some_are_drawn_in_the_colours_that_they_have_among_all() -> None:
    ring = POINTS[2]
    many = [
        replace(ring, trial_id=3 + place, coefficients=Coefficients(0.2 + place / 1e4, 1.0, 0.1, 1.0),
                costs=costs_of(1.0 + place / 1e3, 2.0, "modelled", "modelled"))
        for place in range(MOST_RINGS + 100)
    ]  # fmt: skip
    figure = coefficients_figure([*POINTS, *many])
    panel = panels_of(figure)[2]
    drawn = drawn_in(panel)
    assert len(drawn) == 2 + MOST_RINGS
    assert {(3.0, 10.0), (1.0, 30.0), (2.0, 40.0)} <= set(drawn)
    assert {x for x, _ in drawn} >= {1.0, max(point.costs.latency_ms for point in many)}
    said = " ".join(" ".join(text.get_text().split()) for text in figure.texts)
    assert f"{MOST_RINGS + 103} trials" in said
    assert f"Of {MOST_RINGS + 101} trials without a network on the front {MOST_RINGS} are drawn." in said
    # The slowest of all is of the last colour, the quickest of the first, as without leaving any out.
    for place, rank in (((3.0, 10.0), 1.0), ((1.0, 30.0), 0.0)):
        assert colour_of(*drawn[place], filled=True) == pytest.approx(ORDERED_COLOURS(rank)[:3])


def test_a_weight_of_0_has_a_place() -> None:
    off: Any = SimpleNamespace(alpha=0.0, beta=1.0, gamma=0.1, delta=1.0)
    figure = coefficients_figure([*POINTS, replace(POINTS[2], coefficients=off)])
    figure.draw_without_rendering()
    axes = panels_of(figure)[0]
    assert (0.0, 1.0) in drawn_in(axes)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "0.1", "1"]
    without = [replace(point, coefficients=off) for point in POINTS]
    assert panels_of(coefficients_figure(without))[0].get_xscale() == "linear"


@pytest.mark.parametrize("on_front", [True, False])
def test_one_trial_can_be_drawn(*, on_front: bool) -> None:
    figure = coefficients_figure([replace(POINTS[0], on_front=on_front)])
    figure.draw_without_rendering()
    assert [texts_of(axes) for axes in panels_of(figure)] == [["1"] * on_front] * 3
