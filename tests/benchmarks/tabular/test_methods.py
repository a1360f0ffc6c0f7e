from __future__ import annotations

import contextlib

import numpy as np
import pytest

from benchmarks.tabular.inputs import CellInputs, canonical, paths, places_of
from benchmarks.tabular.methods import (
    Method,
    Task,
    all_judged,
    bayesian,
    nsga2_on_architectures,
    random_search,
    surrogate_assisted,
)
from benchmarks.tabular.table import BudgetSpentError, LookUps, Table, TabularExpectation
from tests.benchmarks.conftest import ALL


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(surrogate_assisted, marks=pytest.mark.slow),
        pytest.param(all_judged, marks=pytest.mark.slow),
        bayesian,
        nsga2_on_architectures,
        random_search,
    ],
)
def test_methods_use_their_budget_up_and_know_no_other_accuracy(table: Table, method: Method) -> None:
    """The same seed makes the same choices, however the accuracies differ that were never looked up."""
    runs: list[list[int]] = []
    for shift in (0.0, 0.05):
        error_N = table.error_N.copy()
        if runs:
            others = np.setdiff1d(np.arange(len(ALL)), runs[0])
            error_N[others] = (error_N[others] + shift) % 1
        changed = Table(error_N, table.cost_NC)
        lookups = LookUps(changed, 55)
        task = Task((TabularExpectation(table.cost_NC[:, 0]),), table.cost_NC, CellInputs(table.cost_NC))
        with contextlib.suppress(BudgetSpentError):
            method(task, lookups, np.random.default_rng(1))
        runs.append(lookups.places)
    assert len(runs[0]) == 55
    assert runs[0] == runs[1]


def test_a_cell_is_described_as_it_is_computed() -> None:
    """Edges: 0-1, 0-2, 1-2, 0-3, 1-3, 2-3; operators: none, skip, 1x1, 3x3, pooling."""
    cells_NL = np.array([[3, 0, 0, 0, 3, 2], [3, 0, 0, 0, 0, 2], [1, 0, 2, 4, 0, 3]])
    canonical_NL, connected_N = canonical(cells_NL)
    # Nothing reaches the last edge of the first; nothing of the second is needed.
    assert canonical_NL.tolist() == [[3, 0, 0, 0, 3, 0], [0] * 6, [1, 0, 2, 4, 0, 3]]
    assert connected_N.tolist() == [True, False, True]
    count_NP, convolutions_N2 = paths(canonical_NL)
    assert count_NP.sum(1).tolist() == [1, 0, 2]
    assert convolutions_N2.tolist() == [[2, 2], [0, 0], [2, 0]]


def test_cells_that_compute_the_same_have_the_same_inputs(table: Table) -> None:
    inputs = CellInputs(np.ones((len(ALL), 1)) + np.arange(len(ALL))[:, None] * 1e-9)
    described = inputs(np.array([[3, 0, 0, 0, 3, 0], [3, 0, 0, 0, 3, 2], [3, 0, 0, 0, 3, 4]]))
    assert (described.category_NL == described.category_NL[0]).all()
    assert np.allclose(described.number_NF[:, 1:], described.number_NF[0, 1:])
    assert places_of(ALL).tolist() == list(range(len(ALL)))
