"""Shared pre-training: the supernet's weights, trained once before all inner searches.

`Pretraining` runs epoch by epoch and its state can be saved between epochs; the random numbers of an epoch depend
on seed and epoch alone, so a resumed run equals an uninterrupted one. An epoch that diverges is done again more slowly.
Shape suffixes: B batch, C channels, H height, W width, L layers, O operators.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dnas.batches import DRAWN_STEPS, BatchDraw, BatchSource
from dnas.build import WeightSharing
from dnas.divergence import LR_FACTOR, Divergence, divergence
from dnas.optimizer import parameter_groups
from dnas.relaxation import gumbel_noise, gumbel_softmax
from dnas.schedule import lr_factor_within
from dnas.supernet import Supernet
from search_space.spaces import FBNetSpace

NARROW_CHANNELS = 128
"""Channels of a last layer up to which its classifier learns as quickly as the convolutions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainSettings:
    """How the supernet's weights are trained."""

    epochs: int
    """Epochs of `passes` over the weights split; 0 leaves the random weights."""
    batch_size: int = 64
    """Images a step."""
    lr: float = 0.3
    """Peak learning rate of SGD with Nesterov momentum 0.9."""
    weight_decay: float = 1e-4
    """Weight decay of convolutions and the classifier."""
    warmup_fraction: float = 0.05
    """Share of all steps in which the learning rate rises linearly, before its cosine decay to zero."""
    label_smoothing: float = 0.0
    """Probability mass spread over all classes in the training target, in [0, 1)."""
    passes: int = 1
    """Passes over the weights split in an epoch: several where there are few images, so that its figures mean much."""
    largest_share: float = 0.0
    """Share of the steps, in [0, 1], that train the largest architecture instead of a sampled one."""

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise ValueError(f"`epochs >= 0` must hold for pre-training, but got {self.epochs}.")
        if self.batch_size < 2:
            raise ValueError(f"`batch_size >= 2` must hold (BatchNorm), but got {self.batch_size}.")
        if not self.lr > 0:
            raise ValueError(f"`lr > 0` must hold, but got {self.lr}.")
        if not self.weight_decay >= 0:
            raise ValueError(f"`weight_decay >= 0` must hold, but got {self.weight_decay}.")
        if self.passes < 1:
            raise ValueError(f"`passes >= 1` must hold, but got {self.passes}.")
        for name in ("warmup_fraction", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"`0 <= {name} < 1` must hold, but got {getattr(self, name)}.")
        if not 0 <= self.largest_share <= 1:
            raise ValueError(f"`0 <= largest_share <= 1` must hold, but got {self.largest_share}.")

    def steps_an_epoch(self, images: int) -> int:
        """Steps of an epoch with so many images, of whole batches only where there is one."""
        return self.passes * max(1, images // self.batch_size)


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainRecord:
    """Figures of one epoch of pre-training, over the training batches."""

    epoch: int
    """Number of the epoch, from 1."""
    loss: float
    """Mean training loss (cross-entropy, in nats)."""
    accuracy: float
    """Mean accuracy of the sampled paths on augmented training images, in [0, 1]."""
    lr: float
    """Learning rate of the last step."""
    divergence: Divergence | None = None
    """Why the epoch does not count, if it does not."""


def weighted_sum(values: Sequence[Tensor], weights: Sequence[int]) -> float:
    """The sum of numbers on a device in float64, which not every GPU has: taken here, of all that are read at once."""
    read: list[float] = torch.stack(list(values)).tolist()
    return sum(value * weight for value, weight in zip(read, weights, strict=True))


Forward = Callable[[Tensor], Tensor]
"""Logits of one weight step from its images."""
DrawForward = Callable[[Supernet, np.random.Generator], Forward]
"""What chance decides that a weight step trains."""


def sampled_path(supernet: Supernet, rng: np.random.Generator) -> Forward:
    """Logits of one uniformly sampled architecture (single-path one-shot; Guo et al., 2020)."""
    num_operators = len(supernet.space.operators)
    indices = tuple(int(index) for index in rng.integers(num_operators, size=supernet.space.num_layers))
    return partial(supernet.forward_path, indices=indices)


def weight_step_forward(weight_sharing: WeightSharing, largest_share: float) -> DrawForward:
    """What a weight step trains: sampled paths where weights are shared, FBNet's mixture where not.

    Args:
        weight_sharing: of the supernet.
        largest_share: as in `PretrainSettings`; a mixture has all paths in every step, and ignores it.
    """
    if weight_sharing == "separate":
        return mixed_paths
    return sampled_or_largest(largest_share) if largest_share else sampled_path


def sampled_or_largest(share: float) -> DrawForward:
    """Logits of the largest architecture in a share of the steps, of a sampled one in the others.

    All candidates of a layer are views of the largest one's weights, which a sampled path trains in small parts only.

    Source: the sandwich rule (Yu et al., "Universally Slimmable Networks", ICCV 2019; Yu et al., "BigNAS", ECCV 2020).
    Departure: one architecture a step, in turns by chance; the smallest one is not singled out.

    Args:
        share: of the steps, in (0, 1].
    """

    def draw(supernet: Supernet, rng: np.random.Generator) -> Forward:
        if rng.random() >= share:
            return sampled_path(supernet, rng)
        indices = (largest_operator(supernet.space),) * supernet.space.num_layers
        return partial(supernet.forward_path, indices=indices)

    return draw


def largest_operator(space: FBNetSpace) -> int:
    """Index of the candidate with the widest expansion, of these the largest kernel, of these the fewest groups."""
    candidates = space.candidates
    return max(
        range(len(candidates)),
        key=lambda index: (candidates[index].expansion, candidates[index].kernel, -candidates[index].groups),
    )


def mixed_paths(supernet: Supernet, rng: np.random.Generator) -> Forward:
    """Logits of all paths mixed by Gumbel-softmax of uniform theta at temperature 5 (FBNet's first epochs)."""
    num_layers, num_operators = supernet.space.num_layers, len(supernet.space.operators)
    theta_LO = torch.zeros(num_layers, num_operators)
    noise_LO = gumbel_noise(num_layers, num_operators, rng)
    device = next(supernet.parameters()).device
    return partial(supernet.forward_mixture, probs_LO=gumbel_softmax(theta_LO, noise_LO, 5.0).to(device))


class Pretraining:
    """Trains a supernet's weights, an epoch a call."""

    def __init__(
        self,
        supernet: Supernet,
        source: BatchSource,
        settings: PretrainSettings,
        *,
        seed: int,
        forward: DrawForward = sampled_path,
    ) -> None:
        self.supernet = supernet
        self.source = source
        self.settings = settings
        self.seed = seed
        self.forward = forward
        self.epochs_done = 0
        self.total_steps = max(1, settings.steps_an_epoch(len(source)) * settings.epochs)
        self.step = 0
        self.restarts = 0
        """Epochs that diverged, each of which halved the learning rate."""
        self._good: dict[str, Any] | None = None
        """What the last epoch that went well began from."""
        self.optimizer = torch.optim.SGD(
            parameter_groups(supernet, settings.weight_decay),
            lr=settings.lr,
            momentum=0.9,
            nesterov=True,
            fused=True,
        )
        # The fused step needs all of them at once, and paths give gradients to a part of the weights.
        for parameter in supernet.parameters():
            self.optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)

    @property
    def peak_lr(self) -> float:
        """Peak learning rate, as it is after restarts."""
        return self.settings.lr * LR_FACTOR**self.restarts

    @property
    def done(self) -> bool:
        """Whether all epochs were made."""
        return self.epochs_done >= self.settings.epochs

    def run_epoch(self) -> PretrainRecord:
        """One epoch; where it diverges, training goes back, and on with half the learning rate.

        It goes back to where the epoch before began: what that had learnt by its end is not known to be good.
        """
        before = self._snapshot()
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, self.epochs_done]))
        correct, lr = torch.zeros((), dtype=torch.long, device=next(self.supernet.parameters()).device), 0.0
        losses, sizes = list[Tensor](), list[int]()
        for x_BCHW, labels_B, forward in self.steps(rng):
            lr = self._set_lr()
            self.optimizer.zero_grad(set_to_none=True)
            logits_BK = forward(x_BCHW)
            loss = F.cross_entropy(logits_BK, labels_B, label_smoothing=self.settings.label_smoothing)
            torch.autograd.backward(loss)
            self._calm_classifier()
            torch.nn.utils.clip_grad_norm_(self.supernet.parameters(), 5.0)
            self.optimizer.step()
            self.step += 1
            losses.append(loss.detach())
            correct += (logits_BK.argmax(-1) == labels_B).sum()
            sizes.append(len(labels_B))
        self.epochs_done += 1
        mean, accuracy = weighted_sum(losses, sizes) / sum(sizes), int(correct) / sum(sizes)
        found = divergence(
            mean,
            epoch=self.epochs_done,
            classes=self.supernet.space.classes,
            lr=self.peak_lr,
            restarts=self.restarts,
            warm=self.step >= self.settings.warmup_fraction * self.total_steps,
        )
        record = PretrainRecord(epoch=self.epochs_done, loss=mean, accuracy=accuracy, lr=lr, divergence=found)
        if found is None:
            self._good = before
        else:
            self._restore(self._good or before)
            self.restarts += 1
        return record

    def state(self) -> dict[str, Any]:
        """A copy of all that `load_state` needs to continue after the last finished epoch."""
        return {**self._snapshot(), "restarts": self.restarts, "good": copy.deepcopy(self._good)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self._restore(state)
        # Earlier versions had neither.
        self.restarts = int(state.get("restarts", 0))
        self._good = copy.deepcopy(state.get("good"))

    def _snapshot(self) -> dict[str, Any]:
        state = {
            "weights": self.supernet.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epochs_done": self.epochs_done,
            "step": self.step,
        }
        return copy.deepcopy(state)

    def _restore(self, snapshot: dict[str, Any]) -> None:
        self.supernet.load_state_dict(snapshot["weights"])
        self.optimizer.load_state_dict(copy.deepcopy(snapshot["optimizer"]))
        self.epochs_done = int(snapshot["epochs_done"])
        self.step = int(snapshot["step"])

    def _calm_classifier(self) -> None:
        """Make the classifier's steps as large for wide last layers as for narrow ones.

        Its features are averages after a ReLU, all of one sign, so that the loss curves the more in its weights the
        more there are: with nearly 2,000 of them, steps that suit the convolutions let it diverge.
        """
        share = NARROW_CHANNELS / self.supernet.space.last_channels
        for name, weight in self.supernet.named_parameters():
            if share < 1 and name.startswith("classifier.") and weight.grad is not None:
                weight.grad.mul_(share)

    def steps(self, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor, Forward]]:
        """Images, labels and forward pass of an epoch's steps; chance is drawn beforehand, for many at once."""
        drawing = ((draw, self.forward(self.supernet, rng)) for draw in self._draws(rng))
        while drawn := list(islice(drawing, DRAWN_STEPS)):
            batches = self.source.read([draw for draw, _ in drawn])
            for (x_BCHW, labels_B), (_, forward) in zip(batches, drawn, strict=False):
                yield x_BCHW, labels_B, forward

    def _draws(self, rng: np.random.Generator) -> Iterator[BatchDraw]:
        """An epoch's batches: whole ones only, where there is one."""
        size = self.settings.batch_size
        for _ in range(self.settings.passes):
            for draw in self.source.draws(size, rng):
                if len(draw) == size or len(self.source) < size:
                    yield draw

    def _set_lr(self) -> float:
        lr = self.peak_lr * lr_factor_within(self.step, self.total_steps, self.settings.warmup_fraction)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        return lr
