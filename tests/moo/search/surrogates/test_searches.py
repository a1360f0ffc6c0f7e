"""Whole searches that go on with a Gaussian process: `--method bayesian`, and `dnas` with two sources of candidates."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from moo import events
from moo.algorithms.surrogate_assisted import propose
from moo.analysis.contributions import Contribution, contributions, seats_by, source_of
from moo.execution.backend import Backend
from moo.search.loop import run_search
from moo.search.preparation import Preparation
from moo.search.proposals import algorithm_of, expected_trials, generation_size
from moo.search.surrogates import task
from moo.storage.archive import Archive
from moo.storage.pareto import hypervolume
from moo.storage.store import StoredTrial, read_store
from moo.trials import ArchitectureTrial, CoefficientTrial, Indices, TrialResult
from search_space.architectures import operator_indices
from tests.moo.conftest import TABLE, TINY, Prepare
from tests.moo.search.test_resuming import FormulaBackend

BAYESIAN: dict[str, Any] = {"method": "bayesian", "pretrain_epochs": 0, "samples": 2, "generations": 3, "proposals": 5}
FIRST = 6
"""Architectures of the first generation."""
SEVERAL: dict[str, Any] = {"threads": (1, 2), "precision": ("fp32", "int8")}
DNAS: dict[str, Any] = {
    "pretrain_epochs": 0, "samples": 1, "theta_steps": 40, "supernet_generations": 1, "generations": 4, "proposals": 4,
}  # fmt: skip
ALL = tuple(itertools.product(range(3), repeat=3))


def error_of(indices: Indices) -> float:
    """Errors that a process can learn."""
    return 0.6 - 0.15 * (indices[0] == 1) - 0.2 * (indices[1] == 1) - 0.1 * (indices[2] == 0)


class SmoothBackend(FormulaBackend):
    """Gives errors by `error_of`; may be interrupted after so many outcomes."""

    def __init__(self, setup: Any, *, after: int | None = None) -> None:
        super().__init__(setup)
        self._left = after

    def run(self, jobs: Any, costs: Any, supernet: Any, on_start: Any) -> Iterator[Any]:
        """See `moo.execution.backend.Backend.run`."""
        for outcome in super().run(jobs, costs, supernet, on_start):
            if self._left is not None:
                if not self._left:
                    raise KeyboardInterrupt
                self._left -= 1
            yield outcome

    def _searched(self, job: Any, costs: Any) -> TrialResult:
        result = super()._searched(job, costs)
        smooth = [dataclasses.replace(one, error=error_of(one.indices)) for one in result.architectures]
        return dataclasses.replace(result, architectures=tuple(smooth))


class ManyWorkers(SmoothBackend):
    """Has as many workers as begin before the first of them ends."""

    def __init__(self, setup: Any, workers: int) -> None:
        super().__init__(setup)
        self._workers = workers

    def run(self, jobs: Any, costs: Any, supernet: Any, on_start: Any) -> Iterator[Any]:
        """See `moo.execution.backend.Backend.run`."""
        coming = iter(jobs)
        while together := list(itertools.islice(coming, self._workers)):
            yield from super().run(together, costs, supernet, on_start)


def searched(preparation: Preparation, backend: Backend | None = None) -> tuple[Archive, list[Any]]:
    seen: list[Any] = []
    return run_search(preparation, backend or SmoothBackend(preparation.setup), seen.append), seen


def stored(preparation: Preparation) -> list[StoredTrial]:
    with closing(read_store(preparation.folder.store)) as store:
        return list(store.trials().values())


def indices_of(preparation: Preparation) -> list[Indices]:
    trials = [item.trial for item in stored(preparation)]
    assert all(isinstance(trial, ArchitectureTrial) for trial in trials)
    return [trial.indices for trial in trials if isinstance(trial, ArchitectureTrial)]


def volume(indices: Any) -> float:
    points = [(error_of(item), TABLE.latency_of(item), TABLE.energy_of(item)) for item in indices]
    return hypervolume(np.array(points), np.array([0.75, TABLE.slowest_ms(), TABLE.highest_mj()]))


@pytest.mark.parametrize("beside", [False, True])
def test_a_bayesian_search_begins_spread_over_costs_and_goes_on_with_what_adds_most(
    prepare_tiny: Prepare, beside: bool
) -> None:
    preparation = prepare_tiny(**BAYESIAN, propose_beside=beside)
    archive, seen = searched(preparation)
    found = indices_of(preparation)
    assert len(found) == len(set(found)) == expected_trials(preparation.config) == FIRST + 2 * 5
    assert generation_size(preparation.config) == FIRST
    assert found[:FIRST] == list(algorithm_of(preparation.config, TINY).ask(FIRST))
    assert next(event for event in seen if isinstance(event, events.RunStarted)).trials == len(found)
    trials: Any = [item.trial for item in stored(preparation)]
    assert [trial.generation for trial in trials] == [0] * 6 + [1] * 5 + [2] * 5
    assert all(trial.coefficients is None for trial in trials)
    assert len(archive) == len(found)
    items = json.loads(preparation.folder.front.read_text())
    assert items
    assert all(item["coefficients"] is None for item in items)


def test_a_bayesian_search_finds_more_than_as_many_at_random(prepare_tiny: Prepare) -> None:
    preparation = prepare_tiny(**BAYESIAN | {"generations": 4, "proposals": 2})
    searched(preparation)
    found = indices_of(preparation)
    rng = np.random.default_rng(0)
    drawn = [volume([ALL[place] for place in rng.permutation(27)[: len(found)]]) for _ in range(300)]
    assert len(found) == 12
    assert volume(found) > np.quantile(drawn, 0.9)
    assert volume(found) > 0.97 * volume(ALL)


@pytest.mark.parametrize("after", [3, FIRST, FIRST + 2, FIRST + 5])
@pytest.mark.parametrize("options", [{}, SEVERAL | {"max_latency_ms": 6.0}, {"propose_beside": True}])
def test_a_bayesian_search_that_is_interrupted_ends_like_an_uninterrupted_one(
    prepare_tiny: Prepare, after: int, options: Any
) -> None:
    settings = BAYESIAN | options
    whole_preparation = prepare_tiny("whole", **settings)
    whole, _ = searched(whole_preparation)
    cut = prepare_tiny("cut", **settings)
    with pytest.raises(KeyboardInterrupt):
        searched(cut, SmoothBackend(cut.setup, after=after))
    archive, _ = searched(prepare_tiny("cut", resumed=True, **settings))
    assert archive.entries == whole.entries
    assert [item.trial for item in stored(cut)] == [item.trial for item in stored(whole_preparation)]


def test_a_bayesian_search_over_several_configurations_keeps_limits(prepare_tiny: Prepare) -> None:
    """Within 6 ms on one thread there are few; two threads and int8 are quicker."""
    preparation = prepare_tiny(**BAYESIAN | SEVERAL | {"max_latency_ms": 6.0, "proposals": 4})
    archive, _ = searched(preparation)
    trials: Any = [item.trial for item in stored(preparation)]
    assert {trial.configuration for trial in trials} <= set(preparation.configurations)
    assert len({trial.configuration for trial in trials}) > 1
    tables = preparation.cost_tables
    assert all(
        min(table.latency_of(trial.indices) for table in tables) <= 6.0 for trial in trials[FIRST:]
    )  # fmt: skip
    assert archive.keeps_limits
    assert all(point.costs.latency_ms <= 6.0 for point in archive.front())


@pytest.mark.parametrize("workers", [1, 3, 10])
def test_a_bayesian_search_without_generations_goes_on_however_many_workers_there_are(
    prepare_tiny: Prepare, workers: int
) -> None:
    """More of them than the first architectures, which begin before anything is known."""
    preparation = prepare_tiny(**BAYESIAN, asynchronous=True)
    archive, _ = searched(preparation, ManyWorkers(preparation.setup, workers))
    found = indices_of(preparation)
    assert len(found) == len(set(found)) == len(archive) == FIRST + 2 * 5
    assert preparation.folder.surrogate_proposals(max(FIRST, workers)).exists()


def test_a_bayesian_search_without_generations_goes_on_where_it_was_interrupted(prepare_tiny: Prepare) -> None:
    settings = BAYESIAN | {"asynchronous": True}
    cut = prepare_tiny("cut", **settings)
    with pytest.raises(KeyboardInterrupt):
        searched(cut, SmoothBackend(cut.setup, after=8))
    searched(prepare_tiny("cut", resumed=True, **settings))
    found = indices_of(cut)
    assert len(found) == len(set(found)) == FIRST + 2 * 5


def test_of_two_sources_both_propose_from_the_second_generation_on(prepare_tiny: Prepare) -> None:
    preparation = prepare_tiny(**DNAS)
    searched(preparation)
    first, later = stored(preparation)[:4], [item.trial for item in stored(preparation)[4:]]
    assert all(isinstance(item.trial, CoefficientTrial) for item in first)
    found = [trial for trial in later if isinstance(trial, ArchitectureTrial)]
    assert len(found) == len(later) == 3 * 4
    assert len({trial.indices for trial in found}) == len(found)
    for generation in (1, 2, 3):
        own = [trial.coefficients is None for trial in found if trial.generation == generation]
        assert True in own
    assert not all(trial.coefficients is None for trial in found)


@pytest.mark.parametrize(("candidates", "without"), [("coefficients", False), ("neighbours", True)])
def test_of_one_source_nothing_else_is_proposed(prepare_tiny: Prepare, candidates: Any, without: bool) -> None:
    preparation = prepare_tiny(**DNAS, candidates=candidates)
    searched(preparation)
    found = [item.trial for item in stored(preparation) if isinstance(item.trial, ArchitectureTrial)]
    assert found
    assert {trial.coefficients is None for trial in found} == {without}


def noted_seats(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, int]]:
    seats: list[dict[str, int]] = []

    def noted(local: Any, asked: Any, *others: Any, **options: Any) -> Any:
        seats.append(dict(asked))
        return propose(local, asked, *others, **options)

    monkeypatch.setattr(task, "propose", noted)
    return seats


def test_seats_follow_what_was_contributed(prepare_tiny: Prepare, monkeypatch: pytest.MonkeyPatch) -> None:
    """Computed again from the store, by predicted costs."""
    seats = noted_seats(monkeypatch)
    preparation = prepare_tiny(**DNAS | {"proposals": 6, "generations": 3})
    archive, _ = searched(preparation)
    trials = {item.trial.id: item.trial for item in stored(preparation)}
    entries = sorted(archive.entries, key=lambda entry: (entry.trial_id, entry.position))
    expected = []
    for first in (4, 10):
        known = [entry for entry in entries if entry.trial_id < first]
        indices = [operator_indices(TINY, entry.architecture) for entry in known]
        points = [
            [(entry.error, TABLE.latency_of(own), TABLE.energy_of(own))]
            for entry, own in zip(known, indices, strict=True)
        ]
        made = contributions(
            [source_of(trials[entry.trial_id]) for entry in known], np.array(points), np.array(archive.reference_point)
        )
        found = {name: made.get(name, Contribution()) for name in ("coefficients", "neighbours")}
        expected.append(seats_by(found, 6))
    assert seats == expected
    assert seats[0] == {"coefficients": 3, "neighbours": 3}


def test_what_was_taken_over_is_credited_to_no_source(prepare_tiny: Prepare, monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of it came of the other run's supernet, and none of this run's searches."""
    source = prepare_tiny("source", **DNAS | {"generations": 1})
    searched(source)
    seats = noted_seats(monkeypatch)
    searched(prepare_tiny("second", **DNAS | {"generations": 1}, from_run=str(source.folder.path)))
    assert seats == [{"coefficients": 2, "neighbours": 2}]
