"""The inner search: theta for one set of coefficients, over a pre-trained supernet with frozen weights.

Shape suffixes: B batch, C channels, H height, W width, K classes, L layers, O operators, T steps.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from dnas.batches import BatchSource, endless_batches
from dnas.costs import OperatorCosts
from dnas.losses import LOSSES, Coefficients, LossName
from dnas.relaxation import TemperatureSchedule, entropy, gumbel_noise, gumbel_softmax, random_theta
from dnas.supernet import Supernet


@dataclass(frozen=True, kw_only=True, slots=True)
class ThetaSettings:
    """How theta is searched."""

    steps: int = 60
    """Gradient steps on theta."""
    batch_size: int = 32
    """Images of the theta split in each step."""
    lr: float = 0.3
    """Learning rate of Adam on theta."""
    initial_scale: float = 0.5
    """Standard deviation of the random initial theta."""
    entropy_weight: float = 0.02
    """Weight of the mean entropy of theta, which is rewarded: it keeps several architectures likely."""
    temperature: TemperatureSchedule = field(default_factory=TemperatureSchedule)
    """Temperature of the Gumbel-softmax."""
    loss: LossName = "additive"
    """`additive` (default) or FBNet's `multiplicative`."""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"`steps >= 1` must hold for the search of theta, but got {self.steps}.")
        if self.batch_size < 2:
            raise ValueError(f"`batch_size >= 2` must hold (BatchNorm), but got {self.batch_size}.")
        if not self.lr > 0:
            raise ValueError(f"`lr > 0` must hold, but got {self.lr}.")
        for name in ("initial_scale", "entropy_weight"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"`{name} >= 0` must hold, but got {getattr(self, name)}.")
        if self.loss not in LOSSES:
            raise ValueError(f"`loss` must be one of {', '.join(LOSSES)}, but got {self.loss!r}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRecord:
    """Figures of one theta step."""

    loss: float
    cross_entropy: float
    """In nats, of the relaxed mixture on this step's batch."""
    accuracy: float
    """Of the relaxed mixture on this step's batch, in [0, 1]."""
    latency_ms: float
    """Expected latency under softmax(theta)."""
    energy_mj: float
    """Expected energy under softmax(theta)."""
    entropy: float
    """Mean entropy of the layers' distributions, in nats."""
    temperature: float

    @classmethod
    def of(cls, figures: Iterable[float]) -> StepRecord:
        """The record of figures in the order of the fields."""
        return cls(**dict(zip(_FIGURES, figures, strict=True)))

    @property
    def figures(self) -> tuple[float, ...]:
        """All of them, in the order of the fields."""
        return tuple(getattr(self, name) for name in _FIGURES)


_FIGURES = tuple(field.name for field in dataclasses.fields(StepRecord))


@dataclass(frozen=True)
class ThetaResult:
    """What an inner search found, and how it went."""

    theta_LO: npt.NDArray[np.float32]
    """Final architecture parameters."""
    records: tuple[StepRecord, ...]
    """One record a step."""
    probs_TLO: npt.NDArray[np.float32]
    """softmax(theta) after each step."""
    ended: tuple[float, ...] = ()
    """When each step ended, in seconds since 1970 by the clock of its machine; empty where that was not kept."""


def search_theta(
    supernet: Supernet,
    source: BatchSource,
    latency: OperatorCosts,
    energy: OperatorCosts,
    coefficients: Coefficients,
    settings: ThetaSettings,
    rng: np.random.Generator,
) -> ThetaResult:
    """Minimise the hardware-aware loss over theta; the supernet's weights are left as they are.

    Args:
        supernet: pre-trained weights.
        source: the theta split.
        latency: cost in ms, shape (L, O).
        energy: cost in mJ, shape (L, O).
        coefficients: alpha, beta, gamma, delta.
        settings: steps, temperature, entropy weight and so on.
        rng: initial theta, order of images and Gumbel noise.

    Source: FBNet, Algorithm 1 (theta steps), with exact expectations of the costs and an entropy bonus.
    """
    space = supernet.space
    trainable = [weight for weight in supernet.parameters() if weight.requires_grad]
    supernet.requires_grad_(requires_grad=False)
    device = next(supernet.parameters()).device
    latency, energy = latency.to(device), energy.to(device)
    latency_reference, energy_reference = latency.reference(), energy.reference()
    shape = (space.num_layers, len(space.operators))
    theta_LO = random_theta(*shape, scale=settings.initial_scale, rng=rng).to(device).requires_grad_()
    optimizer = torch.optim.Adam([theta_LO], lr=settings.lr, betas=(0.9, 0.99))
    batches = endless_batches(source, min(settings.batch_size, len(source)), rng)
    loss_of = LOSSES[settings.loss]
    figures, temperatures, probs, ended = [], [], [], []
    for step in range(settings.steps):
        temperature = settings.temperature.at(step / max(1, settings.steps - 1))
        temperatures.append(temperature)
        x_BCHW, labels_B = next(batches)
        relaxed_LO = gumbel_softmax(theta_LO, gumbel_noise(*shape, rng).to(device), temperature)
        logits_BK = supernet.forward_mixture(x_BCHW, relaxed_LO)
        cross_entropy = F.cross_entropy(logits_BK, labels_B)
        probs_LO = torch.softmax(theta_LO, -1)
        latency_ms, energy_mj = latency.expected(probs_LO), energy.expected(probs_LO)
        loss = loss_of(cross_entropy, latency_ms / latency_reference, energy_mj / energy_reference, coefficients)
        mean_entropy = entropy(theta_LO)
        optimizer.zero_grad()
        torch.autograd.backward(loss - settings.entropy_weight * mean_entropy)
        optimizer.step()
        accuracy = (logits_BK.argmax(-1) == labels_B).float().mean()
        figures.append(torch.stack((loss, cross_entropy, accuracy, latency_ms, energy_mj, mean_entropy)).detach())
        probs.append(torch.softmax(theta_LO.detach(), -1))
        ended.append(time.time())
    for weight in trainable:
        weight.requires_grad_()
    records = tuple(
        StepRecord.of(values) for values in zip(*torch.stack(figures, 1).tolist(), temperatures, strict=True)
    )
    return ThetaResult(theta_LO.detach().cpu().numpy(), records, torch.stack(probs).cpu().numpy(), tuple(ended))
