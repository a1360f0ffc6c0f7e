from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from devices.configuration import configurations_of
from devices.cost_tables.family import CostTables
from dnas.joint.search import InnerSearch
from dnas.losses import Coefficients
from dnas.pretraining import PretrainSettings
from moo.execution.backend import InProcessBackend
from moo.execution.evaluator import Evaluator
from moo.execution.groups import SEARCHES_ON_GPU, groups_of, most_together, outcomes_of
from moo.execution.news import InnerSearchProgress, WorkerBusy, WorkerNews
from moo.execution.pretraining import untrained_weights
from moo.trials import (
    ArchitectureTrial,
    CoefficientTrial,
    DeliveryJob,
    Job,
    TrialFailure,
    TrialResult,
    WorkerSetup,
)
from tests.moo.conftest import TABLE, family_of


def trial(number: int) -> CoefficientTrial:
    return CoefficientTrial(number, 0, Coefficients(0.1 * (number + 1), 1.0, 0.1, 1.0))


def architecture(number: int) -> ArchitectureTrial:
    return ArchitectureTrial(id=number, generation=0, indices=(0, 0, 0))


TRIALS = tuple(map(trial, range(4)))


@pytest.fixture(scope="module")
def supernet(setup: WorkerSetup) -> bytes:
    return untrained_weights(setup)


@pytest.mark.parametrize(
    ("numbers", "groups"),
    [
        (range(8), [(0, 1, 2, 3), (4, 5, 6, 7)]),
        (range(6), [(0, 1, 2, 3), (4, 5)]),
        (range(6, 13), [(6, 7), (8, 9, 10, 11), (12,)]),
        ((1, 3, 4, 6), [(1, 3), (4, 6)]),
        ((3,), [(3,)]),
        ((), []),
    ],
)
def test_trials_are_grouped_by_their_numbers(numbers: Sequence[int], groups: list[tuple[int, ...]]) -> None:
    found = [tuple(job.id for job in group) for group in groups_of(map(trial, numbers), 4)]
    assert found == groups
    assert list(groups_of(map(trial, numbers), 1)) == [(trial(number),) for number in numbers]


def test_only_inner_searches_are_grouped() -> None:
    jobs: list[Job] = [trial(0), architecture(1), trial(2), trial(3), DeliveryJob((0,)), DeliveryJob((0,)), trial(4)]
    assert list(groups_of(jobs, 4)) == [
        (trial(0),),
        (architecture(1),),
        (trial(2), trial(3)),
        (DeliveryJob((0,)),),
        (DeliveryJob((0,)),),
        (trial(4),),
    ]


def test_a_job_is_taken_when_its_group_is_asked_for() -> None:
    taken: list[int] = []

    def jobs() -> Iterator[Job]:
        for number in range(6):
            taken.append(number)
            yield trial(number) if number < 4 else architecture(number)

    groups = groups_of(jobs(), 2)
    assert taken == []
    for last in (1, 3, 4, 5):
        next(groups)
        assert taken[-1] == last


def test_how_many_are_searched_together_is_a_setting(setup: WorkerSetup) -> None:
    assert most_together(setup, on_gpu=False) == 1
    assert most_together(setup, on_gpu=True) == SEARCHES_ON_GPU
    set_to_two = replace(setup, searches_per_worker=2)
    assert {most_together(set_to_two, on_gpu=on_gpu) for on_gpu in (False, True)} == {2}
    for alone in ({"independent": PretrainSettings(epochs=1, batch_size=16)}, {"weight_sharing": "separate"}):
        assert most_together(replace(set_to_two, **alone), on_gpu=True) == 1


def test_each_trial_of_a_group_gives_what_it_gives_alone_in_its_own_configuration(
    setup: WorkerSetup, supernet: bytes
) -> None:
    configurations = configurations_of((1, 2), (None,), ("fp32",))
    tables = family_of(TABLE, configurations)
    trials = [replace(one, configuration=configurations[one.id % 2]) for one in TRIALS]
    together, alone = Evaluator(setup), Evaluator(setup)
    outcomes = list(outcomes_of(together, tuple(trials), tables, supernet))
    for job, outcome in zip(trials, outcomes, strict=True):
        expected = alone.run(job, tables, supernet)
        assert isinstance(outcome, TrialResult)
        assert isinstance(expected, TrialResult)
        assert outcome.trial == job
        assert outcome.theta is not None
        assert expected.theta is not None
        np.testing.assert_allclose(outcome.theta.theta_LO, expected.theta.theta_LO, rtol=0, atol=1e-3)
        assert (outcome.architectures, outcome.chosen) == (expected.architectures, expected.chosen)
        assert outcome.seconds > 0


def test_of_a_group_only_that_trial_fails_whose_theta_is_no_number(
    setup: WorkerSetup, tables: CostTables, supernet: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner_search = Evaluator._inner_search

    def broken(self: Evaluator, job: CoefficientTrial, costs: Any) -> InnerSearch:
        search = inner_search(self, job, costs)
        latency = replace(search.latency, cost_LO=search.latency.cost_LO * (np.nan if job.id == 1 else 1.0))
        return replace(search, latency=latency)

    expected = [Evaluator(setup).run(job, tables, supernet) for job in TRIALS]
    monkeypatch.setattr(Evaluator, "_inner_search", broken)
    outcomes = list(outcomes_of(Evaluator(setup), TRIALS, tables, supernet))
    assert isinstance(outcomes[1], TrialFailure)
    assert outcomes[1].trial == TRIALS[1]
    assert not outcomes[1].died
    for number in (0, 2, 3):
        outcome, other = outcomes[number], expected[number]
        assert isinstance(outcome, TrialResult)
        assert isinstance(other, TrialResult)
        assert outcome.architectures == other.architectures


def test_trials_that_cannot_be_searched_together_are_searched_one_by_one(
    setup: WorkerSetup,
    tables: CostTables,
    supernet: bytes,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def short(*_: object) -> None:
        raise MemoryError("CUDA out of memory")

    monkeypatch.setattr("dnas.joint.search.JointMixture", short)
    with caplog.at_level(logging.WARNING):
        outcomes = list(outcomes_of(Evaluator(setup), TRIALS[:2], tables, supernet))
    for job, outcome in zip(TRIALS, outcomes, strict=False):
        expected = Evaluator(setup).run(job, tables, supernet)
        assert isinstance(outcome, TrialResult)
        assert isinstance(expected, TrialResult)
        assert outcome.architectures == expected.architectures
    assert caplog.messages == [
        "trials 0, 1 could not be searched together, and are searched one by one: CUDA out of memory"
    ]


def test_each_trial_of_a_group_tells_of_its_own_steps(
    setup: WorkerSetup, tables: CostTables, supernet: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dnas.inner_search.TOLD_APART_SECONDS", 0.0)
    backend = InProcessBackend(replace(setup, searches_per_worker=4))
    seen: list[WorkerNews | None] = []
    started: list[Job] = []
    backend.watch = seen.append
    outcomes = list(backend.run(TRIALS, tables, supernet, started.append))
    assert started == list(TRIALS)
    assert [one.trial for one in outcomes if isinstance(one, TrialResult)] == list(TRIALS)
    assert [one.job for one in seen if isinstance(one, WorkerBusy)] == ["trials 0, 1, 2, 3, searched together"]
    steps = [(one.trial.id, one.step) for one in seen if isinstance(one, InnerSearchProgress)]
    assert sorted(steps) == [(number, step) for number in range(4) for step in (1, 2, 3)]
