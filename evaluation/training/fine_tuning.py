"""Fine-tuning of a pre-trained network on few images: its last layer on frozen features, then all of it.

Start with `fine_tune`. Shape suffixes: N images, F features, K classes, as in `evaluation.training.loop`.

Source: Kumar et al., "Fine-Tuning can Distort Pretrained Features" (ICLR 2022): the last layer first, then all.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from devices.quantization import Activations
from evaluation.accuracy import EVALUATION_BATCH
from evaluation.augmentation import augmentation_of
from evaluation.batches import ImageBatches
from evaluation.export import checked_files
from evaluation.pretrained.network import PretrainedNetwork, last_linear
from evaluation.splits import Splits
from evaluation.training.config import TrainSettings
from evaluation.training.job import StepDone, TrainEvent, TrainOutcome, epochs_of, training_images
from evaluation.training.logistic_regression import logistic_regression
from evaluation.training.loop import UNREADABLE, LossDivergedError, Training, state_content, top_accuracies
from search_space.boundary.text import reason_of

BATCH = 32
LR = 0.01
WEIGHT_DECAY = 1e-4
AVERAGE_DECAY = 0.99
IMAGES_SEEN = 6000
"""Training images that a default number of epochs amounts to, within `EPOCHS`."""
EPOCHS = (2, 30)
MOST_MINUTES = 10.0
"""Time of all epochs at most, where the user sets none."""
TRIAL_STEPS = 3
FEATURE_IMAGES = 1500
"""Images whose features the last layer is fitted to, augmented passes included, where there are fewer than these."""
MOST_FEATURE_IMAGES = 5000
MOST_PASSES = 3
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)
"""Weights of the squared norm of the last layer that are tried; the best on the selection split is taken."""
CLIP_NORM = 1.0
_HEAD = ("head_weight", "head_bias", "head_accuracy")


@dataclass(frozen=True, kw_only=True, slots=True)
class FineTuneJob:
    """One pre-trained network to fine-tune."""

    network: PretrainedNetwork
    settings: TrainSettings
    flip: bool | None
    """Whether half of the training images are mirrored; None unless all images are grey."""
    seed: int
    """Of the last layer's first weights, and of the order and augmentation of the images."""
    activations: Activations = "int8"
    """Type of activations in the int8 file."""

    @property
    def name(self) -> str:
        """Tells the jobs of a run apart."""
        return self.network.id


@dataclass(frozen=True, eq=False)
class _Head:
    """The last layer, fitted to the frozen features."""

    weight_KF: Tensor
    bias_K: Tensor
    accuracy: float
    """On the selection split, in [0, 1]."""


def fine_tune_settings(images: int, *, minutes: float | None = None) -> TrainSettings:
    """Settings for so many training images.

    Args:
        images: that there are to train on.
        minutes: time of all epochs; by default as many epochs as the number of images asks for, within `MOST_MINUTES`.
    """
    return TrainSettings(
        epochs=min(max(IMAGES_SEEN / images, EPOCHS[0]), EPOCHS[1]),
        minutes=minutes,
        batch_size=min(BATCH, images),
        lr=LR,
        weight_decay=WEIGHT_DECAY,
        warmup_fraction=0.1,
        average_decay=AVERAGE_DECAY,
    )


def fine_tune(
    job: FineTuneJob, splits: Splits, *, state: bytes | None = None, device: torch.device | None = None
) -> Iterator[TrainEvent]:
    """Fine-tune, or resume, and export; the test split is read last of all.

    BatchNorm keeps its statistics, as batches of few images have none to speak of. Of the network with nothing but its
    last layer fitted, and the one with all layers fine-tuned, that is delivered which is better on the selection split;
    the former where the loss of the latter does not stay finite.

    Args:
        job: what to fine-tune.
        splits: the network is trained on the weights and theta splits; in the size and with the figures that its
            weights expect.
        state: of the last `EpochDone` of an interrupted training.
        device: where to train.

    Yields:
        Steps, epochs, and last the outcome.

    Raises:
        ValueError: if the state cannot be read.
    """
    start = time.monotonic()
    training = _new_training(job, splits, device)
    layer = last_linear(training.network)
    if state is None:
        yield StepDone(0, training.total_steps)
        head = _fitted_head(training, layer, seed=job.seed)
        _set_head(training, head)
        _limit_steps(training)
        training.seconds += time.monotonic() - start
    else:
        training.load_state(state)
        head = _head_in(state, training.device)
    try:
        yield from epochs_of(training, dict(zip(_HEAD, (head.weight_KF, head.bias_K, head.accuracy), strict=True)))
    except LossDivergedError:
        # There is still the network whose last layer was fitted.
        yield _outcome(job, splits, training, head, diverged=True)
    else:
        yield _outcome(job, splits, training, head)


