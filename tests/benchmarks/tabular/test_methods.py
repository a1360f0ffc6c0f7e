from __future__ import annotations

import contextlib

import numpy as np
import pytest

from benchmarks.tabular.methods import Method, Task, nsga2_on_architectures, random_search, surrogate_assisted
from benchmarks.tabular.table import BudgetSpentError, LookUps, Table, TabularExpectation
from tests.benchmarks.conftest import ALL


@pytest.mark.parametrize(
    "method", [pytest.param(surrogate_assisted, marks=pytest.mark.slow), nsga2_on_architectures, random_search]
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
        task = Task((TabularExpectation(table.cost_NC[:, 0]),), table.cost_NC)
        with contextlib.suppress(BudgetSpentError):
            method(task, lookups, np.random.default_rng(1))
        runs.append(lookups.places)
    assert len(runs[0]) == 55
    assert runs[0] == runs[1]
