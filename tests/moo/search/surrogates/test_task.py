from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devices.configuration import configurations_of
from devices.cost_tables.cost_table import CostTable
from devices.cost_tables.family import CostTables
from dnas.surrogate_search import SurrogateSearchSettings
from moo.algorithms.base import ConfiguredProposal
from moo.algorithms.surrogate_assisted import CoefficientSearch, SurrogateAssistedSettings
from moo.analysis.contributions import TrialSource
from moo.config import SearchConfig
from moo.search.proposals import (
    expected_trials,
    indices_of,
    kept_proposals,
    proposal_of,
    surrogate_generation_size,
    trial_of,
)
from moo.search.surrogates.task import surrogate_of, surrogate_task
from moo.storage.archive import Archive
from moo.storage.run_folder import RunFolder
from search_space.architectures import operator_indices
from search_space.spaces import FBNetSpace
from tests.moo.conftest import EntryOf, family_of

BOUNDS = {"alpha": (0.01, 1.0), "beta": (0.5, 2.0), "gamma": (0.1, 10.0), "delta": (0.2, 3.0)}
PROPOSE = "moo.search.surrogates.task.propose"
ON_SUPERNET: Mapping[int, TrialSource] = dict.fromkeys(range(100), "supernet")


def config_of(method: Any = "dnas", **settings: Any) -> SearchConfig:
    return SearchConfig(method=method, population=4, generations=4, **(BOUNDS | {"samples": 2} | settings))


def proposals(
    space: FBNetSpace,
    archive: Archive,
    tables: CostTables,
    config: SearchConfig | None = None,
    *,
    before: int = 100,
    sources: Mapping[int, TrialSource] = ON_SUPERNET,
) -> list[Any]:
    task = surrogate_task(config or config_of(), space, archive, tables, before=before, sources=sources)
    return list(task.proposals())


def note(seen: list[Any], what: Any) -> list[Any]:
    """Proposes nothing."""
    seen.append(what)
    return []


@pytest.fixture
def archive(space: FBNetSpace, table: CostTable, entry_of: EntryOf) -> Archive:
    """Eight architectures whose errors depend on the first layer most."""
    archive = Archive((0.9, table.slowest_ms(), table.highest_mj()))
    rng = np.random.default_rng(0)
    for number, indices in enumerate(dict.fromkeys(map(tuple, rng.integers(3, size=(8, 3)).tolist()))):
        costs = table.latency_of(indices), table.energy_of(indices)
        archive.add(entry_of(indices, 0.3 + 0.1 * indices[0] + 0.02 * indices[2], *costs, trial_id=number))
    return archive


def test_a_surrogate_proposes_what_is_new(space: FBNetSpace, tables: CostTables, archive: Archive) -> None:
    config = config_of()
    choices = proposals(space, archive, tables, config)
    known = {operator_indices(space, entry.architecture) for entry in archive.entries}
    assert len(choices) == surrogate_generation_size(config) == 8
    assert not known & {choice.indices for choice in choices}
    for choice in choices:
        if choice.coefficients is not None:
            assert 0.0099 < choice.coefficients.alpha < 1.001
            trial: Any = trial_of(choice, number=9, generation=1)
            assert (trial.indices, trial.coefficients, proposal_of(trial)) == (
                choice.indices,
                choice.coefficients,
                choice,
            )
    assert choices == proposals(space, archive, tables, config)


@pytest.mark.parametrize(
    ("options", "with_coefficients"),
    [
        ({"candidates": "coefficients"}, {True}),
        ({"candidates": "neighbours"}, {False}),
        ({"candidates": "both"}, {True, False}),
        ({"method": "bayesian"}, {False}),
    ],
)
def test_candidates_come_from_the_sources_that_were_asked_for(
    space: FBNetSpace, tables: CostTables, archive: Archive, options: Any, with_coefficients: set[bool]
) -> None:
    choices = proposals(space, archive, tables, config_of(**({"proposals": 4} | options)))
    assert {choice.coefficients is not None for choice in choices} == with_coefficients
    assert 1 <= len(choices) <= 4


