from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from itertools import product
from typing import Any

import numpy as np
import onnxruntime
import pytest
import safetensors.numpy
import torch

from devices.cost_tables.cost_table import CostTable, read_cost_table
from devices.cost_tables.family import CostTables
from devices.replay import ReplayDevice
from dnas.inner_search import ThetaResult
from evaluation.batches import ImageBatches
from evaluation.splits import Splits
from moo import events
from moo.analysis.errors import share_text
from moo.analysis.selection import read_front
from moo.execution.backend import InProcessBackend
from moo.execution.evaluator import Evaluator
from moo.search.artifacts import SearchFailedError
from moo.search.loop import run_search
from moo.storage.archive import Archive, reference_point_of
from moo.storage.pareto import hypervolume, non_dominated
from moo.storage.search_state import SearchState, read_state
from moo.storage.store import open_store
from moo.trials import (
    CoefficientTrial,
    DeliveryJob,
    DeliveryResult,
    EvaluatedArchitecture,
    TrialResult,
    WorkerSetup,
    failure_of,
)
from search_space.architectures import architecture_from_indices
from search_space.onnx_files import random_weights
from tests.moo.conftest import MakeReplay, Prepare
from tests.tiers import THOROUGH


class RecordingBackend(InProcessBackend):
    """Notes the jobs that it was given."""

    def __init__(self, setup: WorkerSetup) -> None:
        super().__init__(setup)
        self.jobs: list[Any] = []

    def run(self, jobs: Any, costs: Any, supernet: Any, on_start: Any) -> Any:
        def noted(job: Any) -> None:
            self.jobs.append(job)
            on_start(job)

        return super().run(jobs, costs, supernet, noted)


def run_to_end(preparation: Any, listener: Any = lambda event: None) -> Any:
    backend = RecordingBackend(preparation.setup)
    return run_search(preparation, backend, listener), backend


def summary(archive: Any) -> Any:
    """All that must be the same in a run and in its resumed twin."""
    entries = [
        (
            entry.architecture.id,
            entry.error,
            entry.quantized_error,
            entry.trial_id,
            entry.position,
            entry.measurements,
            entry.coefficients,
            entry.configuration,
        )
        for entry in archive.entries
    ]
    return entries, [(point.id, point.configuration, point.test_error) for point in archive.front()]


@pytest.fixture
def finished(prepare_tiny: Prepare) -> Any:
    preparation = prepare_tiny()
    seen: list[Any] = []
    archive, backend = run_to_end(preparation, seen.append)
    return preparation, archive, backend, seen


def test_the_true_front_of_an_enumerable_space_is_found(prepare_tiny: Prepare, table: CostTable) -> None:
    preparation = prepare_tiny(
        population=8,
        generations=4,
        samples=6,
        theta_steps=8,
        pretrain_epochs=2,
        pretrain_lr=0.1,
        alpha=(0.001, 20.0),
        gamma=(0.001, 20.0),
    )
    archive, _ = run_to_end(preparation)
    evaluator = Evaluator(preparation.setup)
    evaluator.supernet.load_state_dict(safetensors.torch.load(preparation.folder.supernet.read_bytes()))
    everything = list(product(range(3), repeat=3))
    evaluated = [evaluator._evaluate(indices, table) for indices in everything]
    points = np.array([(item.error, item.latency_ms, item.energy_mj) for item in evaluated])
    true_front = {
        architecture_from_indices(preparation.space, everything[index]).id: tuple(points[index])
        for index in non_dominated(points)
    }
    found = {
        point.id: (point.error, point.entry.predicted_latency_ms, point.entry.predicted_energy_mj)
        for point in archive.front()
    }
    assert 6 <= len(true_front) < 27
    assert len({error for error, _, _ in true_front.values()}) >= 3
    assert min(error for error, _, _ in true_front.values()) < 0.4
    assert found == true_front
    assert archive.hypervolume() == pytest.approx(hypervolume(points, np.array(archive.reference_point)))


def test_the_reference_point_is_guessing_and_the_most_costly_network(tables: CostTables) -> None:
    assert reference_point_of(tables, 0.75) == (0.75, 1.0 + 5 + 4 + 6, 2.0 + 7 + 9 + 8)


