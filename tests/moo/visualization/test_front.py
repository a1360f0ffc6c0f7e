from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from matplotlib.collections import PathCollection
from matplotlib.markers import MarkerStyle

from moo.analysis.networks import Evaluated, ShownNetwork
from moo.visualization.front import latency_error_figure, projections_figure, space_figure
from tests.moo.conftest import costs_of

MEASURED = costs_of(2.0, 9.0, "measured", "modelled")
MODELLED = costs_of(1.0, 5.0, "modelled", "modelled")
NETWORKS = Evaluated(
    front=(ShownNetwork(id="000", error=0.1, costs=MEASURED), ShownNetwork(id="111", error=0.4, costs=MODELLED)),
    others=(
        ShownNetwork(id="222", error=0.5, costs=replace(MEASURED, latency_ms=20.0)),
        ShownNetwork(id="012", error=0.6, costs=replace(MODELLED, energy_mj=6.0)),
    ),
)
TRAINED = Evaluated(
    front=(ShownNetwork(id="000", error=0.1, costs=MEASURED, trained=True),),
    others=(
        ShownNetwork(id="222", error=0.2, costs=replace(MEASURED, latency_ms=3.0), trained=True),
        ShownNetwork(id="012", error=0.6, costs=MODELLED),
    ),
    baselines=(
        ShownNetwork(id="mobile", error=0.3, costs=replace(MEASURED, latency_ms=50.0, energy_mj=90.0), trained=True),
    ),
    left_out="2 baselines not measured",
)
FIGURES = {
    "latency_error": lambda networks: latency_error_figure(networks, space="tiny"),
    "projections": projections_figure,
    "space": space_figure,
}
ODD = {
    "one network": Evaluated(front=NETWORKS.front[:1], others=()),
    "none measured": Evaluated(front=NETWORKS.front[1:], others=NETWORKS.dominated[1:]),
    "none dominated": Evaluated(front=NETWORKS.front, others=()),
    "equal energies": Evaluated(
        front=tuple(replace(n, costs=replace(n.costs, energy_mj=3.0)) for n in NETWORKS.front), others=()
    ),
    "tiny errors": Evaluated(front=tuple(replace(n, error=n.error / 1e6) for n in NETWORKS.front), others=()),
    "trained": TRAINED,
    "all trained": replace(TRAINED, others=TRAINED.others[:1]),
    "no error": Evaluated(
        front=(ShownNetwork(id="000", error=0.0, costs=MODELLED),),
        others=(ShownNetwork(id="111", error=0.0, costs=MEASURED),),
    ),
    "no energy": Evaluated(
        front=(ShownNetwork(id="000", error=0.1, costs=replace(MODELLED, energy_mj=0.0)),), others=NETWORKS.dominated
    ),
}


def markers_of(axes: Any) -> Any:
    return [collection for collection in axes.collections if isinstance(collection, PathCollection)]


@pytest.mark.parametrize("name", FIGURES)
def test_every_network_has_one_marker(name: Any) -> None:
    figure = FIGURES[name](NETWORKS)
    figure.draw_without_rendering()
    for axes in figure.axes[: 3 if name == "projections" else 1]:
        assert sum(len(collection.get_offsets()) for collection in markers_of(axes)) == 4


@pytest.mark.parametrize("name", FIGURES)
def test_axes_name_the_sources(name: Any) -> None:
    axes = FIGURES[name](NETWORKS).axes[0]
    assert axes.get_xlabel() == "latency (ms, measured and modelled)"


def test_measured_and_modelled_networks_have_different_markers() -> None:
    axes = latency_error_figure(NETWORKS, space="tiny").axes[0]
    shapes = {}
    for collection in markers_of(axes):
        for offset in collection.get_offsets():
            shapes[float(offset[0])] = len(collection.get_paths()[0].vertices)
    circle, triangle = (len(MarkerStyle(marker).get_path().vertices) for marker in "o^")  # type: ignore[arg-type]
    assert shapes == {2.0: circle, 1.0: triangle, 20.0: circle}


def test_the_legend_tells_markers_apart() -> None:
    texts = [text.get_text() for text in latency_error_figure(NETWORKS, space="tiny").axes[0].get_legend().get_texts()]
    assert texts[:4] == [
        "front, latency measured",
        "front, latency modelled",
        "dominated, latency measured",
        "dominated, latency modelled",
    ]
    joint = [text.get_text() for text in space_figure(NETWORKS).legends[0].get_texts()]
    assert "front, latency measured, energy modelled" in joint


def test_latency_is_logarithmic_where_it_spans_widely() -> None:
    assert latency_error_figure(NETWORKS, space="tiny").axes[0].get_xscale() == "log"
    narrow = Evaluated(front=NETWORKS.front, others=())
    assert latency_error_figure(narrow, space="tiny").axes[0].get_xscale() == "linear"


def test_labels_name_networks_with_their_source() -> None:
    texts = [text.get_text() for text in latency_error_figure(NETWORKS, space="tiny").axes[0].texts]
    assert texts == ["111\n40.0 %, 1.00 ms modelled", "000\n10.0 %, 2.00 ms measured"]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", FIGURES)
def test_odd_fronts_can_be_drawn(name: Any, odd: Any) -> None:
    FIGURES[name](ODD[odd]).draw_without_rendering()


def test_each_group_of_a_trained_front_has_its_own_colour_and_name() -> None:
    figure = latency_error_figure(TRAINED, space="tiny")
    texts = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert texts[:4] == [
        "front, trained, latency measured",
        "dominated, trained, latency measured",
        "inherited error, latency modelled",
        "baseline, trained, latency measured",
    ]
    colours = {collection.get_facecolor()[0][:3].tobytes() for collection in markers_of(figure.axes[0])}
    assert len(colours) == 4
    assert figure.axes[0].get_ylabel() == "error on the selection split (%),\ntrained; faint: inherited weights"


def test_errors_with_inherited_weights_say_so() -> None:
    for figure in (latency_error_figure(NETWORKS, space="tiny"), projections_figure(NETWORKS)):
        assert figure.axes[0].get_ylabel() == "error on the selection split (%),\ninherited weights"
    assert "inherited weights" in space_figure(NETWORKS).axes[0].get_zlabel()  # type: ignore[attr-defined]


def test_baselines_are_drawn_with_their_names_and_omitted_ones_are_named() -> None:
    figure = latency_error_figure(TRAINED, space="tiny")
    assert "mobile\n30.0 %, 50.0 ms measured" in [text.get_text() for text in figure.axes[0].texts]
    assert "1 baseline; 2 baselines not measured" in figure.texts[1].get_text()
    assert figure.axes[0].get_xscale() == "log"
    planes = projections_figure(TRAINED)
    for axes in planes.axes[:3]:
        assert [text.get_text() for text in axes.texts] == ["mobile"]
    for axes in (*figure.axes[:1], *planes.axes[:3]):
        assert sum(len(collection.get_offsets()) for collection in markers_of(axes)) == 4
