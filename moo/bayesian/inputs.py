"""What a Gaussian process knows of architectures: operators in a canonical form, and numbers that are free to have.

Shape suffixes: C costs, F numbers, L layers, N architectures, O operators.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]
SCALED_BY = 512
"""Architectures at random that numbers are scaled by."""
LEAST_SHARE = 1e-3
"""Of a cost's highest value: what is less, as 0, counts as so much, so that it has a logarithm."""


@dataclass(frozen=True, eq=False)
class ArchitectureInputs:
    """Inputs of N architectures."""

    category_NL: Integers
    """An operator for each layer; architectures that compute the same may have one canonical form."""
    number_NF: Floats
    """Of about unit scale."""

    def __len__(self) -> int:
        return len(self.category_NL)

    def __getitem__(self, places: npt.NDArray[np.generic]) -> ArchitectureInputs:
        return ArchitectureInputs(self.category_NL[places], self.number_NF[places])


Describe = Callable[[Integers], ArchitectureInputs]
"""From indices of operators (N, L) to inputs."""


def centre_and_scale(number_NF: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each number (F,); 1 in place of the deviation of one that is always the same."""
    # Of equal values the deviation may differ from 0 by rounding.
    deviation_F = np.where(np.ptp(number_NF, axis=0) > 0, number_NF.std(0), 1.0)
    return number_NF.mean(0), deviation_F


class LayerwiseInputs:
    """Inputs of architectures whose costs are sums over layers; a `Describe`.

    Numbers are the logarithms of total costs, and the shares of layers in each group, as a stage, that do something.
    """

    def __init__(
        self, tables_CLO: Floats, fixed_C: Floats, *, groups: Sequence[Sequence[int]], idle_LO: npt.NDArray[np.bool_]
    ) -> None:
        """Scale numbers by architectures at random, always the same.

        Args:
            tables_CLO: costs, as latency, energy, multiply-accumulates, parameters.
            fixed_C: of what all architectures have in common.
            groups: layers of each group.
            idle_LO: whether an operator does nothing in a layer.
        """
        self._tables_CLO, self._fixed_C = tables_CLO, fixed_C
        self._groups, self._idle_LO = [list(group) for group in groups], idle_LO
        self._least_C = np.maximum(LEAST_SHARE * (tables_CLO.max(-1).sum(-1) + fixed_C), np.finfo(float).tiny)
        some_NL = np.random.default_rng(0).integers(0, idle_LO.shape[1], (SCALED_BY, len(idle_LO)))
        self._centre_F, self._deviation_F = centre_and_scale(self._numbers(some_NL))

    def __call__(self, indices_NL: Integers) -> ArchitectureInputs:
        """See `Describe`."""
        return ArchitectureInputs(indices_NL, (self._numbers(indices_NL) - self._centre_F) / self._deviation_F)

    def _numbers(self, indices_NL: Integers) -> Floats:
        layer_L = np.arange(indices_NL.shape[1])
        costs_NC = self._tables_CLO[:, layer_L, indices_NL].sum(-1).T + self._fixed_C
        busy_NL = ~self._idle_LO[layer_L, indices_NL]
        depths = [busy_NL[:, group].mean(-1) for group in self._groups]
        return np.column_stack([np.log(np.maximum(costs_NC, self._least_C)), *depths])