def test_events_tell_the_course_of_a_run(finished: Any) -> None:
    _, archive, _, seen = finished
    kinds = [type(event) for event in seen]
    assert kinds[0] is events.RunStarted
    assert kinds[-1] is events.RunFinished
    counts = Counter(kinds)
    assert counts[events.PretrainEpoch] == 2
    assert counts[events.GenerationStarted] == 2
    assert counts[events.TrialStarted] == counts[events.TrialFinished] == 8
    last = [event for event in seen if isinstance(event, events.FrontChanged)][-1]
    assert (last.evaluations, last.trials) == (len(archive), 8)
    assert [point.objectives for point in last.front] == [point.objectives for point in archive.front()]
    assert [point.id for point in last.front] == [point.id for point in archive.front()]
    assert sum(event.new_architectures for event in seen if isinstance(event, events.TrialFinished)) == len(archive)


def test_the_store_holds_what_the_archive_holds(finished: Any) -> None:
    preparation, archive, _, _ = finished
    store = open_store(preparation.folder.store)
    copy = store.fill(Archive(archive.reference_point), preparation.space)
    assert copy.entries == archive.entries
    assert sorted(store.trials()) == list(range(8))
    assert [stored.trial.generation for stored in store.trials().values()] == [0] * 4 + [1] * 4
    store.close()


def test_test_data_is_read_only_for_networks_of_the_front(finished: Any) -> None:
    _, archive, backend, _ = finished
    delivered = [job.indices for job in backend.jobs if isinstance(job, DeliveryJob)]
    front = archive.front()
    assert len(delivered) == len(set(delivered)) == len(front)
    assert {entry.architecture.id for entry in archive.entries if entry.test_error is not None} == {
        point.id for point in front
    }


def test_front_json_has_the_documented_form_and_order(finished: Any) -> None:
    preparation, archive, _, _ = finished
    items = json.loads(preparation.folder.front.read_text())
    assert len(items) == len(archive.front()) > 0
    assert [item["error"] for item in items] == sorted(item["error"] for item in items)
    for item, point in zip(items, archive.front(), strict=True):
        entry = point.entry
        assert item["architecture"] == {
            "space": "tiny",
            "id": entry.architecture.id,
            "operators": list(entry.architecture.operators),
        }
        assert item["latency_ms"] == entry.predicted_latency_ms
        assert item["energy_mj"] == entry.predicted_energy_mj
        assert (item["latency_source"], item["energy_source"]) == ("modelled", "modelled")
        assert item["coefficients"].keys() == {"alpha", "beta", "gamma", "delta"}
        assert item["test_error"] == entry.test_error


def test_the_files_of_the_front_classify_with_exactly_the_stated_test_error(finished: Any, splits: Splits) -> None:
    preparation, archive, _, _ = finished
    folders = {path.name for path in preparation.folder.networks.iterdir()}
    assert folders == {point.id for point in archive.front()}
    images = ImageBatches(splits.test, splits)
    x_NCHW = torch.cat([x_BCHW for x_BCHW, _ in images.in_order(32)]).contiguous().numpy()
    for point in archive.front():
        entry = point.entry
        folder = preparation.folder.networks / entry.architecture.id
        assert {path.name for path in folder.iterdir()} == {
            "architecture.json", "weights.safetensors", "model.onnx", "card.md",
        }  # fmt: skip
        assert json.loads((folder / "architecture.json").read_text()) == entry.architecture.to_json()
        session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
        logits_NK = np.concatenate([session.run(None, {"images": x_CHW[None]})[0] for x_CHW in x_NCHW])
        notes = session.get_modelmeta().custom_metadata_map
        assert json.loads(notes["error"]) == pytest.approx(entry.test_error, abs=1e-6)
        assert float((logits_NK.argmax(1) != splits.test.labels_N).mean()) == pytest.approx(entry.test_error, abs=1e-12)
        card = (folder / "card.md").read_text()
        told = share_text(entry.test_error, len(splits.test))
        assert f"| error, test split | {told}, {len(splits.test)} images |" in card
        assert "modelled" in card
        assert "in this order: a, b, c, d" in card


