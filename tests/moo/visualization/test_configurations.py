"""What configurations trade, drawn from the power model of a Raspberry Pi 5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from devices.configuration import Precision, RuntimeConfiguration, configurations_of
from devices.energy.power_model import RASPBERRY_PI_5
from devices.measurement import Source
from moo.analysis.networks import ShownNetwork
from moo.visualization.configurations import (
    MOST_NETWORKS,
    clock_figure,
    clocks_of,
    configurations_space_figure,
    few_networks,
    trade_figure,
)
from tests.moo.conftest import costs_of

CLOCKS = (1500, 2000, 2400)
THREADS = (1, 2, 4)
ENERGY = "energy above idle"
_SPEEDUP = {1: 1.0, 2: 1.8, 4: 2.6}


def points_of(
    networks: int = 2,
    *,
    threads: Sequence[int] = THREADS,
    clocks: Sequence[int | None] = CLOCKS,
    precisions: Sequence[Precision] = ("fp32", "int8"),
) -> list[ShownNetwork]:
    """Latencies that are pure time of computing, and energies of the power model; 4 threads are measured."""
    points = []
    for number in range(networks):
        for configuration in configurations_of(threads, clocks, precisions):
            mhz = configuration.frequency_mhz or 2400
            halved = 0.5 if configuration.precision == "int8" else 1.0
            latency_ms = (number + 1) * 8 * halved * 2400 / mhz / _SPEEDUP[configuration.threads]
            source: Source = "measured" if configuration.threads == 4 else "modelled"
            energy_mj = RASPBERRY_PI_5.energy_mj(latency_ms, configuration)
            error = 0.5 / (number + 1) + (0.01 if configuration.precision == "int8" else 0)
            points.append(
                ShownNetwork(
                    id=f"net{number}",
                    error=error,
                    costs=costs_of(latency_ms, energy_mj, source, source),
                    configuration=configuration,
                )
            )
    return points


def configurations_in(points: Sequence[ShownNetwork]) -> list[RuntimeConfiguration]:
    return sorted({point.configuration for point in points if point.configuration is not None})


def drawn_in(axes: Axes) -> list[tuple[float, float]]:
    return sorted(
        (float(x), float(y))
        for collection in axes.collections
        if isinstance(collection, PathCollection)
        for x, y in np.asarray(collection.get_offsets())
    )


def legend_of(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def panels_of(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.get_visible()]


def test_the_front_in_space_has_each_point_in_the_colour_of_its_clock() -> None:
    points = points_of()
    figure = configurations_space_figure(points, configurations_in(points), energy=ENERGY, summary="2 networks")
    figure.draw_without_rendering()
    axes: Any = figure.axes[0]
    drawn = [collection for collection in axes.collections if len(np.asarray(collection.get_sizes()))]
    assert len(drawn) == len(points)
    colours = {
        mhz: {
            tuple(np.asarray(collection.get_facecolor())[0])
            for collection, point in zip(drawn, points, strict=True)
            if point.configuration is not None and point.configuration.frequency_mhz == mhz
        }
        for mhz in CLOCKS
    }
    assert [len(found) for found in colours.values()] == [1, 1, 1]
    assert len(set.union(*colours.values())) == 3
    sizes = {
        point.configuration.precision: float(collection.get_sizes()[0])
        for collection, point in zip(drawn, points, strict=True)
        if point.configuration is not None
    }
    assert sizes["int8"] < sizes["fp32"]


def test_the_front_in_space_names_configurations_and_sources() -> None:
    points = points_of()
    figure = configurations_space_figure(points, configurations_in(points), energy=ENERGY, summary="2 networks")
    assert legend_of(figure) == [
        "1 thread", "2 threads", "4 threads", "1500 MHz", "2000 MHz", "2400 MHz", "fp32", "int8", "measured",
        "modelled, at least in part",
    ]  # fmt: skip
    axes: Any = figure.axes[0]
    assert axes.get_xlabel() == "latency (ms, measured and modelled)"
    assert axes.get_ylabel() == "energy above idle (mJ, measured and modelled)"
    assert any(text.get_text() == "2 networks" for text in figure.texts)


def test_a_point_is_measured_only_if_both_of_its_costs_are() -> None:
    point = points_of(1, threads=(4,), clocks=(2400,), precisions=("fp32",))[0]
    modelled = replace(point, costs=replace(point.costs, energy_source="modelled"))
    for given, said in ((point, "measured"), (modelled, "modelled, at least in part")):
        figure = configurations_space_figure([given], configurations_in([given]), energy=ENERGY, summary="")
        assert legend_of(figure)[-1] == said


def test_colours_do_not_depend_on_which_configurations_are_drawn() -> None:
    points = points_of(1)
    run = configurations_in(points)
    only = [p for p in points if p.configuration is not None and p.configuration.frequency_mhz == 2000]
    colours = []
    for given in (points, only):
        figure = trade_figure(given, run, energy=ENERGY)
        handle = next(h for h in figure.legends[0].legend_handles if h is not None and h.get_label() == "2000 MHz")
        colours.append(handle.get_color())  # type: ignore[attr-defined]
    assert colours[0] == colours[1]


def test_the_trade_has_a_panel_a_precision_with_all_points() -> None:
    points = points_of()
    figure = trade_figure(points, configurations_in(points), energy=ENERGY)
    panels = panels_of(figure)
    assert [axes.get_title(loc="left") for axes in panels] == ["fp32", "int8"]
    for axes, precision in zip(panels, ("fp32", "int8"), strict=True):
        expected = sorted(
            (point.costs.latency_ms, point.costs.energy_mj)
            for point in points
            if point.configuration is not None and point.configuration.precision == precision
        )
        np.testing.assert_allclose(drawn_in(axes), expected)


def test_a_line_joins_what_no_other_configuration_of_its_network_beats() -> None:
    points = points_of(precisions=("fp32",))
    (axes,) = panels_of(trade_figure(points, configurations_in(points), energy=ENERGY))
    assert len(axes.lines) == 2
    for number, line in enumerate(axes.lines):
        joined = np.stack([np.asarray(line.get_xdata(), np.float64), np.asarray(line.get_ydata(), np.float64)], 1)
        own = [(p.costs.latency_ms, p.costs.energy_mj) for p in points if p.id == f"net{number}"]
        best = [a for a in own if not any(b != a and b[0] <= a[0] and b[1] <= a[1] for b in own)]
        np.testing.assert_allclose(joined, sorted(best))
        assert (np.diff(joined[:, 1]) < 0).all()
        assert len(joined) < len(own)


def test_networks_of_the_trade_are_named_with_their_error() -> None:
    points = points_of()
    for axes in panels_of(trade_figure(points, configurations_in(points), energy=ENERGY)):
        assert sorted(text.get_text().split("\n")[0] for text in axes.texts) == ["net0", "net1"]
    assert "net0\n50.0 %" in [text.get_text() for text in axes.figure.axes[0].texts]


def test_threads_have_colours_where_there_is_one_clock() -> None:
    points = points_of(threads=(1, 4), clocks=(None,), precisions=("fp32",))
    figure = trade_figure(points, configurations_in(points), energy=ENERGY)
    assert legend_of(figure) == ["1 thread", "4 threads", "measured", "modelled, at least in part"]
    one, four = (handle.get_color() for handle in figure.legends[0].legend_handles[:2])
    assert one != four


def test_energy_against_the_clock_has_a_panel_a_network_and_a_line_for_threads_and_precision() -> None:
    points = points_of(3)
    figure = clock_figure(points, energy=ENERGY)
    panels = panels_of(figure)
    assert [axes.get_title(loc="left") for axes in panels] == ["net0, 50.0 %", "net1, 25.0 %", "net2, 16.7 %"]
    for number, axes in enumerate(panels):
        drawn = {(tuple(line.get_xdata()), tuple(line.get_ydata()), line.get_linestyle()) for line in axes.lines}  # type: ignore[arg-type]
        expected = {
            (
                CLOCKS,
                tuple(
                    p.costs.energy_mj
                    for mhz in CLOCKS
                    for p in points
                    if p.id == f"net{number}"
                    and p.configuration == RuntimeConfiguration(threads=threads, frequency_mhz=mhz, precision=precision)
                ),
                "-" if precision == "fp32" else "--",
            )
            for threads in THREADS
            for precision in ("fp32", "int8")
        }
        assert drawn == expected
    assert legend_of(figure) == [
        "1 thread", "2 threads", "4 threads", "fp32", "int8", "energy measured", "energy modelled",
    ]  # fmt: skip
    assert figure.get_supylabel() == "energy above idle (mJ, measured and modelled)"


def test_measured_energies_are_filled_and_modelled_ones_hollow() -> None:
    points = points_of(1, threads=(1, 4), precisions=("fp32",))
    (axes,) = panels_of(clock_figure(points, energy=ENERGY))
    filled = {
        float(np.asarray(collection.get_offsets())[0][1]): tuple(np.asarray(collection.get_facecolor())[0])
        != (1.0, 1.0, 1.0, 1.0)
        for collection in axes.collections
    }
    assert filled == {p.costs.energy_mj: p.costs.energy_source == "measured" for p in points}


def test_a_governors_clock_has_no_place_on_an_axis_of_clocks() -> None:
    points = points_of(1, clocks=(None, 1500, 2400))
    assert clocks_of(points) == [1500, 2400]
    (axes,) = panels_of(clock_figure(points, energy=ENERGY))
    assert {x for x, _ in drawn_in(axes)} == {1500, 2400}
    with pytest.raises(ValueError, match="at least two clocks, but got 1"):
        clock_figure(points_of(1, clocks=(None, 1500)), energy=ENERGY)


def test_too_many_networks_are_refused_and_a_few_can_be_chosen() -> None:
    points = points_of(11)
    with pytest.raises(ValueError, match="`networks <= 6` must hold, but got 11"):
        clock_figure(points, energy=ENERGY)
    few = few_networks(points)
    ids = list(dict.fromkeys(point.id for point in few))
    assert ids == ["net0", "net2", "net4", "net6", "net8", "net10"]
    assert len(few) == MOST_NETWORKS * len(configurations_in(points))
    assert few_networks(points_of(2)) == points_of(2)


def test_a_point_without_a_configuration_is_refused() -> None:
    point = replace(points_of(1)[0], configuration=None)
    with pytest.raises(ValueError, match="must have a configuration, but that of 'net0' has none"):
        trade_figure([point], [RuntimeConfiguration()], energy=ENERGY)
