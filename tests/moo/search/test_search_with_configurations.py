"""Searches over several runtime configurations, within limits, with fixed coefficients, and for other energies."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest

from devices.configuration import RuntimeConfiguration, configurations_of
from devices.models import Model
from devices.replay import ReplayDevice
from evaluation.export import file_error
from evaluation.splits import Splits
from moo import events
from moo.execution.backend import InProcessBackend
from moo.execution.evaluator import Evaluator
from moo.search.loop import run_search
from moo.search.preparation import Preparation
from moo.storage.archive import Archive
from moo.storage.run_folder import file_name_for
from moo.storage.store import StoredTrial, open_store
from moo.trials import ArchitectureTrial, CoefficientTrial, QuantizationJob, TrialResult, failure_of
from search_space.architectures import operator_indices
from tests.moo.conftest import Prepare
from tests.moo.search.test_search_modes import StoppedBackend
from tests.tiers import THOROUGH

FOUR = configurations_of(threads=(1, 2), precisions=("fp32", "int8"))
SEVERAL: dict[str, Any] = {"threads": (1, 2), "precision": ("fp32", "int8")}
SHORT: dict[str, Any] = {"samples": 1, "theta_steps": 1, "pretrain_epochs": 0}
FIXED: dict[str, Any] = {"alpha": (0.2, 0.2), "beta": (1.0, 1.0), "gamma": (0.1, 0.1), "delta": (1.0, 1.0)}


def latency_of(model: bytes, configuration: RuntimeConfiguration) -> float:
    """Latencies of a board that disagrees with the tables."""
    own_ms = 2 + sha256(str(len(model)).encode()).digest()[3] / 64
    return float(own_ms * configuration.threads**-0.3)


class NotingDevice(ReplayDevice):
    """Notes in which configurations it measured."""

    def __init__(self) -> None:
        super().__init__(latency_of, shares_host=True)
        self.asked: list[RuntimeConfiguration] = []

    def measure(self, model: Model, configuration: RuntimeConfiguration = FOUR[0]) -> Any:
        self.asked.append(configuration)
        return super().measure(model, configuration)


def run_to_end(preparation: Preparation, backend: Any = None) -> tuple[Archive, list[Any]]:
    seen: list[Any] = []
    return run_search(preparation, backend or InProcessBackend(preparation.setup), seen.append), seen


def stored(preparation: Preparation) -> list[StoredTrial]:
    store = open_store(preparation.folder.store)
    try:
        return list(store.trials().values())
    finally:
        store.close()


def items_of(preparation: Preparation) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(preparation.folder.front.read_text())
    return items


@pytest.mark.parametrize("supernet_generations", [1, 99])
def test_a_run_finds_and_measures_operating_points(
    prepare_tiny: Prepare, splits: Splits, supernet_generations: int
) -> None:
    device = NotingDevice()
    preparation = prepare_tiny(
        device=device, supernet_generations=supernet_generations, **SEVERAL, **(SHORT | {"samples": 2})
    )
    archive, seen = run_to_end(preparation)
    trials = [item.trial for item in stored(preparation)]
    assert {trial.configuration for trial in trials} <= set(FOUR)
    assert len({trial.configuration for trial in trials}) >= 3
    assert {type(trial) for trial in trials} == (
        {CoefficientTrial} if supernet_generations > 1 else {CoefficientTrial, ArchitectureTrial}
    )
    front = archive.front()
    assert len({point.configuration for point in front}) >= 2
    evaluator = Evaluator(preparation.setup)
    for point, item in zip(front, items_of(preparation), strict=True):
        assert item["configuration"]["label"] == point.configuration.label
        assert item["measurement"]["threads"] == point.configuration.threads
        assert item["measurement"]["precision"] == point.configuration.precision
        assert point.measurement is not None
        assert point.measurement.configuration == point.configuration
        folder = preparation.folder.networks / point.id
        name = "model_int8.onnx" if point.configuration.precision == "int8" else "model.onnx"
        file = (folder / name).read_bytes()
        assert point.costs.latency_ms == pytest.approx(latency_of(file, point.configuration))
        if point.configuration.precision == "int8":
            assert point.error == file_error(file, splits.selection, splits, threads=1)
            assert point.test_error == file_error(file, splits.test, splits, threads=1)
        else:
            evaluator._load(preparation.folder.supernet.read_bytes())
            indices = operator_indices(preparation.space, point.entry.architecture)
            assert point.error == evaluator._evaluate(indices, archive.tables.base).error
    assert archive.unquantized() == ()
    assert set(device.asked) >= {point.configuration for point in front}
    last = [event for event in seen if isinstance(event, events.FrontChanged)][-1]
    assert [point.objectives for point in last.front] == [point.objectives for point in front]


def test_a_run_finds_points_under_both_runtimes(prepare_tiny: Prepare) -> None:
    pytest.importorskip("ai_edge_litert", reason="`ai-edge-litert` is not installed: run `pip install ai-edge-litert`")
    preparation = prepare_tiny(device=NotingDevice(), runtime=("onnxruntime", "litert"), **SHORT)
    archive, _ = run_to_end(preparation)
    assert {one.runtime for one in archive.configurations} == {"ort", "litert"}
    assert len({item.trial.configuration for item in stored(preparation)}) == 2
    for point, item in zip(archive.front(), items_of(preparation), strict=True):
        assert point.measurement is not None
        assert point.measurement.configuration == point.configuration
        assert item["configuration"]["runtime"] == point.configuration.runtime
        assert (preparation.folder.networks / point.id / file_name_for(point.configuration)).is_file()


def test_objectives_of_a_trial_in_int8_are_in_int8(prepare_tiny: Prepare) -> None:
    preparation = prepare_tiny(**SEVERAL, **SHORT)
    archive, _ = run_to_end(preparation)
    in_int8 = 0
    for item in stored(preparation):
        assert item.objectives is not None
        assert item.architecture_id is not None
        configuration = item.trial.configuration
        assert configuration is not None
        entry = archive[item.architecture_id]
        error = entry.quantized_error if configuration.precision == "int8" else entry.error
        table = preparation.cost_tables[configuration]  # type: ignore[index]
        indices = operator_indices(preparation.space, entry.architecture)
        assert item.objectives[1] == table.latency_of(indices)
        if configuration.precision == "int8":
            in_int8 += 1
            assert item.objectives[0] == error
    assert in_int8 >= 1


def summary(archive: Archive) -> Any:
    return archive.entries, [(point.id, point.configuration, point.objectives) for point in archive.front()]


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.parametrize("method", ["dnas", "architectures", "random"])
def test_interrupted_at_any_trial_and_resumed_a_run_ends_as_if_uninterrupted(
    prepare_tiny: Prepare, method: str
) -> None:
    settings = SEVERAL | SHORT | {"method": method}
    if method == "dnas":
        settings |= {"supernet_generations": 1}

    whole = prepare_tiny("whole", device=NotingDevice(), **settings)
    archive, seen = run_to_end(whole)
    ended = sum(isinstance(event, events.TrialFinished) for event in seen)
    quantized = sum(isinstance(event, events.StageProgress) and "int8" in event.stage for event in seen)
    assert ended >= 8
    for after in range(0, ended + quantized, 1 if method == "dnas" else 4):
        name = f"stopped-{after}"
        first = prepare_tiny(name, device=NotingDevice(), **settings)
        with pytest.raises(KeyboardInterrupt):
            run_to_end(first, StoppedBackend(first.setup, after))
        second = prepare_tiny(name, device=NotingDevice(), resumed=True, **settings)
        resumed, _ = run_to_end(second)
        assert summary(resumed) == summary(archive), f"stopped after {after} outcomes"
        assert second.folder.front.read_bytes() == whole.folder.front.read_bytes()


@pytest.mark.parametrize("after", [pytest.param(4, marks=THOROUGH), 5, pytest.param(6, marks=THOROUGH)])
def test_interrupted_among_evaluations_in_int8_the_same_networks_are_evaluated(
    prepare_tiny: Prepare, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    monkeypatch.setattr("moo.search.generational.IN_INT8_EACH", 2)
    settings = SEVERAL | SHORT | {"generations": 2}

    def chosen(preparation: Preparation) -> list[list[str] | None]:
        store = open_store(preparation.folder.store)
        try:
            return [store.networks_in_int8(f"generation {number}") for number in range(4)]
        finally:
            store.close()

    whole, stopped = prepare_tiny("whole", **settings), prepare_tiny("stopped", **settings)
    archive, _ = run_to_end(whole)
    with pytest.raises(KeyboardInterrupt):
        run_to_end(stopped, StoppedBackend(stopped.setup, after))
    resumed, _ = run_to_end(prepare_tiny("stopped", resumed=True, **settings))
    assert chosen(whole)[1]
    assert [networks is None for networks in chosen(whole)] == [True, False, False, True]
    assert chosen(stopped) == chosen(whole)
    assert summary(resumed) == summary(archive)


@pytest.mark.parametrize(
    "method", [*(pytest.param(one, marks=THOROUGH) for one in ("random", "grid")), "architectures"]
)
def test_rivals_try_all_configurations(prepare_tiny: Prepare, method: str) -> None:
    preparation = prepare_tiny(method=method, **SEVERAL, **SHORT)
    archive, _ = run_to_end(preparation)
    trials = [item.trial for item in stored(preparation)]
    assert len(trials) == (16 if method == "architectures" else 8)
    counts = Counter(trial.configuration for trial in trials)
    if method == "architectures":
        assert len(counts) >= 3
    else:
        assert counts == dict.fromkeys(FOUR, 2)
    assert len({point.configuration for point in archive.front()}) >= 2
    assert all(item["configuration"]["threads"] in (1, 2) for item in items_of(preparation))


@pytest.mark.parametrize("method", ["dnas", "architectures"])
def test_without_generations_configurations_are_tried_too(prepare_tiny: Prepare, method: str) -> None:
    preparation = prepare_tiny(method=method, asynchronous=True, **SEVERAL, **SHORT)
    archive, _ = run_to_end(preparation)
    trials = [item.trial for item in stored(preparation)]
    assert len({trial.configuration for trial in trials}) >= 3
    assert {point.configuration.precision for point in archive.front()} == {"fp32", "int8"} or archive.front()
    assert archive.unquantized() == ()


def test_a_network_that_cannot_be_quantized_is_on_the_front_in_fp32_alone(prepare_tiny: Prepare) -> None:
    class Failing(InProcessBackend):
        def run(self, jobs: Any, costs: Any, supernet: Any, on_start: Any) -> Iterator[Any]:
            for job in jobs:
                if isinstance(job, QuantizationJob):
                    yield failure_of(job, "Traceback\nRuntimeError: no such operator in int8")
                else:
                    yield from super().run([job], costs, supernet, on_start)

    preparation = prepare_tiny(method="architectures", generations=1, **SEVERAL, **SHORT)
    archive, _ = run_to_end(preparation, Failing(preparation.setup))
    missing = {entry.architecture.id for entry in archive.unquantized()}
    assert missing
    assert all(point.configuration.precision == "fp32" for point in archive.points() if point.id in missing)
    store = open_store(preparation.folder.store)
    failed = [content["architecture"] for _, kind, content in store.events() if kind == "quantisation failed"]
    store.close()
    assert len(failed) == len(set(failed))
    assert set(failed) >= missing


@pytest.mark.parametrize("method", ["dnas", pytest.param("architectures", marks=THOROUGH)])
@pytest.mark.parametrize(
    "limits", [{"max_latency_ms": 5.0}, {"max_energy_mj": 16.0}, {"max_latency_ms": 9.0, "max_energy_mj": 20.0}]
)
def test_limits_are_kept_by_the_front(prepare_tiny: Prepare, method: str, limits: dict[str, Any]) -> None:
    settings = SHORT | {"method": method, "samples": 3}
    if method == "dnas":
        settings |= {"supernet_generations": 1}
    preparation = prepare_tiny(generations=3, **limits, **SEVERAL, **settings)
    archive, _ = run_to_end(preparation)
    assert len(archive.front()) >= 1
    for item in items_of(preparation):
        assert item["latency_ms"] <= limits.get("max_latency_ms", 1e9)
        assert item["energy_mj"] <= limits.get("max_energy_mj", 1e9)


def test_a_limit_of_parameters_is_kept_and_changes_what_is_tried(prepare_tiny: Prepare) -> None:
    usual, _ = run_to_end(prepare_tiny("usual", generations=3, supernet_generations=1, **SHORT))
    sizes = sorted(entry.params or 0 for entry in usual.entries)
    limit = sizes[len(sizes) // 3]
    preparation = prepare_tiny("limited", generations=3, supernet_generations=1, max_params=limit, **SHORT)
    archive, _ = run_to_end(preparation)
    assert len(archive.front()) > 0
    assert all(point.entry.params is not None and point.entry.params <= limit for point in archive.front())

    def share(found: Archive) -> float:
        later = [entry for entry in found.entries if entry.trial_id >= 4]
        return sum((entry.params or 0) <= limit for entry in later) / max(1, len(later))

    assert share(archive) > share(usual)


def test_what_stands_for_a_trial_keeps_the_limits_where_one_of_its_architectures_does(prepare_tiny: Prepare) -> None:
    preparation = prepare_tiny(max_latency_ms=6.0, generations=1, **(SHORT | {"samples": 4}))
    _, seen = run_to_end(preparation)
    results = [event.result for event in seen if isinstance(event, events.TrialFinished)]
    kept = 0
    for result in results:
        assert isinstance(result, TrialResult)
        if any(item.latency_ms <= 6.0 for item in result.architectures):
            kept += 1
            assert result.architectures[result.chosen].latency_ms <= 6.0
    assert kept >= 1


def test_where_no_network_keeps_the_limits_the_nearest_is_handed_over(prepare_tiny: Prepare) -> None:
    preparation = prepare_tiny(max_latency_ms=0.5, **SHORT)
    archive, _ = run_to_end(preparation)
    fastest = min(point.costs.latency_ms for point in archive.points())
    assert {point.costs.latency_ms for point in archive.front()} == {fastest}


def test_a_coefficient_that_is_fixed_is_the_same_in_all_trials(prepare_tiny: Prepare) -> None:
    preparation = prepare_tiny(alpha=(0.2, 0.2), **SHORT)
    run_to_end(preparation)
    coefficients = [item.trial.coefficients for item in stored(preparation)]
    assert all(one is not None and one.alpha == 0.2 for one in coefficients)
    assert len(set(coefficients)) == 8
    assert len({one.gamma for one in coefficients if one is not None}) >= 4


def test_a_single_inner_search_in_one_command(prepare_tiny: Prepare) -> None:
    preparation = prepare_tiny(population=1, generations=1, **FIXED, **SHORT)
    archive, _ = run_to_end(preparation)
    (item,) = stored(preparation)
    coefficients = item.trial.coefficients
    assert coefficients is not None
    assert (coefficients.alpha, coefficients.beta, coefficients.gamma, coefficients.delta) == (0.2, 1.0, 0.1, 1.0)
    assert len(archive.front()) >= 1


@pytest.mark.parametrize("asynchronous", [False, True])
def test_fixed_coefficients_are_searched_once(prepare_tiny: Prepare, asynchronous: bool) -> None:
    preparation = prepare_tiny(asynchronous=asynchronous, **FIXED, **SHORT)
    run_to_end(preparation)
    assert len(stored(preparation)) == 1
    again, _ = run_to_end(prepare_tiny(asynchronous=asynchronous, resumed=True, **FIXED, **SHORT))
    assert len(stored(preparation)) == 1
    assert len(again.front()) >= 1


@pytest.mark.parametrize(
    "settings", [{}, pytest.param(SEVERAL, marks=THOROUGH)], ids=["one configuration", "several configurations"]
)
def test_fixed_coefficients_go_on_on_a_surrogate(prepare_tiny: Prepare, settings: dict[str, Any]) -> None:
    short = SHORT | {"samples": 3, "generations": 3, "supernet_generations": 1}
    preparation = prepare_tiny(**FIXED, **settings, **short)
    run_to_end(preparation)
    trials = [item.trial for item in stored(preparation)]
    assert len({trial.coefficients for trial in trials}) == 1
    assert any(isinstance(trial, ArchitectureTrial) for trial in trials)


@pytest.mark.parametrize("loss", ["additive", "multiplicative"])
def test_terms_can_be_switched_off(prepare_tiny: Prepare, loss: str) -> None:
    """Without terms of costs only the accuracy counts."""
    off = {"alpha": (0.0, 0.0), "gamma": (0.0, 0.0)}
    preparation = prepare_tiny(population=1, generations=1, loss=loss, **(FIXED | off), **(SHORT | {"samples": 4}))
    _, seen = run_to_end(preparation)
    (result,) = [event.result for event in seen if isinstance(event, events.TrialFinished)]
    chosen = result.architectures[result.chosen]
    assert chosen.cross_entropy == min(item.cross_entropy for item in result.architectures)


def test_the_energy_that_is_minimised_changes_what_is_found(prepare_tiny: Prepare) -> None:
    clocks: dict[str, Any] = {"frequency_mhz": (400, 1000), "threads": (1,), "precision": ("fp32",)}
    found = {}
    for kind in ("net", "gross"):
        preparation = prepare_tiny(kind, energy=kind, **clocks, **(SHORT | {"samples": 3}))
        archive, _ = run_to_end(preparation)
        found[kind] = archive, items_of(preparation)
        assert {item["energy_kind"] for item in found[kind][1]} == {kind}
        for item in found[kind][1]:
            assert item["energy_mj"] == item[f"{kind}_energy_mj"]
        for trial in stored(preparation):
            assert trial.objectives is not None
            assert trial.architecture_id is not None
            indices = operator_indices(preparation.space, archive[trial.architecture_id].architecture)
            table = preparation.cost_tables[trial.trial.configuration]  # type: ignore[index]
            net_mj, latency_ms = table.energy_of(indices), table.latency_of(indices)
            expected = net_mj + 0.5 * latency_ms if kind == "gross" else net_mj
            assert trial.objectives[2] == pytest.approx(expected)
    assert found["gross"][0].reference_point[2] > found["net"][0].reference_point[2]
    assert found["gross"][0].entries != found["net"][0].entries


def test_a_period_weighs_all_networks_with_the_same_idle_energy(prepare_tiny: Prepare) -> None:
    preparation = prepare_tiny(energy="period", period_ms=100.0, **SEVERAL, **SHORT)
    archive, _ = run_to_end(preparation)
    for point in archive.front():
        assert point.costs.energy_mj == pytest.approx(point.costs.net_mj + 0.5 * 100.0)
    assert {item["energy_kind"] for item in items_of(preparation)} == {"period"}
