from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.tabular.table import BudgetSpentError, LookUps, Table, TabularExpectation, all_architectures, read_table
from moo.storage.pareto import hypervolume
from search_space.nas_bench_201 import NAS_BENCH_201_OPERATORS
from search_space.nas_bench_201 import parse_cell as parse_cell_of_space
from tests.benchmarks.conftest import ALL, COSTS, cell, percent_of


def test_the_strings_of_these_tests_are_those_of_the_space() -> None:
    assert parse_cell_of_space(cell(ALL[1234])) == tuple(NAS_BENCH_201_OPERATORS[index] for index in ALL[1234])


def test_a_table_joins_files_whatever_the_order_of_their_rows(table: Table) -> None:
    assert np.array_equal(all_architectures(), ALL)
    np.testing.assert_allclose(table.error_N, 1 - percent_of(ALL) / 100)
    np.testing.assert_allclose(table.cost_NC[:, 0], COSTS[ALL].sum(1) + 0.01 * (ALL[:, 0] * ALL[:, 1]))


def test_the_expectation_is_that_of_enumeration(table: Table) -> None:
    probs = torch.softmax(torch.from_numpy(np.random.default_rng(0).normal(size=(3, 6, 5))).float(), -1)
    weights = torch.stack([probs[:, layer, ALL[:, layer]] for layer in range(6)]).prod(0).double()
    expectation = TabularExpectation(table.cost_NC[:, 0])
    by_hand = weights @ torch.from_numpy(table.cost_NC[:, 0])
    torch.testing.assert_close(expectation(probs).double(), by_hand, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(expectation(probs)[1], expectation(probs[1]))


def test_hypervolume_counts_from_the_best_of_the_architectures_that_are_better_than_chance(table: Table) -> None:
    counted = table.error_N < 0.9
    assert 0 < (~counted).sum() < len(ALL)
    objectives = np.column_stack([table.error_N, table.cost_NC])
    low, high = objectives[counted].min(0), objectives[counted].max(0)
    scaled = (objectives - low) / (high - low)
    places = [7, 99, 4321, *np.flatnonzero(~counted)[:3].tolist()]
    boxes = [(1 - x) * (1 - y) for x, y in scaled[places[:1]]]
    assert table.hypervolume_of(places[:1]) == pytest.approx(boxes[0])
    kept = [place for place in places if counted[place]]
    assert table.hypervolume_of(places) == pytest.approx(hypervolume(scaled[kept], np.ones(2)))
    assert table.hypervolume_of(places[3:]) == 0.0
    assert table.hypervolume_of(range(len(ALL))) > table.hypervolume_of(places)


def test_look_ups_count_different_architectures_and_refuse_more_than_the_budget(table: Table) -> None:
    lookups = LookUps(table, 2)
    for indices in ((0, 0, 0, 0, 0, 1), (1, 2, 3, 4, 0, 1), (0, 0, 0, 0, 0, 1)):
        expected = 1 - percent_of(np.array([indices]))[0] / 100
        assert lookups.error_of(indices) == pytest.approx(expected)
    assert lookups.places == [1, int(np.ravel_multi_index((1, 2, 3, 4, 0, 1), (5,) * 6))]
    assert lookups.left == 0
    with pytest.raises(BudgetSpentError, match="at most 2 architectures"):
        lookups.error_of((4, 4, 4, 4, 4, 4))
    assert len(lookups.places) == 2


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda rows: rows[:-1], "must have 15625 rows with an `index` each, but .* has 15624 rows"),
        (lambda rows: [*rows[:-1], rows[1]], "has 15625 rows with 15624 different ones"),
        (lambda rows: [*rows[:-1], rows[-1].replace(rows[-1].split(",")[0], "x", 1)], "must have the same values in"),
        (lambda rows: [*rows[:-1], rows[-1].rsplit(",", 1)[0] + ",fast"], "`pi_mj` must be numbers, but .* has others"),
        (lambda rows: [*rows[:-1], rows[-1].rsplit(",", 1)[0] + ",nan"], "`pi_mj` must be finite numbers"),
        (
            lambda rows: [*rows[:-1], rows[-1].rsplit(",", 1)[0] + ",-2"],
            "`pi_mj` must be positive, but goes down to -2",
        ),
    ],
)
def test_cost_files_that_are_not_whole_are_told(
    files: Path, tmp_path: Path, change: Callable[[list[str]], list[str]], rule: str
) -> None:
    rows = (files / "cost.csv").read_text().splitlines()
    (tmp_path / "cost.csv").write_text("\n".join(change(rows)) + "\n")
    with pytest.raises(ValueError, match=rule):
        read_table((files / "accuracy.csv", "test"), [(tmp_path / "cost.csv", "pi_mj")])


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda row: row.replace("|", "!", 1), r"must have the form '\|op~0\|"),
        (lambda row: row.split(",")[0], r"must have the form '\|op~0\|"),
        (lambda row: row + "x" * 200_000, "a table must be a CSV file, but .* cannot be read: field larger"),
        (lambda row: row.rsplit(",", 1)[0] + ",101", "`test` must be in percent, 0 to 100, but goes from"),
        (lambda row: f"{row.split(',')[0]},{cell(ALL[0])},50", "`arch_str` must have each architecture once"),
    ],
)
def test_accuracy_files_that_make_no_sense_are_told(
    files: Path, tmp_path: Path, change: Callable[[str], str], rule: str
) -> None:
    rows = (files / "accuracy.csv").read_text().splitlines()
    place = next(place for place, row in enumerate(rows) if place and cell(ALL[0]) not in row)
    rows[place] = change(rows[place])
    (tmp_path / "accuracy.csv").write_text("\n".join(rows) + "\n")
    with pytest.raises(ValueError, match=rule):
        read_table((tmp_path / "accuracy.csv", "test"), [(files / "cost.csv", "pi_ms")])


def test_accuracies_as_fractions_are_told_before_any_search(files: Path, tmp_path: Path) -> None:
    head, *rows = (files / "accuracy.csv").read_text().splitlines()
    fractions = [f"{row.rsplit(',', 1)[0]},{float(row.rsplit(',', 1)[1]) / 100}" for row in rows]
    (tmp_path / "accuracy.csv").write_text("\n".join([head, *fractions]) + "\n")
    with pytest.raises(ValueError, match="must be in percent .*; multiply fractions by 100"):
        read_table((tmp_path / "accuracy.csv", "test"), [(files / "cost.csv", "pi_ms")])


def test_a_file_of_other_bytes_is_told(files: Path, tmp_path: Path) -> None:
    (tmp_path / "accuracy.csv").write_bytes(b"index,arch_str,test\n\x80\xff")
    with pytest.raises(ValueError, match="a table must be a CSV file, but .*accuracy.csv cannot be read: .*decode"):
        read_table((tmp_path / "accuracy.csv", "test"), [(files / "cost.csv", "pi_ms")])
