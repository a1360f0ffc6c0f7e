from __future__ import annotations

import itertools
import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import pytest

from devices.configuration import BASE
from dnas.divergence import Divergence
from dnas.inner_search import StepRecord
from dnas.losses import Coefficients
from dnas.pretraining import PretrainRecord
from evaluation.training.job import EpochDone
from evaluation.training.loop import TrainRecord
from moo import events
from moo.event_log import APART_SECONDS, EventLog, event_json, kind_of, process_start
from moo.storage.archive import OperatingPoint
from moo.storage.event_file import LONGEST_LINE, EventReader, StoredEvent, line_of
from moo.trials import ArchitectureTrial, CoefficientTrial
from search_space.architectures import architecture_from_indices
from tests.moo.conftest import TINY, EntryOf, MeasurementOf, ResultOf, TrainedOf, costs_of

DOCUMENT = Path(__file__).parents[2] / "docs" / "events.md"
ARCHITECTURE = architecture_from_indices(TINY, (0, 1, 2)).id
TRIAL = CoefficientTrial(7, 1, Coefficients(0.5, 1.0, 0.25, 2.0))
EPOCH = EpochDone(
    record=TrainRecord(epoch=2, loss=1.5, accuracy=0.5, lr=0.1), step=20, total_steps=40, epochs=4, state=b"weights"
)


@pytest.fixture
def samples(
    entry_of: EntryOf, measurement_of: MeasurementOf, result_of: ResultOf, trained_of: TrainedOf
) -> list[events.Event]:
    """One event of each class at least."""
    entry = entry_of((0, 1, 2))
    point = OperatingPoint(entry=entry, configuration=BASE, error=0.5, costs=costs_of(1, 2), measurement=None)
    return [
        events.CommandStarted(command="python x.py", pid=1, process_start=None, machine="here"),
        events.CommandEnded(ending="failed", seconds=1.0, reason="ValueError: no", traceback="a\n  b\nc"),
        started("runs/first"),
        events.StageProgress("loading", 1, 2),
        events.PretrainEpoch(PretrainRecord(epoch=1, loss=2.0, accuracy=0.5, lr=0.1), 4),
        events.TrainingDiverged("pre-training", Divergence(epoch=1, loss=float("nan"), guessing=2.3, lr=None)),
        events.GenerationStarted(1, 4, 0),
        events.TrialStarted(TRIAL),
        events.TrialStarted(ArchitectureTrial(id=8, generation=1, indices=(0, 1, 2)), "038"),
        events.TrialFinished(result_of(7, (0, 1, 2)), 1, "038"),
        events.TrialFailed(TRIAL, "Traceback:\n  File x\nValueError: no"),
        events.WorkerBusy.with_jobs("worker 1", "here", [TRIAL]),
        events.WorkerIdle("worker 1", "here"),
        events.WorkerGone("worker 1", "here", "it was killed"),
        step_of(TRIAL, 3),
        events.NetworksQueued(3),
        events.NetworkMeasured("038", measurement_of(2.0), 1),
        events.MeasuringFailed("038", "it is hot"),
        events.BoardUnreachable("pi", "no\nroute"),
        events.BoardBack("pi"),
        events.BoardConditions(device="pi", temperature_c=55.5, clock_mhz=1500.0, throttled=False, at=1000.0),
        events.FrontChanged(front=(point,), hypervolume=0.5, evaluations=3, trials=1),
        events.FrontWritten("after 4 trials"),
        events.TimeEstimated("search", 60.0, 30.0),
        events.RunFinished("runs/first", 90.0),
        events.TrainingsStarted(2, "images"),
        events.TrainersStarted(2, 1, None),
        events.TrainingProgress("038", 10, 40),
        events.TrainingProgress("038", 20, 40, EPOCH),
        events.TrainingFinished(trained_of("038"), (EPOCH.record,)),
        events.TrainingFailed("038", "no memory"),
        events.PretrainedMissing("mobilenet", "no network"),
        events.AdaptationStarted(networks=1, description="images", passed_over=(("038", "small"),), untrained=0),
        events.ExitsTrained("038", ("layer 1",), (0.5, 0.75)),
        events.PassingMeasured((("ort 1t fp32", 20.0),), 3),
        events.SlowdownExceeded(name="038", slowdowns=(("ort 1t fp32", 0.5),), limit=0.1, everywhere=False),
        events.NetworkDeployed("038", ("layer 1",), jointly_trained=True, lost=None),
    ]


