"""A surrogate of accuracy: a Gaussian process over architectures whose gradient in theta is exact.

Start at `fit_surrogate`. The kernel is a product over layers plus a sum over layers, so that the posterior mean,
averaged over a distribution that chooses each layer's operator independently, has a closed form: interactions of all
orders cost no more than one matrix product. Errors are skewed, so a monotone transform of them is modelled, the score.

Shape suffixes: E embedding, L layers, M and N architectures, O operators, S samples, T thetas.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dnas.posterior import Floats, TensorRecord, most_probable, negative_log_posterior

Integers = npt.NDArray[np.intp]

JITTER = 1e-5
"""Added to the variance of noise, which is relative to that of the scores: keeps matrices well conditioned."""
LONGEST_DISTANCE = 40.0
"""Between two operators of one layer; similarities stay above 0, as their logarithms are taken."""
MOST_FITTED = 300
"""Architectures that hyper-parameters are fitted to; where there are more, these are evenly spaced among them."""
MOST_KNOWN = 2000
"""Architectures that predictions rest on; where there are more, `informative` chooses these."""
QUADRATURE_POINTS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreScale:
    """The monotone transform from error to score, `z = log(headroom + log(1 + (error - best) / spread))`.

    The two logarithms tell good architectures apart as well as bad ones. Scores have mean 0 and deviation 1.
    """

    best: float
    """The lowest error seen."""
    spread: float
    """From there to the median."""
    mean: float
    deviation: float
    headroom: float = 0.2
    """How far below the best error predictions can go: (1 - exp(-headroom)) spreads."""

    @staticmethod
    def of(error_N: Floats) -> ScoreScale:
        """The scale that suits these errors."""
        best = float(error_N.min())
        spread = float(np.median(error_N)) - best or float(error_N.max()) - best or 1.0
        plain_N = ScoreScale(best=best, spread=spread, mean=0.0, deviation=1.0).scores(error_N)
        mean, deviation = float(plain_N.mean()), float(plain_N.std()) or 1.0
        return ScoreScale(best=best, spread=spread, mean=mean, deviation=deviation)

    def scores(self, error_N: Floats) -> Floats:
        """Scores of errors that are no lower than the best."""
        plain_N: Floats = np.log(self.headroom + np.log1p((error_N - self.best) / self.spread))
        return (plain_N - self.mean) / self.deviation

    def errors(self, score_N: Tensor) -> Tensor:
        """Errors of scores, within [0, 1]."""
        plain_N = (self.mean + self.deviation * score_N).clamp_max(2.0)
        return (self.best + self.spread * torch.expm1(plain_N.exp() - self.headroom)).clamp(0.0, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Hyperparameters(TensorRecord):
    """What the kernel and the mean are made of; fitted by maximum a posteriori."""

    embedding_OE: Tensor
    """Operators as points: those that lie close behave alike."""
    log_relevance_L: Tensor
    """How much each layer matters."""
    log_product: Tensor
    """Logarithm of the standard deviation of the product part."""
    log_additive: Tensor
    """The same of the additive part."""
    log_noise: Tensor
    """The same of what differs between evaluations of one architecture."""
    mean: Tensor

    @staticmethod
    def prior(num_layers: int, num_operators: int) -> Hyperparameters:
        """Centre of the prior: all operators equally unlike, all layers equally relevant."""

        def constant(value: float) -> Tensor:
            return torch.tensor(value, dtype=torch.float64)

        return Hyperparameters(
            embedding_OE=torch.eye(num_operators, dtype=torch.float64) / math.sqrt(2),
            log_relevance_L=torch.full((num_layers,), math.log(1.5 / num_layers), dtype=torch.float64),
            log_product=constant(0.0),
            log_additive=constant(-0.5),
            log_noise=constant(-2.0),
            mean=constant(0.0),
        )

    def log_similarities(self) -> Tensor:
        """Logarithm of K_l[o, o'] = exp(-relevance_l |z_o - z_o'|^2), shape (L, O, O)."""
        difference_OOE = self.embedding_OE[:, None] - self.embedding_OE
        distance_LOO = self.log_relevance_L.exp()[:, None, None] * difference_OOE.square().sum(-1)
        return -distance_LOO.clamp_max(LONGEST_DISTANCE)

    def kernel(self, one_MLO: Tensor, one_NLO: Tensor) -> Tensor:
        """Prior covariance of the scores of two sets of one-hot architectures, shape (M, N)."""
        log_similarity_LOO = self.log_similarities()
        left_MD = torch.einsum("mlo,lop->mlp", one_MLO, log_similarity_LOO).flatten(1)
        product_MN = torch.exp(left_MD @ one_NLO.flatten(1).T)
        left_MD = torch.einsum("mlo,lop->mlp", one_MLO, log_similarity_LOO.exp()).flatten(1)
        additive_MN = left_MD @ one_NLO.flatten(1).T / one_NLO.shape[1]
        return (2 * self.log_product).exp() * product_MN + (2 * self.log_additive).exp() * additive_MN

    def noise_variance(self) -> Tensor:
        """Variance of the noise of scores, a scalar."""
        return (2 * self.log_noise).exp() + JITTER


class Surrogate:
    """A Gaussian process that has seen the errors of some architectures."""

    def __init__(self, hyperparameters: Hyperparameters, scale: ScoreScale, indices_NL: Integers, error_N: Floats):
        self.hyperparameters = hyperparameters
        self.scale = scale
        self._num_operators = len(hyperparameters.embedding_OE)
        self._one_NLO = self._one_hot(indices_NL)
        covariance_NN = hyperparameters.kernel(self._one_NLO, self._one_NLO)
        covariance_NN.diagonal().add_(hyperparameters.noise_variance())
        self._cholesky_NN = torch.linalg.cholesky(covariance_NN)
        residual_N = torch.from_numpy(scale.scores(error_N)) - hyperparameters.mean
        self._weights_N = torch.cholesky_solve(residual_N[:, None], self._cholesky_NN)[:, 0]

    def expected_score(self, probs_TLO: Tensor) -> Tensor:
        """Posterior mean of the score, averaged over architectures whose operators are drawn from `probs`.

        Args:
            probs_TLO: a distribution over operators for each layer, any leading shape, positive where not zero.

        Returns:
            The exact expectation, of the leading shape; differentiable.
        """
        part = self._expectation
        similar_TLO = torch.einsum("...lo,lop->...lp", probs_TLO, part.similarity_LOO.to(probs_TLO.dtype))
        flat_TD = similar_TLO.flatten(-2)
        weights_N, additive_D = part.weights_N.to(flat_TD.dtype), part.additive_D.to(flat_TD.dtype)
        product_TN = torch.exp(flat_TD.log() @ part.one_DN.to(flat_TD.dtype))
        return product_TN @ weights_N + flat_TD @ additive_D + part.mean

    def scores(self, indices_ML: Integers) -> tuple[Tensor, Tensor]:
        """Mean (M,) and covariance (M, M) of the scores of architectures, without noise."""
        one_MLO = self._one_hot(indices_ML)
        cross_MN, reduced_NM = self._conditioned(one_MLO)
        covariance_MM = self.hyperparameters.kernel(one_MLO, one_MLO) - reduced_NM.T @ reduced_NM
        return cross_MN @ self._weights_N + self.hyperparameters.mean, covariance_MM

    def predict(self, indices_ML: Integers) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the errors of architectures, each of shape (M,), in [0, 1]."""
        one_MLO = self._one_hot(indices_ML)
        cross_MN, reduced_NM = self._conditioned(one_MLO)
        mean_M = cross_MN @ self._weights_N + self.hyperparameters.mean
        parameters = self.hyperparameters
        prior_variance = (2 * parameters.log_product).exp() + (2 * parameters.log_additive).exp()
        std_M = (prior_variance - reduced_NM.square().sum(0)).clamp_min(0).sqrt()
        points, weights = np.polynomial.hermite_e.hermegauss(QUADRATURE_POINTS)
        error_MQ = self.scale.errors(mean_M[:, None] + std_M[:, None] * torch.from_numpy(points))
        probs_Q = torch.from_numpy(weights / weights.sum())
        expected_M = error_MQ @ probs_Q
        variance_M = (error_MQ - expected_M[:, None]).square() @ probs_Q
        return expected_M.numpy(), variance_M.sqrt().numpy()

    def sample_errors(self, indices_ML: Integers, count: int, rng: np.random.Generator) -> Floats:
        """Joint samples of the errors of architectures, shape (count, M)."""
        mean_M, covariance_MM = self.scores(indices_ML)
        covariance_MM.diagonal().add_(JITTER)
        noise_MS = torch.from_numpy(rng.standard_normal((len(indices_ML), count)))
        score_MS = mean_M[:, None] + torch.linalg.cholesky(covariance_MM) @ noise_MS
        samples_SM: Floats = self.scale.errors(score_MS).T.numpy()
        return samples_SM

    @cached_property
    def _expectation(self) -> _Expectation:
        """What `expected_score` needs and theta does not change."""
        parameters = self.hyperparameters
        one_DN = self._one_NLO.flatten(1).T.contiguous()
        additive_D = (2 * parameters.log_additive).exp() / self._one_NLO.shape[1] * (one_DN @ self._weights_N)
        product_N = (2 * parameters.log_product).exp() * self._weights_N
        return _Expectation(
            similarity_LOO=parameters.log_similarities().exp(),
            one_DN=one_DN,
            weights_N=product_N,
            additive_D=additive_D,
            mean=float(parameters.mean),
        )

    def _conditioned(self, one_MLO: Tensor) -> tuple[Tensor, Tensor]:
        """Covariance with the seen architectures (M, N), and its product with the inverse Cholesky factor (N, M)."""
        cross_MN = self.hyperparameters.kernel(one_MLO, self._one_NLO)
        return cross_MN, torch.linalg.solve_triangular(self._cholesky_NN, cross_MN.T, upper=False)

    def _one_hot(self, indices_NL: Integers) -> Tensor:
        return _one_hot(indices_NL, self._num_operators)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Expectation:
    """Constants of the expectation; D runs over pairs of layer and operator."""

    similarity_LOO: Tensor
    one_DN: Tensor
    weights_N: Tensor
    additive_D: Tensor
    mean: float


