"""A Gaussian process over the errors of architectures. Start at `fit_process`.

The logarithm of the error is modelled, by the sum of two kernels. Each is a product over layers, in which operators are
points that lie close where they behave alike, and over numbers that are known of an architecture without evaluating it.

Shape suffixes: D dimensions, E embedding, F numbers, K kernels, L layers, M and N architectures, O operators.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dnas.posterior import TensorRecord, most_probable, negative_log_posterior
from dnas.surrogate import informative
from moo.bayesian.inputs import ArchitectureInputs, Floats

KERNELS = 2
ERROR_OFFSET = 1e-3
"""Added to errors before their logarithm is taken: networks without any error on a small split have one, too."""
MOST_FITTED = 300
"""Architectures that hyper-parameters are fitted to; where there are more, these are evenly spaced among them."""
MOST_KNOWN = 2000
"""Architectures that predictions rest on; where there are more, `informative` chooses these."""
JITTER, RELATIVE_JITTER = 1e-5, 1e-8
"""Least noise: as it is, and of the prior variance, whose rounding would otherwise make a covariance singular."""
BOUND = 6.0
"""Of the size of every hyper-parameter."""
ITERATIONS = 40
"""Of L-BFGS, from the prior."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessHyperparameters(TensorRecord):
    """What the kernels and the mean are made of; fitted by maximum a posteriori."""

    embedding_OE: Tensor
    """Operators as points."""
    log_relevance_KL: Tensor
    """How much each layer matters."""
    log_relevance_KF: Tensor
    """How much each number matters."""
    log_scale_K: Tensor
    """Logarithm of the standard deviation of each kernel."""
    log_noise: Tensor
    """The same of what no kernel explains."""
    mean: Tensor

    @staticmethod
    def prior(layers: int, operators: int, numbers: int) -> ProcessHyperparameters:
        """Centre of the prior: all operators equally unlike, all layers and all numbers equally relevant."""
        relevances_KL = [[math.log(1.5 / layers) - kernel] * layers for kernel in range(KERNELS)]
        return ProcessHyperparameters(
            embedding_OE=torch.eye(operators).double() / math.sqrt(2),
            log_relevance_KL=torch.tensor(relevances_KL).double(),
            log_relevance_KF=torch.full((KERNELS, numbers), math.log(0.5 / max(1, numbers))).double(),
            log_scale_K=torch.tensor([0.0] + [-0.5] * (KERNELS - 1)).double(),
            log_noise=torch.tensor(-2.0).double(),
            mean=torch.tensor(0.0).double(),
        )

    def noise_variance(self) -> Tensor:
        """Variance of the noise, a scalar."""
        return (2 * self.log_noise).exp() + JITTER + RELATIVE_JITTER * self.prior_variance()

    def prior_variance(self) -> Tensor:
        """Variance without noise of an architecture before anything is known, a scalar."""
        return (2 * self.log_scale_K).exp().sum()


DEVIATIONS = (0.4, 1.0, 1.0, 1.0, 1.0, 1.0)
"""Of the normal priors, in the order of the fields of `ProcessHyperparameters`."""


@dataclass(frozen=True, eq=False)
class _Points:
    """Inputs as tensors."""

    one_NLO: Tensor
    number_NF: Tensor

    def placed(self, parameters: ProcessHyperparameters, kernel: int) -> Tensor:
        """Where architectures lie for a kernel (N, D): their covariance falls with the squared distance."""
        scale_L = parameters.log_relevance_KL[kernel].exp().mul(2).sqrt()
        layers_NLE = (self.one_NLO @ parameters.embedding_OE) * scale_L[:, None]
        numbers_NF = self.number_NF * parameters.log_relevance_KF[kernel].exp().mul(2).sqrt()
        return torch.cat([layers_NLE.flatten(1), numbers_NF], 1)


def _covariance(parameters: ProcessHyperparameters, left: _Points, right: _Points) -> Tensor:
    """Prior covariance without noise, shape (M, N)."""
    total_MN = torch.zeros(())
    for kernel in range(KERNELS):
        left_MD = left.placed(parameters, kernel)
        right_ND = left_MD if right is left else right.placed(parameters, kernel)
        exponent_MN = left_MD @ right_ND.T - 0.5 * left_MD.square().sum(1)[:, None] - 0.5 * right_ND.square().sum(1)
        total_MN = total_MN + (exponent_MN.clamp_max(0) + 2 * parameters.log_scale_K[kernel]).exp()
    return total_MN


@dataclass(frozen=True, eq=False)
class Prediction:
    """Of the logarithm of the error, offset by `ERROR_OFFSET`, of M architectures."""

    mean_M: Floats
    covariance_MM: Floats | None
    """Without noise, if it was asked for."""
    variance_M: Floats
    """Without noise."""
    noise_variance: float

    @property
    def deviation_M(self) -> Floats:  # noqa: N802
        """Standard deviation of what an evaluation gives: with noise."""
        deviation_M: Floats = np.sqrt(self.variance_M + self.noise_variance)
        return deviation_M

    def errors(self) -> tuple[Floats, Floats]:
        """Mean and standard deviation of errors, each of shape (M,)."""
        variance_M = self.variance_M + self.noise_variance
        mean_M = np.exp(self.mean_M + variance_M / 2)
        return (mean_M - ERROR_OFFSET).clip(0, 1), mean_M * np.sqrt(np.expm1(variance_M))


