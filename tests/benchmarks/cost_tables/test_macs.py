from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.cost_tables.macs import (
    MacsConfig,
    Measured,
    lines_of,
    macs_table,
    ratios_at_equal_error,
    reference_of,
    row_of,
)
from devices.cost_tables.analytic import analytic_cost_table
from search_space.counts import count
from tests.benchmarks.conftest import SPACE

FOUND = [
    Measured(cost="measured", seed=0, points_NM=np.array([[0.2, 4.0, 8.0], [0.4, 1.0, 2.0]])),
    Measured(cost="MACs", seed=0, points_NM=np.array([[0.2, 5.0, 10.0], [0.4, 2.0, 4.0], [0.6, 1.0, 2.0]])),
]


def test_a_table_of_macs_has_those_of_whole_networks_at_one_scale() -> None:
    table = analytic_cost_table(SPACE)
    counted = macs_table(table, SPACE)
    ratios = []
    for index in (0, 1, 2):
        indices = [index] * SPACE.num_layers
        macs = count(SPACE.graph(tuple(SPACE.operators[index] for index in indices))).macs
        ratios += [counted.latency_of(indices) / macs]
    assert ratios == pytest.approx([ratios[0]] * 3)
    uniform = [one.latency_ms.mean(1).sum() + one.fixed_latency_ms for one in (table, counted)]
    assert uniform[0] == pytest.approx(uniform[1])
    assert counted.latency_source == counted.energy_source == "modelled"


def test_costs_are_compared_at_errors_that_both_reach() -> None:
    """At an error of 0.2: 4 ms and 5 ms; from there to below 0.4 the same; at 0.4: 1 ms and 2 ms."""
    ratio_N = ratios_at_equal_error(FOUND, 1)
    assert ratio_N[:-1] == pytest.approx(0.8)
    assert ratio_N[-1] == pytest.approx(0.5)


def test_hypervolume_is_that_of_measured_costs() -> None:
    reference_M = reference_of(FOUND)
    assert reference_M == pytest.approx(1.1 * np.array([0.6, 5.0, 10.0]))
    rows = [row_of(one.cost, [one], reference_M) for one in FOUND]
    assert rows[0].hypervolume > rows[1].hypervolume > 0
    assert rows[0].interval == 0
    text = "\n".join(lines_of(rows, {"latency": ratios_at_equal_error(FOUND, 1)}, MacsConfig()))
    assert "latency at equal error, searched by measured costs over by MACs: median 0.80" in text


@pytest.mark.parametrize("name", ["seeds", "generations", "workers"])
def test_numbers_must_be_positive(name: str) -> None:
    settings: Any = {name: 0}
    with pytest.raises(ValueError, match=f"`--{name} >= 1` must hold, but got 0"):
        MacsConfig(**settings)


def test_a_board_that_cannot_be_is_refused_before_anything_is_searched() -> None:
    with pytest.raises(ValueError, match="`--board` must be `host` or `ssh://.*, but got 'nope'"):
        MacsConfig(board="nope")
