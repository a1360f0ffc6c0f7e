"""Searches on boards of their own, which measure beside the search, go away and come back."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devices.agent.device import AgentDevice
from devices.agent.host import HostLink
from devices.configuration import BASE, RuntimeConfiguration
from devices.cost_tables.cost_table import read_cost_table
from devices.errors import BoardUnreachableError
from devices.measurement import Conditions, Measurement, MeasureSettings
from devices.models import Model
from devices.replay import ReplayDevice
from moo import events
from moo.execution.backend import InProcessBackend
from moo.measurement.queue import Measurer, start_measurer
from moo.search.artifacts import SearchFailedError
from moo.search.loop import run_search
from moo.storage.archive import Archive
from moo.storage.store import open_store
from moo.trials import CoefficientTrial, WorkerSetup
from tests.devices.hostile_agent import AGENT, TRICKS
from tests.moo.conftest import Prepare

PATIENCE = 20.0
NEVER = 10**9


class RemoteDevice(ReplayDevice):
    """A board of its own that measures so often, does not answer so often, and measures from then on."""

    def __init__(self, *, answers: Any = NEVER, silences: Any = NEVER) -> None:
        super().__init__(lambda model: 0.5 + sha256(str(len(model)).encode()).digest()[0] / 10)
        self.answers, self.silences = answers, silences
        self.measured = 0

    def measure(self, model: Model, configuration: RuntimeConfiguration = BASE) -> Measurement:
        if self.measured >= self.answers and self.silences > 0:
            self.silences -= 1
            raise BoardUnreachableError("no route to host")
        self.measured += 1
        return replace(super().measure(model, configuration), latency_source="measured")


class NotingBackend(InProcessBackend):
    """Notes trials with the cost table that they were searched with."""

    def __init__(self, setup: WorkerSetup) -> None:
        super().__init__(setup)
        self.tables: dict[Any, Any] = {}

    def run(self, jobs: Any, costs: Any, supernet: Any, on_start: Any) -> Any:
        def noted(job: Any) -> None:
            if isinstance(job, CoefficientTrial):
                self.tables[job.id] = costs.base
            on_start(job)

        return super().run(jobs, costs, supernet, noted)


@pytest.fixture(autouse=True)
def _boards_are_asked_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moo.search.loop.start_measurer", partial(start_measurer, retry_seconds=(0.01, 0.02)))


@pytest.fixture
def prepare(prepare_tiny: Prepare) -> Any:
    """Inputs of a very short search with a board of its own."""
    return partial(prepare_tiny, samples=1, theta_steps=1, pretrain_epochs=0, board_patience=PATIENCE)


def run_to_end(preparation: Any, listener: Any = lambda event: None) -> Any:
    backend = NotingBackend(preparation.setup)
    return run_search(preparation, backend, listener), backend


def kinds_of(preparation: Any) -> Any:
    store = open_store(preparation.folder.store)
    try:
        return [kind for _, kind, _ in store.events()]
    finally:
        store.close()


def changes_of(seen: Any) -> Any:
    return [
        getattr(event, "reason", None)
        for event in seen
        if isinstance(event, events.BoardUnreachable | events.BoardBack)
    ]


def check_labels(preparation: Any, archive: Any) -> None:
    """What was measured is called so, and nothing else, in the archive and in what is handed out."""
    items = {item["architecture"]["id"]: item for item in json.loads(preparation.folder.front.read_text())}
    assert items.keys() == {point.id for point in archive.front()}
    for point in archive.front():
        item = items[point.id]
        expected = "modelled" if point.measurement is None else "measured"
        assert point.costs.latency_source == item["latency_source"] == expected
        assert (item["measurement"] is None) == (point.measurement is None)


class UnpluggedDevice(RemoteDevice):
    """A board that is unplugged as soon as it is asked how it is."""

    def conditions(self) -> Conditions:
        raise BoardUnreachableError("unplugged")


class WatchedBackend(InProcessBackend):
    """Tells whoever watches, as Ray's does, that pre-training goes on, until that is enough."""

    def __init__(self, setup: WorkerSetup, is_enough: Callable[[], bool]) -> None:
        super().__init__(setup)
        self._is_enough = is_enough

    def pretrain(self, settings: Any, state: Any) -> Any:
        deadline = time.monotonic() + PATIENCE
        while not self._is_enough():
            assert time.monotonic() < deadline
            self.watch(None)
        return super().pretrain(settings, state)


