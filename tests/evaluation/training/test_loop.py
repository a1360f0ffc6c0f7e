import io
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dnas.schedule import lr_factor
from evaluation.augmentation import Augmentation
from evaluation.batches import ImageBatches
from evaluation.data.images import ImageData, LabelledImages
from evaluation.splits import Splits, split_data
from evaluation.training.config import TrainSettings
from evaluation.training.loop import (
    Training,
    TrainRecord,
    average_decay,
    top_accuracies,
    update_average,
    use_quick_depthwise,
)
from evaluation.training.objectives import Targets, mixed_cross_entropy
from search_space.graphs import Graph, GraphBuilder
from search_space.networks import Network
from search_space.spaces import FBNetSpace

TrainingOf = Callable[..., Training]
OPERATORS = ("k5_e1_g2", "k5_e3", "k3_e3")


@pytest.fixture(scope="module")
def splits() -> Splits:
    """Three classes told apart by the colour of noisy images."""
    rng = np.random.default_rng(0)
    labels_N = rng.integers(3, size=400)
    images_NCHW = rng.integers(0, 120, (400, 3, 8, 8), dtype=np.uint8)
    images_NCHW[np.arange(400), labels_N] += 100
    return split_data(
        ImageData(
            name="colours",
            train=LabelledImages(images_NCHW, labels_N),
            test=None,
            class_names=("r", "g", "b"),
            grey=False,
        ),
        0,
    )


@pytest.fixture
def training(space: FBNetSpace, splits: Splits) -> TrainingOf:
    """Makes a training of a tiny network."""

    def make(*, seed: int = 0, **settings: Any) -> Training:
        torch.manual_seed(0)
        images = ImageBatches(splits.weights, splits, augmentation=Augmentation(crop_padding=1))
        values = {"epochs": 3, "batch_size": 32} | settings
        network = Network(space.graph(OPERATORS))
        return Training(network, images, ImageBatches(splits.selection, splits), TrainSettings(**values), seed=seed)

    return make


