"""Corrects a cost table with networks measured whole on the board. Start with `calibrated`.

The sum of separately measured operators misses what operators do to each other in a network. Relative corrections of
the entries are found by Bayesian linear regression (ridge regression towards the table as it is): corrections are tied
by operator and by layer shape, errors count relative to the latency, and the strengths of all ties are those with the
highest evidence.

Shape suffixes: N networks, L layers, K distinct entries (layer shape, operator), G groups of hyper-parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from scipy.stats import spearmanr

from devices.cost_tables.cost_table import CostTable, TableError, check_fits
from search_space.spaces import FBNetSpace

Array = npt.NDArray[np.float64]

_GROUPS = ("scale", "fixed", "operator", "shape", "entry", "absolute", "noise")
_USUAL = (0.2, 0.3, 0.1, 0.1, 0.05, 0.05, 0.02)
"""Usual standard deviations, as fractions of the whole: centres of the log-normal hyper-priors."""
_HYPER_SPREAD = 1.5
"""Standard deviation of the hyper-priors, in natural logarithms."""


@dataclass(frozen=True)
class Calibration:
    """Result of a calibration."""

    table: CostTable
    left_out_ms_N: Array
    """Latency of each network as predicted from all the others, shape (N,)."""


def calibrated(
    table: CostTable,
    space: FBNetSpace,
    networks: Sequence[Sequence[int]],
    latency_ms: Sequence[float],
    energy_mj: Sequence[float],
) -> Calibration:
    """A table corrected by networks that were measured on its board.

    Args:
        table: the table to correct; what the networks say nothing about stays unchanged.
        space: its search space; equal layers and operators share one correction.
        networks: for each network its operator indices, shape (N, L).
        latency_ms: measured, length N.
        energy_mj: measured or modelled, length N.

    Returns:
        The corrected table, whose `error` is that of predicting each network from all the others.

    Raises:
        ValueError: if there are no networks, the lengths differ, a cost is not above 0, or the table is for another
            space.
    """
    check_fits(table, space)
    if not len(networks) or not len(networks) == len(latency_ms) == len(energy_mj):
        raise ValueError(
            f"each network must have a latency and an energy, but got {len(networks)} networks, {len(latency_ms)} "
            f"latencies and {len(energy_mj)} energies."
        )
    if not all(np.isfinite(value) and value > 0 for value in (*latency_ms, *energy_mj)):
        raise ValueError("measured costs must be finite and above 0: omit what could not be measured.")
    indices_NL = np.array(networks, np.intp)
    ties = _Ties.of(table, space)
    latency = _corrected(table.latency_ms, table.fixed_latency_ms, ties, indices_NL, np.asarray(latency_ms, float))
    energy = _corrected(table.energy_mj, table.fixed_energy_mj, ties, indices_NL, np.asarray(energy_mj, float))
    error = table_error(latency.left_out_N, np.asarray(latency_ms, float))
    return Calibration(
        replace(
            table,
            latency_ms=latency.costs_LO,
            energy_mj=energy.costs_LO,
            fixed_latency_ms=latency.fixed,
            fixed_energy_mj=energy.fixed,
            error=error,
            method=f"{table.method.split('; calibrated')[0]}; calibrated on {len(networks)} whole networks",
        ),
        latency.left_out_N,
    )


def table_error(predicted_N: Array, measured_N: Array) -> TableError:
    """How far predictions are from measurements, both of shape (N,) and in the same unit."""
    relative_N = np.abs(predicted_N / measured_N - 1)
    enough = len(measured_N) > 2 and np.ptp(predicted_N) > 0 and np.ptp(measured_N) > 0
    return TableError(
        networks=len(measured_N),
        mean_relative=float(relative_N.mean()),
        within_10_percent=float((relative_N <= 0.1).mean()),
        spearman=float(spearmanr(predicted_N, measured_N).statistic) if enough else None,
    )


@dataclass(frozen=True)
class _Ties:
    """Which entries of a table are the same, and which share an operator or a layer shape."""

    entry_LO: npt.NDArray[np.intp]
    """Index of the distinct entry, of K in all."""
    operator_K: npt.NDArray[np.intp]
    shape_K: npt.NDArray[np.intp]

    @classmethod
    def of(cls, table: CostTable, space: FBNetSpace) -> _Ties:
        shapes = {layer: number for number, layer in enumerate(dict.fromkeys(space.layers))}
        operators = len(table.operators)
        shape_L = np.array([shapes[layer] for layer in space.layers])
        entry_LO = shape_L[:, None] * operators + np.arange(operators)
        return cls(entry_LO, np.tile(np.arange(operators), len(shapes)), np.repeat(np.arange(len(shapes)), operators))


@dataclass(frozen=True)
class _Corrected:
    costs_LO: Array
    fixed: float
    left_out_N: Array


def _corrected(
    costs_LO: Array, fixed: float, ties: _Ties, indices_NL: npt.NDArray[np.intp], measured_N: Array
) -> _Corrected:
    """One kind of cost, corrected by its measured values."""
    layers, count = np.arange(len(costs_LO)), len(ties.operator_K)
    times_NK = np.zeros((len(indices_NL), count))
    for layer in layers:
        np.add.at(times_NK, (np.arange(len(indices_NL)), ties.entry_LO[layer, indices_NL[:, layer]]), 1.0)
    cost_K = np.zeros(count)
    cost_K[ties.entry_LO] = costs_LO
    typical = float(costs_LO.mean()) or 1.0
    predicted_N = fixed + times_NK @ cost_K
    design_NK = times_NK * cost_K / measured_N[:, None]
    absolute_NK = times_NK * typical / measured_N[:, None]
    fixed_N = fixed / measured_N
    residual_N = 1 - predicted_N / measured_N

    same_operator = (ties.operator_K[:, None] == ties.operator_K).astype(float)
    same_shape = (ties.shape_K[:, None] == ties.shape_K).astype(float)
    parts_GNN = np.stack(
        [
            np.outer(predicted_N / measured_N, predicted_N / measured_N),
            np.outer(fixed_N, fixed_N),
            design_NK @ same_operator @ design_NK.T,
            design_NK @ same_shape @ design_NK.T,
            design_NK @ design_NK.T,
            absolute_NK @ absolute_NK.T,
            np.eye(len(measured_N)),
        ]
    )
    variances_G = _most_likely_variances(parts_GNN, residual_N)
    precision_NN = np.linalg.inv(np.tensordot(variances_G, parts_GNN, axes=1))
    weights_N = precision_NN @ residual_N
    scale, constant, operator, shape, entry, absolute, _ = variances_G

    covariance_KK = operator * same_operator + shape * same_shape + entry * np.eye(count)
    common = scale * float(predicted_N / measured_N @ weights_N)
    relative_K = common + covariance_KK @ (design_NK.T @ weights_N)
    corrected_K = cost_K * (1 + relative_K) + absolute * typical * (absolute_NK.T @ weights_N)
    # Entries that no network has stay as they were, but for what they share with entries that some have.
    corrected_LO = np.maximum(corrected_K, 0.0)[ties.entry_LO]
    new_fixed = max(fixed * (1 + common + constant * float(fixed_N @ weights_N)), 0.0)
    left_out_residual_N = weights_N / np.diag(precision_NN)
    return _Corrected(corrected_LO, new_fixed, measured_N * (1 - left_out_residual_N))


def _most_likely_variances(parts_GNN: Array, residual_N: Array) -> Array:
    """Variances of all groups with the highest evidence times hyper-prior, shape (G,).

    Source: Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006), equation 5.8.
    """
    centre_G = np.log(np.array(_USUAL))

    def cost_and_gradient(logs_G: Array) -> tuple[float, Array]:
        variances_G = np.exp(2 * logs_G)
        factor = cho_factor(np.tensordot(variances_G, parts_GNN, axes=1), lower=True)
        weights_N = cho_solve(factor, residual_N)
        inverse_NN = cho_solve(factor, np.eye(len(residual_N)))
        excess_NN = inverse_NN - np.outer(weights_N, weights_N)
        away_G = (logs_G - centre_G) / _HYPER_SPREAD
        cost = 0.5 * residual_N @ weights_N + np.log(np.diag(factor[0])).sum() + 0.5 * away_G @ away_G
        gradient_G = variances_G * np.einsum("nm,gnm->g", excess_NN, parts_GNN) + away_G / _HYPER_SPREAD
        return float(cost), gradient_G

    bounds = [(value - 6, value + 4) for value in centre_G]
    found = minimize(cost_and_gradient, centre_G, jac=True, method="L-BFGS-B", bounds=bounds)
    return np.asarray(np.exp(2 * found.x), np.float64)