@pytest.mark.parametrize("shares_host", [True, pytest.param(False, marks=THOROUGH)])
def test_with_a_board_every_cost_of_the_front_comes_from_it(
    prepare_tiny: Prepare, replay: MakeReplay, shares_host: bool
) -> None:
    preparation = prepare_tiny(device=replay(shares_host=shares_host))
    seen: list[Any] = []
    archive, _ = run_to_end(preparation, seen.append)
    for point in archive.front():
        assert point.measurement is not None
        assert point.measurement.board == "replay (no board)"
        expected = replay().measure((preparation.folder.networks / point.id / "model.onnx").read_bytes())
        assert point.costs.latency_ms == expected.latency_ms
    items = json.loads(preparation.folder.front.read_text())
    assert all(item["measurement"]["board"] == "replay (no board)" for item in items)
    store = open_store(preparation.folder.store)
    copy = store.fill(Archive(archive.reference_point), preparation.space)
    store.close()
    assert copy.entries == archive.entries
    measured = [event.network for event in seen if isinstance(event, events.NetworkMeasured)]
    assert set(measured) == {entry.architecture.id for entry in archive.entries if entry.measurements}


def test_without_a_table_the_board_is_profiled_once(prepare_tiny: Prepare, replay: MakeReplay) -> None:
    preparation = replace(prepare_tiny(device=replay(), generations=1), cost_tables=None)
    seen: list[Any] = []
    run_to_end(preparation, seen.append)
    assert "profiling" in {event.stage for event in seen if isinstance(event, events.StageProgress)}
    assert read_cost_table(preparation.folder.cost_table).board == "replay (no board)"
    again = replace(preparation, resumed=True)
    seen.clear()
    run_to_end(again, seen.append)
    assert "profiling" not in {event.stage for event in seen if isinstance(event, events.StageProgress)}


def test_a_board_that_cannot_measure_leaves_predictions_labelled_so(prepare_tiny: Prepare) -> None:
    def broken(model: Any) -> None:
        raise KeyError("no such model")

    seen: list[Any] = []
    archive, _ = run_to_end(prepare_tiny(device=ReplayDevice(broken, shares_host=True), generations=1), seen.append)  # type: ignore[arg-type]
    assert {point.costs.latency_source for point in archive.front()} == {"modelled"}
    failed = [event for event in seen if isinstance(event, events.MeasuringFailed)]
    assert {event.network for event in failed} >= {point.id for point in archive.front()}
    assert all("no latency is recorded" in event.reason for event in failed)


class Stop:
    """A listener that interrupts at the n-th event, as Ctrl-C would."""

    def __init__(self, after: Any) -> None:
        self.left = after
        self.last = None

    def __call__(self, event: Any) -> None:
        self.left -= 1
        self.last = event
        if self.left < 0:
            raise KeyboardInterrupt


class MadeUpBackend:
    """Gives architectures and errors that follow from the job alone, without a supernet; notes its jobs."""

    dashboard_url = None
    workers, gpus = 1, 0
    watch: Any = None

    def __init__(self, setup: WorkerSetup) -> None:
        self._space, self._samples = setup.space, setup.samples
        self.jobs: list[Any] = []

    def pretrain(self, settings: Any, state: Any) -> Iterator[Any]:
        assert settings.epochs == 0
        yield from ()

    def run(self, jobs: Any, costs: Any, supernet: Any, on_start: Any) -> Iterator[Any]:
        for job in jobs:
            self.jobs.append(job)
            on_start(job)
            yield self._deliver(job) if isinstance(job, DeliveryJob) else self._search(job, costs)

    def close(self) -> None:
        pass

    def _search(self, job: Any, costs: Any) -> Any:
        table = costs.base if job.configuration is None else costs[job.configuration]
        rng = np.random.default_rng([job.id, int(1e6 * job.coefficients.beta)])
        drawn = [tuple(int(index) for index in rng.integers(3, size=3)) for _ in range(1 + self._samples)]
        evaluated = tuple(
            EvaluatedArchitecture(
                indices=item,
                error=digest_of(item) / 256,
                cross_entropy=1.0,
                latency_ms=table.latency_of(item),
                energy_mj=table.energy_of(item),
                params=100 + sum(item),
            )
            for item in dict.fromkeys(drawn)
        )
        theta = ThetaResult(np.zeros((3, 3), np.float32), (), np.zeros((0, 3, 3), np.float32))
        return TrialResult(trial=job, architectures=evaluated, chosen=0, theta=theta, seconds=0.0)

    def _deliver(self, job: Any) -> Any:
        graph = self._space.graph(tuple(self._space.operators[index] for index in job.indices))
        return DeliveryResult(
            job=job, weights=random_weights(graph, np.random.default_rng(1)), test_error=digest_of(job.indices) / 512
        )