def fit_surrogate(
    indices_NL: Integers,
    error_N: Floats,
    *,
    num_operators: int,
    start: Hyperparameters | None = None,
    iterations: int = 40,
) -> Surrogate:
    """Fit a surrogate to evaluated architectures; there is no chance in it.

    Time goes with the cube of the number of architectures, memory with its square, up to 2,000 of them; from there on
    it rests on as many, which `informative` chooses.

    Args:
        indices_NL: operators of each architecture, in the order in which they were evaluated.
        error_N: their errors, in [0, 1].
        num_operators: operators that a layer can have.
        start: hyper-parameters of an earlier fit, which make this one quicker.
        iterations: of L-BFGS.

    Raises:
        ValueError: if there are fewer than two architectures, shapes differ, an index is out of range or an error is
            not in [0, 1].

    Source: Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006), Algorithm 2.1 and section 5.4.1;
    the embedding of categories is that of a latent-variable kernel (Zhang et al., Technometrics 2020), here with
    normal priors on all hyper-parameters.
    """
    _check(indices_NL, error_N, num_operators)
    scale = ScoreScale.of(error_N)
    some = np.unique(np.linspace(0, len(error_N) - 1, min(len(error_N), MOST_FITTED)).round().astype(int))
    one_NLO, score_N = _one_hot(indices_NL[some], num_operators), torch.from_numpy(scale.scores(error_N[some]))
    prior = Hyperparameters.prior(indices_NL.shape[1], num_operators)

    def objective(found: Hyperparameters) -> tuple[float, Tensor]:
        covariance_NN = found.kernel(one_NLO, one_NLO) + found.noise_variance() * torch.eye(len(score_N)).double()
        return negative_log_posterior(found, prior, PRIOR_DEVIATIONS, covariance_NN, score_N - found.mean)

    fitted = most_probable(objective, start or prior, bound=BOUND, iterations=iterations)
    known = informative(error_N, MOST_KNOWN)
    return Surrogate(fitted, scale, indices_NL[known], error_N[known])


