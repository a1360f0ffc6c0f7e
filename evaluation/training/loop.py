"""Training one network for deployment. Start with `Training`.

It runs epoch by epoch and its state can be saved between epochs; the random numbers of an epoch depend on seed and
epoch alone, so on a CPU a resumed training equals an uninterrupted one bit by bit (a GPU's sums vary by themselves).
Shape suffixes: B batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import copy
import dataclasses
import io
import itertools
import pickle
import statistics
import struct
import time
import zipfile
from collections.abc import Generator, Iterator, Mapping
from dataclasses import astuple, dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dnas.batches import DRAWN_STEPS
from dnas.divergence import LR_FACTOR, Divergence, divergence
from dnas.mixed_precision import is_bf16, mixed_precision
from dnas.optimizer import parameter_groups
from dnas.schedule import lr_factor
from dnas.supernets.depthwise import depthwise_conv
from evaluation.accelerators import exact_float32
from evaluation.accuracy import EVALUATION_BATCH
from evaluation.batches import ImageBatches
from evaluation.training.config import TrainSettings
from evaluation.training.mixing import Mix, drawn_mix, mixed, mixes
from evaluation.training.objectives import Classification, Objective, Targets
from evaluation.training.recipe import train_recipe
from search_space.boundary.text import reason_of
from search_space.networks import ConvBlock

UNREADABLE = (
    RuntimeError, pickle.UnpicklingError, EOFError, OSError, LookupError, TypeError, ValueError, AttributeError,
    struct.error, OverflowError, zipfile.BadZipFile,
)  # fmt: skip
"""What reading a damaged state may raise; `MemoryError` says nothing of the state."""
TRIAL_STEPS = 15
"""Steps whose median time gives how many fit into a number of minutes."""


@dataclass(frozen=True)
class TrainRecord:
    """Figures of one epoch."""

    epoch: int
    """Number of the epoch, from 1."""
    loss: float
    """Mean training loss (smoothed cross-entropy of augmented images, in nats)."""
    accuracy: float
    """Accuracy of the averaged weights on the selection split, in [0, 1]."""
    lr: float
    """Learning rate of the last step."""


class LossDivergedError(ValueError):
    """The loss of a training is no longer finite, however low its learning rate."""


class Training:
    """Trains a network's weights, an epoch at a time.

    Args:
        network: is moved to the device of the images, and trained in place.
        images: augmented training images.
        selection: images that each epoch's accuracy is reported on; nothing is chosen by them.
        settings: how to train.
        seed: of the order and augmentation of the images.
        frozen_statistics: whether BatchNorm keeps the statistics that it has, as suits small batches of few images.
        clip_norm: norm of all gradients together that a step is scaled down to; None for no bound.
        objective: what is minimised; by default the cross-entropy of the network's scores.
    """

    def __init__(
        self,
        network: nn.Module,
        images: ImageBatches,
        selection: ImageBatches,
        settings: TrainSettings,
        *,
        seed: int,
        frozen_statistics: bool = False,
        clip_norm: float | None = None,
        objective: Objective | None = None,
    ) -> None:
        self.images = images
        self.selection = selection
        self.settings = settings
        self.recipe = train_recipe(settings, images.images)
        self.seed = seed
        self.frozen_statistics = frozen_statistics
        self.clip_norm = clip_norm
        self.objective = Classification(settings.label_smoothing) if objective is None else objective
        self.device = images.labels_N.device
        self.network = network.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if not is_bf16(settings.precision, self.device):
            use_quick_depthwise(self.network)
        self.averaged = copy.deepcopy(self.network).requires_grad_(requires_grad=False).eval()
        self.optimizer = torch.optim.SGD(
            parameter_groups(self.network, self.recipe.weight_decay),
            lr=self.recipe.lr,
            momentum=settings.momentum,
            nesterov=settings.momentum > 0,
        )
        self.steps_an_epoch = max(1, len(images) // self.recipe.batch_size)
        self.total_steps = max(1, round(self.steps_an_epoch * self.recipe.epochs))
        """Steps of the whole training; where it is bounded by time, they are set by the first epoch."""
        self.step = 0
        self.records: list[TrainRecord] = []
        self.divergences: list[Divergence] = []
        """Why training went back, and on with half the learning rate, each time that it did."""
        self._good: dict[str, Any] | None = None
        """What the last epoch that went well began from."""
        self.seconds = 0.0
        """Time spent so far, resumed epochs included."""

    @property
    def done(self) -> bool:
        """Whether all steps were made."""
        return self.step >= self.total_steps

    @property
    def epochs(self) -> float:
        """Passes over the training images, of the whole training."""
        return self.total_steps / self.steps_an_epoch

    def epoch(self) -> Generator[int, None, TrainRecord]:
        """One pass over the training images, of whole batches only, or what is left of the last one.

        Where it diverges, training goes back to where the epoch before began, and on with half the learning rate.

        Yields:
            The number of steps made so far, after each step.

        Returns:
            Figures of the epoch.

        Raises:
            LossDivergedError: if the loss is no longer finite, however low the learning rate.
        """
        while True:
            before = self._snapshot()
            record = yield from self._pass()
            found = divergence(
                record.loss,
                epoch=record.epoch,
                classes=self._classes,
                lr=self.peak_lr,
                restarts=len(self.divergences),
                warm=self.step >= self.settings.warmup_fraction * self.total_steps,
            )
            if found is None:
                self._good = before
                return record
            if found.lr is None:
                self._restore(before)
                raise LossDivergedError(
                    f"the training loss must stay finite, but is {found.loss} in epoch {found.epoch}; choose a lower "
                    f"--lr than {self.recipe.lr}."
                )
            self._restore(self._good or before)
            self.divergences.append(found)

    @property
    def peak_lr(self) -> float:
        """Peak learning rate, as it is after training went back."""
        return self.recipe.lr * LR_FACTOR ** len(self.divergences)

    def _pass(self) -> Generator[int, None, TrainRecord]:
        start, epoch = time.monotonic(), len(self.records)
        if not self.step and self.settings.minutes is not None:
            self.total_steps = max(1, round(60 * self.settings.minutes / self.seconds_a_step()))
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(1, epoch)))
        self._set_mode()
        losses, lr = list[Tensor](), 0.0
        steps = min(self.steps_an_epoch, self.total_steps - self.step)
        for x_BCHW, labels_B, mix in self._batches(steps, rng):
            lr = self.peak_lr * lr_factor(self.step, self.total_steps, self.settings.warmup_fraction)
            losses.append(self._step(x_BCHW, labels_B, mix, lr))
            yield self.step
        # In float64, which not every GPU has.
        loss = sum(torch.stack(losses).tolist()) / steps
        record = TrainRecord(epoch + 1, loss, self.objective.accuracy(self.averaged, self.selection), lr)
        self.records.append(record)
        self.seconds += time.monotonic() - start
        return record

    def state(self, beside: Mapping[str, Any] | None = None) -> bytes:
        """All that `load_state` needs to continue after the last finished epoch.

        Args:
            beside: further tensors and numbers to keep, for `state_content`.
        """
        content = (
            dict(beside or {})
            | self._snapshot()
            | {
                "total_steps": self.total_steps,
                "seconds": self.seconds,
                "divergences": [dataclasses.asdict(one) for one in self.divergences],
                "good": self._good,
            }
        )
        buffer = io.BytesIO()
        torch.save(content, buffer)
        return buffer.getvalue()

    def load_state(self, state: bytes) -> None:
        """Continue from a saved state.

        Raises:
            ValueError: if it is cut, or is not of this network.
        """
        try:
            content = state_content(state, self.device)
            self._restore(content)
            self.total_steps = int(content["total_steps"])
            self.seconds = float(content["seconds"])
            # Earlier versions had neither.
            self.divergences = [Divergence(**one) for one in content.get("divergences", ())]
            self._good = content.get("good")
        except UNREADABLE as error:
            raise _refused(error) from None

    def _snapshot(self) -> dict[str, Any]:
        tensors = {
            "weights": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        return copy.deepcopy(tensors) | {"step": self.step, "records": [astuple(record) for record in self.records]}

    def _restore(self, snapshot: Mapping[str, Any]) -> None:
        self.network.load_state_dict(snapshot["weights"])
        self.averaged.load_state_dict(snapshot["averaged"])
        self.optimizer.load_state_dict(copy.deepcopy(snapshot["optimizer"]))
        self.step = int(snapshot["step"])
        self.records = _records(snapshot)

    def _set_mode(self) -> None:
        self.network.train()
        for module in self.network.modules() if self.frozen_statistics else ():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()

    def seconds_a_step(self, trial_steps: int = TRIAL_STEPS) -> float:
        """Median time of a step, of a copy, so that this training stays untouched."""
        shared = {id(images): images for images in (self.images, self.selection)}
        trial = copy.deepcopy(self, shared)
        trial._set_mode()
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(2,)))
        seconds, batches = [], itertools.cycle(self._batches(trial_steps, rng))
        for x_BCHW, labels_B, mix in islice(batches, trial_steps):
            start = time.perf_counter()
            float(trial._step(x_BCHW, labels_B, mix, 0.0))
            seconds.append(time.perf_counter() - start)
        return statistics.median(seconds)

    def _batches(self, most: int, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor, Mix]]:
        """The first batches of a pass; what chance decides is drawn before, for many at once."""
        size, settings = self.images.network_shape[1:], self.settings
        draws = islice(self.images.draws(self.recipe.batch_size, rng), most)
        drawing = ((draw, drawn_mix(settings, (len(draw), *size), rng)) for draw in draws)
        while drawn := list(islice(drawing, DRAWN_STEPS)):
            batches = self.images.read([draw for draw, _ in drawn])
            of_batch = mixes([mix for _, mix in drawn], self.device)
            for (x_BCHW, labels_B), mix in zip(batches, of_batch, strict=True):
                yield x_BCHW, labels_B, mix

    def _step(self, x_BCHW: Tensor, labels_B: Tensor, mix: Mix, lr: float) -> Tensor:
        """One step of SGD and of the average; its cross-entropy."""
        settings = self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        x_BCHW = mixed(x_BCHW, mix, side=settings.cutout)
        self.optimizer.zero_grad(set_to_none=True)
        with mixed_precision(settings.precision, self.device):
            scores = self.objective.scores(self.network, x_BCHW)
        self._classes = scores[0].shape[1]
        partner_labels_B = labels_B if mix.partner_B is None else labels_B[mix.partner_B]
        loss, cross_entropy = self.objective.loss(scores, Targets(labels_B, partner_labels_B, mix.share))
        torch.autograd.backward(loss)
        if self.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.clip_norm)
        self.optimizer.step()
        decay = average_decay(self.step, self.recipe.average_decay)
        update_average(self.averaged, self.network, decay)
        self.step += 1
        return cross_entropy.detach()


def records_in(state: bytes) -> tuple[TrainRecord, ...]:
    """Figures of the epochs that a saved state has.

    Raises:
        ValueError: if it is cut.
    """
    try:
        return tuple(_records(state_content(state, torch.device("cpu"))))
    except UNREADABLE as error:
        raise _refused(error) from None


def average_decay(step: int, decay: float) -> float:
    """Decay of the average at a step, from 0: small at first, so that the average forgets the first weights.

    Source: `num_updates` of TensorFlow's `ExponentialMovingAverage`.
    """
    return min(decay, (1 + step) / (10 + step))


@torch.no_grad()
def update_average(averaged: nn.Module, network: nn.Module, decay: float) -> None:
    """Move an average of weights and BatchNorm statistics towards a network: `decay * average + (1 - decay) * new`."""
    pairs = list(zip(_tensors(averaged), _tensors(network), strict=True))
    moved = [(old, new) for old, new in pairs if old.is_floating_point()]
    counted = [(old, new) for old, new in pairs if not old.is_floating_point()]
    # One launch for hundreds of tensors on a GPU.
    torch._foreach_lerp_([old for old, _ in moved], [new for _, new in moved], 1 - decay)
    if counted:
        torch._foreach_copy_([old for old, _ in counted], [new for _, new in counted])


@exact_float32()
@torch.no_grad()
def top_accuracies(network: nn.Module, images: ImageBatches, *, places: tuple[int, ...] = (1, 3)) -> tuple[float, ...]:
    """Share of images whose label is among the best `places` classes; reads the images once, sets evaluation mode.

    Images or classes count alike, as the splits say.
    """
    network.eval()
    hits = []
    for x_BCHW, labels_B in images.in_order(EVALUATION_BATCH):
        logits_BK = network(x_BCHW)
        best_BP = logits_BK.topk(min(max(places), logits_BK.shape[1])).indices
        hits.append((best_BP == labels_B[:, None]).cpu())
    hit_NP = torch.cat(hits).numpy()
    return tuple(images.share_of(np.any(hit_NP[:, :place], axis=1)) for place in places)


def use_quick_depthwise(network: nn.Module) -> None:
    """Have 5x5 depthwise convolutions computed by `depthwise_conv`; names and weights stay as they are."""
    for block in network.modules():
        if isinstance(block, ConvBlock) and isinstance(block.conv, nn.Conv2d) and _is_5x5_depthwise(block.conv):
            block.add_module("conv", _QuickDepthwise(block.conv))


class _QuickDepthwise(nn.Module):
    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight = conv.weight
        self.stride = conv.stride[0]

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return depthwise_conv(x_BCHW, self.weight, self.stride)


def _is_5x5_depthwise(conv: nn.Conv2d) -> bool:
    padded = conv.padding == (2, 2)  # Else its block pads, as TensorFlow does.
    return padded and conv.kernel_size == (5, 5) and conv.groups == conv.in_channels == conv.out_channels


def state_content(state: bytes, device: torch.device) -> dict[str, Any]:
    """What a saved state holds.

    Raises:
        OSError: or another of `UNREADABLE`, if it is cut.
    """
    content: dict[str, Any] = torch.load(io.BytesIO(state), map_location=device, weights_only=True)
    return content


def _records(content: Mapping[str, Any]) -> list[TrainRecord]:
    return [TrainRecord(*values) for values in content["records"]]


def _refused(error: BaseException) -> ValueError:
    reason = reason_of(error, most=200)
    return ValueError(f"a state of training must be whole and of this network, but is not: {reason}")


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]
