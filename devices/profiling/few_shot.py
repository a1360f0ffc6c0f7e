"""A cost table for a new board from another board's table and about ten measured networks.

Choose the networks by `choose_networks`, measure them on the new board, then `FewShotPredictor.fit`. A network's
latency is taken as a sum over its layers; each thing that its operators do (arithmetic, traffic, kernels, time on the
other board) has an unknown positive price, and Bayesian linear regression finds the prices.

Shape suffixes: N networks, L layers, O operators, J features, S samples of the hyper-parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from devices.configuration import RuntimeConfiguration
from devices.cost_tables.cost_table import CostTable
from devices.profiling.network_features import NetworkFeatures, Networks
from search_space.spaces import FBNetSpace

Array = npt.NDArray[np.float64]

_HALF_NORMAL_MEAN = float(np.sqrt(2 / np.pi))
_HALF_NORMAL_SD = float(np.sqrt(1 - 2 / np.pi))
"""Mean and standard deviation of |x| for x normal with variance 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FewShotPrior:
    """What is known before a network is measured, in units of the mean latency of the measured networks.

    Hyper-parameters are log-normal about these values. Latencies differ more between kinds of work than within one.
    """

    intercept: float = 1.0
    """Standard deviation of the cost of the average network about 1."""
    share: float = 0.3
    """Scale of the share of latency that is due to one kind of work."""
    tie: float = 0.1
    """Standard deviation of what all operators of one layer shape, or one shape and expansion, have in common."""
    noise: float = 0.03
    """Standard deviation of one measured latency."""
    spread: float = 1.0
    """Standard deviation of the natural logarithm of all of the hyper-parameters."""
    outliers: float = 1.0
    """Standard deviation of the logarithm of each network's own noise: above 0, outliers count less."""
    choice_noise: float = 0.1
    """Noise that is assumed when networks are chosen."""
    samples: int = 1000
    """Number of samples of the hyper-parameters, S."""

    def __post_init__(self) -> None:
        for name in ("intercept", "share", "noise", "choice_noise"):
            if not (np.isfinite(value := getattr(self, name)) and value > 0):
                raise ValueError(f"`{name} > 0` must hold, but got {value}.")
        for name in ("tie", "spread", "outliers"):
            if not (np.isfinite(value := getattr(self, name)) and value >= 0):
                raise ValueError(f"`{name} >= 0` must hold, but got {value}.")
        if self.samples < 1:
            raise ValueError(f"`samples >= 1` must hold, but got {self.samples}.")


DEFAULT_PRIOR = FewShotPrior()


