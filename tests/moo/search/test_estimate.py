from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from dnas.losses import Coefficients
from dnas.pretraining import PretrainRecord
from moo import events
from moo.execution.backend import InProcessBackend
from moo.search.estimate import DRAWING_SECONDS, Pace, RunPlan, TimeLeft, plan_of, timed_step
from moo.search.loop import run_search
from moo.storage.store import ESTIMATE, read_store
from moo.trials import ArchitectureTrial, CoefficientTrial, Trial, TrialResult
from tests.moo.conftest import MakeReplay, Prepare

SHORT: dict[str, Any] = {"samples": 1, "theta_steps": 1, "pretrain_epochs": 1}
COEFFICIENTS = Coefficients(1.0, 1.0, 1.0, 1.0)
PLAN = RunPlan(
    measurements=100,
    measure_seconds=0.5,
    epochs=20,
    epoch_seconds=2.0,
    search_seconds=None,
    trials=(8, 48),
    trial_seconds=(2.0, 0.5),
    workers=1,
)


class Course:
    """A run that takes a known time; notes what was told of it."""

    def __init__(self, plan: RunPlan) -> None:
        self.now = 0.0
        self.estimates: list[tuple[float, float]] = []
        self.left = TimeLeft(plan, self._hear, lambda estimate: None, start=0.0, now=lambda: self.now)

    def _hear(self, event: events.Event) -> None:
        if isinstance(event, events.TimeEstimated):
            self.estimates.append((self.now, event.seconds_left))

    def after(self, seconds: float, event: events.Event) -> None:
        self.now += seconds
        self.left(event)


def trial(number: int, *, on_surrogate: bool) -> Trial:
    if on_surrogate:
        return ArchitectureTrial(id=number, generation=1, indices=(0,), coefficients=COEFFICIENTS)
    return CoefficientTrial(number, 0, COEFFICIENTS)


def epoch_event(number: int) -> events.PretrainEpoch:
    return events.PretrainEpoch(PretrainRecord(epoch=number, loss=1.0, accuracy=0.5, lr=0.1), PLAN.epochs)


def run_of(plan: RunPlan, *, slower: float) -> Course:
    """A run whose stages all take other times than was planned."""
    course = Course(plan)
    course.after(0.0, events.RunStarted(
        folder="run", resumed=False, dashboard_url=None, description=(), trials=56, pretrain_epochs=plan.epochs
    ))  # fmt: skip
    for done in range(1, plan.measurements + 1):
        course.after(0.5 * slower, events.StageProgress("profiling", done, plan.measurements))
    for epoch in range(1, plan.epochs + 1):
        course.after(2.0 * slower, epoch_event(epoch))
    for generation in range(4):
        size = 16 if generation else 8
        course.after(2.0 * slower if generation else 0.0, events.GenerationStarted(generation + 1, size, 0))
        for number in range(size):
            tried = trial(number, on_surrogate=generation > 0)
            result = TrialResult(trial=tried, architectures=(), chosen=0, theta=None, seconds=1.0)
            course.after((0.3 if generation else 2.0) * slower, events.TrialFinished(result, 1))
        for done in range(5):
            course.after(0.5 * slower if done else 0.0, events.StageProgress("measuring", done, 4))
        course.after(0.0, events.FrontWritten("so far"))
    for done in range(2):
        course.after(8.0 * slower * done, events.StageProgress("delivering", 16 * done, 16))
    for done in range(17):
        course.after(0.5 * slower if done else 0.0, events.StageProgress("measuring", done, 16))
    course.now += DRAWING_SECONDS
    return course


@pytest.mark.parametrize("slower", [0.6, 1.0, 1.5, 6.0])
def test_estimates_are_within_a_factor_of_two_once_the_pace_is_known(slower: float) -> None:
    course = run_of(PLAN, slower=slower)
    ratios = [(left / (course.now - at), at / course.now) for at, left in course.estimates]
    assert all(0.5 < ratio < 2 for ratio, share in ratios if slower < 2 or share > 0.4), ratios
    assert all(left >= 0 for _, left in course.estimates)
    assert course.estimates[-1][1] == pytest.approx(DRAWING_SECONDS)


