"""Searches whose trials are judged by what their networks do with early exits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from devices.cost_tables.energy_objective import EnergyObjective
from devices.cost_tables.family import CostTables
from dnas.costs import OperatorCosts
from dnas.losses import LOSSES, Coefficients
from moo import events
from moo.execution.backend import InProcessBackend
from moo.execution.evaluator import Evaluator
from moo.execution.pretraining import untrained_weights
from moo.report.conditions import adaptive_trials
from moo.search.loop import run_search
from moo.search.proposals import supernet_generations, violation_of
from moo.storage.store import read_store
from moo.trials import ArchitectureTrial, CoefficientTrial, Trial, TrialResult, WorkerSetup
from tests.moo.conftest import Prepare
from tests.tiers import THOROUGH

ADAPTIVE: dict[str, Any] = {"adaptive": True, "samples": 1, "theta_steps": 1, "pretrain_epochs": 1}


class StoppedBackend(InProcessBackend):
    """Is interrupted after so many outcomes."""

    def __init__(self, setup: WorkerSetup, after: int) -> None:
        super().__init__(setup)
        self._left = after

    def run(self, jobs: Any, costs: Any, supernet: Any, on_start: Any) -> Iterator[Any]:
        for outcome in super().run(jobs, costs, supernet, on_start):
            if not self._left:
                raise KeyboardInterrupt
            self._left -= 1
            yield outcome


def run_to_end(preparation: Any) -> tuple[Any, list[TrialResult]]:
    seen: list[Any] = []
    archive = run_search(preparation, InProcessBackend(preparation.setup), seen.append)
    return archive, [event.result for event in seen if isinstance(event, events.TrialFinished)]


def kept(preparation: Any) -> Any:
    with closing(read_store(preparation.folder.store)) as store:
        trials = store.trials()
        return [(item.trial, item.objectives, item.architecture_id) for item in trials.values()], (
            store.adaptive_evaluations()
        )


def test_trials_are_judged_by_their_best_operating_point_and_the_front_stays_that_of_networks(
    prepare_tiny: Prepare, tables: CostTables
) -> None:
    preparation = prepare_tiny(**ADAPTIVE)
    archive, results = run_to_end(preparation)
    trials, adaptive = kept(preparation)
    assert len(results) == 8
    table = tables.base
    references = [
        OperatorCosts(torch.tensor(costs), fixed).reference()
        for costs, fixed in ((table.latency_ms, table.fixed_latency_ms), (table.energy_mj, table.fixed_energy_mj))
    ]

    def loss(coefficients: Coefficients, cross_entropy: float, latency_ms: float, energy_mj: float) -> float:
        values = torch.tensor(
            [cross_entropy, latency_ms / references[0], energy_mj / references[1]], dtype=torch.float64
        )
        return float(LOSSES["additive"](values[0], values[1], values[2], coefficients))

    with_exits = 0
    for result in results:
        assert isinstance(result.trial, CoefficientTrial)
        losses = []
        for item in result.architectures:
            assert item.adaptive is not None
            own = loss(
                result.trial.coefficients,
                item.adaptive.cross_entropy,
                item.adaptive.latency_ms,
                item.adaptive.energy_mj,
            )
            static = loss(result.trial.coefficients, item.cross_entropy, item.latency_ms, item.energy_mj)
            assert own <= static * (1 + 1e-6)
            losses.append(own)
            with_exits += len(item.adaptive.exits) > 0
        assert result.chosen == int(np.argmin(losses))
        chosen = result.architectures[result.chosen].adaptive
        assert chosen is not None
        assert adaptive[result.trial.id] == chosen
        stored = next(objectives for trial, objectives, _ in trials if trial == result.trial)
        assert stored == result.objectives == (chosen.error, chosen.latency_ms, chosen.energy_mj)
    assert with_exits > 0
    for item in json.loads(preparation.folder.front.read_text()):
        assert item["error"] == archive[item["architecture"]["id"]].error
    with closing(read_store(preparation.folder.store)) as store:
        chosen_with_exits = sum(len(item.exits) > 0 for item in adaptive.values())
        assert f"in {chosen_with_exits} of 8 it has exits" in adaptive_trials(store)


def test_a_trial_gives_the_same_whatever_its_worker_did_before(setup: WorkerSetup, tables: CostTables) -> None:
    adaptive = replace(setup, adaptive=EnergyObjective())
    supernet = untrained_weights(setup)
    trials: list[Trial] = [
        CoefficientTrial(number, 0, Coefficients(0.1 * (number + 1), 1.0, 0.1, 1.0)) for number in range(3)
    ]
    trials.append(ArchitectureTrial(id=3, generation=0, indices=(0, 0, 1)))

    def results(order: list[Trial]) -> dict[int, Any]:
        evaluator = Evaluator(adaptive)
        found = {}
        for trial in order:
            outcome = evaluator.run(trial, tables, supernet)
            assert isinstance(outcome, TrialResult)
            found[trial.id] = outcome.architectures, outcome.chosen, outcome.objectives
        return found

    assert results(trials) == results(trials[::-1])
    assert results(trials) == results([trials[0], *trials])


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"method": "random"}, marks=THOROUGH),
        pytest.param({"method": "grid"}, marks=THOROUGH),
        {"method": "architectures"},
        pytest.param({"independent": True, "generations": 1}, marks=THOROUGH),
    ],
    ids=["random", "grid", "architectures", "independent"],
)
def test_every_method_has_adaptive_trials(prepare_tiny: Prepare, settings: dict[str, Any]) -> None:
    preparation = prepare_tiny(**ADAPTIVE, **settings)
    _, results = run_to_end(preparation)
    for result in results:
        assert all(item.adaptive is not None for item in result.architectures)
        if isinstance(result.trial, ArchitectureTrial):
            (item,) = result.architectures
            assert all(
                own <= static
                for own, static in zip(result.objectives, (item.error, item.latency_ms, item.energy_mj), strict=True)
            )
    chosen = [item.adaptive for result in results for item in result.architectures if item.adaptive is not None]
    assert any(one.exits for one in chosen)


def test_no_generation_is_searched_on_a_surrogate_of_networks_without_exits(prepare_tiny: Prepare) -> None:
    preparation = prepare_tiny(supernet_generations=1, **ADAPTIVE)
    assert supernet_generations(preparation.config) == float("inf")
    _, results = run_to_end(preparation)
    assert {type(result.trial) for result in results} == {CoefficientTrial}


@pytest.mark.parametrize("asynchronous", [pytest.param(False, marks=THOROUGH), True])
@pytest.mark.parametrize("after", [pytest.param(1, marks=THOROUGH), 5])
def test_resumed_it_ends_as_uninterrupted(prepare_tiny: Prepare, after: int, asynchronous: bool) -> None:
    settings = ADAPTIVE | ({"asynchronous": True, "method": "random"} if asynchronous else {})
    whole = prepare_tiny("whole", **settings)
    archive, _ = run_to_end(whole)
    cut = prepare_tiny("cut", **settings)
    with pytest.raises(KeyboardInterrupt):
        run_search(cut, StoppedBackend(cut.setup, after), lambda event: None)
    resumed, _ = run_to_end(prepare_tiny("cut", resumed=True, **settings))
    assert resumed.entries == archive.entries
    assert kept(cut) == kept(whole)


def test_in_int8_the_error_of_a_trial_has_what_int8_adds_to_the_network(prepare_tiny: Prepare) -> None:
    preparation = prepare_tiny(generations=1, precision=("fp32", "int8"), threads=(1,), **ADAPTIVE)
    _, results = run_to_end(preparation)
    in_int8 = [
        result
        for result in results
        if result.trial.configuration is not None and result.trial.configuration.precision == "int8"
    ]
    assert in_int8
    for result in in_int8:
        item = result.architectures[result.chosen]
        assert item.adaptive is not None
        assert item.quantized_error is not None
        added = item.quantized_error - item.error
        assert result.objectives[0] == pytest.approx(np.clip(item.adaptive.error + added, 0, 1))
        assert result.objectives[1:] == (item.adaptive.latency_ms, item.adaptive.energy_mj)


def test_limits_hold_for_networks_without_exits(prepare_tiny: Prepare, tables: CostTables) -> None:
    preparation = prepare_tiny(max_latency_ms=4.0, **ADAPTIVE)
    archive, results = run_to_end(preparation)
    exceeding = 0
    with closing(read_store(preparation.folder.store)) as store:
        stored = store.trials()
    for result in results:
        item = result.architectures[result.chosen]
        expected = max(0.0, item.latency_ms / 4.0 - 1)
        assert violation_of(stored[result.trial.id], archive, tables) == pytest.approx(expected)
        exceeding += expected > 0 and result.objectives[1] <= 4.0
    assert exceeding > 0, "a trial must keep the limit with exits alone"


@pytest.mark.slow
@pytest.mark.thorough
def test_it_goes_on_from_another_run_on_that_ones_supernet(prepare_tiny: Prepare) -> None:
    source = prepare_tiny("source", **ADAPTIVE | {"adaptive": False})
    run_to_end(source)
    preparation = prepare_tiny("taking", from_run=str(source.folder.path), **ADAPTIVE)
    _, results = run_to_end(preparation)
    assert preparation.folder.supernet.read_bytes() == source.folder.supernet.read_bytes()
    assert len(results) == 8
    assert {type(result.trial) for result in results} == {CoefficientTrial}
    _, adaptive = kept(preparation)
    assert sorted(adaptive) == sorted(result.trial.id for result in results)
