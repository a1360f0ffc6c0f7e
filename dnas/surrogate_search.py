"""The inner search on a surrogate of accuracy: theta for many coefficients at once, without a supernet.

The same loss, by the same name, as on the supernet (`dnas.inner_search`). Start with `search_thetas`.
Shape suffixes: L layers, N architectures, O operators, T inner searches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from dnas.losses import LOSSES, SHIFT_INVARIANT, CoefficientBatch, Coefficients, LossName
from dnas.posterior import Floats

ExpectedCost = Callable[[Tensor], Tensor]
"""Probabilities of operators (..., L, O) to the expected cost (...), positive and differentiable."""
LEAST_NATS, MOST_NATS = 1e-3, 10.0
"""Bounds of the cross-entropy that an error stands for."""


def chosen_costs(costs: Sequence[ExpectedCost], choice_T: Sequence[int]) -> ExpectedCost:
    """An expected cost that is another one for each of T inner searches.

    Args:
        costs: to choose from.
        choice_T: index of the one that each search has.
    """
    if len(costs) == 1:
        return costs[0]
    index_T = torch.tensor(choice_T)
    return lambda probs: torch.stack([cost(probs).expand(len(index_T)) for cost in costs])[
        index_T, torch.arange(len(index_T))
    ]


class ScoreModel(Protocol):
    """What the search needs from a surrogate."""

    def expected_score(self, probs_TLO: Tensor) -> Tensor:
        """Expectation of a score that rises with error, shape (T,); differentiable."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SurrogateSearchSettings:
    """How theta is searched on a surrogate."""

    steps: int = 60
    """Gradient steps on theta."""
    lr: float = 0.3
    """Learning rate of Adam on theta."""
    initial_scale: float = 1.0
    """Standard deviation of the random initial theta."""
    entropy_weight: float = 0.02
    """Weight of the mean entropy of theta, which is rewarded: it keeps several architectures likely."""
    loss: LossName = "additive"
    """`additive` (default) or FBNet's `multiplicative`."""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"`steps >= 1` must hold for the search on a surrogate, but got {self.steps}.")
        if not self.lr > 0:
            raise ValueError(f"`lr > 0` must hold, but got {self.lr}.")
        for name in ("initial_scale", "entropy_weight"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"`{name} >= 0` must hold, but got {getattr(self, name)}.")
        if self.loss not in LOSSES:
            raise ValueError(f"`loss` must be one of {', '.join(LOSSES)}, but got {self.loss!r}.")


@dataclass(frozen=True)
class CrossEntropyScale:
    """Turns scores, of mean 0 and deviation 1, into cross-entropies, so that coefficients mean what they mean there.

    Negative logarithms of accuracies stand for cross-entropies.
    """

    deviation: float
    """Of the cross-entropies, in nats."""
    log_mean: float
    """Mean of their logarithms."""
    log_deviation: float
    """Deviation of their logarithms."""

    @staticmethod
    def of(error_N: Floats) -> CrossEntropyScale:
        """The scale of architectures with these errors, in [0, 1]."""
        nats_N = -np.log1p(-error_N.clip(max=-np.expm1(-MOST_NATS)))
        log_N = np.log(nats_N.clip(min=LEAST_NATS))
        return CrossEntropyScale(float(np.std(nats_N)), float(np.mean(log_N)), float(np.std(log_N)))

    def cross_entropies(self, score_T: Tensor, loss: LossName) -> Tensor:
        """Cross-entropies in nats, shape (T,).

        For a loss to which a constant makes no difference they are linear in the score and may be negative, so that
        accuracy counts alike among good and bad networks; for any other they are positive, and their logarithm is
        linear.
        """
        if loss in SHIFT_INVARIANT:
            return self.deviation * score_T
        return torch.exp(self.log_mean + self.log_deviation * score_T)


AS_THEY_ARE = CrossEntropyScale(1.0, 0.0, 1.0)
"""Scores stand for cross-entropies themselves."""


def search_thetas(
    model: ScoreModel,
    scale: CrossEntropyScale,
    costs: Sequence[ExpectedCost],
    coefficients: Sequence[Coefficients],
    shape: tuple[int, int],
    settings: SurrogateSearchSettings,
    rng: np.random.Generator,
) -> Tensor:
    """Inner searches for all coefficients at once.

    Each minimises its own hardware-aware loss over its own theta, less the weighted entropy; references of costs are
    those of uniform theta.

    Args:
        model: gives the expected score.
        scale: from scores to cross-entropies.
        costs: latency, then energy; without energy, its relative cost is 0.
        coefficients: of each inner search.
        shape: layers and operators.
        settings: the loss, steps and so on.
        rng: of the initial theta.

    Returns:
        Final theta, shape (T, L, O).

    Raises:
        ValueError: if there is one cost alone and the loss is not a sum.
    """
    if len(costs) < 2 and settings.loss != "additive":
        raise ValueError(
            f"a search with one cost must have the additive loss, but got {settings.loss!r}: give a second cost, or "
            "omit the loss."
        )
    loss_of = LOSSES[settings.loss]
    batch = CoefficientBatch.of(coefficients)
    theta_TLO = torch.from_numpy(rng.normal(0.0, settings.initial_scale, (len(coefficients), *shape))).float()
    theta_TLO.requires_grad_()
    uniform_LO = torch.full(shape, 1 / shape[1])
    # One number, or one for each search where these are for different runtime configurations.
    references = [cost(uniform_LO) for cost in costs]
    optimizer = torch.optim.Adam([theta_TLO], lr=settings.lr, betas=(0.9, 0.99))
    no_cost_T = torch.zeros(len(coefficients))
    for _ in range(settings.steps):
        log_probs_TLO = torch.log_softmax(theta_TLO, -1)
        probs_TLO = log_probs_TLO.exp()
        cross_entropy_T = scale.cross_entropies(model.expected_score(probs_TLO), settings.loss)
        relative = [cost(probs_TLO) / reference for cost, reference in zip(costs, references, strict=True)]
        latency_T, energy_T = relative if len(relative) == 2 else (*relative, no_cost_T)
        loss_T = loss_of(cross_entropy_T, latency_T, energy_T, batch)
        entropy_T = -(probs_TLO * log_probs_TLO).sum(-1).mean(-1)
        optimizer.zero_grad()
        torch.autograd.backward((loss_T - settings.entropy_weight * entropy_T).sum())
        optimizer.step()
    return theta_TLO.detach()