def assert_equal_states(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def run_epoch(training: Training, on_step: Callable[[int], object] = lambda done: None) -> TrainRecord:
    """One epoch to its end, and what it came to."""
    steps = training.epoch()
    while True:
        try:
            on_step(next(steps))
        except StopIteration as end:
            record: TrainRecord = end.value
            return record


def test_the_rates_of_an_epoch_are_those_of_the_schedule(training: TrainingOf) -> None:
    run = training(warmup_fraction=0.0, lr=0.2)
    records = [run_epoch(run) for _ in range(3)]
    last_steps = [(epoch + 1) * run.steps_an_epoch - 1 for epoch in range(3)]
    expected = [0.2 * lr_factor(step, run.total_steps, 0.0) for step in last_steps]
    assert [record.lr for record in records] == pytest.approx(expected)


def test_the_average_follows_its_closed_form() -> None:
    """Of weights 1, 2, 3, ... with decay d, from 0: the sum of (1 - d) d^(n - k) k."""
    averaged, network = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    assert averaged.running_mean is not None
    assert averaged.num_batches_tracked is not None
    assert network.running_mean is not None
    assert network.num_batches_tracked is not None
    for tensor in (averaged.weight, averaged.running_mean):
        tensor.data.zero_()
    for number in range(1, 9):
        network.weight.data.fill_(number)
        network.running_mean.fill_(-number)
        network.num_batches_tracked.fill_(number)
        update_average(averaged, network, 0.75)
    expected = sum(0.25 * 0.75 ** (8 - k) * k for k in range(1, 9))
    assert averaged.weight.tolist() == pytest.approx([expected] * 3)
    assert averaged.running_mean.tolist() == pytest.approx([-expected] * 3)
    assert int(averaged.num_batches_tracked) == 8


def test_the_decay_of_the_average_grows_up_to_its_limit() -> None:
    assert [average_decay(step, 0.9) for step in (0, 8, 79, 80, 81, 10_000)] == pytest.approx(
        [0.1, 0.5, 80 / 89, 0.9, 0.9, 0.9]
    )


def test_without_decay_the_average_is_the_network(training: TrainingOf) -> None:
    run = training(average_decay=0.0)
    run_epoch(run)
    assert_equal_states(run.averaged.state_dict(), run.network.state_dict())


def test_the_average_in_training_is_that_of_every_steps_weights(training: TrainingOf) -> None:
    run = training(average_decay=0.5)
    tracked = {name: value.clone() for name, value in run.network.named_parameters()}

    def follow(step: int) -> None:
        decay = min(0.5, step / (9 + step))
        for name, value in run.network.named_parameters():
            tracked[name] = decay * tracked[name] + (1 - decay) * value.detach()

    run_epoch(run, follow)
    for name, value in run.averaged.named_parameters():
        torch.testing.assert_close(value, tracked[name], rtol=1e-4, atol=1e-6)


def test_the_loss_of_mixed_labels_is_that_of_the_mixed_target() -> None:
    logits, labels, partners = torch.randn(20, 5), torch.randint(5, (20,)), torch.randint(5, (20,))
    target = 0.3 * F.one_hot(labels, 5) + 0.7 * F.one_hot(partners, 5)
    smooth = 0.8 * target + 0.2 / 5
    expected = -(smooth * torch.log_softmax(logits, 1)).sum(1).mean()
    torch.testing.assert_close(mixed_cross_entropy(logits, Targets(labels, partners, 0.3), 0.2), expected)


def test_the_loss_of_unmixed_labels_is_torchs() -> None:
    logits, labels = torch.randn(20, 5), torch.randint(5, (20,))
    expected = F.cross_entropy(logits, labels, label_smoothing=0.1)
    assert torch.equal(mixed_cross_entropy(logits, Targets(labels, labels, 1.0), 0.1), expected)


def copied(gradient: Tensor | None) -> Tensor:
    assert gradient is not None
    return gradient.clone()


def test_quick_depthwise_changes_neither_names_nor_numbers(space: FBNetSpace) -> None:
    torch.manual_seed(0)
    network = Network(space.graph(OPERATORS))
    x_BCHW = torch.randn(6, 3, 8, 8)
    network(x_BCHW).square().sum().backward()
    expected = {name: copied(parameter.grad) for name, parameter in network.named_parameters()}
    names, logits = list(network.state_dict()), network(x_BCHW)
    use_quick_depthwise(network)
    assert list(network.state_dict()) == names
    network.zero_grad()
    torch.testing.assert_close(network(x_BCHW), logits)
    network(x_BCHW).square().sum().backward()
    for name, parameter in network.named_parameters():
        scale = float(expected[name].abs().max())
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-3, atol=1e-4 * max(scale, 1))


def test_separable_images_are_learned(training: TrainingOf, splits: Splits) -> None:
    run = training(epochs=15)
    records = [run_epoch(run) for _ in range(15)]
    assert records[-1].accuracy > 0.95
    assert records[-1].loss < records[0].loss
    assert [record.epoch for record in records] == list(range(1, 16))
    top1, top3 = top_accuracies(run.averaged, ImageBatches(splits.test, splits))
    assert top1 > 0.95
    assert top3 == 1


@pytest.mark.parametrize("options", [{}, {"cutout": 3, "mixup": 0.3, "momentum": 0.0}, {"precision": "bf16"}])
def test_a_resumed_training_equals_an_uninterrupted_one_bit_by_bit(
    training: TrainingOf, options: dict[str, Any]
) -> None:
    whole, first, second = (training(seed=4, **options) for _ in range(3))
    records = [run_epoch(whole) for _ in range(3)]
    run_epoch(first)
    second.load_state(first.state())
    run_epoch(second)
    run_epoch(second)
    assert second.records == records
    assert_equal_states(second.network.state_dict(), whole.network.state_dict())
    assert_equal_states(second.averaged.state_dict(), whole.averaged.state_dict())


def test_another_seed_is_another_training(training: TrainingOf) -> None:
    assert run_epoch(training(seed=1)).loss != run_epoch(training(seed=2)).loss