class GaussianProcess:
    """A process that has seen the errors of some architectures."""

    def __init__(self, parameters: ProcessHyperparameters, inputs: ArchitectureInputs, error_N: Floats) -> None:
        """See `fit_process`."""
        self.hyperparameters = parameters
        self._operators = len(parameters.embedding_OE)
        self._seen = _points(inputs, self._operators)
        value_N = log_errors(error_N)
        self._centre, self._deviation = _scale(value_N)
        covariance_NN = _covariance(parameters, self._seen, self._seen)
        covariance_NN.diagonal().add_(parameters.noise_variance())
        self._cholesky_NN = torch.linalg.cholesky(covariance_NN)
        residual_N = torch.from_numpy((value_N - self._centre) / self._deviation) - parameters.mean
        self._weights_N = torch.cholesky_solve(residual_N[:, None], self._cholesky_NN)[:, 0]

    def predict(self, inputs: ArchitectureInputs, *, jointly: bool = False) -> Prediction:
        """What evaluations of architectures would give.

        Args:
            inputs: of the architectures.
            jointly: whether their covariance is wanted.
        """
        points, parameters = _points(inputs, self._operators), self.hyperparameters
        cross_MN = _covariance(parameters, points, self._seen)
        reduced_NM = torch.linalg.solve_triangular(self._cholesky_NN, cross_MN.T, upper=False)
        covariance_MM = None
        if jointly:
            own_MM = _covariance(parameters, points, points) - reduced_NM.T @ reduced_NM
            covariance_MM = (own_MM * self._deviation**2).numpy()
        variance_M = (parameters.prior_variance() - reduced_NM.square().sum(0)).clamp_min(1e-12)
        return Prediction(
            mean_M=((cross_MN @ self._weights_N + parameters.mean) * self._deviation + self._centre).numpy(),
            covariance_MM=covariance_MM,
            variance_M=(variance_M * self._deviation**2).numpy(),
            noise_variance=float(parameters.noise_variance()) * self._deviation**2,
        )


def fit_process(
    inputs: ArchitectureInputs,
    error_N: Floats,
    *,
    operators: int,
    start: ProcessHyperparameters | None = None,
    iterations: int = ITERATIONS,
) -> GaussianProcess:
    """Fit a process to evaluated architectures; there is no chance in it.

    Time goes with the cube of the number of architectures, up to 2,000 of them; from there on it rests on as many,
    which `informative` chooses.

    Source: Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006), Algorithm 2.1 and section 5.4.1.

    Args:
        inputs: of the architectures, in the order in which they were evaluated.
        error_N: their errors, in [0, 1].
        operators: that a layer can have.
        start: hyper-parameters of an earlier fit, which make this one quicker.
        iterations: of L-BFGS; 0 leaves the hyper-parameters as they are at the start.

    Raises:
        ValueError: if there are fewer than two architectures, or an error for each is missing.
    """
    if len(error_N) < 2 or len(inputs) != len(error_N):
        raise ValueError(
            "a Gaussian process must have at least two architectures and an error for each, but got "
            f"{len(inputs)} architectures and {len(error_N)} errors."
        )
    prior = ProcessHyperparameters.prior(inputs.category_NL.shape[1], operators, inputs.number_NF.shape[1])
    first = start or prior
    if iterations:
        some = np.unique(np.linspace(0, len(error_N) - 1, min(len(error_N), MOST_FITTED)).round().astype(int))
        value_N = log_errors(error_N)
        centre, deviation = _scale(value_N)
        points, score_N = _points(inputs[some], operators), torch.from_numpy((value_N[some] - centre) / deviation)

        def objective(found: ProcessHyperparameters) -> tuple[float, Tensor]:
            return _negative_log_posterior(found, prior, points, score_N)

        first = most_probable(objective, first, bound=BOUND, iterations=iterations)
    known = informative(error_N, MOST_KNOWN)
    return GaussianProcess(first, inputs[known], error_N[known])


def log_errors(error_N: Floats) -> Floats:
    """What is modelled of errors."""
    value_N: Floats = np.log(error_N + ERROR_OFFSET)
    return value_N


def _scale(value_N: Floats) -> tuple[float, float]:
    return float(value_N.mean()), float(value_N.std()) or 1.0


def _negative_log_posterior(
    found: ProcessHyperparameters, prior: ProcessHyperparameters, points: _Points, score_N: Tensor
) -> tuple[float, Tensor]:
    """See `dnas.posterior.negative_log_posterior`."""
    covariance_NN = _covariance(found, points, points) + found.noise_variance() * torch.eye(len(score_N)).double()
    return negative_log_posterior(found, prior, DEVIATIONS, covariance_NN, score_N - found.mean)


def _points(inputs: ArchitectureInputs, operators: int) -> _Points:
    category_NL = torch.from_numpy(np.ascontiguousarray(inputs.category_NL, np.int64))
    return _Points(
        torch.nn.functional.one_hot(category_NL, operators).double(),
        torch.from_numpy(np.ascontiguousarray(inputs.number_NF, np.float64)),
    )