def _new_training(job: FineTuneJob, splits: Splits, device: torch.device | None) -> Training:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(np.random.SeedSequence(job.seed, spawn_key=(0,)).generate_state(1)[0]))
        network = job.network.module(len(splits.class_names))
    flip = not splits.grey if job.flip is None else job.flip
    size = splits.selection.size
    augmentation = augmentation_of("strong", size=size, flip=flip, grey=splits.grey)
    images = ImageBatches(training_images(splits), splits, augmentation=augmentation, device=device)
    selection = ImageBatches(splits.selection, splits, device=device)
    return Training(
        network, images, selection, job.settings, seed=job.seed, frozen_statistics=True, clip_norm=CLIP_NORM
    )


def _limit_steps(training: Training) -> None:
    """Fewer steps where the default number would take too long."""
    settings = training.settings
    minutes = MOST_MINUTES if settings.minutes is None else settings.minutes
    seconds = training.seconds_a_step(min(TRIAL_STEPS, training.total_steps))
    fitting = max(1, math.floor(60 * minutes / seconds))
    training.total_steps = fitting if settings.minutes is not None else min(training.total_steps, fitting)


@torch.no_grad()
def _features(network: nn.Module, layer: nn.Linear, images: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """What the last layer reads, shape (N, F), and labels, shape (N,)."""
    network.eval()
    seen: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].flatten(1)))
    labels = []
    try:
        for x_BCHW, labels_B in images:
            network(x_BCHW)
            labels.append(labels_B)
    finally:
        hook.remove()
    return torch.cat(seen), torch.cat(labels)


def _fitted_head(training: Training, layer: nn.Linear, *, seed: int) -> _Head:
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(3,)))
    images = training.images
    most = min(len(images), MOST_FEATURE_IMAGES)
    passes = min(max(FEATURE_IMAGES // len(images), 1), MOST_PASSES)
    parts = []
    for _ in range(passes):
        batches = images.batches(EVALUATION_BATCH, rng)
        parts.append(_features(training.network, layer, islice(batches, -(-most // EVALUATION_BATCH))))
    features_NF, labels_N = (torch.cat(values) for values in zip(*parts, strict=True))
    selection_NF, expected_N = _features(training.network, layer, training.selection.in_order(EVALUATION_BATCH))
    heads = []
    for penalty in PENALTIES:
        weight_KF, bias_K = logistic_regression(features_NF, labels_N, layer.out_features, penalty=penalty)
        logits_NK = F.linear(selection_NF, weight_KF, bias_K)
        accuracy = float((logits_NK.argmax(1) == expected_N).float().mean())
        heads.append((-accuracy, float(F.cross_entropy(logits_NK, expected_N)), _Head(weight_KF, bias_K, accuracy)))
    return min(heads, key=lambda entry: entry[:2])[2]


@torch.no_grad()
def _set_head(training: Training, head: _Head) -> None:
    """Give the network, and the average of its weights, a last layer."""
    for network in (training.network, training.averaged):
        layer = last_linear(network)
        layer.weight.copy_(head.weight_KF)
        layer.bias.copy_(head.bias_K)


def _head_in(state: bytes, device: torch.device) -> _Head:
    try:
        content = state_content(state, device)
        return _Head(*(content[name] for name in _HEAD))
    except UNREADABLE as error:
        reason = reason_of(error, most=200)
        raise ValueError(f"a state of fine-tuning must be whole, but is not: {reason}") from None


def _outcome(
    job: FineTuneJob, splits: Splits, training: Training, head: _Head, *, diverged: bool = False
) -> TrainOutcome:
    accuracy, network = 0.0 if diverged else training.records[-1].accuracy, training.averaged
    head_only = diverged or head.accuracy > accuracy
    if head_only:
        fresh = _new_training(job, splits, training.device)
        _set_head(fresh, head)
        accuracy, network = head.accuracy, fresh.averaged
    top1, top3 = top_accuracies(network, ImageBatches(splits.test, splits, device=training.device))
    network = network.cpu()
    return TrainOutcome(
        weights={name: value.contiguous().numpy() for name, value in network.state_dict().items()},
        selection_accuracy=accuracy,
        top1=top1,
        top3=top3,
        models=checked_files(
            job.network.onnx(network), network, splits, threads=torch.get_num_threads(), activations=job.activations
        ),
        records=tuple(training.records),
        epochs=training.epochs,
        seconds=round(training.seconds, 3),
        head_only=head_only,
    )
