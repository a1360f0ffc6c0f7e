"""Baselines at the size of a run's images."""

from __future__ import annotations

from typing import Any

import pytest

from moo.deployment.baselines import FBNET_NAMES, NAMES, graph_of
from search_space.architectures import parse_architecture
from search_space.counts import count
from search_space.reference_networks import baseline_graph
from search_space.spaces import space_named


@pytest.mark.parametrize("name", FBNET_NAMES)
@pytest.mark.parametrize(("size", "preset"), [(32, "fbnet-cifar"), (224, "fbnet-imagenet")])
def test_fbnets_have_the_form_of_the_preset_for_their_size(name: Any, size: int, preset: str) -> None:
    space = space_named(preset, published=name).with_classes(7)
    expected = space.graph(parse_architecture(space, name).operators)
    assert graph_of(name, input_size=size, classes=7) == expected


def test_images_of_96_pixels_go_through_all_strides() -> None:
    graph = graph_of("fbnet-a", input_size=96, classes=7)
    assert graph.shape_of("last")[1:] == (3, 3)


def test_the_published_counts_are_kept_at_the_published_size() -> None:
    counts = count(graph_of("fbnet-a", input_size=224, classes=1000))
    assert (counts.macs, counts.params) == (249_921_848, 4_321_464)


def test_others_are_those_of_the_search_space() -> None:
    for name in set(NAMES) - set(FBNET_NAMES):
        assert graph_of(name, input_size=32, classes=10) == baseline_graph(name, input_size=32, classes=10)
    with pytest.raises(ValueError, match="a baseline must be one of"):
        graph_of("resnet", input_size=32, classes=10)
