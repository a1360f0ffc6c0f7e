"""Baselines at the size of a run's images, and which network of the front they are compared with."""

import pytest

from moo.archive import Archive
from moo.baselines import FBNET_NAMES, NAMES, best_no_slower, graph_of
from search_space.architectures import parse_architecture
from search_space.baselines import baseline_graph
from search_space.counts import count
from search_space.spaces import space_named


@pytest.mark.parametrize("name", FBNET_NAMES)
@pytest.mark.parametrize(("size", "preset"), [(32, "fbnet-cifar"), (224, "fbnet-imagenet")])
def test_fbnets_have_the_form_of_the_preset_for_their_size(name, size, preset):
    space = space_named(preset, published=name).with_classes(7)
    expected = space.graph(parse_architecture(space, name).operators)
    assert graph_of(name, input_size=size, classes=7) == expected


def test_the_published_counts_are_kept_at_the_published_size():
    counts = count(graph_of("fbnet-a", input_size=224, classes=1000))
    assert (counts.macs, counts.params) == (249_921_848, 4_321_464)


def test_others_are_those_of_the_search_space():
    for name in set(NAMES) - set(FBNET_NAMES):
        assert graph_of(name, input_size=32, classes=10) == baseline_graph(name, input_size=32, classes=10)
    with pytest.raises(ValueError, match="a baseline must be one of"):
        graph_of("resnet", input_size=32, classes=10)


def test_a_baseline_is_compared_with_the_best_network_that_is_no_slower(entry_of, trained_of):
    archive = Archive((1.0, 10.0, 10.0))
    for indices, error, latency_ms in (((0, 0, 0), 0.4, 1.0), ((0, 0, 1), 0.3, 2.0), ((0, 0, 2), 0.2, 3.0)):
        archive.add(entry_of(indices, error, latency_ms, latency_ms))
    assert best_no_slower(archive, 9.0) is None
    for entry in archive.entries:
        archive.set_trained(entry.architecture.id, trained_of(entry.architecture.id, error=entry.error / 2))
    assert best_no_slower(archive, 0.5) is None
    for limit, error in ((1.0, 0.2), (2.5, 0.15), (9.0, 0.1)):
        best = best_no_slower(archive, limit)
        assert best is not None
        assert best.best_error == error
