"""Costs of ways through networks, against sums by hand over a table of known entries."""

from dataclasses import replace

import numpy as np
import pytest

from devices.cost_tables.cost_table import CostTable
from devices.cost_tables.exit_costs import (
    ExitCosts,
    PathCosts,
    WholeWays,
    exit_costs,
    latency_shares,
    passing_of,
    with_passing,
)
from devices.cost_tables.pi4 import fitted_model, published_latencies
from devices.cost_tables.raspberry_pi import built_in_tables
from search_space.exits import Exit, head_graph
from search_space.graphs import Graph, GraphBuilder
from search_space.spaces import add_head, add_stem, space_named

SPACE = space_named("fbnet-micro")
OPERATORS = tuple(SPACE.operators[number % len(SPACE.operators)] for number in range(SPACE.num_layers))
EXITS = tuple(Exit(layer, head) for layer in (2, 4, 5) for head in ("linear", "conv"))


def table_of(fixed_ms: float = 0.25) -> CostTable:
    """Whose entries are powers of two: every sum of them is exact, and no two are equal."""
    shape = (SPACE.num_layers, len(SPACE.operators))
    latency_ms = np.exp2(np.arange(shape[0] * shape[1], dtype=np.float64).reshape(shape) % 17 - 8)
    return CostTable(
        space=SPACE.name,
        operators=SPACE.operators,
        latency_ms=latency_ms,
        energy_mj=4 * latency_ms,
        fixed_latency_ms=fixed_ms,
        fixed_energy_mj=4 * fixed_ms,
        latency_source="measured",
        energy_source="modelled",
        board="a board",
        runtime="none",
        threads=1,
        clock_mhz=None,
        date=None,
        method="made up",
        idle_w=2.5,
        energy_error=0.25,
    )


def own_ms(table: CostTable) -> list[float]:
    return [float(table.latency_ms[layer, table.operators.index(name)]) for layer, name in enumerate(OPERATORS)]


def pi4_ms(graph: Graph) -> float:
    return fitted_model(published_latencies()).latency_ms(graph)


def costs_of(table: CostTable) -> ExitCosts:
    return exit_costs(table, SPACE, OPERATORS, EXITS)


def test_without_exits_it_is_the_sum_of_the_table() -> None:
    table = table_of()
    indices = [table.operators.index(name) for name in OPERATORS]
    static = costs_of(table).of(())
    assert static.latency_ms_X.tolist() == [table.latency_of(indices)]
    assert static.energy_mj_X.tolist() == [table.energy_of(indices)]
    assert (static.latency_source, static.energy_source) == ("modelled", "modelled")
    assert (static.idle_w, static.energy_error) == (2.5, 0.25)


