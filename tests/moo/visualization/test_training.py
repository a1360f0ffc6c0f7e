from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.text import Text

from evaluation.training.loop import TrainRecord
from moo.analysis.rank_correlation import RankCorrelation
from moo.visualization.training import points_lost, precision_figure, ranking_figure, training_curves
from tests.moo.conftest import EntryOf, MeasurementOf, TrainedOf


@pytest.fixture
def entries(entry_of: EntryOf, trained_of: TrainedOf) -> Any:
    made = [entry_of((place, 0, 0), 0.4 + place / 10, position=place) for place in range(3)]
    return [replace(entry, trained=trained_of("x", error=0.1 + i / 50)) for i, entry in enumerate(made)]


def offsets_in(axes: Any) -> Any:
    markers = [collection for collection in axes.collections if isinstance(collection, PathCollection)]
    return sorted(tuple(float(value) for value in offset) for marker in markers for offset in marker.get_offsets())  # type: ignore[arg-type]


def test_each_trained_network_is_a_point_below_the_line_of_equal_error(entries: Any, entry_of: EntryOf) -> None:
    figure = ranking_figure([*entries, entry_of((2, 2, 2))], RankCorrelation(0.5, 0.1, 0.8, 3))
    figure.draw_without_rendering()
    axes = figure.axes[0]
    np.testing.assert_allclose(offsets_in(axes), [(40, 10), (50, 12), (60, 14)])
    assert "3 trained networks" in figure.texts[1].get_text()
    assert "Kendall's tau 0.50, 95 % interval 0.10 to 0.80" in figure.texts[1].get_text()
    assert axes.get_ylim()[1] > axes.get_xlim()[0], "the line of equal error is in sight"


def test_few_networks_have_no_correlation(entries: Any) -> None:
    figure = ranking_figure(entries[:1], None)
    figure.draw_without_rendering()
    assert "no rank correlation" in figure.texts[1].get_text()


def test_a_balanced_error_is_called_so(entries: Any, trained_of: TrainedOf) -> None:
    figures = [ranking_figure(entries, None, kind="balanced"), precision_figure([trained_of("a")], kind="balanced")]
    for figure in figures:
        words = [text.get_text() for text in figure.findobj(Text)]
        assert any("balanced" in word for word in words)
        assert not [word for word in words if word.startswith("error ")]


def test_a_mixture_of_recipes_is_said(entries: Any) -> None:
    mixed = [replace(entries[0], trained=replace(entries[0].trained, epochs=30.0)), *entries[1:]]
    subtitle = ranking_figure(mixed, RankCorrelation(0.5, 0.1, 0.8, 2)).texts[1].get_text()
    assert "over the 2 trained alike" in subtitle
    assert "Not all were trained alike (2 for 3 epochs from random weights, 1 for 30 epochs" in subtitle.replace(
        "\n", " "
    )
    assert "alike" not in ranking_figure(entries, RankCorrelation(0.5, 0.1, 0.8, 3)).texts[1].get_text()


def test_fine_tuned_networks_have_a_marker_of_their_own(entries: Any) -> None:
    mixed = [replace(entries[0], trained=replace(entries[0].trained, fine_tuned=True)), *entries[1:]]
    texts = [text.get_text() for text in ranking_figure(mixed, None).axes[0].get_legend().get_texts()]
    assert texts == ["trained from random weights", "fine-tuned", "equal error"]


def test_measured_files_are_joined_and_the_others_are_bars(
    trained_of: TrainedOf, measurement_of: MeasurementOf
) -> None:
    floats, integers = trained_of("a", error=0.2, measurement=measurement_of(2.0)).files
    measured = replace(trained_of("a"), files=(floats, replace(integers, measurement=measurement_of(1.0))))
    figure = precision_figure([measured, trained_of("b", error=0.3)])
    figure.draw_without_rendering()
    left, right = figure.axes
    np.testing.assert_allclose(offsets_in(left), [(1, 21), (2, 20)])
    assert [text.get_text() for text in left.get_legend().get_texts()][:2] == [
        "fp32, latency measured",
        "int8, latency measured",
    ]
    assert [bar.get_width() for bar in right.patches] == [pytest.approx(1.0)]  # type: ignore[attr-defined]
    assert [label.get_text() for label in right.get_yticklabels()] == ["b"]
    assert "2 trained networks" in figure.texts[1].get_text()
    assert "1.00 points in the median" in figure.texts[1].get_text()
    assert len(precision_figure([measured]).axes) == 1


def test_points_lost_are_those_between_the_two_files(trained_of: TrainedOf) -> None:
    network = trained_of("a")
    assert points_lost(network) == pytest.approx(1.0)
    assert points_lost(replace(network, files=network.files[:1])) is None


def test_networks_without_both_files_cannot_be_compared(trained_of: TrainedOf) -> None:
    network = trained_of("a")
    with pytest.raises(ValueError, match="must have an fp32 and an int8 file to be drawn, but none of 1 has"):
        precision_figure([replace(network, files=())])


@pytest.mark.parametrize("epochs", [1, 3, 40])
def test_both_curves_show_every_epoch(epochs: int) -> None:
    records = [TrainRecord(number, 2 / number, 1 - 1 / (number + 1), 0.1) for number in range(1, epochs + 1)]
    figure = training_curves(records, "some network", "some data")
    loss, accuracy = figure.axes
    for axes in (loss, accuracy):
        assert list(axes.lines[0].get_xdata()) == list(range(1, epochs + 1))  # type: ignore[arg-type]
    assert list(loss.lines[0].get_ydata()) == [record.loss for record in records]  # type: ignore[arg-type]
    assert list(accuracy.lines[0].get_ydata()) == [100 * record.accuracy for record in records]  # type: ignore[arg-type]
    assert {text.get_text() for text in figure.texts} == {"some network", "some data"}
    assert "nats" in loss.get_ylabel()
    assert "%" in accuracy.get_ylabel()


@pytest.mark.parametrize("name", ["$\\frac{$", "$x$", "a\x1b[2J\nb"])
def test_names_of_networks_are_no_mathematics(trained_of: TrainedOf, name: str) -> None:
    network = replace(trained_of("000"), name=name)
    assert network.name.isprintable()
    precision_figure([network]).draw_without_rendering()
