"""Hyper-parameters of a Gaussian process as tensors, and the most probable ones. Start at `most_probable`.

Shape suffix: N points that were seen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize
from torch import Tensor

Floats = npt.NDArray[np.float64]
Record = TypeVar("Record", bound="TensorRecord")


class TensorRecord:
    """A dataclass whose fields are all tensors."""

    __slots__ = ()

    @classmethod
    def of(cls: type[Record], tensors: Iterable[Tensor]) -> Record:
        """That of tensors in the order of the fields."""
        names = (field.name for field in dataclasses.fields(cls))  # type: ignore[arg-type]
        return cls(**dict(zip(names, tensors, strict=True)))

    def tensors(self) -> tuple[Tensor, ...]:
        """All of them, in the order of the fields."""
        return tuple(getattr(self, field.name) for field in dataclasses.fields(self))  # type: ignore[arg-type]

    def replaced_by(self: Record, flat: Floats) -> Record:
        """That of the same shapes whose numbers, one after the other, are these."""
        sizes = [tensor.numel() for tensor in self.tensors()]
        parts = torch.split(torch.from_numpy(np.array(flat, np.float64)), sizes)
        return type(self).of(part.reshape(like.shape) for part, like in zip(parts, self.tensors(), strict=True))


def negative_log_posterior(
    found: TensorRecord, prior: TensorRecord, deviations: Sequence[float], covariance_NN: Tensor, residual_N: Tensor
) -> tuple[float, Tensor]:
    """That of hyper-parameters with normal priors, up to a constant, and a scalar that has the same gradient.

    Source: Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006), Eq. 5.9: no derivative of a
    Cholesky factor is needed.

    Args:
        found: the hyper-parameters.
        prior: centres of their priors.
        deviations: of the priors, in the order of the fields.
        covariance_NN: that they give, with noise.
        residual_N: what was seen, less the mean that they give.
    """
    distances = [
        ((value - centre) / deviation).square().sum()
        for value, centre, deviation in zip(found.tensors(), prior.tensors(), deviations, strict=True)
    ]
    penalty = 0.5 * torch.stack(distances).sum()
    with torch.no_grad():
        cholesky_NN = torch.linalg.cholesky(covariance_NN)
        inverse_NN = torch.cholesky_inverse(cholesky_NN)
        weights_N = inverse_NN @ residual_N
        value = 0.5 * residual_N @ weights_N + cholesky_NN.diagonal().log().sum() + penalty
        slope_NN = 0.5 * (inverse_NN - torch.outer(weights_N, weights_N))
    return float(value), (slope_NN * covariance_NN).sum() + weights_N @ residual_N + penalty


def most_probable(
    objective: Callable[[Record], tuple[float, Tensor]], first: Record, *, bound: float, iterations: int
) -> Record:
    """Hyper-parameters that make an objective least, by L-BFGS; there is no chance in it.

    Args:
        objective: of hyper-parameters, whose value and a scalar with its gradient it returns.
        first: where the search begins.
        bound: of the size of each number, so that no covariance is singular, however bold a step of the line search.
        iterations: of L-BFGS.
    """

    def value_and_gradient(flat: Floats) -> tuple[float, Floats]:
        tensors = [tensor.requires_grad_() for tensor in first.replaced_by(flat).tensors()]
        value, like = objective(type(first).of(tensors))
        return value, _flat(torch.autograd.grad(like, tensors))

    begin = _flat(first.tensors())
    found = minimize(
        value_and_gradient,
        begin,
        jac=True,
        method="L-BFGS-B",
        bounds=[(-bound, bound)] * len(begin),
        options={"maxiter": iterations},
    )
    return first.replaced_by(found.x)


def _flat(tensors: Sequence[Tensor]) -> Floats:
    flat: Floats = torch.cat([tensor.detach().flatten() for tensor in tensors]).numpy()
    return flat
