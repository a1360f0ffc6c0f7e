from __future__ import annotations

import pytest

from benchmarks.supernets.comparison import accuracy_ratio, content_of, images_ratio, median_turn
from benchmarks.supernets.steps import Turn
from tests.benchmarks.supernets.conftest import RESULTS


def test_ratios_are_medians_over_rounds() -> None:
    assert images_ratio(RESULTS.weight_turns, "separate") == pytest.approx((10 + 15) / 2)
    assert images_ratio(RESULTS.theta_turns, "quick") == 2
    assert accuracy_ratio(RESULTS, "separate") == pytest.approx(3)
    assert median_turn(RESULTS.weight_turns["shared"]) == Turn(200.0, 100.0)


def test_content_has_medians_ratios_and_accuracies() -> None:
    content = content_of(RESULTS)
    assert content["times weight steps"] == {"separate": pytest.approx(12.5), "quick": pytest.approx(6.25)}
    assert content["times accuracy"] == {"separate": pytest.approx(3), "quick": pytest.approx(2)}
    accuracies = content["accuracy"]
    assert isinstance(accuracies, dict)
    assert [point["mean"] for point in accuracies["shared"]] == [0.2, 0.6]
