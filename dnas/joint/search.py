"""Inner searches for several sets of coefficients together, over one pre-trained supernet with frozen weights.

Each has its own images, Gumbel noise, costs and state of Adam, as if it were alone; results differ by rounding from
those of `dnas.inner_search.search_theta`. Start with `search_thetas`.
Shape suffixes: B batch, C channels, H height, W width, K classes, L layers, O operators, S steps, T inner searches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dnas.batches import BatchDraw, BatchSource, endless_draws, joined_draws
from dnas.costs import OperatorCosts
from dnas.inner_search import OnSteps, ThetaCourse, ThetaResult, ThetaSettings, search_theta
from dnas.joint.mixture import JointMixture
from dnas.losses import LOSSES, CoefficientBatch, Coefficients
from dnas.mixed_precision import in_fp32, mixed_precision
from dnas.relaxation import gumbel_noise, gumbel_softmax, random_theta
from dnas.supernets.superkernel import SuperkernelSupernet
from dnas.supernets.supernet import Supernet
from dnas.train_precision import TrainPrecision


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class InnerSearch:
    """One of several inner searches: what `search_theta` takes of its own."""

    latency: OperatorCosts
    """In ms."""
    energy: OperatorCosts
    """In mJ."""
    coefficients: Coefficients
    rng: np.random.Generator
    """Of initial theta, order of images and Gumbel noise."""
    on_steps: OnSteps | None = None
    """Is told of its steps."""


def search_thetas(
    supernet: Supernet,
    source: BatchSource,
    searches: Sequence[InnerSearch],
    settings: ThetaSettings,
    *,
    precision: TrainPrecision = "fp32",
) -> list[ThetaResult]:
    """Minimise the hardware-aware loss of each search over its theta; the supernet's weights are left as they are.

    One search alone, and searches on a supernet with separate weights, are done by `search_theta`, one after another.

    Args:
        supernet: pre-trained weights.
        source: the theta split.
        searches: that are done together.
        settings: of all of them.
        precision: as for `search_theta`.

    Returns:
        Results in the order of the searches.
    """
    if len(searches) > 1 and isinstance(supernet, SuperkernelSupernet):
        return _searched_together(supernet, source, searches, settings, precision)
    return [
        search_theta(
            supernet,
            source,
            one.latency,
            one.energy,
            one.coefficients,
            settings,
            one.rng,
            on_steps=one.on_steps,
            precision=precision,
        )
        for one in searches
    ]


def _searched_together(
    supernet: SuperkernelSupernet,
    source: BatchSource,
    searches: Sequence[InnerSearch],
    settings: ThetaSettings,
    precision: TrainPrecision,
) -> list[ThetaResult]:
    space, device = supernet.space, next(supernet.parameters()).device
    shape = (space.num_layers, len(space.operators))
    theta_TLO = torch.stack([random_theta(*shape, scale=settings.initial_scale, rng=one.rng) for one in searches])
    theta_TLO = theta_TLO.to(device).requires_grad_()
    optimizer = torch.optim.Adam([theta_TLO], lr=settings.lr, betas=(0.9, 0.99))
    draws_TS, noise_STLO = _drawn(source, searches, settings, shape)
    batches = source.read([joined_draws(draws) for draws in zip(*draws_TS, strict=True)])
    latency = _CostBatch([one.latency for one in searches], device)
    energy = _CostBatch([one.energy for one in searches], device)
    coefficients = CoefficientBatch.of([one.coefficients for one in searches], like=theta_TLO)
    with mixed_precision(precision, device):
        mixture = JointMixture(supernet, len(searches))
    loss_of = LOSSES[settings.loss]
    courses, probs = [ThetaCourse(one.on_steps) for one in searches], []
    for step, ((x_NCHW, labels_N), noise_TLO) in enumerate(zip(batches, noise_STLO.to(device).unbind(), strict=True)):
        temperature = settings.temperature.at(step / max(1, settings.steps - 1))
        relaxed_TLO = gumbel_softmax(theta_TLO, noise_TLO, temperature)
        with mixed_precision(precision, device):
            logits_TBK = in_fp32(mixture(x_NCHW, relaxed_TLO))
        cross_entropy_TB = F.cross_entropy(logits_TBK.flatten(0, 1), labels_N, reduction="none").view(len(searches), -1)
        cross_entropy_T = cross_entropy_TB.mean(-1)
        log_probs_TLO = torch.log_softmax(theta_TLO, -1)
        probs_TLO = log_probs_TLO.exp()
        latency_T, energy_T = latency.expected(probs_TLO), energy.expected(probs_TLO)
        loss_T = loss_of(cross_entropy_T, latency_T / latency.reference_T, energy_T / energy.reference_T, coefficients)
        entropy_T = -(probs_TLO * log_probs_TLO).sum(-1).mean(-1)
        optimizer.zero_grad()
        torch.autograd.backward((loss_T - settings.entropy_weight * entropy_T).sum())
        optimizer.step()
        accuracy_T = (logits_TBK.argmax(-1).flatten() == labels_N).view(len(searches), -1).float().mean(-1)
        probs.append(torch.softmax(theta_TLO.detach(), -1))
        figures = torch.stack((loss_T, cross_entropy_T, accuracy_T, latency_T, energy_T, entropy_T)).detach()
        for course, figures_of_one in zip(courses, figures.unbind(1), strict=True):
            course.end_step(figures_of_one, temperature)
    probs_TSLO = torch.stack(probs, 1).cpu().numpy()
    results = []
    for course, theta_LO, probs_SLO in zip(courses, theta_TLO.detach().cpu().numpy(), probs_TSLO, strict=True):
        course.tell_rest()
        results.append(ThetaResult(theta_LO, course.records(), probs_SLO, tuple(course.ended)))
    return results


def _drawn(
    source: BatchSource, searches: Sequence[InnerSearch], settings: ThetaSettings, shape: tuple[int, int]
) -> tuple[list[list[BatchDraw]], Tensor]:
    """Batches of each search by its steps, and noise of shape (S, T, L, O), drawn as by each search alone."""
    draws_TS, noise_TS = [], []
    for one in searches:
        drawing = endless_draws(source, min(settings.batch_size, len(source)), one.rng)
        drawn = [(next(drawing), gumbel_noise(*shape, one.rng)) for _ in range(settings.steps)]
        draws_TS.append([draw for draw, _ in drawn])
        noise_TS.append(torch.stack([noise_LO for _, noise_LO in drawn]))
    return draws_TS, torch.stack(noise_TS, 1)


class _CostBatch:
    """One cost of each of T searches."""

    def __init__(self, costs: Sequence[OperatorCosts], device: torch.device) -> None:
        self._cost_TLO = torch.stack([cost.cost_LO for cost in costs]).to(device)
        self._fixed_T = self._cost_TLO.new_tensor([cost.fixed for cost in costs])
        self.reference_T = self._cost_TLO.new_tensor([cost.reference() for cost in costs])

    def expected(self, probs_TLO: Tensor) -> Tensor:
        """See `OperatorCosts.expected`."""
        return (probs_TLO * self._cost_TLO).sum((1, 2)) + self._fixed_T
