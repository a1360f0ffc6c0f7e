from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from devices.configuration import BASE, RuntimeConfiguration
from devices.measurement import Measurement
from dnas.divergence import Divergence
from dnas.inner_search import StepRecord
from dnas.losses import Coefficients
from dnas.pretraining import PretrainRecord
from moo import events
from moo.storage.archive import Entry, OperatingPoint
from moo.trials import ArchitectureTrial, CoefficientTrial, TrialResult
from scripts.interface.live_view import LiveView, sparkline
from search_space.architectures import Architecture
from tests.moo.conftest import costs_of

STARTED = events.RunStarted(
    folder="runs/one",
    resumed=False,
    dashboard_url="http://127.0.0.1:8265",
    description=(("data set", "[digits]"), ("board", "pi4")),
    trials=32,
    pretrain_epochs=30,
)
COEFFICIENTS = Coefficients(1.0, 1.0, 1.0, 1.0)
MEASUREMENT = Measurement(
    latency_ms=1.25,
    median_ms=1.25,
    iqr_ms=0.0,
    runs=50,
    energy_mj=2.5,
    latency_source="measured",
    energy_source="modelled",
    board="pi4",
    os="Linux",
    runtime="onnx",
    threads=4,
    date="2000-01-01",
    reliable=True,
)


def job(number: Any) -> Any:
    return CoefficientTrial(number, 0, COEFFICIENTS)


def done(number: Any) -> Any:
    return events.TrialFinished(TrialResult(trial=job(number), architectures=(), chosen=0, theta=None, seconds=7.5), 3)


def entry(number: Any, *, measured: bool = False) -> Any:
    identifier = f"{number:03d}"
    architecture = Architecture("tiny", ("skip",), identifier)
    return Entry(
        architecture=architecture,
        error=number / 100,
        predicted_latency_ms=2.0,
        predicted_energy_mj=3.0,
        trial_id=0,
        position=number,
        coefficients=COEFFICIENTS,
        measurements=(MEASUREMENT,) if measured else (),
    )


def front_of(entries: Any, hypervolume: float = 0.5) -> Any:
    front = tuple(
        OperatingPoint(
            entry=item,
            configuration=BASE,
            error=item.error,
            costs=costs_of(1.25, 2.5, "measured") if item.measurements else costs_of(2.0, 2.5),
            measurement=item.measured_in(BASE),
        )
        for item in entries
    )
    return events.FrontChanged(front=front, hypervolume=hypervolume, evaluations=40, trials=5)


def console(*, terminal: bool = True) -> Any:
    return Console(
        file=io.StringIO(), record=True, width=110, height=60, force_terminal=terminal, _environ={"TERM": "xterm"}
    )


def shown(*happened: Any, width: int = 110, height: int = 60) -> Any:
    """What the view shows after these events."""
    view = LiveView(console())
    for event in happened:
        view(event)
    plain = Console(file=io.StringIO(), record=True, width=width, height=height)
    plain.print(view)
    return plain.export_text()


def line_of(text: Any, word: Any) -> Any:
    (line,) = [line for line in text.splitlines() if line.strip(" │").startswith(word)]
    return line


def test_the_header_says_what_is_searched_and_where_to_look() -> None:
    text = shown(STARTED)
    assert "[digits]" in line_of(text, "data set")
    assert "runs/one" in line_of(text, "run folder")
    assert "http://127.0.0.1:8265" in line_of(text, "Ray dashboard")
    assert "tensorboard --logdir runs/one/tensorboard" in line_of(text, "TensorBoard")
    assert "none" in line_of(shown(replace(STARTED, dashboard_url=None)), "Ray dashboard")


def test_stages_before_the_search_show_their_progress() -> None:
    text = shown(
        events.StageProgress("loading", 500, 1797),
        STARTED,
        events.StageProgress("profiling", 3, 90, "16 channels [k3_e1]"),
        events.PretrainEpoch(PretrainRecord(epoch=7, loss=0.75, accuracy=0.625, lr=0.1), 30),
    )
    assert "500/1797" in line_of(text, "loading")
    assert "3/90" in line_of(text, "profiling")
    assert "[k3_e1]" in line_of(text, "profiling")
    assert "7/30" in line_of(text, "pre-training")
    assert "loss 0.750, accuracy of paths 62.5 %" in line_of(text, "pre-training")
    assert "hypervolume" not in text


@pytest.mark.parametrize("terminal", [True, False])
def test_a_divergence_is_said(terminal: bool) -> None:
    found = Divergence(epoch=3, loss=22.7, guessing=1.946, lr=0.15)
    text = printed(STARTED, events.TrainingDiverged("pre-training", found), terminal=terminal)
    assert "pre-training diverged in epoch 3 (loss 22.7; guessing has 1.95): again with a" in " ".join(text.split())