def digest_of(indices: Any) -> Any:
    return sha256(bytes(indices)).digest()[0]


def check_resumption(prepare: Any, places_of: Any, backend_of: Any) -> None:
    """Interrupt a run at some of its events, and compare each resumed run with the uninterrupted one."""
    seen: list[Any] = []
    whole = prepare("whole")
    archive = run_search(whole, backend_of(whole.setup), seen.append)
    for place in places_of(seen):
        name = f"stopped-{place}"
        first = prepare(name)
        with pytest.raises(KeyboardInterrupt):
            run_search(first, backend_of(first.setup), Stop(place))
        stored = set(_stored(first))
        second = prepare(name, resumed=True)
        backend = backend_of(second.setup)
        resumed = run_search(second, backend, lambda event: None)
        assert summary(resumed) == summary(archive), f"stopped at event {place}: {type(seen[place]).__name__}"
        assert second.folder.front.read_bytes() == whole.folder.front.read_bytes()
        again = [job.id for job in backend.jobs if isinstance(job, CoefficientTrial)]
        assert sorted([*again, *stored]) == list(range(12))


def one_of_each_kind(seen: Any) -> Any:
    """Places of the events in the middle of all those of one kind and stage."""
    places = defaultdict(list)
    for place, event in enumerate(seen):
        places[type(event), getattr(event, "stage", "")].append(place)
    return sorted(found[len(found) // 2] for found in places.values())


@pytest.mark.slow
@pytest.mark.thorough
def test_interrupted_in_any_stage_and_resumed_a_run_ends_as_if_uninterrupted(
    prepare_tiny: Prepare, replay: MakeReplay
) -> None:
    def prepare(name: Any, *, resumed: bool = False) -> Any:
        return prepare_tiny(name, device=replay(), resumed=resumed, generations=3, samples=1, theta_steps=1)

    check_resumption(prepare, one_of_each_kind, RecordingBackend)


def made_up(prepare_tiny: Prepare, seed: Any) -> Any:
    """Makes the same inputs again and again, with a board that disagrees with the table, for each seed otherwise."""

    def latency_of(model: Any) -> Any:
        return 0.5 + sha256(f"{seed} {len(model)}".encode()).digest()[0] / 10

    def prepare(name: Any, *, resumed: bool = False) -> Any:
        device = ReplayDevice(latency_of, shares_host=True)
        return prepare_tiny(
            name, device=device, resumed=resumed, generations=3, samples=1, seed=seed, pretrain_epochs=0
        )

    return prepare


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=THOROUGH)])
def test_interrupted_while_it_measures_a_run_goes_on_with_the_very_same_networks(
    prepare_tiny: Prepare, seed: int
) -> None:
    """What is measured changes the corrections and so the front; the choice of networks must not change with it."""

    def places_of(seen: Any) -> Any:
        return [place for place, event in enumerate(seen) if isinstance(event, events.NetworkMeasured)]

    check_resumption(made_up(prepare_tiny, seed), places_of, MadeUpBackend)


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize("seed", [0, 1])
def test_interrupted_at_any_event_and_resumed_a_run_ends_as_if_uninterrupted(prepare_tiny: Prepare, seed: int) -> None:
    check_resumption(made_up(prepare_tiny, seed), lambda seen: range(len(seen)), MadeUpBackend)


def _stored(preparation: Any) -> Any:
    store = open_store(preparation.folder.store)
    try:
        return store.trials()
    finally:
        store.close()


def test_a_finished_run_can_be_resumed_and_stays_as_it_is(finished: Any, prepare_tiny: Prepare) -> None:
    preparation, archive, _, _ = finished
    before = preparation.folder.front.read_bytes()
    again, backend = run_to_end(prepare_tiny(resumed=True))
    assert summary(again) == summary(archive)
    assert not [job for job in backend.jobs if isinstance(job, CoefficientTrial)]
    assert preparation.folder.front.read_bytes() == before


def test_two_runs_with_one_seed_are_equal_and_another_seed_differs(finished: Any, prepare_tiny: Prepare) -> None:
    _, archive, _, _ = finished
    same, _ = run_to_end(prepare_tiny("same"))
    other, _ = run_to_end(prepare_tiny("other", seed=1))
    assert summary(same) == summary(archive)
    assert summary(other) != summary(archive)


