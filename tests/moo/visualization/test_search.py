from __future__ import annotations

import numpy as np
import pytest

from dnas.inner_search import StepRecord, ThetaResult
from dnas.losses import Coefficients
from moo.storage.pareto import hypervolume
from moo.visualization.search import hypervolume_figure, hypervolume_history, theta_figure
from tests.moo.conftest import EntryOf

REFERENCE = (1.0, 10.0, 20.0)
MINUTES = {number: 2.5 * number + 1 for number in range(50)}


def test_the_history_of_hypervolume_is_that_of_each_prefix(entry_of: EntryOf) -> None:
    rng = np.random.default_rng(0)
    entries = [entry_of((0, 0, 0), *(float(value) for value in rng.random(3) * REFERENCE)) for _ in range(30)]
    history = hypervolume_history(entries, REFERENCE)
    points = np.array([(entry.error, entry.predicted_latency_ms, entry.predicted_energy_mj) for entry in entries])
    expected = [hypervolume(points[: count + 1], np.array(REFERENCE)) for count in range(30)]
    assert history == pytest.approx(expected)
    assert history == sorted(history)
    assert hypervolume_history([], REFERENCE) == []


@pytest.mark.parametrize("number", [1, 3, 50])
def test_hypervolume_is_that_of_the_archive_and_says_that_it_is_modelled(number: int, entry_of: EntryOf) -> None:
    entries = [entry_of((place % 3, 0, 0), 0.5 - place / 200, trial_id=place // 2) for place in range(number)]
    reference = (1.0, 2.0, 2.0)
    figure = hypervolume_figure(entries, reference, {place: place // 4 for place in range(number)}, MINUTES)
    axes = figure.axes[0]
    assert list(axes.lines[0].get_ydata()) == hypervolume_history(entries, reference)  # type: ignore[arg-type]
    assert "modelled" in axes.get_ylabel()
    assert any("reference point (error 100.0 %, 2.00 ms, 2.00 mJ)" in text.get_text() for text in figure.texts)


def test_hypervolume_grows_in_the_order_in_which_trials_ended(entry_of: EntryOf) -> None:
    entries = [entry_of((place, 0, 0), 0.5 - place / 10, trial_id=place) for place in range(3)]
    figure = hypervolume_figure(entries, (1.0, 2.0, 2.0), {0: 0, 1: 0, 2: 0}, {0: 3.0, 1: 1.0, 2: 2.0})
    line = figure.axes[1].lines[0]
    assert list(line.get_xdata()) == [1.0, 2.0, 3.0]  # type: ignore[arg-type]
    assert list(line.get_ydata()) == hypervolume_history([entries[1], entries[2], entries[0]], (1.0, 2.0, 2.0))  # type: ignore[arg-type]


def test_hypervolume_marks_where_generations_begin(entry_of: EntryOf) -> None:
    entries = [entry_of((place, 0, 0), 0.5, trial_id=place) for place in range(3)]
    figure = hypervolume_figure(entries, (1.0, 2.0, 2.0), {0: 0, 1: 0, 2: 1}, MINUTES)
    assert figure.axes[0].texts[0].get_text() == "2"
    assert figure.axes[0].lines[1].get_xdata()[0] == 2.5  # type: ignore[index]


def test_of_very_many_generations_some_are_marked(entry_of: EntryOf) -> None:
    entries = [entry_of((0, 0, 0), 0.5, trial_id=place) for place in range(300)]
    generations, minutes = {place: place // 3 for place in range(300)}, {place: float(place) for place in range(300)}
    axes = hypervolume_figure(entries, (1.0, 2.0, 2.0), generations, minutes).axes[0]
    numbers = [text.get_text() for text in axes.texts if text.get_text().isdigit()]
    assert numbers == [str(number) for number in range(5, 101, 5)]
    assert axes.lines[1].get_xdata()[0] == 3 * 4 + 0.5  # type: ignore[index]
    assert "1 of 5 is marked" in axes.get_legend().get_texts()[1].get_text()


def test_a_long_curve_has_the_points_where_it_rises(entry_of: EntryOf) -> None:
    errors = np.repeat([0.5, 0.4, 0.45, 0.2], 50)
    entries = [entry_of((0, 0, 0), float(error), trial_id=place) for place, error in enumerate(errors)]
    minutes = {place: float(place) for place in range(200)}
    figure = hypervolume_figure(entries, (1.0, 2.0, 2.0), dict.fromkeys(range(200), 0), minutes)
    history = hypervolume_history(entries, (1.0, 2.0, 2.0))
    for axes, first in zip(figure.axes, (1, 0), strict=True):
        x, y = np.asarray(axes.lines[0].get_data())
        assert (x - first).tolist() == [0, 50, 150, 199]
        places = np.searchsorted(x - first, np.arange(200), side="right") - 1
        assert y[places].tolist() == history


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_theta_is_shown_at_its_start_middle_and_end(steps: int) -> None:
    rng = np.random.default_rng(0)
    probs_TLO = rng.dirichlet(np.ones(3), (steps, 5)).astype(np.float32)
    records = tuple(StepRecord.of((2.0, 1.0, 0.5, 3.0 + step, 4.0, 1.0, 5.0)) for step in range(steps))
    theta = ThetaResult(np.log(probs_TLO[-1]), records, probs_TLO)
    figure = theta_figure(theta, ("k3_e1", "k3_e6", "skip"), trial_id=3, coefficients=Coefficients(0.1, 1.0, 0.2, 0.5))
    figure.draw_without_rendering()
    start, middle, end = (axes.images[0].get_array() for axes in figure.axes[:3])
    np.testing.assert_array_equal(start, probs_TLO[0])
    np.testing.assert_array_equal(middle, probs_TLO[(steps - 1) // 2])
    np.testing.assert_array_equal(end, probs_TLO[-1])
    latency = next(axes for axes in figure.axes if "expected latency" in axes.get_ylabel())
    assert list(latency.lines[0].get_ydata()) == [3.0 + step for step in range(steps)]  # type: ignore[arg-type]
    assert "modelled" in latency.get_ylabel()
