"""The inner search: theta for one set of coefficients, over a pre-trained supernet with frozen weights.

Shape suffixes: B batch, C channels, H height, W width, K classes, L layers, O operators, T steps.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from dnas.batches import BatchSource, endless_draws
from dnas.costs import OperatorCosts
from dnas.losses import LOSSES, Coefficients, LossName
from dnas.mixed_precision import in_fp32, mixed_precision
from dnas.relaxation import TemperatureSchedule, entropy, gumbel_noise, gumbel_softmax, random_theta
from dnas.supernets.supernet import Supernet
from dnas.train_precision import TrainPrecision

TOLD_APART_SECONDS = 1.0
"""From one time that steps are told to the next, at least; what takes less tells nothing."""


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


OnSteps = Callable[[int, tuple[StepRecord, ...], tuple[float, ...]], None]
"""Is told how many steps are done, those that are new, and when each of these ended, in seconds since 1970."""


def search_theta(
    supernet: Supernet,
    source: BatchSource,
    latency: OperatorCosts,
    energy: OperatorCosts,
    coefficients: Coefficients,
    settings: ThetaSettings,
    rng: np.random.Generator,
    *,
    on_steps: OnSteps | None = None,
    precision: TrainPrecision = "fp32",
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
        on_steps: is told of steps every `TOLD_APART_SECONDS`, and of the rest at the end; nothing where all take less.
        precision: what the supernet computes in; theta, costs and loss are fp32.

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
    drawing = endless_draws(source, min(settings.batch_size, len(source)), rng)
    drawn = [(next(drawing), gumbel_noise(*shape, rng)) for _ in range(settings.steps)]
    batches = source.read([draw for draw, _ in drawn])
    noise_TLO = torch.stack([noise_LO for _, noise_LO in drawn]).to(device)
    loss_of = LOSSES[settings.loss]
    course, probs = ThetaCourse(on_steps), []
    for step, ((x_BCHW, labels_B), noise_LO) in enumerate(zip(batches, noise_TLO.unbind(), strict=True)):
        temperature = settings.temperature.at(step / max(1, settings.steps - 1))
        relaxed_LO = gumbel_softmax(theta_LO, noise_LO, temperature)
        with mixed_precision(precision, device):
            logits_BK = in_fp32(supernet.forward_mixture(x_BCHW, relaxed_LO))
        cross_entropy = F.cross_entropy(logits_BK, labels_B)
        probs_LO = torch.softmax(theta_LO, -1)
        latency_ms, energy_mj = latency.expected(probs_LO), energy.expected(probs_LO)
        loss = loss_of(cross_entropy, latency_ms / latency_reference, energy_mj / energy_reference, coefficients)
        mean_entropy = entropy(theta_LO)
        optimizer.zero_grad()
        torch.autograd.backward(loss - settings.entropy_weight * mean_entropy)
        optimizer.step()
        accuracy = (logits_BK.argmax(-1) == labels_B).float().mean()
        probs.append(torch.softmax(theta_LO.detach(), -1))
        course.end_step(torch.stack((loss, cross_entropy, accuracy, latency_ms, energy_mj, mean_entropy)), temperature)
    for weight in trainable:
        weight.requires_grad_()
    course.tell_rest()
    probs_TLO = torch.stack(probs).cpu().numpy()
    return ThetaResult(theta_LO.detach().cpu().numpy(), course.records(), probs_TLO, tuple(course.ended))


class ThetaCourse:
    """Figures of the steps so far, which stay on their device until they are asked for."""

    def __init__(self, on_steps: OnSteps | None) -> None:
        self.ended: list[float] = []
        self._on_steps = on_steps
        self._figures: list[Tensor] = []
        self._temperatures: list[float] = []
        self._told = 0
        self._told_at = time.monotonic()

    def end_step(self, figures: Tensor, temperature: float) -> None:
        """Keep a step that has just ended, and tell of those since the last time where that is long ago."""
        self._figures.append(figures.detach())
        self._temperatures.append(temperature)
        self.ended.append(time.time())
        if self._on_steps is not None and time.monotonic() - self._told_at >= TOLD_APART_SECONDS:
            self._tell(self._on_steps)

    def tell_rest(self) -> None:
        """Tell of the last steps, if any were told."""
        if self._on_steps is not None and 0 < self._told < len(self.ended):
            self._tell(self._on_steps)

    def records(self, start: int = 0) -> tuple[StepRecord, ...]:
        """Records of the steps from one on."""
        figures = torch.stack(self._figures[start:], 1).tolist()
        return tuple(StepRecord.of(values) for values in zip(*figures, self._temperatures[start:], strict=True))

    def _tell(self, on_steps: OnSteps) -> None:
        on_steps(len(self.ended), self.records(self._told), tuple(self.ended[self._told :]))
        self._told, self._told_at = len(self.ended), time.monotonic()