def test_a_time_for_the_search_decides(prepare_tiny: Prepare) -> None:
    preparation = prepare_tiny(minutes=3.0, **SHORT)
    plan = plan_of(preparation, workers=2, searched_seconds=60.0)
    assert plan.search_seconds == 120.0
    course = Course(plan)
    course.after(0.0, events.GenerationStarted(1, 4, 0))
    before = course.left.seconds
    course.now += 50.0
    assert course.left.seconds == pytest.approx(before - 50.0)
    course.now += 500.0
    assert course.left.seconds == pytest.approx(before - 120.0)


def test_slow_pretraining_corrects_what_is_expected_of_trials() -> None:
    course = Course(PLAN)
    before = course.left.seconds
    for epoch in range(1, PLAN.epochs + 1):
        course.after(6.0, epoch_event(epoch))
    after = 8 * 2.0 + 48 * 0.5
    assert course.left.seconds == pytest.approx(before - 100 * 0.5 - 20 * 2.0 + 2 * after)


def test_the_first_epoch_has_a_start_of_its_own() -> None:
    course = Course(replace(PLAN, trials=(0, 0)))
    for epoch, took in ((1, 30.0), (2, 1.0), (3, 1.0)):
        course.after(took, epoch_event(epoch))
    lasts = [left for _, left in course.estimates]
    assert lasts[0] - lasts[1] == pytest.approx(2.0 * 19 - 1.0 * 18), "of the first, the shorter of two"
    assert lasts[1] - lasts[2] == pytest.approx(1.0)


def test_trials_of_before_are_not_left() -> None:
    fresh, resumed = Course(PLAN), Course(PLAN)
    fresh.after(0.0, events.GenerationStarted(1, 8, 0))
    resumed.after(0.0, events.GenerationStarted(1, 8, 8))
    resumed.after(0.0, events.GenerationStarted(2, 16, 4))
    assert fresh.left.seconds - resumed.left.seconds == pytest.approx(8 * 2.0 + 4 * 0.5)


def test_the_plan_counts_what_is_to_be_done(prepare_tiny: Prepare, replay: MakeReplay) -> None:
    settings = SHORT | {"generations": 3, "supernet_generations": 1, "pretrain_epochs": 7}
    plan = plan_of(prepare_tiny(device=replay(), **settings), workers=2, searched_seconds=0.0)
    assert (plan.measurements, plan.epochs, plan.trials) == (0, 7, (4, 16))
    assert plan.measure_seconds > 0
    preparation = prepare_tiny(method="random", **settings)
    run_search(preparation, InProcessBackend(preparation.setup), lambda event: None)
    plan = plan_of(prepare_tiny(resumed=True, method="random", **settings), workers=2, searched_seconds=0.0)
    assert (plan.measure_seconds, plan.epochs, plan.trials) == (0.0, 0, (12, 0))


def test_timing_steps_leaves_no_trace(prepare_tiny: Prepare) -> None:
    preparation = prepare_tiny(**SHORT)
    random, numpys = torch.random.get_rng_state(), np.random.get_state(legacy=True)  # noqa: NPY002
    assert timed_step(preparation) > 0
    assert torch.equal(torch.random.get_rng_state(), random)
    assert str(np.random.get_state(legacy=True)) == str(numpys)  # noqa: NPY002
    assert not preparation.folder.path.exists()


def test_the_store_keeps_estimates(prepare_tiny: Prepare) -> None:
    preparation = prepare_tiny(**SHORT)
    seen: list[Any] = []
    run_search(preparation, InProcessBackend(preparation.setup), seen.append)
    told = [event for event in seen if isinstance(event, events.TimeEstimated)]
    with closing(read_store(preparation.folder.store)) as store:
        kept = [content for _, kind, content in store.events() if kind == ESTIMATE]
    assert kept[0] == {
        "stage": told[0].stage,
        "seconds_left": told[0].seconds_left,
        "elapsed_seconds": told[0].elapsed_seconds,
    }
    assert len(told) > 8


def test_a_pace_is_the_mean_of_the_last_pieces() -> None:
    pace = Pace(9.0, last=2)
    assert pace.seconds == 9.0
    for seconds in (1.0, 2.0, 4.0):
        pace.saw(seconds)
    assert pace.seconds == 3.0
