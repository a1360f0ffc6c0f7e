"""Killed at any write, twice in a row, and resumed, a search ends as an uninterrupted one: every mode, every stage."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.numpy

from benchmarks.resuming.comparison import differences
from dnas.inner_search import ThetaResult
from moo.execution.backend import InProcessBackend
from moo.search.loop import run_search
from moo.storage.run_folder import RunFolder
from moo.storage.store import read_store
from moo.trials import (
    AdaptiveEvaluation,
    CoefficientTrial,
    DeliveryJob,
    DeliveryResult,
    EvaluatedArchitecture,
    Indices,
    QuantizationJob,
    QuantizationResult,
    TrialResult,
)
from search_space.exits import Exit
from search_space.onnx_files import random_weights
from tests.interruptions import Copies
from tests.moo.conftest import MakeReplay, Prepare
from tests.moo.search.test_loop import digest_of

SHORT: dict[str, Any] = {"samples": 1, "theta_steps": 1, "pretrain_epochs": 1}
FIXED: dict[str, Any] = {"alpha": (0.2, 0.2), "beta": (1.0, 1.0), "gamma": (0.1, 0.1), "delta": (1.0, 1.0)}
SEVERAL: dict[str, Any] = {"threads": (1, 2), "precision": ("fp32", "int8")}
MODES: dict[str, dict[str, Any]] = {
    "coefficients": {"generations": 3},
    "random": {"method": "random"},
    "grid": {"method": "grid"},
    "architectures": {"method": "architectures"},
    "bayesian": {"method": "bayesian", "generations": 3, "proposals": 3},
    "bayesian, with configurations and a limit": {"method": "bayesian", "max_latency_ms": 6.0} | SEVERAL,
    "independent": {"independent": True, "generations": 1},
    "surrogate": {"supernet_generations": 1, "generations": 3},
    "proposed beside": {"supernet_generations": 1, "generations": 4, "propose_beside": True, "proposals": 3},
    "limits": {"max_latency_ms": 9.0, "supernet_generations": 1},
    "adaptive": {"adaptive": True, "generations": 3, "max_latency_ms": 9.0},
    "one trial": FIXED | {"population": 1, "generations": 1},
    "configurations": SEVERAL,
    "configurations on a surrogate": SEVERAL | {"supernet_generations": 1},
    "random, asynchronous": {"method": "random", "asynchronous": True},
    "grid, asynchronous": {"method": "grid", "asynchronous": True} | SEVERAL,
}
MOST_DIFFERENT = {
    "independent",
    "surrogate",
    "adaptive",
    "configurations on a surrogate",
    "random, asynchronous",
    "bayesian",
}
"""Of modes: others share their parts."""
WithResults = Callable[[Any], Any]


class FormulaBackend(InProcessBackend):
    """Pre-trains as ever; what a job gives follows from it by a formula."""

    def run(self, jobs: Any, costs: Any, supernet: Any, on_start: Any) -> Iterator[Any]:
        """See `moo.execution.backend.Backend.run`."""
        for job in jobs:
            on_start(job)
            if isinstance(job, QuantizationJob):
                yield QuantizationResult(job, digest_of((*job.indices, 8)) / 256)
            elif isinstance(job, DeliveryJob):
                yield self._delivered(job)
            else:
                yield self._searched(job, costs)

    def _searched(self, job: Any, costs: Any) -> TrialResult:
        table = costs.base if job.configuration is None else costs[job.configuration]
        searched, supernet = isinstance(job, CoefficientTrial), None
        drawn = [job.indices] if not searched else []
        if searched:
            rng = np.random.default_rng([job.id, int(1e6 * job.coefficients.beta)])
            drawn = [tuple(int(index) for index in rng.integers(3, size=3)) for _ in range(1 + self._bench.samples)]
            supernet = None if self._bench.independent is None else safetensors.numpy.save({"w": rng.random(2)})
        in_int8 = job.configuration is not None and job.configuration.precision == "int8"
        evaluated = tuple(
            EvaluatedArchitecture(
                indices=item,
                error=digest_of(item) / 256,
                cross_entropy=1.0,
                latency_ms=table.latency_of(item),
                energy_mj=table.energy_of(item),
                params=100 + sum(item),
                quantized_error=digest_of((*item, 8)) / 256 if in_int8 and not place else None,
                adaptive=None if self._bench.adaptive is None else self._adaptive(job, item, table),
            )
            for place, item in enumerate(dict.fromkeys(drawn))
        )
        theta = ThetaResult(np.zeros((3, 3), np.float32), (), np.zeros((0, 3, 3), np.float32)) if searched else None
        return TrialResult(trial=job, architectures=evaluated, chosen=0, theta=theta, seconds=0.0, supernet=supernet)

    def _adaptive(self, job: Any, item: Indices, table: Any) -> AdaptiveEvaluation:
        share = digest_of((*item, job.id % 256)) / 256
        return AdaptiveEvaluation(
            error=digest_of(item) / 300,
            cross_entropy=1.0,
            latency_ms=table.latency_of(item) * (1 - share / 2),
            energy_mj=table.energy_of(item) * (1 - share / 2),
            exits=(Exit(1, "linear"),),
            thresholds=(0.5,),
            exit_shares=(share, 1 - share),
        )

    def _delivered(self, job: DeliveryJob) -> DeliveryResult:
        space = self._bench.space
        weights = random_weights(
            space.graph(tuple(space.operators[index] for index in job.indices)), np.random.default_rng(1)
        )
        result = DeliveryResult(job=job, weights=weights, test_error=digest_of(job.indices) / 512)
        if not job.quantized:
            return result
        name = "".join(map(str, job.indices))
        model = onnx.helper.make_model(onnx.helper.make_graph([], name, [], []))
        return dataclasses.replace(result, quantized=model.SerializeToString(), quantized_test_error=0.5)


def resumed(preparation: Any, path: Path) -> Any:
    """The inputs of a search as they are when it goes on in a folder."""
    folder = RunFolder(path)
    config, origin = folder.read_config()
    return dataclasses.replace(preparation, config=config, folder=folder, resumed=True, saved_origin=origin)


def searched(preparation: Any, backend: Any) -> None:
    run_search(preparation, backend(preparation.setup), lambda event: None)


def check_kills(prepare: Any, tmp_path: Path, backend: Any, *, places: int) -> None:
    """Compare what becomes of copies that kills would leave, each of which is killed once more, with the whole run."""
    whole = prepare("whole")
    copies = Copies(whole.folder.path, tmp_path / "copies")
    with copies.kept():
        searched(whole, backend)
    begun = [path for path in copies.paths if (path / "config.json").exists()]
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(begun), min(places, len(begun)), replace=False)
    for path in (begun[place] for place in sorted(chosen)):
        left = sorted(file.name for file in path.rglob("*") if file.is_file())
        again = Copies(path, path.with_name(f"{path.name} again"))
        with again.kept():
            searched(resumed(prepare("other"), path), backend)
        assert differences(whole.folder.path, path) == [], f"killed before write {path.name}, which left {left}"
        second = again.paths[int(rng.integers(len(again.paths)))]
        searched(resumed(prepare("other"), second), backend)
        assert differences(whole.folder.path, second) == [], f"killed before writes {path.name} and {second.name}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode", [mode if mode in MOST_DIFFERENT else pytest.param(mode, marks=pytest.mark.thorough) for mode in MODES]
)
def test_killed_before_any_write_a_search_ends_as_if_it_had_not_been(
    prepare_tiny: Prepare, replay: MakeReplay, tmp_path: Path, mode: str
) -> None:
    def prepare(name: str) -> Any:
        return prepare_tiny(name, device=replay(), **SHORT | MODES[mode])

    check_kills(prepare, tmp_path, FormulaBackend, places=4)


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize("measured", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_killed_before_more_writes_measured_or_not_a_search_ends_as_if_it_had_not_been(
    prepare_tiny: Prepare, replay: MakeReplay, tmp_path: Path, mode: str, measured: bool
) -> None:
    def prepare(name: str) -> Any:
        return prepare_tiny(name, device=replay() if measured else None, **SHORT | MODES[mode])

    check_kills(prepare, tmp_path, FormulaBackend, places=12)


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode",
    [
        pytest.param("coefficients", marks=pytest.mark.thorough),
        pytest.param("independent", marks=pytest.mark.thorough),
        "configurations on a surrogate",
        pytest.param("adaptive", marks=pytest.mark.thorough),
    ],
)
def test_killed_before_any_write_the_same_networks_get_the_same_weights(
    prepare_tiny: Prepare, replay: MakeReplay, tmp_path: Path, mode: str
) -> None:
    def prepare(name: str) -> Any:
        return prepare_tiny(name, device=replay(), **SHORT | MODES[mode])

    check_kills(prepare, tmp_path, InProcessBackend, places=3)


@pytest.mark.slow
def test_killed_while_it_takes_over_another_run_a_search_ends_as_if_it_had_not_been(
    prepare_tiny: Prepare, tmp_path: Path
) -> None:
    source = prepare_tiny("source", **SHORT | SEVERAL)
    searched(source, FormulaBackend)

    def prepare(name: str) -> Any:
        return prepare_tiny(name, from_run=str(source.folder.path), **SHORT | SEVERAL)

    check_kills(prepare, tmp_path, FormulaBackend, places=6)


def test_a_run_takes_over_all_that_another_has_evaluated_or_nothing(prepare_tiny: Prepare, tmp_path: Path) -> None:
    """The other one may have gone on when a resumed run takes it over again: halves of both would be mixed."""
    source = prepare_tiny("source", **SHORT)
    searched(source, FormulaBackend)
    preparation = prepare_tiny("taking", from_run=str(source.folder.path), **SHORT)
    copies = Copies(preparation.folder.path, tmp_path / "copies")
    with copies.kept():
        searched(preparation, FormulaBackend)
    numbers = set()
    for path in copies.paths:
        if (path / "config.json").exists():
            with closing(read_store(path / "search.sqlite")) as store:
                numbers.add(sum(item.trial.generation < 0 for item in store.trials().values()))
    assert len(numbers) == 2
    assert 0 in numbers


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["surrogate", "configurations"])
def test_what_was_measured_as_it_is_handed_out_is_not_measured_again(
    prepare_tiny: Prepare, replay: MakeReplay, tmp_path: Path, mode: str
) -> None:
    preparation = prepare_tiny("run", device=replay(), **SHORT | MODES[mode])
    searched(preparation, FormulaBackend)

    def measurements() -> int:
        with closing(read_store(preparation.folder.store)) as store:
            return sum(kind == "file measured" for _, kind, _ in store.events())

    before = measurements()
    searched(
        resumed(prepare_tiny("other", device=replay(), **SHORT | MODES[mode]), preparation.folder.path), FormulaBackend
    )
    assert before == measurements() > 0
