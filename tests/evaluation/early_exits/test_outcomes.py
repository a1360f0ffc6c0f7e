"""What comes of scores: against PyTorch's softmax and cross-entropy."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from evaluation.early_exits.outcomes import ExitOutcomes, outcomes_of
from search_space.exits import Exit

EXITS = (Exit(1, "linear"), Exit(2, "linear"), Exit(2, "conv"))


@pytest.fixture
def outcomes() -> ExitOutcomes:
    rng = np.random.default_rng(0)
    return outcomes_of(EXITS, rng.normal(size=(4, 30, 5)).astype(np.float32), rng.integers(5, size=30))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0, 3000.0])
@pytest.mark.parametrize("shift", [0.0, 500.0])
def test_outcomes_are_those_of_torch(scale: float, shift: float) -> None:
    """Also of scores whose exponentials overflow, or are lost in the largest."""
    rng = np.random.default_rng(1)
    logits_XNK = (scale * rng.normal(size=(3, 200, 7)) + shift).astype(np.float32)
    labels_N = rng.integers(7, size=200)
    found = outcomes_of(EXITS[:2], logits_XNK, labels_N)
    for place, logits_NK in enumerate(torch.from_numpy(logits_XNK)):
        probs_NK = logits_NK.double().softmax(1)
        assert found.confidence_XN[place] == pytest.approx(probs_NK.max(1).values.numpy(), abs=1e-6)
        assert np.array_equal(found.correct_XN[place], (probs_NK.argmax(1).numpy() == labels_N))
        expected_N = F.cross_entropy(logits_NK.double(), torch.from_numpy(labels_N), reduction="none").numpy()
        assert found.cross_entropy_XN[place] == pytest.approx(expected_N, rel=1e-5, abs=1e-5)
    assert found.confidence_XN.dtype == found.cross_entropy_XN.dtype == np.float32


def test_the_error_of_the_network_is_that_of_the_last_scores(outcomes: ExitOutcomes) -> None:
    assert outcomes.static_error == pytest.approx(1 - outcomes.correct_XN[3].mean())
    assert outcomes.images == 30


def test_some_of_the_exits_keep_their_rows_and_the_networks(outcomes: ExitOutcomes) -> None:
    some = outcomes.of((0, 2))
    assert some.exits == (EXITS[0], EXITS[2])
    for name in ("confidence_XN", "correct_XN", "cross_entropy_XN"):
        assert np.array_equal(getattr(some, name), getattr(outcomes, name)[[0, 2, 3]])
    static = outcomes.of(())
    assert (static.exits, static.static_error) == ((), outcomes.static_error)


def test_each_exit_and_the_network_must_have_a_row_and_there_must_be_images(outcomes: ExitOutcomes) -> None:
    with pytest.raises(ValueError, match=r"`correct_XN` must have .* here \(4, 30\), but has \(3, 30\)"):
        dataclasses.replace(outcomes, correct_XN=outcomes.correct_XN[1:])
    with pytest.raises(ValueError, match=r"`cross_entropy_XN` must have .* but has \(4, 29\)"):
        dataclasses.replace(outcomes, cross_entropy_XN=outcomes.cross_entropy_XN[:, 1:])
    with pytest.raises(ValueError, match=r"`confidence_XN` must have .* but has \(4, 0\)"):
        outcomes_of(EXITS, np.zeros((4, 0, 5), np.float32), np.zeros(0, np.int64))