class FailingBackend(MadeUpBackend):
    """Some jobs fail."""

    def __init__(self, setup: WorkerSetup, fails: Any) -> None:
        super().__init__(setup)
        self._fails = fails

    def run(self, jobs: Any, costs: Any, supernet: Any, on_start: Any) -> Iterator[Any]:
        for outcome in super().run(jobs, costs, supernet, on_start):
            job = outcome.job if isinstance(outcome, DeliveryResult) else outcome.trial
            yield failure_of(job, "Traceback\nMemoryError: too big") if self._fails(job) else outcome


def test_a_failed_trial_is_recorded_and_the_search_goes_on(prepare_tiny: Prepare) -> None:
    preparation = prepare_tiny(pretrain_epochs=0)
    seen: list[Any] = []
    backend = FailingBackend(preparation.setup, lambda job: isinstance(job, CoefficientTrial) and job.id in (1, 6))
    run_search(preparation, backend, seen.append)
    failed = [event for event in seen if isinstance(event, events.TrialFailed)]
    assert [(event.trial.id, event.traceback) for event in failed] == [
        (number, "Traceback\nMemoryError: too big") for number in (1, 6)
    ]
    stored = _stored(preparation)
    assert [number for number, kept in stored.items() if kept.objectives is None] == [1, 6]
    assert stored[6].traceback.endswith("too big")
    assert preparation.folder.front.is_file()


def test_a_generation_that_fails_altogether_ends_the_run_with_the_reason(prepare_tiny: Prepare) -> None:
    preparation = prepare_tiny(pretrain_epochs=0)
    backend = FailingBackend(preparation.setup, lambda job: job.id >= 4)
    with pytest.raises(SearchFailedError, match="every trial of generation 2 failed; .* MemoryError: too big"):
        run_search(preparation, backend, lambda event: None)
    assert read_state(preparation.folder) == SearchState(ended=False, reached="after generation 1 of 2 (4 trials)")
    assert len(read_front(preparation.folder.path)) > 0

    preparation = prepare_tiny(pretrain_epochs=0, resumed=True)
    run_to_end(preparation)
    assert read_state(preparation.folder).ended
    assert all(kept.objectives is not None for kept in _stored(preparation).values())
    assert preparation.folder.front.is_file()


def test_a_network_that_cannot_be_handed_out_ends_the_run_with_the_reason(prepare_tiny: Prepare) -> None:
    preparation = prepare_tiny(pretrain_epochs=0)
    backend = FailingBackend(preparation.setup, lambda job: isinstance(job, DeliveryJob))
    with pytest.raises(SearchFailedError, match="could not be handed out.\n.*\n?MemoryError: too big"):
        run_search(preparation, backend, lambda event: None)


def test_a_store_of_other_generations_is_refused(finished: Any, prepare_tiny: Prepare) -> None:
    preparation = prepare_tiny(resumed=True, alpha=(0.5, 0.6))
    content = json.loads(preparation.folder.config.read_text())
    preparation.folder.config.write_text(json.dumps({"settings": content["settings"], "origin": content["origin"]}))
    with pytest.raises(
        SearchFailedError, match="generation 1 in .*search.sqlite is not the one that these settings give"
    ):
        run_to_end(preparation)


def test_without_pretraining_the_fresh_supernet_is_searched(prepare_tiny: Prepare) -> None:
    preparation = prepare_tiny(pretrain_epochs=0, generations=1)
    seen: list[Any] = []
    run_to_end(preparation, seen.append)
    assert not [event for event in seen if isinstance(event, events.PretrainEpoch)]
    assert preparation.folder.supernet.is_file()


@pytest.mark.slow
@pytest.mark.thorough
def test_a_table_in_another_order_of_memory_makes_no_difference(prepare_tiny: Prepare, table: CostTable) -> None:
    usual, _ = run_to_end(prepare_tiny("usual"))
    fortran = replace(
        table, latency_ms=np.asfortranarray(table.latency_ms), energy_mj=np.asfortranarray(table.energy_mj)
    )
    preparation = replace(prepare_tiny("fortran"), cost_tables=CostTables([fortran]))
    other, _ = run_to_end(preparation)
    assert summary(other) == summary(usual)
