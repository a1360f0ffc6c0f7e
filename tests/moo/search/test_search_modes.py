"""Searches by other methods, without generations, for a time, and with a supernet for each trial."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import safetensors.torch

from devices.cost_tables.cost_table import CostTable
from moo import events
from moo.execution.backend import InProcessBackend
from moo.execution.evaluator import Evaluator
from moo.search.artifacts import SearchFailedError
from moo.search.loop import run_search
from moo.storage.store import open_store
from moo.trials import ArchitectureTrial, CoefficientTrial, TrialFailure, WorkerSetup
from search_space.architectures import operator_indices
from tests.moo.conftest import Prepare
from tests.tiers import THOROUGH

SHORT: dict[str, Any] = {"samples": 1, "theta_steps": 1, "pretrain_epochs": 0}
STEERED: dict[str, Any] = SHORT | {"supernet_generations": 1}


def run_to_end(preparation: Any, backend: Any = None) -> Any:
    seen: list[Any] = []
    archive = run_search(preparation, backend or InProcessBackend(preparation.setup), seen.append)
    return archive, seen


def stored(preparation: Any) -> Any:
    store = open_store(preparation.folder.store)
    try:
        return store.trials_as_they_ended()
    finally:
        store.close()


class StoppedBackend(InProcessBackend):
    """Is interrupted after so many outcomes."""

    def __init__(self, setup: WorkerSetup, after: Any) -> None:
        super().__init__(setup)
        self._left = after

    def run(self, jobs: Any, costs: Any, supernet: Any, on_start: Any) -> Iterator[Any]:
        for outcome in super().run(jobs, costs, supernet, on_start):
            if not self._left:
                raise KeyboardInterrupt
            self._left -= 1
            yield outcome


@pytest.mark.parametrize("method", ["random", "grid", "architectures"])
def test_rivals_fill_archive_and_front(prepare_tiny: Prepare, method: str) -> None:
    preparation = prepare_tiny(method=method, **SHORT)
    archive, seen = run_to_end(preparation)
    trials = [item.trial for item in stored(preparation)]
    assert len(trials) == (16 if method == "architectures" else 8)
    assert {type(trial) for trial in trials} == {ArchitectureTrial if method == "architectures" else CoefficientTrial}
    assert len(archive.front()) > 0
    started = next(event for event in seen if isinstance(event, events.RunStarted))
    assert started.trials == len(trials)
    items = json.loads(preparation.folder.front.read_text())
    assert all((item["coefficients"] is None) == (method == "architectures") for item in items)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_trials_that_are_searched_together_fill_the_archive_as_one_by_one(
    prepare_tiny: Prepare, *, asynchronous: bool
) -> None:
    """To rounding, in which no network differs here; random coefficients do not depend on when trials end."""
    settings = SHORT | {"method": "random", "asynchronous": asynchronous, "population": 3}
    archives = []
    for together in (None, 2):
        preparation = prepare_tiny(f"{together} together", searches_per_worker=together, **settings)
        archive, seen = run_to_end(preparation)
        archives.append([(entry.architecture.id, entry.error, entry.trial_id) for entry in archive.entries])
        busy = [event.job.partition(":")[0] for event in seen if isinstance(event, events.WorkerBusy)]
        groups = [job for job in busy if "together" in job]
        assert len(groups) == (0 if together is None else 2 if not asynchronous else 3)
    assert archives[0] == archives[1]


def test_a_search_that_is_interrupted_within_a_group_ends_like_an_uninterrupted_one(prepare_tiny: Prepare) -> None:
    settings = SHORT | {"searches_per_worker": 4}
    whole, _ = run_to_end(prepare_tiny("whole", **settings))
    preparation = prepare_tiny("cut", **settings)
    with pytest.raises(KeyboardInterrupt):
        run_to_end(preparation, StoppedBackend(preparation.setup, 6))
    archive, seen = run_to_end(prepare_tiny("cut", resumed=True, **settings))
    busy = [event.job for event in seen if isinstance(event, events.WorkerBusy)]
    assert busy[0] == "trials 6, 7, searched together"
    assert [entry.architecture.id for entry in archive.entries] == [entry.architecture.id for entry in whole.entries]


@pytest.mark.parametrize("method", ["random", "architectures", "bayesian"])
@pytest.mark.parametrize("after", [pytest.param(1, marks=THOROUGH), 5])
def test_a_resumed_rival_ends_like_an_uninterrupted_one(prepare_tiny: Prepare, method: str, after: int) -> None:
    whole, _ = run_to_end(prepare_tiny("whole", method=method, **SHORT))
    preparation = prepare_tiny("cut", method=method, **SHORT)
    with pytest.raises(KeyboardInterrupt):
        run_to_end(preparation, StoppedBackend(preparation.setup, after))
    resumed = prepare_tiny("cut", method=method, resumed=True, **SHORT)
    archive, _ = run_to_end(resumed)
    assert archive.entries == whole.entries


def test_architectures_have_the_weights_of_the_supernet(prepare_tiny: Prepare, table: CostTable) -> None:
    preparation = prepare_tiny(method="architectures", **(SHORT | {"pretrain_epochs": 1}))
    archive, _ = run_to_end(preparation)
    evaluator = Evaluator(preparation.setup)
    evaluator.supernet.load_state_dict(safetensors.torch.load(preparation.folder.supernet.read_bytes()))
    for entry in archive.entries[:4]:
        evaluated = evaluator._evaluate(operator_indices(preparation.space, entry.architecture), table)
        assert (entry.error, entry.predicted_latency_ms) == (evaluated.error, evaluated.latency_ms)


@pytest.mark.parametrize("method", ["dnas", "random", "architectures"])
def test_without_generations_every_trial_runs_once(prepare_tiny: Prepare, method: str) -> None:
    preparation = prepare_tiny(method=method, asynchronous=True, **SHORT)
    archive, _ = run_to_end(preparation)
    ended = stored(preparation)
    assert sorted(item.trial.id for item in ended) == list(range(16 if method == "architectures" else 8))
    assert all(item.objectives is not None for item in ended)
    assert len(archive.front()) > 0


def test_what_an_algorithm_is_told_is_in_the_store(prepare_tiny: Prepare, monkeypatch: pytest.MonkeyPatch) -> None:
    preparation = prepare_tiny(asynchronous=True, **SHORT)
    told = []

    def tell(algorithm: Any, method: str, trial: Any, *_: Any) -> None:
        told.append(trial.id in {item.trial.id for item in stored(preparation)})

    monkeypatch.setattr("moo.search.asynchronous.tell_algorithm", tell)
    run_to_end(preparation)
    assert told == [True] * 8


@pytest.mark.parametrize("method", ["random", "grid"])
def test_without_generations_what_learns_nothing_tries_the_very_same_however_trials_end(
    prepare_tiny: Prepare, method: str
) -> None:
    class Backwards(InProcessBackend):
        """Is killed when three of four trials that run at once have ended, the latest first."""

        def run(self, jobs: Any, costs: Any, supernet: Any, on_start: Any) -> Iterator[Any]:
            four = [next(jobs) for _ in range(4)]
            yield from super().run(four[:0:-1], costs, supernet, on_start)
            raise KeyboardInterrupt

    settings = SHORT | {"method": method, "asynchronous": True}
    whole, _ = run_to_end(prepare_tiny("whole", **settings))
    preparation = prepare_tiny("cut", **settings)
    with pytest.raises(KeyboardInterrupt):
        run_to_end(preparation, Backwards(preparation.setup))
    assert sorted(item.trial.id for item in stored(preparation)) == [1, 2, 3]
    archive, _ = run_to_end(prepare_tiny("cut", resumed=True, **settings))
    assert archive.entries == whole.entries


@pytest.mark.parametrize("method", ["dnas", "random"])
def test_an_interrupted_run_without_generations_goes_on(prepare_tiny: Prepare, method: str) -> None:
    settings = SHORT | {"method": method, "asynchronous": True}
    preparation = prepare_tiny(**settings)
    with pytest.raises(KeyboardInterrupt):
        run_to_end(preparation, StoppedBackend(preparation.setup, 5))
    before = {item.trial for item in stored(preparation)}
    run_to_end(prepare_tiny(resumed=True, **settings))
    after = {item.trial for item in stored(preparation)}
    assert before < after
    assert len(after) == 8
    assert len({trial.coefficients for trial in after}) == 8


def test_without_generations_a_search_that_only_fails_ends(prepare_tiny: Prepare) -> None:
    class Failing(InProcessBackend):
        def run(self, jobs: Any, costs: Any, supernet: Any, on_start: Any) -> Iterator[Any]:
            for job in jobs:
                yield TrialFailure(job, "Traceback\nMemoryError: too big")

    preparation = prepare_tiny(asynchronous=True, generations=50, **SHORT)
    with pytest.raises(SearchFailedError, match="4 trials in a row failed; the last one with: MemoryError"):
        run_to_end(preparation, Failing(preparation.setup))


class Minutes:
    """A clock that a minute passes on with each look."""

    def __init__(self, seconds: Any, *, used: float = 0.0) -> None:
        self._left, self.seconds = seconds - used, 0.0

    @property
    def is_over(self) -> Any:
        self.seconds += 60
        return self.seconds > self._left


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_time_ends_the_search_and_all_that_was_found_counts(
    prepare_tiny: Prepare, monkeypatch: pytest.MonkeyPatch, asynchronous: bool
) -> None:
    monkeypatch.setattr("moo.search.loop.Clock", Minutes)
    preparation = prepare_tiny(minutes=11.0, generations=1, asynchronous=asynchronous, **SHORT)
    archive, seen = run_to_end(preparation)
    assert len(stored(preparation)) == (11 if asynchronous else 9)
    assert len(archive.front()) > 0
    assert next(event for event in seen if isinstance(event, events.RunStarted)).trials is None


def test_time_that_was_used_before_an_interruption_counts(
    prepare_tiny: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moo.search.loop.Clock", Minutes)
    preparation = prepare_tiny(minutes=4.0, **SHORT)
    run_to_end(preparation)
    known = stored(preparation)
    run_to_end(prepare_tiny(minutes=4.0, resumed=True, **SHORT))
    assert stored(preparation) == known


def test_independent_trials_have_supernets_of_their_own(prepare_tiny: Prepare, table: CostTable) -> None:
    settings = SHORT | {"independent": True, "pretrain_epochs": 1, "generations": 1}
    preparation = prepare_tiny(**settings)
    archive, seen = run_to_end(preparation)
    assert not [event for event in seen if isinstance(event, events.PretrainEpoch)]
    weights = {number: preparation.folder.supernet_of(number).read_bytes() for number in range(4)}
    assert len(set(weights.values())) == 4
    evaluator = Evaluator(preparation.setup)
    for entry in archive.entries:
        evaluator._load(weights[entry.trial_id])
        indices = operator_indices(preparation.space, entry.architecture)
        assert entry.error == evaluator._evaluate(indices, table).error
    for point in archive.front():
        assert point.test_error is not None
        path = preparation.folder.networks / point.id / "weights.safetensors"
        handed_out = safetensors.torch.load(path.read_bytes())["stem.conv.weight"].numpy()
        own = safetensors.torch.load(weights[point.entry.trial_id])["stem.weight"].numpy()
        assert np.array_equal(handed_out, own)


@pytest.mark.slow
def test_of_independent_trials_the_earlier_counts_whichever_ends_first(prepare_tiny: Prepare) -> None:
    class Backwards(InProcessBackend):
        def run(self, jobs: Any, costs: Any, supernet: Any, on_start: Any) -> Iterator[Any]:
            yield from reversed(list(super().run(jobs, costs, supernet, on_start)))

    settings = SHORT | {"independent": True, "pretrain_epochs": 1, "samples": 8}
    forwards, _ = run_to_end(prepare_tiny("forwards", **settings))
    preparation = prepare_tiny("backwards", **settings)
    backwards, _ = run_to_end(preparation, Backwards(preparation.setup))
    assert backwards.entries == forwards.entries
    again, _ = run_to_end(prepare_tiny("backwards", resumed=True, **settings))
    assert again.entries == forwards.entries


def test_later_generations_evaluate_what_a_surrogate_promises(prepare_tiny: Prepare) -> None:
    preparation = prepare_tiny(generations=3, **STEERED)
    archive, seen = run_to_end(preparation)
    trials = [item.trial for item in stored(preparation)]
    assert [type(trial) for trial in trials[:4]] == [CoefficientTrial] * 4
    later = trials[4:]
    assert {type(trial) for trial in later} == {ArchitectureTrial}
    assert all(trial.coefficients is not None for trial in later)
    known = {operator_indices(preparation.space, e.architecture) for e in archive.entries if e.trial_id < 4}
    assert not known & {trial.indices for trial in later}
    assert len({trial.indices for trial in later}) == len(later) >= 4
    assert next(event for event in seen if isinstance(event, events.RunStarted)).trials == 4 + 2 * 8


@pytest.mark.slow
@pytest.mark.parametrize("after", [pytest.param(2, marks=THOROUGH), 6, pytest.param(14, marks=THOROUGH)])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_search_on_a_surrogate_goes_on_where_it_was_interrupted(
    prepare_tiny: Prepare, after: int, asynchronous: bool
) -> None:
    settings = STEERED | {"generations": 3, "asynchronous": asynchronous}
    whole, _ = run_to_end(prepare_tiny("whole", **settings))
    preparation = prepare_tiny("cut", **settings)
    with pytest.raises(KeyboardInterrupt):
        run_to_end(preparation, StoppedBackend(preparation.setup, after))
    archive, _ = run_to_end(prepare_tiny("cut", resumed=True, **settings))
    if asynchronous:
        # The 27 architectures run out.
        indices = [item.trial.indices for item in stored(preparation) if isinstance(item.trial, ArchitectureTrial)]
        assert len(indices) == len(set(indices)) >= 4
    else:
        assert archive.entries == whole.entries


def test_with_as_many_supernet_generations_there_is_no_surrogate(prepare_tiny: Prepare) -> None:
    preparation = prepare_tiny(supernet_generations=2, **SHORT)
    run_to_end(preparation)
    assert {type(item.trial) for item in stored(preparation)} == {CoefficientTrial}
