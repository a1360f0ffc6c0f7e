"""What a Gaussian process knows of the cells of NAS-Bench-201, without their accuracies.

Operators of the cell as it is computed, how often each sequence of operators leads from its input to its output, the
logarithms of costs and parameters. Shape suffixes: C costs, F numbers, L edges, N architectures, V nodes.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from benchmarks.tabular.table import SHAPE, SPACE, Floats, Integers, all_architectures
from moo.bayesian.inputs import ArchitectureInputs, centre_and_scale
from search_space.nas_bench_201 import EDGES

NONE, SKIP = (SPACE.operators.index(name) for name in ("none", "skip_connect"))
CONVOLUTIONS = tuple(SPACE.operators.index(name) for name in ("nor_conv_1x1", "nor_conv_3x3"))
ROUTES = ((3,), (0, 4), (1, 5), (0, 2, 5))
"""Edges of each way through a cell."""
PARAMS_OF_CONVOLUTIONS, PARAMS_OF_THE_REST = (28_000, 243_040), 73_306
"""Of the published networks for CIFAR-10, for each convolution of a cell."""


class CellInputs:
    """Inputs of all cells, computed once; a `moo.bayesian.inputs.Describe`."""

    def __init__(self, cost_NC: Floats) -> None:
        """Compute them.

        Args:
            cost_NC: of all cells, in their order.
        """
        cells_NL = all_architectures()
        self._canonical_NL, self._connected_N = canonical(cells_NL)
        params_N = PARAMS_OF_THE_REST + sum(
            params * (self._canonical_NL == operator).sum(1)
            for operator, params in zip(CONVOLUTIONS, PARAMS_OF_CONVOLUTIONS, strict=True)
        )
        paths_NP, convolutions_N2 = paths(self._canonical_NL)
        free_NF = np.column_stack([np.log(cost_NC), np.log(params_N), convolutions_N2, paths_NP.sum(1)])
        centre_F, deviation_F = centre_and_scale(free_NF)
        self._number_NF = np.column_stack([(free_NF - centre_F) / deviation_F, paths_NP])

    def __call__(self, indices_NL: Integers) -> ArchitectureInputs:
        """See `Describe`."""
        places = places_of(indices_NL)
        return ArchitectureInputs(self._canonical_NL[places], self._number_NF[places])

    def are_connected(self, indices_NL: Integers) -> npt.NDArray[np.bool_]:
        """Whether the output of each cell depends on its input (N,)."""
        return self._connected_N[places_of(indices_NL)]


def places_of(indices_NL: Integers) -> Integers:
    """Places of cells in the order of tables."""
    return np.asarray(np.ravel_multi_index(tuple(np.asarray(indices_NL, np.intp).T), SHAPE), np.intp)


def canonical(cells_NL: Integers) -> tuple[Integers, npt.NDArray[np.bool_]]:
    """Cells as they are computed, with `none` for each edge on no way from input to output; whether there is a way."""
    reached_NV = np.zeros((len(cells_NL), 4), bool)
    needed_NV = reached_NV.copy()
    reached_NV[:, 0] = needed_NV[:, 3] = True
    live_NL = cells_NL != NONE
    for edge, (begin, end) in sorted(enumerate(EDGES), key=lambda item: item[1][1]):
        reached_NV[:, end] |= reached_NV[:, begin] & live_NL[:, edge]
    for edge, (begin, end) in sorted(enumerate(EDGES), key=lambda item: -item[1][0]):
        needed_NV[:, begin] |= needed_NV[:, end] & live_NL[:, edge]
    used_NL = np.column_stack([reached_NV[:, begin] & needed_NV[:, end] for begin, end in EDGES])
    return np.where(used_NL, cells_NL, NONE), reached_NV[:, 3]


def paths(cells_NL: Integers) -> tuple[Floats, Floats]:
    """How often each sequence of operators but `skip_connect` leads through a cell, and the convolutions of its ways.

    Returns:
        Counts of sequences of up to three operators (N, 40), and the most and the fewest convolutions on a way (N, 2).
    """
    named = [operator for operator in range(SHAPE[0]) if operator not in (NONE, SKIP)]
    sequences = {sequence: place for place, sequence in enumerate(
        sequence for length in range(4) for sequence in itertools.product(named, repeat=length)
    )}  # fmt: skip
    count_NP = np.zeros((len(cells_NL), len(sequences)))
    convolutions_N2 = np.zeros((len(cells_NL), 2))
    for place, cell in enumerate(cells_NL.tolist()):
        ways = [[cell[edge] for edge in route] for route in ROUTES]
        ways = [[operator for operator in way if operator != SKIP] for way in ways if NONE not in way]
        for way in ways:
            count_NP[place, sequences[tuple(way)]] += 1
        counts = [sum(operator in CONVOLUTIONS for operator in way) for way in ways] or [0]
        convolutions_N2[place] = max(counts), min(counts)
    return count_NP, convolutions_N2