def test_the_search_shows_generation_trials_board_hypervolume_and_time_left() -> None:
    text = shown(
        STARTED,
        events.GenerationStarted(2, 8, 0),
        *(events.TrialStarted(job(number)) for number in range(5)),
        done(0),
        done(1),
        events.TrialFailed(job(2), "Traceback"),
        events.NetworkMeasured("000", MEASUREMENT, 6),
        events.NetworkMeasured("001", MEASUREMENT, 5),
        front_of([entry(1, measured=True), entry(2)], 0.25),
        front_of([entry(1, measured=True), entry(2)], 0.4321),
    )
    search = line_of(text, "search")
    assert "3/32" in search
    assert "generation 2" in search
    assert "3 done, 2 running, 1 failed" in line_of(text, "trials")
    assert "2 measured, 5 waiting" in line_of(text, "networks")
    assert "40, 2 on the front" in line_of(text, "architectures")
    assert "0.4321  ▁█" in line_of(text, "hypervolume")
    assert "not known yet" in line_of(text, "time left (all)")
    assert "0 s" in line_of(text, "elapsed")
    assert line_of(text, "001").split() == [
        "001",
        "1t",
        "fp32",
        "1.0",
        "%",
        "1.250",
        "measured",
        "2.500",
        "modelled",
    ]
    assert line_of(text, "002").split() == [
        "002",
        "1t",
        "fp32",
        "2.0",
        "%",
        "2.000",
        "modelled",
        "2.500",
        "modelled",
    ]


def test_time_left_is_that_of_the_whole_run_and_goes_down(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("scripts.interface.live_view.time.monotonic", lambda: now)
    view = LiveView(console())
    for event in (STARTED, events.TimeEstimated("profiling", 130.0, 0.0)):
        view(event)
    now += 25.0
    plain = console()
    plain.print(view)
    text = plain.export_text()
    assert "about 1 min 45 s" in line_of(text, "time left (all)")
    assert "25 s" in line_of(text, "elapsed")


def test_trials_that_go_on_show_their_steps() -> None:
    record = StepRecord.of([1.0] * 7)
    steps = [
        events.InnerSearchProgress(trial=job(number), step=step, steps=60, records=(record,), ended=(0.0,))
        for number, step in ((0, 9), (1, 12), (0, 31), (2, 5))
    ]
    begun = (events.TrialStarted(job(number)) for number in range(3))
    text = shown(STARTED, events.GenerationStarted(1, 8, 0), *begun, *steps, done(2))
    assert "1 done, 2 running (step 31/60, 12/60), 0 failed" in line_of(text, "trials")


def test_trials_of_a_resumed_run_count_as_done() -> None:
    text = shown(STARTED, events.GenerationStarted(1, 8, 8), events.GenerationStarted(2, 8, 3))
    assert "11/32" in line_of(text, "search")
    assert "generation 2" in line_of(text, "search")
    assert "11 done, 0 running, 0 failed" in line_of(text, "trials")


def test_a_run_that_is_resumed_for_shorter_has_no_more_than_all() -> None:
    assert "40/40" in line_of(shown(STARTED, events.GenerationStarted(1, 40, 40)), "search")


def long_front(count: int) -> Any:
    """Points that all are needed: each is slower and more accurate than the next; ids and labels are long."""
    configuration = RuntimeConfiguration(threads=4, frequency_mhz=1500, precision="int8")
    points = [
        replace(
            point,
            entry=replace(point.entry, architecture=Architecture("tiny", ("skip",), f"{number:022d}")),
            configuration=configuration,
            costs=costs_of(400.0 - number, 250.5, "measured"),
        )
        for number, point in enumerate(front_of([entry(number) for number in range(count)]).front)
    ]
    return replace(front_of([], 0.4321), front=tuple(points))


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (160, 50)])
@pytest.mark.parametrize("count", [1, 5, 40])
def test_a_terminal_of_any_usual_size_shows_every_figure(width: int, height: int, count: int) -> None:
    text = shown(
        events.StageProgress("loading", 1797, 1797),
        replace(STARTED, folder="runs/digits-fbnet-micro-20000101-000000", description=STARTED.description * 4),
        events.StageProgress("profiling", 286, 286, "2 threads, int8: network 10"),
        events.PretrainEpoch(PretrainRecord(epoch=30, loss=0.75, accuracy=0.625, lr=0.1), 30),
        events.GenerationStarted(2, 16, 8),
        *(events.TrialStarted(job(number)) for number in range(5)),
        done(0),
        events.TrialFailed(job(2), "Traceback"),
        events.NetworkMeasured("000", MEASUREMENT, 5),
        events.StageProgress("evaluating in int8", 1, 16),
        long_front(count),
        events.TimeEstimated("search", 3700.0, 60.0),
        width=width,
        height=height,
    )
    lines = text.splitlines()
    assert len(lines) < height
    assert "…" not in text
    assert "10/32" in line_of(text, "search")
    assert "generation 2" in line_of(text, "search")
    assert "1/16" in line_of(text, "evaluating in int8") or "1/16" in text
    assert "runs/digits-fbnet-micro-20000101-000000" in line_of(text, "run folder")
    for word, figure in (
        ("trials", "10 done, 3 running, 1 failed"),
        ("networks", "1 measured, 5 waiting"),
        ("architectures", f"40, {count} on the front"),
        ("hypervolume", "0.4321"),
        ("elapsed", "0 s"),
        ("time left (all)", "about 1 h 01 min"),
    ):
        assert figure in line_of(text, word)
    rows = [line.split() for line in lines if line.strip().startswith("0000")]
    assert all("int8" in row and "%" in row and "250.500" in row for row in rows)
    left = count - len(rows)
    assert (f"... and {left} more" in text) == (left > 0)
    assert len(rows) >= min(count, 6)
    if left:
        assert len(lines) >= height - 4, "the place that there is, is used"
        assert {f"{0:022d}", f"{count - 1:022d}"} <= {row[0] for row in rows}, "the ends are shown"


