"""Baselines at the size of a run's images."""

from __future__ import annotations

from typing import Any

import pytest

from moo.deployment.baselines import FBNET_NAMES, NAMES, baseline_trainings, graph_of
from moo.deployment.config import CompareBaselinesConfig
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


def test_widths_are_named_once_however_they_are_spelled(run: Any) -> None:
    only = ("mobilenet-v2-0.250", "mobilenet-v2-0.25", "mobilenet-v3-small-1.0", "mobilenet-v2-1")
    config = CompareBaselinesConfig(run=str(run.folder.path), only=only, pretrained=("none",))
    names = [training.name for training in baseline_trainings(run, config)]
    assert sorted(names) == ["mobilenet-v2-0.25", "mobilenet-v2-1.0", "mobilenet-v3-small"]


@pytest.mark.parametrize("name", ["efficientnet-lite0", "mobilenet-v2-3", "mobilenet-v2-٠.٢٥"])
def test_what_is_no_baseline_is_refused_with_the_rule(run: Any, name: str) -> None:
    config = CompareBaselinesConfig(run=str(run.folder.path), only=(name,), pretrained=("none",))
    with pytest.raises(ValueError, match=f"must name baselines .*a WIDTH from 0.05 to 2 .*, but got '{name}'"):
        baseline_trainings(run, config)