def step_of(trial: CoefficientTrial, step: int) -> events.InnerSearchProgress:
    record = StepRecord.of((2.0, 1.5, 0.5, 3.0, 4.0, 1.0, 5.0))
    return events.InnerSearchProgress(trial=trial, step=step, steps=60, records=(record,), ended=(1000.0,))


def started(folder: str | Path, *, resumed: bool = False) -> events.RunStarted:
    return events.RunStarted(
        folder=str(folder), resumed=resumed, dashboard_url=None, description=(("space", "sm\nall"),), trials=4,
        pretrain_epochs=1,
    )  # fmt: skip


def documented() -> dict[str, set[str]]:
    """What docs/events.md says that each kind has; `the same` is what the line above has."""
    found: dict[str, set[str]] = {}
    for kind, text in re.findall(r"^\| `(\w+)` \| (.*) \|$", DOCUMENT.read_text(), re.M):
        above = next(reversed(found.values())) if text.startswith("the same") else set()
        found[kind] = above | set(re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", text)))
    return found


def test_every_event_becomes_a_short_line_that_the_document_describes(samples: list[events.Event]) -> None:
    assert {type(event) for event in samples} == set(get_args(events.Event))
    kinds = documented()
    assert kinds["command_ended"] == {"ending", "seconds", "reason", "traceback"}
    assert set(kinds) == {kind_of(type(event)) for event in samples}
    for event in samples:
        content = event_json(event)
        expected = kinds[kind_of(type(event))] - ({"architecture"} if isinstance(event, events.TrialFailed) else set())
        assert set(content) == expected, event
        line = line_of(1.0, kind_of(type(event)), content)
        assert len(line) < 1000
        assert set(json.loads(line)) == expected | {"at", "kind"}


def test_lines_say_what_happened(samples: list[events.Event]) -> None:
    by_kind = {kind_of(type(event)): event_json(event) for event in samples}
    assert by_kind["trial_finished"]["trial"] == 7
    assert by_kind["trial_failed"]["generation"] == 2
    assert by_kind["trial_failed"]["coefficients"] == [0.5, 1.0, 0.25, 2.0]
    assert by_kind["trial_failed"]["reason"] == "ValueError: no"
    assert by_kind["trial_failed"]["traceback"] == "Traceback:\n  File x\nValueError: no"
    assert by_kind["board_unreachable"]["reason"] == "no route"
    assert (
        by_kind["network_measured"] | {"latency_ms": 2.0, "latency_source": "measured"} == by_kind["network_measured"]
    )
    assert by_kind["front_changed"]["front"] == [f"{ARCHITECTURE} ort 1t fp32"]
    assert by_kind["training_progress"]["epoch"] == 2


def test_a_long_traceback_keeps_its_end() -> None:
    trace = "".join(f"  line {number} {'ä' * 400}\n" for number in range(100)) + "ValueError: the end\x1b[31m"
    content = event_json(events.TrialFailed(TRIAL, trace))
    lines = content["traceback"].splitlines()
    assert len(lines) == 40
    assert lines[-1] == "ValueError: the end\ufffd[31m"
    assert len(line_of(1.0, "trial_failed", content)) <= LONGEST_LINE


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def told(folder: Path) -> list[StoredEvent]:
    return EventReader(folder / "events.jsonl").new()


def test_a_command_and_the_one_that_goes_on_are_told(tmp_path: Path) -> None:
    with EventLog("python first.py") as log:
        log(events.StageProgress("loading", 2, 2))
        assert not list(tmp_path.iterdir())
        log(started(tmp_path))
    with suppress(RuntimeError), EventLog("python again.py") as log:
        log(started(tmp_path, resumed=True))
        raise RuntimeError("broken")
    with suppress(KeyboardInterrupt), EventLog("python third.py", tmp_path, stopped_by=lambda: 15) as log:
        log(events.TrainingsStarted(1, "images"))
        raise KeyboardInterrupt
    found = told(tmp_path)
    begun = ["command_started", "stage_progress", "run_started", "command_ended"]
    assert [event.kind for event in found] == [
        *begun, "command_started", "run_started", "command_ended", "command_started", "trainings_started",
        "command_ended",
    ]  # fmt: skip
    assert found[0].figures["command"] == "python first.py"
    assert found[0].figures["pid"] == os.getpid()
    assert found[0].figures["process_start"] == process_start(os.getpid())
    endings = [(event.figures["ending"], event.figures["reason"]) for event in found if event.kind == "command_ended"]
    assert endings == [("finished", None), ("failed", "RuntimeError: broken"), ("stopped", "SIGTERM")]
    assert "RuntimeError: broken" in found[6].figures["traceback"]


def test_a_command_that_never_had_the_folder_writes_nothing(tmp_path: Path) -> None:
    with suppress(ValueError), EventLog("python x.py", tmp_path) as log:
        log(events.StageProgress("loading", 1, 2))
        raise ValueError("busy")
    assert not list(tmp_path.iterdir())


def test_progress_is_thinned_and_its_last_line_is_always_there(tmp_path: Path) -> None:
    clock = Clock()
    with EventLog("x", now=clock) as log:
        log(started(tmp_path))
        for done in range(1, 101):
            log(events.StageProgress("measuring", done, 100))
            log(events.TrainingProgress("038", done, 200))
            clock.now += APART_SECONDS / 10
        log(events.TrainingProgress("038", 101, 200, EPOCH))
    found = told(tmp_path)
    stages = [event.figures["done"] for event in found if event.kind == "stage_progress"]
    steps = [event.figures["step"] for event in found if event.kind == "training_progress"]
    assert 8 <= len(stages) <= 13
    assert stages[-1] == 100
    assert 8 <= len(steps) <= 13
    assert steps[-1] == 101
    assert stages == sorted(stages)
    assert all(later.at >= event.at for event, later in itertools.pairwise(found[1:]))


def test_inner_searches_are_thinned_each_for_itself(tmp_path: Path) -> None:
    clock = Clock()
    trials = (TRIAL, CoefficientTrial(8, 1, TRIAL.coefficients))
    with EventLog("x", now=clock) as log:
        log(started(tmp_path))
        for step in range(1, 61):
            for trial in trials:
                log(step_of(trial, step))
            clock.now += 0.1
    for trial in trials:
        found = [event for event in told(tmp_path) if event.figures.get("trial") == trial.id]
        assert [event.figures["step"] for event in found] == [1, 11, 21, 31, 41, 51, 60]
        assert {event.figures["latency_ms"] for event in found} == {3.0}


def test_what_was_left_out_last_comes_before_what_happens_next(tmp_path: Path) -> None:
    clock = Clock()
    with EventLog("x", now=clock) as log:
        log(started(tmp_path))
        for hypervolume in (0.1, 0.2, 0.3):
            log(events.FrontChanged(front=(), hypervolume=hypervolume, evaluations=1, trials=1))
        log(events.GenerationStarted(1, 4, 0))
    shown: list[Any] = [event.figures.get("hypervolume", event.kind) for event in told(tmp_path)[2:]]
    assert shown == [0.1, 0.3, "generation_started", "command_ended"]