def choose_networks(
    source: CostTable,
    space: FBNetSpace,
    candidates: Networks,
    count: int,
    *,
    besides: Networks = (),
    prior: FewShotPrior = DEFAULT_PRIOR,
) -> npt.NDArray[np.intp]:
    """The networks to measure on a new board: greedily, each the one whose latency is the least certain so far.

    For a Gaussian prior that is the greedy D-optimal design. Latencies of the new board play no part in it.

    Args:
        source: table of another board.
        space: the space of the table.
        candidates: operator indices of the networks that could be measured, shape (N, L).
        count: how many to choose, at most N.
        besides: networks that are measured in any case.
        prior: what is known of the new board.

    Returns:
        Indices into the candidates, shape (count,), in the order of choice.

    Raises:
        ValueError: if the table is for another space, a candidate does not fit, or `count` is out of range.
    """
    features = NetworkFeatures.of(source, space)
    x_NJ = features.rows(candidates)
    if not 1 <= count <= len(x_NJ):
        raise ValueError(f"`count` must be in [1, {len(x_NJ)}], the number of candidates, but got {count}.")
    covariance_JJ = np.diag(_usual_scales(features, prior) ** 2)
    chosen: list[int] = []

    def learn(x_J: Array) -> None:
        nonlocal covariance_JJ
        gain_J = covariance_JJ @ x_J
        covariance_JJ = covariance_JJ - np.outer(gain_J, gain_J) / (x_J @ gain_J + prior.choice_noise**2)

    for x_J in features.rows(besides) if len(besides) else ():
        learn(x_J)
    for _ in range(count):
        variance_N = ((x_NJ @ covariance_JJ) * x_NJ).sum(axis=1)
        variance_N[chosen] = -1.0
        chosen.append(int(np.argmax(variance_N)))
        learn(x_NJ[chosen[-1]])
    return np.array(chosen, np.intp)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FewShotPredictor:
    """Latency of all networks of a space on a new board, learned from a few."""

    source: CostTable
    space: FBNetSpace
    measured: int
    """Number of networks that it was fitted to."""
    scale_ms: float
    """Mean latency of these."""
    _features: NetworkFeatures
    _mean_J: Array
    """Posterior mean of the features' prices."""
    _covariance_JJ: Array

    @classmethod
    def fit(
        cls,
        source: CostTable,
        space: FBNetSpace,
        networks: Networks,
        latency_ms: Sequence[float] | Array,
        *,
        rng: np.random.Generator,
        prior: FewShotPrior = DEFAULT_PRIOR,
    ) -> FewShotPredictor:
        """Learn from networks measured on the new board.

        Hyper-parameters are drawn from the prior, and the posteriors given each are averaged, weighted by evidence.

        Args:
            source: table of another board.
            space: the space of the table.
            networks: operator indices of the measured networks, shape (N, L).
            latency_ms: their latencies on the new board, length N.
            rng: draws the hyper-parameters.
            prior: what is known of the new board.

        Raises:
            ValueError: if the table is for another space, a network does not fit, there are no networks, or their
                latencies are not as many, not finite or not above 0.
        """
        features = NetworkFeatures.of(source, space)
        x_NJ = features.rows(networks)
        latency_ms_N = np.asarray(latency_ms, np.float64)
        if latency_ms_N.shape != (len(x_NJ),):
            raise ValueError(
                f"each of the {len(x_NJ)} measured networks must have one latency, but got shape {latency_ms_N.shape}."
            )
        if not (np.isfinite(latency_ms_N) & (latency_ms_N > 0)).all():
            raise ValueError(
                f"measured latencies must be finite and above 0, but got {latency_ms_N.tolist()}: omit what could not "
                "be measured."
            )
        scale_ms = float(latency_ms_N.mean())
        mean_J, covariance_JJ = _averaged_posterior(features, x_NJ, latency_ms_N / scale_ms, prior, rng)
        return cls(
            source=source,
            space=space,
            measured=len(x_NJ),
            scale_ms=scale_ms,
            _features=features,
            _mean_J=mean_J,
            _covariance_JJ=covariance_JJ,
        )

    def predict(self, networks: Networks) -> tuple[Array, Array]:
        """Latency of networks.

        Args:
            networks: operator indices, shape (N, L).

        Returns:
            Mean and standard deviation of the latency in ms, both of shape (N,); the standard deviation
            does not include the noise of a measurement.

        Raises:
            ValueError: if a network does not fit the space.
        """
        x_NJ = self._features.rows(networks)
        variance_N = np.einsum("nj,jk,nk->n", x_NJ, self._covariance_JJ, x_NJ)
        return self.scale_ms * (x_NJ @ self._mean_J), self.scale_ms * np.sqrt(np.maximum(variance_N, 0.0))

    def adapted_table(
        self, *, board: str, runtime: str, configuration: RuntimeConfiguration, power_w: float
    ) -> CostTable:
        """The posterior mean as a table for the new board, labelled `modelled`.

        Its sums are the means of `predict`, unless the quickest network of the space comes out below 0. The networks
        only tell an operator from the others of its layer: what these have in common may be in the fixed cost.

        Args:
            board: name of the new board.
            runtime: what ran the measured networks.
            configuration: how they were run.
            power_w: mean power above idle on the new board; energy is latency times this.

        Raises:
            ValueError: if `power_w` is not finite or below 0.
        """
        if not (np.isfinite(power_w) and power_w >= 0):
            raise ValueError(f"`power_w` must be finite and at least 0, but got {power_w}.")
        costs_LO = self._features.work_LOJ @ self._mean_J[1:]
        fixed = float(self._mean_J[0] - self._features.average_J @ self._mean_J[1:])
        costs_LO, fixed = _without_negatives(costs_LO, fixed)
        latency_ms, fixed_ms = self.scale_ms * costs_LO, self.scale_ms * fixed
        return CostTable(
            space=self.space.name,
            operators=self.source.operators,
            latency_ms=latency_ms,
            energy_mj=power_w * latency_ms,
            fixed_latency_ms=fixed_ms,
            fixed_energy_mj=power_w * fixed_ms,
            latency_source="modelled",
            energy_source="modelled",
            board=board,
            runtime=runtime,
            threads=configuration.threads,
            frequency_mhz=configuration.frequency_mhz,
            precision=configuration.precision,
            clock_mhz=None,
            date=None,
            method=f"adapted from the table of {self.source.board} by {self.measured} networks measured on this board; "
            f"energy: {power_w} W times latency",
        )


