"""A network trained further with its exits: kept where it stays as good, else as it was."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from evaluation.early_exits import joint
from evaluation.early_exits.distillation import distillation
from evaluation.early_exits.job import network_of
from evaluation.early_exits.joint import JointJob, JointOutcome, NetworkAndExits, new_joint_training, train_jointly
from evaluation.early_exits.settings import ExitTrainSettings
from evaluation.early_exits.training import ExitJob, ExitOutcome
from evaluation.splits import Splits
from evaluation.training.job import EpochDone
from evaluation.training.objectives import Targets
from search_space.exits import Exit
from search_space.onnx_files import weight_shapes
from search_space.segments import branched_graph
from search_space.spaces import FBNetSpace
from tests.evaluation.early_exits.colours import OPERATORS, Arrays, assert_same, trained_weights

EXITS = (Exit(0, "linear"), Exit(1, "conv"))


@pytest.fixture(scope="module")
def weights(space: FBNetSpace, splits: Splits) -> Arrays:
    """Of the network and its heads, these hardly trained."""
    weights = trained_weights(space, splits)
    job = ExitJob(
        name="tiny",
        space=space,
        operators=OPERATORS,
        exits=EXITS,
        weights=weights,
        settings=ExitTrainSettings(epochs=1, batch_size=32),
        flip=False,
        seed=0,
        precisions=(),
    )
    *_, outcome = job.events(splits)
    assert isinstance(outcome, ExitOutcome)
    return weights | outcome.heads


@pytest.fixture
def job(space: FBNetSpace, weights: Arrays) -> JointJob:
    return JointJob(
        name="tiny",
        space=space,
        operators=OPERATORS,
        exits=EXITS,
        weights=weights,
        settings=ExitTrainSettings(epochs=3, batch_size=32, lr=0.02),
        flip=False,
        seed=1,
        precisions=("fp32",),
    )


def outcome_of(job: JointJob, splits: Splits, state: bytes | None = None) -> JointOutcome:
    *_, outcome = train_jointly(job, splits, state=state)
    assert isinstance(outcome, JointOutcome)
    return outcome


def test_what_was_trained_is_kept_where_the_network_is_still_as_good(job: JointJob, splits: Splits) -> None:
    outcome = outcome_of(job, splits)
    assert outcome.kept
    assert outcome.accuracy_after is not None
    assert outcome.accuracy_after >= outcome.accuracy_before - joint.MOST_LOST
    static = outcome.outcomes["fp32"]
    assert 1 - static.static_error == pytest.approx(outcome.accuracy_after)
    assert outcome.records[-1].accuracy == outcome.accuracy_after
    before = job.outcomes(job.weights, splits)["fp32"]
    assert static.cross_entropy_XN[:-1].mean() < before.cross_entropy_XN[:-1].mean()
    assert 1 - before.static_error == pytest.approx(outcome.accuracy_before)
    for name in weight_shapes(branched_graph(job.space, OPERATORS, EXITS).graph):
        assert not np.array_equal(outcome.weights[name], job.weights[name]), name


@pytest.mark.parametrize("lr", [3.0, 1e6], ids=["it learns badly", "its loss is not finite"])
def test_where_the_network_loses_it_stays_with_its_exits_as_it_was(job: JointJob, splits: Splits, lr: float) -> None:
    outcome = outcome_of(dataclasses.replace(job, settings=dataclasses.replace(job.settings, lr=lr, epochs=1)), splits)
    assert not outcome.kept
    assert outcome.accuracy_after is None or outcome.accuracy_after < outcome.accuracy_before - joint.MOST_LOST
    assert all(np.isfinite(record.loss) for record in outcome.records)
    network = network_of(branched_graph(job.space, OPERATORS, EXITS).graph, job.weights)
    assert_same(outcome.weights, {name: value.numpy() for name, value in network.state_dict().items()})
    before = job.outcomes(job.weights, splits)["fp32"]
    assert np.array_equal(outcome.outcomes["fp32"].confidence_XN, before.confidence_XN)


@pytest.mark.parametrize(("lost", "kept"), [(0.0029, True), (0.0031, False)])
def test_three_tenths_of_a_point_are_the_most_that_may_be_lost(
    job: JointJob, splits: Splits, monkeypatch: pytest.MonkeyPatch, lost: float, kept: bool
) -> None:
    accuracies = iter([0.9, 0.7, 0.8, 0.9 - lost])
    monkeypatch.setattr(NetworkAndExits, "accuracy", lambda *given: next(accuracies))
    outcome = outcome_of(job, splits)
    assert (outcome.accuracy_before, outcome.accuracy_after) == (0.9, 0.9 - lost)
    assert outcome.kept is kept


def test_killed_and_resumed_equals_uninterrupted(job: JointJob, splits: Splits) -> None:
    states = [event.state for event in train_jointly(job, splits) if isinstance(event, EpochDone)]
    whole, resumed = outcome_of(job, splits), outcome_of(job, splits, states[0])
    assert_same(resumed.weights, whole.weights)
    assert resumed.records == whole.records
    assert (resumed.kept, resumed.accuracy_before) == (whole.kept, whole.accuracy_before)


def test_the_loss_is_the_networks_own_and_the_mean_of_its_exits() -> None:
    settings = ExitTrainSettings(distillation=0.25, temperature=2.0, label_smoothing=0.1)
    first, second, own = (torch.randn(8, 3) for _ in range(3))
    labels = torch.arange(8) % 3
    loss, recorded = NetworkAndExits(("a", "b", "c"), settings).loss((first, second, own), Targets(labels, labels, 1.0))
    entropies = [F.cross_entropy(logits, labels, label_smoothing=0.1) for logits in (first, second, own)]
    taught = [distillation(logits, own, 2.0) for logits in (first, second)]
    expected = entropies[2] + sum(0.75 * entropies[k] + 0.25 * taught[k] for k in range(2)) / 2
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(recorded, torch.stack(entropies).mean())


def test_exits_move_the_network(job: JointJob, splits: Splits) -> None:
    """Unlike in training of the exits alone, what an exit reads learns from it."""
    training = new_joint_training(job, splits)
    x_BCHW, labels_B = next(training.images.batches(32, np.random.default_rng(0)))
    scores = training.objective.scores(training.network, x_BCHW)
    first, *_ = scores
    F.cross_entropy(first, labels_B).backward()  # type: ignore[no-untyped-call]
    stem = next(training.network.children())
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in stem.parameters())


def test_by_default_it_takes_a_tenth_of_a_networks_epochs_and_rate(job: JointJob, splits: Splits) -> None:
    training = new_joint_training(dataclasses.replace(job, settings=ExitTrainSettings(batch_size=64)), splits)
    assert training.recipe.epochs == pytest.approx(6)
    assert training.recipe.lr == pytest.approx(0.01)


def test_exits_must_be_passed_one_after_the_other(job: JointJob) -> None:
    with pytest.raises(ValueError, match="a network that is trained with its exits must have some, but got none"):
        dataclasses.replace(job, exits=())
    with pytest.raises(ValueError, match="exits must be at ascending layers"):
        dataclasses.replace(job, exits=(Exit(1, "linear"), Exit(1, "conv")))


def test_weights_of_heads_must_be_there(job: JointJob, splits: Splits) -> None:
    without = {name: value for name, value in job.weights.items() if not name.startswith("exit00")}
    with pytest.raises(ValueError, match=r"'exit00_linear_classifier.weight' must have shape \(3, 4\), and is missing"):
        list(train_jointly(dataclasses.replace(job, weights=without), splits))