def test_a_local_search_alone_searches_no_coefficients(
    space: FBNetSpace, tables: CostTables, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("coefficients are searched")

    monkeypatch.setattr("moo.search.surrogates.task.CoefficientSearch", refuse)
    assert proposals(space, archive, tables, config_of("bayesian"))
    assert proposals(space, archive, tables, config_of(candidates="neighbours"))


@pytest.mark.parametrize(
    ("made_by", "expected"),
    [
        # Nothing is known of either yet.
        (("supernet", "supernet", "supernet"), "equal"),
        (("taken over", "taken over", "taken over"), "equal"),
        (("supernet", "coefficients", "neighbours"), "coefficients"),
        (("supernet", "neighbours", "coefficients"), "neighbours"),
    ],
)
def test_seats_follow_what_sources_contributed(
    space: FBNetSpace, tables: CostTables, table: CostTable, entry_of: EntryOf,
    monkeypatch: pytest.MonkeyPatch, made_by: tuple[TrialSource, ...], expected: str,
) -> None:  # fmt: skip
    """The second architecture adds much, and the third, which lies beyond the reference point, nothing."""
    archive = Archive((0.9, table.slowest_ms(), table.highest_mj()))
    sources: dict[int, TrialSource] = {}
    for number, (indices, error) in enumerate([((0, 1, 1), 0.8), ((2, 2, 2), 0.1), ((1, 1, 1), 0.9)]):
        archive.add(entry_of(indices, error, table.latency_of(indices), table.energy_of(indices), trial_id=number))
        sources[number] = made_by[number]
    seats: list[dict[str, int]] = []
    monkeypatch.setattr(PROPOSE, lambda _, asked, *__, **___: note(seats, asked))
    proposals(space, archive, tables, config_of(proposals=40), sources=sources)
    (found,) = seats
    assert sum(found.values()) == 40
    if expected == "equal":
        assert found == {"coefficients": 20, "neighbours": 20}
    else:
        assert found[expected] > 20


def test_what_is_added_counts_in_the_order_of_trials(
    space: FBNetSpace, tables: CostTables, table: CostTable, entry_of: EntryOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trials of a search without generations end in any order; the archive has them as they ended."""
    entries = {
        indices: (error, table.latency_of(indices), table.energy_of(indices), number)
        for number, (indices, error) in enumerate([((2, 2, 2), 0.1), ((1, 2, 2), 0.11), ((0, 2, 2), 0.12)])
    }
    seats: list[dict[str, int]] = []
    monkeypatch.setattr(PROPOSE, lambda _, asked, *__, **___: note(seats, asked))
    for order in (list(entries), list(entries)[::-1]):
        archive = Archive((0.9, table.slowest_ms(), table.highest_mj()))
        for indices in order:
            *figures, number = entries[indices]
            archive.add(entry_of(indices, *figures, trial_id=number))
        proposals(
            space, archive, tables, config_of(proposals=20),
            sources={0: "neighbours", 1: "coefficients", 2: "coefficients"},
        )  # fmt: skip
    assert seats[0] == seats[1]
    assert seats[0]["neighbours"] > seats[0]["coefficients"]


def test_a_surrogate_looks_at_earlier_trials_alone(
    space: FBNetSpace, tables: CostTables, archive: Archive, entry_of: EntryOf
) -> None:
    before = proposals(space, archive, tables, before=3)
    archive.add(entry_of((2, 2, 2), 0.01, 1.0, 1.0, trial_id=50))
    assert proposals(space, archive, tables, before=3) == before
    assert proposals(space, archive, tables, before=1) == []


def test_proposals_are_kept_as_they_are(
    tmp_path: Path, space: FBNetSpace, tables: CostTables, archive: Archive, entry_of: EntryOf
) -> None:
    folder = RunFolder(tmp_path)
    first = proposals(space, archive, tables)
    assert {choice.coefficients is None for choice in first} == {True, False}
    assert kept_proposals(folder, lambda: first, first=100) == first
    archive.add(entry_of((2, 2, 2), 0.01, 1.0, 1.0, trial_id=50))
    others = proposals(space, archive, tables)
    assert others != first
    assert kept_proposals(folder, lambda: others, first=100) == first


@pytest.mark.parametrize("method", ["dnas", "bayesian"])
def test_what_is_evaluated_meanwhile_is_not_proposed_again(
    space: FBNetSpace, tables: CostTables, archive: Archive, entry_of: EntryOf, method: str
) -> None:
    config = config_of(method)
    first = surrogate_task(config, space, archive, tables, before=100, sources=ON_SUPERNET).proposals()
    own = [indices_of(choice) for choice in first]
    task = surrogate_task(
        config, space, archive, tables, before=100, sources=ON_SUPERNET, first=108, pending=own
    )  # fmt: skip
    # What becomes known meanwhile changes nothing.
    archive.add(entry_of((2, 2, 2), 0.01, 1.0, 1.0, trial_id=50))
    following = task.proposals()
    assert following
    assert not set(own) & {indices_of(choice) for choice in following}
    assert task.proposals() == following


def test_the_size_of_a_generation_on_a_surrogate_is_a_setting(
    space: FBNetSpace, tables: CostTables, archive: Archive
) -> None:
    assert len(proposals(space, archive, tables, config_of(proposals=3))) == 3
    assert expected_trials(config_of(proposals=3)) == 4 + 3 * 3


@pytest.mark.parametrize("option", [{"loss": "multiplicative"}, {"entropy_weight": 0.5}, {"theta_steps": 3}])
def test_options_of_the_inner_search_change_what_the_surrogate_proposes(
    space: FBNetSpace, tables: CostTables, archive: Archive, option: Any
) -> None:
    usual = proposals(space, archive, tables, config_of(candidates="coefficients"))
    assert proposals(space, archive, tables, config_of(candidates="coefficients", **option)) != usual


def test_every_option_of_the_inner_search_holds_on_the_surrogate(
    space: FBNetSpace, tables: CostTables, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(CoefficientSearch, "candidates", lambda self, *_: note(seen, self.settings))
    monkeypatch.setattr(PROPOSE, lambda *_, **__: [])
    config = config_of(loss="multiplicative", entropy_weight=0.5, samples=7, theta_steps=3)
    proposals(space, archive, tables, config)
    search = SurrogateSearchSettings(steps=3, entropy_weight=0.5, loss="multiplicative")
    assert seen == [SurrogateAssistedSettings(samples=7, search=search)]


def test_a_surrogate_has_the_costs_of_the_tables_and_the_limits(
    space: FBNetSpace, table: CostTable, archive: Archive
) -> None:
    """In each configuration, energy above idle; what exceeds a limit in a configuration is no point there."""
    tables = family_of(table, configurations_of(threads=(1, 4)))
    config = config_of(max_latency_ms=6.0)
    found = surrogate_of(config, space, archive.entries, tables, reference_M=np.array(archive.reference_point))
    indices = np.array([[0, 0, 0], [1, 1, 1], [2, 2, 2]])
    costs_NKJ = found.search.costs_of(indices)
    assert found.search.violation_of is not None
    violations = found.search.violation_of(indices)
    for row, own_KJ, violation in zip(indices, costs_NKJ, violations, strict=True):
        exceeded = []
        for one, cost_J in zip(tables, own_KJ, strict=True):
            searched = config.energy_objective.table(one)
            latency_ms = searched.latency_of(row)
            exceeded.append(max(0.0, latency_ms / 6.0 - 1))
            expected = (latency_ms, searched.energy_of(row)) if latency_ms <= 6.0 else (np.inf, np.inf)
            np.testing.assert_allclose(cost_J, expected)
        assert violation == pytest.approx(min(exceeded))
    assert np.isinf(costs_NKJ).any()
    assert violations.max() > 0 == violations.min()


@pytest.mark.parametrize("method", ["dnas", "bayesian"])
def test_limits_hold_for_what_is_proposed(space: FBNetSpace, table: CostTable, archive: Archive, method: str) -> None:
    tables = family_of(table, configurations_of(threads=(1, 4)))
    choices = proposals(space, archive, tables, config_of(method, max_latency_ms=4.0))
    assert choices
    assert all(isinstance(choice, ConfiguredProposal) for choice in choices)
    assert all(min(one.latency_of(indices_of(choice)) for one in tables) <= 4.0 for choice in choices)
    without = proposals(space, archive, tables, config_of(method))
    assert any(min(one.latency_of(indices_of(choice)) for one in tables) > 4.0 for choice in without)
