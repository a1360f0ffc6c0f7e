"""The relaxation of a discrete choice: theta, Gumbel-softmax and its temperature.

Shape suffixes: L layers, O operators.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class TemperatureSchedule:
    """Exponential decay from `start` to `end`.

    Source: FBNet, section 4.2 (5.0, multiplied by exp(-0.045) each epoch; it ends near 0.1).
    """

    start: float = 5.0
    end: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.end <= self.start < math.inf:
            raise ValueError(f"`0 < end <= start` must hold for the temperature, but got {self.start=}, {self.end=}.")

    def at(self, progress: float) -> float:
        """Temperature at a progress in [0, 1]."""
        return float(self.start * (self.end / self.start) ** progress)


def random_theta(num_layers: int, num_operators: int, *, scale: float, rng: np.random.Generator) -> Tensor:
    """Initial architecture parameters (L, O): normal with standard deviation `scale`."""
    return torch.from_numpy(rng.normal(0.0, scale, (num_layers, num_operators))).float()


def gumbel_noise(num_layers: int, num_operators: int, rng: np.random.Generator) -> Tensor:
    """Standard Gumbel noise of shape (L, O)."""
    return torch.from_numpy(rng.gumbel(size=(num_layers, num_operators))).float()


def gumbel_softmax(theta_LO: Tensor, noise_LO: Tensor, temperature: float) -> Tensor:
    """Relaxed sample of one operator a layer, shape (L, O), rows summing to 1.

    Source: Jang et al., "Categorical Reparameterization with Gumbel-Softmax" (ICLR 2017), Eq. 2; FBNet, Eq. 4.
    """
    return torch.softmax((torch.log_softmax(theta_LO, -1) + noise_LO) / temperature, -1)


def entropy(theta_LO: Tensor) -> Tensor:
    """Mean entropy of the layers' distributions, in nats; a scalar."""
    log_probs_LO = torch.log_softmax(theta_LO, -1)
    return -(log_probs_LO.exp() * log_probs_LO).sum(-1).mean()


def mode_indices(theta_LO: Tensor) -> tuple[int, ...]:
    """The most probable operator of each layer."""
    return tuple(theta_LO.argmax(-1).tolist())


def sample_indices(theta_LO: Tensor, rng: np.random.Generator) -> tuple[int, ...]:
    """One operator a layer, drawn from softmax(theta)."""
    probs_LO = torch.softmax(theta_LO.double(), -1).cpu().numpy()
    return tuple(int(rng.choice(len(probs_O), p=probs_O / probs_O.sum())) for probs_O in probs_LO)


def mode_and_samples(theta_LO: Tensor, samples: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """The mode of theta, then up to `samples` different other architectures drawn from softmax(theta).

    A theta that is nearly certain gives few different ones; drawing ends after 20 draws for each that is asked for.
    """
    drawn = {mode_indices(theta_LO): None}
    for _ in range(20 * samples):
        if len(drawn) > samples:
            break
        drawn[sample_indices(theta_LO, rng)] = None
    return list(drawn)


def one_hot(indices: tuple[int, ...], num_operators: int) -> Tensor:
    """Probabilities (L, O) of one certain architecture."""
    return torch.nn.functional.one_hot(torch.tensor(indices), num_operators).float()