def test_a_state_must_be_whole_and_of_the_network(training: TrainingOf) -> None:
    run = training()
    state = run.state()
    for bad in (b"", b"no state", state[: len(state) // 2], state[:-30]):
        with pytest.raises(ValueError, match="a state of training must be whole and of this network"):
            training().load_state(bad)
    other = training()
    other.network.add_module("more", nn.Linear(2, 2))
    with pytest.raises(ValueError, match="of this network"):
        other.load_state(state)


def test_a_loss_that_is_not_finite_is_refused(training: TrainingOf) -> None:
    with pytest.raises(ValueError, match=r"the training loss must stay finite, but is \w+ in epoch 1; .* lower --lr"):
        run_epoch(training(lr=1e30))


def test_steps_are_told(training: TrainingOf) -> None:
    run = training(batch_size=100)
    assert [list(run.epoch()) for _ in range(2)] == [[1, 2], [3, 4]]
    assert not run.done


def test_a_part_of_an_epoch_is_the_last(training: TrainingOf) -> None:
    run = training(batch_size=100, epochs=1.5)
    assert run.total_steps == 3
    assert [list(run.epoch()) for _ in range(2)] == [[1, 2], [3]]
    assert run.done
    assert run.epochs == 1.5
    assert run.records[-1].lr == pytest.approx(run.recipe.lr * lr_factor(2, 3, run.settings.warmup_fraction))


def test_minutes_become_as_many_steps_as_fit(training: TrainingOf, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter(range(0, 1000, 3))
    monkeypatch.setattr(time, "perf_counter", lambda: next(times))
    timed, plain = training(minutes=0.35, epochs=1), training(epochs=7 / training().steps_an_epoch)
    while not timed.done:
        run_epoch(timed)
    monkeypatch.undo()
    assert timed.total_steps == 7  # 21 s of 3 s each
    while not plain.done:
        run_epoch(plain)
    assert_equal_states(timed.network.state_dict(), plain.network.state_dict())
    again = training(minutes=0.35)
    again.load_state(timed.state())
    assert again.done


WILD: dict[str, Any] = {"lr": 300.0, "epochs": 5, "warmup_fraction": 0.1, "batch_size": 32}
"""Diverges at first."""


def test_an_epoch_that_diverges_is_done_again_with_half_the_rate(training: TrainingOf) -> None:
    run = training(**WILD)
    while not run.done:
        run_epoch(run)
    rates = [one.lr for one in run.divergences]
    assert 1 <= len(rates) <= 4
    assert rates == [300.0 / 2 ** (number + 1) for number in range(len(rates))]
    assert [record.epoch for record in run.records] == [1, 2, 3, 4, 5]
    assert all(np.isfinite(record.loss) for record in run.records)


@pytest.mark.parametrize("stop", [1, 2, 4])
def test_a_training_that_diverged_is_resumed_bit_for_bit(training: TrainingOf, stop: int) -> None:
    whole, first, second = (training(**WILD) for _ in range(3))
    while not whole.done:
        run_epoch(whole)
    for _ in range(stop):
        run_epoch(first)
    second.load_state(first.state())
    while not second.done:
        run_epoch(second)
    assert second.records == whole.records
    assert second.divergences == whole.divergences
    for one, other in zip(whole.averaged.parameters(), second.averaged.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_state_of_an_earlier_version_is_read(training: TrainingOf) -> None:
    first, second = training(), training()
    run_epoch(first)
    content = torch.load(io.BytesIO(first.state()), weights_only=True)
    del content["divergences"], content["good"]
    buffer = io.BytesIO()
    torch.save(content, buffer)
    second.load_state(buffer.getvalue())
    assert run_epoch(second) == run_epoch(first)


def test_quick_depthwise_leaves_convolutions_alone_whose_block_pads() -> None:
    builder = GraphBuilder((4, 8, 8))
    builder.conv("only", Graph.INPUT, 4, kernel=5, stride=2, groups=4, pads_end=True)
    network = Network(builder.build()).eval()
    x_BCHW = torch.randn(2, 4, 8, 8)
    expected = network(x_BCHW)
    use_quick_depthwise(network)
    assert torch.allclose(network(x_BCHW), expected, atol=1e-5)
