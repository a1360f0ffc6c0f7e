"""On a board whose costs add up exactly, the profile must predict every network exactly."""

import numpy as np
import onnx
import pytest

from devices.cost_tables.cost_table import check_fits
from devices.errors import MeasurementError
from devices.profiling.operator_costs import LEAST_LATENCY_MS, operator_wise_table
from devices.replay import ReplayDevice
from search_space.onnx_files import random_weights, to_onnx
from search_space.operators import OPERATORS
from search_space.spaces import space_named

SPACE = space_named("fbnet-micro")


def additive_latency_ms(model: bytes) -> float:
    """An overhead, so much for each kind of node, and so much for each weight."""
    graph = onnx.load_from_string(model).graph
    per_node = {"Conv": 0.02, "GlobalAveragePool": 0.5, "Transpose": 0.03}
    numbers = sum(int(np.prod(entry.dims)) for entry in graph.initializer if not entry.name.endswith("bias"))
    return 0.7 + sum(per_node.get(node.op_type, 0.001) for node in graph.node) + 1e-4 * numbers


def test_sums_of_entries_are_exact_on_an_additive_board() -> None:
    table = operator_wise_table(ReplayDevice(additive_latency_ms), SPACE)
    rng = np.random.default_rng(0)
    for indices in rng.integers(len(SPACE.operators), size=(20, SPACE.num_layers)).tolist():
        graph = SPACE.graph(tuple(SPACE.operators[index] for index in indices))
        latency_ms = additive_latency_ms(to_onnx(graph, random_weights(graph, rng)))
        assert table.latency_of(indices) == pytest.approx(latency_ms, rel=1e-9)


def test_equal_layers_are_measured_once_and_identities_never() -> None:
    names = []
    table = operator_wise_table(
        ReplayDevice(additive_latency_ms), SPACE, on_progress=lambda done, total, name: names.append(name)
    )
    distinct = {(layer, operator) for layer in SPACE.layers for operator in OPERATORS}
    blocks = [pair for pair in distinct if not (pair[0].keeps_shape and pair[1].is_skip)]
    assert len({name for name in names if "context" not in name} - {"stem", "head"}) == len(blocks)
    assert len(names) == 2 * len(set(names))
    for layer, row in zip(SPACE.layers, table.latency_ms, strict=True):
        assert (row[-1] == 0) == layer.keeps_shape
        assert (row[:-1] > 0).all()


def test_progress_counts_to_its_total() -> None:
    calls = []
    operator_wise_table(
        ReplayDevice(additive_latency_ms), SPACE, on_progress=lambda done, total, name: calls.append((done, total))
    )
    assert calls == [(index + 1, len(calls)) for index in range(len(calls))]


def test_the_quicker_pass_counts() -> None:
    seen = set()

    def slow_at_first(model: bytes) -> float:
        disturbed = model not in seen
        seen.add(model)
        return additive_latency_ms(model) * (1.5 if disturbed else 1.0)

    disturbed, quiet = (operator_wise_table(ReplayDevice(f), SPACE) for f in (slow_at_first, additive_latency_ms))
    np.testing.assert_array_equal(disturbed.latency_ms, quiet.latency_ms)


def test_differences_below_zero_become_a_small_positive_cost() -> None:
    table = operator_wise_table(ReplayDevice(lambda model: 1.0), SPACE)
    identity = np.array([[layer.keeps_shape and name == "skip" for name in SPACE.operators] for layer in SPACE.layers])
    np.testing.assert_array_equal(table.latency_ms, np.where(identity, 0.0, LEAST_LATENCY_MS))
    assert (table.energy_mj[~identity] > 0).all()


def test_the_table_names_its_board_and_fits_its_space() -> None:
    table = operator_wise_table(ReplayDevice(additive_latency_ms), SPACE)
    check_fits(table, SPACE)
    assert "replay" in table.board
    assert (table.latency_source, table.energy_source) == ("modelled", "modelled")


def test_a_failing_board_fails_the_profile() -> None:
    def fail(model: bytes) -> float:
        raise KeyError("unplugged")

    with pytest.raises(MeasurementError, match="unplugged"):
        operator_wise_table(ReplayDevice(fail), SPACE)
