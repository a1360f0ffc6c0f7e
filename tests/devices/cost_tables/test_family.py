import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devices.configuration import BASE, RuntimeConfiguration, configurations_of
from devices.cost_tables.analytic import analytic_cost_table
from devices.cost_tables.cost_table import CostTable, TableError, read_cost_table
from devices.cost_tables.family import CostTables, read_cost_tables
from search_space.spaces import space_named

SOURCE = analytic_cost_table(space_named("fbnet-micro"))
CONFIGURATIONS = configurations_of((1, 4), (1500, 600), ("fp32", "int8"))


def table_of(configuration: RuntimeConfiguration, **changes: Any) -> CostTable:
    return replace(
        SOURCE,
        threads=configuration.threads,
        frequency_mhz=configuration.frequency_mhz,
        precision=configuration.precision,
        latency_ms=SOURCE.latency_ms / configuration.threads,
        error=TableError(networks=10, mean_relative=0.02, within_10_percent=1.0, spearman=0.99),
        **changes,
    )


FAMILY = CostTables([table_of(configuration) for configuration in CONFIGURATIONS])


def test_a_file_gives_back_the_family_it_was_written_from(tmp_path: Path) -> None:
    path = tmp_path / "family.json"
    FAMILY.write(path)
    read = read_cost_tables(path)
    assert read.configurations == CONFIGURATIONS
    assert read.base.configuration == CONFIGURATIONS[0]
    for configuration in CONFIGURATIONS:
        assert read[configuration].to_json() == FAMILY[configuration].to_json()
        np.testing.assert_array_equal(read[configuration].latency_ms, FAMILY[configuration].latency_ms)


def test_a_single_table_is_written_as_before_and_read_as_a_family(tmp_path: Path) -> None:
    path = tmp_path / "single.json"
    CostTables([SOURCE]).write(path)
    assert read_cost_table(path).to_json() == SOURCE.to_json()
    assert read_cost_tables(path).configurations == (BASE,)


def test_some_tables_come_in_the_order_that_is_asked_for() -> None:
    chosen = (CONFIGURATIONS[5], CONFIGURATIONS[0])
    assert FAMILY.only(chosen).configurations == chosen
    with pytest.raises(ValueError, match="have none for ort 3t fp32: profile the board for it, or choose among ort 1t"):
        FAMILY.only([RuntimeConfiguration(threads=3)])


def test_all_tables_change_alike() -> None:
    doubled = FAMILY.mapped(lambda table: replace(table, latency_ms=2 * table.latency_ms))
    assert doubled.configurations == FAMILY.configurations
    for configuration in CONFIGURATIONS:
        np.testing.assert_array_equal(doubled[configuration].latency_ms, 2 * FAMILY[configuration].latency_ms)


def test_tables_that_are_no_family_are_refused() -> None:
    with pytest.raises(ValueError, match="one cost table for each configuration, but got none"):
        CostTables([])
    with pytest.raises(ValueError, match="but got ort 1t fp32, ort 1t fp32"):
        CostTables([SOURCE, SOURCE])
    with pytest.raises(ValueError, match="for one search space, but got fbnet-micro, another"):
        CostTables([SOURCE, table_of(CONFIGURATIONS[1], space="another")])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "must be JSON"),
        ('{"tables": 3}', "`tables` must be a list, but is int"),
        ('{"tables": []}', "one cost table for each configuration, but got none"),
        ('{"tables": [1]}', "1 is not of type 'object'"),
        ("[]", r"\[\] is not of type 'object'"),
        (json.dumps({"tables": [SOURCE.to_json()], "more": 1}), "at the top"),
        (json.dumps({"tables": [SOURCE.to_json(), SOURCE.to_json() | {"threads": 0}]}), "at `threads`"),
        (json.dumps({"tables": [SOURCE.to_json(), SOURCE.to_json()]}), "but got ort 1t fp32, ort 1t fp32"),
        (json.dumps({"tables": [SOURCE.to_json() | {"precision": "int4"}]}), "at `precision`"),
    ],
)
def test_a_bad_family_file_is_one_line_that_names_it(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as raised:
        read_cost_tables(path)
    assert repr(str(path)) in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a cost table file must exist, but got .*absent.json"):
        read_cost_tables(tmp_path / "absent.json")
