from __future__ import annotations

import contextlib
import json
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import nas_bench_201 as bench
from moo.storage.pareto import hypervolume
from search_space.nas_bench_201 import EDGES, NAS_BENCH_201_OPERATORS
from search_space.nas_bench_201 import parse_cell as parse_cell_of_space

ALL = np.array(list(product(range(5), repeat=6)))
GOODNESS = np.array([0.0, 4.0, 6.0, 8.0, 3.0])
COSTS = np.array([0.1, 0.2, 2.0, 6.0, 1.0])


def percent_of(indices: Any) -> Any:
    """Accuracy in percent: operators add up, and the last edge does not count where the first is `none`."""
    goodness = GOODNESS[indices]
    goodness[:, 5] *= indices[:, 0] != 0
    return 9.0 + 1.5 * goodness.sum(1)


def cell(indices: Any) -> Any:
    names = [NAS_BENCH_201_OPERATORS[index] for index in indices]
    ends = {end: [] for _, end in EDGES}  # type: ignore[var-annotated]
    for name, (start, end) in zip(names, EDGES, strict=True):
        ends[end].append(f"{name}~{start}")
    return "+".join("|" + "|".join(parts) + "|" for parts in ends.values())


def write(path: Any, columns: Any) -> None:
    rows = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    path.write_text("\n".join(rows) + "\n")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Two files in an order of their own, as users have them."""
    folder = tmp_path_factory.mktemp("tables")
    order = np.random.default_rng(0).permutation(len(ALL))
    indices = ALL[order]
    index = range(len(ALL))
    accuracy = {"index": index, "arch_str": [cell(row) for row in indices], "test": percent_of(indices)}
    write(folder / "accuracy.csv", accuracy)
    latency = COSTS[indices].sum(1) + 0.01 * (indices[:, 0] * indices[:, 1])
    back = {"index": index[::-1], "pi_ms": latency[::-1], "pi_mj": (60 - latency)[::-1] + indices[::-1, 3] ** 2}
    write(folder / "cost.csv", back)
    return folder


@pytest.fixture(scope="module")
def table(files: Any) -> Any:
    return bench.read_table((files / "accuracy.csv", "test"), [(files / "cost.csv", "pi_ms")])


def test_the_strings_of_these_tests_are_those_of_the_space() -> None:
    assert parse_cell_of_space(cell(ALL[1234])) == tuple(NAS_BENCH_201_OPERATORS[index] for index in ALL[1234])


def test_a_table_joins_files_whatever_the_order_of_their_rows(table: Any) -> None:
    assert np.array_equal(bench.all_architectures(), ALL)
    np.testing.assert_allclose(table.error_N, 1 - percent_of(ALL) / 100)
    np.testing.assert_allclose(table.cost_NC[:, 0], COSTS[ALL].sum(1) + 0.01 * (ALL[:, 0] * ALL[:, 1]))


def test_the_expectation_is_that_of_enumeration(table: Any) -> None:
    probs = torch.softmax(torch.from_numpy(np.random.default_rng(0).normal(size=(3, 6, 5))).float(), -1)
    weights = torch.stack([probs[:, layer, ALL[:, layer]] for layer in range(6)]).prod(0).double()
    expectation = bench.TabularExpectation(table.cost_NC[:, 0])
    by_hand = weights @ torch.from_numpy(table.cost_NC[:, 0])
    torch.testing.assert_close(expectation(probs).double(), by_hand, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(expectation(probs)[1], expectation(probs[1]))


def test_hypervolume_counts_from_the_best_of_the_architectures_that_are_better_than_chance(table: Any) -> None:
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


def test_look_ups_count_different_architectures_and_refuse_more_than_the_budget(table: Any) -> None:
    lookups = bench.LookUps(table, 2)
    for indices in ((0, 0, 0, 0, 0, 1), (1, 2, 3, 4, 0, 1), (0, 0, 0, 0, 0, 1)):
        expected = 1 - percent_of(np.array([indices]))[0] / 100
        assert lookups.error_of(indices) == pytest.approx(expected)
    assert lookups.places == [1, int(np.ravel_multi_index((1, 2, 3, 4, 0, 1), (5,) * 6))]
    assert lookups.left == 0
    with pytest.raises(bench.BudgetSpentError, match="at most 2 architectures"):
        lookups.error_of((4, 4, 4, 4, 4, 4))
    assert len(lookups.places) == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["steered_tuples", "nsga2_on_architectures", "random_search"])
def test_methods_use_their_budget_up_and_know_no_other_accuracy(table: Any, name: str) -> None:
    """The same seed makes the same choices, however the accuracies differ that were never looked up."""
    runs: list[Any] = []
    for shift in (0.0, 0.05):
        error_N = table.error_N.copy()
        if runs:
            others = np.setdiff1d(np.arange(len(ALL)), runs[0])
            error_N[others] = (error_N[others] + shift) % 1
        changed = bench.Table(error_N, table.cost_NC)
        lookups = bench.LookUps(changed, 55)
        task = bench.Task((bench.TabularExpectation(table.cost_NC[:, 0]),), table.cost_NC)
        with contextlib.suppress(bench.BudgetSpentError):
            getattr(bench, name)(task, lookups, np.random.default_rng(1))
        runs.append(lookups.places)
    assert len(runs[0]) == 55
    assert runs[0] == runs[1]


def run(
    bench: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    files: Any,
    *options: Any,
    cost: str = "pi_ms",
) -> Any:
    defaults = {
        "--accuracy": files / "accuracy.csv",
        "--accuracy-column": "test",
        "--cost": files / "cost.csv",
        "--cost-column": cost,
    }
    given = {**defaults, **dict(zip(options[::2], options[1::2], strict=True))}
    words = [str(word) for pair in given.items() for word in pair if word is not None]
    monkeypatch.setattr(sys, "argv", ["nas_bench_201.py", *words])
    bench.main()
    return capsys.readouterr()


def test_two_costs_exact_gradients_and_a_picture(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], files: Any, tmp_path: Path
) -> None:
    out = run(
        bench, monkeypatch, capsys, files, "--cost2", files / "cost.csv", "--cost2-column", "pi_mj", "--evaluations",
        60, "--seeds", 2, "--out", tmp_path / "new", "--json", None, "--oracle-gradient", None,
    ).out  # fmt: skip
    result = json.loads(out)
    means = {row["method"]: row["mean"] for row in result["rows"]}
    assert set(means) == {
        "steered tuples", "NSGA-II on architectures", "random search", "tuples, EXACT GRADIENT"
    }  # fmt: skip
    assert means["random search"] < means["steered tuples"] < result["whole_table"]
    assert means["random search"] < means["tuples, EXACT GRADIENT"] < result["whole_table"]
    assert all(row["sd"] >= 0 and row["evaluations"] == 60 for row in result["rows"])
    assert (tmp_path / "new" / "nas_bench_201.png").stat().st_size > 10_000


def test_quick_prints_a_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], files: Any) -> None:
    lines = run(bench, monkeypatch, capsys, files, "--quick", None).out.splitlines()
    assert lines[0].endswith("of 1 seed(s)")
    assert [line.split()[0] for line in lines[2:]] == ["steered", "NSGA-II", "random"]


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (("--accuracy-column", "valid"), "must have the column `valid`, but .*accuracy.csv has index, arch_str, test"),
        (("--cost-column", "arch_str"), "must have the column `arch_str`, but .*cost.csv has index, pi_ms, pi_mj"),
        (("--cost", "missing.csv"), "a table must be a CSV file, but missing.csv cannot be read"),
        (("--evaluations", 1), "`--evaluations` must be numbers from 2 to 15625, but got 1"),
        (("--seeds", 0), "`--seeds >= 1` must hold, but got 0"),
        (("--cost2", "cost.csv"), "`--cost2` and `--cost2-column` must be given together"),
    ],
)
def test_wrong_options_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], files: Any, options: Any, rule: str
) -> None:
    with pytest.raises(ValueError, match=rule):
        run(bench, monkeypatch, capsys, files, *options)


def test_a_missing_file_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], files: Any
) -> None:
    with pytest.raises(SystemExit) as stop:
        bench.run(lambda: run(bench, monkeypatch, capsys, files, "--cost", "missing.csv"))
    assert stop.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


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
def test_cost_files_that_are_not_whole_are_told(files: Any, tmp_path: Path, change: Any, rule: str) -> None:
    rows = (files / "cost.csv").read_text().splitlines()
    (tmp_path / "cost.csv").write_text("\n".join(change(rows)) + "\n")
    with pytest.raises(ValueError, match=rule):
        bench.read_table((files / "accuracy.csv", "test"), [(tmp_path / "cost.csv", "pi_mj")])


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda row: row.replace("|", "!", 1), r"must have the form '\|op~0\|"),
        (lambda row: row.rsplit(",", 1)[0] + ",101", "`test` must be in percent, 0 to 100, but goes from"),
        (lambda row: f"{row.split(',')[0]},{cell(ALL[0])},50", "`arch_str` must have each architecture once"),
    ],
)
def test_accuracy_files_that_make_no_sense_are_told(files: Any, tmp_path: Path, change: Any, rule: str) -> None:
    rows = (files / "accuracy.csv").read_text().splitlines()
    place = next(place for place, row in enumerate(rows) if place and cell(ALL[0]) not in row)
    rows[place] = change(rows[place])
    (tmp_path / "accuracy.csv").write_text("\n".join(rows) + "\n")
    with pytest.raises(ValueError, match=rule):
        bench.read_table((tmp_path / "accuracy.csv", "test"), [(files / "cost.csv", "pi_ms")])