def _usual_scales(features: NetworkFeatures, prior: FewShotPrior) -> Array:
    """Scales of the prices of intercept and features at the centre of the hyper-prior, shape (1 + J,)."""
    ties = len(features.average_J) - features.kinds
    return np.concatenate([[prior.intercept], np.full(features.kinds, prior.share), np.full(ties, prior.tie)])


def _averaged_posterior(
    features: NetworkFeatures, x_NJ: Array, y_N: Array, prior: FewShotPrior, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Mean and covariance of the prices, averaged over samples of the hyper-parameters by evidence.

    Given hyper-parameters, prices of work are half-normal; a Gaussian of that mean and variance stands for each.

    Source: Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006), equations 2.11 and 2.30.
    """
    kinds, ties = features.kinds, len(features.average_J) - features.kinds
    usual_J = _usual_scales(features, prior)
    logs_SJ = np.zeros((prior.samples, len(usual_J)))
    logs_SJ[:, 1 : 1 + kinds] = rng.normal(0, prior.spread, (prior.samples, kinds))
    logs_SJ[:, 1 + kinds :] = rng.normal(0, prior.spread, (prior.samples, 1)).repeat(ties, axis=1)
    scales_SJ = usual_J * np.exp(logs_SJ)
    noise_SN = prior.noise * np.exp(
        rng.normal(0, prior.spread, (prior.samples, 1)) + rng.normal(0, prior.outliers, (prior.samples, len(y_N)))
    )
    prior_mean_SJ = np.zeros_like(scales_SJ)
    prior_mean_SJ[:, 0] = 1.0
    prior_mean_SJ[:, 1 : 1 + kinds] = _HALF_NORMAL_MEAN * scales_SJ[:, 1 : 1 + kinds]
    scales_SJ[:, 1 : 1 + kinds] *= _HALF_NORMAL_SD

    half_SNJ = x_NJ * scales_SJ[:, None, :]
    factor_SNN = np.linalg.cholesky(
        half_SNJ @ half_SNJ.transpose(0, 2, 1) + noise_SN[:, :, None] ** 2 * np.eye(len(y_N))
    )
    white_SN = np.linalg.solve(factor_SNN, (y_N - prior_mean_SJ @ x_NJ.T)[:, :, None])[:, :, 0]
    log_evidence_S = -0.5 * (white_SN**2).sum(axis=1) - np.log(np.diagonal(factor_SNN, axis1=1, axis2=2)).sum(axis=1)
    weight_S = np.exp(log_evidence_S - log_evidence_S.max())
    weight_S /= weight_S.sum()

    gain_SNJ = np.linalg.solve(factor_SNN, half_SNJ * scales_SJ[:, None, :])
    mean_SJ = prior_mean_SJ + np.einsum("sn,snj->sj", white_SN, gain_SNJ)
    mean_J = weight_S @ mean_SJ
    away_SJ = np.sqrt(weight_S)[:, None] * (mean_SJ - mean_J)
    gained = (np.sqrt(weight_S)[:, None, None] * gain_SNJ).reshape(-1, len(mean_J))
    covariance_JJ = np.diag(weight_S @ scales_SJ**2) - gained.T @ gained + away_SJ.T @ away_SJ
    return mean_J, covariance_JJ


def _without_negatives(costs_LO: Array, fixed: float) -> tuple[Array, float]:
    """The same sums from entries and a fixed cost of at least 0, as far as that is possible."""
    below_L = np.minimum(costs_LO.min(axis=1), 0.0)
    costs_LO, fixed = costs_LO - below_L[:, None], fixed + float(below_L.sum())
    if fixed < 0:
        least_L = costs_LO.min(axis=1)
        part = min(1.0, -fixed / least_L.sum()) if least_L.any() else 0.0
        costs_LO, fixed = costs_LO - part * least_L[:, None], max(fixed + part * float(least_L.sum()), 0.0)
    return costs_LO, fixed
