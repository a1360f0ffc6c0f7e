import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from devices.cost_tables.analytic import analytic_cost_table
from devices.cost_tables.cost_table import SCHEMA_PATH, CostTable, check_fits, read_cost_table
from devices.cost_tables.family import read_cost_tables
from search_space.spaces import space_named

TABLE = CostTable(
    space="tiny",
    operators=("k3_e1", "k5_e1", "skip"),
    latency_ms=np.array([[1.0, 2.0, 0.0], [3.0, 5.0, 0.5]]),
    energy_mj=np.array([[9.0, 2.0, 0.0], [4.0, 6.0, 1.0]]),
    fixed_latency_ms=0.25,
    fixed_energy_mj=0.75,
    latency_source="measured",
    energy_source="modelled",
    board="host (a processor)",
    runtime="onnxruntime 1.20.0",
    threads=1,
    clock_mhz=1500.0,
    date="2026-01-02T03:04:05+00:00",
    method="a test",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "table.json"


def write(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(TABLE.to_json() | changes))


def test_a_networks_cost_is_the_fixed_cost_and_one_entry_a_layer() -> None:
    assert TABLE.latency_of((1, 0)) == 0.25 + 2.0 + 3.0
    assert TABLE.energy_of([2, 1]) == 0.75 + 0.0 + 6.0


def test_bounds_are_those_of_all_networks() -> None:
    networks = [(first, second) for first in range(3) for second in range(3)]
    assert TABLE.slowest_ms() == max(TABLE.latency_of(network) for network in networks)
    assert TABLE.highest_mj() == max(TABLE.energy_of(network) for network in networks)


@pytest.mark.parametrize("indices", [(0,), (0, 1, 2), (0, 3), (-1, 0)])
def test_indices_that_do_not_fit_are_refused(indices: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"2 indices, one a layer, in \[0, 2\]"):
        TABLE.latency_of(indices)


def test_arrays_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        TABLE.latency_ms[0, 0] = 7.0


def test_a_file_comes_back_as_it_was(path: Path) -> None:
    TABLE.write(path)
    table = read_cost_table(path)
    assert table.to_json() == TABLE.to_json()
    assert table.operators == TABLE.operators


@pytest.mark.parametrize("date", [None, ""])
def test_a_table_may_have_no_date_which_older_files_say_by_an_empty_text(path: Path, date: str | None) -> None:
    write(path, date=date)
    assert read_cost_table(path).date is None


def test_tables_fit_the_schema() -> None:
    schema = json.loads(SCHEMA_PATH.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    for table in (TABLE, analytic_cost_table(space_named("fbnet-micro"))):
        jsonschema.validate(table.to_json(), schema)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
@pytest.mark.parametrize("name", ["latency_ms", "energy_mj"])
def test_impossible_entries_are_named(name: str, value: float) -> None:
    costs = np.ones((2, 3))
    costs[1, 2] = value
    changes: dict[str, Any] = {name: costs}
    with pytest.raises(
        ValueError, match=rf"`{name}` must be 0, or from 1e-100 to 1e\+09, .* layer 1, operator skip, .*host"
    ):
        replace(TABLE, **changes)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"latency_ms": np.ones((2, 2))}, r"shape \(layers, 3\), one column an operator, but got \(2, 2\)"),
        ({"latency_ms": np.ones((4, 3))}, "must have one shape"),
        ({"fixed_latency_ms": float("nan")}, "`fixed_latency_ms` must be from 0"),
        ({"fixed_energy_mj": -1.0}, "`fixed_energy_mj` must be from 0"),
    ],
)
def test_tables_that_make_no_sense_are_refused(changes: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        replace(TABLE, **changes)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"latency_source": "guessed"}, "`latency_source`: 'guessed' is not one of"),
        ({"threads": 0}, "`threads`: 0 is less than the minimum of 1"),
        ({"date": "yesterday"}, "`date`"),
        ({"colour": "red"}, "at the top: .*'colour' was unexpected"),
        ({"latency_ms": [[1.0, "2", 0.0], [3.0, 5.0, 0.5]]}, r"`latency_ms`\[0\]\[1\]: '2' is not of type"),
        ({"energy_mj": [[1.0, 2.0, 0.0]]}, "must have one shape"),
        ({"latency_ms": [[1.0, float("nan"), 0.0], [3.0, 5.0, 0.5]]}, "numbers must be finite, but it has NaN"),
        ({"latency_ms": [[1.0, 2.0, 0.0], [3.0, 5.0, 0.5, 6.0]]}, "layer 1 has 4"),
    ],
)
def test_broken_files_are_refused_in_one_line(path: Path, changes: dict[str, Any], rule: str) -> None:
    write(path, **changes)
    with pytest.raises(ValueError, match=rule) as error:
        read_cost_table(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("rows", [[[1.0, 2.0, 0.0], [3.0, None, 0.5]], [[1.0, 2.0, 0.0], [3.0]]])
def test_a_missing_entry_is_named_with_layer_operator_board_and_file(
    path: Path, rows: list[list[float | None]]
) -> None:
    write(path, energy_mj=rows)
    with pytest.raises(
        ValueError, match=r"`energy_mj` lacks layer 1, operator k5_e1, on board 'host \(a proc"
    ) as error:
        read_cost_table(path)
    assert str(path) in str(error.value)


def test_files_that_are_absent_or_no_json_are_refused(path: Path) -> None:
    with pytest.raises(ValueError, match=r"must exist, but got .*table.json"):
        read_cost_table(path)
    path.write_text("{")
    with pytest.raises(ValueError, match="must be JSON, but .*table.json"):
        read_cost_table(path)


def test_a_table_must_fit_the_space() -> None:
    space = space_named("fbnet-micro")
    table = analytic_cost_table(space)
    check_fits(table, space)
    check_fits(table, space.with_classes(100))
    with pytest.raises(ValueError, match="the space of a cost table must be .* fbnet-cifar, but .* has fbnet-micro"):
        check_fits(table, space_named("fbnet-cifar"))
    with pytest.raises(
        ValueError, match="must be that of the search space, fbnet-micro@96, but .* has fbnet-micro: pr"
    ):
        check_fits(table, space_named("fbnet-micro@96"))
    with pytest.raises(ValueError, match="the operators of a cost table"):
        check_fits(table, replace(space, operators=space.operators[1:]))
    with pytest.raises(ValueError, match="the number of layers of a cost table must be .* 6, but .* has 8"):
        check_fits(table, replace(space, stages=(*space.stages[:-1], replace(space.stages[-1], layers=1))))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latency_ms": [[1e308] * 3] * 2}, r"`latency_ms` must be 0, or from 1e-100 to 1e\+09"),
        ({"energy_mj": [[5e-324] * 3] * 2}, r"`energy_mj` must be 0, or from 1e-100 to 1e\+09"),
        ({"fixed_latency_ms": 1e10}, "`fixed_latency_ms` must be from 0 to"),
        ({"latency_ms": [[1.0] * 3] * 100_000}, "a table must have at most 200 layers and operators"),
        ({"threads": 10**9}, "`threads` must be at most 1024"),
    ],
)
def test_a_table_costs_and_asks_for_what_can_be(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "table.json"
    path.write_text(json.dumps({**TABLE.to_json(), **change}))
    with pytest.raises(ValueError, match=message) as caught:
        read_cost_tables(path)
    assert len(str(caught.value)) < 700
