"""Heads trained on a frozen network: each alone, all the same bits again, and the network untouched."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from evaluation.batches import ImageBatches
from evaluation.early_exits.distillation import distillation, exit_losses
from evaluation.early_exits.job import network_of
from evaluation.early_exits.settings import ExitTrainSettings
from evaluation.early_exits.training import (
    ExitJob,
    ExitOutcome,
    FrozenBackbone,
    new_exit_training,
    train_exits,
)
from evaluation.splits import Splits
from evaluation.training.job import EpochDone, StepDone
from evaluation.training.mixing import Mix
from evaluation.training.objectives import Targets
from search_space.exits import Exit, layer_outputs
from search_space.networks import Network
from search_space.segments import branched_graph
from search_space.spaces import FBNetSpace
from tests.evaluation.early_exits.colours import OPERATORS, Arrays, assert_same, colours, trained_weights

EXITS = (Exit(0, "linear"), Exit(1, "linear"), Exit(1, "conv"), Exit(2, "linear"))


@pytest.fixture(scope="module")
def weights(space: FBNetSpace, splits: Splits) -> Arrays:
    return trained_weights(space, splits)


@pytest.fixture
def job(space: FBNetSpace, weights: Arrays) -> ExitJob:
    return ExitJob(
        name="tiny",
        space=space,
        operators=OPERATORS,
        exits=EXITS,
        weights=weights,
        settings=ExitTrainSettings(epochs=3, batch_size=32, lr=0.1),
        flip=False,
        seed=3,
        precisions=("fp32",),
    )


def outcome_of(job: ExitJob, splits: Splits, state: bytes | None = None) -> ExitOutcome:
    *_, outcome = train_exits(job, splits, state=state)
    assert isinstance(outcome, ExitOutcome)
    return outcome


def test_heads_fit_the_branched_graph_and_their_outcomes_are_those_of_its_file(job: ExitJob, splits: Splits) -> None:
    """Of the file in fp32, and in int8 with its own ranges."""
    job = dataclasses.replace(job, precisions=("fp32", "int8"))
    events = list(job.events(splits))
    outcome = events[-1]
    assert isinstance(outcome, ExitOutcome)
    epochs = [event for event in events if isinstance(event, EpochDone)]
    assert tuple(event.record for event in epochs) == outcome.records
    assert [event.step for event in events if isinstance(event, StepDone)] == list(range(1, epochs[-1].total_steps + 1))
    network = Network(branched_graph(job.space, OPERATORS, EXITS).graph)
    given = {name: torch.from_numpy(value) for name, value in (job.weights | outcome.heads).items()}
    network.load_state_dict(given, strict=True)
    x_BCHW, _ = next(ImageBatches(splits.selection, splits).in_order(len(splits.selection)))
    with torch.no_grad():
        scores = network.eval().outputs(x_BCHW, branched_graph(job.space, OPERATORS, EXITS).logits)
    found = outcome.outcomes["fp32"]
    assert found.exits == EXITS
    for place, logits_BK in enumerate(scores):
        assert found.confidence_XN[place] == pytest.approx(torch.softmax(logits_BK, 1).max(1).values.numpy(), abs=1e-4)
    assert outcome.outcomes["int8"].images == found.images == len(splits.selection)
    assert not np.array_equal(outcome.outcomes["int8"].confidence_XN, found.confidence_XN)


def test_every_exit_learns(job: ExitJob, splits: Splits) -> None:
    outcome = outcome_of(dataclasses.replace(job, settings=ExitTrainSettings(epochs=8, batch_size=32)), splits)
    assert outcome.outcomes["fp32"].correct_XN.mean(1).min() > 0.6
    assert outcome.records[-1].loss < outcome.records[0].loss


def test_half_precision_trains_as_well(job: ExitJob, splits: Splits) -> None:
    halved = dataclasses.replace(job.settings, precision="bf16")
    whole, half = outcome_of(job, splits), outcome_of(dataclasses.replace(job, settings=halved), splits)
    assert [record.loss for record in half.records] == pytest.approx(
        [record.loss for record in whole.records], abs=0.05
    )
    assert all(np.isfinite(value).all() for value in half.heads.values())
    assert not np.array_equal(
        half.heads["exit01_linear_classifier.weight"], whole.heads["exit01_linear_classifier.weight"]
    )


def test_a_recorded_accuracy_is_the_mean_of_all_exits(job: ExitJob, splits: Splits) -> None:
    outcome = outcome_of(job, splits)
    expected = outcome.outcomes["fp32"].correct_XN[:-1].mean()
    assert outcome.records[-1].accuracy == pytest.approx(expected, abs=1e-9)


def test_the_network_stays_as_it_is_bit_by_bit(job: ExitJob, splits: Splits) -> None:
    before = {name: value.copy() for name, value in job.weights.items()}
    training = new_exit_training(job, splits)
    assert isinstance(training.objective, FrozenBackbone)
    frozen = {name: value.clone() for name, value in training.objective.network.state_dict().items()}
    list(training.epoch())
    after = training.objective.network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in frozen.items())
    assert not any(parameter.requires_grad for parameter in training.objective.network.parameters())
    assert_same(dict(job.weights), before)


@pytest.mark.parametrize("alone", EXITS, ids=lambda one: one.label)
def test_a_head_is_the_same_bit_by_bit_whichever_others_are_trained_beside_it(
    job: ExitJob, splits: Splits, alone: Exit
) -> None:
    together = outcome_of(job, splits).heads
    by_itself = outcome_of(dataclasses.replace(job, exits=(alone,)), splits).heads
    assert_same(by_itself, {name: value for name, value in together.items() if name.startswith(alone.prefix)})


def test_a_step_is_that_of_autograd_by_hand(job: ExitJob, splits: Splits) -> None:
    """One step of SGD without momentum, decay or average, for one linear head, from its gradient in closed form."""
    settings = ExitTrainSettings(
        epochs=1, batch_size=32, lr=0.5, label_smoothing=0.0, distillation=0.25, temperature=3.0
    )
    job = dataclasses.replace(job, exits=(Exit(1, "linear"), Exit(2, "linear")), settings=settings)
    training = new_exit_training(job, splits)
    training.settings = dataclasses.replace(training.settings, warmup_fraction=0.0)
    for group in training.optimizer.param_groups:
        group |= {"momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
    network = network_of(branched_graph(job.space, OPERATORS, ()).graph, job.weights).eval()
    ends = layer_outputs(network.graph, job.space.num_layers)
    rng = np.random.default_rng(0)
    x_BCHW, labels_B = next(training.images.batches(32, rng))
    head = next(training.network.children())
    weight_KF = next(head.parameters()).detach().clone()
    bias_K = list(head.parameters())[1].detach().clone()
    with torch.no_grad():
        maps_BCHW, teacher_BK = network.outputs(x_BCHW, (ends[1], "classifier"))
    pooled_BF = maps_BCHW.mean((2, 3))
    logits_BK = F.linear(pooled_BF, weight_KF, bias_K)
    onehot_BK = F.one_hot(labels_B, 3)
    slope_BK = 0.75 * (logits_BK.softmax(1) - onehot_BK)
    slope_BK = slope_BK + 0.25 * 3.0 * ((logits_BK / 3).softmax(1) - (teacher_BK / 3).softmax(1))
    training._step(x_BCHW, labels_B, Mix(), 0.5)
    new_weight_KF, new_bias_K = (parameter.detach() for parameter in head.parameters())
    torch.testing.assert_close(new_weight_KF, weight_KF - 0.5 * slope_BK.T @ pooled_BF / 32, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(new_bias_K, bias_K - 0.5 * slope_BK.mean(0), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("epochs", [1, 2])
def test_killed_and_resumed_equals_uninterrupted(job: ExitJob, splits: Splits, epochs: int) -> None:
    states = [event.state for event in train_exits(job, splits) if isinstance(event, EpochDone)]
    whole, resumed = outcome_of(job, splits), outcome_of(job, splits, states[epochs - 1])
    assert_same(resumed.heads, whole.heads)
    assert resumed.records == whole.records
    for name in ("confidence_XN", "correct_XN", "cross_entropy_XN"):
        assert np.array_equal(getattr(resumed.outcomes["fp32"], name), getattr(whole.outcomes["fp32"], name))


def test_a_state_of_something_else_is_refused(job: ExitJob, splits: Splits) -> None:
    state = next(event.state for event in train_exits(job, splits) if isinstance(event, EpochDone))
    fewer = dataclasses.replace(job, exits=EXITS[:2])
    with pytest.raises(ValueError, match="a state of training must be whole and of this network"):
        list(train_exits(fewer, splits, state=state))
    with pytest.raises(ValueError, match="a state of training must be whole"):
        list(train_exits(job, splits, state=state[:100]))


def test_by_default_exits_take_three_tenths_of_a_networks_epochs(job: ExitJob, splits: Splits) -> None:
    training = new_exit_training(dataclasses.replace(job, settings=ExitTrainSettings()), splits)
    assert training.recipe.epochs == pytest.approx(18)


def test_training_that_diverges_goes_on_with_half_the_rate(
    job: ExitJob, splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def once_infinite(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        parts, entropies = exit_losses(*given)
        return (parts, [entropy * (float("inf") if calls == 3 else 1) for entropy in entropies])

    monkeypatch.setattr("evaluation.early_exits.training.exit_losses", once_infinite)
    events = list(train_exits(job, splits))
    told = [event.divergences for event in events if isinstance(event, EpochDone)]
    assert [len(divergences) for divergences in told] == [1, 0, 0]
    assert told[0][0].lr == pytest.approx(0.05)


def test_a_loss_that_never_is_finite_is_refused(job: ExitJob, splits: Splits) -> None:
    broken = {name: np.full_like(value, np.nan) if "conv" in name else value for name, value in job.weights.items()}
    with pytest.raises(ValueError, match="exits must train with a finite loss, but those of 'tiny' did not"):
        list(train_exits(dataclasses.replace(job, weights=broken), splits))


def test_weights_must_be_complete(job: ExitJob, splits: Splits) -> None:
    short = {name: value for name, value in job.weights.items() if name != "classifier.bias"}
    with pytest.raises(ValueError, match=r"'classifier.bias' must have shape \(3,\), and is missing"):
        list(train_exits(dataclasses.replace(job, weights=short), splits))
    wrong = job.weights | {"classifier.bias": np.zeros(4, np.float32)}
    with pytest.raises(ValueError, match=r"must have shape \(3,\), and has \(4,\)"):
        list(train_exits(dataclasses.replace(job, weights=wrong), splits))


def test_there_must_be_exits_each_once_within_the_network(job: ExitJob) -> None:
    for exits, got in (((), "none"), ((EXITS[0], EXITS[0]), "layer 0 linear, layer 0 linear")):
        with pytest.raises(ValueError, match=f"there must be exits to train, each once, but got {got}"):
            dataclasses.replace(job, exits=exits)
    with pytest.raises(ValueError, match="exits must be at one of the 3 layers, .* but got layer 3 conv"):
        dataclasses.replace(job, exits=(Exit(3, "conv"),))


def test_uneven_classes_are_drawn_evenly(job: ExitJob) -> None:
    splits = colours(shares=(0.8, 0.1, 0.1))
    training = new_exit_training(job, splits)
    labels_N = torch.cat([labels_B for _, labels_B in training.images.batches(32, np.random.default_rng(0))])
    assert torch.bincount(labels_N).max() - torch.bincount(labels_N).min() <= 2
    assert outcome_of(job, splits).outcomes["fp32"].images == len(splits.selection)


def test_grey_images_are_not_mirrored_and_have_no_colour_changed(job: ExitJob) -> None:
    splits = colours(grey=True)
    settings = dataclasses.replace(job.settings, augment="strong")
    training = new_exit_training(dataclasses.replace(job, flip=None, settings=settings), splits)
    augmentation = training.images.augmentation
    assert augmentation is not None
    assert not augmentation.flip
    assert augmentation.jitter is not None
    assert (augmentation.jitter.saturation, augmentation.jitter.tint) == (0, 0)
    assert outcome_of(dataclasses.replace(job, flip=None), splits).records[-1].accuracy > 0.3


def test_distillation_is_zero_of_the_teacher_and_that_of_its_definition() -> None:
    logits, teacher = torch.randn(20, 5, dtype=torch.float64), torch.randn(20, 5, dtype=torch.float64)
    assert float(distillation(teacher + 7, teacher, 2.0)) == pytest.approx(0, abs=1e-12)
    taught, learnt = torch.softmax(teacher / 3, 1), torch.softmax(logits / 3, 1)
    expected = 9 * (taught * (taught / learnt).log()).sum(1).mean()
    assert float(distillation(logits, teacher, 3.0)) == pytest.approx(float(expected))


def test_the_network_learns_nothing_from_its_exits() -> None:
    scores = tuple(torch.randn(8, 3, requires_grad=True) for _ in range(3))
    labels = torch.arange(8) % 3
    losses, _ = exit_losses(scores, Targets(labels, labels, 1.0), ExitTrainSettings())
    torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
    assert [logits.grad is None for logits in scores] == [False, False, True]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"distillation": 1.5}, "`0 <= distillation <= 1` must hold, but got 1.5"),
        ({"temperature": 0.0}, "`temperature > 0` must hold, but got 0.0"),
        ({"epochs": 0.0}, "`--epochs > 0` must hold"),
    ],
)
def test_settings_out_of_range_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ExitTrainSettings(**values)  # type: ignore[arg-type]