def test_up_to_an_exit_it_is_the_stem_the_layers_before_and_the_heads_passed() -> None:
    table = table_of()
    own = own_ms(table)
    stem, last = GraphBuilder(SPACE.input_shape), SPACE.layers[-1]
    add_stem(stem, SPACE)
    head = GraphBuilder((last.out_channels, -(-last.size // last.stride), -(-last.size // last.stride)))
    add_head(head, Graph.INPUT, SPACE)
    before = pi4_ms(stem.build()) / (pi4_ms(stem.build()) + pi4_ms(head.build())) * table.fixed_latency_ms
    scale = (sum(own) + table.fixed_latency_ms) / pi4_ms(SPACE.graph(OPERATORS))
    first, second = (scale * pi4_ms(head_graph(SPACE, EXITS[place])) for place in (1, 4))
    found = costs_of(table).of((1, 4))
    expected = [
        before + sum(own[:3]) + first,
        before + sum(own[:6]) + first + second,
        table.fixed_latency_ms + sum(own) + first + second,
    ]
    np.testing.assert_allclose(found.latency_ms_X, expected, rtol=1e-12)
    np.testing.assert_allclose(found.energy_mj_X, 4 * np.array(expected), rtol=1e-12)


def test_without_a_fixed_cost_nothing_comes_before_the_layers() -> None:
    table = table_of(fixed_ms=0.0)
    costs = costs_of(table)
    np.testing.assert_allclose(costs.before_ms_E, np.cumsum(own_ms(table))[[2, 2, 4, 4, 5, 5]], rtol=1e-12)


@pytest.mark.parametrize("plan", [(0,), (1, 2), (0, 3, 4), (1, 3, 5)])
def test_costs_rise_with_exits_passed(plan: tuple[int, ...]) -> None:
    tables = [table_of(), *built_in_tables("pi4", SPACE)]
    for table in tables:
        costs = costs_of(table)
        found = costs.of(plan)
        for cost_X in (found.latency_ms_X, found.energy_mj_X):
            assert len(cost_X) == len(plan) + 1
            assert (np.diff(cost_X) > 0).all()
        assert found.latency_ms_X[-1] > costs.whole_ms
        assert found.energy_mj_X[-1] > costs.whole_mj


def test_another_exit_makes_every_later_way_dearer_by_its_head() -> None:
    costs = costs_of(table_of())
    one, two = costs.of((3,)), costs.of((0, 3))
    assert two.latency_ms_X[0] == costs.before_ms_E[0] + costs.head_ms_E[0]
    np.testing.assert_allclose(two.latency_ms_X[1:] - one.latency_ms_X, costs.head_ms_E[0], rtol=1e-9)


def test_shares_of_the_latency_rise_to_what_is_left_for_the_head() -> None:
    table = table_of()
    shares_L = latency_shares(table, SPACE, OPERATORS)
    whole_ms = sum(own_ms(table)) + table.fixed_latency_ms
    assert shares_L.shape == (SPACE.num_layers,)
    assert (np.diff(shares_L) > 0).all()
    np.testing.assert_allclose(np.diff(shares_L), np.array(own_ms(table))[1:] / whole_ms, rtol=1e-9)
    assert shares_L[0] > 0
    assert 1 - table.fixed_latency_ms / whole_ms < shares_L[-1] < 1


def test_proportional_configurations_stay_proportional() -> None:
    table = table_of()
    slower = replace(
        table,
        latency_ms=3 * table.latency_ms,
        fixed_latency_ms=3 * table.fixed_latency_ms,
        energy_mj=0.5 * table.energy_mj,
        fixed_energy_mj=0.5 * table.fixed_energy_mj,
    )
    one, other = costs_of(table), costs_of(slower)
    for plan in ((), (0,), (1, 3, 5)):
        np.testing.assert_allclose(other.of(plan).latency_ms_X, 3 * one.of(plan).latency_ms_X, rtol=1e-12)
        np.testing.assert_allclose(other.of(plan).energy_mj_X, 0.5 * one.of(plan).energy_mj_X, rtol=1e-12)


def test_expected_costs_are_weighted_by_shares() -> None:
    costs = PathCosts(
        latency_ms_X=np.array([1.0, 2.0, 4.0]),
        energy_mj_X=np.array([2.0, 3.0, 8.0]),
        latency_source="measured",
        energy_source="modelled",
    )
    assert costs.expected(np.array([0.5, 0.25, 0.25])) == (2.0, 3.75)
    assert costs.expected(np.array([0.0, 0.0, 1.0])) == (4.0, 8.0)


@pytest.mark.parametrize(
    ("thresholds", "longest_ms"),
    [((0.5, 0.5), 5.0), ((0.5, 0.0), 5.0), ((1.0, 0.5), 5.0), ((0.5, 1.0), 4.0), ((0.0, 0.5), 1.0), ((1.0, 1.0), 4.0)],
)
def test_the_longest_way_is_one_that_an_image_can_take(thresholds: tuple[float, ...], longest_ms: float) -> None:
    """The second way is measured to take longer than passing all; none comes past a 0, and none leaves at a 1."""
    costs = PathCosts(
        latency_ms_X=np.array([1.0, 5.0, 4.0]),
        energy_mj_X=np.ones(3),
        latency_source="measured",
        energy_source="modelled",
    )
    assert costs.worst_latency_ms(thresholds) == longest_ms


def test_passing_an_exit_takes_what_is_added_for_it() -> None:
    plain = costs_of(table_of())
    costs = with_passing(plain, 0.5)
    for plan in ((), (2,), (1, 3, 5)):
        passed_X = np.array([*range(1, len(plan) + 1), len(plan)])
        latency_X = plain.of(plan).latency_ms_X + 0.5 * passed_X
        np.testing.assert_allclose(costs.of(plan).latency_ms_X, latency_X, rtol=1e-12)
        # The board's mean power goes on meanwhile: 4 W.
        np.testing.assert_allclose(costs.of(plan).energy_mj_X, 4 * latency_X, rtol=1e-12)


def test_what_passing_takes_comes_back_from_measured_ways() -> None:
    costs, rng = costs_of(table_of()), np.random.default_rng(0)
    plans = ((0,), (1, 3), (0, 2, 5))
    truth = with_passing(costs, 0.02)
    ways = [WholeWays(plan=plan, static_ms=costs.whole_ms, last_ms=truth.of(plan).latency_ms_X[-1]) for plan in plans]
    found = passing_of([(costs, way) for way in ways])
    assert found.latency_ms == pytest.approx(0.02, rel=1e-6)
    assert found.spread_ms == pytest.approx(0.0, abs=1e-9)
    # The board is 10 % slower with this network than the table says: static network and heads alike.
    slower = [replace(way, static_ms=1.1 * way.static_ms, last_ms=1.1 * way.last_ms) for way in ways]
    assert passing_of([(costs, way) for way in slower]).latency_ms == pytest.approx(0.022, rel=1e-6)
    noisy = [replace(way, last_ms=way.last_ms + 0.001 * rng.standard_normal()) for way in ways for _ in range(200)]
    found = passing_of([(costs, way) for way in noisy])
    assert found.latency_ms == pytest.approx(0.02, abs=4e-4)
    assert 2e-4 < found.spread_ms < 1e-3


def test_no_time_is_gained_by_passing_an_exit_and_a_fit_needs_a_way() -> None:
    costs = costs_of(table_of())
    whole = WholeWays(plan=(0,), static_ms=costs.whole_ms, last_ms=costs.whole_ms)
    assert passing_of([(costs, whole)]).latency_ms == 0.0
    with pytest.raises(ValueError, match="at least one network with exits"):
        passing_of([])
    with pytest.raises(ValueError, match="at least one network with exits"):
        passing_of([(costs, replace(whole, plan=()))])
