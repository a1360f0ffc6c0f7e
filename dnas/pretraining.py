"""Shared pre-training: the supernet's weights, trained once before all inner searches.

`Pretraining` runs epoch by epoch and its state can be saved between epochs; the random numbers of an epoch depend
on seed and epoch alone, so a resumed run equals an uninterrupted one.
Shape suffixes: B batch, C channels, H height, W width, L layers, O operators.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dnas.batches import BatchSource
from dnas.optimizer import parameter_groups
from dnas.relaxation import gumbel_noise, gumbel_softmax
from dnas.schedule import lr_factor_within
from dnas.supernet import Supernet


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainSettings:
    """How the supernet's weights are trained."""

    epochs: int
    """Passes over the weights split; 0 leaves the random weights."""
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

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise ValueError(f"`epochs >= 0` must hold for pre-training, but got {self.epochs}.")
        if self.batch_size < 2:
            raise ValueError(f"`batch_size >= 2` must hold (BatchNorm), but got {self.batch_size}.")
        if not self.lr > 0:
            raise ValueError(f"`lr > 0` must hold, but got {self.lr}.")
        if not self.weight_decay >= 0:
            raise ValueError(f"`weight_decay >= 0` must hold, but got {self.weight_decay}.")
        for name in ("warmup_fraction", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"`0 <= {name} < 1` must hold, but got {getattr(self, name)}.")


@dataclass(frozen=True)
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


Forward = Callable[[Supernet, Tensor, np.random.Generator], Tensor]
"""Logits of one weight step from supernet, images and random numbers."""


def sampled_path(supernet: Supernet, x_BCHW: Tensor, rng: np.random.Generator) -> Tensor:
    """Logits of one uniformly sampled architecture (single-path one-shot; Guo et al., 2020)."""
    num_operators = len(supernet.space.operators)
    indices = tuple(int(index) for index in rng.integers(num_operators, size=supernet.space.num_layers))
    return supernet.forward_path(x_BCHW, indices)


def mixed_paths(supernet: Supernet, x_BCHW: Tensor, rng: np.random.Generator) -> Tensor:
    """Logits of all paths mixed by Gumbel-softmax of uniform theta at temperature 5 (FBNet's first epochs)."""
    num_layers, num_operators = supernet.space.num_layers, len(supernet.space.operators)
    theta_LO = torch.zeros(num_layers, num_operators)
    noise_LO = gumbel_noise(num_layers, num_operators, rng)
    return supernet.forward_mixture(x_BCHW, gumbel_softmax(theta_LO, noise_LO, 5.0).to(x_BCHW.device))


class Pretraining:
    """Trains a supernet's weights, an epoch a call."""

    def __init__(
        self,
        supernet: Supernet,
        source: BatchSource,
        settings: PretrainSettings,
        *,
        seed: int,
        forward: Forward = sampled_path,
    ) -> None:
        self.supernet = supernet
        self.source = source
        self.settings = settings
        self.seed = seed
        self.forward = forward
        self.epochs_done = 0
        steps_an_epoch = max(1, len(source) // settings.batch_size)
        self.total_steps = max(1, steps_an_epoch * settings.epochs)
        self.step = 0
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

    def run_epoch(self) -> PretrainRecord:
        """One pass over the source, of whole batches only."""
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, self.epochs_done]))
        losses, correct, seen, lr = torch.zeros((), dtype=torch.double), torch.zeros((), dtype=torch.long), 0, 0.0
        for x_BCHW, labels_B in self.source.batches(self.settings.batch_size, rng):
            if seen and len(labels_B) < self.settings.batch_size:
                continue
            lr = self._set_lr()
            self.optimizer.zero_grad(set_to_none=True)
            logits_BK = self.forward(self.supernet, x_BCHW, rng)
            loss = F.cross_entropy(logits_BK, labels_B, label_smoothing=self.settings.label_smoothing)
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(self.supernet.parameters(), 5.0)
            self.optimizer.step()
            self.step += 1
            losses = losses.to(loss.device) + loss.detach().double() * len(labels_B)
            correct = correct.to(loss.device) + (logits_BK.argmax(-1) == labels_B).sum()
            seen += len(labels_B)
        self.epochs_done += 1
        return PretrainRecord(self.epochs_done, float(losses) / seen, int(correct) / seen, lr)

    def state(self) -> dict[str, Any]:
        """A copy of all that `load_state` needs to continue after the last finished epoch."""
        state = {
            "weights": self.supernet.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epochs_done": self.epochs_done,
            "step": self.step,
        }
        return copy.deepcopy(state)

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self.supernet.load_state_dict(state["weights"])
        self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        self.epochs_done = int(state["epochs_done"])
        self.step = int(state["step"])

    def _set_lr(self) -> float:
        lr = self.settings.lr * lr_factor_within(self.step, self.total_steps, self.settings.warmup_fraction)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        return lr
