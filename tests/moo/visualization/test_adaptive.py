"""Pictures of made-up networks with early exits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure
from PIL import Image

from devices.configuration import BASE, RuntimeConfiguration, configurations_of
from moo.analysis.adaptation import AdaptiveResults
from moo.storage.adaptive_front import AdaptivePoint
from moo.visualization.adaptive import (
    MOST_BARS,
    MOST_NETWORKS,
    ORACLE,
    adaptive_clocks_figure,
    adaptive_fronts_figure,
    oracle_figure,
    policy_over_clocks,
    shares_figure,
)
from moo.visualization.style import save_figure
from tests.moo.adaptive_points import adaptive_point, random_points, static_point

QUICK = RuntimeConfiguration(threads=4)
CLOCKS = configurations_of((1, 4), (1500, 2400))


def results_of(points: list[AdaptivePoint], static: list[AdaptivePoint]) -> AdaptiveResults:
    return AdaptiveResults(front=(*points, *static), points=tuple(points), static=tuple(static), is_whole=True)


def legend_of(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def drawn_in(axes: Axes) -> set[tuple[float, float]]:
    return {
        (round(float(x), 6), round(float(y), 6))
        for collection in axes.collections
        if isinstance(collection, PathCollection)
        for x, y in np.asarray(collection.get_offsets())
    }


def is_drawn(figure: Figure, path: Path) -> bool:
    save_figure(figure, path)
    with Image.open(path) as picture:
        return min(picture.size) > 250 and len(picture.convert("L").getcolors()) > 10


def test_fronts_are_those_of_each_plane_and_lines_lead_to_the_worst_case() -> None:
    points = [
        adaptive_point(0.2, 4.0, 9.0, worst_latency_ms=6.5),
        adaptive_point(0.3, 5.0, 4.0, worst_latency_ms=7.0),
        adaptive_point(0.2, 2.0, 8.0, configuration=QUICK, worst_latency_ms=3.0),
    ]
    static = [static_point(0.2, 6.0, 12.0), static_point(0.2, 3.0, 14.0, configuration=QUICK)]
    figure = adaptive_fronts_figure(results_of(points, static))
    left, right = figure.axes
    assert drawn_in(left) == {(6, 20), (4, 20), (3, 20), (2, 20)}, "the point of 5 ms is worse in both"
    assert drawn_in(right) == {(12, 20), (9, 20), (4, 30), (8, 20)}
    segments = [
        tuple(map(tuple, segment))
        for lines in left.collections
        if isinstance(lines, LineCollection)
        for segment in lines.get_segments()
    ]
    assert ((4, 20), (6.5, 20)) in segments
    assert ((2, 20), (3, 20)) in segments
    names = ["static, 1t fp32", "exits, 1t fp32", "static, all configurations", "exits, all configurations"]
    assert legend_of(figure) == [*names, "to its worst case", "modelled"]
    assert left.get_xlabel() == "expected latency (ms, modelled)"
    assert right.get_xlabel() == "expected energy above idle (mJ, modelled ± 25 %)"


def test_of_one_configuration_there_are_two_fronts_and_of_networks_as_they_are_one() -> None:
    figure = adaptive_fronts_figure(results_of([adaptive_point()], [static_point()]))
    assert legend_of(figure) == ["static, 1t fp32", "exits, 1t fp32", "to its worst case", "modelled"]
    figure = adaptive_fronts_figure(results_of([], [static_point()]))
    assert legend_of(figure) == ["static, 1t fp32", "modelled"]


def test_measured_and_modelled_costs_are_told_apart() -> None:
    points = [replace(adaptive_point(energy_kind="gross"), latency_source="measured")]
    figure = adaptive_fronts_figure(results_of(points, [static_point(energy_kind="gross")]))
    assert {"measured", "modelled"} <= set(legend_of(figure))
    assert figure.axes[0].get_xlabel() == "expected latency (ms, measured and modelled)"
    assert figure.axes[1].get_xlabel().startswith("expected energy with idle power")


@pytest.mark.parametrize(("highest", "scale"), [(4.0, "linear"), (100.0, "log")])
def test_wide_ranges_are_logarithms(highest: float, scale: str) -> None:
    points = [adaptive_point(0.3, 1.0, 1.0, worst_latency_ms=1.2)]
    figure = adaptive_fronts_figure(results_of(points, [static_point(0.1, highest, highest)]))
    assert [axes.get_xscale() for axes in figure.axes] == [scale, scale]


def test_bars_are_shares_and_the_quickest_is_at_the_top() -> None:
    points = [
        adaptive_point(0.1, 5.0, exits=2, exit_shares=(0.5, 0.2, 0.3)),
        static_point(0.2, 3.0, indices=(1, 1, 1)),
        adaptive_point(0.3, 1.0, exit_shares=(0.9, 0.1)),
    ]
    figure = shares_figure(points)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["000  1t fp32", "333  1t fp32", "000  1t fp32"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    widths = [[round(float(bar.get_width()), 6) for bar in bars] for bars in axes.containers]
    assert widths == [[90, 0, 50], [0, 0, 20], [10, 100, 30]]
    assert legend_of(figure) == ["exit 1", "exit 2", "pass all exits", "network without exits"]
    assert [text.get_text() for text in axes.texts] == [
        "1.00 ms, 30.0 % error", "3.00 ms, 20.0 % error", "5.00 ms, 10.0 % error",
    ]  # fmt: skip


def test_many_points_are_thinned_and_this_is_told() -> None:
    points = [adaptive_point(0.1 + 0.005 * place, 8 - 0.05 * place, 9 - 0.05 * place) for place in range(100)]
    figure = shares_figure(points)
    assert len(figure.axes[0].get_yticklabels()) <= MOST_BARS
    assert any("of 100 points stand for all" in text.get_text() for text in figure.texts)


def test_a_policy_over_clocks_is_the_one_that_most_clocks_have() -> None:
    same: list[AdaptivePoint] = [adaptive_point(0.2, 4.0, 8.0, configuration=one, thresholds=(0.5,)) for one in CLOCKS]
    others = [
        adaptive_point(0.1, 3.0, 7.0, configuration=CLOCKS[0], thresholds=(0.7,)),
        adaptive_point(0.1, 3.0, 7.0, configuration=BASE, thresholds=(0.5,)),
        adaptive_point(0.1, 3.0, 7.0, configuration=CLOCKS[1], thresholds=(0.5,), indices=(1, 1, 1)),
    ]
    found = policy_over_clocks([*others, *same])
    assert set(found) == set(same)
    assert [point.configuration.frequency_mhz for point in found] == [1500, 1500, 2400, 2400]
    assert policy_over_clocks(others) == ()
    assert policy_over_clocks([]) == ()


def test_energy_is_drawn_against_the_clock_beside_that_without_exits() -> None:
    policy = policy_over_clocks(
        [
            adaptive_point(energy_mj=float(place + 5), configuration=one, energy_source=source)
            for place, (one, source) in enumerate(zip(CLOCKS, ["measured", "modelled"] * 2, strict=True))
        ]
    )
    static = [static_point(energy_mj=20.0, configuration=one) for one in (*CLOCKS, QUICK)]
    static.append(static_point(energy_mj=99.0, configuration=CLOCKS[0], indices=(1, 1, 1)))
    figure = adaptive_clocks_figure(policy, static)
    (axes,) = figure.axes
    energies = {point.configuration: point.energy_mj for point in policy}
    assert drawn_in(axes) == {(one.frequency_mhz, energies[one]) for one in CLOCKS}
    dotted = [line for line in axes.lines if line.get_linestyle() == ":" and len(line.get_xdata())]  # type: ignore[arg-type]
    assert [list(line.get_ydata()) for line in dotted] == [[20.0, 20.0]] * 2  # type: ignore[arg-type]
    assert legend_of(figure) == ["1 thread", "4 threads", "energy measured", "energy modelled"]
    assert axes.get_ylim()[0] == 0


def test_the_oracle_is_labelled_as_a_bound_beside_its_policies() -> None:
    points = [
        adaptive_point(0.2, 4.0, oracle_error=0.05, oracle_latency_ms=1.5),
        adaptive_point(0.3, 3.0, oracle_error=0.05, oracle_latency_ms=1.5),
        adaptive_point(0.1, 2.0, configuration=QUICK),
    ]
    figure = oracle_figure(points, [static_point(), static_point(configuration=QUICK)])
    (axes,) = figure.axes
    assert drawn_in(axes) == {(4, 20), (3, 30), (6, 20), (1.5, 5)}, "those in the configuration that most have"
    assert legend_of(figure) == ["000", "policy, latency modelled", "network without exits", ORACLE]
    assert "cannot be deployed" in ORACLE


def test_few_networks_stand_for_many() -> None:
    points = [
        adaptive_point(0.2, 1.0 + place, indices=(place // 3, place % 3, 0), worst_latency_ms=2.0 + place)
        for place in range(9)
    ]
    names = legend_of(oracle_figure(points, []))[:-2]
    assert len(names) == MOST_NETWORKS
    assert {points[0].id, points[-1].id} <= set(names)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("configurations", [(BASE,), CLOCKS])
def test_whatever_points_there_are_all_pictures_are_drawn(tmp_path: Path, seed: int, configurations: Any) -> None:
    every = random_points(seed, 40, configurations=configurations)
    results = results_of([point for point in every if point.exits], [point for point in every if not point.exits])
    assert is_drawn(adaptive_fronts_figure(results), tmp_path / "fronts.png")
    assert is_drawn(shares_figure(results.front), tmp_path / "shares.png")
    assert is_drawn(oracle_figure(results.points, results.static), tmp_path / "oracle.png")