def test_a_board_that_is_unplugged_during_pretraining_is_told_of_then(
    prepare: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(devices: Any, *, names: Any) -> Measurer:
        measurer = Measurer(devices, names=names, retry_seconds=(0.01, 0.02), look_seconds=0.001)
        measurer.start()
        return measurer

    monkeypatch.setattr("moo.search.loop.start_measurer", started)
    seen: list[Any] = []
    preparation = prepare(device=UnpluggedDevice(), pretrain_epochs=1, generations=1)
    backend = WatchedBackend(preparation.setup, lambda: "unplugged" in changes_of(seen))
    run_search(preparation, backend, seen.append)
    kinds = [type(event) for event in seen]
    assert kinds.index(events.BoardUnreachable) < kinds.index(events.PretrainEpoch)


def test_a_board_that_never_returns_leaves_predictions_labelled_so(prepare: Any) -> None:
    device = RemoteDevice(answers=2)
    preparation = prepare(device=device, board_patience=0.0)
    seen: list[Any] = []
    archive, _ = run_to_end(preparation, seen.append)
    check_labels(preparation, archive)
    assert device.measured == 2
    assert sum(len(entry.measurements) for entry in archive.entries) == 2
    assert "modelled" in {point.costs.latency_source for point in archive.front()}
    assert changes_of(seen) == ["no route to host"]
    assert kinds_of(preparation).count("board unreachable") == 1
    assert kinds_of(preparation)[-1] == "finished"

    resumed = prepare(device=RemoteDevice(), resumed=True)
    seen.clear()
    archive, backend = run_to_end(resumed, seen.append)
    check_labels(resumed, archive)
    assert all(point.measurement is not None for point in archive.front())
    assert backend.tables == {}
    assert changes_of(seen) == []


def test_a_board_that_was_never_there_while_searching_leaves_all_modelled(prepare: Any) -> None:
    preparation = prepare(device=RemoteDevice(answers=0), board_patience=0.0)
    archive, _ = run_to_end(preparation)
    check_labels(preparation, archive)
    assert not any(entry.measurements for entry in archive.entries)
    np.testing.assert_array_equal(
        archive.tables.base.latency_ms, read_cost_table(preparation.folder.cost_table).latency_ms
    )


def test_a_board_that_goes_away_and_returns_has_measured_all_at_the_end(prepare: Any) -> None:
    preparation = prepare(device=RemoteDevice(answers=2, silences=3))
    seen: list[Any] = []
    archive, _ = run_to_end(preparation, seen.append)
    check_labels(preparation, archive)
    assert all(point.measurement is not None for point in archive.front())
    assert changes_of(seen) == ["no route to host", None]
    kinds = kinds_of(preparation)
    assert (kinds.count("board unreachable"), kinds.count("board back")) == (1, 1)
    store = open_store(preparation.folder.store)
    copy = store.fill(Archive(archive.reference_point), preparation.space)
    store.close()
    assert copy.entries == archive.entries


def test_one_of_two_boards_goes_away_and_the_other_measures_all(prepare: Any) -> None:
    gone, there = RemoteDevice(answers=1), RemoteDevice()
    preparation = prepare(device=there, board_patience=0.0)
    config = replace(preparation.config, device=("ssh://pi@gone", "ssh://pi@there"))
    boards = replace(preparation.boards, devices=(gone, there))
    seen: list[Any] = []
    archive, _ = run_to_end(replace(preparation, config=config, boards=boards), seen.append)
    assert all(point.measurement is not None for point in archive.front())
    assert there.measured > 0
    changes = [event for event in seen if isinstance(event, events.BoardUnreachable | events.BoardBack)]
    assert changes in ([], [events.BoardUnreachable("ssh://pi@gone", "no route to host")])


@pytest.mark.slow
def test_a_board_that_does_harm_leaves_predictions_labelled_so(prepare: Any, tmp_path: Path) -> None:
    """Each measurement is another trick of it."""
    quick = [trick for trick, message in TRICKS.values() if "within 2 s" not in message]
    count, agent = tmp_path / "count", tmp_path / "agent.py"
    count.touch()
    chosen = f"open({str(count)!r}, 'a').write('x') and {quick!r}[os.path.getsize({str(count)!r}) % {len(quick)}]"
    agent.write_text(AGENT.replace('open(request["models"][0]).read()', chosen))
    settings = MeasureSettings(timeout_seconds=5.0, cooldown_seconds=0.0)
    device = AgentDevice(HostLink([sys.executable, str(agent)]), settings, name="hostile", shares_host=False)
    preparation = prepare(device=device)
    archive, _ = run_to_end(preparation)
    check_labels(preparation, archive)
    assert not any(entry.measurements for entry in archive.entries)
    kinds = kinds_of(preparation)
    assert kinds.count("measuring failed") >= 3
    assert kinds[-1] == "finished"
    assert count.stat().st_size >= 9


class StopAt:
    """A listener that interrupts, as Ctrl-C would, when a trial has ended."""

    def __init__(self, trial_id: Any) -> None:
        self._trial_id = trial_id

    def __call__(self, event: Any) -> None:
        if isinstance(event, events.TrialFinished) and event.result.trial.id == self._trial_id:
            raise KeyboardInterrupt


def measure_something_else(preparation: Any) -> None:
    """Something that corrects the table otherwise is measured before the run goes on."""
    store = open_store(preparation.folder.store)
    archive = store.fill(Archive((1.0, 1.0, 1.0)), preparation.space)
    measurement = RemoteDevice().measure(b"")
    for entry in archive.entries:
        slow = 5 * entry.predicted_latency_ms
        store.add_measurement(entry.architecture.id, replace(measurement, latency_ms=slow, energy_mj=slow))
    store.close()


def test_a_generation_is_searched_with_one_table_though_the_run_was_resumed_in_it(prepare: Any) -> None:
    first = prepare(device=RemoteDevice())
    backend = NotingBackend(first.setup)
    with pytest.raises(KeyboardInterrupt):
        run_search(first, backend, StopAt(5))
    kept = read_cost_table(first.folder.generation_cost_table(1))
    assert first.folder.generation_cost_table(1).parent == first.folder.checkpoints
    assert "calibrated on" in kept.method
    for number in (4, 5):
        np.testing.assert_array_equal(backend.tables[number].latency_ms, kept.latency_ms)
    measure_something_else(first)

    archive, backend = run_to_end(prepare(device=RemoteDevice(), resumed=True))
    assert sorted(backend.tables) == [6, 7]
    for table in backend.tables.values():
        np.testing.assert_array_equal(table.latency_ms, kept.latency_ms)
        np.testing.assert_array_equal(table.energy_mj, kept.energy_mj)
    assert (archive.tables.base.latency_ms != kept.latency_ms).any()


def test_the_first_generation_is_searched_with_the_uncorrected_table_though_the_run_was_resumed_in_it(
    prepare: Any,
) -> None:
    first = prepare(device=RemoteDevice())
    with pytest.raises(KeyboardInterrupt):
        run_search(first, NotingBackend(first.setup), StopAt(1))
    own = read_cost_table(first.folder.cost_table)
    measure_something_else(first)
    _, backend = run_to_end(prepare(device=RemoteDevice(), resumed=True))
    assert sorted(backend.tables) == [2, 3, 4, 5, 6, 7]
    for number in (2, 3):
        np.testing.assert_array_equal(backend.tables[number].latency_ms, own.latency_ms)


def test_a_board_that_fails_while_it_is_profiled_ends_the_run_and_resuming_goes_on(
    prepare: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PI_PARETO_NAS_CACHE", str(tmp_path / "other cache"))
    expected, _ = run_to_end(replace(prepare("whole", device=RemoteDevice(), generations=1), cost_tables=None))
    profiled = profile_size(tmp_path / "other cache")
    monkeypatch.setenv("PI_PARETO_NAS_CACHE", str(tmp_path / "cache"))

    preparation = replace(prepare(device=RemoteDevice(answers=7), generations=1), cost_tables=None)
    with pytest.raises(SearchFailedError) as error:
        run_to_end(preparation)
    message = str(error.value)
    assert "the board could not be profiled: no route to host" in message
    assert f"What was measured is kept: go on with --resume {preparation.folder.path}" in message
    assert not preparation.folder.cost_table.exists()
    assert not preparation.folder.front.exists()

    back = RemoteDevice()
    measured = []

    def note(event: Any) -> None:
        if isinstance(event, events.StageProgress) and event.stage == "profiling":
            measured.append((event.done, event.total, back.measured))

    resumed = replace(prepare(device=back, generations=1, resumed=True), cost_tables=None)
    archive, _ = run_to_end(resumed, note)
    assert profile_size(tmp_path / "cache") == profiled
    assert measured[6] == (7, profiled, 0)
    assert measured[-1] == (profiled, profiled, profiled - 7)
    assert len(archive) == len(expected)
    assert resumed.folder.front.is_file()


def profile_size(cache: Any) -> Any:
    """Measurements that a profile kept."""
    (path,) = (cache / "profiles").glob("*.jsonl")
    return len([line for line in path.read_text().splitlines() if line])