def informative(error_N: Floats, most: int) -> Integers:
    """Places of at most `most` architectures that predictions rest on, in their order; all where there are no more.

    A quarter are those that err least, between which the search decides; a quarter are the latest, which it chose where
    it knew little; the others are spread evenly over the rest, so that all of the space stays known.

    Args:
        error_N: of architectures in the order in which they were evaluated.
        most: at least 4.
    """
    places = np.arange(len(error_N))
    if len(places) <= most:
        return places
    best = np.argsort(error_N, kind="stable")[: most // 4]
    rest = np.setdiff1d(places, best)
    rest, latest = rest[: -(most // 4)], rest[-(most // 4) :]
    evenly = rest[np.linspace(0, len(rest) - 1, most - len(best) - len(latest)).round().astype(int)]
    return np.sort(np.concatenate([best, latest, evenly]))


BOUND = 5.0
"""Of the size of every hyper-parameter."""
PRIOR_DEVIATIONS = (0.4, 1.0, 1.0, 1.0, 1.0, 1.0)
"""Of the normal priors, in the order of the fields of `Hyperparameters`."""


def _one_hot(indices_NL: Integers, num_operators: int) -> Tensor:
    indices = torch.from_numpy(np.ascontiguousarray(indices_NL, np.int64))
    return torch.nn.functional.one_hot(indices, num_operators).double()


def _check(indices_NL: Integers, error_N: Floats, num_operators: int) -> None:
    if len(indices_NL) < 2 or indices_NL.shape[:1] != error_N.shape:
        raise ValueError(
            "a surrogate must have at least two architectures and an error for each, but got "
            f"{len(indices_NL)} architectures and {len(error_N)} errors."
        )
    if indices_NL.min() < 0 or indices_NL.max() >= num_operators:
        raise ValueError(
            f"operators must have indices in [0, {num_operators - 1}], but got {indices_NL.min()} to "
            f"{indices_NL.max()}."
        )
    if not ((error_N >= 0) & (error_N <= 1)).all():
        raise ValueError(f"errors must lie in [0, 1], but got {error_N.min()} to {error_N.max()}.")
