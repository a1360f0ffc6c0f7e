from dataclasses import replace

import pytest
from matplotlib.collections import PathCollection
from matplotlib.markers import MarkerStyle

from moo.archive import Archive, Costs
from moo.front_plots import Evaluated, Network, evaluated, latency_error_figure, projections_figure, space_figure

MEASURED = Costs(2.0, 9.0, "measured", "modelled")
MODELLED = Costs(1.0, 5.0, "modelled", "modelled")
NETWORKS = Evaluated(
    (Network("000", 0.1, MEASURED), Network("111", 0.4, MODELLED)),
    (Network("222", 0.5, replace(MEASURED, latency_ms=20.0)), Network("012", 0.6, replace(MODELLED, energy_mj=6.0))),
)
FIGURES = {
    "latency_error": lambda networks: latency_error_figure(networks, space="tiny"),
    "projections": projections_figure,
    "space": space_figure,
}
ODD = {
    "one network": Evaluated(NETWORKS.front[:1], ()),
    "none measured": Evaluated(NETWORKS.front[1:], NETWORKS.dominated[1:]),
    "none dominated": Evaluated(NETWORKS.front, ()),
    "equal energies": Evaluated(tuple(replace(n, costs=replace(n.costs, energy_mj=3.0)) for n in NETWORKS.front), ()),
    "tiny errors": Evaluated(tuple(replace(n, error=n.error / 1e6) for n in NETWORKS.front), ()),
    "no error": Evaluated((Network("000", 0.0, MODELLED),), (Network("111", 0.0, MEASURED),)),
    "no energy": Evaluated((Network("000", 0.1, replace(MODELLED, energy_mj=0.0)),), NETWORKS.dominated),
}


def markers_of(axes):
    return [collection for collection in axes.collections if isinstance(collection, PathCollection)]


@pytest.mark.parametrize("name", FIGURES)
def test_every_network_has_one_marker(name):
    figure = FIGURES[name](NETWORKS)
    figure.draw_without_rendering()
    for axes in figure.axes[: 3 if name == "projections" else 1]:
        assert sum(len(collection.get_offsets()) for collection in markers_of(axes)) == 4


@pytest.mark.parametrize("name", FIGURES)
def test_axes_name_the_sources(name):
    axes = FIGURES[name](NETWORKS).axes[0]
    assert axes.get_xlabel() == "latency (ms, measured and modelled)"


def test_measured_and_modelled_networks_have_different_markers():
    axes = latency_error_figure(NETWORKS, space="tiny").axes[0]
    shapes = {}
    for collection in markers_of(axes):
        for offset in collection.get_offsets():
            shapes[float(offset[0])] = len(collection.get_paths()[0].vertices)
    circle, triangle = (len(MarkerStyle(marker).get_path().vertices) for marker in "o^")
    assert shapes == {2.0: circle, 1.0: triangle, 20.0: circle}


def test_the_legend_tells_markers_apart():
    texts = [text.get_text() for text in latency_error_figure(NETWORKS, space="tiny").axes[0].get_legend().get_texts()]
    assert texts[:4] == [
        "front, latency measured",
        "front, latency modelled",
        "dominated, latency measured",
        "dominated, latency modelled",
    ]
    joint = [text.get_text() for text in space_figure(NETWORKS).legends[0].get_texts()]
    assert "front, latency measured, energy modelled" in joint


def test_latency_is_logarithmic_where_it_spans_widely():
    assert latency_error_figure(NETWORKS, space="tiny").axes[0].get_xscale() == "log"
    narrow = Evaluated(NETWORKS.front, ())
    assert latency_error_figure(narrow, space="tiny").axes[0].get_xscale() == "linear"


def test_labels_name_networks_with_their_source():
    texts = [text.get_text() for text in latency_error_figure(NETWORKS, space="tiny").axes[0].texts]
    assert texts == ["111\n40.00 %, 1.00 ms modelled", "000\n10.00 %, 2.00 ms measured"]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", FIGURES)
def test_odd_fronts_can_be_drawn(name, odd):
    FIGURES[name](ODD[odd]).draw_without_rendering()


def test_an_archive_is_parted_into_front_and_rest(entry_of, measurement_of):
    archive = Archive((1.0, 10.0, 10.0))
    archive.add(entry_of((0, 0, 0), 0.2, 2.0, 2.0))
    archive.add(entry_of((1, 1, 1), 0.3, 3.0, 3.0, position=1))
    archive.set_measurement(archive.entries[0].architecture.id, measurement_of(1.0))
    networks = evaluated(archive)
    assert [network.error for network in networks.front] == [0.2]
    assert [network.error for network in networks.dominated] == [0.3]
    assert networks.front[0].costs.latency_source == "measured"
    assert "2 networks" in networks.summary
    assert "1 on the front, of which 1 measured" in networks.summary