def test_where_nothing_can_be_measured_nothing_waits_for_it() -> None:
    text = shown(replace(STARTED, measures=False), events.GenerationStarted(1, 8, 0))
    assert "measured" not in text
    assert "0 measured, 0 waiting" in shown(STARTED, events.GenerationStarted(1, 8, 0))


def test_points_of_a_network_stand_together() -> None:
    (one,), (two,) = front_of([entry(1)]).front, front_of([entry(2)]).front
    quick = replace(one, configuration=RuntimeConfiguration(threads=4), costs=costs_of(1.0, 9.0))
    front = (one, two, quick)
    text = shown(STARTED, events.GenerationStarted(1, 8, 0), replace(front_of([]), front=front))
    rows = [line.split()[:3] for line in text.splitlines() if "t fp32" in line]
    assert rows == [["001", "4t", "fp32"], ["001", "1t", "fp32"], ["002", "1t", "fp32"]]


def printed(*happened: Any, terminal: Any) -> Any:
    output = console(terminal=terminal)
    with LiveView(output) as view:
        for event in happened:
            view(event)
    return output.export_text()


COURSE = (
    events.StageProgress("loading", 500, 1797),
    STARTED,
    events.PretrainEpoch(PretrainRecord(epoch=1, loss=0.75, accuracy=0.625, lr=0.1), 30),
    events.GenerationStarted(1, 8, 0),
    events.TrialStarted(job(0)),
    done(0),
    events.NetworkMeasured("000", MEASUREMENT, 6),
    front_of([entry(1)]),
    events.TimeEstimated("search", 130.0, 60.0),
    events.TimeEstimated("search", 128.0, 62.0),
    events.RunFinished("runs/one", 12.0),
)


def test_without_a_terminal_each_larger_step_is_a_line() -> None:
    lines = printed(*COURSE, terminal=False).splitlines()
    for line in (
        "data set: [digits]",
        "Ray dashboard: http://127.0.0.1:8265 (its token: ray get-auth-token)",
        "TensorBoard: tensorboard --logdir runs/one/tensorboard",
        "pre-training 1/30 loss 0.750, accuracy of paths 62.5 %",
        "trial 0: 0 architectures, 3 new, 7.5 s",
        "measured 000: 1.250 ms, 2.50 mJ (modelled)",
    ):
        assert line in lines
    assert any(line.startswith("search 0/32 generation 1") for line in lines)
    assert lines.count("search: elapsed 0 s, time left (all) about 2 min 10 s") == 1
    assert sum("time left" in line for line in lines) == 1, "now and then"


@pytest.mark.parametrize("terminal", [True, False])
def test_failures_are_always_printed_as_they_are(terminal: bool) -> None:
    text = printed(
        STARTED,
        events.GenerationStarted(1, 8, 0),
        events.TrialStarted(job(3)),
        events.TrialFailed(job(3), "Traceback\nKeyError: ['[/red]']"),
        events.MeasuringFailed("888", "the agent [crashed]"),
        terminal=terminal,
    )
    assert "trial 3 failed; the search goes on without it" in text
    assert "KeyError: ['[/red]']" in text
    assert "888 could not be measured: the agent [crashed]" in text


def test_a_whole_course_can_be_shown_in_a_terminal() -> None:
    assert "trial 0:" not in printed(*COURSE, terminal=True)


def test_a_sparkline_goes_from_the_least_to_the_greatest_value() -> None:
    assert sparkline([0.0, 0.5, 1.0]) == "▁▄█" or sparkline([0.0, 0.5, 1.0]) == "▁▅█"
    assert sparkline([2.0, 2.0]) == "▁▁"
    assert sparkline([]) == ""
    assert sparkline(range(100), width=5) == sparkline(range(95, 100))


def test_where_a_time_decides_the_number_of_trials_is_not_known() -> None:
    started = replace(STARTED, trials=None, minutes=5.0)
    text = shown(started, events.GenerationStarted(1, 8, 0), events.TrialStarted(job(0)), done(0))
    assert "1/?" in line_of(text, "search")


def test_an_architecture_that_was_proposed_as_it_is_is_called_so() -> None:
    result = TrialResult(
        trial=ArchitectureTrial(id=3, generation=0, indices=(0, 1)), architectures=(), chosen=0, theta=None, seconds=0.5
    )
    assert "architecture 3: 0 architectures, 1 new, 0.5 s" in printed(
        STARTED, events.TrialFinished(result, 1), terminal=False
    )
