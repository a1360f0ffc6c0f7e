"""Fine-tuning: the last layer first, then all of a network; whichever is better on the selection split."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from evaluation.batches import ImageBatches
from evaluation.data.images import ImageData, LabelledImages
from evaluation.pretrained.network import counts_of, last_linear
from evaluation.splits import Splits, split_data
from evaluation.training import fine_tuning
from evaluation.training.config import TrainSettings
from evaluation.training.fine_tuning import FineTuneJob, fine_tune, fine_tune_settings
from evaluation.training.fine_tuning_run import MOST_BYTES, loaded_size, splits_for
from evaluation.training.job import EpochDone, StepDone, TrainOutcome
from evaluation.training.loop import Training
from search_space.counts import count
from tests.evaluation.pretrained.tiny_network import TinyPretrained

NETWORK = TinyPretrained()


@pytest.fixture(scope="module")
def splits() -> Splits:
    """Three classes told apart by the colour of noisy images."""
    rng = np.random.default_rng(0)
    labels_N = rng.integers(3, size=200)
    images_NCHW = rng.integers(0, 120, (200, 3, 8, 8), dtype=np.uint8)
    images_NCHW[np.arange(200), labels_N] += 60
    images = LabelledImages(images_NCHW, labels_N)
    data = ImageData(name="colours", train=images, test=None, class_names=("r", "g", "b"), grey=False)
    return splits_for(split_data(data, 0), NETWORK.about)


def job_of(**settings: Any) -> FineTuneJob:
    values = {"epochs": 3, "batch_size": 32, "lr": 0.01, "average_decay": 0.9} | settings
    return FineTuneJob(network=NETWORK, settings=TrainSettings(**values), flip=None, seed=3)


def outcome_of(events: Any) -> TrainOutcome:
    (*_, outcome) = events
    assert isinstance(outcome, TrainOutcome)
    return outcome


def test_a_network_learns_and_its_file_does_as_well(splits: Splits) -> None:
    events = list(fine_tune(job_of(), splits))
    outcome = outcome_of(events)
    assert outcome.selection_accuracy > 0.8
    assert outcome.top1 > 0.8
    assert [event.record.epoch for event in events if isinstance(event, EpochDone)] == [1, 2, 3]
    assert isinstance(events[0], StepDone)
    fp32, int8 = outcome.models
    assert (fp32.precision, int8.precision) == ("fp32", "int8")
    session = onnxruntime.InferenceSession(fp32.model)
    ((x_BCHW, labels_B),) = ImageBatches(splits.test, splits).in_order(1000)
    right = session.run(None, {"images": x_BCHW.contiguous().numpy()})[0].argmax(1) == labels_B.numpy()
    assert right.mean() == pytest.approx(outcome.top1)


def test_statistics_of_batches_stay_those_of_pre_training(splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    # So that fine-tuning is what is delivered.
    monkeypatch.setattr(fine_tuning, "_fitted_head", lambda training, layer, *, seed: poor(layer))
    outcome = outcome_of(fine_tune(job_of(), splits))
    before = NETWORK.module(3).state_dict()
    assert not outcome.head_only
    for name, value in before.items():
        if "running" in name:
            assert outcome.weights[name] == pytest.approx(value.numpy())
    assert not np.allclose(outcome.weights["stem.conv.weight"], before["stem.conv.weight"].numpy())


def poor(layer: Any) -> fine_tuning._Head:
    """The last layer as it is, and an accuracy that anything is as good as."""
    return fine_tuning._Head(layer.weight.detach().clone(), layer.bias.detach().clone(), 0.0)


@pytest.mark.parametrize("change", ["harm", "divergence"])
def test_where_fine_tuning_does_harm_the_last_layer_alone_is_taken(
    splits: Splits, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    def spoilt(training: Training, *rest: Any) -> Any:
        loss = step(training, *rest)
        for network in (training.network, training.averaged):
            torch.nn.init.zeros_(last_linear(network).weight)
        return loss if change == "harm" else loss * float("nan")

    step = Training._step
    monkeypatch.setattr(Training, "_step", spoilt)
    events = list(fine_tune(job_of(epochs=1), splits))
    outcome = outcome_of(events)
    assert any(isinstance(event, EpochDone) for event in events) == (change == "harm")
    assert outcome.head_only
    assert outcome.selection_accuracy > 0.8
    assert outcome.top1 > 0.8
    for name, value in NETWORK.module(3).state_dict().items():
        same = np.allclose(outcome.weights[name], value.numpy())
        assert same != name.startswith("classifier")


def test_where_it_diverges_it_says_so_and_goes_on_more_slowly(splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoilt(training: Training, *rest: Any) -> Any:
        loss = step(training, *rest)
        return loss if training.divergences else loss * float("nan")

    step = Training._step
    monkeypatch.setattr(Training, "_step", spoilt)
    epochs = [event for event in fine_tune(job_of(epochs=2), splits) if isinstance(event, EpochDone)]
    assert [[one.lr for one in event.divergences] for event in epochs] == [[0.005], []]


def test_features_that_do_not_vary_get_no_weight(splits: Splits) -> None:
    class Dead(TinyPretrained):
        def module(self, classes: int) -> Any:
            network = NETWORK.module(classes)
            torch.nn.init.zeros_(network.get_parameter("last.norm.weight")[:3])
            torch.nn.init.zeros_(network.get_parameter("last.norm.bias")[:3])
            return network

    job = dataclasses.replace(job_of(), network=Dead())
    training = fine_tuning._new_training(job, splits, None)
    head = fine_tuning._fitted_head(training, last_linear(training.network), seed=0)
    assert float(head.weight_KF[:, :3].abs().max()) < 1e-3 < float(head.weight_KF.abs().max())


def test_an_interrupted_fine_tuning_goes_on_to_the_result_of_an_uninterrupted_one(splits: Splits) -> None:
    events = list(fine_tune(job_of(), splits))
    whole = outcome_of(events)
    first = next(event for event in events if isinstance(event, EpochDone))
    resumed = outcome_of(fine_tune(job_of(), splits, state=first.state))
    assert all(np.array_equal(resumed.weights[name], whole.weights[name]) for name in whole.weights)
    assert resumed.records == whole.records
    with pytest.raises(ValueError, match="a state of training must be whole"):
        next(fine_tune(job_of(), splits, state=first.state[:-9]))


def test_time_bounds_the_epochs(splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = outcome_of(fine_tune(job_of(minutes=1e-9), splits))
    assert outcome.epochs == pytest.approx(1 / 4)
    monkeypatch.setattr(fine_tuning, "MOST_MINUTES", 1e-9)
    assert outcome_of(fine_tune(job_of(), splits)).epochs == pytest.approx(1 / 4)


@pytest.mark.parametrize(("images", "epochs"), [(40, 30), (600, 10), (50_000, 2)])
def test_epochs_follow_the_number_of_images(images: int, epochs: float) -> None:
    settings = fine_tune_settings(images)
    assert settings.epochs == epochs
    assert settings.minutes is None
    assert fine_tune_settings(images, minutes=3).minutes == 3
    assert fine_tune_settings(12).batch_size == 12


def test_images_that_do_not_fit_into_memory_are_held_smaller_and_enlarged(splits: Splits) -> None:
    assert loaded_size(300, 224) == 224
    size = loaded_size(60_000, 224)
    assert 3 * size**2 * 60_000 <= MOST_BYTES < 3 * (size + 1) ** 2 * 60_000
    larger = dataclasses.replace(splits, network_size=16)
    x_BCHW, _ = next(ImageBatches(splits.test, larger).in_order(2))
    before_BCHW, _ = next(ImageBatches(splits.test, splits).in_order(2))
    assert x_BCHW.shape == (2, 3, 16, 16)
    assert x_BCHW.mean((2, 3)).numpy() == pytest.approx(before_BCHW.mean((2, 3)).numpy(), abs=0.05)


def test_counts_of_a_module_are_those_of_its_graph() -> None:
    class Unknown(TinyPretrained):
        def graph(self, classes: int) -> Any:
            return None

        def module(self, classes: int) -> Any:
            return NETWORK.module(classes)

    assert counts_of(Unknown(), 5) == counts_of(NETWORK, 5) == count(NETWORK.graph(5))
