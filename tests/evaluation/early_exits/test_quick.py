"""Linear heads fitted at once to a network's features."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from evaluation.accuracy import classified
from evaluation.batches import ImageBatches
from evaluation.early_exits import quick
from evaluation.early_exits.job import network_of
from evaluation.early_exits.outcomes import ExitOutcomes
from evaluation.early_exits.quick import quick_outcomes
from evaluation.splits import Splits
from evaluation.training.logistic_regression import logistic_regression
from search_space.exits import Exit, layer_outputs
from search_space.networks import Network
from search_space.spaces import FBNetSpace
from tests.evaluation.early_exits.colours import OPERATORS, trained_weights

EXITS = (Exit(0, "linear"), Exit(1, "linear"))


@pytest.fixture(scope="module")
def weights(space: FBNetSpace, splits: Splits) -> dict[str, Any]:
    return trained_weights(space, splits)


@pytest.fixture
def network(space: FBNetSpace, weights: dict[str, Any]) -> Network:
    return network_of(space.graph(OPERATORS), weights)


def outcomes_with(
    network: Network, space: FBNetSpace, splits: Splits, exits: tuple[Exit, ...] = EXITS, *, seed: int = 0
) -> ExitOutcomes:
    training, selection = ImageBatches(splits.weights, splits), ImageBatches(splits.selection, splits)
    return quick_outcomes(network, space, exits, training, selection, seed=seed)


def test_exits_are_logistic_regressions_of_pooled_maps(network: Network, space: FBNetSpace, splits: Splits) -> None:
    found = outcomes_with(network, space, splits)
    ends = layer_outputs(network.graph, space.num_layers)
    training, selection = (
        next(ImageBatches(part, splits).in_order(len(part))) for part in (splits.weights, splits.selection)
    )
    for place, one in enumerate(EXITS):
        with torch.no_grad():
            known, unknown = (network.outputs(x, ends[one.layer : one.layer + 1])[0] for x, _ in (training, selection))
        weight_KF, bias_K = logistic_regression(known.mean((2, 3)), training[1], 3, penalty=quick.PENALTY)
        logits = F.linear(unknown.mean((2, 3)), weight_KF, bias_K)
        assert found.confidence_XN[place] == pytest.approx(logits.softmax(1).max(1).values.numpy(), abs=0.01)
        expected = F.cross_entropy(logits, selection[1], reduction="none").numpy()
        assert found.cross_entropy_XN[place] == pytest.approx(expected, abs=0.05)
    assert found.exits == EXITS


def test_the_last_way_is_the_network_itself(network: Network, space: FBNetSpace, splits: Splits) -> None:
    found = outcomes_with(network, space, splits)
    own = classified(network, ImageBatches(splits.selection, splits))
    assert np.array_equal(found.correct_XN[-1], own.correct_N)
    assert found.cross_entropy_XN[-1].mean() == pytest.approx(own.cross_entropy, abs=1e-5)


def test_the_network_stays_as_it_is(network: Network, space: FBNetSpace, splits: Splits) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    outcomes_with(network, space, splits)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_without_exits_there_is_the_network(network: Network, space: FBNetSpace, splits: Splits) -> None:
    found = outcomes_with(network, space, splits, ())
    assert found.confidence_XN.shape == (1, len(splits.selection))


def test_the_same_seed_gives_the_same_bits(
    network: Network, space: FBNetSpace, splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quick, "FITTED_IMAGES", 128)
    one, same, other = (outcomes_with(network, space, splits, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(one.confidence_XN, same.confidence_XN)
    assert not np.array_equal(one.confidence_XN[:-1], other.confidence_XN[:-1])


def test_conv_heads_are_refused(network: Network, space: FBNetSpace, splits: Splits) -> None:
    with pytest.raises(ValueError, match="exits must have linear heads to be fitted at once, but got layer 1 conv"):
        outcomes_with(network, space, splits, (Exit(0, "linear"), Exit(1, "conv")))
