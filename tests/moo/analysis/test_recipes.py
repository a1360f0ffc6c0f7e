from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from moo.analysis.recipes import alike, many_epochs, mixture
from tests.moo.conftest import TrainedOf


@pytest.fixture
def network_of(trained_of: TrainedOf) -> Any:
    def make(name: Any, epochs: Any, *, fine_tuned: bool = False) -> Any:
        return replace(trained_of(name), epochs=epochs, fine_tuned=fine_tuned)

    return make


def test_epochs_of_one_recipe_differ_by_a_tenth_at_most(network_of: Any) -> None:
    networks = [network_of(str(epochs), epochs) for epochs in (12.0, 10.0, 11.0, 10.5)]
    assert [network.name for network in alike(networks)] == ["10.0", "11.0", "10.5"]
    assert alike(networks[:1]) == tuple(networks[:1])
    assert alike([]) == ()


def test_another_start_is_another_recipe(network_of: Any) -> None:
    networks = [network_of("a", 10), network_of("b", 10, fine_tuned=True), network_of("c", 10, fine_tuned=True)]
    assert [network.name for network in alike(networks)] == ["b", "c"]


def test_of_equally_frequent_recipes_the_longest_counts(network_of: Any) -> None:
    networks = [network_of("a", 5), network_of("b", 50), network_of("c", 20)]
    assert [network.name for network in alike(networks)] == ["b"]


def test_a_mixture_is_told_by_its_recipes(network_of: Any) -> None:
    networks = [network_of("a", 10), network_of("b", 1, fine_tuned=True), network_of("c", 11)]
    assert mixture(networks) == (
        "Not all were trained alike (2 for 10 to 11 epochs from random weights, 1 for 1 epoch from inherited weights): "
        "their errors differ by their training too."
    )
    assert mixture([networks[0], networks[2]]) == mixture([]) == ""


def test_one_epoch_is_no_plural(network_of: Any) -> None:
    assert many_epochs([network_of("a", 1.0)]) == "1 epoch"
    assert many_epochs([network_of("a", 1.0), network_of("b", 2.5)]) == "1 to 2.5 epochs"
